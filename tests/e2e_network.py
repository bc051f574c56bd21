#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""telegraf-balena --once on the ways to a server that there are: TLS with a CA of its own, a path and a
port in the URL, a proxy by option and by environment. The fake API stands behind real sockets."""
import http.client
import http.server
import select
import shutil
import socket
import subprocess
import threading
import unittest
import urllib.parse

import e2e_faults as faults
import e2e_lib as lib


class Relay(http.server.ThreadingHTTPServer):
    """A server of a few lines that stands between: a proxy (absolute targets, CONNECT), or, with a
    prefix, a gateway that serves the API below a path. `refusals`: statuses for what comes first."""

    def __init__(self, upstream, prefix=None, refusals=()):
        self.upstream = urllib.parse.urlsplit(upstream)
        self.prefix = prefix
        self.refusals = list(refusals)
        self.seen = []  # what was asked of it: method and target
        self.heads = []  # the same, whole
        super().__init__(("127.0.0.1", 0), RelayHandler)
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server_address[1]

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class RelayHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def refused(self):
        """Notes what was asked, and says no to it if that is what is to be done."""
        self.server.seen.append((self.command, self.path))
        self.server.heads.append("%s\r\n%s" % (self.requestline, self.headers))
        if not self.server.refusals:
            return False
        self.send_response(self.server.refusals.pop(0))
        for scheme in ('Basic realm="x"', "Negotiate", "NTLM"):
            self.send_header("Proxy-Authenticate", scheme)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def do_GET(self):
        if self.refused():
            return
        target = self.path
        if self.server.prefix is None:
            target = target.removeprefix("http://" + self.server.upstream.netloc)
        elif target.startswith(self.server.prefix + "/"):
            target = target.removeprefix(self.server.prefix)
        else:
            self.send_error(404)
            return
        upstream = http.client.HTTPConnection(self.server.upstream.netloc, timeout=30)
        upstream.request("GET", target, headers={
            name: value for name, value in self.headers.items() if name.lower() not in ("host", "proxy-connection")})
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Encoding"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    def do_CONNECT(self):
        if self.refused():
            return
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=30) as upstream:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: upstream, upstream: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 30)[0]:
                    data = end.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class NetworkTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.give_directory(cls)

    def relay(self, *arguments, **more):
        relay = Relay(*arguments, **more)
        self.addCleanup(relay.close)
        return relay

    def once(self, url, *arguments, **more):
        """(exit status, the series, what went to stderr) of one crawl."""
        run = lib.run(lib.execd_path(), "--once", "--format", "prometheus", "--api-url", url, "--token-file",
                      self.token_file, "--start-jitter", "0", *arguments, **more)
        return run.returncode, lib.parse_text(run.stdout.decode()), run.stderr.decode()

    def check_whole(self, result, devices=61):
        status, series, log = result
        self.assertEqual((status, log), (0, ""))
        self.assertEqual(len(lib.values_of(series, "balena_device_status_code")), devices)


class Paths(NetworkTest):
    def test_path_and_port_in_the_url(self):
        api = self.api()
        relay = self.relay(api.url, prefix="/balena/api")
        for url in ("http://127.0.0.1:%d/balena/api", "http://localhost:%d/balena/api/"):
            with self.subTest(url=url):
                self.check_whole(self.once(url % relay.port))
        self.assertTrue(all(target.startswith("/balena/api/v7/") for _, target in relay.seen), relay.seen)

    def test_wrong_path_is_named(self):
        relay = self.relay(self.api().url, prefix="/balena/api")
        status, series, log = self.once("http://127.0.0.1:%d/other" % relay.port)
        self.assertEqual(status, 1)
        self.assertIn("/other is no balena API", log)
        self.assertEqual(list(lib.values_of(series, "balena_crawl_success").values()), [0])


PLAIN = ("--allow-http", "true")  # else no proxy may see what is sent


class Forbidden(NetworkTest):
    """A system that lets the program connect nowhere, as SELinux does with collectd."""

    def test_says_what_to_do(self):
        ip = lib.find("ip")
        if not ip:
            self.skipTest("iproute2 is not installed")

        def enter():
            lib.unshare(lib.BlackHole.CLONE_NEWNET)
            subprocess.run([ip, "link", "set", "lo", "up"], check=True)
            subprocess.run([ip, "route", "add", "prohibit", "192.0.2.7/32"], check=True)
        reason = lib.no_namespaces(enter)
        if reason:
            self.skipTest(reason)
        status, _, log = self.once("https://192.0.2.7", enter=enter)
        self.assertEqual(status, 1)
        self.assertIn("does not let this program connect; with SELinux, collectd needs: setsebool -P "
                      "collectd_tcp_network_connect 1", log)


class Proxies(NetworkTest):
    def test_proxy_by_option(self):
        api = self.api()
        relay = self.relay(api.url)
        self.check_whole(self.once(api.url, *PLAIN, "--proxy", "http://127.0.0.1:%d" % relay.port))
        self.assertGreater(len(relay.seen), 2)
        self.assertTrue(all(target.startswith(api.url + "/v7/") for _, target in relay.seen), relay.seen)

    def test_proxy_by_environment(self):
        api = self.api()
        relay = self.relay(api.url)
        env = {"http_proxy": "http://127.0.0.1:%d" % relay.port}
        self.check_whole(self.once(api.url, *PLAIN, env=env))
        self.assertGreater(len(relay.seen), 2)
        before = len(relay.seen)
        self.check_whole(self.once(api.url, *PLAIN, env={**env, "no_proxy": "127.0.0.1"}))
        self.check_whole(self.once(api.url, *PLAIN, "--proxy", "none", env=env))
        self.assertEqual(len(relay.seen), before)

    def test_token_in_plain_text_is_for_this_machine_alone(self):
        # A loopback host needs no permission for plain http: then no proxy may come between.
        api = self.api()
        relay = self.relay(api.url)
        proxy = "http://127.0.0.1:%d" % relay.port
        self.check_whole(self.once(api.url, env={"http_proxy": proxy, "all_proxy": proxy}))
        status, series, log = self.once(api.url, "--proxy", proxy)
        self.assertNotEqual(status, 0)
        self.assertIn("show the token to the proxy", log)
        self.assertEqual((relay.seen, series), ([], {}))

    def test_option_wins_over_environment(self):
        api = self.api()
        relay = self.relay(api.url)
        self.check_whole(self.once(api.url, *PLAIN, "--proxy", "http://127.0.0.1:%d" % relay.port,
                                   env={"http_proxy": "http://127.0.0.1:1", "no_proxy": "127.0.0.1"}))
        self.assertGreater(len(relay.seen), 2)

    def test_proxy_that_is_not_there(self):
        status, series, log = self.once(self.api().url, *PLAIN, "--proxy", "http://127.0.0.1:%d" % lib.free_port())
        self.assertEqual(status, 1)
        self.assertIn("cannot reach", log)
        self.assertEqual(list(lib.values_of(series, "balena_crawl_success").values()), [0])


class ProxiesThatRefuse(faults.FaultTest):
    """What the proxy says is no word of the API's, and over when it changes its mind."""

    def check_refused(self, server, relay, counts, says, *arguments, **more):
        """One crawl is refused, the next one is right."""
        self.addCleanup(relay.close)
        with faults.Streaming(self, server.url, "--proxy", "http://127.0.0.1:%d" % relay.port, *arguments) as stream:
            self.check(stream.crawled(success=0), {}, counts, log=says, **more)
            self.assertEqual((server.connections, relay.refusals), (0, []))
            heads = list(relay.heads)
            self.check(stream.crawled(success=1), self.all_of_it(), faults.WHOLE, log="I! all is well again")
        return heads

    def test_407_to_a_plain_get(self):
        server = self.server()
        heads = self.check_refused(server, Relay(server.url, refusals=[407]), {"client_error": 1},
                                   "/v7/device: the proxy refuses (HTTP 407)", *PLAIN)
        self.assertEqual(len(heads), 1)
        self.assertNotIn("Proxy-Authorization", heads[0])

    def test_connect_refused(self):
        if not lib.find("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        good = lib.make_certificate(self.directory, "good")
        for status in (407, 403, 502):
            with self.subTest(status=status):
                server = self.server(tls=good)
                heads = self.check_refused(server, Relay(server.url, refusals=[status] * 3), {"network": 3},
                                           ": the proxy refuses (HTTP %d)" % status, "--ca-file", good[0], retries=2,
                                           seconds=(0, faults.RETRIES_S + faults.BUSY_S))
                # All that the proxy is told is where to: not a word more, the token least of all.
                self.assertEqual(len(heads), 3)
                for head in heads:
                    self.assertRegex(head, r"\ACONNECT 127\.0\.0\.1:%d HTTP/1\.1\r\nHost: 127\.0\.0\.1:%d\n"
                                     r"User-Agent: [^\n]*\nProxy-Connection: Keep-Alive\n\n\Z" % (
                                         server.port, server.port))


class Changes(faults.FaultTest):
    """What one process has learnt once, and is no longer so: each new connection learns it anew."""

    name = "api.example.test"

    def right_again(self, stream):
        """The first crawl that is right again, however many before it failed."""
        def crawl():
            crawled = stream.crawled()
            return crawled if crawled.status == 0 else None
        return lib.wait_for("right crawl", crawl, seconds=faults.BUSY_S)

    def check_change(self, first, second, url, *arguments, **more):
        """`first`, `second`: functions that make the server there is, and the one in its place."""
        with faults.Streaming(self, url, *arguments, **more) as stream:
            old = first()
            self.check(stream.crawled(success=1), self.all_of_it(), faults.WHOLE)
            old.close()
            new = second()
            crawled = self.right_again(stream)
            # Between two of its tries may be when it learns.
            retries = crawled.of_crawl("api_retries_total")
            self.check(crawled, self.all_of_it(), {"ok": 3, **({"network": retries} if retries else {})}, retries,
                       log="I! all is well again" if crawled.log else "", seconds=(0, faults.RETRIES_S + faults.BUSY_S))
            self.check(stream.crawled(success=1), self.all_of_it(), {"ok": 3})
        self.assertGreater(len(new.seen), 3)

    def test_address_of_the_name(self):
        hosts = lib.Hosts(self.directory)
        hosts.set(self.name, "127.0.0.1")
        reason = lib.no_namespaces(hosts.enter)
        if reason:
            self.skipTest(reason)
        port = lib.free_port()
        host = self.name.encode()

        def second():
            hosts.set(self.name, "127.0.0.2")
            return self.server(name=host, host="127.0.0.2", port=port)
        self.check_change(lambda: self.server(name=host, port=port), second, "http://%s:%d" % (self.name, port),
                          *PLAIN, enter=hosts.enter)

    def test_ca_file(self):
        if not lib.find("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        old, new = (lib.make_certificate(self.directory, what) for what in ("old", "new"))
        ca_file = self.directory / "ca.pem"
        shutil.copy(old[0], ca_file)
        port = lib.free_port()

        def second():
            shutil.copy(new[0], self.directory / "ca.new")
            (self.directory / "ca.new").rename(ca_file)
            return self.server(tls=new, port=port)
        self.check_change(lambda: self.server(tls=old, port=port), second, "https://127.0.0.1:%d" % port,
                          "--ca-file", ca_file)


class Tls(NetworkTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not lib.find("openssl"):
            raise unittest.SkipTest("openssl is not installed")
        cls.certificate, cls.key = lib.make_certificate(cls.directory, "own")

    def tls_api(self):
        return self.api("--tls", self.certificate, self.key)

    def url(self, api, host="127.0.0.1"):
        return "https://%s:%d" % (host, urllib.parse.urlsplit(api.url).port)

    def test_a_ca_of_its_own(self):
        api = self.tls_api()
        self.check_whole(self.once(self.url(api), "--ca-file", str(self.certificate)))

    def test_refused_without_it(self):
        api = self.tls_api()
        status, series, log = self.once(self.url(api))
        self.assertEqual(status, 1)
        self.assertRegex(log, "(?i)certificate")
        self.assertNotIn("balena_device_up", {name for name, labels in series})
        self.assertNotIn("/v7/", api.log())  # the token was told to nobody

    def test_refused_for_another_name(self):
        api = self.tls_api()
        status, _, log = self.once(self.url(api, "localhost"), "--ca-file", str(self.certificate))
        self.assertEqual(status, 1)
        self.assertRegex(log, "(?i)certificate|host")
        self.assertNotIn("/v7/", api.log())

    def test_ca_file_is_trusted_alone(self):
        # Where libcurl looks into a directory too, a CA that the system trusts must not do beside one's own.
        certs, other = self.directory / "certs", lib.make_certificate(self.directory, "other")
        trusted = lib.make_certificate(self.directory, "trusted")
        issued = lib.make_certificate(self.directory, "issued", issuer=trusted)
        certs.mkdir()
        shutil.copy(trusted[0], certs)
        subprocess.run(["openssl", "rehash", certs], check=True, capture_output=True, timeout=60)

        def enter():
            lib.unshare()
            lib.cover(b"/etc/ssl/certs", certs)
        reason = lib.no_namespaces(enter)
        if reason:
            self.skipTest(reason)
        self.check_whole(self.once(self.url(self.api("--tls", *issued)), "--ca-file", trusted[0], enter=enter))
        api = self.api("--tls", *issued)
        status, _, log = self.once(self.url(api), "--ca-file", other[0], enter=enter)
        self.assertEqual(status, 1)
        self.assertRegex(log, "(?i)certificate")
        self.assertNotIn("/v7/", api.log())

    def test_through_a_proxy(self):
        api = self.tls_api()
        relay = self.relay(self.url(api))
        for arguments, env in ((["--proxy", "http://127.0.0.1:%d" % relay.port], {}),
                               ([], {"https_proxy": "http://127.0.0.1:%d" % relay.port})):
            with self.subTest(env=env):
                before = len(relay.seen)
                self.check_whole(self.once(self.url(api), "--ca-file", str(self.certificate), *arguments, env=env))
                self.assertGreater(len(relay.seen), before)
        self.assertEqual({method for method, _ in relay.seen}, {"CONNECT"})


if __name__ == "__main__":
    lib.main()
