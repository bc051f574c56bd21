#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena between real sockets and servers that do wrong, one test for each fault of
docs/faults.md. Every crawl is compared whole: all series about fleets and devices with what was true
on the server, the requests by result, the retries, the log to the last line, and the time it took.

Behind the faults stands the fake API; raw_server.py plays what it is told to the byte. Of all that
any server of this file was sent, tearDown looks at each request."""
import collections
import concurrent.futures
import datetime
import email.utils
import gzip
import itertools
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

import e2e_lib as lib
import fake_api
from raw_server import HANG, KEEP, RESET, RawServer, bomb, message

PROBE = "$top=0"
LIST = "/application?"
PAGE = "belongs_to__application%20in"  # all devices of fleets: one page
ORPHANS = "belongs_to__application%20eq%20null"
# A crawl of the fake: six probes, of which one finds that a field is not there, the list, two pages.
WHOLE = {"ok": 8, "client_error": 1}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
ZIPPED = ("Content-Encoding: gzip", "Connection: close")
ACCOUNT = frozenset({("account", "default")})
BUSY_S = 10         # what a busy machine may add to anything
RETRIES_S = 1.5     # two random waits, at most
WORKERS = 6
MEMORY_KB = 40000   # of a crawl at its peak; a good one has 11,000
REQUEST = re.compile(rb"GET (?P<target>/[^ ]*) HTTP/1\.1\r\n(?P<headers>(?:[A-Za-z-]+: [^\r\n]*\r\n)*)\r\n")
HEADERS = {b"host", b"user-agent", b"accept-encoding", b"accept", b"authorization"}
REDIRECTED = "redirects (HTTP %d), which is not followed: set the API's own URL"
BAD_TOKEN = "the API refuses the token (HTTP 401): it is wrong, revoked or expired; make a new API key"
NOT_YET = "the API asked not to be asked anything for a while (HTTP 429 or 503 with Retry-After)"


def for_ever(data):
    return itertools.repeat(data)


class Crawled:
    """What one crawl left: exit status, series, log, seconds, those of a processor, and the most memory
    it had."""

    def __init__(self, status, series, log, seconds, cpu_seconds, memory_kb):
        self.status, self.series, self.log, self.seconds = status, series, log, seconds
        self.cpu_seconds, self.memory_kb = cpu_seconds, memory_kb

    def of_crawl(self, name, **labels):
        return self.series["balena_" + name, frozenset({"account": "default", **labels}.items())]

    def counts(self):
        return {dict(labels)["result"]: value for labels, value in lib.values_of(
            self.series, "balena_api_requests_total").items() if value}


class FaultTest(unittest.TestCase):
    world = {}

    @classmethod
    def setUpClass(cls):
        lib.give_directory(cls)
        cls.api = fake_api.FakeApi(fake_api.World(**cls.world), [lib.TOKEN]).start()
        cls.addClassCleanup(cls.api.stop)
        cls.rows = json.loads(fake_api.dump(cls.api.world.device_dicts(0, 1000000)))
        cls.truth = json.loads(fake_api.dump(cls.api.world.truth()))

    def setUp(self):
        self.servers = []

    def tearDown(self):
        """Nothing but GET without a body, no header that we did not mean, and the token as it is."""
        for server in self.servers:
            server.close()
            for _, data in server.seen if server.reads == b"\r\n\r\n" else []:
                match = REQUEST.fullmatch(data)
                self.assertTrue(match, data[:500])
                headers = dict(line.split(b": ", 1) for line in match["headers"].splitlines())
                self.assertLessEqual({name.lower() for name in headers}, HEADERS)
                self.assertEqual(headers[b"Authorization"], b"Bearer " + lib.TOKEN.encode())
                self.assertEqual(headers[b"Accept-Encoding"], b"gzip")
                self.assertEqual(headers[b"Host"], b"%s:%d" % (server.name, server.port))

    def server(self, *, upstream=True, name=b"127.0.0.1", **more):
        server = RawServer(self.api.url if upstream else None, **more)
        server.name = name
        self.servers.append(server)
        return server

    def other_server(self, **more):
        """One that must not hear a word."""
        other = self.server(upstream=False, **more)
        self.addCleanup(lambda: self.assertEqual((other.connections, other.seen), (0, [])))
        return other

    def command(self, url, *arguments):
        return [str(word) for word in (
            lib.execd_path(), "--api-url", url, "--token-file", self.token_file, "--start-jitter", 0,
            "--requests-per-minute", 0, *arguments)]

    def crawl(self, url, *arguments, deadline=20, env=None):
        """One crawl, its samples as Prometheus text."""
        started, memory, cpu = time.monotonic(), 0, 0
        with tempfile.TemporaryFile(dir=self.directory) as out, tempfile.TemporaryFile(dir=self.directory) as log:
            child = subprocess.Popen(self.command(url, "--once", "--format", "prometheus", "--deadline", deadline,
                                                  *arguments), stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                                     env=env or {}, preexec_fn=lib.die_with_parent)
            try:
                while True:
                    memory, cpu = max(memory, peak_memory(child.pid)), max(cpu, cpu_seconds(child.pid))
                    try:
                        child.wait(0.02)
                        break
                    except subprocess.TimeoutExpired:
                        self.assertLess(time.monotonic() - started, deadline + 40, "it does not end")
            finally:
                child.kill()
                child.wait()
            seconds = time.monotonic() - started
            out.seek(0)
            log.seek(0)
            out, log = out.read(), log.read()
        lib.check_no_token("telegraf-balena", out, log)
        return Crawled(child.returncode, lib.parse_text(out.decode()), log.decode(), seconds, cpu, memory)

    # What must be shown.

    def all_of_it(self):
        return {**lib.expected_devices(self.rows), **lib.expected_device_infos(self.rows),
                **lib.expected_fleets(self.rows, self.truth)}

    def part_of_it(self, rows, read):
        """When of the fleets only those for which read(slug) were read to their end, but some devices of
        others, `rows` in all: no sums of the others, but what the list says of them."""
        everything = lib.expected_fleets(self.rows, self.truth)
        fleets = {key: value for key, value in everything.items() if read(dict(key[1])["fleet"])}
        for fleet in self.truth["fleets"]:
            of_list = ("crawl_success", "info", "tracks_latest_release", "target_release_info",
                       "target_release_created_timestamp_seconds")
            if not read(fleet["slug"]):
                fleets.update({key: value for key, value in everything.items() if ("fleet", fleet["slug"]) in key[1]
                               and key[0] in ["balena_fleet_" + name for name in of_list]})
                fleets["balena_fleet_crawl_success", lib.of_fleet(fleet["slug"])] = 0
        return {**lib.expected_devices(rows), **lib.expected_device_infos(rows), **fleets}

    def orphans_only(self):
        """When the page of all fleets could not be read, but that of the devices of no fleet."""
        return self.part_of_it([row for row in self.rows if not row["fleet"]], lambda slug: slug == "none")

    def first_devices(self, count):
        """The first devices of the page of all fleets, which came before its answer broke, too."""
        of_fleets = [row for row in self.rows if row["fleet"]][:count]
        return self.part_of_it(of_fleets + [row for row in self.rows if not row["fleet"]], lambda slug: slug == "none")

    def check(self, crawled, emitted, counts, retries=0, log="", seconds=(0, BUSY_S)):
        """`log`: nothing, or a part of the one line there must be."""
        shown = lib.of_the_world(crawled.series)
        lib.compare(emitted, shown, {name for name, labels in {**shown, **emitted}})
        self.assertEqual(crawled.counts(), counts)
        self.assertEqual(crawled.of_crawl("api_retries_total"), retries)
        read = [value for labels, value in lib.values_of(emitted, "balena_fleet_crawl_success").items()
                if dict(labels)["fleet"] != "none"]
        success = any(read)
        self.assertEqual(crawled.series.get(("balena_crawl_fleets_failed", ACCOUNT), 0), read.count(0))
        self.assertEqual((crawled.of_crawl("crawl_success"), crawled.status), (success, 0 if success else 1))
        if log:
            self.assertEqual(len(crawled.log.splitlines()), 1, crawled.log)
            self.assertIn(log, crawled.log)
        else:
            self.assertEqual(crawled.log, "")
        self.assertGreaterEqual(crawled.seconds, seconds[0])
        self.assertLessEqual(crawled.seconds, seconds[1])
        self.assertLess(crawled.memory_kb, MEMORY_KB)

    def page_text(self, count=None):
        """The page of all fleets as the API has it, or its beginning to the end of device `count`."""
        server = self.server()
        self.crawl(server.url)
        target = next(data for _, data in server.seen if PAGE.encode() in data).split(b" ")[1].decode()
        text = self.api.respond("GET", target, {"authorization": "Bearer " + lib.TOKEN}, b"").body
        return text if count is None else fake_api.dump({"d": json.loads(text)["d"][:count]})[:-2]

    # The two shapes that most tests have.

    def check_page(self, *steps, result, log, once=None, ever=None, **more):
        """A fault in the page of all fleets: if once, it is asked for again and nobody sees it; if for
        ever, three times in all, and its fleets have no sums. `once`, `ever`: what is emitted then."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            first = pool.submit(self.crawl, self.server(**more).script(PAGE, *steps, times=1).url)
            second = pool.submit(self.crawl, self.server(**more).script(PAGE, *steps).url)
        self.check(first.result(), once or self.all_of_it(), {**WHOLE, result: 1}, retries=1,
                   seconds=(0, RETRIES_S + BUSY_S))
        self.check(second.result(), ever or self.orphans_only(), {**WHOLE, "ok": 7, result: 3}, retries=2, log=log,
                   seconds=(0, RETRIES_S + BUSY_S))

    def check_final(self, *steps, result, log, emitted=None):
        """A fault in that page that is not tried again."""
        server = self.server().script(PAGE, *steps)
        counts = {**WHOLE, "ok": 7, result: WHOLE.get(result, 0) + 1}
        self.check(self.crawl(server.url), emitted or self.orphans_only(), counts, log=log)


