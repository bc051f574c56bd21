#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py CRAWLS SEED: see soak.sh.

One telegraf-balena is told by newlines to crawl a small, ever changing world through an API that
fails at random. What comes out is compared with the world before, during and after the crawl. In
a crawl one thing at most changes, while a random request of it is answered: then whatever was read
before or after, each value is that of one of two worlds."""
import collections
import math
import os
import pathlib
import random
import re
import select
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import e2e_lib as lib  # noqa: E402
import fake_api  # noqa: E402

TOKEN = "soak-token"     # and a number
INTERVAL_S = 3600        # crawls are begun by us alone, however slow the machine
DEADLINE_S = 10          # of a crawl
KEEP_ALIVE_S = 600       # a machine that stands still must not look like a server that closes
DEADLINE_SLACK_S = 1.5
CLOCK_S = 0.001          # what its clock tells apart
WARM_UP = 0.2            # of the crawls
SHOW_FAILURES = 20
SILENCE_S = 0.5
# What a fit over all crawls after warming up may grow by.
MOST_GROWTH = {"memory": 384 * 1024, "descriptors": 2, "threads": 0.5}
MOST = {"memory": 64 << 20, "descriptors": 32, "threads": 3}

# Probes are left out: what they learn stands for an hour, right or wrong.
TARGETS = ("/application?", "select=id&$filter", "belongs_to__application in", "belongs_to__application eq null",
           "/device?$select=id,uuid")
GARBAGE = ("", "null", "[]", "{}", '{"d":null}', '{"d":{}}', '{"d":[', '{"d":[{"id":', '{"d":[1]}', "<html>busy</html>",
           '{"d":[]} x', '{"d":[{"id":1}{"id":2}]}', "\xff\xfe")


def faults(rng):
    """The faults of one crawl: none to three. A hang costs a whole interval: rare."""
    if rng.random() < 0.55:
        return []
    found = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        fault = {"match": rng.choice(TARGETS), "after": rng.choice((0, 0, 1, 2)), "times": rng.choice((1, 1, 1, 2, 3))}
        kind = rng.random()
        if kind < 0.25:
            fault["status"] = rng.choice((408, 500, 502, 503, 504))
            fault["body"] = rng.choice(("", "<html>", '"busy"'))
        elif kind < 0.32:
            fault["status"] = rng.choice((400, 403, 404, 302))
            fault["headers"] = {"Location": "http://127.0.0.1:1/"}
        elif kind < 0.335:
            fault.update(status=429, times=1, headers={"Retry-After": "1"})
        elif kind < 0.50:
            fault["cut"] = rng.randrange(3000)
        elif kind < 0.62:
            fault["reset"] = rng.choice((True, 0, 1, 100, 1500))
        elif kind < 0.72:
            fault["truncate"] = rng.randrange(200)
        elif kind < 0.85:
            fault["garbage"] = rng.choice(GARBAGE)
        elif kind < 0.92:
            fault["drip"] = [rng.choice((300, 700)), 1]
        elif kind < 0.997:
            fault["latency_ms"] = rng.randrange(1, 60)
        else:
            fault.update(hang=True, times=1)
        if rng.random() < 0.5:
            fault["identity"] = True
        found.append(fault)
    return found


class Api(fake_api.FakeApi):
    """Makes one change of the world while a chosen request of a crawl comes in."""
    countdown, change_world = 0, None

    def __init__(self, *arguments, **more):
        self.asked = []  # in this crawl
        super().__init__(*arguments, **more)

    def record(self, entry):
        super().record(entry)
        self.asked.append(entry)
        with self.lock:
            self.countdown -= 1
            change, due = self.change_world, self.countdown == 0
            if due:
                self.change_world = None
        if due and change:
            change()


class Chaos:
    """All that happens to the world, from one seed."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.world = fake_api.World(seed, 5, 45, orphans=2)
        self.api = Api(self.world, [TOKEN + "-0"], v7_only=True, keepalive_s=KEEP_ALIVE_S).start()
        self.serial = 0
        self.cached = (None, None)

    def state(self):
        """The series of the world as it is."""
        if self.cached[0] != self.world.version:
            version = self.world.version
            rows, truth = self.world.device_dicts(0, 1 << 30), self.world.truth()
            rows, truth = lib.chosen(rows, truth, lambda fleet: True, True)
            series = lib.as_line_protocol({
                **lib.expected_devices(rows, None, False), **lib.expected_device_infos(rows),
                **lib.expected_fleets(rows, truth)})
            self.cached = version, {key: lib.as_shown(key[0], value) for key, value in series.items()}
        return self.cached[1]

    def dropped(self):
        """The values of the world that no metric shows, by what counts them."""
        rows = lib.chosen(self.world.device_dicts(0, 1 << 30), self.world.truth(), lambda fleet: True, True)[0]
        fields = set(lib.ONE_FIELD.values()) & set(lib.RANGES) - {"provisioning_progress"}
        counts = {**lib.rejections(rows, fields), "unknown_word": 0, "too_long": 0}
        return {**{of_crawl("api_rejected_values_total", reason=reason): counts[reason] for reason in REJECTED},
                of_crawl("crawl_withheld_values", reason="stale"): lib.stale_values(rows, lib.STANDARD)}

    def some_device(self):
        return self.rng.choice([id_ for fleet, ids in self.world.ids_of.items() for id_ in ids])

    def some_fleet(self):
        return self.rng.choice(sorted(app["id"] for app in self.world.tables["application"].values()
                                      if app["is_of__class"] == "fleet" and not app["is_host"]))

    def device_change(self):
        """A function that changes one device, comes with one or takes one away."""
        rng, count, id_ = self.rng, len(self.world.all_ids()), self.some_device()
        kind = rng.random()
        if kind < 0.15 and count < 60:
            fleet = self.world.row(id_)["belongs_to__application"]
            return lambda: self.world.add_device({"belongs_to__application": fleet})
        if kind < 0.3 and count > 30:
            return lambda: self.world.remove_device(id_)
        fields = rng.choice((
            {"is_connected_to_vpn": rng.random() < 0.5, "api_heartbeat_state": rng.choice(lib.HEARTBEAT)},
            {"cpu_usage": rng.choice((0, 7, 55, 100, None, 101)), "memory_usage": rng.randrange(4000)},
            {"cpu_temp": rng.randrange(-20, 95), "is_undervolted": rng.random() < 0.5},
            {"overall_status": rng.choice(lib.STATUS)}, {"update_status": rng.choice(lib.UPDATE + [None])},
            {"device_name": rng.choice(("plain", "two words", "comma, equals=", "quote\"", "Büro 7"))},
            {"os_version": rng.choice(("balenaOS 6.0.13", "balenaOS 2.115.18", None))},
            {"is_pinned_on__release": None}))
        return lambda: self.world.set_device(id_, fields)

    def fleet_change(self):
        fleet, kind = self.some_fleet(), self.rng.random()
        app = self.world.tables["application"][fleet]
        if kind < 0.5:
            fields = {"is_archived": not app["is_archived"]}
        elif kind < 0.8:
            fields = {"app_name": "%s-%d" % (app["slug"].split("/")[1], self.rng.randrange(3))}
        else:
            fields = {"should_track_latest_release": not app["should_track_latest_release"]}
        return lambda: self.world.set_fleet(fleet, fields)

    def new_token(self, path):
        self.serial += 1
        token = "%s-%d" % (TOKEN, self.serial)
        self.api.tokens = {token}
        path.write_text(token + "\n")

    def drop_connections(self):
        with self.api.lock:
            connections = list(self.api.connections)
        for sock in connections:
            try:
                sock.shutdown(2)
            except OSError:
                pass


