#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena --once against the fake API, no agent between: every series against the fake's own
truth, the price of a crawl in requests, and promtool's opinion of the text."""
import subprocess
import unittest

import e2e_lib as lib


def once(api, *arguments):
    """The Prometheus text of one crawl."""
    token_file = api.directory / "token"
    token_file.write_text(lib.TOKEN + "\n")
    run = subprocess.run([lib.execd_path(), "--once", "--format", "prometheus", "--api-url", api.url,
                          "--token-file", token_file, "--start-jitter", "0", *arguments],
                         capture_output=True, timeout=120, env={}, check=False)
    if run.returncode != 0:
        raise AssertionError("exit status %d: %s" % (run.returncode, run.stderr.decode()))
    return run.stdout.decode()


class Once(unittest.TestCase):
    def api(self, *arguments, **world):
        api = lib.FakeApi(*arguments, **world)
        self.addCleanup(api.close)
        return api

    def check_all(self, api, *arguments):
        """All that a crawl must show and nothing else; returns the series."""
        rows, truth = api.devices(), api.truth()
        series = lib.parse_text(once(api, *arguments))
        expected = {**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}
        names = {name for name, labels in series if not name.startswith(("balena_crawl_", "balena_api_"))}
        lib.compare(expected, series, names | {name for name, labels in expected})
        return series

    def test_3_fleets_and_61_devices(self):
        self.check_all(self.api())

    def test_fields_of_the_hosted_service(self):
        series = self.check_all(self.api("--cloud", devices=300, seed=7))
        inactive = [value for labels, value in lib.values_of(
            series, "balena_fleet_devices_by_connection").items() if ("connection", "inactive") in labels]
        self.assertGreater(sum(inactive), 0)

    def test_many_fleets_and_small_pages(self):
        self.check_all(self.api(fleets=30, devices=2000, seed=3), "--page-size", "70")

    def test_counts_of_the_generator(self):
        # The fake counts for itself what it made; zeros must be there as zeros.
        api = self.api()
        truth, zeros = api.truth(), 0
        series = lib.parse_text(once(api))
        fleets = [(fleet["slug"], fleet) for fleet in truth["fleets"]] + [("none", truth["none"])]
        for slug, counts in fleets:
            self.assertEqual(series["balena_fleet_devices", lib.of_fleet(slug)], counts["devices"])
            for what in ("connection", "status", "heartbeat", "update_status", "rollout"):
                name = "balena_fleet_devices_by_" + what
                shown = {dict(labels)[what]: value for labels, value in lib.values_of(series, name).items()
                         if ("fleet", slug) in labels}
                known = counts["by_" + what]
                self.assertEqual(shown, {**{word: 0 for word in shown if word == "other"}, **known}, name)
                self.assertEqual(sum(shown.values()), counts["devices"], "%s is no partition" % name)
                zeros += sum(value == 0 for value in shown.values())
        self.assertGreater(zeros, 20)

    def test_requests_of_a_crawl(self):
        for fleets, devices, page in ((3, 61, 1000), (3, 61, 20), (12, 3000, 1000), (250, 2600, 250)):
            with self.subTest(fleets=fleets, devices=devices, page=page):
                api = self.api(fleets=fleets, devices=devices)
                api.reset_log()
                once(api, "--page-size", str(page))
                groups = -(-fleets // 200)
                allowed = 2 + 3 * groups + -(-devices // page)
                made = api.requests()
                self.assertLessEqual(len(made), allowed, "\n".join(made))

    def test_detail_fleets_is_cheap(self):
        for fleets, devices in ((3, 61), (200, 4000)):
            with self.subTest(fleets=fleets, devices=devices):
                api = self.api(fleets=fleets, devices=devices)
                api.reset_log()
                series = lib.parse_text(once(api, "--detail", "fleets"))
                made = api.requests()
                self.assertLessEqual(len(made), 4, "\n".join(made))
                shown = {dict(labels)["fleet"]: value
                         for labels, value in lib.values_of(series, "balena_fleet_devices").items()}
                known = {fleet["slug"]: fleet["devices"] for fleet in api.truth()["fleets"]}
                self.assertEqual({slug: shown.get(slug) for slug in known}, known)
                online = {dict(labels)["fleet"]: value
                          for labels, value in lib.values_of(series, "balena_devices_online").items()}
                self.assertEqual(online, {fleet["slug"]: fleet["online"] for fleet in api.truth()["fleets"]})
                self.assertFalse([name for name, labels in series if name.startswith("balena_device_")])

    def test_promtool_finds_nothing(self):
        lib.require("prometheus")
        text = once(self.api())
        check = subprocess.run([lib.find("promtool"), "check", "metrics"], input=text.encode(),
                               capture_output=True, timeout=60, check=False)
        self.assertEqual((check.returncode, check.stdout.decode() + check.stderr.decode()), (0, ""))


if __name__ == "__main__":
    lib.main()
