#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real agents when things go wrong: told to end at any moment of a crawl, killed, other
plugins beside ours, and who sees the token."""
import json
import os
import pathlib
import re
import signal
import subprocess

import e2e_lib as lib

LEAVE_S = 1.5  # "out within 1 s", and what a busy machine adds


class CollectdStop(lib.AgentTest):
    """With our plugin alone, the time that the daemon needs is ours."""

    @classmethod
    def setUpClass(cls):
        lib.require("collectd")
        cls.home = lib.tempfile.mkdtemp(prefix="balenacrawl-e2e-")
        cls.addClassCleanup(lib.shutil.rmtree, cls.home)

    def account(self, url, **options):
        return lib.Collectd.account(lib.Url(url, self.home), Interval=60, **options)

    def check_stop(self, agent):
        self.assertLess(agent.stop(), LEAVE_S)
        self.assertEqual(agent.popen.returncode, 0, agent.log())

    def test_every_moment(self):
        agents = []
        for moment in lib.Moment.ALL:
            place = lib.Moment(moment)
            self.addCleanup(place.close)
            agents.append((place, self.collectd(self.account(place.url), interval=60, alone=True)))
        for place, agent in agents:
            with self.subTest(place.name):
                place.wait(agent.popen.pid, [agent])
                self.check_stop(agent)

    def test_all_accounts_at_once(self):
        places = [lib.Moment(moment) for moment in lib.Moment.ALL]
        for place in places:
            self.addCleanup(place.close)
        agent = self.collectd(*(self.account(place.url, name="a%d" % i) for i, place in enumerate(places)),
                              interval=60, alone=True)
        for place in places:
            place.wait(agent.popen.pid, [agent])
        self.check_stop(agent)

    def test_between_pages(self):
        """At the n-th request of a crawl that goes on: not one that hangs."""
        for n in range(0, 20, 3):
            with self.subTest(request=n):
                api = self.api("--quiet", "--latency-ms", "100", devices=300)
                agent = self.collectd(self.account(api.url, PageSize=20), interval=60, alone=True)
                lib.wait_for("request %d" % n, lambda: len(lib.http_get(
                    api.url + "/_fake/log").splitlines()) > n, [agent])
                self.check_stop(agent)

    def test_between_crawls(self):
        api = self.api("--quiet")
        agent = self.collectd(self.account(api.url), interval=60, alone=True)
        lib.wait_for("crawl", lambda: "belongs_to__application%20eq%20null" in lib.http_get(
            api.url + "/_fake/log").decode(), [agent])
        self.check_stop(agent)

    def test_stuck_resolver(self):
        hole = self.black_hole()
        agent = self.collectd(self.account("https://api.stuck.invalid-but-looked-up.example"), interval=60,
                              alone=True, enter=hole.enter)
        hole.wait_asked()
        self.check_stop(agent)


class Neighbours(lib.AgentTest):
    """In one daemon with a plugin that uses jansson, which shares names with json-c, and one that
    uses the other libcurl."""

    # What `capabilities` asks about the machine.
    DMIDECODE = """#!/bin/sh
printf '# dmidecode 3.4\\nGetting SMBIOS data from sysfs.\\n\\n'
printf 'Handle 0x0001, DMI type 1, 27 bytes\\nSystem Information\\n\\tManufacturer: Acme\\n\\tProduct Name: Box\\n\\n'
"""

    @classmethod
    def setUpClass(cls):
        lib.require("collectd")

    @staticmethod
    def libraries(path):
        done = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 and "not found" not in done.stdout else ""

    def test_jansson_and_another_libcurl(self):
        plugins = pathlib.Path(lib.COLLECTD_PLUGINS)
        for name, library in ("capabilities", "libjansson"), ("curl_json", "libcurl"):
            if library not in self.libraries(plugins / (name + ".so")):
                self.skipTest("collectd's %s cannot be loaded here" % name)
        if not lib.find("openssl"):
            self.skipTest("openssl is not installed")
        home = self.api("--quiet").directory
        certificate, key = home / "cert.pem", home / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "30", "-subj", "/CN=neighbours", "-keyout", key, "-out", certificate,
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
        api = self.api("--quiet", "--tls", certificate, key)
        secure = api.url.replace("http:", "https:")
        tools = home / "tools"
        tools.mkdir()
        (tools / "dmidecode").write_text(self.DMIDECODE)
        (tools / "dmidecode").chmod(0o755)
        port = lib.free_port()
        agent = self.collectd(
            lib.Collectd.account(lib.Url(secure, home), CaFile='"%s"' % certificate),
            more="""
