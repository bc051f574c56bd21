# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the fake API, real agents and a real Prometheus as processes of
ours on loopback, and what they must show, computed from the fake's own truth by the rules of
the metric catalogue, not by the code under test.

Environment (tests/run.sh sets the first three, Meson the last):
  BALENACRAWL_MUST              words of collectd, prometheus, telegraf: missing is a failure
  BALENACRAWL_TELEGRAF          the Telegraf to use, else the one in PATH
  BALENACRAWL_TELEGRAF_MISSING  why there is none
  MESON_BUILD_ROOT              where balena.so and telegraf-balena were built
"""
import collections
import ctypes
import datetime
import json
import math
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("MESON_BUILD_ROOT") or ROOT / "build-test").resolve()
TOKEN = "test-token"
HOSTNAME = "e2e-daemon"  # what collectd calls itself
DEADLINE_S = 60          # for anything that must happen at all; a busy machine gets that long
COLLECTD_PLUGINS = "/usr/lib/collectd"


# ---- what is there ---------------------------------------------------------------------------

def find(tool):
    """The path of a program, None if it is not there."""
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def telegraf_path():
    return os.environ.get("BALENACRAWL_TELEGRAF") or find("telegraf")


def missing(what):
    """Why there is no collectd, prometheus or telegraf to test with; None if there is."""
    if what == "telegraf":
        if not telegraf_path():
            return os.environ.get("BALENACRAWL_TELEGRAF_MISSING") or "telegraf is not installed"
        return None
    if what == "collectd":
        if not find("collectd"):
            return "collectd is not installed"
        if not os.path.exists(COLLECTD_PLUGINS + "/write_prometheus.so"):
            return "collectd's write_prometheus is not installed"
        if not plugin_path().exists():
            return "balena.so was not built (collectd-dev is not installed)"
        return None
    absent = [tool for tool in ("prometheus", "promtool") if not find(tool)]
    return "not installed: %s" % ", ".join(absent) if absent else None


def require(*whats):
    """In setUpClass or a test: skips it by name, or fails it where the thing must be there."""
    for what in whats:
        reason = missing(what)
        if reason and what in os.environ.get("BALENACRAWL_MUST", "").split():
            raise AssertionError("%s, and it must be there" % reason)
        if reason:
            raise unittest.SkipTest(reason)


def execd_path():
    return BUILD / "telegraf_execd" / "telegraf-balena"


def plugin_path():
    return BUILD / "plugin_collectd" / "balena.so"


class Result(unittest.TextTestResult):
    """Says which skip is which, in a form that count_results.py reads."""

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.stream.writeln("\nSKIP: %s: %s" % (test.id().replace("__main__.", ""), reason))


class Runner(unittest.TextTestRunner):
    resultclass = Result


def main(*needs):
    """Runs the calling module's tests. Exit status 77, Meson's skip, if nothing of it can run."""
    if needs and all(missing(what) for what in needs) and not (
            set(needs) & set(os.environ.get("BALENACRAWL_MUST", "").split())):
        print("; ".join(missing(what) for what in needs))
        sys.exit(77)
    # A test that is ended from outside takes its agents with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    unittest.main(testRunner=Runner, module="__main__")


# ---- waiting and HTTP ------------------------------------------------------------------------

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # always our own machine


def http_get(url, timeout=30):
    with OPENER.open(url, timeout=timeout) as answer:
        return answer.read()


def wait_for(what, condition, alive=(), seconds=DEADLINE_S):
    """Asks condition() until it gives something true, and returns that. The one place that waits.
    Fails when the time is up, or at once when one of the processes `alive` has ended."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        for process in alive:
            if process.popen.poll() is not None:
                raise AssertionError("%s ended with %s while waiting for %s:\n%s" % (
                    process.name, process.popen.returncode, what, process.log_tail()))
        if time.monotonic() > deadline:
            raise AssertionError("no %s within %d s\n%s" % (
                what, seconds, "\n".join(process.log_tail() for process in alive)))
        time.sleep(0.1)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- processes -------------------------------------------------------------------------------

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """In a child: a test that is killed leaves nobody behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A program of ours in a directory of its own; ended by its pid, at the latest by close()."""

    def __init__(self, name, command, directory=None, env=None):
        self.name = name
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.log_path = self.directory / (name + ".log")
        # Nothing of the developer's own settings may reach what we test.
        clean = {key: value for key, value in os.environ.items()
                 if not key.startswith("BALENA") and key != "CRAWL_INTERVAL"}
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, env={**clean, **(env or {})},
                                          start_new_session=True, preexec_fn=die_with_parent)

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def log_tail(self, lines=30):
        return "\n".join("  %s| %s" % (self.name, line) for line in self.log().splitlines()[-lines:])

    def stop(self):
        """SIGTERM; returns the seconds it took to end."""
        started = time.monotonic()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return time.monotonic() - started

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class FakeApi(Process):
    """tests/fake_api.py on a port of its own choice."""

    def __init__(self, *more, fleets=3, devices=61, seed=1):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        port_file = directory / "port"
        super().__init__("fake-api", [sys.executable, ROOT / "tests" / "fake_api.py", "--port", 0,
                                      "--port-file", port_file, "--seed", seed, "--fleets", fleets,
                                      "--devices", devices, "--token", TOKEN, *more], directory)
        try:
            wait_for("port file", lambda: port_file.exists() and port_file.read_text().strip(), [self])
        except BaseException:
            self.close()
            raise
        self.url = "http://127.0.0.1:%d" % int(port_file.read_text())

    def ask(self, path):
        return json.loads(http_get(self.url + path))

    def set(self, **wish):
        """Changes the world or the server's behaviour; see the fake's own text."""
        OPENER.open(self.url + "/_fake/set", json.dumps(wish).encode(), timeout=30).close()

    def truth(self):
        return self.ask("/_fake/truth")

    def devices(self):
        """Every device as the server holds it."""
        rows = []
        while True:
            more = self.ask("/_fake/devices?after=%d&limit=1000" % (rows[-1]["id"] if rows else 0))
            if not more:
                return rows
            rows += more

    def reset_log(self):
        OPENER.open(self.url + "/_fake/reset", b"", timeout=30).close()

    def requests(self):
        """Targets asked for since the last reset, probes left out: what a crawl costs."""
        lines = http_get(self.url + "/_fake/log").decode().splitlines()
        return [target for target in (json.loads(line)["target"] for line in lines)
                if "$top=0" not in target]


