#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One series from either agent: a real collectd and a real Telegraf crawl the same fake APIs, Debian's
Prometheus scrapes both with the files of packaging/monitoring/prometheus as they are shipped (but
for the address and the pace), and what it then knows from the one is what it knows from the other:
the same set of series and the same values to the last digit, "job" and "instance" left out.

What may differ, and nothing else:
  - The labels that info metrics lose in collectd: those it keeps are compared. They are names for
    people, in which collectd has "_" for "/", and which cannot end in "\\" in Telegraf.
  - Identities over 127 bytes, which collectd cuts and ends in a hash: the part before the hash, the
    number of series and the values are compared, and none may have become one with another.
  - "/" inside versions, which is "_" in collectd: compared after the same replacement.
  - Sets that are switched off: here none is.
How many labels each agent had to cut, it counts; so that count differs where the labels do.
Two values are of the crawl itself and not of what it found, its duration and its end. Each agent
crawls once, so that all else that is counted about a crawl must be equal too.

Three accounts: two with fleets of equal slugs and a device of equal UUID, told apart by account-label
all, and one without that label, so that both forms of collectd's plugin instance are there.
"""
import collections
import functools
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

import e2e_lib as lib

SHIPPED = lib.ROOT / "packaging" / "monitoring" / "prometheus"
JOBS = {"collectd": "balena-collectd", "telegraf": "balena-telegraf"}
PREFIX = {"collectd": "collectd_", "telegraf": ""}
ACCOUNTS = {"prod": 0, "lab.2-x": 1, "plain": 0}   # name: which of the two worlds
LABELLED = ("prod", "lab.2-x")                     # with account-label all
INTERVAL = 3600                                    # one crawl, at the start
FEWEST = 500                                       # series of each agent
QUIET_S = 2.5                                      # twice what Telegraf waits before it writes
CUT = 127                                          # bytes that collectd keeps of a name
HASH = re.compile("[0-9a-f]{8}$")
INFOS = {"balena_device_info": "device_name", "balena_fleet_info": "fleet_name"}   # what collectd keeps
VERSIONS = ("release", "os_version", "supervisor_version", "version")
# Each crawl's own, see above.
DURATION, ENDED = "balena_crawl_duration_seconds", "balena_crawl_last_success_timestamp_seconds"


# ---- the world -------------------------------------------------------------------------------

LONG_NAME = "admin/" + "n" * 130                   # cut behind the ":", with and without an account
LONG_ORGANIZATION = "o" * 140                      # cut before it
FULL = "admin/" + "f" * (CUT - 6)                  # just fits without an account; ends like a hash
# Fleets are told apart by the hash alone.
SLUGS = [LONG_NAME + "-1", LONG_NAME + "-2", LONG_ORGANIZATION + "/one", LONG_ORGANIZATION + "/two", FULL]
NAMES = ['semi;colon, "quote" = #1', "$1 ${1} %s \\1", "none", "a:b::c", "stra\u00dfe/\u5317\u4eac", "ends in \\",
         "<i id=bad>&amp;", "\u00e9" * 90 + "-1", "\u00e9" * 90 + "-2", "x" + "\u00e9" * 90, "l" * 200]

VERSION_TEXTS = ["balenaOS 9.9/rc-1", "9" * 130 + "-1", "9" * 130 + "-2"]


@functools.lru_cache(maxsize=None)
def options_of_program():
    """{option: the values it takes}, as the program tells them."""
    table = subprocess.run([lib.execd_path(), "--list-options"], check=True, capture_output=True, text=True,
                           timeout=20).stdout
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0].lstrip("-"): row[4] for row in rows if len(row) > 4 and row[0].startswith("--")}


def crawl_options(account):
    """What both agents are told, {option: value}."""
    known = options_of_program()
    options = {"metrics": "@all", "interval": INTERVAL, "start-jitter": 0,
               "account-label": "all" if account in LABELLED else "crawl"}
    if "services" in known["detail"]:
        options["detail"] = "services"
    if "info-tags" in known:
        options["info-tags"] = "site env"
    return options


def make_odd(api, shared_uuid=None):
    """Slugs and names that are hard to carry. Returns the UUID of a device of its own."""
    fleets, rows = api.truth()["fleets"], api.devices()
    odd = fleets[-1 - len(SLUGS):-1]               # the last one has no devices
    for fleet, slug in zip(odd, SLUGS):
        api.set(fleet=fleet["id"], fields={"slug": slug})
    for place, (row, name) in enumerate(zip(rows, NAMES)):
        # A device in each of the odd fleets, whatever the seed has made.
        home = odd[place % len(SLUGS)]["id"]
        api.set(device=row["id"], fields={"device_name": name, "belongs_to__application": home})
    plain = [row for row in rows[len(NAMES):] if row["fleet"] == fleets[0]["slug"]]
    for row, version in zip(plain[1:], VERSION_TEXTS):
        api.set(device=row["id"], fields={"os_version": version})
    if shared_uuid:
        api.set(device=plain[0]["id"], fields={"uuid": shared_uuid})
    return plain[0]["uuid"]


# ---- the three programs ----------------------------------------------------------------------

def token_file(api):
    """Written once: an agent that runs already may be reading it."""
    path = api.directory / "token"
    if not path.exists():
        path.write_text(lib.TOKEN + "\n")
    return path


class Collectd(lib.Process):
    """With two more plugins, whose metrics must stay as they are."""

    def __init__(self, apis):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = lib.free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        # Without pacing of new series everything is there at once.
        known = b"newseriespersecond" in lib.plugin_path().read_bytes().lower().replace(b"-", b"")
        pacing = "NewSeriesPerSecond 0\n" if known else ""
        blocks = "".join('<Account "%s">\nTokenFile "%s"\nApiUrl "%s"\n%s%s</Account>\n' % (
            name, token_file(apis[world]), apis[world].url, pacing,
            "".join('%s "%s"\n' % (key.replace("-", ""), value) for key, value in crawl_options(name).items()))
            for name, world in ACCOUNTS.items())
        conf = directory / "collectd.conf"
        conf.write_text("""
