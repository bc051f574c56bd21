#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench.py --build DIR --json FILE [--quick] [--telegraf PATH]: measures telegraf-balena beside the
least that could do the same work, and prints two tables. tests/bench/run.sh calls it; README.md in
this folder says what is compared with what, and why.
"""
import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STEADY_CRAWLS = 10
CONCURRENCY = 4         # the default of telegraf-balena, so that of curl here too
TOKEN = "bench-token"
# What decides the targets of a crawl and the answers to them: a recording is as old as these.
RECORDED_FROM = [ROOT / "tests/fake_api.py", HERE / "record.py"] + [
    ROOT / "core/src" / name for name in ("field.c", "metrics.c", "plan.c", "query.c", "select.c", "server.c")]
MIB = 1024.0            # measure counts KiB


@dataclasses.dataclass
class Workload:
    name: str
    fleets: int
    devices: int
    runs: int           # of each program, at no latency
    late_runs: int      # at 50 ms


W1 = Workload("W1", 200, 1400, 5, 5)
W2 = Workload("W2", 60, 20060, 5, 3)
W3 = Workload("W3", 1, 100000, 3, 2)
W4 = Workload("W4", 2000, 1000000, 2, 1)
FLAT = Workload("W4/100", 2000, 10000, 3, 0)     # as many fleets as W4, a hundredth of the devices


class Broken(Exception):
    """Something does not work, so that nothing can be said about its speed."""


# ---- recordings ----------------------------------------------------------------------------------

class Recording:
    def __init__(self, index, data):
        self.index, self.data = index, data
        self.requests = []
        with open(index, encoding="latin-1") as file:
            for line in file:
                kind, *_, target = line.rstrip("\n").split(" ", 6)
                self.requests.append((kind, target))

    def count(self, kind):
        return sum(k == kind for k, _ in self.requests)

    def steady(self):
        """How many requests a crawl makes that has its probes behind it."""
        return len(self.requests) - self.count("probe")

    def steps(self, one_by_one=False, probes=True):
        """[(step, target)]: a request stands in the step behind those whose answers it needs. No
        answer to a probe changes another probe; one_by_one nevertheless makes each probe a step, as
        a crawl does."""
        step_of = {"probe": 0, "list": 0, "ids": 1, "page": 2}
        steps = []
        for n, (kind, target) in enumerate(self.requests):
            early = kind in ("probe", "list")
            if kind == "probe" and not probes:
                continue
            steps.append((n if one_by_one and early else 1000 + step_of[kind], target))
        steps.sort(key=lambda step: step[0])         # stable
        numbers = {step: n for n, step in enumerate(dict.fromkeys(step for step, _ in steps), 1)}
        return [(numbers[step], target) for step, target in steps]


class Bench:
    def __init__(self, build, work, telegraf="", quick=False):
        self.build, self.work = pathlib.Path(build), pathlib.Path(work)
        self.telegraf, self.quick, self.runs = telegraf, quick, 1 if quick else 3
        self.ours_binary = self.build / "telegraf_execd/telegraf-balena"
        self.tools = self.build / "tests/bench"
        self.cache = self.build / "recordings"
        self.cache.mkdir(exist_ok=True)
        self.measures, self.ratios = [], []
        self.serial = 0
        self.token_file = self.work / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(TOKEN + "\n")
        self.cert, self.key = self.work / "cert.pem", self.work / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.cert, "-days", "2", "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        digest = hashlib.sha256()
        for path in RECORDED_FROM:
            digest.update(path.read_bytes())
        self.sources = digest.hexdigest()[:16]

    def client_context(self):
        return ssl.create_default_context(cafile=self.cert)

    # What is run.

    def ours(self, url, *more):
        return self.ours_streaming(url, "--once", "--format", "influx", *more)

    def ours_streaming(self, url, *more):
        return [self.ours_binary, "--api-url", url, "--token-file", self.token_file, "--requests-per-minute", "0",
                "--max-series", "0", "--deadline", "3600", "--min-interval", "0", "--start-jitter", "0",
                "--concurrency", str(CONCURRENCY), *more]

    def bare_multi(self, steps, url, *more):
        path = self.file("steps", "".join("%d %s\n" % step for step in steps))
        return [self.tools / "bare_multi", path, url, str(CONCURRENCY), *more]

    def curl(self, steps, url, *more):
        """One curl for each step."""
        lines = {}
        for step, target in steps:
            lines.setdefault(step, []).append('url = "%s%s"\noutput = "/dev/null"\n' % (url, target))
        header = ('header = "Authorization: Bearer %s"\nheader = "Accept: application/json"\n' % TOKEN)
        files = [self.file("curl", header + "".join(part)) for part in lines.values()]
        script = 'for file in "$@"; do curl -q -s --globoff --compressed --parallel --parallel-max %d %s -K "$file" ' \
            '2>/dev/null || exit; done' % (CONCURRENCY, " ".join(str(word) for word in more))
        return ["sh", "-c", script, "sh", *files]

    def bare_parse(self, recording):
        return [self.tools / "bare_parse", recording.index, recording.data]

    def file(self, name, text):
        self.serial += 1
        path = self.work / ("%s.%d" % (name, self.serial))
        path.write_text(text, encoding="latin-1")
        return path

    # Recordings.

    def record(self, workload, name="devices", command=None):
        stem = self.cache / ("%s-%d-%d-%s" % (name, workload.fleets, workload.devices, self.sources))
        index, data = stem.with_suffix(".index"), stem.with_suffix(".data")
        if not index.exists():
            say("recording %s, %d fleets, %d devices" % (name, workload.fleets, workload.devices))
            for old in self.cache.glob("%s-%d-%d-*" % (name, workload.fleets, workload.devices)):
                old.unlink()
            run([sys.executable, HERE / "record.py", index, data, "--fleets", str(workload.fleets), "--devices",
                 str(workload.devices), "--", *(command or self.ours("{url}"))])
        return Recording(index, data)

    @contextlib.contextmanager
    def replay(self, recording, tls=False):
        with Replay(self, recording, tls) as server:
            yield server

    # Measuring.

    def once(self, command, server=None, expect=None):
        """Wall, CPU and peak memory of one run, and what the server saw of it."""
        result = self.work / "measure"
        if server:
            server.stats()
        run([self.tools / "measure", result, *command], quiet=True)
        wall, user, system, peak = (float(word) for word in result.read_text().split())
        found = {"wall": wall, "cpu": user + system, "peak": peak}
        if server:
            found.update(server.seen(expect))
        return found

    def steady(self, title, program, command, server, expect):
        """The crawls after the first, of one process that is told when, as by Telegraf: the best wall
        time, from the trigger until the line that ends a crawl is read, and the mean CPU time."""
        with Stream(command) as stream:
            stream.crawl()
            server.stats()
            walls, cpu = [], cpu_seconds(stream.process.pid)
            for _ in range(STEADY_CRAWLS):
                walls.append(stream.crawl())
                seen = server.seen(expect)
            row = {"wall": min(walls), "cpu": (cpu_seconds(stream.process.pid) - cpu) / STEADY_CRAWLS,
                   "peak": peak_kib(stream.process.pid), **seen}
        self.add(title, program, row, STEADY_CRAWLS)
        return row

    def add(self, title, program, row, runs):
        self.measures.append(dict(row, what=title, program=program, runs=runs))
        say("%-28s %-24s wall %8.3f s  CPU %8.3f s  peak %6.1f MiB%s" % (
            title, program, row["wall"], row["cpu"], row["peak"] / MIB,
            "  %5d requests, %5.1f MB, server CPU %.3f s" % (row["requests"], row["bytes"] / 1e6, row["cpu_s"])
            if "requests" in row else ""))

    def alternate(self, title, runs, programs):
        """Runs the programs in turn; the best time and the median peak of each. A program is the
        arguments of once(): a command, a server and the number of requests it must make."""
        found = {name: [] for name in programs}
        for _ in range(runs):
            for name, program in programs.items():
                found[name].append(self.once(*program))
        best = {}
        for name, all_ in found.items():
            row = dict(all_[0], wall=min(r["wall"] for r in all_), cpu=min(r["cpu"] for r in all_),
                       peak=statistics.median(r["peak"] for r in all_))
            best[name] = row
            self.add(title, name, row, runs)
        return best

    def ratio(self, what, ours, other, unit, most=None, least=None, value=None):
        """most or least: the bound; neither: for information."""
        value = ours / other if value is None else value
        verdict = "" if most is None and least is None else \
            "PASS" if (most is None or value <= most) and (least is None or value >= least) else "MISS"
        bound = " ".join(sign + " %g" % limit for sign, limit in ((">=", least), ("<=", most)) if limit is not None)
        self.ratios.append({"what": what, "ours": ours, "other": other, "unit": unit, "ratio": value, "bound": bound,
                            "verdict": verdict})


class Replay:
    """A replay server of its own process."""

    def __init__(self, bench, recording, tls):
        port_file = bench.file("port", "")
        port_file.unlink()
        self.process = subprocess.Popen(
            [sys.executable, HERE / "replay.py", recording.index, recording.data, "--port-file", port_file,
             *(["--tls", bench.cert, bench.key] if tls else [])], stdin=subprocess.DEVNULL)
        self.context = bench.client_context() if tls else None
        self.port = int(wait_for(port_file.exists, self.process) and port_file.read_text())
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, target):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context) if self.context \
            else http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", target)
        answer = json.load(connection.getresponse())
        connection.close()
        return answer

    def stats(self):
        return self.ask("/_replay/stats")

    def seen(self, expect):
        """The stats of what made so many requests, and none that is not recorded."""
        found = self.stats()
        if found["unknown"]:
            raise Broken("not in the recording: " + found["unknown"][0])
        if found["requests"] != expect:
            raise Broken("%d requests, not %d" % (found["requests"], expect))
        return found

    def latency(self, ms):
        self.ask("/_replay/latency/%d" % ms)


class Stream:
    """telegraf-balena as a child of Telegraf's inputs.execd."""

    END = re.compile(rb"^balena_crawl,account=default success=(.)", re.M)

    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()

    def crawl(self):
        """Seconds that it took. Of what follows the line that ends it, some may be left to the next."""
        begun = time.monotonic()
        os.write(self.process.stdin.fileno(), b"\n")
        tail = b""
        while True:
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                raise Broken("a stream ended")
            tail = tail[tail.rfind(b"\n") + 1:] + data
            end = self.END.search(tail)
            if end and end[1] != b"1":
                raise Broken("a crawl failed")
            if end:
                return time.monotonic() - begun


