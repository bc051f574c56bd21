#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A whole crawl of telegraf-balena in which the n-th call of the system fails that writes, waits, sends or
receives, for all n, once and from then on: strace is what makes them fail. Whatever happens the
program ends by itself and writes whole lines; and what it says was whole has every series.

Environment: BALENACRAWL_STRIDE  take every so many-th n; default 7."""
import collections
import os
import re
import subprocess

import e2e_lib as lib

STRIDE = int(os.environ.get("BALENACRAWL_STRIDE") or 7)
DEADLINE_S = 2
ENDS_S = 20  # under strace, on a busy machine
# What each can really end with.
ERRORS = {"write": ("EIO", "ENOSPC", "EINTR"), "poll": ("ENOMEM", "EINTR"), "sendto": ("ECONNRESET", "EINTR"),
          "recvfrom": ("ECONNRESET", "ETIMEDOUT", "EINTR")}


class Faults(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("strace")
        if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
            raise lib.unittest.SkipTest("strace may trace nothing here")
        lib.give_directory(cls)

    def setUp(self):
        self.fake = self.api("--quiet", devices=20)

    def crawl(self, *strace):
        """(exit status, lines, what went to stderr) of one crawl under strace."""
        run = lib.run(
            lib.find("strace"), "-f", "-qq", *strace, lib.execd_path(), "--once", "--api-url", self.fake.url,
            "--token-file", self.token_file, "--start-jitter", "0", "--page-size", "5", "--deadline", DEADLINE_S,
            "--requests-per-minute", "0", timeout=ENDS_S, program=lib.execd_path())
        self.assertTrue(run.stdout == b"" or run.stdout.endswith(b"\n"), run.stdout[-200:])
        return run.returncode, run.stdout.decode().splitlines(), run.stderr.decode()

    @staticmethod
    def series(lines):
        """Values of fleets and devices; a line that is not whole is no line protocol."""
        found = {}
        for line in lines:
            found.update(lib.parse_line(line))
        return lib.of_the_world(found)

    def test_each_call_fails(self):
        log = self.directory / "calls"
        status, lines, said = self.crawl("-o", log, "-e", "trace=" + ",".join(ERRORS))
        self.assertEqual((status, said), (0, ""))
        whole = self.series(lines)
        calls = collections.Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.M))
        # It does all of these, or nothing would be shown.
        self.assertEqual(set(calls), set(ERRORS))
        for call, errors in ERRORS.items():
            for n in range(1, calls[call] + 1, STRIDE):
                for error in errors:
                    # Nothing is interrupted for ever.
                    for lasting in ("",) if error == "EINTR" else ("", "+"):
                        what = "%s:error=%s:when=%d%s" % (call, error, n, lasting)
                        with self.subTest(what):
                            self.check(whole, what)

    def check(self, whole, what):
        status, lines, said = self.crawl("-o", "/dev/null", "-e", "inject=" + what)
        self.assertIn(status, (0, 1), said)
        series = self.series(lines)
        # No value but those that are true, whatever is missing.
        for key, value in series.items():
            if not key[0].endswith("crawl_success"):
                self.assertEqual(value, whole.get(key), key)
        if status == 0 and not said:
            self.assertEqual(set(series), set(whole))
        elif not (what.startswith("write") and what.endswith("+")):  # then it cannot say why either
            self.assertRegex(said, r"^[EWI]! ")


if __name__ == "__main__":
    lib.main()