def peak_memory(pid):
    """In KB; 0 once the process has ended."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path("/proc/%d/status" % pid).read_text("ascii"), re.M)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def cpu_seconds(pid):
    """Of user and system; 0 once the process has ended."""
    try:
        fields = pathlib.Path("/proc/%d/stat" % pid).read_text("ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Good(FaultTest):
    def test_no_fault(self):
        self.check(self.crawl(self.server().url), self.all_of_it(), WHOLE)

    def test_old_and_odd_but_right(self):
        # HTTP/1.0, a body that ends with the connection, 100 and 103 before the answer, chunks of a byte.
        page = self.page_text()
        chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in page) + b"0\r\nTrailer: x\r\n\r\n"
        for steps in ((b"HTTP/1.0 200 OK\r\n\r\n" + page,),
                      (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
                       message(page), KEEP),
                      (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, KEEP),
                      (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page,)):
            with self.subTest(begins=steps[0][:40]):
                self.check(self.crawl(self.server().script(PAGE, *steps).url), self.all_of_it(), WHOLE)


class Bodies(FaultTest):
    """A page's body that is not what it should be."""

    def test_html_with_status_200(self):
        self.check_page(message(HTML, "HTTP/1.1 200 OK", "X-Type: text/html"), KEEP, result="garbage",
                        log='/v7/device: the answer does not begin with {"d":[')

    def test_empty_200(self):
        self.check_page(message(b""), KEEP, result="garbage", log="/v7/device: the answer ends too early")

    def test_d_is_null(self):
        self.check_page(message(b'{"d":null}'), KEEP, result="garbage", log='does not begin with {"d":[')

    def test_error_object_with_status_200(self):
        self.check_page(message(b'{"error":"no"}'), KEEP, result="garbage", log='does not begin with {"d":[')

    def test_cut_but_said_to_be_whole(self):
        text = self.page_text(5)
        server = self.server().script(PAGE, message(text), KEEP, times=1)
        self.check(self.crawl(server.url), self.all_of_it(), {**WHOLE, "garbage": 1}, retries=1)
        # It was gone on with behind what had been read, not begun anew.
        self.assertEqual(sum(b"id%20gt%20" in data for _, data in server.seen), 1)

    def test_204(self):
        self.check_page(b"HTTP/1.1 204 No Content\r\n\r\n", KEEP, result="garbage", log="the answer ends too early")

    def test_206(self):
        # It looks whole, and says itself that it is not.
        self.check_page(message(b'{"d":[]}', "HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-7/9000"), KEEP,
                        result="garbage", log="/v7/device: HTTP 206")

    def test_304_that_was_not_asked_for(self):
        self.check_final(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", KEEP, result="client_error",
                         log="/v7/device: HTTP 304\n")

    def test_truncated_chunk(self):
        text = self.page_text(4)
        chunk = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s" % (len(text) + 100, text)
        # Each try gets further; then no more, and it is given up.
        server = self.server().script(PAGE, chunk, times=1)
        self.check(self.crawl(server.url), self.all_of_it(), {**WHOLE, "network": 1}, retries=1)
        server = self.server().script(PAGE, chunk, times=1).script(
            PAGE, HEAD + b"Transfer-Encoding: chunked\r\n\r\n8\r\n{\"d\"")
        self.check(self.crawl(server.url), self.first_devices(4), {**WHOLE, "ok": 7, "network": 3}, retries=2,
                   log="transfer closed with outstanding read data remaining", seconds=(0, 2 + BUSY_S))

    def test_chunk_size_garbage(self):
        for size in (b"zz", b"", b"-8", b"f" * 20):
            with self.subTest(size=size):
                self.check_page(HEAD + b'Transfer-Encoding: chunked\r\n\r\n%s\r\n{"d":[]}' % size, result="network",
                                log="in chunked-encoding")

    def test_content_length_too_long(self):
        self.check_page(HEAD + b'Content-Length: 100\r\n\r\n{"d":[]}', result="network",
                        log="transfer closed with 92 bytes remaining to read")

    def test_content_length_too_short(self):
        self.check_page(HEAD + b'Content-Length: 5\r\n\r\n{"d":[]}', KEEP, result="garbage",
                        log="the answer ends too early")

    def test_content_length_garbage(self):
        for length in (b"-8", b"eight"):
            with self.subTest(length=length):
                self.check_page(HEAD + b'Content-Length: %s\r\n\r\n{"d":[]}' % length, result="garbage",
                                log="Invalid Content-Length: value")

    def test_two_lengths(self):
        self.check_page(HEAD + b'Content-Length: 8\r\nContent-Length: 5\r\n\r\n{"d":[]}', result="garbage",
                        log="the answer ends too early")

    def test_reset_in_the_middle_of_a_page(self):
        text = self.page_text(7)
        # The devices that had come stay, the sums are of all or not there.
        server = self.server().script(PAGE, HEAD + b"\r\n" + text, 0.2, RESET, times=1)
        self.check(self.crawl(server.url), self.all_of_it(), {**WHOLE, "network": 1}, retries=1)
        server = self.server().script(PAGE, HEAD + b"\r\n" + text, 0.2, RESET, times=1).script(PAGE, RESET)
        self.check(self.crawl(server.url), self.first_devices(7), {**WHOLE, "ok": 7, "network": 3}, retries=2,
                   log="Connection reset by peer", seconds=(0, 2 + BUSY_S))

    def test_closed_in_the_middle_of_a_page(self):
        self.check_page(HEAD + b'\r\n{"d":[', result="garbage", log="the answer ends too early")

    def test_broken_gzip(self):
        page = gzip.compress(self.page_text())
        short = "the answer ends too early"
        for body, says in ((b"\x1f\x8b\x08\x00garbage", short), (b"garbage", "content unencoding"), (page[:40], short)):
            with self.subTest(begins=body[:10]):
                self.check_page(message(body, "HTTP/1.1 200 OK", "Content-Encoding: gzip"), KEEP,
                                result="garbage", log=says)

    def test_gzip_with_a_wrong_checksum(self):
        body = bytearray(gzip.compress(self.page_text()))
        body[-8] ^= 1
        # All devices were read before it showed: it is asked what lies behind the last of them.
        server = self.server().script(PAGE, message(bytes(body), "HTTP/1.1 200 OK", "Content-Encoding: gzip"), KEEP,
                                      times=1)
        self.check(self.crawl(server.url), self.all_of_it(), {**WHOLE, "garbage": 1}, retries=1)

    def test_unknown_content_encoding(self):
        for encoding in ("br", "zstd", "x-secret", ", ".join(["gzip"] * 50)):
            with self.subTest(encoding=encoding[:20]):
                self.check_page(message(b'{"d":[]}', "HTTP/1.1 200 OK", "Content-Encoding: " + encoding), KEEP,
                                result="garbage", log="ontent")

    def test_gzip_bomb(self):
        # 2 GB of blanks, which JSON allows; of zeros; of one string; and of an error's text.
        large = "the answer is larger than this library allows"
        cases = [("200 OK", bomb(b" "), "garbage", 1, large),
                 ("200 OK", bomb(b"\0"), "garbage", 3, 'does not begin with {"d":['),
                 ("200 OK", bomb(b"a", b'{"d":[{"id":7,"uuid":"'), "garbage", 1, large),
                 ("500 No", bomb(b" "), "server_error", 3, "/v7/device: HTTP 500")]
        for status, steps, result, tries, says in cases:
            with self.subTest(status=status, says=says):
                server = self.server().script(PAGE, message(b"", "HTTP/1.1 " + status, *ZIPPED, length=False), *steps)
                # The work is measured, not the wait for a processor: 1 GiB takes a while beside other tests.
                crawled = self.crawl(server.url, deadline=120)
                self.check(crawled, self.orphans_only(), {**WHOLE, "ok": 7, result: tries}, retries=tries - 1,
                           log=says, seconds=(0, 120))
                self.assertLess(crawled.cpu_seconds, 25)

    def test_endless_body(self):
        for status, piece, result, says in (
                ("200", b'{"d":[{"id":1,"uuid":"' + b"a" * (1 << 20), "garbage", "larger than this library allows"),
                ("500", b"a" * 65536, "server_error", "/v7/device: HTTP 500: aaaa")):
            with self.subTest(status=status):
                head = message(b"", "HTTP/1.1 %s X" % status, length=False)
                server = self.server().script(PAGE, head, for_ever(piece))
                tries = 3 if status == "500" else 1
                self.check(self.crawl(server.url), self.orphans_only(), {**WHOLE, "ok": 7, result: tries},
                           retries=tries - 1, log=says, seconds=(0, RETRIES_S + BUSY_S))


