#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena --once against the fake API, no agent between: every series against the fake's own
truth, the price of a crawl in requests, and promtool's opinion of the text."""
import base64
import json
import queue
import re
import subprocess
import threading
import time
import urllib.parse

import e2e_lib as lib

EVERYTHING = ("--metrics", "@all", "--detail", "services", "--info-tags", "site, Site-ID nothing")
INFO_TAGS = ("site", "Site-ID", "nothing")


def command(api, *arguments):
    token_file = api.directory / "token"
    token_file.write_text(lib.TOKEN + "\n")
    return [lib.execd_path(), "--api-url", api.url, "--token-file", token_file, "--start-jitter", "0", *arguments]


def once_with_log(api, *arguments):
    """(the Prometheus text of one crawl, what went to stderr)."""
    run = lib.run(*command(api, "--once", "--format", "prometheus", *arguments))
    if run.returncode != 0:
        raise AssertionError("exit status %d: %s" % (run.returncode, run.stderr.decode()))
    return run.stdout.decode(), run.stderr.decode()


def once(api, *arguments):
    return once_with_log(api, *arguments)[0]


def of_crawl(series, name, **labels):
    """The value of a metric of the crawl, named without "balena_"."""
    return series["balena_" + name, frozenset({"account": "default", **labels}.items())]


def names_of(series):
    return {name for name, labels in series}


class OnceTest(lib.AgentTest):
    def check(self, expected, series):
        """All that is expected about fleets and devices, and nothing else."""
        lib.compare(expected, series, names_of(lib.of_the_world(series)) | names_of(expected))


class Once(OnceTest):
    def check_all(self, api, *arguments):
        """All that a crawl must show and nothing else; returns the series."""
        rows, truth = api.devices(), api.truth()
        series = lib.parse_text(once(api, *arguments))
        self.check({**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}, series)
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
        self.assertEqual(promtool(once(self.api())), (0, ""))

    def test_promtool_finds_nothing_odd(self):
        lib.require("prometheus")
        api = self.api("--cloud", "--odd", "many", fleets=6, devices=400, seed=11)
        self.assertEqual(promtool(once(api, *EVERYTHING)), (0, ""))


def promtool(text):
    check = subprocess.run([lib.find("promtool"), "check", "metrics"], input=text.encode(),
                           capture_output=True, timeout=60, check=False)
    return check.returncode, check.stdout.decode() + check.stderr.decode()


def everything(rows, truth, keep=False):
    """What a crawl with EVERYTHING must show about fleets and devices."""
    return {**lib.expected_devices(rows, lib.ALL, truth["cloud"], keep),
            **lib.expected_device_infos(rows, INFO_TAGS), **lib.expected_services(rows, keep=keep),
            **lib.expected_fleets(rows, truth, services=True, optional=True, tags=INFO_TAGS, keep=keep)}


