#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A day in the life of a fleet, an hour in a minute and less: a real Telegraf crawls, a real Prometheus has the
shipped rules and a real Alertmanager the shipped routes, their times divided by FACTOR, and a webhook of ours is
told. A rollout fails on some devices, many are lost, the token is revoked, all is well again: the right alerts
fire and no others, in order, and of what follows from another one nobody is told."""
import contextlib
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request

import e2e_lib as lib

MONITORING = lib.ROOT / "packaging" / "monitoring"
FACTOR = 80
DEVICES, FAILING, LOST = 60, 3, 24
# What is told of, in this order; the rest is muted.
TOLD = ["BalenaUpdateFailing", "BalenaFleetMassOffline", "BalenaTokenRejected"]
# What its cause mutes from some seconds later on: told of before, where the machine is quick enough.
SOONER = {"BalenaFleetVpnDrop", "BalenaCrawlStale"}
NEW_TOKEN = lib.TOKEN + "-2"
WELL = {"is_connected_to_vpn": True, "api_heartbeat_state": "online", "is_active": True, "provisioning_state": None,
        "provisioning_progress": None, "download_progress": None, "update_status": "done", "is_undervolted": False,
        "memory_usage": 200, "memory_total": 1000, "storage_usage": 3000, "storage_total": 10000, "cpu_temp": 50,
        "is_pinned_on__release": None, "image_install": []}


class Told:
    """A webhook's receiver: what Alertmanager says to whom, in order."""

    def __init__(self):
        self.said = []
        said = self.said

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # pylint: disable=invalid-name
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said.extend((self.path.strip("/"), alert["status"], alert["labels"], alert["annotations"])
                            for alert in message["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def names(self, status="firing"):
        """Each alert once, in the order in which it was first told of."""
        return list(dict.fromkeys(labels["alertname"] for _, state, labels, _ in self.said if state == status))


def scaled(*paths):
    return subprocess.run([sys.executable, MONITORING / "scale-rules.py", str(FACTOR), *paths], check=True,
                          capture_output=True, text=True).stdout


def shipped(job):
    """What the shipped scrape of an agent does with labels."""
    import yaml  # pylint: disable=import-outside-toplevel
    conf = yaml.safe_load((MONITORING / "prometheus" / (job + ".yml")).read_text("utf-8"))["scrape_configs"][0]
    assert conf["job_name"] == job
    return {key: conf[key] for key in ("honor_labels", "honor_timestamps", "metric_relabel_configs")}


class Alertmanager(lib.Process):
    """The shipped configuration, told to a receiver of ours. Debian's looks for its templates where the package
    would put them; of one that is only unpacked, the child is shown that folder there."""
    TEMPLATES = pathlib.Path("/usr/share/prometheus/alertmanager/default.tmpl")

    @classmethod
    def enter(cls):
        lib.unshare()
        lib.cover(b"/usr/share", pathlib.Path(lib.find("prometheus-alertmanager")).parents[1] / "share")

    def __init__(self, url):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        conf = directory / "alertmanager.yml"
        text = scaled(MONITORING / "alertmanager" / "alertmanager.yml")
        conf.write_text(text.replace("http://127.0.0.1:9099", url))
        self.address = "127.0.0.1:%d" % lib.free_port()
        super().__init__("alertmanager", [
            lib.find("prometheus-alertmanager"), "--config.file", conf, "--storage.path", directory / "data",
            "--web.listen-address", self.address, "--cluster.listen-address", ""], directory,
            enter=None if self.TEMPLATES.exists() else self.enter)

    def tell(self, alerts):
        request = urllib.request.Request("http://%s/api/v2/alerts" % self.address,
                                         json.dumps([{"labels": labels} for labels in alerts]).encode(),
                                         {"Content-Type": "application/json"})
        lib.http_get(request)

    def held(self):
        """[(labels, state)] of what it holds: active or suppressed."""
        try:
            answer = json.loads(lib.http_get("http://%s/api/v2/alerts" % self.address))
        except OSError:
            return None
        return [(alert["labels"], alert["status"]["state"]) for alert in answer]

    def states(self, name):
        return {state for labels, state in self.held() or () if labels["alertname"] == name}


class DayTest(lib.AgentTest):
    def begin(self, *agents):
        """A fleet that is well, agents that crawl it, and all that is behind them."""
        self.fake = self.api("--quiet", fleets=1, devices=DEVICES)
        self.fleet = self.fake.truth()["fleets"][0]
        for row in self.fake.devices():
            self.set(row, belongs_to__application=self.fleet["id"], **WELL)
        self.rows = self.fake.devices()
        self.old, self.new = sorted({row[field] for row in self.rows for field in (
            "should_be_running__release", "is_running__release")} - {None})[-2:]
        self.fake.set(fleet=self.fleet["id"], fields={"should_be_running__release": self.old})
        for row in self.rows:
            self.set(row, is_running__release=self.old)
        self.told = Told()
        self.addCleanup(self.told.close)
        self.alertmanager = self.closed(Alertmanager(self.told.url))
        started = {"balena-" + agent.name: agent for agent in (start(self) for start in agents)}
        self.prometheus = self.closed(lib.Prometheus(
            {job: agent.url for job, agent in started.items()}, "--query.lookback-delta", "%ds" % (300 // FACTOR),
            more={job: shipped(job) for job in started}, alertmanager=self.alertmanager.address,
            rules=scaled(*sorted((MONITORING / "rules").glob("*.yml")))))
        self.alive = [self.fake, self.prometheus, self.alertmanager, *started.values()]
        self.wait("connected devices", lambda: self.value("count(balena_device_up == 1)") == DEVICES * len(agents))
        for name in "balena_devices_online", "balena_fleet_devices":
            self.wait(name, lambda name=name: self.value("sum(fleet:%s:max)" % name) == DEVICES)
        self.assertEqual(self.firing(), set())

    def with_telegraf(self):
        return self.telegraf(self.fake, "--min-interval", "0", "--requests-per-minute", "6000")

    def with_collectd(self):
        return self.collectd(lib.Collectd.account(self.fake, name="default", RequestsPerMinute=6000))

    def lose_devices(self):
        """Two fifths of the devices are gone; nobody is told of each of them."""
        for row in self.rows[-LOST:]:
            self.set(row, is_connected_to_vpn=False, api_heartbeat_state="offline")
        self.wait("mass outage", lambda: "BalenaFleetMassOffline" in self.told.names())
        self.wait("offline devices", lambda: len(self.prometheus.query(
            'ALERTS{alertname="BalenaDeviceOffline",alertstate="firing"}')) == LOST)
        self.wait("inhibition", lambda: self.alertmanager.states("BalenaDeviceOffline") == {"suppressed"})

    def set(self, row, **fields):
        self.fake.set(device=row["id"], fields=fields)

    def firing(self):
        """The names of what fires in Prometheus, whoever is told."""
        return {dict(labels)["alertname"] for labels in self.prometheus.query('ALERTS{alertstate="firing"}')}

    def fired(self):
        """The names of what ever did: by the time that it is looked for it may have ended."""
        return {dict(labels)["alertname"] for labels in self.prometheus.query(
            'max_over_time(ALERTS{alertstate="firing"}[1h])')}

    def told_of(self):
        return [name for name in self.told.names() if name not in SOONER]

    def wait(self, what, condition):
        lib.wait_for(what, condition, self.alive)

    def value(self, expression):
        return next(iter(self.prometheus.query(expression).values()), None)

    def check_words(self):
        """Each message went where its severity belongs, and says of what."""
        places = {"critical": "pager", "warning": "chat", "info": "report"}
        for receiver, _, labels, annotations in self.told.said:
            self.assertEqual(receiver, places[labels["severity"]])
            self.assertIn(labels.get("fleet") or labels["account"], annotations["summary"])
            self.assertNotIn("no value", str(annotations))
        lib.keep("alertmanager", json.dumps(self.told.said).encode())


class Muting(unittest.TestCase):
    """What follows from another alert is muted, and what does not is not."""
    A1 = {"job": "t", "instance": "a:1", "account": "a"}
    A2 = {"job": "t", "instance": "a:2", "account": "a"}
    B = {"job": "t", "instance": "b:1", "account": "b"}
    PLAIN, OTHER = {"fleet": "acme/x"}, {"fleet": "acme/y"}
    LABELLED, ANOTHER = {"fleet": "acme/x", "account": "a"}, {"fleet": "acme/x", "account": "b"}
    # What fires, what of it is muted, and what is not.
    CASES = (
        ("BalenaTokenRejected", A1, (("BalenaCrawlStale", A1), ("BalenaCrawlFailing", A1)),
         (("BalenaCrawlStale", A2), ("BalenaFleetNotCrawled", PLAIN), ("BalenaFleetNotCrawled", LABELLED))),
        ("BalenaCrawlStale", A1, (("BalenaCrawlSlow", A1), ("BalenaCrawlFailing", A1)),
         (("BalenaCrawlSlow", A2), ("BalenaCrawlSlow", B), ("BalenaFleetNotCrawled", PLAIN))),
        ("BalenaCrawlAbsent", {"account": "a"}, (("BalenaFleetMassOffline", LABELLED),),
         (("BalenaFleetMassOffline", ANOTHER), ("BalenaFleetMassOffline", PLAIN), ("BalenaDeviceOffline", OTHER),
          ("BalenaCrawlStale", B))),
        ("BalenaShardsMissing", {"account": "a"}, (("BalenaShardMismatch", {"account": "a"}),),
         (("BalenaShardMismatch", {"account": "b"}),)),
        ("BalenaFleetMassOffline", PLAIN, (("BalenaDeviceOffline", {**PLAIN, "device_uuid": "d"}),
                                           ("BalenaFleetVpnDrop", PLAIN)),
         (("BalenaFleetVpnDrop", OTHER), ("BalenaFleetVpnDrop", LABELLED))),
        # It is not the same devices that they speak of.
        ("BalenaUpdateFailing", PLAIN, (), (("BalenaRolloutStuck", PLAIN),)),
        ("BalenaStorageFull", PLAIN, (), (("BalenaStorageAlmostFull", PLAIN), ("BalenaStorageFillingUp", PLAIN))),
    )

    def test_cases(self):
        lib.require("alertmanager")
        told = Told()
        self.addCleanup(told.close)
        for source, of, muted, others in self.CASES:
            with self.subTest(source=source), contextlib.closing(Alertmanager(told.url)) as alertmanager:
                lib.wait_for("start", lambda: alertmanager.held() == [], [alertmanager])  # pylint: disable=W0640
                alertmanager.tell([{"alertname": name, **labels} for name, labels in ((source, of), *muted, *others)])
                # It takes alerts in one after the other: when this one is muted, all others have been seen.
                last = [{"alertname": name, "account": "last"} for name in (
                    "BalenaShardsMissing", "BalenaShardMismatch")]
                alertmanager.tell(last[:1])
                alertmanager.tell(last[1:])
                held = lib.wait_for("the last one", lambda: (last[1], "suppressed") in (
                    alertmanager.held() or ()) and alertmanager.held(), [alertmanager])  # pylint: disable=W0640
                self.assertEqual({(labels["alertname"], *sorted(labels.items())) for labels, state in held
                                  if state == "suppressed" and labels != last[1]},
                                 {(name, *sorted({"alertname": name, **labels}.items())) for name, labels in muted})


class Day(DayTest):
    @classmethod
    def setUpClass(cls):
        lib.require("telegraf", "prometheus", "alertmanager", "yaml")

    def test_day(self):
        self.begin(DayTest.with_telegraf)
        # A rollout: some devices cannot take the release.
        self.fake.set(fleet=self.fleet["id"], fields={"should_be_running__release": self.new})
        for row in self.rows[:FAILING]:
            self.set(row, update_status="rejected")
        for row in self.rows[FAILING:]:
            self.set(row, is_running__release=self.new)
        self.wait("failing update", lambda: self.told.names() == ["BalenaUpdateFailing"])
        self.assertEqual(self.value('fleet:balena_fleet_devices_by_rollout:max{rollout="pending"}'), FAILING)
        # In the end they do.
        for row in self.rows[:FAILING]:
            self.set(row, update_status="done", is_running__release=self.new)
        self.lose_devices()
        self.wait("the drop of the VPN", lambda: self.fired() == {
            "BalenaUpdateFailing", "BalenaFleetVpnDrop", "BalenaFleetMassOffline", "BalenaDeviceOffline"})
        # The token is revoked: what was known is neither said for ever nor forgotten at once.
        self.fake.set(tokens=[NEW_TOKEN])
        self.wait("stale crawl", lambda: "BalenaCrawlStale" in self.fired())
        self.wait("rejected token", lambda: "BalenaTokenRejected" in self.told.names())
        self.wait("nothing said of the fleet", lambda: not self.firing() - {
            "BalenaCrawlStale", "BalenaCrawlFailing", "BalenaTokenRejected"})
        self.wait("one cause", lambda: self.alertmanager.states("BalenaCrawlStale") == {"suppressed"})
        self.assertEqual(self.told_of(), TOLD)
        # A new token, and the devices come back, with a release that all of them take.
        for row in self.rows:
            self.set(row, **WELL, is_running__release=self.new)
        (self.fake.directory / "token").write_text(NEW_TOKEN + "\n")
        self.wait("all well", lambda: self.firing() == set() and self.value(
            'fleet:balena_fleet_devices_by_connection:max{connection="connected"}') == DEVICES)
        self.wait("good news of each", lambda: set(self.told.names("resolved")) == set(self.told.names()))
        self.assertEqual(self.told_of(), TOLD)
        self.check_words()


class Twins(DayTest):
    @classmethod
    def setUpClass(cls):
        lib.require("collectd", "telegraf", "prometheus", "alertmanager", "yaml")

    def test_outage_that_both_agents_see(self):
        """By the shipped relabelling their series are the same, and the rules count each once. collectd sees it up
        to ten seconds later: only what both say is lost is lost."""
        self.begin(DayTest.with_telegraf, DayTest.with_collectd)
        self.lose_devices()
        self.wait("the drop of the VPN", lambda: self.fired() == {
            "BalenaFleetVpnDrop", "BalenaFleetMassOffline", "BalenaDeviceOffline"})
        self.assertEqual(self.value('fleet:balena_fleet_devices_by_connection:max{connection="disconnected"}'), LOST)
        self.assertEqual(self.told_of(), ["BalenaFleetMassOffline"])
        self.check_words()


if __name__ == "__main__":
    lib.main("telegraf", "alertmanager")
