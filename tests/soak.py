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
INTERVAL_S = 10          # the shortest there is, and so the deadline of a crawl
DEADLINE_SLACK_S = 1.5
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

    def record(self, entry):
        super().record(entry)
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
        self.api = Api(self.world, [TOKEN + "-0"], v7_only=True).start()
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
                 str(INTERVAL_S), "--start-jitter", "0", "--page-size", "20", "--requests-per-minute", "0"],
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
            if not self.read(INTERVAL_S):
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
        until = time.monotonic() + INTERVAL_S + DEADLINE_SLACK_S
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

def judge(lines, worlds, must_succeed, reason):
    """What is wrong with one crawl's lines. `reason`: what the agent said last."""
    wrong, seen = [], {}
    for line in lines:
        for key, value in lib.parse_line(line):
            if key in seen:
                wrong.append("there twice: " + lib.describe(key))
            seen[key] = value
    ours = {key: value for key, value in seen.items() if key[0].startswith(("balena_device", "balena_fleet"))}
    success = next(value for key, value in seen.items() if key[0] == "balena_crawl_success")
    duration = next(value for key, value in seen.items() if key[0] == "balena_crawl_duration_seconds")
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
    if duration > INTERVAL_S + DEADLINE_SLACK_S:
        wrong.append("took %.1f s" % duration)
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

    def verdict(self, what, wrong):
        if not wrong:
            self.passed += 1
            return
        self.failed += 1
        if self.failed <= SHOW_FAILURES:
            print("FAIL: %s\n      %s" % (what, "\n      ".join(wrong[:8])), flush=True)

    def disturb(self, last):
        """Prepares the next crawl. Returns (worlds it may show, whether it must succeed)."""
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
        return worlds, not wanted and not refused

    def one(self, n):
        last = n == self.crawls - 1
        worlds, must_succeed = self.disturb(last)
        lines = self.agent.crawl()
        self.chaos.api.change_world = None
        what = "crawl %d, faults %s" % (n, [
            {key: value for key, value in fault.items() if key not in ("left", "skip")}
            for fault in self.chaos.api.faults])
        if lines is None:
            self.verdict(what, ["not over in time"])
            return False
        wrong, whole = judge(lines, worlds + [self.chaos.state()], must_succeed or last,
                               self.agent.said_last())
        self.whole += whole
        self.verdict(what, wrong)
        for name, value in self.agent.resources().items():
            self.samples[name].append(value)
        return True

    def check_judge(self, lines):
        """A value that is wrong, one that is missing and one that is there twice must be found."""
        at = next(i for i, line in enumerate(lines) if line.startswith("balena_device") and "vpn_connected=" in line)
        other = re.sub("vpn_connected=([01])", lambda hit: "vpn_connected=%d" % (1 - int(hit[1])), lines[at])
        return [what for what, changed in (
            ("sees no wrong value", [other]), ("misses nothing", []), ("takes a value twice", [lines[at]] * 2))
            if not judge(lines[:at] + changed + lines[at + 1:], [self.chaos.state()], True, "")[0]]

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
        self.verdict("first crawl", judge(lines, [self.chaos.state()], True, self.agent.said_last())[0])
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