class Time(FaultTest):
    """What never ends, or would take too long, ends with the deadline."""

    late = "the crawl took longer than its deadline of 1 s"

    def check_late(self, *steps, emitted=None, match=PAGE, counts=None, **more):
        server = self.server(**more).script(match, *steps)
        crawled = self.crawl(server.url, deadline=1)
        self.check(crawled, self.orphans_only() if emitted is None else emitted,
                   counts or {**WHOLE, "ok": 7, "timeout": 1}, log=self.late, seconds=(1, 1 + BUSY_S))
        return crawled

    def test_no_answer(self):
        self.check_late(HANG)

    def test_no_answer_once(self):
        # Half of the deadline is waited for it: then there is time to ask again.
        server = self.server().script(PAGE, HANG, times=1)
        self.check(self.crawl(server.url, deadline=20), self.all_of_it(), {**WHOLE, "timeout": 1}, retries=1,
                   seconds=(10, 10 + BUSY_S))

    def test_gzip_bomb(self):
        # One read from the network is up to 1.6 GB of blanks here, and seconds of work.
        head = message(b"", "HTTP/1.1 200 OK", *ZIPPED, length=False)
        crawled = self.check_late(head, *bomb(b" "), match=LIST, emitted={},
                                  counts={"ok": 5, "client_error": 1, "timeout": 1})
        self.assertLess(crawled.cpu_seconds, 2.5)

    def test_no_answer_to_the_first_request(self):
        self.check_late(HANG, match=PROBE, emitted={}, counts={"timeout": 1})

    def test_no_answer_to_the_list(self):
        self.check_late(HANG, match=LIST, emitted={}, counts={"ok": 5, "client_error": 1, "timeout": 1})

    def test_body_stands_still(self):
        text = self.page_text(3)
        self.check_late(HEAD + b"Content-Length: 100000\r\n\r\n" + text, HANG, emitted=self.first_devices(3))

    def test_slow_body(self):
        text = self.page_text(3)
        self.check_late(HEAD + b"\r\n", drip_of(text), drip_of(b" " * 100000, 1, 0.01), emitted=self.first_devices(3))

    def test_slow_headers(self):
        self.check_late(b"HTTP/1.1 200 OK\r\nX-Slow: ", drip_of(b"a" * 100000, 1, 0.01))

    def test_endless_blanks(self):
        self.check_late(HEAD + b"\r\n", drip_of(b" " * 10000000, 1000, 0.01))

    def test_slow_error_body(self):
        self.check_late(b"HTTP/1.1 500 No\r\n\r\n", drip_of(b"a" * 100000, 1, 0.01))

    def test_slow_but_in_time(self):
        text = self.page_text()
        server = self.server().script(PAGE, HEAD + b"\r\n", drip_of(text, len(text) // 50, 0.01))
        self.check(self.crawl(server.url), self.all_of_it(), WHOLE, seconds=(0.5, 1 + BUSY_S))


def drip_of(data, size=20, seconds=0.001):
    """Steps: data in pieces, with time between."""
    return list(itertools.chain.from_iterable((data[i:i + size], seconds) for i in range(0, len(data), size)))


class Heads(FaultTest):
    """What comes before the body."""

    larger = "the answer is larger than this library allows"

    def test_endless_headers(self):
        line = b"X-Header: %s\r\n" % (b"a" * 1000)
        self.check_final(b"HTTP/1.1 200 OK\r\n", for_ever(line * 100), result="garbage", log=self.larger)

    def test_endless_early_answers(self):
        self.check_final(for_ever(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" * 100), result="garbage",
                         log=self.larger)

    def test_huge_header(self):
        self.check_page(b"HTTP/1.1 200 OK\r\nX-Header: ", [b"a" * 100000] * 20, b"\r\n\r\n{}", result="network",
                        log="libcurl has no memory, or not for a line this long in the answer's head")

    def test_many_headers(self):
        self.check_final(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000, b'\r\n{"d":[]}', result="garbage",
                         log=self.larger)

    def test_only_an_early_answer(self):
        self.check_page(b"HTTP/1.1 100 Continue\r\n\r\n", result="network", log="Empty reply from server")

    def test_switching_protocols(self):
        self.check_page(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" +
                        message(b'{"d":[]}'), result="garbage", log="/v7/device: HTTP 101")

    def test_http_0_9(self):
        self.check_page(b'{"d":[]}', result="garbage", log="is no API: Received HTTP/0.9 when not allowed")

    def test_unknown_http_version(self):
        self.check_page(message(b'{"d":[]}', "HTTP/3 200 OK"), result="garbage",
                        log="is no API: Unsupported HTTP version")

    def test_not_http(self):
        for banner in (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\x00\xff" * 5000, b"220 mail ESMTP\r\n"):
            with self.subTest(banner=banner[:8]):
                server = self.server().script(PROBE, banner, HANG)
                self.check(self.crawl(server.url), {}, {"garbage": 3}, retries=2, log="is no API: Received HTTP/0.9",
                           seconds=(0, RETRIES_S + BUSY_S))

    def test_headers_of_no_meaning(self):
        # A NUL, no colon, no name, bytes above 127, a line without a CR: refused, or passed over.
        page = self.page_text()
        for line in (b": no name\r\n", b"X-\xff: \xfe\r\n", b"X: y\n"):
            with self.subTest(line=line):
                server = self.server().script(PAGE, HEAD + line + b"\r\n" + page)
                self.check(self.crawl(server.url), self.all_of_it(), WHOLE)
        self.check_page(HEAD + b"NoColon\r\n\r\n" + page, result="garbage", log="Header without colon")
        self.check_page(HEAD + b"X: a\x00b\r\n\r\n" + page, result="garbage", log="Nul byte in header")


class Statuses(FaultTest):
    """Answers that say no, with the HTML pages that proxies send."""

    def test_401(self):
        server = self.server().script(PROBE, message(HTML, "HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic"))
        # Answered is only that anonymous question which tells a bad token from a bad server.
        self.check(self.crawl(server.url), {}, {"auth": 1, "ok": 1}, log=BAD_TOKEN)
        self.assertIn(b"/device_type?", server.seen[-1][1].split(b"\r\n")[0])

    def test_401_of_a_server_in_trouble(self):
        server = self.server()
        server.script(PROBE, message(HTML, "HTTP/1.1 401 Unauthorized"))
        server.script("/device_type", message(HTML, "HTTP/1.1 500 Internal Server Error"))
        self.check(self.crawl(server.url), {}, {"auth": 1, "server_error": 1},
                   log="the API answers 401, but is in trouble itself (HTTP 500: <html>")

    def test_401_in_the_middle(self):
        server = self.server().script(PAGE, message(HTML, "HTTP/1.1 401 Unauthorized"))
        crawled = self.crawl(server.url, "--concurrency", "1")
        self.check(crawled, self.part_of_it([], lambda slug: False), {"ok": 7, "client_error": 1, "auth": 1},
                   log=BAD_TOKEN)

    def test_refused_for_good(self):
        for status in (400, 403, 404, 407, 410, 418):
            with self.subTest(status=status):
                self.check_final(message(HTML, "HTTP/1.1 %d No" % status, 'Proxy-Authenticate: Basic realm="x"'),
                                 result="auth" if status == 403 else "client_error",
                                 log="/v7/device: HTTP %d: <html>" % status)

    def test_server_errors(self):
        def one(status):
            self.check_page(message(HTML, "HTTP/1.1 %d No" % status), KEEP, result="server_error",
                            log="/v7/device: HTTP %d: <html>" % status)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(one, (408, 500, 502, 503, 504, 522, 524, 599)))

    def test_500_changes_no_query(self):
        server = self.server().script(PAGE, message(HTML, "HTTP/1.1 500 No"))
        self.crawl(server.url)
        asked = [data for _, data in server.seen if PAGE.encode() in data]
        self.assertEqual(len(asked), 3)
        self.assertEqual(len(set(asked)), 1)

    def test_error_that_breaks_off(self):
        # The body of a no is of no use, but how it came is.
        self.check_page(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 1000\r\n\r\n<html>", RESET, result="network",
                        log="/v7/device: ")

    def test_error_that_echoes_the_query(self):
        text = json.dumps("Malformed url: '/v7/device?$filter=secret'").encode()
        crawled = self.crawl(self.server().script(PAGE, message(text, "HTTP/1.1 400 Bad Request"), KEEP).url)
        self.check(crawled, self.orphans_only(), {"ok": 7, "client_error": 2}, log="/v7/device: HTTP 400\n")

    def test_error_with_a_text_that_is_none(self):
        text = b"a\x1b[31m\r\nE! forged\x00\xff" * 20
        crawled = self.crawl(self.server().script(PAGE, message(text, "HTTP/1.1 404 No"), KEEP).url)
        self.check(crawled, self.orphans_only(), {"ok": 7, "client_error": 2}, log="/v7/device: HTTP 404: a[31mE! f")
        self.assertNotRegex(crawled.log.rstrip("\n"), r"[^\x20-\x7e]")


class RetryAfter(FaultTest):
    """429, and 503 that says when to come back: for all requests of the account."""

    def throttled(self, *headers, status="429 Too Many Requests", times=1, **more):
        """(what a crawl shows whose list is refused so, its server)"""
        server = self.server().script(LIST, message(HTML, "HTTP/1.1 " + status, *headers), KEEP, times=times)
        return self.crawl(server.url, **more), server

    def check_waited(self, crawled, waits, result="throttled", told=0):
        self.check(crawled, self.all_of_it(), {**WHOLE, result: 1}, retries=1,
                   seconds=(waits[0], waits[1] + BUSY_S))
        self.assertEqual(crawled.of_crawl("api_throttled_seconds_total"), told)

    def test_seconds(self):
        self.check_waited(self.throttled("Retry-After: 1")[0], (1, 1), told=1)

    def test_seconds_of_503(self):
        self.check_waited(self.throttled("Retry-After: 1", status="503 Unavailable")[0], (1, 1.5),
                          result="server_error", told=1)

    def test_date(self):
        date = email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) +
                                           datetime.timedelta(seconds=3), usegmt=True)
        crawled = self.throttled("Retry-After: " + date)[0]
        told = crawled.of_crawl("api_throttled_seconds_total")
        self.assertIn(told, (1, 2, 3))
        self.check_waited(crawled, (told, told), told=told)

    def test_of_no_use(self):
        # As if it said nothing: a second, and at random up to two more.
        values = ("", "-5", "soon", "0", "in 3 s", "9" * 40, "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 2026")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda value: self.throttled("Retry-After: " + value)[0], values))
        for value, crawled in zip(values, found):
            with self.subTest(value=value):
                self.check_waited(crawled, (1, 3))

    def test_longer_than_the_deadline(self):
        for status, result in (("429 Too Many Requests", "throttled"), ("503 Unavailable", "server_error")):
            for value in ("3600", "99999999"):
                with self.subTest(status=status, value=value):
                    crawled, server = self.throttled("Retry-After: " + value, status=status, times=-1)
                    self.check(crawled, {}, {"ok": 5, "client_error": 1, result: 1}, log=result_log(status))
                    self.assertEqual(sum(LIST.encode() in data for _, data in server.seen), 1)

    def test_all_requests_wait(self):
        # Of several pages side by side one is refused: none begins before its time.
        server = self.server()
        server.script("id%20gt%20", message(HTML, "HTTP/1.1 429 No", "Retry-After: 2"), KEEP, times=1)
        crawled = self.crawl(server.url, "--page-size", "5", "--concurrency", "2")
        self.check(crawled, self.all_of_it(), {"ok": len(server.seen) - 2, "client_error": 1, "throttled": 1},
                   retries=1, seconds=(2, 2 + BUSY_S))
        gaps = [later - earlier for earlier, later in itertools.pairwise(server.times)]
        self.assertEqual(sum(gap > 1 for gap in gaps), 1)
        self.assertGreater(max(gaps), 1.9)

    def test_kept_over_crawls(self):
        server = self.server().script(LIST, message(HTML, "HTTP/1.1 429 No", "Retry-After: 3600"), KEEP)
        with Streaming(self, server.url) as stream:
            stream.crawl(success=0)
            asked = len(server.seen)
            for _ in range(3):
                stream.crawl(success=0)
            self.assertEqual(len(server.seen), asked)
        self.assertEqual(stream.log().count("\n"), 1, stream.log())

    def test_429_for_ever(self):
        crawled, server = self.throttled("Retry-After: 1", times=-1)
        self.check(crawled, {}, {"ok": 5, "client_error": 1, "throttled": 3}, retries=2, log="HTTP 429",
                   seconds=(2, 2 + BUSY_S))