class Everything(OnceTest):
    """Every metric there is, of a world where everything is odd."""

    WORLD = {"fleets": 6, "devices": 400, "seed": 11}

    def test_every_series(self):
        for arguments in (("--cloud", "--odd", "many"), ("--odd", "many"), ()):
            with self.subTest(world=arguments):
                api = self.api(*arguments, **self.WORLD)
                rows, truth = api.devices(), api.truth()
                series = lib.parse_text(once(api, *EVERYTHING))
                self.check(everything(rows, truth), series)
                self.check_crawl(series, rows, truth)

    def check_crawl(self, series, rows, truth):
        """What the crawl says of itself: what it read, dropped, replaced and withheld."""
        for name, value in (("success", 1), ("fleets", len(truth["fleets"])), ("fleets_failed", 0),
                            ("devices", len(rows)), ("unmatched_patterns", 0), ("detail_reduced", 0),
                            ("ignored_triggers", 0)):
            self.assertEqual(of_crawl(series, "crawl_" + name), value, name)
        for name in ("moves_total", "membership_errors_total"):
            self.assertEqual(of_crawl(series, "shard_" + name), 0)
        installs = [install for row in rows for install in lib.current_installs(row).values()]
        numbers = set(lib.RANGES) - {"download_progress"}
        if not truth["cloud"]:
            numbers -= {"latitude", "longitude", "custom_latitude", "custom_longitude"}
        words = sum(row["overall_status"] not in lib.STATUS for row in rows)
        words += sum(row["update_status"] not in lib.UPDATE + [None] for row in rows)
        words += sum(install["status"] not in lib.SERVICE for install in installs)
        words += sum(fleet["latest_release_status"] not in lib.RELEASE + [None] for fleet in truth["fleets"])
        rejected = {**lib.rejections(rows, numbers, installs=True), "unknown_word": words, "too_long": 0}
        withheld = {"stale": lib.stale_values(rows, lib.ALL, lib.SERVICE_METRICS), "inconsistent": 0, "agent": 0,
                    "superseded": lib.superseded_values(rows, lib.SERVICE_METRICS), "capped": 0,
                    "paced": 0, "shortened": 0}
        self.assertGreater(withheld["stale"], 0)
        for metric, counts in (("api_rejected_values_total", rejected), ("crawl_withheld_values", withheld)):
            shown = {dict(labels)["reason"]: value
                     for labels, value in lib.values_of(series, "balena_" + metric).items()}
            self.assertEqual(shown, counts, metric)

    def test_the_world_is_as_odd_as_it_should_be(self):
        api = self.api("--cloud", "--odd", "many", **self.WORLD)
        rows, truth = api.devices(), api.truth()
        expected = everything(rows, truth)
        self.assertLessEqual({"balena_device_" + name for name in lib.ALL}, names_of(expected))
        self.assertLessEqual({"balena_fleet_" + name for name in lib.FLEET_OPTIONAL}, names_of(expected))
        self.assertLessEqual({"balena_device_service_" + name for name in lib.SERVICE_METRICS}, names_of(expected))
        others = [value for labels, value in lib.values_of(expected, "balena_fleet_devices_by_os_version").items()
                  if ("os_version", "other") in labels]
        said = sum(row["os_version"] == "other" for row in rows)
        self.assertGreater(sum(others), said)          # more versions than are named
        self.assertGreater(said, 0)
        labels = {name for _, labels in expected for name, _ in labels}
        self.assertLessEqual({"tag_site", "tag_site_id", "service_status"}, labels)
        for name in ("os", "supervisor"):
            values = lib.values_of(expected, "balena_device_%s_update_pending" % name).values()
            self.assertEqual(set(values), {0, 1}, name)

    def test_v6_tells_the_same(self):
        api = self.api("--odd", "many", "--v6-only", **self.WORLD)
        rows, truth = api.devices(), api.truth()
        seen = lib.seen_by(rows, 6)
        series = lib.parse_text(once(api, *EVERYTHING))
        self.check(everything(seen, truth), series)
        self.assertEqual(of_crawl(series, "crawl_api_version"), 6)
        # What v6 cannot tell.
        self.assertFalse(names_of(series) & {"balena_device_heartbeat_changed_timestamp_seconds",
                                             "balena_device_supervisor_update_pending"})
        twin = self.api("--odd", "many", "--v7-only", **self.WORLD)
        self.assertEqual(twin.truth(), truth)
        newer = lib.parse_text(once(twin, *EVERYTHING))
        self.assertEqual(of_crawl(newer, "crawl_api_version"), 7)
        # What both tell they tell alike; only since when a device is away can be an earlier time.
        since = "balena_device_offline_since_timestamp_seconds"
        shared = {key: value for key, value in lib.of_the_world(newer).items()
                  if key[0] in names_of(series) and key[0] != since}
        self.assertGreater(len(shared), 5000)
        self.check_same(shared, {key: value for key, value in lib.of_the_world(series).items() if key[0] != since})
        for labels, value in lib.values_of(series, since).items():
            self.assertLessEqual(value, newer[since, labels])

    def check_same(self, one, other):
        lib.compare(one, other, names_of(one) | names_of(other))

    def test_stale_values_kept(self):
        api = self.api("--cloud", "--odd", "many", **self.WORLD)
        rows, truth = api.devices(), api.truth()
        series = lib.parse_text(once(api, *EVERYTHING, "--stale-values", "keep"))
        expected = everything(rows, truth, keep=True)
        self.assertGreater(len(expected), len(lib.expected_devices(rows, lib.ALL, truth["cloud"])) + 100)
        lib.compare(expected, series)
        self.assertEqual(of_crawl(series, "crawl_withheld_values", reason="stale"), 0)

    def test_top_versions(self):
        api = self.api("--odd", "many", **self.WORLD)
        rows, truth = api.devices(), api.truth()
        wanted = {"balena_fleet_devices_by_" + what
                  for what in ("release", "os_version", "supervisor_version", "device_type")}
        for top in (3, 200):
            with self.subTest(top=top):
                series = lib.parse_text(once(api, "--top-versions", str(top)))
                expected = {key: value for key, value in lib.expected_fleets(rows, truth, top=top).items()
                            if key[0] in wanted}
                lib.compare(expected, series)

    def test_target_release_that_nobody_runs_is_named(self):
        api = self.api()
        fleet = api.truth()["fleets"][0]
        for row in api.devices():
            if row["fleet"] == fleet["slug"]:
                api.set(device_remove=row["id"])
        series = lib.parse_text(once(api))
        shown = {dict(labels)["release"]: value
                 for labels, value in lib.values_of(series, "balena_fleet_devices_by_release").items()
                 if ("fleet", fleet["slug"]) in labels}
        self.assertEqual(shown, {fleet["target_release"]["raw_version"]: 0, "other": 0, "none": 0})