class Collectd(Process):
    """A collectd with write_prometheus and our plugin. `accounts`: the text of <Plugin balena>."""

    def __init__(self, accounts, interval=1):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        conf = directory / "collectd.conf"
        # Each LoadPlugin looks into the PluginDir named last before it.
        conf.write_text("""
Hostname "%s"
FQDNLookup false
BaseDir "%s"
PIDFile "%s/pid"
TypesDB "/usr/share/collectd/types.db"
Interval %d
PluginDir "%s"
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "%d"
</Plugin>
PluginDir "%s"
LoadPlugin balena
<Plugin balena>
%s
</Plugin>
""" % (HOSTNAME, directory, directory, interval, COLLECTD_PLUGINS, self.port, plugin_path().parent,
       accounts))
        super().__init__("collectd", [find("collectd"), "-f", "-C", conf, "-P", directory / "pid"],
                         directory)

    @staticmethod
    def account(api, name="quickstart", **options):
        """An <Account> block for a fake API; its token file is left in the fake's directory."""
        token_file = api.directory / "token"
        token_file.write_text(TOKEN + "\n")
        values = {"TokenFile": '"%s"' % token_file, "ApiUrl": '"%s"' % api.url, "Interval": 10,
                  "StartJitter": 0, **options}
        lines = "".join("    %s %s\n" % item for item in values.items())
        return '  <Account "%s">\n%s  </Account>\n' % (name, lines)


class Telegraf(Process):
    """A Telegraf with inputs.execd running our program and outputs.prometheus_client."""

    def __init__(self, api, *arguments, signal_mode="STDIN"):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        token_file = api.directory / "token"
        token_file.write_text(TOKEN + "\n")
        command = [str(execd_path()), "--api-url", api.url, "--token-file", str(token_file),
                   "--start-jitter", "0", *arguments]
        self.conf = directory / "telegraf.conf"
        self.conf.write_text("""
[agent]
  interval = "2s"
  flush_interval = "1s"
  omit_hostname = true
  metric_batch_size = 10000
  metric_buffer_limit = 200000
  skip_processors_after_aggregators = true
[[inputs.execd]]
  command = %s
  signal = "%s"
  restart_delay = "1s"
  data_format = "influx"
[[outputs.prometheus_client]]
  listen = "127.0.0.1:%d"
  metric_version = 2
  expiration_interval = "5m"
  collectors_exclude = ["gocollector", "process"]
  [outputs.prometheus_client.metric_types]
    counter = ["balena_api_*_total", "balena_shard_*_total"]
    gauge = ["balena_devices_online", "balena_device_*", "balena_fleet_*", "balena_crawl_*"]
""" % (json.dumps(command), signal_mode, self.port))
        super().__init__("telegraf", [telegraf_path(), "--config", self.conf], directory)