def result_log(status):
    return "HTTP %s" % status[:3]


class Streaming:
    """telegraf-balena as Telegraf runs it: a crawl at each newline."""

    def __init__(self, test, url, *arguments, enter=lambda: None):
        def prepare():
            lib.die_with_parent()
            enter()
        self.errors = tempfile.TemporaryFile(dir=test.directory)
        test.addCleanup(self.errors.close)
        self.child = subprocess.Popen(test.command(url, "--min-interval", 0, "--deadline", 10, *arguments),
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env={},
                                      preexec_fn=prepare)
        self.test, self.before, self.said = test, collections.Counter(), 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        finally:
            self.child.kill()
            self.child.wait()
            self.child.stdout.close()
            self.errors.seek(0)
            lib.check_no_token("telegraf-balena", self.errors.read())

    def crawl(self, success):
        """The lines of one crawl, to the one of its requests' last result, which is the end of it."""
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()
        lines = []
        for line in self.child.stdout:
            lines.append(line.decode())
            if b"reason=too_long" in line:
                break
        shown = re.findall(r"^balena_crawl,account=default success=([01])i", "".join(lines), re.M)
        self.test.assertIn(shown, [["0"], ["1"]] if success is None else [[str(success)]], self.log())
        lib.check_no_token("telegraf-balena", "".join(lines).encode())
        return lines

    def crawled(self, success=None):
        """The same, whole: the counters by what this crawl added to them, the log by what it said."""
        started = time.monotonic()
        pairs = [pair for line in self.crawl(success) for pair in lib.parse_line(line)]
        series = dict(pairs)
        self.test.assertEqual(len(series), len(pairs), "there twice")
        counters = collections.Counter({key: value for key, value in series.items() if key[0].endswith("_total")})
        series.update({key: value - self.before[key] for key, value in counters.items()})
        log = self.log()[self.said:]
        self.before, self.said = counters, self.said + len(log)
        return Crawled(1 - int(series["balena_crawl_success", ACCOUNT]), series, log, time.monotonic() - started,
                       cpu_seconds(self.child.pid), peak_memory(self.child.pid))

    def log(self):
        """Without the lines for debugging, which Telegraf does not show either unless asked to."""
        self.errors.seek(0)
        text = self.errors.read().decode()
        return "".join(line for line in text.splitlines(True) if not line.startswith("D! "))