def say(text):
    print(text, flush=True)


def run(command, quiet=False):
    """Runs to the end, or to ours; with quiet, what it says on stderr is returned."""
    env = dict(os.environ, BALENA_TOKEN=TOKEN)
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, env=env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if quiet else None)
    try:
        _, said = process.communicate()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if process.returncode:
        raise Broken("%s ended with %d\n%s" % (command[0], process.returncode, (said or b"").decode()[-2000:]))
    return (said or b"").decode()


def wait_for(condition, process, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            raise Broken("a server does not start")
        time.sleep(0.02)
    return True


def cpu_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/%d/status" % pid).read_text("ascii"))[1])


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- what is compared ----------------------------------------------------------------------------

def crawls(bench, w, latencies=(0, 50)):
    """A whole crawl beside the same transfers and the same parsing. Returns ours at no latency."""
    recording = bench.record(w)
    steps, n = recording.steps(), len(recording.requests)
    say("%s: %d fleets, %d devices; %s; curl and bare_multi make %d steps of them" % (
        w.name, w.fleets, w.devices, ", ".join(
            "%d %s" % (recording.count(kind), kind) for kind in ("probe", "list", "ids", "page")),
        steps[-1][0]))
    quiet = None
    with bench.replay(recording) as server:
        for latency in latencies:
            server.latency(latency)
            title = "%s at %d ms" % (w.name, latency)
            programs = {"ours": bench.ours(server.url),
                        "curl": bench.curl(steps, server.url, "--parallel-immediate"),
                        "bare_multi": bench.bare_multi(steps, server.url)}
            if latency:
                programs["bare_multi, probe by probe"] = bench.bare_multi(recording.steps(True), server.url)
            else:
                programs["bare_multi, server alone"] = bench.bare_multi(steps, server.url, "-", "raw")
            programs = {name: (command, server, n) for name, command in programs.items()}
            if not latency:
                programs["bare_parse"] = (bench.bare_parse(recording),)
            runs = w.late_runs if latency else w.runs
            best = bench.alternate(title, min(runs, 3) if bench.quick else runs, programs)
            ours = best["ours"]
            bench.ratio(title + ": wall, ours : curl", ours["wall"], best["curl"]["wall"], "s", most=1.15)
            if latency:
                bench.ratio(title + ": wall, ours : bare_multi that probes one by one, as ours does", ours["wall"],
                            best["bare_multi, probe by probe"]["wall"], "s")
                continue
            quiet = ours
            parse, fetch = best["bare_parse"], best["bare_multi"]
            bench.ratio(title + ": wall, ours : bare_multi, then bare_parse", ours["wall"],
                        fetch["wall"] + parse["wall"], "s")
            bench.ratio(title + ": wall, ours : the server alone", ours["wall"],
                        best["bare_multi, server alone"]["wall"], "s")
            bench.ratio(w.name + ": CPU, ours : bare_parse", ours["cpu"], parse["cpu"], "s", most=1.8)
            bench.ratio(w.name + ": CPU, ours : bare_multi + bare_parse", ours["cpu"], fetch["cpu"] + parse["cpu"], "s")
            above(bench, w.name, best)
    return quiet


def steady(bench, w, latencies=(0, 50)):
    """A crawl after the first: no probes, and the connections are there. bare_multi makes the same
    requests, and its connections anew."""
    recording = bench.record(w)
    with bench.replay(recording) as server:
        for latency in latencies:
            server.latency(latency)
            title = "%s at %d ms, steady" % (w.name, latency)
            bare = bench.alternate(title, bench.runs, {"bare_multi": (
                bench.bare_multi(recording.steps(probes=False), server.url), server, recording.steady())})["bare_multi"]
            ours = bench.steady(title, "ours", bench.ours_streaming(server.url), server, recording.steady())
            bench.ratio(title + ": wall, ours : bare_multi", ours["wall"], bare["wall"], "s")


def above(bench, title, best):
    """Memory beyond that of a bare libcurl program."""
    ours, bare = best["ours"]["peak"] / MIB, best["bare_multi"]["peak"] / MIB
    bench.ratio(title + ": peak memory above bare_multi", ours, bare, "MiB", most=6, value=ours - bare)


def over_tls(bench, w):
    recording = bench.record(w)
    n = len(recording.requests)
    with bench.replay(recording, tls=True) as server:
        best = bench.alternate(w.name + " over TLS", 3, {
            "ours": (bench.ours(server.url, "--ca-file", bench.cert), server, n),
            "bare_multi": (bench.bare_multi(recording.steps(), server.url, bench.cert), server, n)})
    above(bench, w.name + " over TLS", best)


def old_exporter(bench, w):
    """One request per fleet, each on a connection of its own; both sides over TLS at 50 ms. Both run
    on and on: what counts is the crawl after the first, whose probes come once an hour."""
    scrape = [sys.executable, HERE / "old_exporter.py"]
    old = bench.record(w, "old", scrape + ["{url}"])
    title = "%s at 50 ms over TLS" % w.name
    with bench.replay(old, tls=True) as server:
        server.latency(50)
        rounds = bench.alternate(title, 1, {"old exporter" + more[0]: (
            scrape + [server.url, bench.cert, *more[1:]], server, n * len(old.requests))
            for n, more in ((1, ("",)), (2, (", 2 rounds", "2")))})
    first, both = rounds["old exporter"], rounds["old exporter, 2 rounds"]
    second = {key: both[key] - first[key] for key in ("wall", "requests")}
    for detail, most in (("fleets", 4), ("devices", 6)):
        more = ("--detail", detail, "--ca-file", bench.cert)
        recording = bench.record(w, "fleets", bench.ours("{url}", "--detail", "fleets")) if detail == "fleets" \
            else bench.record(w)
        with bench.replay(recording, tls=True) as server:
            server.latency(50)
            ours = bench.alternate(title, bench.runs, {"ours, detail " + detail: (
                bench.ours(server.url, *more), server, len(recording.requests))})["ours, detail " + detail]
            again = bench.steady(title + ", steady", "ours, detail " + detail,
                                 bench.ours_streaming(server.url, *more), server, recording.steady())
        for when, theirs, row, bounds in (("first", first, ours, (None, None)), ("steady", second, again, (40, most))):
            bench.ratio("%s at 50 ms: wall, old exporter : ours, detail %s, %s crawl" % (w.name, detail, when),
                        row["wall"], theirs["wall"], "s", least=bounds[0], value=theirs["wall"] / row["wall"])
            bench.ratio("%s: requests in detail %s, %s crawl" % (w.name, detail, when), row["requests"],
                        theirs["requests"], "", most=bounds[1], value=row["requests"])


NGINX = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 1000000; large_client_header_buffers 4 16k;
    client_body_temp_path {work}/nginx-b; proxy_temp_path {work}/nginx-p; fastcgi_temp_path {work}/nginx-f;
    uwsgi_temp_path {work}/nginx-u; scgi_temp_path {work}/nginx-s;
    upstream replay {{ server 127.0.0.1:{replay}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {cert}; ssl_certificate_key {key};
        location / {{
            proxy_pass http://replay; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffers 64 16k; proxy_max_temp_file_size 0;
        }}
    }}
}}
"""


def http2(bench, w, latencies=(0, 50)):
    """nginx speaks TLS and HTTP/2 to the client and takes the answers from the replay server."""
    recording = bench.record(w)
    steps, n = recording.steps(), len(recording.requests)
    with bench.replay(recording) as server:
        port = free_port()
        conf = bench.file("nginx", NGINX.format(work=bench.work, replay=server.port, port=port, cert=bench.cert,
                                                key=bench.key))
        process = subprocess.Popen(["nginx", "-c", conf, "-e", bench.work / "nginx.log"], stdin=subprocess.DEVNULL)
        try:
            def answers():
                with socket.socket() as sock:
                    return sock.connect_ex(("127.0.0.1", port)) == 0
            wait_for(answers, process)
            url = "https://127.0.0.1:%d" % port
            for latency in latencies:
                server.latency(latency)
                title = "%s at %d ms, HTTP/2" % (w.name, latency)
                # libcurl 7.88 at times misses that an HTTP/2 answer has come, and sleeps on until its poll
                # ends: a second for curl. The best of five is one without.
                best = bench.alternate(title, 5, {
                    "ours": (bench.ours(url, "--ca-file", bench.cert), server, n),
                    "curl": (bench.curl(steps, url, "--http2", "--parallel-immediate", "--cacert", bench.cert), server,
                             n),
                    "bare_multi": (bench.bare_multi(steps, url, bench.cert), server, n)})
                bench.ratio(title + ": wall, ours : curl --http2", best["ours"]["wall"], best["curl"]["wall"], "s",
                            most=1.15)
        finally:
            process.terminate()
            process.wait()


# What of a device is a number or a truth value, and what is a text that ours says too, as a label, a
# code or a time. curl_json takes numbers only.
NUMBERS = ("is_connected_to_vpn is_undervolted cpu_usage cpu_temp memory_usage memory_total storage_usage "
           "storage_total").split()
TEXTS = ("device_name overall_status api_heartbeat_state last_vpn_event changed_api_heartbeat_state_on__date "
         "update_status last_update_status_event os_version os_variant supervisor_version").split()
PAGES = 20

TELEGRAF = """
[agent]
  omit_hostname = true
  metric_buffer_limit = 1000000