Hostname "%s"
FQDNLookup false
BaseDir "%s"
PIDFile "%s/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
PluginDir "%s"
LoadPlugin load
LoadPlugin df
<Plugin df>
  MountPoint "/"
  ValuesPercentage true
</Plugin>
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "%d"
</Plugin>
PluginDir "%s"
LoadPlugin balena
<Plugin balena>
%s</Plugin>
""" % (lib.HOSTNAME, directory, directory, lib.COLLECTD_PLUGINS, self.port, lib.plugin_path().parent, blocks))
        super().__init__("collectd", [lib.find("collectd"), "-f", "-C", conf, "-P", directory / "pid"],
                         directory)


class Telegraf(lib.Process):
    """With another input, whose metric must keep the tag "host" that all get here."""

    def __init__(self, apis):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = lib.free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        commands = [["/bin/sh", "-c", "echo other,type=kept load=0.5; exec cat"]]
        for name, world in ACCOUNTS.items():
            # No trigger: the program's own timer, so that it crawls at the start and in an hour.
            flags = {"account": name, "api-url": apis[world].url, "token-file": token_file(apis[world]),
                     **crawl_options(name)}
            commands.append([str(lib.execd_path()), *(str(word) for key, value in flags.items()
                                                      for word in ("--" + key, value))])
        inputs = "".join('[[inputs.execd]]\n  command = %s\n  signal = "none"\n  data_format = "influx"\n'
                         % json.dumps(command) for command in commands)
        conf = directory / "telegraf.conf"
        conf.write_text("""
[agent]
  flush_interval = "1s"
  hostname = "%s"
