#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real collectd with balena.so and write_prometheus against the fake API, scraped over HTTP."""
import time

import e2e_lib as lib


class CollectdTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("collectd")


class Series(CollectdTest):
    def check_all(self, api, metrics, names):
        """Device by device and fleet by fleet: all that must be shown, and nothing else."""
        rows, truth = api.devices(), api.truth()
        options = {"Metrics": '"%s"' % metrics} if metrics else {}
        agent = self.collectd(lib.Collectd.account(api, **options))
        series = lib.scrape_crawl(agent, [api], "collectd_", len(rows))
        expected = lib.as_collectd({
            **lib.expected_devices(rows, names), **lib.expected_device_infos(rows),
            **lib.expected_fleets(rows, truth)})
        shown = {name for name, labels in series
                 if name.startswith(("collectd_balena_device", "collectd_balena_fleet"))}
        lib.compare(expected, series, shown | {name for name, labels in expected})
        return agent, series

    def test_default_set(self):
        api = self.api()
        agent, series = self.check_all(api, None, lib.LEAN)
        for fleet in api.truth()["fleets"]:
            labels = frozenset({"balena": fleet["slug"].replace("/", ":"), "type": fleet["app_name"],
                                "instance": lib.HOSTNAME}.items())
            self.assertEqual(series["collectd_balena_devices_online", labels], fleet["online"])
        for name, value in (("success", 1), ("fleets", 3), ("devices", 61), ("interval_seconds", 10),
                            ("token_valid", 1), ("api_version", 7)):
            labels = frozenset({"balena": "quickstart", "instance": lib.HOSTNAME}.items())
            self.assertEqual(series["collectd_balena_crawl_" + name, labels], value, name)
        # Counters end in one _total, not two.
        self.assertTrue(lib.values_of(series, "collectd_balena_api_requests_total"))
        self.assertFalse([name for name, labels in series if name.endswith("_total_total")])
        self.assertEqual([line for line in agent.log().splitlines() if "error" in line.lower()], [])

    def test_standard_set_of_the_hosted_service(self):
        self.check_all(self.api("--cloud", devices=300, seed=7), "@standard", None)

    def test_odd_names_and_every_metric(self):
        # Readable and distinct: of two slugs that share what collectd keeps, each has its own series.
        api = self.api("--cloud", "--odd", "many", fleets=6, devices=200, seed=11)
        rows, truth = api.devices(), api.truth()
        agent = self.collectd(lib.Collectd.account(api, Metrics='"@all"', Detail='"services"', InfoTags='"site"'))
        series = lib.scrape_crawl(agent, [api], "collectd_", len(rows))
        every = {**lib.expected_devices(rows, lib.ALL, truth["cloud"]), **lib.expected_device_infos(rows, ["site"]),
                 **lib.expected_services(rows),
                 **lib.expected_fleets(rows, truth, services=True, optional=True, tags=["site"])}
        expected = lib.as_collectd(every)
        self.assertEqual(len(expected), len(every))
        long = {dict(labels)["balena"] for _, labels in expected if len(dict(labels)["balena"]) == 127}
        self.assertEqual(len(long), 2)
        shown = {name for name, labels in series
                 if name.startswith(("collectd_balena_device", "collectd_balena_fleet"))}
        lib.compare(expected, series, shown | {name for name, labels in expected})
        self.assertEqual([line for line in agent.log().splitlines() if "error" in line.lower()], [])

    def test_change_shows_after_the_next_crawl(self):
        api = self.api()
        row = next(row for row in api.devices() if row["overall_status"] == "operational")
        agent = self.collectd(lib.Collectd.account(api))
        lib.scrape_crawl(agent, [api], "collectd_", 61)
        api.set(device=row["id"], fields={"overall_status": "updating"})
        labels = frozenset({"balena": row["fleet"].replace("/", ":"), "instance": row["uuid"]}.items())
        lib.wait_for("new status code", lambda: lib.scrape(agent.url).get(
            ("collectd_balena_device_status_code", labels)) == 3, [agent, api])


class Trouble(CollectdTest):
    def test_bad_token(self):
        api = self.api()
        api.set(tokens=["another"])
        agent = self.collectd(lib.Collectd.account(api))
        series = lib.scrape_crawl(agent, [api], "collectd_")
        labels = frozenset({"balena": "quickstart", "instance": lib.HOSTNAME}.items())
        self.assertEqual(series["collectd_balena_crawl_success", labels], 0)
        self.assertEqual(series["collectd_balena_crawl_token_valid", labels], 0)
        self.assertFalse([name for name, labels in series if "balena_device" in name])
        self.assertNotIn(lib.TOKEN, agent.log())

    def test_wrong_option_leaves_daemon_and_other_accounts(self):
        api = self.api()
        good = lib.Collectd.account(api, name="good")
        for bad in (lib.Collectd.account(api, name="bad", NoSuchOption='"x"'),
                    lib.Collectd.account(api, name="bad", Interval=1),
                    lib.Collectd.account(api, name="bad", TokenFile='"%s/none"' % api.directory)):
            with self.subTest(account=bad):
                agent = self.collectd(bad, good)
                series = lib.scrape_crawl(agent, [api], "collectd_", 61)
                accounts = {dict(labels)["balena"]
                            for labels in lib.values_of(series, "collectd_balena_crawl_success")}
                self.assertEqual(accounts, {"good"})
                self.assertIsNone(agent.popen.poll())
                said = [line for line in agent.log().splitlines() if '"bad"' in line]
                self.assertEqual(len(said), 1, agent.log())
                agent.stop()
                self.assertEqual(agent.popen.returncode, 0)


class Stop(CollectdTest):
    """The daemon asked to end at a bad moment, with a long interval: out within 2 s."""

    def stop_when(self, what, condition, agent):
        lib.wait_for(what, condition, [agent])
        seconds = agent.stop()
        self.assertLess(seconds, 2.0)
        self.assertEqual(agent.popen.returncode, 0, agent.log())

    def in_flight(self, match, **fault):
        """Stops the daemon while it waits for the answer to a request with `match`."""
        api = self.api()
        api.set(fault=dict(fault, match=match, times=-1))
        agent = self.collectd(lib.Collectd.account(api, Interval=60), interval=60)
        seen = []

        def asked():
            # The fake names what it has answered; then nothing more comes, so that the next
            # request is under way.
            seen.append((time.monotonic(), api.log().count("/v7/")))
            return seen[-1][1] and seen[-1][0] - next(at for at, count in seen if count == seen[-1][1]) > 1
        self.stop_when("request under way", asked, agent)
        self.assertFalse(lib.scrape(agent.url))

    def test_between_crawls(self):
        api = self.api()
        agent = self.collectd(lib.Collectd.account(api, Interval=60), interval=60)
        lib.scrape_crawl(agent, [api], "collectd_", 61)
        self.stop_when("quiet moment", lambda: True, agent)

    def test_server_that_hangs(self):
        self.in_flight("/v7/application", hang=True)

    def test_server_that_takes_long(self):
        self.in_flight("/v7/application", latency_ms=30000)

    def test_answer_that_drips(self):
        self.in_flight("belongs_to__application", drip=[10, 500])


if __name__ == "__main__":
    lib.main("collectd")