LoadPlugin capabilities
<Plugin capabilities>
  Host "127.0.0.1"
  Port "%d"
</Plugin>
LoadPlugin curl_json
<Plugin curl_json>
  <URL "%s/v7/device/$count">
    Instance "neighbour"
    Header "Authorization: Bearer %s"
    CACert "%s"
    <Key "d">
      Type "gauge"
    </Key>
  </URL>
</Plugin>
""" % (port, secure, lib.TOKEN, certificate), env={"PATH": "%s:%s" % (tools, os.environ["PATH"])})
        series = lib.scrape_crawl(agent, [api], "collectd_", 61)
        self.assertEqual(series["collectd_balena_crawl_success", lib.of_account("quickstart")], 1)
        lib.wait_for("curl_json's value", lambda: [value for (name, labels), value in lib.scrape(
            agent.url).items() if name.startswith("collectd_curl_json")] == [61], [agent])
        told = json.loads(lib.http_get("http://127.0.0.1:%d/" % port))
        self.assertIn("Acme", json.dumps(told))
        # All three are really in there, and the two flavours of libcurl, where the system has two.
        maps = pathlib.Path("/proc/%d/maps" % agent.popen.pid).read_text()
        mapped = {re.sub(r"\.so.*", "", path) for path in re.findall(r"/(lib[^/\s]+\.so\S*)", maps)}
        self.assertLessEqual({"libjansson", "libjson-c"}, mapped)
        for path in plugins / "curl_json.so", lib.plugin_path():
            for library in re.findall(r"libcurl[^\s.]*", self.libraries(path)):
                self.assertIn(library, mapped)
        self.assertEqual([line for line in agent.log().splitlines() if "error" in line.lower()], [])
        agent.stop()
        self.assertEqual(agent.popen.returncode, 0, agent.log())


class TelegrafTrouble(lib.AgentTest):
    """What only a real Telegraf shows."""

    @classmethod
    def setUpClass(cls):
        lib.require("telegraf")

    def test_api_trouble_never_ends_the_program(self):
        """Down, up, down, up: one process all along, one line when trouble begins and one when it
        ends, and no error that Telegraf itself has to report."""
        api = self.api("--quiet")
        agent = self.telegraf(api, "--min-interval", "0", "--interval", "10")
        account = frozenset({"account": "default"}.items())

        def wait_success(value):
            lib.wait_for("success %d" % value, lambda: lib.scrape(agent.url).get(
                ("balena_crawl_success", account)) == value, [agent, api])
        wait_success(1)
        before = lib.children(agent.popen.pid)
        self.assertEqual(len(before), 1)
        for _ in range(2):
            api.set(faults=[{"match": "/v7/", "status": 503, "body": "<html>", "times": -1}])
            wait_success(0)
            api.set(faults=[])
            wait_success(1)
        self.assertEqual(lib.children(agent.popen.pid), before)
        said = [line for line in agent.log().splitlines() if "inputs.execd" in line and re.search(" [EWI]! ", line)]
        troubles = [line for line in said if "503" in line]
        self.assertEqual(len(troubles), 2, agent.log())
        self.assertLessEqual(len(said), 6, agent.log())

    def test_stop_at_every_moment(self):
        agents = []
        for moment in lib.Moment.ALL:
            place = lib.Moment(moment)
            self.addCleanup(place.close)
            home = self.api("--quiet")
            agents.append((place, self.telegraf(lib.Url(place.url, home.directory))))
        for place, agent in agents:
            with self.subTest(place.name):
                lib.wait_for("program", lambda: lib.children(agent.popen.pid), [agent])
                place.wait(lib.children(agent.popen.pid)[0], [agent])
                # A crawl that was asked for may go on for 4 s; Telegraf itself would kill after 10 s.
                self.assertLess(agent.stop(), 4 + LEAVE_S + 1)
                self.assertNotIn("kill", agent.log().lower())


class Killed(lib.AgentTest):
    """SIGKILL, for an agent or for the program: what is left ends by itself, and what is started again shows
    all that is true by then, and has counted anew."""

    def change(self, api):
        """Something that only a crawl from now on can show: (metric, labels without those of an agent, value)."""
        row = next(row for row in api.devices() if row["overall_status"] == "operational" and row["fleet"])
        api.set(device=row["id"], fields={"overall_status": "updating"})
        return "balena_device_status_code", lib.of_fleet(row["fleet"], device_uuid=row["uuid"])

    def check_right(self, agent, api, key, names, shown_as, prefix, account, requests):
        """All of it is shown, and nothing else of what it was."""
        key = next(iter(shown_as({key: 0})))
        lib.wait_for("crawl after the change", lambda: lib.scrape(agent.url).get(key) == lib.code(
            lib.STATUS, "updating"), [agent, api])
        series = lib.scrape_crawl(agent, [api], prefix, 61)
        rows, truth = api.devices(), api.truth()
        expected = shown_as({**lib.expected_devices(rows, names), **lib.expected_device_infos(rows),
                             **lib.expected_fleets(rows, truth)})
        shown = {name for name, _ in series if name.startswith((prefix + "balena_device", prefix + "balena_fleet"))}
        lib.compare(expected, series, shown | {name for name, _ in expected})
        self.assertEqual(series[prefix + "balena_crawl_success", account], 1)
        # As in any first crawl: those that are good, and one for a field that is not there.
        self.assertEqual(sorted(filter(None, lib.values_of(series, prefix + "balena_api_requests_total").values())),
                         [1, requests])

    def check_killed(self, agent_of, *right):
        """`agent_of`: a function of the API."""
        for moment in ("between crawls", "in the middle of a page"):
            with self.subTest(moment):
                api = self.api("--quiet")
                hang = lib.Moment.FAULTS.get(moment)
                if hang:
                    api.set(fault={**hang, "times": 1})
                agent = agent_of(api)
                if hang:
                    lib.wait_for(moment, lambda: b'"fault":true' in lib.http_get(api.url + "/_fake/log"), [agent])
                else:
                    lib.scrape_crawl(agent, [api], right[2], 61)
                left, files = lib.children(agent.popen.pid), {path.name for path in agent.directory.iterdir()}
                for pid in left:
                    self.addCleanup(lambda pid=pid: lib.has_ended(pid) or os.kill(pid, signal.SIGKILL))
                agent.kill()
                # A crawl that was asked for may go on for 4 s.
                lib.wait_for("end of what was left", lambda: all(map(lib.has_ended, left)),
                             seconds=LEAVE_S + (4 if hang else 0))
                self.assertEqual({path.name for path in agent.directory.iterdir()}, files)
                key = self.change(api)
                agent.start()
                self.check_right(agent, api, key, *right)

    TELEGRAF = (None, lib.as_line_protocol, "", frozenset({("account", "default")}), 8)

    def test_telegraf(self):
        lib.require("telegraf")
        self.check_killed(self.telegraf, *self.TELEGRAF)

    def test_program_of_telegraf(self):
        lib.require("telegraf")
        api = self.api("--quiet")
        agent = self.telegraf(api)
        lib.scrape_crawl(agent, [api], devices=61)
        for _ in range(2):
            program = lib.children(agent.popen.pid)
            self.assertEqual(len(program), 1)
            key = self.change(api)
            os.kill(program[0], signal.SIGKILL)
            self.check_right(agent, api, key, *self.TELEGRAF)
            self.assertEqual(len(lib.children(agent.popen.pid)), 1)
            self.assertNotEqual(lib.children(agent.popen.pid), program)

    def test_collectd(self):
        lib.require("collectd")
        self.check_killed(lambda api: self.collectd(lib.Collectd.account(api, Interval=60)), lib.LEAN, lib.as_collectd,
                          "collectd_", lib.of_account("quickstart"), 7)


class Secrets(lib.AgentTest):
    """Process.close() looks at what each agent said. Here: what else others on the machine see."""

    def commands(self, pid):
        pids = [pid, *lib.children(pid)]
        return b"".join(pathlib.Path("/proc/%d/cmdline" % pid).read_bytes() for pid in pids)

    def check(self, agent, api):
        lib.wait_for("first requests", lambda: api.requests(), [agent])
        self.assertNotIn(lib.TOKEN.encode(), self.commands(agent.popen.pid))
        for path in agent.directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(lib.TOKEN.encode(), path.read_bytes(), path)

    def test_collectd(self):
        lib.require("collectd")
        api = self.api("--quiet")
        self.check(self.collectd(lib.Collectd.account(api)), api)

    def test_telegraf(self):
        lib.require("telegraf")
        api = self.api("--quiet")
        agent = lib.Telegraf(api)
        self.addCleanup(agent.close)
        self.check(agent, api)

    def test_errors(self):
        """An API that says the token back to whoever asks."""
        for fault in (
                {"status": 403, "body": "no rights for Bearer %s" % lib.TOKEN},
                {"status": 500, "body": "Authorization: Bearer %s" % lib.TOKEN},
                {"status": 400, "body": "Malformed url: '/v7/x?apikey=%s'" % lib.TOKEN},
                {"status": 302, "headers": {"Location": "https://127.0.0.1:1/?apikey=%s" % lib.TOKEN}},
                {"status": 502, "body": "x" * 113 + lib.TOKEN},
                {"status": 200, "body": lib.TOKEN},
                {"garbage": '{"d":[{"%s":"%s"}]}' % (lib.TOKEN, lib.TOKEN)}):
            with self.subTest(fault):
                api = self.api("--quiet")
                api.set(fault={**fault, "match": "/v7/application", "times": -1})
                done = lib.run(lib.execd_path(), "--once", "--start-jitter", "0", "--interval", "10",
                               env={"BALENA_API_URL": api.url, "BALENA_TOKEN": lib.TOKEN})
                self.assertNotEqual(done.returncode, 0)
                # Of a text that is cut, not even the beginning.
                self.assertNotIn(lib.TOKEN[:6].encode(), done.stdout + done.stderr)

    def test_token_file_that_others_can_read(self):
        """Said once, by path and not by what is in it."""
        api = self.api("--quiet")
        token_file = api.directory / "open-token"
        token_file.write_text(lib.TOKEN + "\n")
        for mode, says in (0o600, []), (0o640, []), (0o641, []), (0o644, ["read"]), (0o604, ["read"]), (0o602, ["overwrite"]):
            with self.subTest(oct(mode)):
                token_file.chmod(mode)
                done = lib.run(lib.execd_path(), "--once", "--start-jitter", "0",
                               env={"BALENA_API_URL": api.url, "BALENA_TOKEN_FILE": str(token_file)})
                self.assertEqual(done.returncode, 0)
                lines = done.stderr.decode().splitlines()
                self.assertEqual(lines, ["W! every user of this machine can %s the token in %s: chmod o= it" % (
                    what, token_file) for what in says])


if __name__ == "__main__":
    lib.main()
