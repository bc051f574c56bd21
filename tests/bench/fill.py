#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fill.py [--interval S] [--new-series N] [--most S] DEVICES...: how long a real collectd takes until
write_prometheus shows all devices, and what it costs. One row for each number of devices:

  full       seconds from the first crawl until every device is there
  crawls     made by then, and the longest distance between two: the interval that was kept
  lost       the most devices that were there before and are missing at a later look
  busy       part of one processor that collectd had, until full and in two intervals later on
  memory     of collectd at its peak, MB
  scrape     seconds for one, when full

The fake API stands behind it; MESON_BUILD_ROOT says where balena.so was built."""
import argparse
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import e2e_lib as lib  # noqa: E402

UP = re.compile(rb"^collectd_balena_device_status_code\{[^}]*instance=\"([0-9a-f]+)\"", re.M)
ENDED = re.compile(rb"^collectd_balena_crawl_last_success_timestamp_seconds\{[^}]*\} ([0-9.]+)", re.M)
LOOK_S = 5


def cpu_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/%d/status" % pid).read_text("ascii"))[1]) / 1024


def fill(devices, interval, new_series, most_s):
    api = lib.FakeApi("--quiet", fleets=max(3, devices // 333), devices=devices)
    agent = lib.Collectd(lib.Collectd.account(api, Interval=interval, NewSeriesPerSecond=new_series), interval=interval)
    shown, lost, ends, begun = set(), 0, [], time.monotonic()
    try:
        while time.monotonic() < begun + most_s:
            time.sleep(LOOK_S)
            asked = time.monotonic()
            text = lib.http_get(agent.url, 120)
            scrape = time.monotonic() - asked
            now = set(UP.findall(text))
            lost, shown = max(lost, len(shown - now)), now
            ends += [float(end) for end in ENDED.findall(text) if float(end) not in ends]
            if len(shown) >= devices:
                break
        full, cpu = time.monotonic() - begun, cpu_seconds(agent.popen.pid)
        time.sleep(2 * interval)
        steady = (cpu_seconds(agent.popen.pid) - cpu) / (2 * interval)
        gaps = [b - a for a, b in zip(ends, ends[1:])]
        return "%8d %7s %6d %7.1f %6d %9.0f %% %7.0f %% %6.0f %7.2f" % (
            devices, "%.0f" % full if len(shown) >= devices else "> %.0f" % full, len(ends), max(gaps, default=0),
            lost, 100 * cpu / full, 100 * steady, peak_mb(agent.popen.pid), scrape)
    finally:
        agent.close()
        api.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=int, default=60)
    parser.add_argument("--new-series", type=float, default=1000)
    parser.add_argument("--most", type=int, default=1800, help="seconds to wait at most")
    parser.add_argument("devices", type=int, nargs="+")
    args = parser.parse_args()
    print(" devices full, s crawls longest   lost busy, fill  steady mem MB scrape s")
    for devices in args.devices:
        print(fill(devices, args.interval, args.new_series, args.most), flush=True)


if __name__ == "__main__":
    main()