class Prometheus(Process):
    """A Prometheus that scrapes {job: URL} every second."""

    def __init__(self, jobs):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        scrapes = [{"job_name": job, "honor_labels": False, "honor_timestamps": False,
                    "static_configs": [{"targets": [urllib.parse.urlsplit(url).netloc]}]}
                   for job, url in jobs.items()]
        conf = directory / "prometheus.yml"  # JSON is YAML
        conf.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": scrapes}))
        super().__init__("prometheus", [
            find("prometheus"), "--config.file", conf, "--storage.tsdb.path", directory / "data",
            "--web.listen-address", "127.0.0.1:%d" % self.port], directory)

    def query(self, expression):
        """{labels: value} of an instant query; {} while Prometheus is not up."""
        url = self.url + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            answer = json.loads(http_get(url))
        except OSError:
            return {}
        return {frozenset(row["metric"].items()): float(row["value"][1])
                for row in answer["data"]["result"]}


# ---- Prometheus text -------------------------------------------------------------------------

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def parse_text(text):
    """{(name, frozenset of labels): value}; a line that is no sample or is there twice fails."""
    series = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise AssertionError("not a sample: %r" % line)
        labels = frozenset((name, re.sub(r'\\[\\"n]', lambda hit: ESCAPES[hit.group(0)], value))
                           for name, value in LABEL.findall(match[2] or ""))
        key = (match[1], labels)
        if key in series:
            raise AssertionError("there twice: %r" % line)
        series[key] = float(match[3])
    return series