%s%s
%s""" % (lib.HOSTNAME, lib.TELEGRAF_BUFFERS, inputs, lib.TELEGRAF_OUTPUT % (self.port, "1h")))
        super().__init__("telegraf", [lib.telegraf_path(), "--config", conf], directory)


class Prometheus(lib.Prometheus):
    """With the scrape configs that are shipped, one behind the other. `jobs`: {agent: its URL}."""

    @classmethod
    def config(cls, jobs):
        return "scrape_configs:\n" + "".join(cls.job(shipped(agent).read_text("utf-8"), url)
                                             for agent, url in jobs.items())

    @staticmethod
    def job(text, url):
        """The one job of a shipped file, scraping url every second; nothing else is changed."""
        head, job = text.split("\nscrape_configs:\n")
        assert not [line for line in head.splitlines() if not line.startswith("#")], head
        for pattern, wanted in ((r'targets: \["127\.0\.0\.1:\d+"\]',
                                 'targets: ["%s"]' % urllib.parse.urlsplit(url).netloc),
                                (r"scrape_interval: \d+s", "scrape_interval: 1s"),
                                (r"scrape_timeout: \d+s", "scrape_timeout: 1s")):
            job, count = re.subn(pattern, wanted, job)
            assert count == 1, pattern
        return job


def shipped(agent):
    return SHIPPED / ("%s.yml" % JOBS[agent])


# ---- what may differ -------------------------------------------------------------------------

Series = collections.namedtuple("Series", "name account fleet rest")   # rest: (label, value), sorted
Cut = collections.namedtuple("Cut", "begin")                            # what is left of a long name


def place_of(account, fleet):
    """The plugin instance that collectd has for these labels, before it is cut."""
    if fleet is None:
        return account
    return (account + (":" if "/" in fleet else "::") if account else "") + fleet.replace("/", ":")


def cut(text):
    """What collectd shows of a text: Cut if it has more bytes than there is room for."""
    data = text.encode()
    if len(data) <= CUT:
        return text
    keep = CUT - 8
    while data[keep] & 0xC0 == 0x80:
        keep -= 1
    return Cut(data[:keep].decode())


def uncut(text, whole):
    """The same of a text that collectd shows. whole: texts that are known to be short enough."""
    if text in whole or not CUT - 3 <= len(text.encode()) <= CUT or not HASH.search(text):
        return text
    return Cut(text[:-8])


def of_labels(labels, shorten_place, shorten):
    """A Series out of Prometheus' labels. What shares a place in collectd may be cut as one: account
    and fleet, service and its status."""
    labels = {name: value for name, value in labels if name not in ("job", "instance")}
    name, account, fleet = labels.pop("__name__"), labels.pop("account", None), labels.pop("fleet", None)
    place = shorten_place(place_of(account, fleet))
    if isinstance(place, Cut):
        account, fleet = None, place
    service = shorten(":".join(labels[label] for label in ("service_name", "service_status") if label in labels))
    if isinstance(service, Cut):
        return Series(name, account, fleet, (("service", service),))
    rest = sorted((label, shorten(value)) for label, value in labels.items())
    return Series(name, account, fleet, tuple(rest))


def name_for_people(name):
    return name.replace("/", "_").rstrip("\\")


def as_collectd_has_it(labels):
    """Telegraf's labels without what collectd has no place or no character for."""
    labels = dict(labels)
    if labels["__name__"] in INFOS:
        kept = ("__name__", "account", "fleet", "device_uuid", INFOS[labels["__name__"]])
        labels = {name: value for name, value in labels.items() if name in kept}
    return [(name, name_for_people(value) if name in INFOS.values() else
             value.replace("/", "_") if name in VERSIONS else value) for name, value in labels.items()]


def as_telegraf_has_it(labels):
    return [(name, name_for_people(value) if name in INFOS.values() else value) for name, value in labels]


def is_shortened(series):
    return series.name == "balena_crawl_withheld_values" and ("reason", "shortened") in series.rest


def is_cut(series):
    return isinstance(series.fleet, Cut) or any(isinstance(value, Cut) for label, value in series.rest)


def show(series):
    return "%s{%s}" % (series.name, ", ".join("%s=%r" % item for item in (
        ("account", series.account), ("fleet", series.fleet), *series.rest)))


# ---- the tests -------------------------------------------------------------------------------

