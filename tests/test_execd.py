#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena as Telegraf sees it: the real binary, named by TELEGRAF_BALENA, between pipes and
the fake API. Nothing here sleeps; everything waits for output or for an exit, with a limit.

GOLDEN_UPDATE=1 writes the files in golden/execd_* anew.
"""
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import e2e_lib  # noqa: E402

BINARY = os.environ["TELEGRAF_BALENA"]
os.umask(0o077)  # a token that all can read is warned of
GOLDEN = pathlib.Path(__file__).resolve().parent / "golden"
TOKEN = e2e_lib.TOKEN
LONG_S = 30   # for what must happen, however busy the machine
LEAVE_S = 1.5  # "out within 1 s", and what a busy machine adds
PIPE_BUF = select.PIPE_BUF
CRAWLED = re.compile(rb"^balena_crawl,account=[^ ]+ success=([01])i", re.M)
FOR_EVER = {"hang": True, "times": -1}


def environment(**more):
    """Nothing of the developer's own settings, and fast: the first crawl at once."""
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith("BALENA") and key not in ("CRAWL_INTERVAL", "CREDENTIALS_DIRECTORY")}
    return {**clean, "BALENA_START_JITTER": "0", **more}


def run(*arguments, stdin=subprocess.DEVNULL, timeout=LONG_S, **env):
    done = subprocess.run([BINARY, *arguments], stdin=stdin, capture_output=True, timeout=timeout,
                          env=environment(**env), check=False)
    e2e_lib.check_no_token("telegraf-balena", done.stdout + done.stderr)
    return done


class Agent:
    """The binary in streaming mode. Its stdout is a pipe in packet mode: one read gives what one
    write wrote."""

    def __init__(self, *arguments, stdin=subprocess.PIPE, stdout=None, stderr=None, preexec_fn=None, **env):
        self.out = b""
        self.writes = []
        self.reader = None
        if stdout is None:
            self.reader, stdout = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        self.errors = tempfile.TemporaryFile()
        self.popen = subprocess.Popen([BINARY, *arguments], stdin=stdin, stdout=stdout,
                                      stderr=stderr or self.errors, env=environment(**env),
                                      preexec_fn=preexec_fn)
        if self.reader is not None:
            os.close(stdout)
        self.command = pathlib.Path("/proc/%d/cmdline" % self.popen.pid).read_bytes()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        if self.popen.stdin:
            self.popen.stdin.close()
        self.hang_up()
        if not self.errors.closed:
            e2e_lib.check_no_token("telegraf-balena", self.out + self.stderr().encode() + self.command)
        self.errors.close()

    def hang_up(self):
        if self.reader is not None:
            os.close(self.reader)
            self.reader = None

    def newline(self, count=1):
        self.popen.stdin.write(b"\n" * count)
        self.popen.stdin.flush()

    def eof(self):
        self.popen.stdin.close()
        return time.monotonic()

    def read(self, seconds):
        """One write of the agent; False: none came in time, or no more will come."""
        if not select.select([self.reader], [], [], max(seconds, 0))[0]:
            return False
        data = os.read(self.reader, 1 << 16)
        if data:
            self.writes.append(data)
            self.out += data
        return bool(data)

    def crawls(self):
        """The success of each crawl that came out so far."""
        return [int(success) for success in CRAWLED.findall(self.out)]

    def wait_crawls(self, count, seconds=LONG_S):
        deadline = time.monotonic() + seconds
        while len(self.crawls()) < count:
            if not self.read(deadline - time.monotonic()):
                raise AssertionError("%d crawls instead of %d\n%s" % (
                    len(self.crawls()), count, self.stderr()))
        # The rest of this crawl's last lines.
        while self.read(0.2):
            pass

    def read_to_end(self):
        while self.read(LONG_S):
            pass

    def wait(self, seconds=LONG_S):
        """Reads stdout until the agent has ended; its status."""
        self.read_to_end()
        return self.popen.wait(seconds)

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode()


class Api(unittest.TestCase):
    """A fake API for all tests of a class, its faults and log cleared for each."""
    devices = 61

    @classmethod
    def setUpClass(cls):
        cls.api = e2e_lib.FakeApi("--quiet", devices=cls.devices)
        cls.addClassCleanup(cls.api.close)

    def setUp(self):
        self.api.set(faults=[], latency_ms=0)
        self.api.reset_log()
        self.env = {"BALENA_API_URL": self.api.url, "BALENA_TOKEN": TOKEN}

    def agent(self, *arguments, stdin=subprocess.PIPE, stdout=None, stderr=None, **env):
        agent = Agent(*arguments, stdin=stdin, stdout=stdout, stderr=stderr, **{**self.env, **env})
        self.addCleanup(agent.__exit__)
        return agent

    def wait_request(self, agent):
        """Until the agent has asked the API for something."""
        e2e_lib.wait_for("request", lambda: e2e_lib.http_get(self.api.url + "/_fake/log"), seconds=LONG_S)
        self.assertIsNone(agent.popen.poll(), agent.stderr())

    def assert_gone(self, agent, since, limit=LEAVE_S, least=0):
        status = agent.popen.wait(LONG_S)
        took = time.monotonic() - since
        self.assertEqual(status, 0, agent.stderr())
        self.assertLess(took, limit)
        self.assertGreaterEqual(took, least)

    def assert_whole_lines(self, agent):
        for data in agent.writes:
            self.assertLessEqual(len(data), PIPE_BUF)
            self.assertTrue(data.endswith(b"\n"), data[-80:])
            self.assertTrue(data.startswith(b"balena_"), data[:80])