class Catalogue(OnceTest):
    """Each metric of the catalogue is emitted, and with the right value."""

    def session_token(self, api, expiry):
        """A session token (JWT) in a file; what is signed by it nobody here checks."""
        def part(value):
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
        token = ".".join((part({"alg": "HS256"}), part({"id": 1, "exp": expiry}), "c2lnbmF0dXJl"))
        api.set(tokens=[token])
        path = api.directory / "session"
        path.write_text(token)
        return str(path)

    def test_every_metric(self):
        api = self.api("--cloud", "--odd", "many", **Everything.WORLD)
        rows, truth = api.devices(), api.truth()
        token_file = self.session_token(api, 4102444800)
        api.reset_log()
        started = time.time()
        series = lib.parse_text(once(api, *EVERYTHING, "--token-file", token_file))
        ended = time.time()
        log = [json.loads(line) for line in lib.http_get(api.url + "/_fake/log").decode().splitlines()]
        proven = names_of(everything(rows, truth))
        self.check(everything(rows, truth), series)

        def exactly(name, value, **labels):
            self.assertEqual(of_crawl(series, name, **labels), value, name)
            proven.add("balena_" + name)

        def between(name, low, high):
            self.assertTrue(low <= of_crawl(series, name) <= high, (name, of_crawl(series, name), low, high))
            proven.add("balena_" + name)
        for name, value in (("success", 1), ("interval_seconds", 60), ("fleets", len(truth["fleets"])),
                            ("fleets_failed", 0), ("devices", len(rows)), ("unmatched_patterns", 0),
                            ("ignored_triggers", 0), ("detail_reduced", 0), ("token_valid", 1),
                            ("token_expiry_timestamp_seconds", 4102444800), ("api_version", 7),
                            ("shard_index", 0), ("shards", 1)):
            exactly("crawl_" + name, value)
        between("crawl_last_success_timestamp_seconds", started - 0.001, ended)
        between("crawl_duration_seconds", 0, ended - started)
        version = subprocess.run([lib.execd_path(), "--version"], capture_output=True, check=True, timeout=20)
        exactly("crawl_info", 1, version=version.stdout.decode().split()[-1])
        for result, codes in (("ok", (200,)), ("client_error", (400, 500)), ("auth", (401,)), ("throttled", (429,)),
                              ("server_error", ()), ("timeout", ()), ("network", ()), ("garbage", ())):
            exactly("api_requests_total", sum(entry["status"] in codes for entry in log), result=result)
        # What came over the wire: the bodies, and some hundred bytes of headers each.
        bodies = sum(entry["bytes"] for entry in log)
        between("api_received_bytes_total", bodies + 100 * len(log), bodies + 1000 * len(log))
        exactly("api_retries_total", 0)
        exactly("api_throttled_seconds_total", 0)
        exactly("shard_moves_total", 0)
        exactly("shard_membership_errors_total", 0)
        Everything.check_crawl(self, series, rows, truth)
        proven |= {"balena_crawl_withheld_values", "balena_api_rejected_values_total"}
        listed = subprocess.run([lib.execd_path(), "--list-metrics"], capture_output=True, check=True, timeout=20)
        self.assertEqual(set(re.findall(r"^\| `(balena_\w+)`", listed.stdout.decode(), re.M)), proven)


