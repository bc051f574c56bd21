#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Instances that share the fleets: together they show what one shows, wherever they learn their members from;
and a real Telegraf that goes leaves its fleets to two others before Prometheus misses them for long."""

import collections
import contextlib
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time

import e2e_lib as lib

FLEETS, DEVICES = 500, 3000
CLONE_NEWUTS = 0x4000000
NAME = "balena.shards.test"


def once(api, *arguments, enter=None):
    """The series of one crawl."""
    run = lib.run(lib.execd_path(), "--once", "--format", "prometheus", "--api-url", api.url, "--token-file",
                  api.directory / "token", "--start-jitter", "0", *arguments, enter=enter)
    if run.returncode != 0:
        raise AssertionError(run.stderr.decode())
    return lib.parse_text(run.stdout.decode()), run.stderr.decode()


def fleets_of(series):
    return {dict(labels)["fleet"] for labels in lib.values_of(series, "balena_fleet_crawl_success")}


def only(series, name):
    """The value of a metric that is there once, None if it is not."""
    values = list(lib.values_of(series, name).values())
    if len(values) > 1:
        raise AssertionError("%s is there %d times" % (name, len(values)))
    return values[0] if values else None


def shard_of(series):
    return only(series, "balena_crawl_shard_index"), only(series, "balena_crawl_shards")


class Union(lib.AgentTest):
    """n instances, each by itself: what they show together is what one shows."""

    def test_sum_of_the_parts(self):
        api = self.api("--quiet", fleets=FLEETS, devices=DEVICES)
        (api.directory / "token").write_text(lib.TOKEN)
        api.reset_log()
        whole = lib.of_the_world(once(api)[0])
        alone = len(api.requests())
        sizes = {fleet["slug"]: fleet["devices"] for fleet in api.truth()["fleets"]}
        self.assertEqual(len(fleets_of(whole) - {"none"}), FLEETS)
        for n in (1, 2, 3, 10):
            together, owned, devices = {}, [], []
            api.reset_log()
            for i in range(n):
                series, _ = once(api, "--shard", "%d/%d" % (i, n))
                self.assertEqual(shard_of(series), (i, n))
                mine = lib.of_the_world(series)
                self.assertEqual(together.keys() & mine.keys(), set(), "in two shards")
                together |= mine
                fleets = fleets_of(mine) - {"none"}
                owned.append(len(fleets))
                devices.append(sum(sizes[fleet] for fleet in fleets))
                self.assertEqual("none" in fleets_of(mine), i == 0)
            self.assertEqual(together, whole, "%d shards" % n)
            self.assertLessEqual(len(api.requests()), alone + 3 * n, "%d shards" % n)
            print("%d shards: %d to %d fleets, %.2f of the mean; %d to %d devices, %.2f; %d requests, alone %d" % (
                n, min(owned), max(owned), max(owned) * n / sum(owned), min(devices), max(devices),
                max(devices) * n / sum(devices), len(api.requests()), alone))


# ---- where members are learnt from -----------------------------------------------------------

class Answers(http.server.ThreadingHTTPServer):
    """An HTTP server that answers every GET with a text, and keeps what it was asked."""
    daemon_threads = True

    def __init__(self, text):
        self.text, self.asked = text, []
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        body = self.server.text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Dns(lib.Process):
    """A dnsmasq on an address of its own, and the only resolver of who is started with ask_it()."""

    def __init__(self, address="127.0.53.7"):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.hosts, self.resolv_conf = directory / "hosts", directory / "resolv.conf"
        self.hosts.write_text("")
        self.resolv_conf.write_text("nameserver %s\n" % address)
        for path in (directory, self.hosts, self.resolv_conf):
            path.chmod(0o755)
        self.address = address
        super().__init__("dnsmasq", [
            lib.find("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            "--bind-interfaces", "--listen-address=" + address, "--port=53", "--user=root", "--pid-file=",
            "--log-facility=-", "--addn-hosts=%s" % self.hosts], directory)
        # A SIGHUP before that would end it.
        lib.wait_for("a dnsmasq that has started", lambda: " names" in self.log(), [self])

    def ask_it(self):
        lib.unshare()
        lib.cover(b"/etc/resolv.conf", self.resolv_conf)

    def set(self, *addresses):
        """The addresses of NAME; returns when they are those that are told."""
        self.hosts.write_text("".join("%s %s\n" % (address, NAME) for address in addresses))
        self.popen.send_signal(signal.SIGHUP)
        lib.wait_for("the name's addresses", lambda: self.told() == set(addresses), [self])

    def told(self):
        run = subprocess.run(["getent", "ahosts", NAME], capture_output=True, text=True, check=False,
                             preexec_fn=self.ask_it)
        return {line.split()[0] for line in run.stdout.splitlines()}

    @classmethod
    def missing(cls):
        """Why this cannot be done here, None if it can."""
        reason = lib.missing("dnsmasq") or lib.no_namespaces(lib.unshare)
        if not reason:
            with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
                try:
                    probe.bind(("127.0.53.7", 53))
                except OSError as error:
                    reason = "port 53 cannot be had: %s" % error
        return reason


class SourceTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.give_directory(cls)

    def setUp(self):
        self.fake = self.api("--quiet", fleets=30, devices=60)
        (self.fake.directory / "token").write_text(lib.TOKEN)

    def dns(self):
        reason = Dns.missing()
        if reason:
            self.skipTest(reason)
        return self.closed(Dns())

    def check(self, source, shards, enter=None):
        """Each of the shards (name, index), as the source has them, crawls a part; together they crawl all."""
        together = {}
        for name, index in shards.items():
            series, said = once(self.fake, "--shard-members", source, "--shard-self", name, enter=enter)
            self.assertEqual(shard_of(series), (index, len(shards)), said)
            self.assertEqual(only(series, "balena_shard_membership_errors_total"), 0, said)
            mine = lib.of_the_world(series)
            self.assertEqual(together.keys() & mine.keys(), set())
            together |= mine
        self.assertEqual(together, lib.of_the_world(once(self.fake)[0]))


class Sources(SourceTest):
    def test_lines(self):
        path = self.directory / "members"
        path.write_text("# by hand\nweb-2:9273\nweb-1:9273\n\n")
        self.check("file:%s" % path, {"web-1": 0, "web-2:9273": 1})

    def test_file_sd(self):
        path = self.directory / "members.json"
        path.write_text(json.dumps([{"targets": ["10.0.0.2:9273", "10.0.0.1:9273"], "labels": {"job": "balena"}},
                                    {"targets": ["10.0.0.3:9273"]}]))
        self.check("file:%s" % path, {"10.0.0.1:9273": 0, "10.0.0.2": 1, "10.0.0.3": 2})

    def answers(self, text):
        server = Answers(text)
        self.addCleanup(server.close)
        return server, "http://127.0.0.1:%d" % server.server_port

    def test_http_sd(self):
        server, url = self.answers(json.dumps([{"targets": ["10.0.0.1:9273", "10.0.0.2:9273"], "labels": {}}]))
        self.check("http:%s/sd?job=balena" % url, {"10.0.0.1": 0, "10.0.0.2": 1})
        for path, headers in server.asked:
            self.assertEqual(path, "/sd?job=balena")
            self.assertNotIn("Authorization", headers)
            self.assertEqual(headers["Accept"], "application/json")

    def test_consul(self):
        def entry(address, node, port, status="passing"):
            return {"Node": {"ID": "40e4a748", "Node": "n-" + node, "Address": node, "Datacenter": "dc1"},
                    "Service": {"ID": "balena-1", "Service": "balena", "Tags": [], "Address": address, "Port": port,
                                "Weights": {"Passing": 1, "Warning": 1}},
                    "Checks": [{"CheckID": "serfHealth", "Status": "passing"},
                               {"CheckID": "service:balena-1", "Status": status}]}
        server, url = self.answers(json.dumps([entry("", "10.0.0.9", 9273), entry("10.1.0.1", "10.0.0.8", 9273),
                                               entry("10.1.0.2", "10.0.0.7", 9273, "critical")]))
        self.check(url + "/v1/health/service/balena?passing", {"10.0.0.9": 0, "10.1.0.1:9273": 1})
        self.assertEqual({path for path, _ in server.asked}, {"/v1/health/service/balena?passing"})

    def test_dns(self):
        dns = self.dns()
        dns.set("127.0.0.12", "127.0.0.11", "127.0.0.13")
        self.check("dns:" + NAME, {"127.0.0.11": 0, "127.0.0.12": 1, "127.0.0.13": 2}, enter=dns.ask_it)
        # IPv6 counts where it is alone.
        dns.set("fd00::2", "fd00::1")
        self.check("dns:" + NAME, {"fd00::1": 0, "fd00:0::2": 1}, enter=dns.ask_it)
        dns.set("127.0.0.12", "fd00::2", "fd00::1", "127.0.0.11")
        self.check("dns:" + NAME, {"127.0.0.11": 0, "127.0.0.12": 1}, enter=dns.ask_it)

    def test_dns_of_many(self):
        """More addresses than an answer by UDP holds; and this machine is found without a word."""
        dns = self.dns()
        dns.set("127.0.0.1", *("127.1.%d.%d" % (i, k) for i in range(4) for k in range(1, 61)))
        series, said = once(self.fake, "--shard-members", "dns:" + NAME, enter=dns.ask_it)
        self.assertEqual(shard_of(series), (0, 241), said)

    def test_ordinal_of_the_host(self):
        def enter():
            lib.unshare(CLONE_NEWUTS)
            lib.call("sethostname", b"balena-2", 8)
        reason = lib.no_namespaces(enter)
        if reason:
            self.skipTest(reason)
        series, said = once(self.fake, "--shard-members", "ordinal:3", enter=enter)
        self.assertEqual(shard_of(series), (2, 3), said)
        self.assertEqual(lib.of_the_world(series), lib.of_the_world(once(self.fake, "--shard", "2/3")[0]))

    # ---- sources that are no help ----

    def check_lost(self, source, why, enter=None):
        series, said = once(self.fake, "--shard-members", source, enter=enter)
        self.assertEqual(lib.of_the_world(series), lib.of_the_world(once(self.fake)[0]))
        self.assertEqual(shard_of(series), (None, None))
        self.assertEqual(only(series, "balena_shard_membership_errors_total"), 1)
        self.assertIn("shard-members %s: " % source, said)
        self.assertIn(why, said)
        self.assertIn("; all fleets are crawled until the members are known", said)
        self.assertEqual(said.count("\n"), 1, said)

    def test_no_list(self):
        _, url = self.answers("<html><body>Welcome</body></html>")
        self.check_lost(url + "/sd", "its answer names a member by what is no name")

    def test_no_server(self):
        self.check_lost("http://127.0.0.1:%d/sd" % lib.free_port(), "Failed to connect")

    def test_no_answer(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.check_lost("http://127.0.0.1:%d/sd" % silent.getsockname()[1], "it does not answer")

    def test_no_such_name(self):
        dns = self.dns()
        self.check_lost("dns:nobody.shards.test", "Could not resolve host: nobody.shards.test", enter=dns.ask_it)

    def test_stuck_resolver(self):
        """It neither holds up a stop nor, for long, a crawl."""
        hole = self.black_hole()
        command = [lib.execd_path(), "--api-url", "http://127.0.0.1:9", "--token-file", self.token_file,
                   "--start-jitter", "0", "--shard-members", "dns:" + NAME]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={},
                              preexec_fn=hole.enter) as run:
            run.stdin.write(b"\n")
            run.stdin.flush()
            hole.wait_asked()
            run.send_signal(signal.SIGTERM)
            # Telegraf would kill it after 5 s.
            said = run.communicate(timeout=4)
        lib.check_no_token("telegraf-balena", *said)
        self.assertEqual((run.returncode, said[0]), (0, b""), said)


# ---- members that come and go ----------------------------------------------------------------

class Members(SourceTest):
    @classmethod
    def setUpClass(cls):
        lib.require("telegraf", "prometheus")
        super().setUpClass()

    def member(self, address, dns, port=None):
        # A crawl each 2 s is more than the budget is for.
        return self.telegraf(self.fake, "--min-interval", "0", "--requests-per-minute", "0", "--shard-members",
                             "dns:" + NAME, "--shard-self", address, "--metrics",
                             "balena_fleet_* balena_device_status_code",
                             enter=dns.ask_it, expires="25s", port=port)

    def shares(self):
        """{instance: its fleets} as Prometheus has them."""
        found = collections.defaultdict(set)
        for labels in self.prometheus.query("balena_fleet_crawl_success"):
            labels = dict(labels)
            found[labels["job"]].add(labels["fleet"])
        return dict(found)

    def settled(self, jobs):
        """The shares, once these jobs have each fleet, and each fleet only once."""
        shares = self.shares()
        owned = [fleet for share in shares.values() for fleet in share]
        if set(shares) == set(jobs) and sorted(owned) == self.fleets:
            return shares
        return None

    def devices(self):
        return len(self.prometheus.query("max by (fleet, device_uuid) (balena_device_status_code)"))

    def wait(self, what, condition):
        # The agents show for half a minute what they were given last, and the machine is busy.
        return lib.wait_for(what, condition, self.alive, 3 * lib.DEADLINE_S)

    def test_one_goes_and_one_comes(self):
        dns = self.dns()
        count = len(self.fake.devices())
        self.fleets = sorted([fleet["slug"] for fleet in self.fake.truth()["fleets"]] + ["none"])
        addresses = {name: "127.0.0.%d" % (11 + i) for i, name in enumerate("abcd")}
        dns.set(*(addresses[name] for name in "abc"))
        agents = {name: self.member(addresses[name], dns) for name in "abc"}
        port = lib.free_port()
        self.prometheus = self.closed(lib.Prometheus(
            {**{name: agent.url for name, agent in agents.items()}, "d": "http://127.0.0.1:%d/metrics" % port}))
        self.alive = [self.fake, dns, self.prometheus, *agents.values()]
        before = self.wait("three shares", lambda: self.settled("abc"))
        self.assertEqual(self.devices(), count)

        # One is gone, and the name forgets it: its fleets go to the two others, and no other fleet moves.
        self.alive.remove(agents["b"])
        killed = time.monotonic()
        agents["b"].kill()
        dns.set(addresses["a"], addresses["c"])
        self.wait("all devices again", lambda: "b" not in self.shares() and self.devices() == count)
        print("all devices were there again after %.1f s, at an interval of 2 s" % (time.monotonic() - killed))
        after = self.wait("two shares", lambda: self.settled("ac"))
        self.assertEqual(after["a"] | after["c"], set(self.fleets))
        for name in "ac":
            self.assertLess(before[name], after[name])
            self.assertLessEqual(after[name] - before[name], before["b"])

        # Another comes: its share moves to it and nothing else, and no device is missing meanwhile.
        seen = set()
        dns.set(*(addresses[name] for name in "acd"))
        self.alive.append(self.member(addresses["d"], dns, port))

        def three():
            # What could not be scraped in time says nothing.
            seen.update(self.prometheus.query('count(max by (fleet, device_uuid) (balena_device_status_code)) '
                                              'and on () (min(up{job=~"a|c"}) == 1)').values())
            return self.settled("acd")
        joined = self.wait("three shares again", three)
        self.assertEqual(seen, {count})
        for name in "ac":
            self.assertLess(joined[name], after[name])
        self.assertEqual(joined["d"], (after["a"] - joined["a"]) | (after["c"] - joined["c"]))


if __name__ == "__main__":
    lib.main()
