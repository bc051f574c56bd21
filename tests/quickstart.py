#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""packaging/quickstart.sh as a newcomer runs it, with a Prometheus beside the agent: what it prints leads
to pages that show the fake API's fleets, and Ctrl-C leaves no process and no file behind. It builds into
build/, as it does for all."""
import json
import os
import pathlib
import re
import shutil
import signal
import tempfile
import unittest
import urllib.parse

import e2e_dashboards as pages
import e2e_lib as lib

SCRIPT = lib.ROOT / "packaging" / "quickstart.sh"
BUILD_S = 200    # with what the agents need after it


def descendants(pid):
    return [found for child in lib.children(pid) for found in (child, *descendants(child))]


class Quickstart(lib.Process):
    """Its temporary files are in `scratch`."""

    def __init__(self, *arguments, env=None, name="quickstart"):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        super().__init__(name, [SCRIPT, *arguments], directory, {"TMPDIR": str(self.scratch), **(env or {})})
        self.agent_said = b""

    def wait_until_it_runs(self):
        lib.wait_for("all that it starts", lambda: "keeps running" in self.log(), [self], BUILD_S)
        for path in self.scratch.glob("*/agent.log"):
            self.agent_said = path.read_bytes()

    def link(self, what):
        return re.search(r"%s: (http://127\.0\.0\.1:\d+/\S+)" % what, self.log())[1]

    def interrupt(self):
        """Ctrl-C: its status, and the processes that it leaves."""
        started = descendants(self.popen.pid)
        self.popen.send_signal(signal.SIGINT)
        lib.wait_for("end after Ctrl-C", lambda: self.popen.poll() is not None)
        return self.popen.returncode, [pid for pid in started if not lib.has_ended(pid)], len(started)


class QuickstartTest(unittest.TestCase):
    def start(self, *arguments, **options):
        script = Quickstart(*arguments, **options)
        self.addCleanup(script.close)
        return script

    def check(self, agent, fleets, **options):
        lib.require(agent, "prometheus")
        script = self.start(agent, "--with-prometheus", **options)
        script.wait_until_it_runs()
        lib.check_no_token(agent, script.agent_said, script.log_path.read_bytes())

        def shown():
            page = pages.Page(lib.http_get(script.link("all fleets")).decode())
            return {row[0]: row[1] for row in page.tables["fleets"][1:]}
        # The first scrape may have seen half of what the agent has.
        lib.wait_for("page with %r" % fleets, lambda: shown() == fleets, [script])
        prometheus = "http://" + urllib.parse.urlsplit(script.link("all fleets")).netloc
        for path in sorted((lib.ROOT / "packaging" / "monitoring" / "rules").glob("*.yml")):
            self.assertIn(path.name, lib.http_get(prometheus + "/api/v1/rules").decode())
        if agent == "telegraf":  # collectd says nothing of itself
            cost = urllib.parse.quote("process_resident_memory_bytes and on (job, instance) balena_crawl_info")
            answer = json.loads(lib.http_get(prometheus + "/api/v1/query?query=" + cost))
            self.assertEqual(len(answer["data"]["result"]), 1, answer)
        status, left, started = script.interrupt()
        self.assertEqual((status, left, list(script.scratch.iterdir())), (0, [], []))
        self.assertGreaterEqual(started, 2)

    def world(self, **options):
        """(A fake API, its fleets with the number of their devices.)"""
        api = lib.FakeApi("--quiet", **options)
        self.addCleanup(api.close)
        truth = api.truth()
        return api, {fleet["slug"]: str(fleet["devices"])
                     for fleet in (*truth["fleets"], {"slug": "none", **truth["none"]})}

    def test_telegraf_and_an_api_of_ones_own(self):
        api, fleets = self.world()
        self.check("telegraf", fleets, env={"BALENA_TOKEN": lib.TOKEN, "BALENA_API_URL": api.url})

    def test_collectd_and_the_api_that_is_made_up(self):
        _, fleets = self.world(devices=12)  # its twin, by the seed
        self.check("collectd", fleets)

    def test_without_a_prometheus(self):
        """Neither installed nor to be had: it says what to do, before it builds."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.addCleanup(shutil.rmtree, directory)
        for folder in "/usr/bin", "/bin", "/usr/sbin", "/sbin":
            for program in pathlib.Path(folder).iterdir():
                if program.name not in ("prometheus", "apt-get") and not (directory / program.name).is_symlink():
                    (directory / program.name).symlink_to(program)
        (directory / "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
        (directory / "apt-get").chmod(0o755)
        lib.require("collectd")
        script = self.start("--with-prometheus",
                            env={"PATH": str(directory), "XDG_CACHE_HOME": str(directory / "cache")})
        lib.wait_for("end", lambda: script.popen.poll() is not None)
        self.assertEqual(script.popen.returncode, 3, script.log())
        self.assertIn("apt-get install prometheus", script.log())
        self.assertNotIn("building", script.log())
        self.assertEqual(list(script.scratch.iterdir()), [])

    def test_help_and_mistakes(self):
        for words, status in (("--help",), 0), (("--with-grafana",), 2), (("collectd", "telegraf"), 2):
            done = lib.run(SCRIPT, *words, env=dict(os.environ), program="quickstart")
            self.assertEqual(done.returncode, status)
            self.assertIn(b"--with-prometheus", done.stdout + done.stderr)


if __name__ == "__main__":
    lib.main("collectd", "telegraf")