class Accounting(OnceTest):
    """Nothing is lost without being counted: what the API gives is shown, rejected or withheld."""

    def setUp(self):
        self.fake = self.api("--cloud", "--odd", "many", fleets=6, devices=400, seed=12)
        self.rows = self.fake.devices()

    def test_every_value_of_a_field(self):
        metrics = ["balena_device_" + name for name in lib.ONE_FIELD]
        for version in (7, 6):
            with self.subTest(version=version):
                self.fake.set(versions=[version])
                fields = lib.ONE_FIELD.values()
                given = sum(row[field] is not None for row in lib.seen_by(self.rows, version) for field in fields)
                series = lib.parse_text(once(self.fake, "--metrics", " ".join(metrics)))
                self.assertLessEqual(names_of(lib.of_the_world(series)), set(metrics))
                rejected = {reason: of_crawl(series, "api_rejected_values_total", reason=reason)
                            for reason in ("type", "range")}
                stale = of_crawl(series, "crawl_withheld_values", reason="stale")
                self.assertEqual(len(lib.of_the_world(series)) + sum(rejected.values()) + stale, given)
                self.assertEqual(rejected, lib.rejections(self.rows, fields))
                self.assertEqual(stale, lib.stale_values(self.rows, lib.ONE_FIELD))
                self.assertGreater(min(rejected["range"], stale), 20)

    def test_every_install_of_a_service(self):
        metric = "balena_device_service_status_code"
        series = lib.parse_text(once(self.fake, "--detail", "services", "--metrics", metric))
        shown = lib.of_the_world(series)
        self.assertEqual(names_of(shown), {metric})
        stale, superseded = (of_crawl(series, "crawl_withheld_values", reason=reason)
                             for reason in ("stale", "superseded"))
        self.assertEqual(len(shown) + stale + superseded, sum(len(lib.live_installs(row)) for row in self.rows))
        self.assertEqual(stale, lib.stale_values(self.rows, (), {"status_code"}))
        self.assertGreater(min(stale, superseded), 5)
        series = lib.parse_text(once(self.fake, "--detail", "services", "--metrics", "balena_device_service_*"))
        self.assertEqual(of_crawl(series, "crawl_withheld_values", reason="stale"),
                         lib.stale_values(self.rows, (), lib.SERVICE_METRICS))
        self.assertEqual(of_crawl(series, "crawl_withheld_values", reason="superseded"),
                         lib.superseded_values(self.rows, lib.SERVICE_METRICS))
        self.check(lib.expected_services(self.rows), series)

    def test_ratios_are_counted_too(self):
        metrics = {"storage_usage_ratio", "memory_usage_ratio"}
        series = lib.parse_text(once(self.fake, "--metrics", "balena_device_*_usage_ratio"))
        self.assertEqual(of_crawl(series, "crawl_withheld_values", reason="stale"),
                         lib.stale_values(self.rows, metrics | {"cpu_usage_ratio"}))

    def test_unknown_words_are_said_once_and_counted(self):
        text, log = once_with_log(self.fake)
        series = lib.parse_text(text)
        for word in ("hibernating", "reticulating"):
            self.assertEqual(log.count(word), 1, log)
        hibernating = [row for row in self.rows if row["overall_status"] == "hibernating"]
        self.assertGreater(len(hibernating), 3)
        for row in hibernating:
            labels = lib.of_fleet(row["fleet"] or "none", device_uuid=row["uuid"])
            self.assertEqual(series["balena_device_status_code", labels], 0)
        others = [value for labels, value in lib.values_of(series, "balena_fleet_devices_by_status").items()
                  if ("status", "other") in labels]
        self.assertEqual(sum(others), len(hibernating))


def tag_values(row, key):
    return [tag["value"] for tag in row["device_tag"] if tag["tag_key"] == key]


def asked_for(target):
    """(the names of the first $select, {option: text}) of a request."""
    options = dict(part.split("=", 1) for part in target.partition("?")[2].split("&"))
    return set(options["$select"].split(",")), options