[[outputs.file]]
  files = ["/dev/null"]
[[inputs.http]]
  urls = [{urls}]
  timeout = "60s"
  tagexclude = ["url"]
  data_format = "xpath_json"
  xpath_native_types = true
  xpath_allow_empty_selection = true
  [[inputs.http.xpath]]
    metric_name = "'balena_device'"
    metric_selection = "/d/*"
    [inputs.http.xpath.tags]
      uuid = "uuid"
      fleet = "belongs_to__application/__id"
      device_type = "is_of__device_type/*/slug"
      release = "is_running__release/*/raw_version"
    [inputs.http.xpath.fields]
{fields}
"""

COLLECTD = """
Hostname "bench"
FQDNLookup false
BaseDir "{work}"
PIDFile "{work}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin curl_json
<Plugin curl_json>
{urls}
</Plugin>
"""


def agents(bench, w):
    """The agents' own plugins on one page of 1,000 devices, and ours on a whole crawl. What a device
    costs an agent is the difference between one page and some more: its start is not counted."""
    recording = bench.record(w)
    with open(recording.index, encoding="latin-1") as file:
        pages = [line.rstrip("\n").split(" ", 6) for line in file if line.startswith("page ")]
    page = max(pages, key=lambda words: int(words[5]))      # the one of no fleet is empty
    index = bench.file("pages", "".join(" ".join(page[:6] + ["/page/%d\n" % n]) for n in range(PAGES + 1)))
    with bench.replay(recording) as api, bench.replay(Recording(index, recording.data)) as server:
        def telegraf(count):
            urls = ", ".join('"%s/page/%d"' % (server.url, n) for n in range(count))
            fields = "\n".join('      %s = "%s"' % (name, name) for name in NUMBERS + TEXTS)
            conf = bench.file("telegraf", TELEGRAF.format(urls=urls, fields=fields))
            return [bench.telegraf, "--quiet", "--once", "--config", conf], server, count

        def collectd(count):
            keys = "".join('    <Key "d/*/%s">\n      Type "gauge"\n    </Key>\n' % name for name in NUMBERS)
            urls = "\n".join('  <URL "%s/page/%d">\n    Instance "p%d"\n%s  </URL>' % (server.url, n, n, keys)
                             for n in range(count))
            conf = bench.file("collectd", COLLECTD.format(work=bench.work, urls=urls))
            return ["collectd", "-T", "-C", conf], server, count

        agents_ = {"curl_json": (collectd, 1.0)}
        if bench.telegraf:
            agents_["inputs.http"] = (telegraf, 0.2)
        programs = {"ours, a crawl": (bench.ours(api.url), api, len(recording.requests))}
        for name, (command, _) in agents_.items():
            programs[name + ", a page"] = command(1)
            programs["%s, %d pages" % (name, PAGES + 1)] = command(PAGES + 1)
        best = bench.alternate("the agents' own plugins", bench.runs, programs)
    ours = best["ours, a crawl"]["cpu"] / w.devices
    for name, (_, most) in agents_.items():
        theirs = (best["%s, %d pages" % (name, PAGES + 1)]["cpu"] - best[name + ", a page"]["cpu"]) / (PAGES * 1000)
        bench.ratio("CPU of a device, ours : %s" % name, ours * 1e6, theirs * 1e6, "us", most=most)
        bench.ratio("peak memory, ours for a crawl : %s for a page" % name, best["ours, a crawl"]["peak"] / MIB,
                    best[name + ", a page"]["peak"] / MIB, "MiB")


def instructions(bench, w):
    """CPU again, as instructions: no other work on the machine changes these, so that two builds can
    be compared by less than the weather."""
    recording = bench.record(w)
    with bench.replay(recording) as server:
        count = {}
        for name, command in (("ours", bench.ours(server.url)),
                              ("bare_multi", bench.bare_multi(recording.steps(), server.url)),
                              ("bare_parse", bench.bare_parse(recording))):
            said = run(["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", *command],
                       quiet=True)
            count[name] = int(re.search(r"I +refs: +([0-9,]+)", said).group(1).replace(",", "")) / 1e9
    what = w.name + ": instructions, ours : "
    bench.ratio(what + "bare_parse", count["ours"], count["bare_parse"], "G")
    bench.ratio(what + "bare_multi + bare_parse", count["ours"], count["bare_multi"] + count["bare_parse"], "G")


def linear(bench, small, large):
    """As many devices in many small crawls as in a large one: then both take as long, and what else
    the machine does slows both."""
    first, second = bench.record(small), bench.record(large)
    times = large.devices // small.devices // 2
    with bench.replay(first) as to_first, bench.replay(second) as to_second:
        many = ["sh", "-c", 'for i in $(seq %d); do "$@" || exit; done' % times, "sh", *bench.ours(to_first.url)]
        some = (many, to_first, times * len(first.requests))
        best = bench.alternate("small and large", 2, {
            "%d x %s" % (times, small.name): some,
            large.name: (bench.ours(to_second.url), to_second, len(second.requests)),
            "%d x %s again" % (times, small.name): some})
    few = sum(row["cpu"] for name, row in best.items() if name != large.name) / (2 * times * small.devices)
    bench.ratio("CPU of a device, %d : %d" % (large.devices, small.devices),
                best[large.name]["cpu"] / large.devices * 1e6, few * 1e6, "us", least=0.9, most=1.1)


def print_ratios(bench):
    say("\n| what | ours | other | value | bound | |\n| --- | ---: | ---: | ---: | --- | --- |")
    for r in bench.ratios:
        ours, other = (("%.4g %s" % (r[side], r["unit"])).strip() for side in ("ours", "other"))
        say("| %s | %s | %s | %.2f | %s | %s |" % (r["what"], ours, other, r["ratio"], r["bound"], r["verdict"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--quick", action="store_true", help="W1 and W2 only")
    parser.add_argument("--telegraf", default="", help="a Telegraf with inputs.http and parsers.xpath")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))     # so that finally is heeded
    with tempfile.TemporaryDirectory(prefix="balenacrawl-bench.") as work:
        bench = Bench(args.build, work, args.telegraf, args.quick)
        try:
            bench.alternate("to start and end", 5, {"curl": (["curl", "-q", "-s", "file:///dev/null"],),
                                                    "ours": ([bench.ours_binary, "--version"],)})
            crawls(bench, W1)
            crawls(bench, W2)
            steady(bench, W1)
            steady(bench, W2)
            over_tls(bench, W2)
            old_exporter(bench, W1)
            http2(bench, W1, (50,))
            http2(bench, W2, (0,) if args.quick else (0, 50))
            agents(bench, W2)
            if not args.quick:
                instructions(bench, W2)
                crawls(bench, W3)
                few = crawls(bench, FLAT, (0,))
                many = crawls(bench, W4)
                bench.ratio("peak memory in 2,000 fleets, 1,000,000 devices : 10,000", many["peak"] / MIB,
                            few["peak"] / MIB, "MiB", most=1.1, least=0.9)
                linear(bench, W2, W4)
        except (Broken, OSError) as error:
            sys.exit("broken: %s" % error)
        except KeyboardInterrupt:
            sys.exit(130)
        print_ratios(bench)
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"measures": bench.measures, "ratios": bench.ratios}, file, indent=1)


if __name__ == "__main__":
    main()