class Recovery(FaultTest):
    """One process, a trouble that comes and goes: one line at its beginning, one at its end."""

    def test_quiet_log(self):
        server = self.server().script(LIST, message(HTML, "HTTP/1.1 404 No"), KEEP, times=4)
        with Streaming(self, server.url) as stream:
            for _ in range(4):
                stream.crawl(success=0)
            for _ in range(3):
                stream.crawl(success=1)
        lines = stream.log().splitlines()
        self.assertEqual(len(lines), 2, lines)
        self.assertRegex(lines[0], "^E! .*/v7/application: HTTP 404")
        self.assertEqual(lines[1], "I! all is well again")

    def test_after_the_worst(self):
        # Right again at once, whatever the last crawl met.
        # Of a connection that was kept alive, libcurl itself tries anew what found it closed.
        for times, steps in ((4, (RESET,)), (3, (HEAD + b"\r\n" + b"\x00" * 1000,)), (3, (b"SSH-2.0\r\n",)),
                             (3, (HEAD + b'\r\n{"d":[{"id":1,"x":[[[[[',))):
            with self.subTest(steps=steps[0][:20]):
                server = self.server().script(LIST, *steps, times=times)
                with Streaming(self, server.url) as stream:
                    stream.crawl(success=0)
                    lines = stream.crawl(success=1)
                devices = {re.search(r"device_uuid=([0-9a-f]+)", line)[1] for line in lines
                           if line.startswith("balena_device,")}
                self.assertEqual(devices, {row["uuid"] for row in self.rows})

    def test_server_comes_back(self):
        # Nobody listens; then the server is there, on the same port.
        port = lib.free_port()
        with Streaming(self, "http://127.0.0.1:%d" % port) as stream:
            stream.crawl(success=0)
            api = fake_api.FakeApi(self.api.world, [lib.TOKEN], port).start()
            self.addCleanup(api.stop)
            stream.crawl(success=1)
        self.assertRegex(stream.log(), r"\AE! cannot reach .*\nI! all is well again\n\Z")