class Selection(OnceTest):
    def check_chosen(self, api, arguments, wanted, fleetless):
        rows, truth = lib.chosen(api.devices(), api.truth(), wanted, fleetless)
        text, log = once_with_log(api, *arguments)
        series = lib.parse_text(text)
        self.check({**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}, series)
        self.assertEqual(of_crawl(series, "crawl_fleets"), len(truth["fleets"]))
        self.assertEqual(of_crawl(series, "crawl_devices"), len(rows))
        self.assertEqual(of_crawl(series, "crawl_unmatched_patterns"), 0)
        self.assertNotIn("match", log)
        self.assertTrue(truth["fleets"])

    def test_fleets_by_slug(self):
        api = self.api(fleets=6, devices=200, seed=5)
        self.assertEqual({fleet["org"] for fleet in api.truth()["fleets"]}, {"admin", "acme", "northwind_2"})
        for arguments, wanted, fleetless in (
                (["--fleet", "admin/*"], lambda fleet: fleet["org"] == "admin", False),
                (["--fleet", "*/edge-camera?", "--fleet", "none"],
                 lambda fleet: fleet["app_name"] == "edge-cameras", True),
                (["--fleet", "acme/*, northwind_2/*"], lambda fleet: fleet["org"] != "admin", False),
                (["--exclude-fleet", "admin/*"], lambda fleet: fleet["org"] != "admin", True),
                (["--exclude-fleet", "none"], lambda fleet: True, False),
                (["--fleet", "a*", "--exclude-fleet", "*/empty-*"],
                 lambda fleet: fleet["slug"][0] == "a" and "empty" not in fleet["slug"], False)):
            with self.subTest(arguments):
                self.check_chosen(api, arguments, wanted, fleetless)

    def test_fleets_by_organization(self):
        # A device of no fleet is of no organization: none here.
        api = self.api("--orphans", 0, fleets=6, devices=200, seed=5)
        for arguments, wanted in (
                (["--organization", "ac?e"], lambda fleet: fleet["org"] == "acme"),
                (["--organization", "admin", "--organization", "north*"], lambda fleet: fleet["org"] != "acme"),
                (["--exclude-organization", "admin"], lambda fleet: fleet["org"] != "admin"),
                (["--organization", "a*", "--exclude-organization", "acme", "--exclude-fleet", "*/kiosk-*"],
                 lambda fleet: fleet["org"] == "admin" and "kiosk" not in fleet["slug"])):
            with self.subTest(arguments):
                self.check_chosen(api, arguments, wanted, False)

    def test_patterns_that_match_nothing(self):
        api = self.api(fleets=6, devices=100)
        text, log = once_with_log(
            api, "--fleet", "admin/*", "--fleet", "nothing/*", "--exclude-fleet", "never/x-?", "--organization", "adm*",
            "--exclude-organization", "nobody_7", "--exclude-organization", "acme")
        self.assertEqual(of_crawl(lib.parse_text(text), "crawl_unmatched_patterns"), 3)
        for pattern in ("nothing/*", "never/x-?", "nobody_7"):
            self.assertIn(pattern, log)
        self.assertNotIn("adm*", log)
        self.assertEqual(of_crawl(lib.parse_text(text), "crawl_success"), 1)

    def check_tag(self, api, tag, has):
        rows, truth = [row for row in api.devices() if has(row)], api.truth()
        key, equals, value = tag.partition("=")

        def quoted(part):
            return "'" + urllib.parse.quote(part.replace("'", "''"), safe="") + "'"
        condition = "device_tag/any(t:t/tag_key%20eq%20" + quoted(key)
        condition += ("%20and%20t/value%20eq%20" + quoted(value) if equals else "") + ")"
        api.reset_log()
        series = lib.parse_text(once(api, "--device-tag", tag))
        self.check({**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}, series)
        self.assertEqual(of_crawl(series, "crawl_devices"), len(rows))
        made = api.requests()
        self.assertFalse([target for target in made if condition not in target], condition)
        # The same from counts alone.
        series = lib.parse_text(once(api, "--device-tag", tag, "--detail", "fleets"))
        for fleet in truth["fleets"]:
            of_it = [row for row in rows if row["fleet"] == fleet["slug"]]
            self.assertEqual(series["balena_fleet_devices", lib.of_fleet(fleet["slug"])], len(of_it))
            for word, count in lib.by_word(of_it, lib.CONNECTION, lib.connection, None).items():
                labels = lib.of_fleet(fleet["slug"], connection=word)
                self.assertEqual(series["balena_fleet_devices_by_connection", labels], count, (fleet["slug"], word))
            labels = lib.of_fleet(fleet["slug"], fleet_name=fleet["app_name"])
            self.assertEqual(series["balena_devices_online", labels], sum(row["is_online"] for row in of_it))
        return rows

    def test_devices_by_tag(self):
        api = self.api("--odd", "many", fleets=5, devices=300, seed=6)
        value = 'Zürich "Süd", O\'Neil=1'
        for tag, has in (("site", lambda row: tag_values(row, "site")),
                         ("site=berlin", lambda row: "berlin" in tag_values(row, "site")),
                         ("site=" + value, lambda row: value in tag_values(row, "site")),
                         ("Site-ID", lambda row: tag_values(row, "Site-ID"))):
            with self.subTest(tag):
                self.assertGreater(len(self.check_tag(api, tag, has)), 5)
        # A key with a '=' cannot be said: this is another key.
        self.assertEqual(self.check_tag(api, 'odd=key,"x"', lambda row: False), [])

    def test_devices_by_tag_in_small_pages(self):
        api = self.api(fleets=3, devices=300, seed=6)
        rows = [row for row in api.devices() if tag_values(row, "site")]
        self.assertGreater(len(rows), 80)
        for arguments in ((), ("--v6-only",)):
            api = self.api(*arguments, fleets=3, devices=300, seed=6)
            series = lib.parse_text(once(api, "--device-tag", "site", "--page-size", "20"))
            seen = lib.seen_by(rows, 6 if arguments else 7)
            lib.compare(lib.expected_devices(seen), series)

    def test_archived_fleets(self):
        api = self.api(devices=100)
        archived = api.truth()["archived"][0]
        for row in api.devices()[:20]:
            api.set(device=row["id"], fields={"belongs_to__application": archived["id"]})
        self.check_chosen(api, [], lambda fleet: True, True)
        rows, truth = api.devices(), api.truth()
        truth["fleets"] += truth["archived"]
        api.reset_log()
        series = lib.parse_text(once(api, "--archived-fleets", "true"))
        self.check({**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}, series)
        self.assertEqual(series["balena_fleet_devices", lib.of_fleet(archived["slug"])], 20)
        self.assertFalse([target for target in api.requests() if "is_archived" in target])

    def test_what_no_metric_needs_is_not_asked_for(self):
        api = self.api()
        always = {"id", "uuid", "belongs_to__application"}
        state = {"overall_status", "is_connected_to_vpn", "api_heartbeat_state", "last_connectivity_event"}
        for metrics, fields in (
                ("balena_device_up", state), ("balena_device_cpu_temperature_celsius", state | {"cpu_temp"}),
                ("balena_device_heartbeat_code", {"api_heartbeat_state"}),
                ("balena_device_created_timestamp_seconds", {"created_at"}),
                ("balena_fleet_devices", set()), ("balena_fleet_devices_by_status", {"overall_status"}),
                ("balena_device_memory_usage_ratio balena_device_pinned",
                 state | {"memory_usage", "memory_total", "is_pinned_on__release"})):
            with self.subTest(metrics):
                api.reset_log()
                series = lib.parse_text(once(api, "--metrics", metrics))
                self.assertEqual(names_of(lib.of_the_world(series)), set(metrics.split()))
                devices = [target for target in api.requests() if target.startswith("/v7/device?")]
                self.assertTrue(devices)
                for target in devices:
                    selected, options = asked_for(target)
                    self.assertEqual(selected - always, fields)
                    self.assertNotIn("$expand", options)
                for target in api.requests():
                    self.assertIsNone(re.search("owns__release|_tag|image_install", target), target)
        api.reset_log()
        once(api, "--metrics", "@all")
        self.assertFalse([target for target in api.requests() if "image_install" in target or "_tag" in target])

    def test_requests_are_of_the_form_that_was_agreed(self):
        api = self.api(devices=100)
        api.reset_log()
        once(api, "--metrics", "@all", "--detail", "services", "--info-tags", "env,site", "--device-tag", "site=berlin",
             "--page-size", "10")
        tagged = "device_tag/any(t:t/tag_key%20eq%20'site'%20and%20t/value%20eq%20'berlin')"
        made = api.requests()
        self.assertIn(
            "/v7/application?$select=id,app_name,slug,should_track_latest_release&$expand=organization($select=handle),"
            "is_for__device_type($select=slug),should_be_running__release($select=id,commit,raw_version,created_at),"
            "owns__release($select=status;$orderby=id%20desc;$top=1),"
            "application_tag($select=tag_key,value;$filter=tag_key%20in%20('env','site')),"
            "owns__device/$count($filter=" + tagged + ")&$filter=is_directly_accessible_by__user/any(dau:1%20eq%201)"
            "%20and%20is_of__class%20eq%20'fleet'%20and%20is_host%20eq%20false%20and%20is_archived%20eq%20false"
            "&$orderby=id%20asc", made)
        pages = [target for target in made if "image_install" in target]
        self.assertGreater(len(pages), 1)
        for target in pages:
            for part in ("device_tag($select=tag_key,value;$filter=tag_key%20in%20('env','site'))",
                         "image_install($select=status,download_progress,install_date,is_provided_by__release;"
                         "$filter=status%20ne%20'deleted';"
                         "$expand=image($select=id;$expand=is_a_build_of__service($select=service_name)))",
                         "should_be_operated_by__release($select=semver,revision)",
                         "should_be_managed_by__release($select=semver,revision)"):
                self.assertIn(part, target)
            self.assertRegex(target, r"&\$filter=belongs_to__application%20(in%20\([0-9,]+\)|eq%20null)%20and%20"
                             + re.escape(tagged) + r"(%20and%20id%20(gt|le)%20[0-9]+)*&\$orderby=id%20asc$")