# ---- the agent -------------------------------------------------------------------------------

class Agent:
    def __init__(self, url, token_file, log_path):
        self.log_path, self.buffer, self.end = log_path, b"", None
        clean = {key: value for key, value in os.environ.items() if not key.startswith("BALENA")}
        with open(log_path, "wb") as log:
            self.popen = subprocess.Popen(
                [lib.execd_path(), "--api-url", url, "--token-file", token_file, "--min-interval", "0", "--interval",
                 str(INTERVAL_S), "--deadline", str(DEADLINE_S), "--start-jitter", "0", "--page-size", "20",
                 "--requests-per-minute", "0"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=clean,
                preexec_fn=lib.die_with_parent)

    def read(self, seconds):
        if not select.select([self.popen.stdout], [], [], max(seconds, 0))[0]:
            return False
        data = os.read(self.popen.stdout.fileno(), 1 << 16)
        self.buffer += data
        return bool(data)

    def first_crawl(self):
        """Its last line tells how the end of every crawl looks."""
        while not re.search(rb"^balena_crawl,.*success=1i", self.buffer, re.M):
            if not self.read(DEADLINE_S):
                raise AssertionError("no first crawl:\n" + self.log_path.read_text())
        while self.read(SILENCE_S):
            pass
        self.end = re.match(rb"\S+ \w+=", self.buffer.splitlines()[-1]).group()
        return self.take(len(self.buffer))

    def take(self, n):
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        lib.check_no_token("telegraf-balena", data, token=TOKEN)
        return data.decode().splitlines()

    def crawl(self):
        """The lines of one crawl, None if it does not end in time."""
        until = time.monotonic() + DEADLINE_S + DEADLINE_SLACK_S
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()
        while True:
            start = self.buffer.find(self.end)
            stop = self.buffer.find(b"\n", start) if start >= 0 else -1
            if stop >= 0:
                return self.take(stop + 1)
            if not self.read(until - time.monotonic()):
                return None

    def said_last(self):
        return next((line for line in reversed(self.log_path.read_text().splitlines())
                     if not line.startswith("D! ")), "nothing")

    def resources(self):
        proc = pathlib.Path("/proc/%d" % self.popen.pid)
        return {"memory": int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"),
                "descriptors": len(os.listdir(proc / "fd")),
                "threads": int(re.search(r"^Threads:\s+(\d+)", (proc / "status").read_text(), re.M)[1])}

    def close(self):
        """EOF ends it; its exit status."""
        self.popen.stdin.close()
        try:
            return self.popen.wait(5)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()
        finally:
            self.popen.stdout.close()
            lib.check_no_token("telegraf-balena", self.log_path.read_bytes(), token=TOKEN)


# ---- the judge -------------------------------------------------------------------------------

RESULTS = ("ok", "auth", "throttled", "client_error", "server_error", "timeout", "network", "garbage")
WITHHELD = ("stale", "superseded", "inconsistent", "capped", "agent", "paced", "shortened")
TOLD = RESULTS[1:5]  # those that the server decides by the status
REJECTED = ("type", "range", "unknown_word", "too_long")
VERSION = re.search(r"^\s*version: '([^']+)'", (lib.ROOT / "meson.build").read_text(), re.M)[1]


def of_crawl(name, **labels):
    return "balena_" + name, frozenset({"account": "default", **labels}.items())


# What a crawl says of itself, once there was a success.
ALWAYS = {of_crawl(name) for name in (
    "crawl_success", "crawl_duration_seconds", "crawl_interval_seconds", "crawl_unmatched_patterns",
    "crawl_detail_reduced", "crawl_devices", "crawl_fleets", "crawl_fleets_failed", "crawl_shard_index",
    "crawl_shards", "crawl_ignored_triggers", "crawl_token_valid", "crawl_api_version",
    "crawl_last_success_timestamp_seconds", "shard_moves_total", "shard_membership_errors_total",
    "api_retries_total", "api_received_bytes_total", "api_throttled_seconds_total")} | {
        of_crawl("crawl_info", version=VERSION)} | {
            of_crawl("api_requests_total", result=result) for result in RESULTS} | {
                of_crawl("crawl_withheld_values", reason=reason) for reason in WITHHELD} | {
                    of_crawl("api_rejected_values_total", reason=reason) for reason in REJECTED}
OF_THE_LIST = {of_crawl(name) for name in (
    "crawl_fleets", "crawl_fleets_failed", "crawl_devices", "crawl_token_valid", "crawl_unmatched_patterns",
    "crawl_detail_reduced")}
CONSTANT = {of_crawl("crawl_interval_seconds"): INTERVAL_S, of_crawl("crawl_unmatched_patterns"): 0,
            of_crawl("crawl_detail_reduced"): 0,
            of_crawl("crawl_shard_index"): 0, of_crawl("crawl_shards"): 1, of_crawl("crawl_ignored_triggers"): 0,
            of_crawl("crawl_api_version"): 7, of_crawl("crawl_info", version=VERSION): 1,
            of_crawl("shard_moves_total"): 0, of_crawl("shard_membership_errors_total"): 0,
            **{of_crawl("crawl_withheld_values", reason=reason): 0 for reason in WITHHELD[1:]}}
DROPPED = {of_crawl("crawl_withheld_values", reason="stale"), *(
    of_crawl("api_rejected_values_total", reason=reason) for reason in REJECTED)}


def result_of(entry):
    """What a request must have been counted as, by the server's log; None: by what became of the body."""
    status, probe = entry["status"], "$top=0" in entry["target"]
    if status in (401, 403):
        return "auth"
    if status == 429:
        return "throttled"
    if status == 408 or (status >= 500 and not probe):
        return "server_error"
    return "client_error" if status >= 300 else None


class Itself:
    """What a crawl says of itself, against the server's log and the crawl before."""

    def __init__(self):
        self.before, self.ended = collections.Counter(), 0

    def judge(self, seen, read, asked):
        """What is wrong. `read`: {fleet: whether it says that it was read}; `asked`: see Asked."""
        def value(name, **labels):
            return seen.get(of_crawl(name, **labels), math.nan)

        def added(name, **labels):
            return value(name, **labels) - self.before[of_crawl(name, **labels)]

        counts = {result: added("api_requests_total", result=result) for result in RESULTS}
        told = collections.Counter(map(result_of, asked.log))
        named = [good for fleet, good in read.items() if fleet != "none"]
        listed = of_crawl("crawl_fleets") in seen
        # Where no fleet is listed, only the devices of none can fail, and the world tells whether they are missing.
        success = any(named) if named or not listed else value("crawl_success") == 1
        fleets = [value("crawl_success"), value("crawl_fleets"), value("crawl_fleets_failed")]
        dropped = {key: seen.get(key, math.nan) - self.before[key] for key in DROPPED}
        last, took, body = value("crawl_last_success_timestamp_seconds"), value("crawl_duration_seconds"), sum(
            entry["bytes"] for entry in asked.log)
        received = added("api_received_bytes_total")
        # libcurl itself asks again where nothing came but a reset, and at the deadline what was said is not heard.
        slack = len(asked.log) if any("reset" in fault or "hang" in fault for fault in asked.faults) else 0
        # Without the list, nothing is said about what is in it.
        there = ALWAYS - (set() if listed else OF_THE_LIST)
        there |= {of_crawl("crawl_token_valid")} if asked.refused else set()
        if not listed:
            fleets[1:] = 0, 0
        checks = (
            (set(seen) == there, "not the metrics there are: %s" % sorted(map(lib.describe, set(seen) ^ there))),
            (all(seen.get(key, usual) == usual for key, usual in CONSTANT.items()), "not as always: %s" % [
                lib.describe(key) for key, usual in CONSTANT.items() if seen.get(key, usual) != usual]),
            (all(seen[key] >= self.before[key] for key in seen if key[0].endswith("_total")), "a counter falls"),
            (fleets == [success, len(named), named.count(0)], "success, fleets, failed: %s of %s" % (fleets, named)),
            (seen.get(of_crawl("crawl_token_valid"), 1) == (not asked.refused),
             "token_valid %s" % value("crawl_token_valid")),
            (self.ended < last <= time.time() if fleets[0] else last == self.ended,
             "last success at %s, before at %s" % (last, self.ended)),
            (0 <= took <= min(asked.seconds + CLOCK_S, DEADLINE_S + DEADLINE_SLACK_S), "took %s of %s s" % (took, asked.seconds)),
            (all(0 <= told[result] - counts[result] <= slack for result in TOLD) and
             0 <= len(asked.log) - sum(counts.values()) <= slack,
             "requests %s, the server's log says %s" % (counts, dict(told))),
            (asked.faults or not counts["timeout"] + counts["network"] + counts["garbage"],
             "%s, though no fault was asked for" % counts),
            (0 <= added("api_retries_total") <= sum(counts.values()) - counts["ok"],
             "%s retries of %s" % (added("api_retries_total"), counts)),
            (added("api_throttled_seconds_total") == counts["throttled"], "seconds of Retry-After: 1"),
            (body * (not asked.faults) <= received <= body + 2000 * len(asked.log),
             "received %s bytes, the bodies have %d" % (received, body)),
            (not (read and all(read.values())) or dropped in asked.dropped,
             "dropped %s, should be one of %s" % (dropped, asked.dropped)))
        self.before.update({key: seen[key] - self.before[key] for key in seen if key[0].endswith("_total")})
        self.ended = last
        return [what for good, what in checks if not good]


# What was asked for in a crawl, and what came: the server's log, the faults, whether the token was refused, what
# values each world has that are not shown, and how long it took in all.
Asked = collections.namedtuple("Asked", "log faults refused dropped seconds")


def judge(lines, worlds, must_succeed, reason, itself, asked):
    """What is wrong with one crawl's lines. `reason`: what the agent said last; `itself`: an Itself."""
    wrong, seen = [], {}
    for line in lines:
        for key, value in lib.parse_line(line):
            if key in seen:
                wrong.append("there twice: " + lib.describe(key))
            seen[key] = value
    ours = {key: value for key, value in seen.items() if key[0].startswith(("balena_device", "balena_fleet"))}
    success = next(value for key, value in seen.items() if key[0] == "balena_crawl_success")
    wrong += itself.judge({key: value for key, value in seen.items() if key not in ours}, {
        dict(labels)["fleet"]: value for labels, value in lib.values_of(ours, "balena_fleet_crawl_success").items()},
                          asked)
    devices = len({dict(labels)["device_uuid"] for name, labels in ours if name == "balena_device_info"})
    if seen.get(of_crawl("crawl_devices"), 0) != devices:
        wrong.append("%s devices, %d are shown" % (seen.get(of_crawl("crawl_devices")), devices))
    # A fleet that was not read says so and has no sums: what it lacks is not held against it.
    unread = {dict(labels)["fleet"] for (name, labels), value in ours.items()
              if name == "balena_fleet_crawl_success" and value == 0}
    whole = bool(success) and not unread
    for key, value in ours.items():
        if key[0] == "balena_fleet_crawl_success" and value == 0:
            continue
        if not any(key in world and math.isclose(world[key], value, rel_tol=1e-9, abs_tol=1e-9) for world in worlds):
            wrong.append("never true: %s = %r, was %s" % (
                lib.describe(key), value, [world.get(key) for world in worlds]))
    if success:
        wrong += ["missing: " + lib.describe(key) for key in set.intersection(*map(set, worlds)) - set(ours)
                  if dict(key[1])["fleet"] not in unread]
    if must_succeed and not whole:
        wrong.append("failed without a fault: " + reason)
    return wrong, whole


def growth(samples):
    """By how much a straight line through the samples rises from the first to the last."""
    n = len(samples)
    middle, mean = (n - 1) / 2, sum(samples) / n
    spread = sum((i - middle) ** 2 for i in range(n))
    return sum((i - middle) * (value - mean) for i, value in enumerate(samples)) / spread * (n - 1)


def check_meter():
    """A leak of 400 bytes a crawl, seen in pages and under noise, must be found."""
    rng = random.Random(1)
    leaking = [(8 << 20) + i * 400 // 4096 * 4096 + rng.randrange(3) * 4096 for i in range(1600)]
    flat = [(8 << 20) + rng.randrange(30) * 4096 for i in range(1600)]
    return growth(leaking) > MOST_GROWTH["memory"] and growth(flat) < MOST_GROWTH["memory"]


class Soak:
    def __init__(self, crawls, seed, directory):
        self.crawls, self.passed, self.failed, self.whole = crawls, 0, 0, 0
        self.began, self.told = time.monotonic(), 0
        self.chaos = Chaos(seed)
        self.token_file = directory / "token"
        self.token_file.write_text(TOKEN + "-0\n")
        self.agent = Agent(self.chaos.api.url, self.token_file, directory / "log")
        self.samples = {name: [] for name in MOST}
        self.after_refusal = False
        self.itself = Itself()

    def verdict(self, what, wrong):
        if not wrong:
            self.passed += 1
            return
        self.failed += 1
        if self.failed <= SHOW_FAILURES:
            print("FAIL: %s\n      %s" % (what, "\n      ".join(wrong[:8])), flush=True)

    def disturb(self, last):
        """Prepares the next crawl. Returns (worlds it may show, its faults, whether the token is refused)."""
        chaos, rng = self.chaos, self.chaos.rng
        refused, calm = False, last or self.after_refusal
        for _ in range(rng.randrange(3)):
            chaos.device_change()()
        if rng.random() < 0.05:
            chaos.fleet_change()()
        if rng.random() < 0.03:
            chaos.drop_connections()
        if rng.random() < 0.03 or "another" in chaos.api.tokens:
            chaos.new_token(self.token_file)
        elif rng.random() < 0.005 and not calm:
            chaos.api.tokens, refused = {"another"}, True
        wanted = [] if calm or refused else faults(rng)
        chaos.api.change({"faults": wanted})
        worlds = [chaos.state()]
        chaos.api.change_world = None
        if rng.random() < 0.4 and not last:
            chaos.api.change_world = chaos.device_change()
            chaos.api.countdown = rng.randrange(1, 9)
        # Two refusals in a row would slow the crawls down, as they should.
        self.after_refusal = refused or any(fault.get("status") == 403 for fault in wanted)
        return worlds, wanted, refused

    def one(self, n):
        last = n == self.crawls - 1
        worlds, wanted, refused = self.disturb(last)
        self.chaos.api.asked, began, dropped = [], time.monotonic(), [self.chaos.dropped()]
        lines = self.agent.crawl()
        took = time.monotonic() - began
        self.chaos.api.change_world = None
        what = "crawl %d, faults %s" % (n, [
            {key: value for key, value in fault.items() if key not in ("left", "skip")}
            for fault in self.chaos.api.faults])
        if lines is None:
            self.verdict(what, ["not over in time"])
            return False
        dropped.append(self.chaos.dropped())
        wrong, whole = judge(
            lines, worlds + [self.chaos.state()], not wanted and not refused, self.agent.said_last(), self.itself,
            Asked(self.chaos.api.asked, wanted, refused, dropped, took))
        self.whole += whole
        self.verdict(what, wrong)
        for name, value in self.agent.resources().items():
            self.samples[name].append(value)
        return True

    def judge_first(self, lines, itself):
        return judge(lines, [self.chaos.state()], True, self.agent.said_last(), itself, Asked(
            self.chaos.api.asked, [], False, [self.chaos.dropped()], time.monotonic() - self.began))[0]

    def check_judge(self, lines):
        """A value that is wrong, one that is missing and one that is there twice must be found, of devices
        and of each thing that a crawl says of itself; and one that nobody knows."""
        found = []
        of_device = next(line for line in lines if line.startswith("balena_device") and "vpn_connected=" in line)
        for number, line in enumerate(lines):
            head, fields, time_ = lib.SPLIT[" "].split(line)
            if not line.startswith(("balena_crawl", "balena_api", "balena_shard")) and line != of_device:
                continue
            for field in fields.split(","):
                name, _, value = field.partition("=")
                other = "%s=%r" % (name, float(value.rstrip("i")) + 1e9)
                rest = [part for part in fields.split(",") if part != field]
                for what, parts in ("wrong", [*rest, other]), ("missing", rest), ("twice", [field, *rest, field]):
                    changed = [" ".join((head, ",".join(parts), time_))] if parts else []
                    if name != "success" and not self.judge_first(
                            lines[:number] + changed + lines[number + 1:], Itself()):
                        found.append("sees no %s value: %s %s" % (what, head, name))
        if not self.judge_first([*lines, "balena_crawl,account=default news=1i 1"], Itself()):
            found.append("sees nothing unknown")
        return found

    def check_resources(self):
        for name, samples in self.samples.items():
            measured = samples[int(len(samples) * WARM_UP):]
            if len(measured) < 2:
                continue
            rise, most = growth(measured), max(measured)
            print("%s: from %d to %d, at most %d, the fit grows by %.1f" % (
                name, measured[0], measured[-1], most, rise))
            self.verdict(name, [text for text, bad in (
                ("grows by %.1f" % rise, rise > MOST_GROWTH[name]), ("%d at most" % most, most > MOST[name])) if bad])

    def check_log(self):
        said = self.agent.log_path.read_text()
        lines = [line for line in said.splitlines() if not line.startswith("D! ")]
        # Trouble has a line when it begins, one for another kind of it, and one when it ends.
        troubles = len(re.findall("^D! crawl (?:failed|partial)", said, re.M))
        allowed = 2 * troubles
        kinds = collections.Counter(re.sub(r"https?://\S+|\d+", "#", line)[:120] for line in lines)
        most = "; ".join("%d x %s" % (count, line) for line, count in kinds.most_common(7))
        self.verdict("log", ["%d lines for %d crawls in trouble: %s" % (len(lines), troubles, most)]
                     if len(lines) > allowed else [])
        print("%d of %d crawls whole, %d lines of log" % (self.whole, self.crawls, len(lines)))

    def run(self):
        self.verdict("the meter of leaks", [] if check_meter() else ["does not see a leak"])
        lines = self.agent.first_crawl()
        self.verdict("first crawl", self.judge_first(lines, self.itself))
        self.verdict("the judge", self.check_judge(lines))
        for n in range(self.crawls):
            if not self.one(n):
                break
            if time.monotonic() - self.told > 30:
                self.told = time.monotonic()
                print("%d of %d crawls, %.0f s" % (n, self.crawls, self.told - self.began), flush=True)
        self.check_resources()
        self.check_log()

    def close(self):
        status = self.agent.close()
        self.chaos.api.stop()
        methods = {entry["method"] for entry in self.chaos.api.log}
        self.verdict("methods", [] if methods == {"GET"} else [str(methods)])
        self.verdict("exit status", [] if status == 0 else [str(status)])


def main(crawls, seed):
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="balenacrawl-soak-") as directory:
        soak = Soak(crawls, seed, pathlib.Path(directory))
        try:
            soak.run()
        finally:
            soak.close()
    print("%d crawls with seed %d in %.0f s" % (crawls, seed, time.monotonic() - soak.began))
    print("%d passed, %d failed" % (soak.passed, soak.failed))
    return soak.failed > 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