class Connections(FaultTest):
    """What happens to connections."""

    def check_unreachable(self, url, says, seconds=(0, RETRIES_S + BUSY_S)):
        self.check(self.crawl(url), {}, {"network": 3}, retries=2,
                   log="cannot reach %s: %s" % (url, says), seconds=seconds)

    def test_refused(self):
        self.check_unreachable("http://127.0.0.1:%d" % lib.free_port(), "Failed to connect")

    def test_unknown_name(self):
        self.check_unreachable("https://no-such-host.invalid", "Could not resolve host", seconds=(0, 10 + BUSY_S))

    def test_black_hole(self):
        # A full backlog: the kernel answers no SYN. The time to connect is the deadline's, too.
        with socket.socket() as hole:
            hole.bind(("127.0.0.1", 0))
            hole.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(hole.getsockname())
            url = "http://127.0.0.1:%d" % hole.getsockname()[1]
            crawled = self.crawl(url, deadline=1)
            for filler in fillers:
                filler.close()
        self.check(crawled, {}, {"timeout": 1}, log="the crawl took longer than its deadline of 1 s",
                   seconds=(1, 1 + BUSY_S))

    def test_never_accepted(self):
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(16)
            crawled = self.crawl("http://127.0.0.1:%d" % mute.getsockname()[1], deadline=1)
        self.check(crawled, {}, {"timeout": 1}, log="the crawl took longer than its deadline of 1 s",
                   seconds=(1, 1 + BUSY_S))

    def test_closed_after_each_answer(self):
        server = self.server(kept=False, says=("Connection: close",))
        self.check(self.crawl(server.url), self.all_of_it(), WHOLE)
        self.assertEqual(server.connections, 9)
        # Without a word: a request may be under way to a server that is leaving.
        server = self.server(kept=False)
        crawled = self.crawl(server.url)
        failed = crawled.counts().get("network", 0)
        self.check(crawled, self.all_of_it(), {**WHOLE, **({"network": failed} if failed else {})}, retries=failed,
                   seconds=(0, RETRIES_S * failed + BUSY_S))
        self.assertEqual(server.connections, 9)

    def test_closed_as_it_is_used_again(self):
        # Kept alive, but gone when the next request comes: libcurl asks once more on a new connection.
        for last in ((), (RESET,)):
            with self.subTest(last=last):
                server = self.server().script(LIST, *last, times=1)
                self.check(self.crawl(server.url), self.all_of_it(), WHOLE)
                self.assertEqual(sum(LIST.encode() in data for _, data in server.seen), 2)

    def test_closed_without_an_answer(self):
        for last in ((), (RESET,)):
            with self.subTest(last=last):
                server = self.server().script(LIST, *last)
                self.check(self.crawl(server.url), {}, {"ok": 5, "client_error": 1, "network": 3}, retries=2,
                           log="cannot reach", seconds=(0, RETRIES_S + BUSY_S))

    def test_answer_before_it_was_asked(self):
        # A second answer behind the first: it must not be taken for that to the next request.
        server = self.server().script(LIST, message(b'{"d":[]}') + message(b'{"d":[{"id":1}]}'), KEEP, times=1)
        crawled = self.crawl(server.url)
        self.assertEqual(crawled.log, "")
        self.assertEqual(crawled.of_crawl("crawl_fleets"), 0)
        self.assertEqual(crawled.counts(), {"ok": 7, "client_error": 1})


