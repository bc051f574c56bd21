#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real collectd over several intervals: crawls that need as long as one or longer, and broken accounts
beside a good one. These tests wait most of their time, and may run beside others."""
import json

import e2e_lib as lib


class CollectdTime(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("collectd")

    @staticmethod
    def lists(api):
        """When each crawl asked for its fleets."""
        entries = map(json.loads, lib.http_get(api.url + "/_fake/log").splitlines())
        return [entry["start"] for entry in entries if "/application?" in entry["target"]]

    def test_crawl_nearly_as_long_as_the_interval(self):
        """Nothing expires between a quick crawl and a slow one."""
        api = self.api("--quiet")
        agent = self.collectd(lib.Collectd.account(api))
        lib.scrape_crawl(agent, [api], "collectd_", 61)
        api.set(fault={"match": "belongs_to__application in", "latency_ms": 8500, "times": -1})
        fewest = []

        def three_crawls():
            series = lib.scrape(agent.url)
            fewest.append(len(lib.values_of(series, "collectd_balena_device_status_code")))
            return len(self.lists(api)) >= 4
        lib.wait_for("three slow crawls", three_crawls, [agent, api])
        self.assertEqual(min(fewest), 61)
        self.assertEqual(lib.scrape(agent.url)["collectd_balena_crawl_success", lib.of_account("quickstart")], 1)

    def test_crawl_longer_than_the_interval(self):
        """It ends at its deadline; the next one neither overlaps nor is lost, and what is known of
        the crawls stays there."""
        api = self.api("--quiet")
        api.set(fault={"match": "belongs_to__application in", "hang": True, "times": -1})
        agent = self.collectd(lib.Collectd.account(api))
        key = ("collectd_balena_crawl_success", lib.of_account("quickstart"))
        lib.wait_for("failed crawl", lambda: lib.scrape(agent.url).get(key) == 0, [agent, api])
        seen = set()

        def more_crawls():
            seen.add(lib.scrape(agent.url).get(key))
            return len(self.lists(api)) >= 4
        lib.wait_for("more crawls", more_crawls, [agent, api])
        self.assertEqual(seen, {0})
        starts = self.lists(api)
        for before, after in zip(starts, starts[1:]):
            self.assertGreater(after - before, 8)
        api.set(faults=[])
        lib.wait_for("whole crawl", lambda: lib.scrape(agent.url).get(key) == 1, [agent, api])
        self.assertEqual(len(lib.values_of(lib.scrape(agent.url), "collectd_balena_device_status_code")), 61)
        # One line when the trouble began, one when it ended.
        said = [line for line in agent.log().splitlines() if 'account "quickstart"' in line]
        self.assertEqual(len(said), 2, agent.log())


class CollectdAccounts(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("collectd")

    def test_broken_ones_beside_a_good_one(self):
        good, refused, hanging = self.api("--quiet"), self.api("--quiet", seed=2), self.api("--quiet", seed=3)
        refused.set(tokens=["another"])
        hanging.set(fault={"match": "/v7/", "hang": True, "times": -1})
        closed = lib.free_port()
        agent = self.collectd(
            lib.Collectd.account(hanging, name="hanging"), lib.Collectd.account(refused, name="refused"),
            lib.Collectd.account(good, name="option", NoSuchOption='"x"'),
            lib.Collectd.account(lib.Url("http://127.0.0.1:%d" % closed, good.directory), name="closed"),
            lib.Collectd.account(good, name="good"))
        key = "collectd_balena_crawl_success"

        def successes():
            return {dict(labels)["balena"]: value for labels, value in lib.values_of(
                lib.scrape(agent.url), key).items()}
        wanted = {"good": 1, "hanging": 0, "refused": 0, "closed": 0}
        lib.wait_for("a crawl of each", lambda: successes() == wanted, [agent])
        good.reset_log()
        lib.wait_for("more crawls of the good one", lambda: sum(
            "/application?" in target for target in good.requests()) >= 2, [agent])
        self.assertEqual(successes(), wanted)
        for name in "hanging", "refused", "closed", "option":
            said = [line for line in agent.log().splitlines() if 'account "%s"' % name in line]
            self.assertEqual(len(said), 1, agent.log())
        self.assertFalse([line for line in agent.log().splitlines() if 'account "good"' in line])
        refused.set(tokens=[lib.TOKEN])
        hanging.set(faults=[])
        lib.wait_for("the others again", lambda: successes() == {**wanted, "hanging": 1, "refused": 1},
                     [agent], seconds=120)
        for name in "hanging", "refused":
            said = [line for line in agent.log().splitlines() if 'account "%s"' % name in line]
            self.assertEqual(len(said), 2, agent.log())


if __name__ == "__main__":
    lib.main()