class Stack(unittest.TestCase):
    """Both agents have crawled all accounts once, and Prometheus has scraped both."""
    prometheus_flags = ()

    @classmethod
    def prepare(cls, apis):
        """What more is to be in the two worlds."""

    @classmethod
    def setUpClass(cls):
        lib.require("collectd", "telegraf", "prometheus")
        cls.started = time.time()
        more = ["--odd", "many"] if b"many" in subprocess.run(
            [sys.executable, lib.ROOT / "tests" / "fake_api.py", "--help"], check=True, capture_output=True,
            timeout=20).stdout else []
        cls.apis = apis = [cls.begin(lib.FakeApi, "--cloud", *more, fleets=12, devices=60, seed=seed)
                           for seed in (1, 2)]
        make_odd(apis[1], shared_uuid=make_odd(apis[0]))
        cls.prepare(apis)
        cls.agents = {"collectd": cls.begin(Collectd, apis), "telegraf": cls.begin(Telegraf, apis)}
        cls.prometheus = cls.begin(Prometheus, {agent: process.url for agent, process in cls.agents.items()},
                                   *cls.prometheus_flags)
        cls.alive = [*apis, *cls.agents.values(), cls.prometheus]
        cls.raw = {agent: cls.settled(agent) for agent in cls.agents}
        cls.series = {agent: cls.scraped(agent) for agent in cls.agents}

    @classmethod
    def begin(cls, program, *arguments, **options):
        process = program(*arguments, **options)
        cls.addClassCleanup(process.close)
        return process

    @classmethod
    def settled(cls, agent):
        """What an agent shows when all its crawls have ended and nothing more comes."""
        process = cls.agents[agent]
        devices = sum(len(cls.apis[world].devices()) for world in ACCOUNTS.values())
        since = [time.monotonic(), None]

        def quiet():
            # Counted in the text: to parse it each time takes longer than the agents do.
            try:
                text = lib.http_get(process.url).decode()
            except OSError:
                return None
            counts = [len(re.findall("^%sbalena_%s" % (PREFIX[agent], name), text, re.M))
                      for name in ("crawl_success", "device_status_code", "")]
            if counts != since[1]:
                since[:] = time.monotonic(), counts
            whole = counts[:2] == [len(ACCOUNTS), devices]
            return whole and time.monotonic() - since[0] > QUIET_S and lib.parse_text(text)
        return lib.wait_for("end of the crawls of %s" % agent, quiet, cls.alive)

    @classmethod
    def scraped(cls, agent):
        """{labels: value} of a job, once Prometheus has scraped what the agent shows now. By asking it
        in one question, all are of one scrape."""
        job, count = JOBS[agent], len(cls.raw[agent])

        def whole():
            got = cls.prometheus.query('scrape_samples_scraped{job="%s"}' % job)
            return list(got.values()) == [count]
        lib.wait_for("scrape of all %d series of %s" % (count, agent), whole, cls.alive)
        return cls.prometheus.query('{job="%s"} unless {__name__=~"up|scrape_.*"}' % job)

    def balena(self, agent):
        return {labels: value for labels, value in self.series[agent].items()
                if dict(labels)["__name__"].startswith("balena_")}