class Pinned(FaultTest):
    """Only the host that was configured, by its scheme and port, is ever spoken to."""

    def test_redirects(self):
        other = self.other_server()
        places = [other.url + "/v7/device", "https://127.0.0.1:%d/" % other.port, "//127.0.0.1:%d/" % other.port,
                  "http://localhost:%d/" % other.port, "ftp://127.0.0.1:%d/" % other.port, "file:///etc/passwd",
                  "/v7/x"]
        for status, place in zip((301, 302, 303, 307, 308, 301, 302), places):
            with self.subTest(status=status, place=place):
                server = self.server().script("", message(HTML, "HTTP/1.1 %d X" % status, "Location: " + place), KEEP)
                self.check(self.crawl(server.url), {}, {"client_error": 1},
                           log="%s %s" % (server.url, REDIRECTED % status))
                self.assertEqual(len(server.seen), 1)

    def test_redirect_of_a_page(self):
        other = self.other_server()
        self.check_final(message(b"", "HTTP/1.1 302 Found", "Location: " + other.url), KEEP, result="client_error",
                         log=REDIRECTED % 302)

    def test_links_in_headers(self):
        other = self.other_server()
        page = self.page_text()
        headers = [name + ": " + text % other.url for name, text in (
            ("Location", "%s/"), ("Content-Location", "%s/"), ("Link", '<%s/>; rel="next"'), ("Refresh", "0; url=%s/"),
            ("Alt-Svc", 'h2="127.0.0.1:%d"' % other.port + "%.0s"), ("Strict-Transport-Security", "max-age=9%.0s"),
            ("Set-Cookie", "id=1; Path=/%.0s"))]
        server = self.server().script(PAGE, message(page, "HTTP/1.1 200 OK", *headers), KEEP)
        with Streaming(self, server.url) as stream:
            stream.crawl(success=1)
            stream.crawl(success=1)
        self.assertEqual(stream.log(), "")  # and no Cookie came: tearDown

    def test_links_in_bodies(self):
        # What OData calls a next page is none of the API's: the answer is refused as a whole.
        other = self.other_server()
        body = b'{"d":[],"@odata.nextLink":"%s/v7/device"}' % other.url.encode()
        self.check_page(message(body), KEEP, result="garbage", log='the answer holds more than "d"')
        body = b'{"@odata.nextLink":"%s/v7/device","d":[]}' % other.url.encode()
        self.check_page(message(body), KEEP, result="garbage", log='does not begin with {"d":[')

    def test_netrc(self):
        # With a password in it, libcurl would still send our own header: only that it is not even opened shows
        # that it is not used. To open a FIFO that nobody writes to would never end.
        home = self.directory / "home"
        home.mkdir()
        os.mkfifo(home / ".netrc")
        (home / ".curlrc").write_text('user = "a:b"\nlocation\n')
        server = self.server()
        crawled = self.crawl(server.url, env={"HOME": str(home), "NETRC": str(home / ".netrc")})
        self.check(crawled, self.all_of_it(), WHOLE)  # the headers as they are: tearDown

    def test_nothing_but_get(self):
        # Even where the server asks for more: tearDown looks at each request.
        server = self.server()
        server.script(LIST, message(HTML, "HTTP/1.1 405 Method Not Allowed", "Allow: POST"), KEEP, times=1)
        server.script(PAGE, message(HTML, "HTTP/1.1 411 Length Required"), KEEP, times=1)
        for says in ("405", "411"):
            crawled = self.crawl(server.url)
            self.assertIn("HTTP " + says, crawled.log)
        self.assertEqual({data.split(b" ")[0] for _, data in server.seen}, {b"GET"})


