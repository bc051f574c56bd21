#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""agents.py telegraf|collectd [OPTION...] DEVICES...: how long a real agent takes until Prometheus
would see all devices, and what it costs. One row for each number of devices.

Of both:
  full       seconds from the agent's start until a scrape shows every device
  scrape     seconds for one, when full

Of Telegraf, with packaging/config/telegraf-balena.conf as it is but for the program and the port, and
the replay server of the bench behind it, so that the API costs next to nothing:
  busy       part of one processor in three intervals, when full and without a scrape: Telegraf, then
             its child, telegraf-balena
  memory     of both at their peak, MB
  CPU        seconds of Telegraf for a scrape
  size       of a scrape, MB, and as it was sent, gzipped
  series     in a scrape, and how many of a crawl's are missing there
  lost       lines of Telegraf's log that speak of a loss or an error, after two intervals of scrape upon
             scrape, so that some fell on a crawl: as long as a scrape gathers, Telegraf's output takes
             nothing in, and the buffer has to hold what comes

Of collectd, with write_prometheus, and the fake API behind it, since it asks for what no recording of
telegraf-balena holds:
  crawls     made until full, and the longest distance between two: the interval that was kept
  lost       the most devices that were there before and are missing at a later look
  busy       part of one processor that collectd had, until full and in two intervals later on
  memory     of collectd at its peak, MB