def scrape(url):
    """The parsed series at url, {} while nobody listens there."""
    try:
        return parse_text(http_get(url).decode("utf-8"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}


def values_of(series, name):
    """{labels as a dict's items: value} of one metric."""
    return {labels: value for (found, labels), value in series.items() if found == name}


def scrape_crawl(agent, others=(), prefix="", devices=None):
    """Waits until a crawl's end and all of its devices have reached the agent's output."""
    def complete():
        series = scrape(agent.url)
        if not values_of(series, prefix + "balena_crawl_success"):
            return None
        if devices is not None and len(values_of(series, prefix + "balena_device_status_code")) < devices:
            return None
        return series
    series = wait_for("finished crawl at %s" % agent.url, complete, [agent, *others])
    # The last of the fleets' and the crawl's own lines may still be on their way.
    seen = [len(series)]

    def settled():
        seen.append(len(scrape(agent.url)))
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_for("settled output", settled, [agent, *others])
    return scrape(agent.url)


# ---- what must be shown ----------------------------------------------------------------------

STATUS = ["operational", "reduced-functionality", "updating", "configuring", "post-provisioning",
          "disconnected", "inactive"]
HEARTBEAT = ["online", "timeout", "offline", "unknown"]
UPDATE = ["done", "downloading", "downloaded", "applying changes", "rejected", "aborted"]
CONNECTION = ["connected", "disconnected", "never", "inactive"]
ROLLOUT = ["on_target", "pending", "pending_offline", "unknown"]
MIB = 1048576
INT4_MAX = 2147483647

# Sets of the catalogue, by name without "balena_device_".
LEAN = {"up", "status_code", "on_target_release", "storage_usage_ratio", "memory_usage_ratio",
        "offline_since_timestamp_seconds"}


def code(words, word):
    return words.index(word) + 1 if word in words else 0


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


def connection(row):
    """The one decision about a device's state that everything else follows."""
    if row["overall_status"] == "inactive":
        return "inactive"
    if row["is_connected_to_vpn"] or row["api_heartbeat_state"] in ("online", "timeout"):
        return "connected"
    if row["api_heartbeat_state"] == "unknown" and row["last_connectivity_event"] is None:
        return "never"
    return "disconnected"


def reported(row, name, low=0, high=INT4_MAX):
    """A number that the device reports: None unless it is connected and the number makes sense."""
    value = row[name]
    if connection(row) != "connected" or value is None or not low <= value <= high:
        return None
    return value


def on_target(row):
    running, target = row["is_running__release"], row["should_be_running__release"]
    return None if running is None or target is None else int(running == target)


def scaled(value, factor):
    return None if value is None else value * factor


def ratio(row, what):
    used, total = reported(row, what + "_usage"), reported(row, what + "_total")
    return used / total if used is not None and total else None


def device_values(row):
    """{name without "balena_device_": value} of a device: sets lean and standard, but info."""
    state = connection(row)
    vpn_changed = epoch(row["last_vpn_event"])
    heartbeat_changed = epoch(row["changed_api_heartbeat_state_on__date"])
    lost = max(filter(None, (vpn_changed, heartbeat_changed)), default=None)
    connected = state == "connected"
    undervolted = row["is_undervolted"]
    values = {
        "up": {"connected": 1, "disconnected": 0}.get(state),
        "status_code": code(STATUS, row["overall_status"]),
        "on_target_release": on_target(row),
        "storage_usage_ratio": ratio(row, "storage"),
        "memory_usage_ratio": ratio(row, "memory"),
        "offline_since_timestamp_seconds": lost if state == "disconnected" else None,
        "cpu_usage_ratio": scaled(reported(row, "cpu_usage", 0, 100), 0.01),
        "cpu_temperature_celsius": reported(row, "cpu_temp", -100, 200),
        "undervolted": int(undervolted) if connected and undervolted is not None else None,
        "storage_used_bytes": scaled(reported(row, "storage_usage"), MIB),
        "storage_size_bytes": scaled(reported(row, "storage_total"), MIB),
        "memory_used_bytes": scaled(reported(row, "memory_usage"), MIB),
        "memory_size_bytes": scaled(reported(row, "memory_total"), MIB),
        "vpn_connected": int(row["is_connected_to_vpn"]),
        "heartbeat_code": code(HEARTBEAT, row["api_heartbeat_state"]),
        "vpn_changed_timestamp_seconds": vpn_changed,
        "heartbeat_changed_timestamp_seconds": heartbeat_changed,
        "update_status_code": code(UPDATE, row["update_status"]) if connected and row["update_status"]
        else None,
        "update_status_changed_timestamp_seconds": epoch(row["last_update_status_event"])
        if connected else None,
        "progress_ratio": scaled(reported(row, "overall_progress", 0, 100), 0.01),
    }
    return {name: value for name, value in values.items() if value is not None}


def by_word(rows, words, word_of, rest="other"):
    """A full partition: every word, zeros included, what is none of them under `rest`."""
    counts = collections.Counter({word: 0 for word in words + ([rest] if rest else [])})
    for row in rows:
        word = word_of(row)
        counts[word if word in words or not rest else rest] += 1
    return counts


def update_word(row):
    if connection(row) != "connected":
        return "stale"
    return row["update_status"] or "none"


def rollout_word(row):
    there = on_target(row)
    if there is None:
        return "unknown"
    if there:
        return "on_target"
    return "pending" if connection(row) == "connected" else "pending_offline"


def fleet_values(rows, cloud):
    """{(name without "balena_fleet_", extra labels): value} of a fleet's sums."""
    connected = [row for row in rows if connection(row) == "connected"]
    temperatures = [value for value in (reported(row, "cpu_temp", -100, 200) for row in connected)
                    if value is not None]
    values = {
        ("devices", ()): len(rows),
        ("devices_pinned", ()): sum(row["is_pinned_on__release"] is not None for row in rows),
        ("devices_undervolted", ()): sum(bool(row["is_undervolted"]) for row in connected),
        ("devices_without_metrics", ()): sum(row["memory_total"] is None for row in connected),
        ("crawl_success", ()): 1,
    }
    if cloud:
        values["devices_frozen", ()] = sum(bool(row["is_frozen"]) for row in rows)
    if temperatures:
        values["cpu_temperature_max_celsius", ()] = max(temperatures)
    for name, counts in (
            ("connection", by_word(rows, CONNECTION, connection, None)),
            ("status", by_word(rows, STATUS, lambda row: row["overall_status"])),
            ("heartbeat", by_word(rows, HEARTBEAT, lambda row: row["api_heartbeat_state"])),
            ("update_status", by_word(rows, UPDATE + ["none", "stale"], update_word)),
            ("rollout", by_word(rows, ROLLOUT, rollout_word, None))):
        for word, count in counts.items():
            values["devices_by_" + name, ((name, word),)] = count
    return values


def of_fleet(fleet, **more):
    """A label set, without the labels that have no text."""
    return frozenset((name, value) for name, value in {"fleet": fleet, **more}.items() if value)


def expected_devices(rows, names=None):
    """{(name, labels): value} of all device series but info; `names` limits them."""
    series = {}
    for row in rows:
        labels = of_fleet(row["fleet"] or "none", device_uuid=row["uuid"])
        for name, value in device_values(row).items():
            if names is None or name in names:
                series["balena_device_" + name, labels] = value
    return series


def expected_device_infos(rows):
    """The info series. Line protocol can't end a tag in a backslash, so nothing of ours does."""
    return {("balena_device_info", of_fleet(
        row["fleet"] or "none", device_uuid=row["uuid"], device_name=row["device_name"].rstrip("\\"),
        device_type=row["device_type"], os_version=row["os_version"], os_variant=row["os_variant"],
        supervisor_version=row["supervisor_version"], release=row["release"])): 1 for row in rows}


def expected_fleets(rows, truth):
    """{(name, labels): value} of all fleet series, the empty fleets' and the fleet-less devices' too."""
    series = {}
    by_slug = {fleet["slug"]: [] for fleet in truth["fleets"]}
    for row in rows:
        by_slug.setdefault(row["fleet"] or "none", []).append(row)
    for slug, of_slug in by_slug.items():
        for (name, extra), value in fleet_values(of_slug, truth["cloud"]).items():
            series["balena_fleet_" + name, of_fleet(slug, **dict(extra))] = value
    for fleet in truth["fleets"]:
        slug, release = fleet["slug"], fleet["target_release"]
        named = of_fleet(slug, fleet_name=fleet["app_name"])
        series["balena_devices_online", named] = sum(row["is_connected_to_vpn"] for row in by_slug[slug])
        series["balena_fleet_tracks_latest_release", of_fleet(slug)] = int(fleet["tracks_latest"])
        series["balena_fleet_info", of_fleet(
            slug, fleet_name=fleet["app_name"], organization=fleet["org"],
            device_type=fleet["device_type"], fleet_id=str(fleet["id"]))] = 1
        if release:
            series["balena_fleet_target_release_info", of_fleet(slug, release=release["raw_version"])] = 1
            series["balena_fleet_target_release_created_timestamp_seconds", of_fleet(slug)] = \
                epoch(release["created_at"])
    return series


def as_collectd(series):
    """The same series as write_prometheus shows them: host = device, plugin instance = fleet, type
    instance = the one extra label, of an info the one that collectd has room for."""
    shown = {}
    for (name, labels), value in series.items():
        labels = dict(labels)
        place = {"balena": labels.pop("fleet").replace("/", ":"),
                 "instance": labels.pop("device_uuid", HOSTNAME)}
        if name.endswith("_info"):
            labels = {label: labels[label] for label in ("device_name", "fleet_name", "release")
                      if label in labels and (label != "release" or "_release_" in name)}
        if labels:
            place["type"] = "".join(labels.values()).replace("/", "_")
        shown["collectd_" + name, frozenset(place.items())] = value
    return shown


def compare(expected, series, names=None):
    """Every series expected is there with its value, and of these metrics no other. `names`: metrics
    to look at, default those expected. Returns how many agree; fails with all that does not."""
    names = {name for name, labels in expected} if names is None else names
    shown = {key: value for key, value in series.items() if key[0] in names}
    wrong = []
    for key, value in expected.items():
        if key not in shown:
            wrong.append("missing: %s = %s" % (describe(key), value))
        elif not math.isclose(shown[key], value, rel_tol=1e-9, abs_tol=1e-9):
            wrong.append("wrong: %s is %r, should be %r" % (describe(key), shown[key], value))
    wrong += ["not expected: %s = %s" % (describe(key), value)
              for key, value in shown.items() if key not in expected]
    if wrong:
        raise AssertionError("%d of %d series disagree:\n  %s" % (
            len(wrong), len(expected), "\n  ".join(sorted(wrong)[:40])))
    return len(expected)


def describe(key):
    return "%s{%s}" % (key[0], ",".join('%s="%s"' % item for item in sorted(key[1])))