class Bounds(OnceTest):
    def test_more_series_than_allowed(self):
        api = self.api()
        text, log = once_with_log(api, "--max-series", "100")
        reduced, fleets, free = (lib.parse_text(part) for part in (
            text, once(api, "--detail", "fleets"), once(api, "--max-series", "0")))
        self.assertEqual([of_crawl(series, "crawl_detail_reduced") for series in (reduced, fleets, free)], [1, 0, 0])
        one, other = lib.of_the_world(reduced), lib.of_the_world(fleets)
        lib.compare(other, one, names_of(one) | names_of(other))
        self.assertIn("series", log)
        self.assertFalse([name for name in names_of(one) if name.startswith("balena_device_")])
        self.assertLessEqual(len(one), 100)
        self.assertEqual(of_crawl(reduced, "crawl_success"), 1)
        rows, truth = api.devices(), api.truth()
        self.check({**lib.expected_devices(rows), **lib.expected_device_infos(rows),
                    **lib.expected_fleets(rows, truth)}, free)


class Streaming(OnceTest):
    """The program as an agent runs it: it must remember no more than it should."""

    def crawl(self, lines):
        """The lines of the next crawl, up to those about itself."""
        seen = []
        while not seen or not seen[-1].startswith("balena_crawl,") or "success=" not in seen[-1]:
            line = lines.get(timeout=lib.DEADLINE_S)
            self.assertIsNotNone(line, "it ended")
            seen.append(line)
        return seen

    def test_what_disappears_is_gone_at_once(self):
        api = self.api("--orphans", 3, fleets=4, devices=100)
        rows, truth = api.devices(), api.truth()
        gone, kept = truth["fleets"][1], truth["fleets"][0]
        lost = next(row for row in rows if row["fleet"] == kept["slug"])
        log_path = api.directory / "log"
        with open(log_path, "wb") as log:
            process = subprocess.Popen(command(api, "--min-interval", "0"), env={},
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                       preexec_fn=lib.die_with_parent)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait)
        lines = queue.SimpleQueue()

        def read():
            for line in process.stdout:
                lines.put(line.decode())
            lines.put(None)
        reader = threading.Thread(target=read)
        reader.start()
        self.addCleanup(reader.join)
        self.addCleanup(process.kill)
        # The first comes by itself: a trigger while it runs would be one more at once.
        first = "".join(self.crawl(lines))
        self.assertEqual(set(re.findall("^balena_fleet.*?,fleet=([^, ]+)", first, re.M)),
                         {fleet["slug"] for fleet in truth["fleets"]} | {"none"})
        for text in (gone["slug"], lost["uuid"], "fleet=none"):
            self.assertIn(text, first)
        api.set(fleet_remove=gone["id"])
        api.set(device_remove=lost["id"])
        for row in rows:
            if row["fleet"] is None:
                api.set(device_remove=row["id"])
        process.stdin.write(b"\n")
        process.stdin.flush()
        second = "".join(self.crawl(lines))
        for text in (gone["slug"], lost["uuid"], "fleet=none"):
            self.assertNotIn(text, second)
        left = {row["uuid"] for row in api.devices()}
        self.assertEqual(set(re.findall(",device_uuid=([0-9a-f]+)", second)), left)
        process.stdin.close()
        self.assertEqual(process.wait(lib.DEADLINE_S), 0)
        lib.check_no_token("telegraf-balena", first.encode(), second.encode(), log_path.read_bytes())


if __name__ == "__main__":
    lib.main()