class Tls(FaultTest):
    """Who cannot show who he is does not hear the token."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not lib.find("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        cls.good = lib.make_certificate(cls.directory, "good")
        cls.expired = lib.make_certificate(cls.directory, "expired", days=-1)
        cls.wrong_name = lib.make_certificate(cls.directory, "name", name="DNS:api.example.test")

    def check_refused(self, server, says, *arguments, env=None, result="network"):
        self.check(self.crawl(server.url, *arguments, env=env), {}, {result: 3}, retries=2, log=says,
                   seconds=(0, RETRIES_S + BUSY_S))
        self.assertEqual(server.seen, [])

    def test_good(self):
        server = self.server(tls=self.good)
        self.check(self.crawl(server.url, "--ca-file", self.good[0]), self.all_of_it(), WHOLE)

    def test_expired(self):
        self.check_refused(self.server(tls=self.expired), "certificate has expired", "--ca-file", self.expired[0])

    def test_self_signed(self):
        self.check_refused(self.server(tls=self.good), "self-signed certificate")

    def test_wrong_name(self):
        self.check_refused(self.server(tls=self.wrong_name), "no alternative certificate subject name matches",
                           "--ca-file", self.wrong_name[0])

    def test_another_authority(self):
        self.check_refused(self.server(tls=self.good), "certificate", "--ca-file", self.wrong_name[0])

    def test_old_version(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(*self.good)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        self.check_refused(self.server(tls=context), "protocol", "--ca-file", self.good[0])

    def test_plain_http_on_the_tls_port(self):
        server = self.server(upstream=False, reads=b"")
        server.script("", message(HTML, "HTTP/1.1 400 Bad Request"))
        url = "https://127.0.0.1:%d" % server.port
        self.check(self.crawl(url), {}, {"network": 3}, retries=2, log="wrong version number",
                   seconds=(0, RETRIES_S + BUSY_S))
        for _, data in server.seen:
            self.assertEqual(data[0], 0x16)  # a handshake, and nothing in it that is ours to keep
            self.assertNotIn(lib.TOKEN.encode(), data)

    def test_tls_on_the_plain_port(self):
        server = self.server(tls=self.good)
        url = "http://127.0.0.1:%d" % server.port
        crawled = self.crawl(url)
        self.check(crawled, {}, crawled.counts(), retries=2, log=url, seconds=(0, RETRIES_S + BUSY_S))
        self.assertEqual(sum(crawled.counts().values()), 3)
        self.assertLessEqual(set(crawled.counts()), {"network", "garbage"})
        self.assertEqual(server.seen, [])

    def test_handshake_that_stands_still(self):
        server = self.server(upstream=False, reads=b"")
        server.script("", HANG)
        self.check(self.crawl("https://127.0.0.1:%d" % server.port, deadline=1), {}, {"timeout": 1},
                   log="the crawl took longer than its deadline of 1 s", seconds=(1, 1 + BUSY_S))

    def test_closed_without_a_goodbye(self):
        # An end that nobody signed could be an attacker's doing. What is whole by its length, its chunks or its
        # last bracket is whole all the same; what is cut is not, wherever: in a device, between two, before the
        # last bracket, before the last chunk.
        page, some = self.page_text(), self.page_text(7)
        chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(page), page)

        def crawl(*answers):
            server = self.server(tls=self.good)
            for answer in answers:
                server.script(PAGE, answer, times=1)
            return self.crawl(server.url, "--ca-file", self.good[0])

        def result_of(crawled):
            # Some libraries for TLS call such an end an error of their own, others leave it to us.
            return "network" if "network" in crawled.counts() else "garbage"
        for answer in (message(page), chunked + b"0\r\n\r\n"):
            with self.subTest(whole=answer[:120]):
                self.check(crawl(answer), self.all_of_it(), WHOLE)
        crawled = crawl(HEAD + b"\r\n" + page)
        again = {} if crawled.counts() == WHOLE else {"network": 1}
        self.check(crawled, self.all_of_it(), {**WHOLE, **again}, retries=len(again))
        for answer in (message(page)[:-1], chunked):
            with self.subTest(cut=answer[:120]):
                self.check(crawl(answer), self.all_of_it(), {**WHOLE, "network": 1}, retries=1)
        for body in (page[:-1], page[:-2], some, some + b",", some[:-9]):
            with self.subTest(cut=body[-20:]):
                crawled = crawl(HEAD + b"\r\n" + body)
                self.check(crawled, self.all_of_it(), {**WHOLE, result_of(crawled): 1}, retries=1)
        begun = HEAD + b'\r\n{"d":['
        crawled = crawl(HEAD + b"\r\n" + some, begun, begun)
        self.check(crawled, self.first_devices(7), {**WHOLE, "ok": 7, result_of(crawled): 3}, retries=2,
                   log="/v7/device: ")


class Groups(FaultTest):
    """More fleets than one request can name: what one of them meets is not the other's."""

    world = {"fleets": 230, "devices": 500}

    def test_one_group_fails(self):
        # The group of fleet 201 and up; those of the first 200 are whole.
        server = self.server().script("in%20(201,", message(HTML, "HTTP/1.1 502 Bad Gateway"), KEEP)
        crawled = self.crawl(server.url)
        good = {fleet["slug"] for fleet in self.truth["fleets"] if fleet["id"] <= 200} | {"none"}
        rows = [row for row in self.rows if (row["fleet"] or "none") in good]
        self.check(crawled, self.part_of_it(rows, good.__contains__), {**WHOLE, "server_error": 3}, retries=2,
                   log="W! 30 of 230 fleets were not read: %s/v7/device: HTTP 502" % server.url,
                   seconds=(0, RETRIES_S + BUSY_S))


def main():
    """All tests in WORKERS processes, for most of their time is spent waiting for us to give up; or, named
    on the command line, some in this one."""
    if any(not word.startswith("-") for word in sys.argv[1:]):
        lib.main()
    suites = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    names = [test.id().removeprefix("__main__.") for suite in suites for test in suite]
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        runs = list(pool.map(run_worker, [names[n::WORKERS] for n in range(WORKERS)]))
    bad = collections.Counter()
    for run in runs:
        print(run.stderr, end="")
        for word, count in re.findall(r"\b(failures|errors|skipped)=(\d+)", run.stderr[run.stderr.rindex("\nRan "):]):
            bad[word] += int(count)
    print("\nRan %d tests in %.3fs\n" % (
        sum(int(re.findall(r"^Ran (\d+) test", run.stderr, re.M)[-1]) for run in runs), time.monotonic() - started))
    failed = any(run.returncode for run in runs)
    print("FAILED" if failed else "OK", "(%s)" % ", ".join("%s=%d" % item for item in bad.items()) if bad else "")
    sys.exit(1 if failed else 0)


def run_worker(names):
    return subprocess.run([sys.executable, __file__, "-v", *names], stderr=subprocess.PIPE, text=True, check=False,
                          preexec_fn=lib.die_with_parent)


if __name__ == "__main__":
    main()