MESON_BUILD_ROOT says where the program and the plugin were built, BALENACRAWL_TELEGRAF where a
Telegraf is that is not in the PATH."""
import argparse
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import bench as measure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import e2e_lib as lib  # noqa: E402

UP = {"telegraf": re.compile(rb"^balena_device_status_code\{[^}]*device_uuid=\"([0-9a-f]+)\"", re.M),
      "collectd": re.compile(rb"^collectd_balena_device_status_code\{[^}]*instance=\"([0-9a-f]+)\"", re.M)}
ENDED = re.compile(rb"^collectd_balena_crawl_last_success_timestamp_seconds\{[^}]*\} ([0-9.]+)", re.M)
SERIES = re.compile(rb"^[a-z]", re.M)
TROUBLE = re.compile(r"^.*(?: E! |overflow|dropped).*$", re.M)
AS_PROMETHEUS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "gzip"}
LOOK_S = 5
HARD, STEADY = 2, 3     # intervals


def fleets(devices):
    return max(3, devices // 333)


class Fill:
    """Looks at an agent until it shows all devices."""

    def __init__(self, kind, agent, devices):
        self.up, self.agent, self.devices = UP[kind], agent, devices
        self.shown, self.lost, self.ends = set(), 0, []
        self.begun = time.monotonic()

    def look(self):
        asked = time.monotonic()
        try:
            with lib.OPENER.open(urllib.request.Request(self.agent.url, headers=AS_PROMETHEUS), timeout=120) as answer:
                body, zipped = answer.read(), answer.headers.get("Content-Encoding") == "gzip"
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            body, zipped = b"", False       # it does not listen yet
        self.scrape = time.monotonic() - asked
        self.sent, self.text = len(body), gzip.decompress(body) if zipped else body
        now = set(self.up.findall(self.text))
        self.lost, self.shown = max(self.lost, len(self.shown - now)), now
        self.ends += [float(end) for end in ENDED.findall(self.text) if float(end) not in self.ends]

    def wait(self, most_s):
        while time.monotonic() < self.begun + most_s and len(self.shown) < self.devices:
            time.sleep(LOOK_S)
            if self.agent.popen.poll() is not None:
                raise measure.Broken(self.agent.log_tail())
            self.look()
        self.full = time.monotonic() - self.begun

    def full_text(self):
        return "%s%.0f" % ("" if len(self.shown) >= self.devices else "> ", self.full)


class Telegraf(lib.Process):
    """With the sample configuration as it is installed, but for what is of this machine."""

    def __init__(self, command, args):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-bench."))
        port = lib.free_port()
        self.url = "http://127.0.0.1:%d/metrics" % port
        text = (measure.ROOT / "packaging/config/telegraf-balena.conf").read_text("utf-8")
        for key, value in (("command", json.dumps([str(word) for word in command])),
                           ("interval", '"%ds"' % args.interval), ("listen", '"127.0.0.1:%d"' % port),
                           ("metric_buffer_limit", args.buffer_limit)):
            if not value:
                continue
            text, n = re.subn(r"(?m)^(  %s = ).*" % key, lambda hit: hit[1] + value, text)
            if n != 1:
                raise measure.Broken("the sample configuration has %d of %s" % (n, key))
        conf = directory / "telegraf.conf"
        conf.write_text("[agent]\n  skip_processors_after_aggregators = true\n" + text)
        super().__init__("telegraf", [lib.telegraf_path(), "--config", conf], directory)


def telegraf(bench, devices, args):
    recording = bench.record(measure.Workload("", fleets(devices), devices, 0, 0))
    with bench.replay(recording) as server:
        row = telegraf_of(bench, server, devices, args)
        if server.stats()["unknown"]:
            raise measure.Broken("not all that was asked is in the recording")
    return row


def telegraf_of(bench, server, devices, args):
    command = [bench.ours_binary, "--api-url", server.url, "--token-file", bench.token_file, "--start-jitter", "0",
               "--min-interval", args.interval]
    wanted = subprocess.run([str(word) for word in command + ["--once", "--format", "prometheus"]], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    wanted = len(SERIES.findall(wanted))
    agent = Telegraf(command, args)
    try:
        fill = Fill("telegraf", agent, devices)
        fill.wait(args.most)
        pids = [agent.popen.pid, *lib.children(agent.popen.pid)]
        until = time.monotonic() + HARD * args.interval
        while time.monotonic() < until:
            fill.look()
        time.sleep(LOOK_S)              # what it still does for the scrape is not of the steady state
        cpu = [measure.cpu_seconds(pid) for pid in pids]
        time.sleep(STEADY * args.interval)
        busy = [(measure.cpu_seconds(pid) - before) / (STEADY * args.interval) for pid, before in zip(pids, cpu)]
        before = measure.cpu_seconds(pids[0])
        fill.look()
        scrape_cpu = measure.cpu_seconds(pids[0]) - before
        peak = [measure.peak_kib(pid) / measure.MIB for pid in pids]
        series = len(SERIES.findall(fill.text))
        trouble = TROUBLE.findall(agent.log())
        if trouble:
            print("\n".join(trouble[:10]), file=sys.stderr)
        return "%8d %7s %7.1f %% %6.1f %% %7.0f %7.1f %7.2f %7.1f %7.0f %7.1f %9d %7d %5d" % (
            devices, fill.full_text(), 100 * busy[0], 100 * busy[1], peak[0], peak[1], fill.scrape, scrape_cpu,
            len(fill.text) / 1e6, fill.sent / 1e6, series, wanted - series, len(trouble))
    finally:
        agent.close()


def collectd(_, devices, args):
    api = lib.FakeApi("--quiet", fleets=fleets(devices), devices=devices)
    agent = None
    try:
        agent = lib.Collectd(lib.Collectd.account(api, Interval=args.interval, NewSeriesPerSecond=args.new_series),
                             interval=args.interval)
        fill = Fill("collectd", agent, devices)
        fill.wait(args.most)
        cpu = measure.cpu_seconds(agent.popen.pid)
        time.sleep(2 * args.interval)
        steady = (measure.cpu_seconds(agent.popen.pid) - cpu) / (2 * args.interval)
        gaps = [b - a for a, b in zip(fill.ends, fill.ends[1:])]
        return "%8d %7s %6d %7.1f %6d %9.0f %% %7.0f %% %6.0f %7.2f" % (
            devices, fill.full_text(), len(fill.ends), max(gaps, default=0), fill.lost, 100 * cpu / fill.full,
            100 * steady, measure.peak_kib(agent.popen.pid) / measure.MIB, fill.scrape)
    finally:
        if agent:
            agent.close()
        api.close()


AGENTS = {
    "telegraf": (telegraf, " devices full, s Telegraf     child mem, MB   child scrape s  CPU, s    MB gzipped    series "
                           "missing  lost"),
    "collectd": (collectd, " devices full, s crawls longest   lost busy, fill  steady mem MB scrape s")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", choices=AGENTS)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--new-series", type=float, default=1000)
    parser.add_argument("--buffer-limit", default="", help="metric_buffer_limit instead of the sample's")
    parser.add_argument("--most", type=int, default=1800, help="seconds to wait at most")
    parser.add_argument("devices", type=int, nargs="+")
    args = parser.parse_args()
    fill, header = AGENTS[args.agent]
    with tempfile.TemporaryDirectory(prefix="balenacrawl-bench.") as work:
        bench = measure.Bench(lib.BUILD, work)
        try:
            print(header)
            for devices in args.devices:
                print(fill(bench, devices, args), flush=True)
        except measure.Broken as error:
            sys.exit("broken: %s" % error)


if __name__ == "__main__":
    main()