class Equality(Stack):
    def foreign(self, agent):
        return {labels for labels in self.series[agent]
                if not dict(labels)["__name__"].startswith("balena_")}

    def of_accounts(self, agent, name):
        return {dict(labels)["account"]: value for labels, value in self.balena(agent).items()
                if dict(labels)["__name__"] == name}

    def both(self):
        """({Series: values} of Telegraf, the same of collectd), each as far as both can tell."""
        telegraf, collectd = collections.defaultdict(list), collections.defaultdict(list)
        places, texts = set(), set()
        for labels, value in self.balena("telegraf").items():
            labels = as_collectd_has_it(labels)
            series = of_labels(labels, cut, cut)
            telegraf[series].append(value)
            if not isinstance(series.fleet, Cut):
                places.add(place_of(series.account, series.fleet))
            texts.update(text for label, text in series.rest if not isinstance(text, Cut))
        for labels, value in self.balena("collectd").items():
            labels = as_telegraf_has_it(labels)
            series = of_labels(labels, lambda text: uncut(text, places), lambda text: uncut(text, texts))
            collectd[series].append(value)
        return telegraf, collectd

    # What is compared is enough, and is whole.

    def test_there_is_enough(self):
        for agent in JOBS:
            self.assertGreaterEqual(len(self.balena(agent)), FEWEST, agent)
            self.assertEqual(self.of_accounts(agent, "balena_crawl_success"), dict.fromkeys(ACCOUNTS, 1), agent)

    def test_no_series_became_one_with_another(self):
        """Prometheus drops all but one of what is alike after relabelling, and only warns."""
        for agent, process in self.agents.items():
            shown = [name for name, labels in self.raw[agent] if name.startswith(PREFIX[agent] + "balena_")]
            self.assertEqual(len(self.balena(agent)), len(shown), agent)
        self.assertNotIn("different value", self.prometheus.log())

    def test_crawled_once(self):
        """That of the interval makes it so, and it is in the fake's own log that it was."""
        for agent in JOBS:
            self.assertEqual(self.of_accounts(agent, "balena_crawl_interval_seconds"),
                             dict.fromkeys(ACCOUNTS, INTERVAL), agent)
        lists = [sum("/application?" in target for target in api.requests()) for api in self.apis]
        self.assertEqual(lists, [2 * list(ACCOUNTS.values()).count(world) for world in range(2)])

    # The two sides.

    def test_same_series(self):
        telegraf, collectd = self.both()
        self.differ(["only from telegraf: " + show(series) for series in telegraf if series not in collectd]
                    + ["only from collectd: " + show(series) for series in collectd if series not in telegraf])
        # Where a name was cut several have one begin: then it is their number.
        self.differ(["%d from telegraf, %d from collectd: %s" % (len(values), len(collectd[series]), show(series))
                     for series, values in telegraf.items() if len(values) != len(collectd[series])])
        # None of the exceptions is tested by there being no such thing.
        self.assertEqual([show(series) for series, values in telegraf.items()
                          if len(values) > 1 and not is_cut(series)], [])
        places = [series for series in telegraf if isinstance(series.fleet, Cut)]
        self.assertTrue([series for series in places if ":" in series.fleet.begin])
        self.assertTrue([series for series in places if series.fleet.begin.startswith("ooo")])
        self.assertTrue([series for series in telegraf if series not in places and is_cut(series)])
        for account in ("prod", "lab.2-x", None):
            for fleet in ("none", "admin/field-gateways"):
                self.assertTrue([series for series in telegraf if series[1:3] == (account, fleet)],
                                (account, fleet))

    def test_same_values(self):
        telegraf, collectd = self.both()
        self.differ(["%s: %s from telegraf, %s from collectd" % (show(series), values, collectd[series])
                     for series, values in telegraf.items() if series in collectd
                     and series.name not in (DURATION, ENDED) and not is_shortened(series)
                     and sorted(values) != sorted(collectd[series])])

    def test_each_counts_what_it_cuts(self):
        """How many labels an agent had to cut is what the two differ in, and each says it."""
        for side in self.both():
            counts = [value for series, values in side.items() if is_shortened(series) for value in values]
            self.assertEqual(len(counts), len(ACCOUNTS))
            self.assertGreater(min(counts), 0)

    def test_time_of_the_crawl(self):
        """Two crawls take different times and end at different moments: both must be plausible."""
        for agent in JOBS:
            for labels, value in self.balena(agent).items():
                name = dict(labels)["__name__"]
                if name == DURATION:
                    self.assertGreater(value, 0)
                    self.assertLess(value, time.time() - self.started)
                elif name == ENDED:
                    self.assertGreater(value, self.started - 1)
                    self.assertLess(value, time.time() + 1)

    def differ(self, lines):
        by_name = collections.defaultdict(list)
        for line in sorted(lines):
            by_name[re.search(r"balena_\w+", line)[0]].append(line)
        if lines:
            self.fail("%d series differ:\n%s" % (len(lines), "".join(
                "%s: %d\n  %s\n" % (name, len(of_name), "\n  ".join(of_name[:3]))
                for name, of_name in sorted(by_name.items()))))

    # The neighbours.

    def test_other_metrics_are_left_alone(self):
        """What the same agents show of other things has the names and labels that it had."""
        for agent, process in self.agents.items():
            target = {("job", JOBS[agent]), ("instance", urllib.parse.urlsplit(process.url).netloc)}
            expected = set()
            for name, labels in self.raw[agent]:
                if not name.startswith(PREFIX[agent] + "balena_"):
                    expected.add(frozenset({("__name__", name), *target, *(
                        ("exported_instance" if label == "instance" else label, value)
                        for label, value in labels)}))
            self.assertEqual(self.foreign(agent), expected, agent)
        types = {dict(labels)["type"] for labels in self.foreign("collectd")
                 if dict(labels)["__name__"] == "collectd_df_df_complex"}
        self.assertLessEqual({"free", "used", "reserved"}, types)
        self.assertIn("collectd_load_shortterm",
                      {dict(labels)["__name__"] for labels in self.foreign("collectd")})
        self.assertEqual([{"host", "type", "__name__", "job", "instance"}],
                         [set(dict(labels)) for labels in self.foreign("telegraf")])

    def test_collectd_s_own_labels_are_gone(self):
        for agent in JOBS:
            labels = {label for series in self.balena(agent) for label in dict(series)}
            self.assertFalse(labels & {"type", "balena", "exported_instance", "host"}, agent)

    def test_promtool(self):
        for agent in JOBS:
            checked = subprocess.run([lib.find("promtool"), "check", "config", "--lint-fatal", shipped(agent)],
                                     capture_output=True, text=True, timeout=30)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

