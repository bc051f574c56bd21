#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people look at: the dashboards for Grafana and the pages for Prometheus' own console. Their files
are as they should be, their queries are asked of a real Prometheus that scrapes a real collectd and a
real Telegraf, and what the pages say, read as text and by a real Chromium, is what the fake API holds.
"""
import html.parser
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import e2e_equal as equal
import e2e_lib as lib

PACK = lib.ROOT / "packaging" / "monitoring"
CONSOLES = PACK / "consoles"
FLAGS = ("--web.console.templates", CONSOLES, "--web.console.libraries", CONSOLES)
UIDS = {"balena-overview", "balena-fleet", "balena-device", "balena-crawler"}
# Grafana's names of the units that are in use.
UNITS = {"none", "short", "percentunit", "s", "celsius", "bytes", "Bps", "cps", "reqps", "dateTimeFromNow"}
WIDTH = 24
BUILT_IN = {"datasource", "__rate_interval"}
TABLE_UPDATE = {"rejected": "update rejected", "aborted": "update aborted"}


def dashboards():
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((PACK / "dashboards").glob("*.json"))}


def targets(board):
    """(panel, its query) of all panels."""
    return [(panel, target["expr"]) for panel in board["panels"] for target in panel["targets"]]


def queries():
    return {(uid, panel["title"], number): expression for uid, board in dashboards().items()
            for number, (panel, expression) in enumerate(targets(board))}


def filled(expression, **values):
    """With the variables replaced, as Grafana does; what is not said is all."""
    values = {"job": ".*", "account": ".*", "fleet": ".*", "device": ".*", "__rate_interval": "1m", **values}
    return re.sub(r"\$(job|account|fleet|device|__rate_interval)\b",
                  lambda name: values[name[1]].replace("\\", "\\\\"), expression)


def codes_of_catalogue():
    """{metric: {number: word}} of those whose meaning counts up what the numbers stand for."""
    table = subprocess.run([lib.execd_path(), "--list-metrics"], check=True, capture_output=True, text=True,
                           timeout=20).stdout
    codes = {}
    for line in table.splitlines()[2:]:
        cells = [cell.strip(" `") for cell in line.split("|")[1:-1]]
        if cells[0].endswith("_code"):
            codes[cells[0]] = {int(number): word for number, word in re.findall(r"\b(\d+) ([A-Za-z][\w -]*)", cells[6])}
    return codes


class Files(unittest.TestCase):
    def boards(self):
        boards = dashboards()
        self.assertEqual(set(boards), UIDS)
        return boards.items()

    def test_what_grafana_needs(self):
        for uid, board in self.boards():
            self.assertEqual(board["uid"], uid)
            self.assertGreaterEqual(board["schemaVersion"], 39)
            self.assertIs(board["editable"], False)
            self.assertNotIn("id", board)
            for key in ("title", "description", "tags", "time", "refresh"):
                self.assertTrue(board[key], key)
            variables = board["templating"]["list"]
            self.assertEqual((variables[0]["name"], variables[0]["type"]), ("datasource", "datasource"))
            self.assertLessEqual({"job", "account"}, {variable["name"] for variable in variables})
            for variable in variables[1:]:
                self.assertEqual(variable["datasource"]["uid"], "${datasource}")
            self.assertEqual(len({panel["id"] for panel in board["panels"]}), len(board["panels"]))

    def test_panels_say_what_they_show(self):
        for uid, board in self.boards():
            for panel in board["panels"]:
                self.assertTrue(panel["title"] and panel["description"].endswith("."), panel["title"])
                self.assertIn(panel["fieldConfig"]["defaults"]["unit"], UNITS, panel["title"])
                self.assertTrue(panel["targets"], panel["title"])
                for asked in (panel, *panel["targets"]):
                    self.assertEqual(asked["datasource"], {"type": "prometheus", "uid": "${datasource}"})
                refs = [target["refId"] for target in panel["targets"]]
                self.assertEqual(len(set(refs)), len(refs))

    def test_panels_do_not_overlap(self):
        for uid, board in self.boards():
            taken = set()
            for panel in board["panels"]:
                place = panel["gridPos"]
                self.assertLessEqual(place["x"] + place["w"], WIDTH, panel["title"])
                squares = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                           for y in range(place["y"], place["y"] + place["h"])}
                self.assertTrue(squares and not squares & taken, "%s: %s" % (uid, panel["title"]))
                taken |= squares

    def test_queries_count_once(self):
        """Each metric is in an aggregation over where it was scraped; of a counter it is the sum of rates."""
        for uid, board in self.boards():
            known = BUILT_IN | {variable["name"] for variable in board["templating"]["list"]}
            for panel, expression in targets(board):
                self.assertLessEqual(set(re.findall(r"\$([a-z_]+)", expression)), known, expression)
                self.assertLessEqual(set(re.findall(r"\}\[(.*?)\]", expression)), {"$__rate_interval"}, expression)
                selectors = re.findall(
                    r"((?:max|sum) by \([\w, ]+\) \((?:rate\()?)?\b(balena_\w+)\{([^}]*)\}", expression)
                self.assertTrue(selectors, expression)
                for outer, metric, chosen in selectors:
                    self.assertTrue(re.match(r"sum by .*\(rate\($" if metric.endswith("_total") else "max by ", outer),
                                    expression)
                    self.assertIn('job=~"$job", account=~"|$account"', chosen, expression)

    def test_links_lead_somewhere(self):
        seen = set()
        for uid, board in self.boards():
            for part in (part for panel in board["panels"] for part in panel["fieldConfig"]["overrides"]):
                for url in (link["url"] for wanted in part["properties"] if wanted["id"] == "links"
                            for link in wanted["value"]):
                    to, name = re.match(r"/d/([\w-]+)\?var-(\w+)=", url).groups()
                    self.assertIn(name, {variable["name"] for variable in dashboards()[to]["templating"]["list"]})
                    seen.add(to)
        self.assertEqual(seen, {"balena-fleet", "balena-device"})

    def test_words_are_those_of_the_catalogue(self):
        codes, seen = codes_of_catalogue(), set()
        for uid, board in self.boards():
            for panel in board["panels"]:
                by_ref = {part["matcher"]["options"]: part["properties"] for part in
                          panel["fieldConfig"]["overrides"] if part["matcher"]["id"] == "byFrameRefID"}
                for target in panel["targets"]:
                    metric = re.search(r"balena_\w+_code(?=\{)", target["expr"])
                    if not metric:
                        continue
                    own = [part["value"] for part in by_ref.get(target["refId"], ())]
                    shown = own[0] if own else panel["fieldConfig"]["defaults"]["mappings"]
                    self.assertEqual({int(number): word["text"] for number, word in shown[0]["options"].items()},
                                     codes[metric[0]], panel["title"])
                    seen.add(metric[0])
        self.assertEqual(seen, {"balena_device_%s_code" % name for name in (
            "status", "heartbeat", "update_status", "service_status")})

    def test_pages_need_nothing_from_elsewhere(self):
        for path in CONSOLES.iterdir():
            self.assertEqual(re.findall(r"<script|<link|\bsrc=|https?:", path.read_text("utf-8")), [], path.name)


# ---- pages -----------------------------------------------------------------------------------

class Page(html.parser.HTMLParser):
    """tables: {id: rows of texts}; texts: {id: text}, of a page of the console."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.texts, self.rows, self.cell, self.id, self.elements = {}, {}, None, None, None, set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.add((tag, attrs.get("id")))
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["id"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.cell = True
        elif tag in ("p", "strong", "h1"):
            self.id = attrs.get("id", tag)
            self.texts[self.id] = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = None
        elif tag in ("p", "strong", "h1"):
            self.id = None

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data
        elif self.id:
            self.texts[self.id] += data


def fetched(prometheus, page, **parameters):
    return lib.http_get(prometheus.url + "/consoles/" + page + "?" + urllib.parse.urlencode(parameters)).decode()


def share(part, whole):
    return "%.4g%%" % (100 * part / whole)


def fleet_row(rows, account, slug):
    sums = lib.fleet_values(rows, True)

    def of(name, word):
        return sums["devices_by_" + name, ((name, word),)]
    known = len(rows) - of("rollout", "unknown")
    return ["%s %s" % (slug, account) if account else slug, *(str(int(value)) for value in (
        len(rows), of("connection", "connected"), of("connection", "disconnected"),
        of("status", "reduced-functionality"), of("status", "updating"), of("rollout", "pending"))),
        share(of("rollout", "on_target"), known) if known else "\u2013"]


def status_word(row):
    return row["overall_status"] if row["overall_status"] in lib.STATUS else "other"


def problems(rows):
    """[(device, UUID, problem)] of the devices of a fleet that are not well."""
    found = []
    for row in rows:
        values = lib.device_values(row)
        lost = values.get("up") == 0 or "offline_since_timestamp_seconds" in values
        update = {lib.code(lib.UPDATE, word): problem for word, problem in TABLE_UPDATE.items()}
        found += [(lib.clean(row["device_name"]), row["uuid"], problem) for there, problem in (
            (lost, "disconnected"), (row["overall_status"] == "reduced-functionality", "reduced functionality"),
            (values.get("update_status_code") in update, update.get(values.get("update_status_code"))),
            (values.get("storage_usage_ratio", 0) > 0.9, "storage almost full"),
            (values.get("undervolted") == 1, "undervolted")) if there]
    return found


class Live(equal.Stack):
    prometheus_flags = FLAGS
    # Of a fleet with nothing odd in it, whatever the seed makes: all that a page can say of a device, names too.
    ODD_NAME = "<i id=bad>&amp;\"'"
    STATES = (
        {"device_name": ODD_NAME, "is_connected_to_vpn": False, "api_heartbeat_state": "offline",
         "overall_status": "disconnected"},
        {"overall_status": "reduced-functionality", "is_connected_to_vpn": True, "api_heartbeat_state": "timeout",
         "update_status": "rejected", "overall_progress": 40, "is_undervolted": True, "storage_usage": 95,
         "storage_total": 100, "cpu_usage": 20, "cpu_temp": 50, "memory_usage": 10, "memory_total": 100})

    @classmethod
    def prepare(cls, apis):
        for api in apis:
            counts = {}
            for row in api.devices():
                counts.setdefault(row["fleet"], []).append(row)
            slugs = [fleet["slug"] for fleet in api.truth()["fleets"]]
            cls.fleet = slugs[1]
            fleet_id = api.truth()["fleets"][1]["id"]
            for row, state in zip(counts[slugs[0]][-2:], cls.STATES):
                api.set(device=row["id"], fields={**state, "belongs_to__application": fleet_id})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = {}
        for account, world in equal.ACCOUNTS.items():
            for row in cls.apis[world].devices():
                label = account if account in equal.LABELLED else ""
                cls.rows.setdefault((label, row["fleet"] or "none"), []).append(row)
        lib.wait_for("second scrape of each counter, for their rates", lambda: not cls.prometheus.query(
            'count_over_time({__name__=~"balena_.+_total"}[1m]) < 2'), cls.alive)
        # What collectd has to cut is known by another name there, and not looked at here.
        cls.slugs = sorted(slug for slug in {fleet["slug"] for api in cls.apis for fleet in api.truth()["fleets"]}
                           if len(slug) < 60)

    # Dashboards.

    def test_promtool_reads_the_queries(self):
        with tempfile.TemporaryDirectory(prefix="balenacrawl-e2e-") as directory:
            rules = pathlib.Path(directory) / "rules.yml"  # JSON is YAML
            rules.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": [
                {"record": "query:%d" % number, "expr": filled(expression)}
                for number, expression in enumerate(queries().values())]}]}))
            done = subprocess.run([lib.find("promtool"), "check", "rules", "--lint=none", rules],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_query_has_an_answer(self):
        for job in (*equal.JOBS.values(), ".*"):
            silent = [key for key, expression in queries().items()
                      if not self.prometheus.query(filled(expression, job=job))]
            self.assertEqual(silent, [], job)

    def test_query_of_the_guide(self):
        text = (PACK / "README.md").read_text("utf-8")
        asked = re.findall(r"(?:^    .*balena_(?!.*sh\b).*\n|^      .*\n)+", text, re.M)
        self.assertEqual(len(asked), 1)
        answer = self.prometheus.query(asked[0])
        self.assertTrue(answer)
        self.assertTrue(all(dict(labels).get("device_name") for labels in answer))

    def test_both_agents_are_one_answer(self):
        """From either, and from both at once, the answer is the same: nothing is counted twice."""
        # Those without a "/" in a version, which is "_" in collectd.
        odd = {slug for (_, slug), rows in self.rows.items() for row in rows
               if any("/" in (row[name] or "") for name in ("os_version", "release", "supervisor_version"))}
        fleets = "|".join(re.escape(slug) for slug in self.slugs if slug not in odd)
        compared = 0
        for key, expression in queries().items():
            # What is of each crawler, of the moment, or of a label that collectd has no place for.
            if re.search(r"instance|time\(\)|rate\(|balena_device_info|balena_crawl_", expression):
                continue
            telegraf, collectd, both = (self.prometheus.query(filled(expression, job=job, fleet=fleets)) for job in (
                equal.JOBS["telegraf"], equal.JOBS["collectd"], ".*"))
            self.assertEqual(telegraf, collectd, key)
            self.assertEqual(telegraf, both, key)
            compared += bool(telegraf)
        self.assertGreater(compared, 40)

    def test_sums_are_true(self):
        """Of two accounts with equal slugs, each counts; without a label of its own an account is always there."""
        expressions = {(uid, title): expression for (uid, title, _), expression in queries().items()}
        for account in equal.LABELLED:
            rows = [row for (name, slug), of_fleet in self.rows.items() if name in (account, "") and slug in self.slugs
                    for row in of_fleet]
            chosen = {"account": re.escape(account), "fleet": "|".join(map(re.escape, self.slugs))}
            for name, title, word_of in (("connection", "Devices by connection", lib.connection),
                                         ("status", "Devices by status", status_word),
                                         ("rollout", "Rollout", lib.rollout_word)):
                uid = "balena-fleet" if name == "rollout" else "balena-overview"
                got = self.prometheus.query(filled(expressions[uid, title], **chosen))
                shown = {dict(labels)[name]: value for labels, value in got.items() if value}
                self.assertEqual(shown, {word: sum(word_of(row) == word for row in rows)
                                         for word in set(map(word_of, rows))}, title)

    def test_devices_are_chosen_by_name(self):
        """Grafana takes the name and the UUID out of the text that it makes of a series."""
        variable = [part for part in dashboards()["balena-device"]["templating"]["list"] if part["name"] == "device"][0]
        asked = re.fullmatch(r"query_result\((.*)\)", variable["query"]["query"])[1]
        found = set()
        for labels in self.prometheus.query(filled(asked, job=equal.JOBS["telegraf"])):
            text = "{%s}" % ",".join('%s="%s"' % item for item in sorted(labels))
            match = re.search(variable["regex"].strip("/").replace("(?<", "(?P<"), text)
            if match:
                found.add((match["text"], match["value"]))
        plain = {(row["device_name"], row["uuid"]) for rows in self.rows.values() for row in rows
                 if row["device_name"] == re.sub(r'["\\\x00-\x1f\x7f-\x9f]', "", row["device_name"])}
        self.assertGreater(len(plain), 50)
        self.assertLessEqual(plain, found)

    # Pages.

    def check_overview(self, page):
        expected = [fleet_row(rows, account, slug) for (account, slug), rows in sorted(self.rows.items())]
        shown = page.tables["fleets"][1:]
        self.assertEqual([row for row in expected if row not in shown], [])
        # Beside them are fleets without a device, and those that collectd had to cut.
        more = [row for row in shown if row not in expected]
        self.assertEqual([row for row in more if row[1] != "0" and not equal.HASH.search(row[0].split(" ")[0])
                          and not any(slug in row[0] for slug in equal.SLUGS)], [])
        self.assertEqual([row[0] for row in shown], sorted(
            (row[0] for row in shown), key=lambda text: text.split(" ")[::-1] if " " in text else ["", text]))
        self.assertIn("account lab.2-x was read", page.texts["read"])
        self.assertFalse({"stale", "never", "gone", "nothing"} & set(page.texts))

    def check_fleet(self, page, account):
        rows = self.rows[account, self.fleet]
        expected = problems(rows)
        shown = [tuple(row[:3]) for row in page.tables["devices"][1:]]
        # Of two names of a device, as collectd has another one for it, the page shows one.
        self.assertEqual(sorted(row[1:] for row in shown), sorted(row[1:] for row in expected))
        self.assertEqual([row for row in shown if row not in expected and row not in [
            (equal.name_for_people(name), uuid, problem) for name, uuid, problem in expected]], [])
        self.assertIn(self.ODD_NAME, [row[0] for row in shown])
        self.assertIn("for ", [row[3] for row in page.tables["devices"] if row[2] == "disconnected"][0])
        self.assertIn("95%", [row[3] for row in page.tables["devices"] if row[2] == "storage almost full"])
        sums = {tuple(row[:2]): int(row[2]) for row in page.tables["sums"][1:]}
        for name, word_of in (("connection", lib.connection), ("status", status_word), ("rollout", lib.rollout_word)):
            self.assertEqual({word: count for (kind, word), count in sums.items() if kind == name and count},
                             {word: sum(word_of(row) == word for row in rows) for word in set(map(word_of, rows))})
        self.assertNotIn(("i", "bad"), page.elements)

    def test_overview(self):
        self.check_overview(Page(fetched(self.prometheus, "balena.html")))

    def test_page_of_a_fleet(self):
        for account in ("", *equal.LABELLED):
            self.check_fleet(Page(fetched(self.prometheus, "balena-fleet.html", fleet=self.fleet, account=account)),
                             account)

    def test_links_of_the_overview(self):
        links = re.findall(r'href="(balena-fleet\.html\?[^"]+)"', fetched(self.prometheus, "balena.html"))
        self.assertGreaterEqual(len(links), len(self.rows))
        for link in links:
            text = lib.http_get(self.prometheus.url + "/consoles/" + link.replace("&amp;", "&")).decode()
            self.assertNotIn("unknown", Page(text).texts, link)

    def test_what_the_address_says_is_only_text(self):
        for fleet in ('"} or vector(1) or x{a="', "<script>alert(1)</script>", "a\\", "\u00e9\n\"", "no/such"):
            text = fetched(self.prometheus, "balena-fleet.html", fleet=fleet, account=fleet)
            page = Page(text)
            self.assertIn("unknown", page.texts, fleet)
            self.assertIn("well", page.texts, fleet)
            self.assertIn(fleet.strip(), page.texts["h1"].replace("\r", ""), fleet)
            self.assertNotIn("script", {tag for tag, _ in page.elements})

    def test_in_a_browser(self):
        """A real browser makes the same of the pages; what it drew is kept beside Meson's logs."""
        lib.require("chromium")
        for name, address, check in (
                ("overview", "balena.html", self.check_overview),
                ("fleet", "balena-fleet.html?" + urllib.parse.urlencode({"fleet": self.fleet}),
                 lambda page: self.check_fleet(page, ""))):
            check(Page(self.browse(address, "--dump-dom")))
            picture = lib.BUILD / "meson-logs" / ("console-%s.png" % name)
            picture.parent.mkdir(exist_ok=True)
            picture.unlink(missing_ok=True)
            self.browse(address, "--screenshot=%s" % picture, "--window-size=1200,1600")
            self.assertEqual(picture.read_bytes()[:4], b"\x89PNG")

    def browse(self, address, *flags):
        with tempfile.TemporaryDirectory(prefix="balenacrawl-e2e-") as home:
            done = subprocess.run([
                lib.find("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--user-data-dir=" + home, *flags, self.prometheus.url + "/consoles/" + address],
                capture_output=True, timeout=lib.DEADLINE_S, check=True, env={**os.environ, "HOME": home},
                preexec_fn=lib.die_with_parent)
        return done.stdout.decode()


class Freshness(unittest.TestCase):
    """What no agent of a minute's age shows: data that is old, or none."""

    def page_of(self, text):
        prometheus = equal.of_page(self, "telegraf", text, *FLAGS)
        lib.wait_for("answer", lambda: prometheus.query("scrape_samples_post_metric_relabeling > 0"), [prometheus])
        return Page(fetched(prometheus, "balena.html"))

    def setUp(self):
        lib.require("prometheus")

    def test_old(self):
        page = self.page_of("".join(
            'balena_crawl_success{account="%s"} %d\nbalena_crawl_interval_seconds{account="%s"} 300\n%s' % (
                account, success, account, "" if age is None else
                'balena_crawl_last_success_timestamp_seconds{account="%s"} %d\n' % (account, time.time() - age))
            for account, success, age in (("good", 1, 800), ("old", 0, 1000), ("new", 0, None))) +
            'balena_fleet_crawl_success{fleet="a/b"} 0\n')
        self.assertIn("account old was last read 16m", page.texts["stale"])
        self.assertNotIn("good", page.texts["stale"])
        self.assertIn("Account new was not read yet", page.texts["never"])
        self.assertEqual(page.tables["fleets"][1:], [["a/b", *["\u2013"] * 7, "not read"]])

    def test_shards(self):
        """Of twins the newest says how old an account is, of shards the oldest, of what knows no number the newest."""
        ages = {"shards": ((0, 10), (1, 5000), (1, 3000), (None, 20)), "twins": ((0, 4000), (0, 20)),
                "unknown": ((None, 6000), (None, 30))}
        text = ""
        for account, crawlers in ages.items():
            for number, (shard, age) in enumerate(crawlers):
                labels = '{account="%s",instance="%d"} %%d\n' % (account, number)
                text += "balena_crawl_last_success_timestamp_seconds" + labels % (time.time() - age)
                text += "balena_crawl_interval_seconds" + labels % 60
                text += "" if shard is None else "balena_crawl_shard_index" + labels % shard
        prometheus = lib.Prometheus({"t": equal.served(self, text)}, *FLAGS, more={"t": {"honor_labels": True}})
        self.addCleanup(prometheus.close)
        shown_by = {title: expression for (uid, title, _), expression in queries().items() if uid == "balena-crawler"}
        shown = lib.wait_for("answer", lambda: prometheus.query(filled(shown_by["Age of the data"])), [prometheus])
        for account, age in ("shards", 3000), ("twins", 20), ("unknown", 30):
            self.assertAlmostEqual(shown[frozenset({("account", account)})], age, delta=lib.DEADLINE_S)
        page = Page(fetched(prometheus, "balena.html"))
        self.assertRegex(page.texts["stale"], r"account shards was last read 5\dm")
        for account in "twins", "unknown":
            self.assertNotIn(account, page.texts["stale"])

    def test_nothing(self):
        page = self.page_of("other 1\n")
        self.assertIn("There are no balena metrics", page.texts["nothing"])


if __name__ == "__main__":
    lib.main("collectd", "telegraf", "prometheus")