class EndOfStdin(Api):
    def test_idle(self):
        agent = self.agent()
        agent.wait_crawls(1)
        self.assert_gone(agent, agent.eof())
        self.assert_whole_lines(agent)
        self.assertNotIn("E! ", agent.stderr())

    def test_already_there(self):
        for name, open_stdin in (("null", lambda: open("/dev/null", "rb")),
                                 ("empty file", tempfile.TemporaryFile)):
            with self.subTest(name), open_stdin() as stdin:
                since = time.monotonic()
                agent = self.agent(stdin=stdin, BALENA_START_JITTER="5")
                self.assert_gone(agent, since)
                agent.wait()
                self.assertEqual(agent.out, b"")
                self.assertIn("--once", agent.stderr())

    def test_endless_stdin_that_is_no_pipe(self):
        with open("/dev/zero", "rb") as zero:
            since = time.monotonic()
            agent = self.agent(stdin=zero)
            self.assert_gone(agent, since)

    def test_closed_descriptors(self):
        """Neither a socket nor a file of ours may become stdin or stdout."""
        done = subprocess.run(["sh", "-c", 'exec "$0" <&-', BINARY], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=LONG_S,
                              env=environment(**self.env), check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        done = subprocess.run(["sh", "-c", 'exec "$0" --once >&-', BINARY], stderr=subprocess.PIPE,
                              timeout=LONG_S, env=environment(**self.env), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"stdout", done.stderr)

    def test_before_the_first_crawl(self):
        agent = self.agent(BALENA_START_JITTER="3600")
        self.assert_gone(agent, agent.eof())
        self.assertEqual(self.api.requests(), [])

    def test_in_a_crawl_that_nobody_asked_for(self):
        self.api.set(fault=FOR_EVER)
        agent = self.agent()
        self.wait_request(agent)
        self.assert_gone(agent, agent.eof())

    def test_in_a_crawl_that_was_asked_for(self):
        self.api.set(fault={"match": "/application?", "latency_ms": 1500})
        agent = self.agent(BALENA_START_JITTER="0")
        self.wait_request(agent)
        agent.newline()
        since = agent.eof()
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(agent.crawls(), [1])
        self.assert_gone(agent, since, 4)
        self.assertNotIn("ignored", agent.stderr())

    def test_in_a_crawl_that_was_asked_for_and_hangs(self):
        self.api.set(fault={**FOR_EVER, "match": "/application?"})
        agent = self.agent()
        self.wait_request(agent)
        agent.newline()
        since = agent.eof()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assert_gone(agent, since, 4 + LEAVE_S - 1, least=3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # A stdin at its end is readable for ever: that must not make it spin.
        self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1)
        agent.wait()
        self.assertEqual(agent.crawls(), [])

    def test_newline_and_end_at_once(self):
        """telegraf --test."""
        for name, text in ("one", b"\n"), ("many", b"\n\n\n"), ("with blanks", b"  \r\n"):
            with self.subTest(name):
                agent = self.agent(BALENA_START_JITTER="3600")
                agent.popen.stdin.write(text)
                since = agent.eof()
                self.assertEqual(agent.wait(), 0)
                self.assertEqual(agent.crawls(), [1])
                self.assert_gone(agent, since, 4)

    def test_newline_in_a_file(self):
        with tempfile.TemporaryFile() as stdin:
            stdin.write(b"\n")
            stdin.seek(0)
            agent = self.agent(stdin=stdin)
            self.assertEqual(agent.wait(), 0)
            self.assertEqual(agent.crawls(), [1])

    def test_nothing_is_lost_when_the_reader_is_late(self):
        # Few enough to fit into the pipe, so that no write waits.
        agent = self.agent("--fleet", "admin/kiosk*")
        agent.newline()
        agent.eof()
        # It stays until all is read, which Telegraf needs.
        with self.assertRaises(subprocess.TimeoutExpired):
            agent.popen.wait(1.5)
        self.assertEqual(agent.wait(), 0)
        self.assertEqual(agent.crawls(), [1])

    @staticmethod
    def unread(agent):
        import array
        import fcntl
        import termios
        count = array.array("i", [0])
        fcntl.ioctl(agent.reader, termios.FIONREAD, count)
        return count[0]


class Triggers(Api):
    def test_newline(self):
        agent = self.agent(BALENA_MIN_INTERVAL="0")
        agent.wait_crawls(1)
        for count in 2, 3:
            agent.newline()
            agent.wait_crawls(count)
        self.assertEqual(agent.crawls(), [1, 1, 1])
        self.assert_whole_lines(agent)

    def test_signals(self):
        for number in signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2:
            with self.subTest(number.name):
                agent = self.agent(BALENA_MIN_INTERVAL="0")
                agent.wait_crawls(1)
                agent.popen.send_signal(number)
                agent.wait_crawls(2)
                self.assert_gone(agent, agent.eof())

    def test_a_storm_in_a_crawl_is_one_more(self):
        self.api.set(fault={"match": "/application?", "latency_ms": 1000})
        agent = self.agent(BALENA_MIN_INTERVAL="0")
        self.wait_request(agent)
        agent.newline(20000)
        for number in (signal.SIGHUP, signal.SIGUSR1) * 20:
            agent.popen.send_signal(number)
        agent.wait_crawls(2)
        self.assert_gone(agent, agent.eof())
        agent.wait()
        self.assertEqual(agent.crawls(), [1, 1])
        self.assertNotIn("ignored", agent.stderr())

    def test_early_ones_are_ignored_and_said_once(self):
        agent = self.agent(BALENA_MIN_INTERVAL="3600")
        agent.wait_crawls(1)
        agent.newline()  # the one that is expected
        agent.newline(3000)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2) * 5:
            agent.popen.send_signal(number)
        self.assert_gone(agent, agent.eof())
        agent.wait()
        self.assertEqual(agent.crawls(), [1])
        said = [line for line in agent.stderr().splitlines() if line.startswith("I! triggers")]
        self.assertEqual(len(said), 1, agent.stderr())
        self.assertRegex(agent.stderr(), r"I! 30\d\d triggers were ignored")

    def test_each_crawl_tells_of_the_triggers_ignored_before_it(self):
        agent = self.agent(BALENA_MIN_INTERVAL="3")
        agent.wait_crawls(1)
        agent.newline()  # the one that is expected
        agent.newline(5)
        self.assertFalse(agent.read(3.5), "a crawl that came too soon")
        for count in 2, 3:
            agent.newline()
            agent.wait_crawls(count)
            self.assertFalse(agent.read(3.5), "a crawl that nobody asked for")
        ignored = re.findall(rb"^balena_crawl,account=default [^ ]*ignored_triggers=(\d+)i", agent.out, re.M)
        self.assertEqual(ignored, [b"0", b"5", b"0"])
        withheld = re.findall(rb"^balena_crawl,account=default,reason=agent withheld_values=(\d+)i", agent.out, re.M)
        self.assertEqual(withheld, [b"0", b"0", b"0"])
        self.assert_whole_lines(agent)

    def test_the_first_early_one_is_not_mentioned(self):
        agent = self.agent()
        agent.wait_crawls(1)
        agent.newline()
        self.assert_gone(agent, agent.eof())
        agent.wait()
        self.assertEqual(agent.crawls(), [1])
        self.assertNotIn("ignored", agent.stderr())

    def test_own_timer(self):
        agent = self.agent(BALENA_INTERVAL="10")
        agent.wait_crawls(1)
        since = time.monotonic()
        agent.wait_crawls(2)
        self.assertLess(time.monotonic() - since, 12)
        self.assertGreater(time.monotonic() - since, 8)

    def test_api_trouble_ends_nothing(self):
        for name, env in (("unreachable", {"BALENA_API_URL": "http://127.0.0.1:1"}),
                          ("bad token", {"BALENA_TOKEN": "wrong"})):
            with self.subTest(name):
                agent = self.agent(BALENA_MIN_INTERVAL="0", **env)
                agent.wait_crawls(1)
                agent.newline()
                agent.wait_crawls(2)
                self.assert_gone(agent, agent.eof())
                self.assertEqual(agent.crawls(), [0, 0])
                self.assertEqual(agent.stderr().count("E! "), 1, agent.stderr())

    def test_token_file_that_goes_and_comes(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "file"
            path.write_text(TOKEN + "\n")
            agent = self.agent(BALENA_TOKEN="", BALENA_TOKEN_FILE=str(path), BALENA_MIN_INTERVAL="0")
            agent.wait_crawls(1)
            path.unlink()
            agent.newline()
            agent.wait_crawls(2)
            path.write_text(TOKEN)
            agent.newline()
            agent.wait_crawls(3)
            self.assertEqual(agent.crawls(), [1, 0, 1])


class Stopping(Api):
    devices = 2000

    def test_idle(self):
        agent = self.agent()
        agent.wait_crawls(1)
        agent.popen.terminate()
        self.assert_gone(agent, time.monotonic())

    def test_before_the_first_crawl(self):
        agent = self.agent(BALENA_START_JITTER="3600")
        agent.popen.terminate()
        # Before main() has blocked the signal it kills, which is as good.
        self.assertIn(agent.popen.wait(LEAVE_S), (0, -signal.SIGTERM))

    def test_in_a_crawl(self):
        self.api.set(fault=FOR_EVER)
        agent = self.agent()
        self.wait_request(agent)
        agent.newline()
        agent.popen.terminate()
        self.assert_gone(agent, time.monotonic())

    def test_in_a_crawl_after_eof(self):
        self.api.set(fault=FOR_EVER)
        agent = self.agent()
        self.wait_request(agent)
        agent.newline()
        agent.eof()
        agent.popen.terminate()
        self.assert_gone(agent, time.monotonic())

    def blocked(self):
        """An agent that waits for a reader of its lines."""
        agent = self.agent()
        self.wait_request(agent)
        e2e_lib.wait_for("full pipe", lambda: EndOfStdin.unread(agent) > 50000, seconds=LONG_S)
        return agent

    def test_while_nobody_reads(self):
        agent = self.blocked()
        agent.popen.terminate()
        self.assert_gone(agent, time.monotonic())
        agent.wait()
        self.assert_whole_lines(agent)

    def test_end_of_stdin_while_nobody_reads(self):
        agent = self.blocked()
        self.assert_gone(agent, agent.eof())
        agent.wait()
        self.assert_whole_lines(agent)

    def test_reader_comes_back(self):
        agent = self.blocked()
        agent.wait_crawls(1)
        self.assertEqual(agent.crawls(), [1])
        self.assertEqual(len(re.findall(rb"^balena_device,.* info=1i", agent.out, re.M)), 2000)
        self.assert_whole_lines(agent)

    def test_reader_goes(self):
        agent = self.blocked()
        agent.hang_up()
        self.assertEqual(agent.popen.wait(LEAVE_S), 0)
        self.assertNotIn("E! ", agent.stderr())

    def test_interrupt(self):
        agent = self.agent(BALENA_MIN_INTERVAL="0")
        agent.wait_crawls(1)
        agent.popen.send_signal(signal.SIGINT)
        agent.newline()
        agent.wait_crawls(2)
        self.assertIsNone(agent.popen.poll())

    def test_interrupt_on_a_terminal(self):
        master, slave = pty.openpty()
        try:
            agent = self.agent(stdin=slave)
            agent.wait_crawls(1)
            agent.popen.send_signal(signal.SIGINT)
            self.assert_gone(agent, time.monotonic())
        finally:
            os.close(master)
            os.close(slave)

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            agent = self.agent(stdout=full)
            self.assertEqual(agent.popen.wait(LONG_S), 1)
        self.assertIn("E! cannot write to stdout", agent.stderr())

    def test_once(self):
        self.api.set(fault=FOR_EVER)
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            with self.subTest(number.name):
                self.api.reset_log()
                agent = self.agent("--once")
                self.wait_request(agent)
                agent.popen.send_signal(number)
                self.assertEqual(agent.popen.wait(LEAVE_S), 1)


# ---- every moment of a crawl -----------------------------------------------------------------

class EveryMoment(Api):
    """The moments at which a crawl can be told to leave, and each way to tell it."""
    devices = 300

    def begin(self, moment):
        """An agent in that moment, with an API of its own."""
        place = e2e_lib.Moment(moment, self.devices)
        self.addCleanup(place.close)
        agent = self.agent(BALENA_API_URL=place.url, BALENA_MIN_INTERVAL="0")
        place.wait(agent.popen.pid)
        return agent

    def all_moments(self):
        for moment in e2e_lib.Moment.ALL:
            yield moment, self.begin(moment)

    def test_sigterm(self):
        for moment, agent in self.all_moments():
            with self.subTest(moment):
                agent.popen.terminate()
                self.assert_gone(agent, time.monotonic())
                agent.wait()
                self.assert_whole_lines(agent)

    def test_end_of_stdin(self):
        for moment, agent in self.all_moments():
            with self.subTest(moment):
                self.assert_gone(agent, agent.eof())

    def test_end_of_stdin_of_a_crawl_that_was_asked_for(self):
        asked = []
        for moment, agent in self.all_moments():
            agent.newline()
            asked.append((moment, agent, agent.eof()))
        for moment, agent, since in asked:
            # It has until 4 s after the end; the one that waits for the gate has no time left.
            with self.subTest(moment):
                agent.wait()
                self.assert_gone(agent, since, 4 + LEAVE_S)
                self.assert_whole_lines(agent)

    def test_at_each_request(self):
        """The n-th request of a crawl hangs, for all n."""
        arguments = ("--page-size", "40", "--detail", "services")
        done = run("--once", *arguments, **self.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        count = len(e2e_lib.http_get(self.api.url + "/_fake/log").splitlines())
        self.assertGreater(count, 10)
        for n in range(count):
            with self.subTest(request=n):
                self.api.set(faults=[{"match": "/v7/", "after": n, "hang": True, "times": -1}])
                self.api.reset_log()
                agent = self.agent(*arguments)

                def asked():
                    agent.read(0)  # or it waits for a reader before it gets there
                    return b'"fault":true' in e2e_lib.http_get(self.api.url + "/_fake/log")
                e2e_lib.wait_for("request %d" % n, asked, seconds=LONG_S)
                since = time.monotonic()
                if n % 2:
                    agent.popen.terminate()
                else:
                    agent.eof()
                agent.wait()
                self.assert_gone(agent, since)
                self.assert_whole_lines(agent)
                self.assertEqual(agent.crawls(), [], "a stopped crawl says nothing of itself")

    def test_at_each_write(self):
        """After the n-th write, with nobody reading any further."""
        for n in range(0, 24, 3):
            with self.subTest(write=n):
                agent = self.agent()
                for _ in range(n + 1):
                    self.assertTrue(agent.read(LONG_S), agent.stderr())
                agent.popen.terminate()
                since = time.monotonic()
                self.assert_gone(agent, since)
                agent.wait()
                self.assert_whole_lines(agent)

    def test_signals_while_it_cannot_write(self):
        """A storm must not make it write half a line, lose one or crawl more than once more."""
        agent = self.agent(BALENA_MIN_INTERVAL="0")
        self.wait_request(agent)
        for _ in range(3000):
            for number in signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2:
                agent.popen.send_signal(number)
        agent.newline(1000)
        agent.wait_crawls(2)
        self.assertFalse(agent.read(0.5), "a third crawl")
        self.assert_gone(agent, agent.eof())
        self.assert_whole_lines(agent)
        self.assertEqual(agent.crawls(), [1, 1])
        self.assertEqual(len(re.findall(rb"^balena_device,.* info=1i", agent.out, re.M)), 600)


class Deadline(Api):
    def crawl_lines(self, agent, field):
        return [float(value) for value in re.findall(
            rb"^balena_crawl,account=default [^ ]*\b%s=([0-9.]+)" % field, agent.out, re.M)]

    def test_crawl_longer_than_the_interval(self):
        """It ends at its deadline and says so; what was asked for meanwhile comes right after."""
        self.api.set(fault={"match": "/application?", "hang": True})
        agent = self.agent(BALENA_INTERVAL="10", BALENA_MIN_INTERVAL="0")
        self.wait_request(agent)
        agent.newline(50)
        agent.wait_crawls(2)
        self.assertEqual(agent.crawls(), [0, 1])
        self.assertLess(self.crawl_lines(agent, b"duration_seconds")[0], 11)
        self.assertGreater(self.crawl_lines(agent, b"duration_seconds")[0], 9)
        self.assertFalse(agent.read(1), "a third crawl")

    def test_a_reader_that_pauses_costs_no_crawl(self):
        """Time blocked on stdout is not network time: here it is longer than the deadline."""
        api = e2e_lib.FakeApi("--quiet", "--keepalive-s", "60", devices=4000)
        self.addCleanup(api.close)
        agent = self.agent(BALENA_API_URL=api.url, BALENA_INTERVAL="10")
        agent.newline()  # from now on it is the caller who says when
        with self.assertRaises(subprocess.TimeoutExpired):
            agent.popen.wait(13)
        agent.wait_crawls(1)
        self.assertEqual(agent.crawls(), [1], agent.stderr())
        self.assertEqual(len(re.findall(rb"^balena_device,.* info=1i", agent.out, re.M)), 4000)


class Limits(Api):
    def test_few_descriptors(self):
        """None is leaked, and where there are too few it is an error, not a crash."""
        for limit in range(3, 17):
            with self.subTest(descriptors=limit):
                done = subprocess.run(
                    ["sh", "-c", 'ulimit -n %d && exec "$0" --once' % limit, BINARY], stdin=subprocess.DEVNULL,
                    capture_output=True, timeout=LONG_S, env=environment(**self.env), check=False)
                self.assertIn(done.returncode, (0, 1, 127), done.stderr)
                if done.returncode == 1:
                    self.assertRegex(done.stderr.decode(), r"\AE! [^\n]+\n\Z")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_descriptors_stay_the_same(self):
        agent = self.agent(BALENA_MIN_INTERVAL="0")
        agent.wait_crawls(1)

        def descriptors():
            return len(os.listdir("/proc/%d/fd" % agent.popen.pid)) - e2e_lib.sockets_of(agent.popen.pid)
        before = descriptors()
        for count in range(2, 8):
            agent.newline()
            agent.wait_crawls(count)
        self.assertEqual(descriptors(), before)

    def dumps_core(self, program, environment_):
        """Whether a program that aborts itself, or is made to, is said to have left a core file."""
        with tempfile.TemporaryDirectory() as directory:
            popen = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL, env=environment_, cwd=directory,
                                     preexec_fn=lambda: resource.setrlimit(
                                         resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2))
            try:
                e2e_lib.wait_for("program at work", lambda: e2e_lib.sockets_of(popen.pid) or program[0] != BINARY,
                                 seconds=LONG_S)
                popen.send_signal(signal.SIGABRT)
                _, status = os.waitpid(popen.pid, 0)
                popen.returncode = -signal.SIGABRT
            finally:
                popen.stdin.close()
            self.assertEqual(os.WTERMSIG(status), signal.SIGABRT)
            return os.WCOREDUMP(status) or bool(list(pathlib.Path(directory).glob("core*")))

    def test_no_core(self):
        self.api.set(fault=FOR_EVER)
        try:
            control = self.dumps_core(["cat"], environment())
        except subprocess.SubprocessError:
            control = False  # the limit may not be raised
        if not control:
            self.skipTest("this machine writes no core files anyway")
        self.assertFalse(self.dumps_core([BINARY], environment(**self.env)))

    @unittest.skipUnless(os.getuid() == 0, "needs root to become somebody else; see Once for the rest")
    def test_not_dumpable(self):
        """The kernel gives what /proc shows of such a process to root."""
        self.api.set(fault=FOR_EVER)
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            os.chmod(directory, 0o755)
            libraries = subprocess.run(["ldd", BINARY], capture_output=True, check=True, text=True).stdout
            for path in (BINARY, re.search(r"libbalenacrawl\S+ => (\S+)", libraries)[1]):
                os.chmod(shutil.copy(path, directory), 0o755)
            agent = subprocess.Popen([directory + "/" + os.path.basename(BINARY)], stdin=subprocess.PIPE,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=65534, group=65534,
                                     extra_groups=[], env=environment(LD_LIBRARY_PATH=directory, **self.env))
            try:
                e2e_lib.wait_for("request", lambda: e2e_lib.http_get(self.api.url + "/_fake/log"), seconds=LONG_S)
                self.assertIsNone(agent.poll())
                self.assertEqual(os.stat("/proc/%d/environ" % agent.pid).st_uid, 0)
                self.assertIn("\nUid:\t65534\t", pathlib.Path("/proc/%d/status" % agent.pid).read_text())
            finally:
                agent.kill()
                agent.wait()
                agent.stdin.close()


class StuckResolver(unittest.TestCase):
    """Names are asked of a server that never answers, in a network of the test's own."""
    URL = "https://api.stuck.invalid-but-looked-up.example"
    ENV = {"BALENA_API_URL": URL, "BALENA_TOKEN": TOKEN}

    @classmethod
    def setUpClass(cls):
        reason = e2e_lib.BlackHole.missing()
        if reason:
            raise unittest.SkipTest(reason)
        cls.hole = e2e_lib.BlackHole()
        cls.addClassCleanup(cls.hole.close)

    def agent(self, *arguments, **env):
        agent = Agent(*arguments, preexec_fn=self.hole.enter, **{**self.ENV, **env})
        self.addCleanup(agent.__exit__)
        self.hole.wait_asked()
        return agent

    def gone(self, agent, since, limit=LEAVE_S):
        status = agent.popen.wait(LONG_S)
        self.assertLess(time.monotonic() - since, limit)
        return status

    def test_sigterm(self):
        agent = self.agent()
        agent.popen.terminate()
        self.assertEqual(self.gone(agent, time.monotonic()), 0, agent.stderr())

    def test_end_of_stdin(self):
        agent = self.agent()
        self.assertEqual(self.gone(agent, agent.eof()), 0, agent.stderr())

    def test_end_of_stdin_of_a_crawl_that_was_asked_for(self):
        agent = self.agent()
        agent.newline()
        self.assertEqual(self.gone(agent, agent.eof(), 4 + LEAVE_S), 0, agent.stderr())

    def test_one_shot(self):
        for command in "--once", "--check":
            for number in signal.SIGTERM, signal.SIGINT:
                with self.subTest(command, signal=number.name):
                    agent = self.agent(command)
                    agent.popen.send_signal(number)
                    self.assertEqual(self.gone(agent, time.monotonic()), 1, agent.stderr())

    def test_deadline(self):
        since = time.monotonic()
        agent = self.agent(BALENA_INTERVAL="10")
        agent.wait_crawls(1)
        self.assertEqual(agent.crawls(), [0])
        self.assertLess(time.monotonic() - since, 10 + LEAVE_S)
        agent.popen.terminate()
        self.assertEqual(self.gone(agent, time.monotonic()), 0, agent.stderr())


class Once(Api):
    def test_line_protocol(self):
        done = run("--once", **self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(len(re.findall(rb"^balena_device,.* info=1i", done.stdout, re.M)), 61)
        self.assertEqual(CRAWLED.findall(done.stdout), [b"1"])
        self.assertNotIn(b"\r", done.stdout)

    def test_prometheus(self):
        done = run("--once", "--format", "prometheus", **self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        families = re.findall(rb"^# TYPE (\w+) \w+$", done.stdout, re.M)
        self.assertEqual(len(families), len(set(families)))
        promtool = e2e_lib.find("promtool")
        if not promtool:
            self.skipTest("promtool is not installed")
        checked = subprocess.run([promtool, "check", "metrics"], input=done.stdout,
                                 capture_output=True, timeout=LONG_S, check=False)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))

    def test_prometheus_and_influx_say_the_same(self):
        lines = run("--once", **self.env).stdout.decode()
        text = run("--once", "--format", "prometheus", **self.env).stdout.decode()
        influx = sum(len(re.findall(r"(?<!\\)[ ,]\w+=-?[0-9.e-]+i?(?=[ ,])",
                                    re.split(r"(?<!\\) ", line, maxsplit=1)[1].join("  ")))
                     for line in lines.splitlines())
        self.assertEqual(influx, len(re.findall(r"^[^#]", text, re.M)))

    def test_table(self):
        done = run("--once", "--format", "table", **self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.golden("execd_table.txt", done.stdout)

    def test_golden_lines(self):
        """Everything but what the clock decides."""
        done = run("--once", "--fleet", "admin/kiosk*", **self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        text = re.sub(rb"\d{19}$", b"T", done.stdout, flags=re.M)
        text = re.sub(rb"((?:timestamp|duration|received)_\w+)=[0-9.]+", rb"\1=N", text)
        text = re.sub(rb"(requests_total)=\d+i", rb"\1=N", text)
        text = re.sub(rb"version=[0-9.]+ info", b"version=V info", text)
        self.golden("execd_lines.txt", b"".join(sorted(text.splitlines(True))))

    def golden(self, name, text):
        path = GOLDEN / name
        if os.environ.get("GOLDEN_UPDATE"):
            path.write_bytes(text)
        self.assertEqual(text.decode(), path.read_text("utf-8"))

    def test_failures_have_a_status_and_one_line(self):
        for name, env, text in (
                ("bad token", {"BALENA_TOKEN": "wrong"}, "token"),
                ("unreachable", {"BALENA_API_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1")):
            for form in "influx", "prometheus", "table":
                with self.subTest(name, form=form):
                    done = run("--once", "--format", form, **{**self.env, **env})
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(done.stderr.decode().count("\n"), 1)
                    self.assertTrue(done.stderr.decode().startswith("E! "))
                    self.assertIn(text, done.stderr.decode())
                    self.assertTrue(done.stdout)

    def test_full_disk_and_no_reader(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BINARY, "--once"], stdout=full, stderr=subprocess.PIPE,
                                  env=environment(**self.env), timeout=LONG_S, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"cannot write to stdout", done.stderr)
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([BINARY, "--once"], stdout=writer, stderr=subprocess.PIPE,
                              env=environment(**self.env), timeout=LONG_S, check=False)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (1, b""))

    def test_terminal(self):
        """No prefixes, and a line of progress that is gone at the end."""
        self.api.set(latency_ms=300)
        master, slave = pty.openpty()
        done = subprocess.Popen([BINARY, "--once", "--format", "table", "--page-size", "10"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave,
                                env=environment(TERM="xterm", **self.env))
        os.close(slave)
        with done.stdout:
            done.stdout.read()
        self.assertEqual(done.wait(LONG_S), 0)
        text = os.read(master, 1 << 16).decode()
        os.close(master)
        self.assertRegex(text, r"\rfleets \d+/\d+  devices \d+/\d+  requests \d+")
        self.assertTrue(text.endswith("\r\x1b[K"), text)

    def test_no_room_for_temporary_files(self):
        done = run("--once", "--format", "prometheus", TMPDIR="/nonexistent", **self.env)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"E! cannot write a temporary file", done.stderr)

    def test_temporary_files_are_gone(self):
        with tempfile.TemporaryDirectory() as directory:
            run("--once", "--format", "prometheus", TMPDIR=directory, **self.env)
            self.assertEqual(os.listdir(directory), [])

    def test_without_core_file(self):
        self.api.set(fault=FOR_EVER)
        agent = self.agent()
        self.wait_request(agent)
        process = pathlib.Path("/proc/%d" % agent.popen.pid)
        self.assertRegex((process / "limits").read_text(), r"Max core file size +0 +0 ")
        if os.getuid() != 0:
            # Not dumpable: its memory, and its environment with the token, are root's.
            with self.assertRaises(PermissionError):
                (process / "environ").read_bytes()


class Check(Api):
    def test_good(self):
        done = run("--check", **self.env)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout.decode(), r"(?m)^ok    .*token")
        self.assertIn("all 60 devices of the fleets, and those of no fleet", done.stdout.decode())

    def test_bad(self):
        for name, env, text in (
                ("bad token", {"BALENA_TOKEN": "wrong"}, "token"),
                ("unreachable", {"BALENA_API_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1")):
            with self.subTest(name):
                done = run("--check", **{**self.env, **env})
                self.assertEqual(done.returncode, 1)
                self.assertIn(text, (done.stdout + done.stderr).decode())
                self.assertNotIn(b"wrong ", done.stdout + done.stderr)

    def test_reads_no_devices(self):
        run("--check", **self.env)
        self.assertFalse([target for target in self.api.requests() if "/device?" in target])


class Usage(unittest.TestCase):
    SECRET = "s3cr3t-s3cr3t-s3cr3t"
    GOOD = {"BALENA_TOKEN": "t", "BALENA_API_URL": "http://127.0.0.1:1"}

    def setUp(self):
        directory = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        self.directory = directory

    def refused(self, arguments, env, *words):
        done = run(*arguments, **{**self.GOOD, **env})
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 2, text)
        self.assertEqual(done.stdout, b"")
        self.assertRegex(text, r"\AE! [^\n]+\n\Z")
        self.assertNotIn(self.SECRET, text)
        for word in words:
            self.assertIn(word, text)

    def test_command_line(self):
        secret = self.SECRET
        for arguments, words in (
                (["--nonsense"], ["--nonsense", "--help"]),
                (["--nonsense=" + secret], ["--nonsense", "--help"]),
                (["--intervall", "60"], ["--intervall", "--interval?"]),
                (["--IntervalX", "60"], ["--IntervalX"]),
                (["--TokenFile", secret], ["--token-file?"]),
                (["--token_file=" + secret], ["--token-file?"]),
                (["-z"], ["--help"]),
                (["-z" + secret], ["--help"]),
                (["--" + secret], ["--help"]),
                ([secret], ["argument 1"]),
                (["--once", secret], ["argument 2"]),
                (["--", secret], ["argument 2"]),
                (["--interval"], ["--interval", "value"]),
                (["--interval", "soon"], ["--interval", "soon", "10 to 86400"]),
                (["--interval", "1"], ["--interval", '"1"', "10 to 86400"]),
                (["--interval", "1e9"], ["--interval"]),
                (["--interval="], ["--interval"]),
                (["--interval", "60\n61"], ["--interval"]),
                (["--detail", "everything"], ["--detail", "everything"]),
                (["--allow-http", "perhaps"], ["--allow-http", "true or false"]),
                (["--account", "a b"], ["--account"]),
                (["--metrics", "no_such_*"], ["--metrics"]),
                (["--api-url", "api.example.com"], ["--api-url", "https://"]),
                (["--api-url", "ftp://api.example.com"], ["--api-url"]),
                (["--api-url", "http://api.example.com"], ["api-url", "plain http"]),
                (["--ca-file", "/nonexistent"], ["ca-file", "/nonexistent"]),
                (["--token-file", "/nonexistent"], ["token-file", "/nonexistent"]),
                (["--token-file", "/"], ["token-file"]),
                (["--token", secret], ["BALENA_TOKEN", "--token-file"]),
                (["--token=" + secret], ["BALENA_TOKEN", "--token-file"]),
                (["--once=1"], ["--once"]),
                (["--once", "--check"], ["--check"]),
                (["--format", "json", "--once"], ["influx, prometheus or table"]),
                (["--format", "table"], ["--once"]),
                (["--format=prometheus"], ["--once"])):
            with self.subTest(" ".join(arguments)):
                self.refused(arguments, {}, *words)

    def test_environment(self):
        bad_token = self.directory / "bad"
        bad_token.write_bytes(self.SECRET.encode() + b"\x01x")
        empty = self.directory / "empty"
        empty.write_bytes(b"\n")
        two = self.directory / "two"
        two.write_text(self.SECRET + "\n" + self.SECRET + "\n")
        for env, words in (
                ({"BALENA_INTERVAL": "soon"}, ["BALENA_INTERVAL", "interval", "soon", "10 to 86400"]),
                ({"BALENA_INTERVAL": "1"}, ["BALENA_INTERVAL"]),
                ({"CRAWL_INTERVAL": "1"}, ["CRAWL_INTERVAL", "10 to 86400"]),
                ({"BALENA_DETAIL": "x"}, ["BALENA_DETAIL", "fleets, devices or services"]),
                ({"BALENA_TOKEN": self.SECRET + "\n"}, ["BALENA_TOKEN"]),
                ({"BALENA_TOKEN": self.SECRET + "\x1b"}, ["BALENA_TOKEN"]),
                ({"BALENA_TOKEN": ""}, ["token"]),
                ({"BALENA_TOKEN_FILE": "/nonexistent"}, ["token-file", "/nonexistent"]),
                ({"BALENA_TOKEN_FILE": str(bad_token)}, ["token-file", str(bad_token)]),
                ({"BALENA_TOKEN_FILE": str(empty)}, ["token-file", str(empty)]),
                ({"BALENA_TOKEN_FILE": str(two)}, ["token-file", str(two)]),
                ({"BALENA_API_URL": "balena-cloud.com"}, ["BALENA_API_URL", "https://"])):
            with self.subTest(str(env)):
                self.refused(["--once"], env, *words)

    @unittest.skipIf(os.getuid() == 0, "root reads every file")
    def test_token_file_without_permission(self):
        path = self.directory / "file"
        path.write_text("t")
        path.chmod(0)
        self.refused(["--once"], {"BALENA_TOKEN_FILE": str(path)}, "token-file", "ermission")

    def test_command_line_wins_over_environment(self):
        done = run("--check", "--account", "mine", BALENA_ACCOUNT="its", **self.GOOD)
        self.assertIn(b'"mine"', done.stdout)
        # Even one that would be refused.
        done = run("--check", "--interval", "60", BALENA_INTERVAL="soon", **self.GOOD)
        self.assertEqual(done.returncode, 1)

    def test_names_in_the_environment(self):
        done = run("--check", BALENA_ACCOUNT="its", BALENA_DETAIL="", **self.GOOD)
        self.assertIn(b'"its"', done.stdout)
        # The new name wins, and what is empty is not set.
        done = run("--check", BALENA_INTERVAL="60", CRAWL_INTERVAL="1", **self.GOOD)
        self.assertEqual(done.returncode, 1)
        done = run("--check", BALENA_INTERVAL="", CRAWL_INTERVAL="", **self.GOOD)
        self.assertEqual(done.returncode, 1)

    def test_credential(self):
        env = {"BALENA_TOKEN": "", "CREDENTIALS_DIRECTORY": str(self.directory)}
        self.refused(["--once"], env, "no API token")
        credential = self.directory / "telegraf.balena_token"
        credential.write_text(self.SECRET + " " + self.SECRET)
        self.refused(["--once"], env, "telegraf.balena_token")
        # Not looked at when there is another.
        done = run("--check", **{**self.GOOD, **env, "BALENA_TOKEN": "t"})
        self.assertEqual(done.returncode, 1)
        credential.write_text("t\n")
        done = run("--check", **{**self.GOOD, **env})
        self.assertEqual(done.returncode, 1, done.stderr)

    def test_texts(self):
        for arguments in ["--help"], ["-h"], ["--version"], ["-V"], ["--list-metrics"], ["--list-options"]:
            with self.subTest(arguments[0]):
                done = run(*arguments, BALENA_INTERVAL="soon")
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertGreater(len(done.stdout), 10)
                with open("/dev/full", "wb") as full:
                    code = subprocess.run([BINARY, *arguments], stdout=full, check=False, timeout=LONG_S,
                                          stderr=subprocess.DEVNULL, env=environment()).returncode
                self.assertEqual(code, 1)
                # Nobody reads on, as behind head.
                reader, writer = os.pipe()
                os.close(reader)
                done = subprocess.run([BINARY, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False,
                                      timeout=LONG_S, env=environment())
                os.close(writer)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertLessEqual(max(map(len, run("--help").stdout.decode().splitlines())), 80)

    def test_every_option_is_in_help_and_list(self):
        table = run("--list-options").stdout.decode()
        keys = re.findall(r"^\| `--([a-z-]+)` +\| `([A-Za-z]+)` +\| `(BALENA_[A-Z_]+)`", table, re.M)
        self.assertGreater(len(keys), 10)
        text = run("--help").stdout.decode()
        for key, camel, variable in keys:
            self.assertIn("  --%s VALUE, %s" % (key, variable), text)
            self.assertEqual(camel.lower(), key.replace("-", ""))
            self.assertEqual(variable, "BALENA_" + key.upper().replace("-", "_"))
        self.assertIn("\n  BALENA_TOKEN\n", text)

    def test_lists_are_tables(self):
        for what in "metrics", "options":
            rows = run("--list-" + what).stdout.decode().splitlines()
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
            self.assertEqual(len(cells), 1, what)
            self.assertRegex(rows[1], r"^(\| -+ )+\|$")

    def test_config_that_ends_streaming(self):
        self.refused([], {"BALENA_TOKEN": ""}, "token")


if __name__ == "__main__":
    e2e_lib.main()