# What write_prometheus shows -> what Prometheus makes of it, for names that a real crawl seldom has.
# All of them are of one scrape, so that none may become one with another.
RULES = [
    ('device_up{balena="acme:a",instance="0f"}', 'balena_device_up{fleet="acme/a",device_uuid="0f"}'),
    ('device_up{balena="p:acme:a",instance="0f"}',
     'balena_device_up{account="p",fleet="acme/a",device_uuid="0f"}'),
    ('device_up{balena="none",instance="0f"}', 'balena_device_up{fleet="none",device_uuid="0f"}'),
    ('device_up{balena="p::none",instance="0f"}',
     'balena_device_up{account="p",fleet="none",device_uuid="0f"}'),
    # An account or an organization of that name is no fleet-less device.
    ('device_up{balena="none::none",instance="0f"}',
     'balena_device_up{account="none",fleet="none",device_uuid="0f"}'),
    ('device_up{balena="none:none",instance="0f"}', 'balena_device_up{fleet="none/none",device_uuid="0f"}'),
    # Cut before the ":" of the slug.
    ('device_up{balena="acme01234567",instance="0f"}',
     'balena_device_up{fleet="acme01234567",device_uuid="0f"}'),
    ('devices_online{balena="p:acme:a",instance="h",type="a"}',
     'balena_devices_online{account="p",fleet="acme/a",fleet_name="a"}'),
    ('fleet_devices{balena="acme:a",instance="h"}', 'balena_fleet_devices{fleet="acme/a"}'),
    ('fleet_devices{balena="p::none",instance="h"}', 'balena_fleet_devices{account="p",fleet="none"}'),
    ('fleet_devices_pinned{balena="acme:a",instance="h"}', 'balena_fleet_devices_pinned{fleet="acme/a"}'),
    ('fleet_devices_by_update_status{balena="acme:a",instance="h",type="applying changes"}',
     'balena_fleet_devices_by_update_status{fleet="acme/a",update_status="applying changes"}'),
    ('fleet_devices_by_os_version{balena="acme:a",instance="h",type="a;b:c $1"}',
     'balena_fleet_devices_by_os_version{fleet="acme/a",os_version="a;b:c $1"}'),
    ('device_info{balena="acme:a",instance="0f",type="b;c"}',
     'balena_device_info{fleet="acme/a",device_uuid="0f",device_name="b;c"}'),
    ('fleet_info{balena="acme:a",instance="h",type="a"}', 'balena_fleet_info{fleet="acme/a",fleet_name="a"}'),
    ('fleet_target_release_info{balena="acme:a",instance="h",type="1.0"}',
     'balena_fleet_target_release_info{fleet="acme/a",release="1.0"}'),
    ('fleet_target_release_created_timestamp_seconds{balena="acme:a",instance="h"}',
     'balena_fleet_target_release_created_timestamp_seconds{fleet="acme/a"}'),
    ('device_service_status_code{balena="acme:a",instance="0f",type="main"}',
     'balena_device_service_status_code{fleet="acme/a",device_uuid="0f",service_name="main"}'),
    ('device_service_download_progress_ratio{balena="p:acme:a",instance="0f",type="main"}',
     'balena_device_service_download_progress_ratio'
     '{account="p",fleet="acme/a",device_uuid="0f",service_name="main"}'),
    ('fleet_services_by_status{balena="acme:a",instance="h",type="main:Awaiting handover"}',
     'balena_fleet_services_by_status{fleet="acme/a",service_name="main",service_status="Awaiting handover"}'),
    # Cut in the status, behind the ":", before it; a service that is called as a status is.
    ('fleet_services_by_status{balena="acme:a",instance="h",type="long:Awai01234567"}',
     'balena_fleet_services_by_status{fleet="acme/a",service_name="long",service_status="Awai01234567"}'),
    ('fleet_services_by_status{balena="acme:a",instance="h",type="longer:01234567"}',
     'balena_fleet_services_by_status{fleet="acme/a",service_name="longer",service_status="01234567"}'),
    ('fleet_services_by_status{balena="acme:a",instance="h",type="longest01234567"}',
     'balena_fleet_services_by_status{fleet="acme/a",service_name="longest01234567"}'),
    ('fleet_services_by_status{balena="acme:a",instance="h",type="Dead:other"}',
     'balena_fleet_services_by_status{fleet="acme/a",service_name="Dead",service_status="other"}'),
    ('crawl_success{balena="none",instance="h"}', 'balena_crawl_success{account="none"}'),
    ('crawl_info{balena="p",instance="h",type="1.0"}', 'balena_crawl_info{account="p",version="1.0"}'),
    ('crawl_withheld_values{balena="p",instance="h",type="stale"}',
     'balena_crawl_withheld_values{account="p",reason="stale"}'),
    ('api_rejected_values_total{balena="p",instance="h",type="range"}',
     'balena_api_rejected_values_total{account="p",reason="range"}'),
    ('api_requests_total{balena="p",instance="h",type="ok"}',
     'balena_api_requests_total{account="p",result="ok"}'),
    ('api_retries_total{balena="p",instance="h"}', 'balena_api_retries_total{account="p"}'),
    ('shard_moves_total{balena="p",instance="h"}', 'balena_shard_moves_total{account="p"}'),
]


