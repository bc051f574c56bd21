#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real Telegraf with telegraf-balena in inputs.execd against the fake API, scraped over HTTP."""
import re

import e2e_lib as lib


class TelegrafTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("telegraf")


class Series(TelegrafTest):
    def check_all(self, api, *arguments, **options):
        """Device by device and fleet by fleet: all that must be shown, and nothing else."""
        rows, truth = api.devices(), api.truth()
        agent = self.telegraf(api, *arguments, **options)
        series = lib.scrape_crawl(agent, [api], devices=len(rows))
        expected = lib.as_line_protocol({
            **lib.expected_devices(rows), **lib.expected_device_infos(rows), **lib.expected_fleets(rows, truth)})
        shown = {name for name, labels in series if name.startswith(("balena_device", "balena_fleet"))}
        lib.compare(expected, series, shown | {name for name, labels in expected})
        return agent, series

    def test_default_set(self):
        api = self.api()
        agent, series = self.check_all(api)
        for fleet in api.truth()["fleets"]:
            labels = lib.of_fleet(fleet["slug"], fleet_name=fleet["app_name"])
            self.assertEqual(series["balena_devices_online", labels], fleet["online"])
        account = frozenset({"account": "default"}.items())
        for name, value in (("success", 1), ("fleets", 3), ("devices", 61), ("interval_seconds", 60),
                            ("token_valid", 1), ("api_version", 7)):
            self.assertEqual(series["balena_crawl_" + name, account], value, name)
        # With metric_types of the documentation nothing is left untyped.
        kinds = dict(re.findall(r"^# TYPE (balena_\w+) (\w+)$", lib.http_get(agent.url).decode(), re.M))
        self.assertEqual({name for name, labels in series if name.startswith("balena_")}, set(kinds))
        wrong = {name: kind for name, kind in kinds.items()
                 if kind != ("counter" if name.endswith("_total") else "gauge")}
        self.assertEqual(wrong, {})
        self.assertEqual([line for line in agent.log().splitlines() if " E! " in line], [])

    def test_hosted_service_in_small_pages(self):
        self.check_all(self.api("--cloud", devices=300, seed=7), "--page-size", "40")

    def test_odd_names_and_every_metric(self):
        # All arrives but a backslash at the end of a name, which line protocol cannot carry.
        api = self.api("--cloud", "--odd", "many", fleets=6, devices=300, seed=11)
        rows, truth = api.devices(), api.truth()
        agent = self.telegraf(api, "--metrics", "@all", "--detail", "services", "--info-tags", "site,Site-ID")
        series = lib.scrape_crawl(agent, [api], devices=len(rows))
        tags = ("site", "Site-ID")
        every = {**lib.expected_devices(rows, lib.ALL, truth["cloud"]), **lib.expected_device_infos(rows, tags),
                 **lib.expected_services(rows),
                 **lib.expected_fleets(rows, truth, services=True, optional=True, tags=tags)}
        expected = lib.as_line_protocol(every)
        self.assertEqual(len(expected), len(every))
        self.assertNotEqual(set(expected), set(every))
        shown = {name for name, labels in series if name.startswith(("balena_device", "balena_fleet"))}
        lib.compare(expected, series, shown | {name for name, labels in expected})
        self.assertEqual([line for line in agent.log().splitlines() if " E! " in line], [])

    def test_each_signal_mode(self):
        # A signal that comes before the program's first instruction kills it, as it would any:
        # then Telegraf starts it again.
        for mode in ("none", "SIGHUP", "SIGUSR1", "SIGUSR2"):
            with self.subTest(signal=mode):
                agent, _ = self.check_all(self.api(devices=20), "--interval", "10", signal_mode=mode)
                self.assertLess(agent.stop(), 4)

    def test_change_shows_after_the_next_trigger(self):
        api = self.api()
        row = next(row for row in api.devices() if row["overall_status"] == "operational")
        agent = self.telegraf(api, "--min-interval", "0")
        lib.scrape_crawl(agent, [api], devices=61)
        api.set(device=row["id"], fields={"overall_status": "updating"})
        labels = lib.of_fleet(row["fleet"], device_uuid=row["uuid"])
        lib.wait_for("new status code", lambda: lib.scrape(agent.url).get(
            ("balena_device_status_code", labels)) == 3, [agent, api])


class Trouble(TelegrafTest):
    def test_bad_token(self):
        api = self.api()
        api.set(tokens=["another"])
        agent = self.telegraf(api)
        series = lib.scrape_crawl(agent, [api])
        account = frozenset({"account": "default"}.items())
        self.assertEqual(series["balena_crawl_success", account], 0)
        self.assertEqual(series["balena_crawl_token_valid", account], 0)
        self.assertFalse([name for name, labels in series if name.startswith("balena_device")])
        self.assertNotIn(lib.TOKEN, agent.log())
        self.assertRegex(agent.log(), r"[EW]! \[inputs\.execd\].*token")

    def test_stop_with_a_request_under_way(self):
        api = self.api()
        api.set(fault={"match": "/v7/application", "times": -1, "hang": True})
        agent = self.telegraf(api)
        lib.wait_for("first request", lambda: "/v7/" in api.log(), [agent, api])
        # The crawl may run on until 4 s after its input has ended; Telegraf itself would kill
        # after 10 s.
        self.assertLess(agent.stop(), 7)


class OneShot(TelegrafTest):
    def test_telegraf_test_prints_the_crawl(self):
        # One trigger, then the input ends: the crawl must still come out whole.
        api = self.api()
        agent = self.telegraf(api)
        agent.stop()
        run = lib.run(lib.telegraf_path(), "--config", agent.conf, "--test", env=dict(lib.os.environ))
        self.assertEqual(run.returncode, 0, run.stderr.decode())
        lines = [line for line in run.stdout.decode().splitlines() if "balena_device," in line]
        uuids = {uuid for line in lines for uuid in re.findall(r"device_uuid=([0-9a-f]+)", line)}
        self.assertEqual(uuids, {row["uuid"] for row in api.devices()})
        self.assertIn("balena_crawl,", run.stdout.decode())


if __name__ == "__main__":
    lib.main("telegraf")
