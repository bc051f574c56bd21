#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two real Telegrafs of the same fleets behind a real HAProxy and a real NGINX, as packaging/deploy/balance has
them: every scrape is answered, and with fresh data as long as one of the two has some."""
import pathlib
import re
import signal
import sys
import tempfile
import time
import urllib.error

import e2e_lib as lib
import raw_server

BALANCE = lib.ROOT / "packaging" / "deploy" / "balance"
MAX_AGE_S = 6
# Until a stale crawler is known as such: a look each half second, a check each second, and a busy machine.
NOTICED_S = 5


class Health(lib.Process):
    def __init__(self, crawlers, *options):
        self.port = lib.free_port()
        super().__init__("balena-fresh", [
            sys.executable, BALANCE / "balena-fresh", "--listen", "127.0.0.1:%d" % self.port, *options,
            *("%s=%s" % item for item in crawlers.items())])

    def ask(self, name):
        """(status, text); None while nobody listens."""
        try:
            return 200, lib.http_get("http://127.0.0.1:%d/%s" % (self.port, name)).decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return None

    def wait(self, name, status, text=""):
        def there():
            answer = self.ask(name)
            return answer and answer[0] == status and text in answer[1]
        lib.wait_for("%d from %s" % (status, name), there, [self])


class HAProxy(lib.Process):
    def __init__(self, a, b, health):
        port = lib.free_port()
        self.url = "http://127.0.0.1:%d/metrics" % port
        super().__init__("haproxy", [lib.find("haproxy"), "-db", "-f", BALANCE / "haproxy.cfg"], env={
            "TWIN_A": "127.0.0.1:%d" % a, "TWIN_B": "127.0.0.1:%d" % b, "HEALTH_PORT": str(health),
            "LISTEN": "127.0.0.1:%d" % port})

    def states(self):
        """What it last said of the crawlers."""
        return dict(re.findall(r"Server fresh/(\w) is (UP|DOWN)", self.log()))


class Nginx(lib.Process):
    def __init__(self, a, b, health):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        port = lib.free_port()
        self.url = "http://127.0.0.1:%d/metrics" % port
        text = (BALANCE / "nginx.conf").read_text()
        for shipped, ours in (("10.0.0.11:9273", a), ("10.0.0.12:9273", b), ("127.0.0.1:9280", health),
                              ("127.0.0.1:9270", port)):
            head, tail = text.split(" %s;" % shipped)
            text = "%s 127.0.0.1:%d;%s" % (head, ours, tail)
        places = "".join("%s_temp_path %s/%s;\n" % (kind, directory, kind)
                         for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (directory / "site.conf").write_text(text)
        conf = directory / "nginx.conf"
        conf.write_text("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\n%s"
                        "include %s/site.conf;\n}\n" % (directory, places, directory))
        super().__init__("nginx", [lib.find("nginx"), "-e", "stderr", "-p", directory, "-c", conf], directory)


def answers(url, seconds):
    try:
        return lib.http_get(url, seconds)
    except OSError:
        return None


class Balance(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("telegraf")

    def crawler(self, name):
        api = self.api("--quiet")
        return api, self.telegraf(api, "--account", name, "--min-interval", "0", "--interval", "10")

    def scrape(self, balancer, ages=True):
        """The account that answered. Whatever happens to the crawlers, nothing may fail here."""
        series = lib.parse_text(lib.http_get(balancer.url).decode())
        (labels, last), = lib.values_of(series, "balena_crawl_last_success_timestamp_seconds").items()
        if ages:
            self.assertLess(time.time() - last, MAX_AGE_S + NOTICED_S, balancer.name)
        self.assertGreater(len(lib.values_of(series, "balena_device_status_code")), 0, balancer.name)
        return dict(labels)["account"]

    def until(self, balancers, account):
        """Scrapes until all are answered by that one; each scrape on the way is fresh too."""
        lib.wait_for("answers of %s" % account, lambda: all(
            [self.scrape(balancer) == account for balancer in balancers]), balancers)

    def test_twins(self):
        lib.require("haproxy", "nginx")
        (api_a, a), (api_b, b) = self.crawler("a"), self.crawler("b")
        for agent in a, b:
            lib.scrape_crawl(agent)
        health = self.closed(Health({"a": a.url, "b": b.url}, "--max-age", MAX_AGE_S, "--every", 0.5,
                                    "--timeout", 2))
        balancers = [self.closed(kind(a.port, b.port, health.port)) for kind in (HAProxy, Nginx)]
        for balancer in balancers:
            lib.wait_for("balancer", lambda url=balancer.url: lib.scrape(url), [balancer])
        health.wait("a", 200)
        self.until(balancers, "a")

        # Killed: the very next scrapes are answered, by the other one.
        a.kill()
        self.assertEqual([self.scrape(balancer) for balancer in balancers], ["b", "b"])
        health.wait("a", 503)
        self.until(balancers, "b")
        a.start()
        self.until(balancers, "a")

        # Silent: it takes connections in, and says nothing. A scrape that it was given before that was known
        # is lost; then there is none.
        a.popen.send_signal(signal.SIGSTOP)
        for balancer in balancers:
            lib.wait_for("another one", lambda url=balancer.url: answers(url, 1), [balancer])
        self.assertEqual([self.scrape(balancer) for balancer in balancers], ["b", "b"])
        a.popen.send_signal(signal.SIGCONT)
        self.until(balancers, "a")

        # Stale: it answers, but its API is gone.
        api_a.set(fault={"match": "/", "status": 503, "times": -1})
        self.until(balancers, "b")
        health.wait("a", 503, "are allowed")

        # No API for either: what they say of that is still to be had.
        api_b.set(fault={"match": "/", "status": 503, "times": -1})
        health.wait("b", 503, "are allowed")
        for balancer in balancers:
            lib.wait_for("news of the outage", lambda url=balancer.url: 0 in lib.values_of(
                lib.scrape(url), "balena_crawl_success").values(), [balancer])
        api_a.set(faults=[])
        health.wait("a", 200)
        self.until(balancers, "a")

        # Nobody knows who is fresh: one that answers is better than none.
        health.kill()
        for balancer in balancers:
            self.assertEqual(self.scrape(balancer), "a")
        lib.wait_for("HAProxy without checks", lambda: balancers[0].states() == {"a": "DOWN", "b": "DOWN"}, balancers)
        a.kill()
        for balancer in balancers:
            self.assertEqual(self.scrape(balancer, ages=False), "b")


class HealthTest(lib.AgentTest):
    def test_collectd(self):
        lib.require("collectd")
        api = self.api("--quiet")
        agent = self.collectd(lib.Collectd.account(api), lib.Collectd.account(api, "other"))
        lib.scrape_crawl(agent, prefix="collectd_")
        health = self.closed(Health({"c": agent.url}, "--every", 0.2))
        health.wait("c", 200)
        strict = self.closed(Health({"c": agent.url}, "--every", 0.2, "--max-age", 0.01))
        strict.wait("c", 503, "are allowed")

    def test_who_answers_nothing(self):
        mute = lib.Mute()
        self.addCleanup(mute.close)
        health = self.closed(Health({
            "mute": "http://127.0.0.1:%d/metrics" % mute.getsockname()[1],
            "nobody": "http://127.0.0.1:%d/metrics" % lib.free_port()}, "--timeout", 0.5, "--every", 0.2))
        health.wait("mute", 503, "timed out")
        health.wait("nobody", 503, "refused")
        health.wait("unknown", 404)

    def test_endless(self):
        """What never ends, in bytes that come slowly or in a line that is too long, is not fresh."""
        for text, why in ((b"x", "TimeoutError"), (b"x" * 70000, "too large")):
            with self.subTest(why):
                api = self.api("--quiet")
                server = raw_server.RawServer(api.url).script(
                    "/metrics", raw_server.message(b"", "HTTP/1.1 200 OK", length=False),
                    *[part for _ in range(400) for part in (text, 0.1)])
                self.addCleanup(server.close)
                health = self.closed(Health({"slow": server.url + "/metrics"}, "--timeout", 2, "--every", 0.2))
                health.wait("slow", 503, why)


if __name__ == "__main__":
    lib.main("collectd", "telegraf")