def served(test, page):
    """Where a page of ours is, until the test ends."""
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *arguments):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    test.addCleanup(server.server_close)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    test.addCleanup(server.shutdown)
    return "http://127.0.0.1:%d/metrics" % server.server_port


def of_page(test, agent, page, *flags):
    """A Prometheus that has scraped a page of ours, as that of an agent; it ends with the test."""
    prometheus = Prometheus({agent: served(test, page)}, *flags)
    test.addCleanup(prometheus.close)
    lib.wait_for("scrape", lambda: prometheus.query("scrape_samples_scraped > 0"), [prometheus])
    return prometheus


class Rules(unittest.TestCase):
    def test_names_that_a_crawl_seldom_has(self):
        lib.require("prometheus")
        prometheus = of_page(self, "collectd", "".join(
            "collectd_balena_%s %d\n" % (line, number) for number, (line, result) in enumerate(RULES)))
        got = {}
        for labels, value in prometheus.query('{__name__=~".*balena_.*"}').items():
            labels = dict(labels)
            got[labels.pop("__name__"), frozenset(
                item for item in labels.items() if item[0] not in ("job", "instance"))] = value
        self.assertEqual(got, lib.parse_text("".join(
            "%s %d\n" % (result, number) for number, (line, result) in enumerate(RULES))))


if __name__ == "__main__":
    lib.main("collectd", "telegraf", "prometheus")
