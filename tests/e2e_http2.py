#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena and a server that speaks HTTP/2 and does wrong, one test for each fault of the section
HTTP/2 of docs/faults.md. Every crawl is compared whole, as in e2e_faults.py."""
import e2e_faults as faults
import e2e_lib as lib

if not lib.missing("h2"):
    import h2_server

HEADERS = {":method", ":scheme", ":authority", ":path", *(name.decode() for name in faults.HEADERS - {b"host"})}
# Behind so many bytes of a page, uncompressed: some devices came whole, and one in part.
CUT = 9000


class Http2(faults.FaultTest):
    @classmethod
    def setUpClass(cls):
        lib.require("h2")
        super().setUpClass()
        cls.certificate = lib.make_certificate(cls.directory, "h2")

    def setUp(self):
        super().setUp()
        self.h2 = h2_server.H2Server(self.api.url, self.certificate)
        self.arguments = (self.h2.url, "--ca-file", self.certificate[0])

    def tearDown(self):
        """As of any server: nothing but GET, no header but ours, the token as it is."""
        super().tearDown()
        self.h2.close()
        for _, headers in self.h2.seen:
            self.assertLessEqual(set(headers), HEADERS)
            self.assertEqual(headers[":method"], "GET")
            self.assertEqual(headers[":authority"], "127.0.0.1:%d" % self.h2.port)
            self.assertEqual(headers["authorization"], "Bearer " + lib.TOKEN)

    def pages(self):
        """(connection, path) of each request for devices of fleets."""
        return [(number, headers[":path"]) for number, headers in self.h2.seen if faults.PAGE in headers[":path"]]

    def check_resumed(self, connections):
        """The page was asked for twice: the second time for what is behind the last device that came."""
        (first, whole), (second, rest) = self.pages()
        self.assertNotIn("id%20gt%20", whole)
        self.assertIn("id%20gt%20", rest)
        self.assertEqual((first, second), connections)
        self.assertEqual(self.h2.connections, max(connections))

    def test_one_connection(self):
        self.check(self.crawl(*self.arguments, "--page-size", "10", "--concurrency", "4"), self.all_of_it(),
                   {**faults.WHOLE, "ok": len(self.h2.seen) - 1})
        self.assertGreater(len(self.pages()), 5)
        self.assertEqual(self.h2.connections, 1)

    def test_one_connection_for_all_crawls(self):
        with faults.Streaming(self, *self.arguments) as stream:
            self.check(stream.crawled(success=1), self.all_of_it(), faults.WHOLE)
            self.check(stream.crawled(success=1), self.all_of_it(), {"ok": 3})
        self.assertEqual(self.h2.connections, 1)

    def test_stream_reset_in_a_page(self):
        self.h2.script(faults.PAGE, h2_server.RST, CUT, times=1)
        self.check(self.crawl(*self.arguments), self.all_of_it(), {**faults.WHOLE, "network": 1}, retries=1,
                   seconds=(0, faults.RETRIES_S + faults.BUSY_S))
        self.check_resumed((1, 1))

    def test_stream_reset_for_ever(self):
        self.h2.script(faults.PAGE, h2_server.RST)
        self.check(self.crawl(*self.arguments), self.orphans_only(), {**faults.WHOLE, "ok": 7, "network": 3},
                   retries=2, log="was not closed cleanly", seconds=(0, faults.RETRIES_S + faults.BUSY_S))

    def test_closed_in_a_page(self):
        self.h2.script(faults.PAGE, h2_server.CLOSE, CUT, times=1)
        self.check(self.crawl(*self.arguments, "--concurrency", 1), self.all_of_it(),
                   {**faults.WHOLE, "network": 1}, retries=1, seconds=(0, faults.RETRIES_S + faults.BUSY_S))
        self.check_resumed((1, 2))

    def test_goaway(self):
        # Newer libcurls ask again themselves, others leave it to us.
        self.h2.script(faults.PAGE, h2_server.GOAWAY, times=1)
        crawled = self.crawl(*self.arguments, "--concurrency", 1)
        again = {"network": 1} if "network" in crawled.counts() else {}
        self.check(crawled, self.all_of_it(), {**faults.WHOLE, **again}, retries=len(again),
                   seconds=(0, faults.RETRIES_S + faults.BUSY_S))
        self.assertEqual([number for number, _ in self.pages()], [1, 2])

    def test_dead_connection(self):
        # It stays open, but nothing comes any more: the deadline ends this crawl, and the next one must not
        # trust that connection.
        with faults.Streaming(self, *self.arguments, "--deadline", 2, "--concurrency", 1) as stream:
            self.check(stream.crawled(success=1), self.all_of_it(), faults.WHOLE)
            self.h2.script(faults.PAGE, h2_server.SILENCE, times=1)
            dead = stream.crawled(success=0)
            self.check(stream.crawled(success=1), self.all_of_it(), {"ok": 3}, log="I! all is well again")
        lost = {("balena_fleet_crawl_success", lib.of_fleet("none")): 0}
        self.check(dead, {**self.part_of_it([], lambda slug: False), **lost}, {"ok": 1, "timeout": 1},
                   log="the crawl took longer than its deadline of 2 s")
        self.assertEqual(self.h2.connections, 2)


if __name__ == "__main__":
    lib.main("h2")
