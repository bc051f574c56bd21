#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of fake_api.py: it must answer as the recorded server did, and count as its pages do.

The recordings in fixtures/recorded/ are replayed against a generated world. Values differ, so what
is compared is the status, the headers and the shape of the body: envelope, key order, value types,
expanded forms, direction of order. Bodies of errors are compared byte for byte.
"""

import collections
import contextlib
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import fake_api                                            # noqa: E402
from fake_api import FakeApi, World                        # noqa: E402

RECORDED = os.path.join(HERE, "fixtures", "recorded")
TOKEN = "test-token"
AGENT = "balena-fleet-metrics/0.1"
FLEET_FILTER = ("is_directly_accessible_by__user/any(dau:1 eq 1) and is_of__class eq 'fleet' "
                "and is_host eq false and is_archived eq false")
FLEETS = ("/v7/application?$select=id,app_name,slug,should_track_latest_release&$expand=organization($select=handle),"
          "is_for__device_type($select=slug),should_be_running__release($select=id,commit,raw_version,created_at),"
          "owns__device/$count&$filter=" + FLEET_FILTER + "&$orderby=id asc")
DEVICE_FIELDS = ("id,uuid,device_name,is_online,is_connected_to_vpn,api_heartbeat_state,last_connectivity_event,"
                 "overall_status,update_status,is_undervolted,memory_usage,memory_total,belongs_to__application,"
                 "should_be_running__release,is_pinned_on__release")
DEVICE_EXPAND = "is_of__device_type($select=slug),is_running__release($select=id,commit,raw_version)"

Reply = collections.namedtuple("Reply", "status headers body")
Recording = collections.namedtuple("Recording", "name method target headers body status answer text")


def request(api, target, method="GET", headers=None, body=None, token=TOKEN, connection=None):
    """One exchange with exactly these headers; spaces in target are encoded, nothing else is."""
    conn = connection or http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    try:
        conn.putrequest(method, target.replace(" ", "%20"), skip_accept_encoding=True)
        if headers is None:
            headers = {"User-Agent": AGENT, "Accept": "application/json"}
            if token is not None:
                headers["Authorization"] = "Bearer " + token
        for name, value in headers.items():
            conn.putheader(name, value)
        if body is not None:
            conn.putheader("Content-Length", str(len(body)))
        conn.endheaders(body)
        answer = conn.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        if connection is None:
            conn.close()


def get(api, target, **more):
    """The value of "d" of a good answer."""
    reply = request(api, target, **more)
    if reply.status != 200:
        raise AssertionError("%d for %s: %r" % (reply.status, target, reply.body[:200]))
    return json.loads(reply.body)["d"]


def change(api, wish):
    reply = request(api, "/_fake/set", "POST", headers={}, body=json.dumps(wish).encode())
    if reply.status != 200:
        raise AssertionError(reply.body)
    return json.loads(reply.body)


def control(api, path):
    return json.loads(request(api, path, headers={}).body)


def load(name):
    with open(os.path.join(RECORDED, name + ".http"), encoding="utf-8") as file:
        sent, _, rest = file.read().partition("\nHTTP/1.1 ")
    lines = sent.split("\n")
    method, target = lines[0].rsplit(" ", 1)[0].split(" ", 1)
    headers, body = {}, None
    for n, line in enumerate(lines[1:], 1):
        if not line:
            body = "\n".join(lines[n + 1:]).strip() or None
            break
        key, _, value = line.partition(": ")
        headers[key] = value
    answer = rest.partition("\n\n")[0].split("\n")
    text = b""
    for ext in (".json", ".txt"):
        path = os.path.join(RECORDED, name + ext)
        if os.path.exists(path):
            with open(path, "rb") as file:
                text = file.read()
    return Recording(name, method, target, headers, body and body.encode(), int(answer[0].split(" ")[0]),
                     dict(line.split(": ", 1) for line in answer[1:] if ": " in line), text)


def recordings():
    return [load(file[:-5]) for file in sorted(os.listdir(RECORDED)) if file.endswith(".http")]


def kind_of(value):
    if isinstance(value, dict):
        return "ref" if list(value) == ["__id"] else "object"
    return {bool: "bool", int: "int", str: "text", list: "list", type(None): "null"}[type(value)]


def objects(value):
    """All objects in a body, with the path of keys that leads to them."""
    found = []

    def walk(value, path):
        if isinstance(value, list):
            for item in value:
                walk(item, path)
        elif isinstance(value, dict) and list(value) != ["__id"]:
            found.append((path, value))
            for key, item in value.items():
                walk(item, path + (key,))
    walk(value, ())
    return found


def types_by_key(value):
    types = collections.defaultdict(set)
    for path, item in objects(value):
        for key, inner in item.items():
            types[path + (key,)].add(kind_of(inner))
    return types


def json_body(recording):
    return json.loads(recording.text) if recording.text.startswith(b"{") else None


# What only special servers or states gave; each has its own test below or needs the state named.
BY_FAULT = {"err-401-database-down", "err-500-database-down-application", "err-500-database-down-jwt-html"}
NOT_REPLAYED = BY_FAULT | {
    "err-429-login",            # not a GET of ours; the form of its answer is used as a fault
    "long-url-in-4000",         # the target is abbreviated in the recording
    "resin-application",        # the recorded server showed /resin, a stock one does not (live 1)
}


class Replay(unittest.TestCase):
    """Each recorded request, sent to a generated world."""

    @classmethod
    def setUpClass(cls):
        cls.api = FakeApi(World(seed=3, fleets=4, devices=400, orphans=0)).start()
        world = World(seed=3, fleets=4, devices=400, orphans=0)
        for id_ in (63,):                      # the recorded device of no fleet
            if world.fleet_of[id_]:
                world.remove_device(id_)
            world.add_device({"id": id_, "device_name": "orphan-no-fleet", "is_connected_to_vpn": False,
                              "api_heartbeat_state": "unknown", "last_connectivity_event": None,
                              "is_running__release": None, "is_of__device_type": 3})
        cls.with_orphan = FakeApi(world).start()
        cls.seen = collections.defaultdict(set)            # field -> kinds in any recording
        for recording in recordings():
            for _, item in objects(json_body(recording)):
                for key, value in item.items():
                    cls.seen[key].add(kind_of(value))

    @classmethod
    def tearDownClass(cls):
        cls.api.stop()
        cls.with_orphan.stop()

    def replay(self, recording):
        api = self.with_orphan if "orphan" in recording.name else self.api
        headers = dict(recording.headers)
        if headers.get("Authorization") == "Bearer <token>":
            token = TOKEN
            if recording.name.startswith("err-empty-bearer"):
                token = ""
            headers["Authorization"] = "Bearer " + token
            if recording.name.endswith("basic-auth"):
                headers["Authorization"] = "Basic YWRtaW46eA=="
        if "If-None-Match" in headers:
            headers["If-None-Match"] = request(api, recording.target).headers["ETag"]
        return request(api, recording.target, recording.method, headers, recording.body)

    def test_recordings(self):
        count = 0
        for recording in recordings():
            if recording.name in NOT_REPLAYED:
                continue
            with self.subTest(recording.name):
                self.compare(recording, self.replay(recording))
                count += 1
        self.assertGreater(count, 150)

    def compare(self, recording, reply):
        self.assertEqual(reply.status, recording.status, reply.body[:200])
        names = {name.lower() for name in recording.answer} - {"date"}
        have = {name.lower() for name in reply.headers} - {"date"}
        sized = {"content-length", "transfer-encoding", "content-encoding"}
        self.assertEqual(have, names)
        for name in names - sized - {"etag"}:
            self.assertEqual(reply.headers[name], {k.lower(): v for k, v in recording.answer.items()}[name], name)
        for name in ("transfer-encoding", "content-encoding"):
            if name in names:
                self.assertEqual(reply.headers[name], {k.lower(): v for k, v in recording.answer.items()}[name])
        if "etag" in names:
            self.assertRegex(reply.headers["ETag"], r'^W/"[0-9a-f]+-[A-Za-z0-9+/]{27}"$')
        self.assertNotIn("WWW-Authenticate", reply.headers)
        if recording.status != 200 or not recording.text.startswith(b"{"):
            if "content-encoding" not in names:
                self.assertEqual(reply.body, recording.text)
            return
        self.compare_shape(recording, json.loads(recording.text), json.loads(reply.body))

    def compare_shape(self, recording, want, have):
        self.assertEqual(list(have), list(want))
        if "d" not in want:
            self.assertEqual(have, want)                   # whoami
            return
        self.assertEqual(kind_of(have["d"]), kind_of(want["d"]))
        if not isinstance(want["d"], list):
            return
        self.assertEqual(bool(have["d"]), bool(want["d"]))
        # The order of keys is the same in every object of one place.
        keys = {}
        for path, item in objects(want["d"]):
            keys[path] = list(item)
        for path, item in objects(have["d"]):
            if path in keys:
                self.assertEqual(list(item), keys[path], path)
        want_types, have_types = types_by_key(want["d"]), types_by_key(have["d"])
        for path, kinds in have_types.items():
            if path not in want_types:
                continue                                   # below a list that was empty in the recording
            allowed = set(want_types[path])
            if allowed == {"null"}:                        # the recording had no value to show
                allowed |= self.seen[path[-1]] - {"list"}
                # No recorded device was pinned or had an OS to get.
                if path[-1] in ("is_pinned_on__release", "should_be_operated_by__release"):
                    allowed.add("ref")
            if "null" in self.seen[path[-1]]:
                allowed.add("null")
            self.assertLessEqual(kinds, allowed, path)
        # The same direction of ids, at the top and in expanded lists; $top as recorded.
        self.compare_order([i.get("id") for i in want["d"]], [i.get("id") for i in have["d"]])
        if "$top=" in recording.target.partition("$expand")[0] + recording.target.rpartition(")")[2]:
            self.assertEqual(len(have["d"]), len(want["d"]))

    def compare_order(self, want, have):
        if None in want or len(want) < 2:
            return
        if want == sorted(want):
            self.assertEqual(have, sorted(have))
        elif want == sorted(want, reverse=True):
            self.assertEqual(have, sorted(have, reverse=True))

    def test_gzip_body_is_the_identity_body(self):
        recording = load("enc-gzip")
        packed = self.replay(recording)
        plain = request(self.api, recording.target)
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertEqual(packed.headers["ETag"], plain.headers["ETag"])        # live 2

    def test_faults_can_give_the_recorded_errors(self):
        for name in sorted(BY_FAULT):
            recording = load(name)
            with self.subTest(name):
                fault = {"match": recording.target, "status": recording.status}
                if recording.text:
                    fault["body"] = recording.text.decode()
                    fault["headers"] = {"Content-Type": recording.answer["Content-Type"]}
                change(self.api, {"fault": fault})
                reply = self.replay(recording)
                self.assertEqual((reply.status, reply.body), (recording.status, recording.text))
                self.assertEqual(reply.headers.get("Content-Type"), recording.answer.get("Content-Type"))
                self.assertEqual(reply.headers.get("Transfer-Encoding"), recording.answer.get("Transfer-Encoding"))
                self.assertNotEqual(self.replay(recording).body, recording.text if recording.text else None)

    def test_too_long_a_target(self):
        recording = load("long-url-in-4000")
        target = "/v7/device?$select=id&$filter=id in (%s)" % ",".join(map(str, range(1, 4001)))
        reply = request(self.api, target)
        self.assertEqual((reply.status, reply.body), (recording.status, b""))
        self.assertEqual(list(reply.headers.items()), list(recording.answer.items()))
        fits = "/v7/device?$select=id&$filter=id in (%s)" % ",".join(map(str, range(1, 2000)))
        self.assertGreater(len(fits), 8900)
        self.assertEqual(request(self.api, fits).status, 200)                  # live 2

    def test_resin_is_hidden(self):
        reply = self.replay(load("resin-application"))
        self.assertEqual((reply.status, reply.body), (404, b""))               # live 1

    def test_no_secret_in_the_recordings(self):
        for recording in recordings():
            auth = recording.headers.get("Authorization", "")
            self.assertIn(auth, ("", "Bearer <token>", "Bearer notavalidtoken", "Bearer aaa.bbb.ccc"), recording.name)


class Dialect(unittest.TestCase):
    """What the product sends, and the edges of the language."""

    @classmethod
    def setUpClass(cls):
        cls.api = FakeApi(World(seed=5, fleets=4, devices=150, orphans=2)).start()

    @classmethod
    def tearDownClass(cls):
        cls.api.stop()

    def status(self, target, **more):
        return request(self.api, target, **more).status

    def test_controls(self):
        for version in ("v6", "v7"):
            self.assertEqual(get(self.api, "/%s/device?$select=id&$top=0" % version), [])
        self.assertEqual(get(self.api, "/v7/device?$select=id,changed_api_heartbeat_state_on__date&$top=0"), [])
        self.assertEqual(self.status("/v6/device?$select=id,changed_api_heartbeat_state_on__date&$top=0"), 500)
        self.assertEqual(self.status("/v7/device?$select=id,is_frozen&$top=0"), 500)
        self.assertEqual(get(self.api, "/v7/device_type?$select=id&$top=1", token="bad"), [{"id": 1}])

    def test_fleet_list(self):
        fleets = get(self.api, FLEETS)
        self.assertEqual([f["id"] for f in fleets], [1, 2, 3, 4])
        self.assertEqual(list(fleets[0]), ["organization", "is_for__device_type", "should_be_running__release",
                                           "owns__device", "id", "app_name", "slug", "should_track_latest_release"])
        self.assertEqual(fleets[3]["should_be_running__release"], [])
        truth = control(self.api, "/_fake/truth")["fleets"]
        self.assertEqual([f["owns__device"] for f in fleets], [f["devices"] for f in truth])
        self.assertEqual(fleets[3]["owns__device"], 0)

    def test_fleet_counts(self):
        truth = control(self.api, "/_fake/truth")["fleets"]
        for condition, want in (
                ("is_connected_to_vpn eq true", lambda f: f["online"]),
                ("is_online eq true", lambda f: f["online"]),
                ("is_connected_to_vpn eq true or api_heartbeat_state in ('online','timeout')",
                 lambda f: f["by_connection"]["connected"]),
                ("is_connected_to_vpn eq false and api_heartbeat_state eq 'unknown' and last_connectivity_event eq null",
                 lambda f: f["by_connection"]["never"])):
            rows = get(self.api, "/v7/application?$select=id&$expand=owns__device/$count($filter=%s)&$filter=%s"
                                 "&$orderby=id asc" % (condition, FLEET_FILTER))
            self.assertEqual([r["owns__device"] for r in rows], [want(f) for f in truth], condition)
            self.assertEqual(list(rows[0]), ["owns__device", "id"])

    def test_latest_release(self):
        # Tried on the recorded server (the metric contract, balena_fleet_latest_release_status_code).
        rows = get(self.api, "/v7/application?$select=id&$expand=owns__release($select=status;$orderby=id desc;$top=1)"
                             "&$orderby=id asc&$top=4")
        truth = control(self.api, "/_fake/truth")["fleets"]
        self.assertEqual([r["owns__release"] for r in rows],
                         [[{"status": f["latest_release_status"]}] if f["latest_release_status"] else [] for f in truth])
        self.assertEqual([r["owns__release"] for r in rows],
                         [[{"status": "success"}], [{"status": "running"}], [{"status": "failed"}], []])
        # The fleet's target is another release, and a good one.
        self.assertNotEqual(truth[1]["target_release"]["raw_version"], "1.2.0-rc1+rev2")

    def test_whole_fleet_list(self):
        # All that the product may ask of it in one request, also without the archived fleets' part.
        asked = FLEETS.replace("owns__device/$count", "owns__release($select=status;$orderby=id desc;$top=1),"
                               "application_tag($select=tag_key,value;$filter=tag_key in ('env','site')),owns__device/$count")
        fleets = get(self.api, asked)
        self.assertEqual(list(fleets[0])[3:6], ["owns__release", "application_tag", "owns__device"])
        truth = control(self.api, "/_fake/truth")
        self.assertEqual([{t["tag_key"]: t["value"] for t in f["application_tag"]} for f in fleets],
                         [f["tags"] for f in truth["fleets"]])
        self.assertEqual(fleets[0]["application_tag"],
                         [{"tag_key": "env", "value": "staging"}, {"tag_key": "site", "value": "lyon"}])
        one = get(self.api, asked.replace("('env','site')", "('site')"))
        self.assertEqual([[t["tag_key"] for t in f["application_tag"]] for f in one], [["site"], [], ["site"], []])
        every = get(self.api, asked.replace(" and is_archived eq false", ""))
        self.assertEqual([f["slug"] for f in every], [f["slug"] for f in truth["fleets"] + truth["archived"]])
        self.assertEqual(len(truth["archived"]), 1)
        self.assertEqual(get(self.api, asked.replace("/v7/", "/v6/")), fleets)
        self.assertEqual({f["organization"][0]["handle"] for f in fleets}, {"admin", "northwind_2"})

    def test_devices_by_tag(self):
        rows = control(self.api, "/_fake/devices?limit=999")
        odd_value = urllib.parse.quote(fake_api.TAG_VALUES[3], safe="")
        for condition, want in (
                ("t/tag_key eq 'site'", lambda t: t["tag_key"] == "site"),
                ("t/tag_key eq 'site' and t/value eq 'berlin'", lambda t: (t["tag_key"], t["value"]) == ("site", "berlin")),
                ("(t/tag_key eq 'site') and (t/value eq 'lyon')", lambda t: (t["tag_key"], t["value"]) == ("site", "lyon")),
                ("t/tag_key eq 'odd%3Dkey%2C%22x%22'", lambda t: t["tag_key"] == 'odd=key,"x"'),
                ("t/tag_key eq 'odd%3Dkey%2C%22x%22' and t/value eq '" + odd_value + "'",
                 lambda t: t["value"] == fake_api.TAG_VALUES[3]),
                ("t/tag_key eq 'nothing'", lambda t: False), ("t/tag_key eq 'O%27%27Neil'", lambda t: False)):
            with self.subTest(condition):
                tagged = [r for r in rows if any(want(t) for t in r["device_tag"])]
                within = "device_tag/any(t:%s)" % condition
                for version in ("v6", "v7"):
                    found = get(self.api, "/%s/device?$select=id&$filter=belongs_to__application in (1,2) and %s and id gt 17 "
                                          "and id le 99&$orderby=id asc" % (version, within))
                    self.assertEqual([d["id"] for d in found], [r["id"] for r in tagged if 17 < r["id"] <= 99
                                                                and r["belongs_to__application"] in (1, 2)])
                self.assertEqual(get(self.api, "/v7/device/$count?$filter=" + within), len(tagged))
                online = "is_connected_to_vpn eq true and "
                for more, test in (("", lambda r: True), (online, lambda r: r["is_online"]),
                                   ("memory_total ge 0 and ", lambda r: r["memory_total"] is not None)):
                    counts = get(self.api, "/v7/application?$select=id&$expand=owns__device/$count($filter=%s%s)&$filter=%s"
                                           "&$orderby=id asc" % (more, within, FLEET_FILTER))
                    self.assertEqual([f["owns__device"] for f in counts], [
                        sum(r["belongs_to__application"] == f["id"] and test(r) for r in tagged) for f in counts])
                if "nothing" not in condition and "Neil" not in condition:
                    self.assertGreater(len(tagged), 5)
        rows = get(self.api, "/v7/device?$select=id&$expand=device_tag($select=tag_key,value;$filter=tag_key in ('site'))"
                             "&$orderby=id asc")
        self.assertEqual({t["tag_key"] for r in rows for t in r["device_tag"]}, {"site"})
        for condition in ("t/tag_key eq 'a' or t/tag_key eq 'b'", "t/tag_key ne 'a'", "x/tag_key eq 'a'",
                          "tag_key eq 'a'", "contains(t/tag_key,'a')"):
            self.assertEqual(self.status("/v7/device?$select=id&$filter=device_tag/any(t:%s)" % condition), 599, condition)
        self.assertEqual(self.status("/v7/device?$select=id&$filter=nope/any(t:t/tag_key eq 'a')"), 500)

    def test_tags_that_a_test_sets(self):
        with FakeApi(World(devices=30)) as api:
            wish = {"tag_key": "site", "value": 'Zürich "Süd", O\'Neil=1'}
            change(api, {"device": 2, "fields": {"device_tag": [wish]}})
            change(api, {"device": 1, "fields": {"device_tag": []}})
            want = "device_tag/any(t:t/tag_key eq 'site' and t/value eq '%s')" % urllib.parse.quote(
                wish["value"].replace("'", "''"), safe="")
            self.assertEqual(get(api, "/v7/device?$select=id&$filter=" + want), [{"id": 2}])
            rows = get(api, "/v7/device?$select=id&$expand=device_tag($select=tag_key,value)&$filter=id in (1,2)&$orderby=id asc")
            self.assertEqual([r["device_tag"] for r in rows], [[], [wish]])

    def test_targets_of_os_and_supervisor(self):
        rows = {r["id"]: r for r in control(self.api, "/_fake/devices?limit=999")}
        asked = "/%s/device?$select=id&$expand=should_be_operated_by__release($select=semver,revision)%s&$orderby=id asc"
        managed = ",should_be_managed_by__release($select=semver,revision)"
        for device in get(self.api, asked % ("v7", managed)):
            row = rows[device["id"]]
            for name, release in (("operated", row["operated_by"]), ("managed", row["managed_by"])):
                self.assertEqual(device["should_be_%s_by__release" % name], [release] if release else [])
        same = [r["os_version"].rpartition(" ")[2].partition("+")[0] == r["operated_by"]["semver"]
                for r in rows.values() if r["operated_by"]]
        self.assertTrue(any(same) and not all(same))
        same = [r["supervisor_version"] == r["managed_by"]["semver"] for r in rows.values() if r["managed_by"]]
        self.assertTrue(any(same) and not all(same))
        self.assertTrue(any(r["operated_by"] is None for r in rows.values()))
        # v6 has no target supervisor, no pin by that name and no date of the heartbeat (live 7).
        self.assertEqual(len(get(self.api, asked % ("v6", ""))), 150)
        self.assertEqual(self.status(asked % ("v6", managed)), 500)
        for field in ("should_be_managed_by__release", "is_pinned_on__release", "changed_api_heartbeat_state_on__date"):
            self.assertEqual(self.status("/v6/device?$select=id,%s&$top=0" % field), 500)
            self.assertEqual(get(self.api, "/v7/device?$select=id,%s&$top=0" % field), [])
        self.assertEqual(get(self.api, "/v6/device?$select=id,should_be_operated_by__release&$top=0"), [])

    def test_v6_expands_the_pin(self):
        rows = {r["id"]: r for r in control(self.api, "/_fake/devices?limit=999")}
        pinned = 0
        for device in get(self.api, "/v6/device?$select=id&$expand=should_be_running__release($select=id)&$orderby=id asc"):
            pin = rows[device["id"]]["is_pinned_on__release"]
            self.assertEqual(device["should_be_running__release"], [{"id": pin}] if pin else [])
            pinned += pin is not None
        self.assertGreater(pinned, 0)

    def test_ranges(self):
        all_ids = [d["id"] for d in get(self.api, "/v7/device?$select=id&$filter=belongs_to__application in (1,2,3)"
                                                  "&$orderby=id asc")]
        self.assertEqual(all_ids, sorted(set(all_ids)))
        low, high = all_ids[10], all_ids[50]
        for bounds, want in ((" and id gt %d and id le %d" % (low, high), all_ids[11:51]),
                             (" and id gt %d" % low, all_ids[11:]), (" and id le %d" % high, all_ids[:51]),
                             ("", all_ids), (" and id ge %d and id lt %d" % (low, high), all_ids[10:50])):
            rows = get(self.api, "/v7/device?$select=%s&$expand=%s&$filter=belongs_to__application in (1,2,3)%s"
                                 "&$orderby=id asc" % (DEVICE_FIELDS, DEVICE_EXPAND, bounds))
            self.assertEqual([r["id"] for r in rows], want)
        rows = get(self.api, "/v7/device?$select=%s&$expand=%s&$filter=belongs_to__application eq null and id gt 5"
                             "&$orderby=id asc" % (DEVICE_FIELDS, DEVICE_EXPAND))
        self.assertEqual([r["belongs_to__application"] for r in rows], [None, None])
        self.assertEqual([r["is_running__release"] for r in rows], [[], []])

    def test_v6_words(self):
        seven = {d["id"]: d for d in get(self.api, "/v7/device?$select=id,overall_status,is_pinned_on__release,actor"
                                                   "&$orderby=id asc")}
        six = get(self.api, "/v6/device?$select=id,overall_status,should_be_running__release,actor&$orderby=id asc")
        words = {"operational": "idle", "reduced-functionality": "idle", "disconnected": "offline"}
        for device in six:
            twin = seven[device["id"]]
            self.assertEqual(device["overall_status"], words.get(twin["overall_status"], twin["overall_status"]))
            self.assertEqual(device["should_be_running__release"], twin["is_pinned_on__release"])
            self.assertEqual({"__id": device["actor"]}, twin["actor"])
        offline = get(self.api, "/v6/device/$count?$filter=overall_status eq 'offline'")
        self.assertEqual(offline, get(self.api, "/v7/device/$count?$filter=overall_status eq 'disconnected'"))
        self.assertGreater(offline, 0)

    def test_and_or_have_one_precedence(self):
        # From the left: (id eq 1 or id eq 2) and id eq 2 (grammar).
        self.assertEqual(get(self.api, "/v7/device?$select=id&$filter=id eq 1 or id eq 2 and id eq 2"), [{"id": 2}])
        self.assertEqual(get(self.api, "/v7/device?$select=id&$filter=id eq 1 or (id eq 2 and id eq 2)&$orderby=id asc"),
                         [{"id": 1}, {"id": 2}])

    def test_malformed(self):
        for target in ("/v7/device?$select=id%2Cuuid", "/v7/device?$filter=%28id eq 1)", "/v7/device?$select=id, uuid",
                       "/v7/device?$top=-1", "/v7/device?$top=abc", "/v7/device?$nope=1", "/v7/device?$select=id&",
                       "/v7//device", "/v7/device/", "/v7/device/%24count", "/v7/device?$filter=id eq 1 and ",
                       "/v7/device?$filter=id%3Deq 1", "/v7/device?$orderby=id ASC", "/v7/device?$select=",
                       "/v7/device?$filter=id in ()", "/v7/device?$filter=modified_at gt 2026-11-23",
                       "/v7/device?$select=id%3B", "/v7/device?$filter=a%3Ab", "/v7/device?$filter=(id eq 1",
                       "/v7/device?$filter=device_name eq '%C3%'", "/v7/device?$expand=device_tag($select=id"):
            reply = request(self.api, target)
            self.assertEqual(reply.status, 400, target)
            self.assertEqual(json.loads(reply.body), "Malformed url: '%s'" % target.replace(" ", "%20"))

    def test_bad_queries(self):
        for target in ("/v7/device?$select=id,nope", "/v7/device?$filter=nope eq 1", "/v7/device?$expand=nope",
                       "/v7/device?$filter=id eq 'abc'", "/v7/device?$filter=modified_at gt 5",
                       "/v7/application?$select=id&$expand=owns__device/$count($filter=nope eq 1)"):
            reply = request(self.api, target)
            self.assertEqual((reply.status, reply.body), (500, b""), target)
        for target in ("/v7/nope", "/v7/$metadata"):
            self.assertEqual(self.status(target), 401, target)
        for target in ("/v7", "/v5/device", "/v8/device", "/resin/device", "/nope"):
            self.assertEqual(self.status(target), 404, target)
        self.assertEqual(get(self.api, "/v7/device(99999)?$select=id"), [])

    def test_not_covered(self):
        for target in ("/v7/device?$filter=not is_online", "/v7/device?$filter=id add 1 eq 2",
                       "/v7/device?$filter=startswith(uuid,'a')", "/v7/device(1)?$select=id&$expand=belongs_to__application",
                       "/v7/device?$select=id&$orderby=last_vpn_event asc", "/v7/device?$select=id&$select=uuid",
                       "/v7/device?$filter=last_vpn_event ne null", "/v7/organization?$select=id", "/v7/",
                       "/v7/device?$filter=device_name eq 'x", "/v7/device?$filter=id in (a)", "/v7/device?=1",
                       "/v7/release?$select=id,phase", "/v7/application/$count", "/v7/device?$filter=is_online",
                       "/v7/device?$select=id&$expand=belongs_to__application($select=id;$filter=id eq 1)"):
            reply = request(self.api, target)
            self.assertEqual(reply.status, 599, target)
            self.assertIn(b"not covered by a recording", reply.body)
        self.assertEqual(self.status("/v7/device", method="DELETE"), 599)
        self.assertEqual(self.status("/v7/device", method="POST", body=b'{"a":1}'), 599)

    def test_tokens(self):
        self.assertEqual(get(self.api, "/v7/device/$count?apikey=" + TOKEN, token=None), 150)      # live 3
        self.assertEqual(get(self.api, "/v7/device/$count", headers={"Authorization": "bearer " + TOKEN}), 150)
        for headers in ({"Authorization": TOKEN}, {"Authorization": "Token " + TOKEN}, {}):
            reply = request(self.api, "/v7/device?$select=id", headers=headers)
            self.assertEqual((reply.status, reply.body), (401, b""))
        reply = request(self.api, FLEETS, token="bad")
        self.assertEqual((reply.status, reply.body), (401, b""))
        change(self.api, {"tokens": ["new"]})
        self.assertEqual(self.status("/v7/device/$count"), 401)
        self.assertEqual(self.status("/v7/device/$count", token="new"), 200)
        change(self.api, {"tokens": [TOKEN]})

    def test_versions(self):
        for options, good, bad in (({"v6_only": True}, "v6", "v7"), ({"v7_only": True}, "v7", "v6")):
            with FakeApi(World(devices=3), **options) as api:
                self.assertEqual(request(api, "/%s/device?$select=id&$top=0" % good).status, 200)
                reply = request(api, "/%s/device?$select=id&$top=0" % bad)
                self.assertEqual((reply.status, reply.body), (404, b""))

    def test_services(self):
        for image, service in (("image", "service"), ("installs__image", "installs__service")):
            rows = get(self.api, "/v7/device?$select=id&$expand=image_install($select=id,status,download_progress;"
                                 "$filter=status ne 'deleted';$expand=%s($select=id;$expand=is_a_build_of__service("
                                 "$select=service_name)),is_provided_by__release($select=id)),service_install($select=id;"
                                 "$expand=%s($select=service_name))&$orderby=id asc" % (image, service))
            statuses = {i["status"] for r in rows for i in r["image_install"]}
            self.assertLessEqual({"Running", "Downloading", "Starting", "Stopping"}, statuses)
            self.assertNotIn("deleted", statuses)
            first = rows[0]["image_install"][0]
            self.assertEqual(list(first), [image, "is_provided_by__release", "id", "status", "download_progress"])
            self.assertEqual(first[image][0]["is_a_build_of__service"], [{"service_name": "main"}])
        rows = get(self.api, "/v7/device?$select=id&$expand=image_install($select=status,download_progress,install_date,"
                             "is_provided_by__release;$filter=status ne 'deleted';$expand=image($select=id;"
                             "$expand=is_a_build_of__service($select=service_name)))&$orderby=id asc")
        first = rows[0]["image_install"][0]
        self.assertEqual(list(first), ["image", "status", "download_progress", "install_date", "is_provided_by__release"])
        self.assertEqual(list(first["is_provided_by__release"]), ["__id"])


class Generator(unittest.TestCase):
    """The truth is counted from the kinds, pages are rendered from rows: they must agree."""

    def recount(self, world):
        """The truth of a world once more, from what a client can read."""
        api = FakeApi(world).start()
        self.addCleanup(api.stop)
        fleets = {f["id"]: f for f in get(api, FLEETS)}
        result = {id_: collections.Counter() for id_ in list(fleets) + [None]}
        extra = ",is_active,is_frozen" if world.cloud else ""
        rows = []
        while True:
            page = get(api, "/v7/device?$select=%s%s&$expand=%s&$filter=id gt %d&$orderby=id asc&$top=97" % (
                DEVICE_FIELDS, extra, DEVICE_EXPAND, rows[-1]["id"] if rows else 0))
            if not page:
                break
            rows += page
        for row in rows:
            fleet = row["belongs_to__application"]
            tally = result[fleet and fleet["__id"]]
            state = fake_api.connection_of(row)
            running, target = row["is_running__release"], row["should_be_running__release"]
            tally["devices"] += 1
            tally["online"] += row["is_online"]
            tally["by_connection", state] += 1
            tally["by_status", row["overall_status"]] += 1
            tally["by_heartbeat", row["api_heartbeat_state"]] += 1
            word = (row["update_status"] or "none") if state == "connected" else "stale"
            word = word if word in fake_api.UPDATE_WORDS + ("none", "stale") else "other"
            tally["by_update_status", word] += 1
            if not running or not target:
                rollout = "unknown"
            elif running[0]["id"] == target["__id"]:
                rollout = "on_target"
            else:
                rollout = "pending" if state == "connected" else "pending_offline"
            tally["by_rollout", rollout] += 1
            tally["pinned"] += row["is_pinned_on__release"] is not None
            tally["undervolted_connected"] += state == "connected" and row["is_undervolted"]
            tally["without_metrics_connected"] += state == "connected" and row["memory_total"] is None
            tally["frozen"] += row.get("is_frozen", False)
        return rows, result, control(api, "/_fake/truth")

    def check(self, world):
        rows, result, truth = self.recount(world)
        for entry in truth["fleets"] + [dict(truth["none"], id=None)]:
            tally = result[entry["id"]]
            for key, value in entry.items():
                if key in ("devices", "online", "pinned", "undervolted_connected", "without_metrics_connected", "frozen"):
                    self.assertEqual(tally[key], value, (entry["id"], key))
                elif key.startswith("by_"):
                    self.assertEqual({word: tally[key, word] for word in value}, value, (entry["id"], key))
                    self.assertEqual(sum(value.values()), entry["devices"])
        self.assertEqual(truth["devices"], len(rows))
        return rows, truth

    def test_truth_is_what_pages_say(self):
        for seed, fleets, devices, orphans, cloud in ((1, 3, 61, 1, False), (2, 8, 700, 9, False), (7, 12, 900, 3, True),
                                                      (4, 1, 40, 0, False), (5, 2, 1, 0, False), (6, 3, 1, 1, False)):
            with self.subTest(seed=seed):
                self.check(World(seed, fleets, devices, orphans=orphans, cloud=cloud))

    def test_truth_after_changes(self):
        world = World(seed=8, fleets=5, devices=200, orphans=2)
        api = FakeApi(world).start()
        self.addCleanup(api.stop)
        ids = world.all_ids()
        change(api, {"device": ids[3], "fields": {
            "is_connected_to_vpn": False, "api_heartbeat_state": "offline",
            "last_connectivity_event": "2026-11-23T06:18:51.774Z"}})
        change(api, {"device": ids[4], "fields": {"belongs_to__application": None}})
        change(api, {"device": ids[5], "fields": {"belongs_to__application": 2, "is_undervolted": True}})
        change(api, {"device": ids[6], "fields": {"update_status": "rejected", "is_running__release": None}})
        change(api, {"device_remove": ids[7]})
        self.assertEqual(change(api, {"device_add": {"belongs_to__application": 1, "device_name": "new"}})["id"], ids[-1] + 1)
        change(api, {"fleet_remove": 3})
        change(api, {"fleet": 1, "fields": {"app_name": "renamed"}})
        rows, truth = self.check(world)
        self.assertEqual([f["id"] for f in truth["fleets"]], [1, 2, 4, 5])
        self.assertEqual(truth["fleets"][0]["app_name"], "renamed")
        states = {r["id"]: r for r in rows}
        self.assertEqual(states[ids[3]]["overall_status"], "disconnected")
        self.assertIs(states[ids[3]]["is_online"], False)
        self.assertNotIn(ids[7], states)
        self.assertEqual(request(api, "/_fake/set", "POST", headers={}, body=b'{"nope":1}').status, 400)
        self.assertEqual(request(api, "/_fake/set", "POST", headers={}, body=b'{"device":99999,"fields":{}}').status, 400)

    def test_same_seed_same_world(self):
        first, again, other = (World(seed, 5, 300) for seed in (11, 11, 12))
        self.assertEqual(first.device_dicts(0, 999), again.device_dicts(0, 999))
        self.assertNotEqual(first.device_dicts(0, 999), other.device_dicts(0, 999))
        self.assertEqual(first.truth(), again.truth())

    def test_every_state_is_there(self):
        world = World()                                    # the default of the command line
        rows = world.device_dicts(0, 999)
        self.assertEqual(len(rows), 61)
        self.assertEqual({r["overall_status"] for r in rows}, set(fake_api.STATUS_WORDS) - {"inactive"})
        self.assertEqual({r["api_heartbeat_state"] for r in rows}, set(fake_api.HEARTBEAT_WORDS))
        self.assertEqual({r["update_status"] for r in rows}, set(fake_api.UPDATE_WORDS) | {None})
        self.assertEqual({r["connection"] for r in rows}, {"connected", "disconnected", "never"})
        self.assertTrue(any(r["memory_usage"] is not None for r in rows if r["connection"] == "disconnected"))
        never = [r for r in rows if r["connection"] == "never" and r["overall_status"] == "configuring"]
        self.assertTrue(all(r["cpu_usage"] is r["memory_total"] is r["cpu_temp"] is None for r in never) and never)
        self.assertEqual(sum(r["fleet"] is None for r in rows), 1)
        ids = [r["id"] for r in rows]
        self.assertEqual(ids[0], 1)
        self.assertGreater(ids[-1], len(ids))              # gaps
        fleets = [r["fleet"] for r in rows]
        self.assertGreater(sum(a != b for a, b in zip(fleets, fleets[1:])), 20)      # interleaved
        inactive = {r["overall_status"] for r in World(devices=80, cloud=True).device_dicts(0, 999)}
        self.assertIn("inactive", inactive)

    def test_computed_status_follows_the_rules(self):
        for cloud in (False, True):
            world = World(devices=300, cloud=cloud)
            for row in world.device_dicts(0, 999):
                downloading = any(i["status"] == "Downloading" for i in row["image_install"])
                self.assertEqual(fake_api.overall_status_of(row, downloading), row["overall_status"], row["id"])
                self.assertEqual(row["is_online"], row["is_connected_to_vpn"])

    def test_odd_values(self):
        def odd(row):
            return (row["memory_total"] is not None and row["memory_usage"] > row["memory_total"], row["storage_total"] == 0,
                    (row["cpu_temp"] or 0) < 0, row["cpu_usage"] == 250, row["storage_block_device"] == "")
        rows = World(seed=2, devices=3000).device_dicts(0, 9999)
        self.assertTrue(all(any(column) for column in zip(*map(odd, rows))))
        names = collections.Counter(r["device_name"] for r in rows)
        self.assertTrue(all(names[name] > 1 for name in fake_api.ODD_NAMES))
        self.assertEqual({len(r["uuid"]) for r in rows}, {32, 62})
        self.assertEqual(len({r["uuid"] for r in rows}), 3000)
        plain = World(seed=2, devices=3000, odd="none").device_dicts(0, 9999)
        self.assertFalse(any(any(odd(row)) for row in plain))
        self.assertTrue(all(re.fullmatch("[a-z-]+", r["device_name"]) for r in plain))

    def test_many_odd_things(self):
        world = World(seed=4, fleets=6, devices=1500, cloud=True, odd="many")
        rows, truth = self.check(world)
        truth = world.truth()
        rows = world.device_dicts(0, 9999)
        names = collections.Counter(r["device_name"] for r in rows)
        for name in fake_api.MANY_NAMES:
            self.assertGreater(names[name], 1, name)
        self.assertLessEqual({"rack/1", "rack_1"}, set(names))
        self.assertGreater(max(map(len, names)), 199)
        self.assertFalse([name for name in names if set(name) & set("\n\r\t")])           # refused (live 6)
        slugs = [f["slug"] for f in truth["fleets"]]
        long = [slug for slug in slugs if len(slug) > 127]
        self.assertEqual([len(slug) for slug in long], [200, 200])
        self.assertEqual(long[0][:127], long[1][:127])
        self.assertEqual(len(set(slugs)), 6)
        for slug in slugs + [f["slug"] for f in truth["archived"]]:
            self.assertRegex(slug, "^[a-z0-9_]+/[a-zA-Z0-9_-]+$")
        self.assertTrue(any('"' in f["app_name"] and not f["app_name"].isascii() for f in truth["fleets"]))
        self.assertTrue(any("\n" in value for f in truth["fleets"] for value in f["tags"].values()))
        self.assertEqual({f["latest_release_status"] for f in truth["fleets"]},
                         {"success", "running", "failed", "finalizing", "error", None})
        tags = {t["value"] for r in rows for t in r["device_tag"] if t["tag_key"] == "site"}
        self.assertEqual(tags, set(fake_api.MANY_TAG_VALUES))
        keys = {t["tag_key"] for r in rows for t in r["device_tag"]}
        self.assertEqual(keys, {"site", "Site-ID", 'odd=key,"x"'})
        self.assertFalse([key for key in keys if re.search(r"\s", key)])                  # live 6
        self.assertEqual({r["overall_status"] for r in rows}, set(fake_api.STATUS_WORDS) | {"hibernating"})
        self.assertEqual({r["update_status"] for r in rows}, set(fake_api.UPDATE_WORDS) | {None, "reticulating"})
        self.assertEqual({r["api_heartbeat_state"] for r in rows}, set(fake_api.HEARTBEAT_WORDS))
        most = 2147483647
        for field, values in (("cpu_usage", {250, -5, 101, most}), ("cpu_temp", {-273, -100, 300, most}),
                              ("memory_usage", {-1, most}), ("memory_total", {0, most, -most - 1}),
                              ("storage_usage", {-9, most}), ("storage_total", {0, -1, most}),
                              ("overall_progress", {130, -1}), ("supervisor_version", {None}),
                              ("os_version", {"other", "none", None}), ("latitude", {"somewhere", "95.5"})):
            self.assertLessEqual(values, {r[field] for r in rows}, field)
        self.assertTrue(any(r["storage_usage"] > r["storage_total"] > 0 for r in rows if r["storage_total"]))
        # Numbers are int4 (live 6).
        self.assertFalse([r["id"] for r in rows for value in r.values() if isinstance(value, int) and abs(value) > most + 1])
        self.assertTrue(any(r["is_locked_until__date"] for r in rows))
        biggest = collections.Counter(r["os_version"] for r in rows if r["fleet"] == slugs[0])
        self.assertGreater(len(biggest), 22)
        current = collections.Counter()
        for row in rows:
            by_service = collections.defaultdict(list)
            for install in row["image_install"]:
                if install["status"] != "deleted":
                    by_service[install["service_name"]].append(install)
            for installs in by_service.values():
                of_running = [i for i in installs if i["is_provided_by__release"] == row["is_running__release"]]
                dates = [i["install_date"] for i in installs]
                current[len(installs), len(of_running)] += 1
                self.assertLessEqual(len(of_running), 1)
                self.assertTrue(of_running or len(set(dates)) == len(dates))
        self.assertLessEqual({(1, 1), (1, 0), (2, 1), (2, 0)}, set(current))
        statuses = {i["status"] for r in rows for i in r["image_install"]}
        self.assertIn("Hibernating", statuses)

    def test_fleets_that_must_not_show(self):
        apps = World().tables["application"].values()
        self.assertEqual(collections.Counter((a["is_of__class"], a["is_host"], a["is_archived"], a["is_public"]) for a in apps),
                         {("fleet", False, False, False): 3, ("fleet", True, False, True): 2, ("app", False, False, True): 2,
                          ("block", False, False, False): 1, ("fleet", False, True, False): 1})

    def test_rows_change_places_when_updated(self):
        world = World(devices=10, orphans=0)
        with FakeApi(world) as api:
            ids = [d["id"] for d in get(api, "/v7/device?$select=id")]
            change(api, {"device": ids[0], "fields": {"note": None}})
            self.assertEqual([d["id"] for d in get(api, "/v7/device?$select=id")], ids[1:] + ids[:1])    # live 8

    def test_page_cache_follows_changes(self):
        with FakeApi(World(devices=30), page_cache=True) as api:
            target = "/v7/device?$select=id,device_name&$orderby=id asc"
            first = get(api, target)
            self.assertEqual(get(api, target), first)
            change(api, {"device": 1, "fields": {"device_name": "other"}})
            self.assertEqual(get(api, target)[0]["device_name"], "other")
            self.assertEqual(request(api, target, token="bad").status, 401)

    def test_a_large_world_is_quick(self):
        # Conditions on tags and kinds look at no row; a page looks at its own rows only.
        with FakeApi(World(fleets=20, devices=100000, odd="many")) as api:
            started = time.monotonic()
            within = "device_tag/any(t:t/tag_key eq 'site' and t/value eq 'berlin')"
            counts = get(api, "/v7/application?$select=id&$expand=owns__device/$count($filter=is_connected_to_vpn eq true "
                              "and %s)&$filter=%s&$orderby=id asc" % (within, FLEET_FILTER))
            ids = get(api, "/v7/device?$select=id&$filter=belongs_to__application in (1,2) and %s&$orderby=id asc" % within)
            page = get(api, "/v7/device?$select=id,device_name&$filter=belongs_to__application in (1,2) and %s and id gt %d "
                            "and id le %d&$orderby=id asc" % (within, ids[99]["id"], ids[1099]["id"]))
            self.assertLess(time.monotonic() - started, 20)
            self.assertEqual([d["id"] for d in page], [d["id"] for d in ids[100:1100]])
            self.assertGreater(sum(f["owns__device"] for f in counts), 1000)

    def test_impossible_worlds(self):
        for options in ({"fleets": 0, "devices": 5, "orphans": 1}, {"devices": 3, "orphans": 4},
                        {"fleets": 2, "empty_fleets": 3}):
            with self.assertRaises(ValueError):
                World(**options)
        self.assertEqual(World(fleets=0, devices=2, orphans=2).truth()["none"]["devices"], 2)


class Faults(unittest.TestCase):
    TARGET = "/v7/device?$select=id,uuid,device_name&$orderby=id asc"

    def setUp(self):
        self.api = FakeApi(World(devices=100)).start()
        self.addCleanup(self.api.stop)
        self.good = request(self.api, self.TARGET).body

    def fault(self, **fault):
        change(self.api, {"faults": [fault]})

    def raw(self, accept="", target=None):
        """All bytes of one answer, and how the connection ended."""
        with socket.create_connection(("127.0.0.1", self.api.port), timeout=10) as sock:
            sock.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer %s\r\n%s\r\n" % (
                (target or self.TARGET).replace(" ", "%20"), TOKEN, accept)).encode())
            data = b""
            try:
                while True:
                    part = sock.recv(65536)
                    if not part:
                        return data, "end"
                    data += part
            except ConnectionResetError:
                return data, "reset"

    def test_times_and_after(self):
        self.fault(match="orderby=id asc", after=1, times=2, status=503)
        self.assertEqual([request(self.api, self.TARGET).status for _ in range(4)], [200, 503, 503, 200])
        self.fault(match="nothing like it", times=-1, status=503)
        self.assertEqual(request(self.api, self.TARGET).status, 200)
        self.fault(match="", times=-1, status=500)
        self.assertEqual([request(self.api, self.TARGET).status for _ in range(3)], [500] * 3)
        self.assertEqual(control(self.api, "/_fake/truth")["devices"], 100)    # the control side has no faults

    def test_status_with_headers_and_body(self):
        recorded = load("err-429-login")
        self.fault(match="device", status=429, headers={"Retry-After": "7"}, body=recorded.text.decode())
        reply = request(self.api, self.TARGET)
        self.assertEqual((reply.status, reply.headers["Retry-After"], reply.body), (429, "7", recorded.text))
        self.assertEqual(reply.headers["Content-Type"], recorded.answer["Content-Type"])

    def test_cut(self):
        self.fault(match="device", cut=100)
        data, _ = self.raw()
        head, _, body = data.partition(b"\r\n\r\n")
        self.assertEqual(body, self.good[:100])
        self.assertIn(b"Content-Length: %d\r\n" % len(self.good), head)
        self.fault(match="device", cut=60)
        data, _ = self.raw("Accept-Encoding: gzip\r\n")
        head, _, body = data.partition(b"\r\n\r\n")
        self.assertIn(b"Content-Encoding: gzip", head)
        size, _, packed = body.partition(b"\r\n")
        self.assertGreater(int(size, 16), 60)
        self.assertEqual(len(packed), 60)
        self.fault(match="device", cut=60, identity=True)
        data, _ = self.raw("Accept-Encoding: gzip\r\n")
        self.assertEqual(data.partition(b"\r\n\r\n")[2], self.good[:60])

    def test_truncate(self):
        self.fault(match="device", truncate=77)
        reply = request(self.api, self.TARGET, headers={"Authorization": "Bearer " + TOKEN, "Accept-Encoding": "gzip"})
        self.assertEqual((reply.status, reply.body, reply.headers["Content-Length"]), (200, self.good[:77], "77"))

    def test_garbage(self):
        self.fault(match="device", garbage="<html>hello")
        reply = request(self.api, self.TARGET)
        self.assertEqual((reply.status, reply.body), (200, b"<html>hello"))
        self.fault(match="device", garbage=True)
        with self.assertRaises(ValueError):
            json.loads(request(self.api, self.TARGET).body)

    def test_reset(self):
        self.fault(match="device", reset=50)
        data, end = self.raw()
        self.assertEqual(end, "reset")
        self.assertNotIn(self.good, data)

    def test_hang(self):
        self.fault(match="device", hang=True)
        with socket.create_connection(("127.0.0.1", self.api.port), timeout=0.3) as sock:
            sock.sendall(b"GET /v7/device HTTP/1.1\r\nHost: x\r\n\r\n")
            with self.assertRaises(TimeoutError):
                sock.recv(1)

    def test_drip_and_latency(self):
        self.fault(match="device", drip=[500, 1], latency_ms=1)
        self.assertEqual(request(self.api, self.TARGET).body, self.good)

    def test_bad_faults_are_refused(self):
        for fault in ({"match": "x"}, {"status": 500, "cut": 1}, {"statsu": 500}):
            body = json.dumps({"fault": fault}).encode()
            self.assertEqual(request(self.api, "/_fake/set", "POST", headers={}, body=body).status, 400)

    def test_log(self):
        request(self.api, "/_fake/reset", "POST", headers={}, body=b"")
        request(self.api, "/v7/device/$count")
        request(self.api, "/v7/device/$count", token=None)
        log = [json.loads(line) for line in request(self.api, "/_fake/log", headers={}).body.splitlines()]
        self.assertEqual([(e["method"], e["target"], e["status"], e["bytes"], e["auth"]) for e in log],
                         [("GET", "/v7/device/$count", 200, 9, True), ("GET", "/v7/device/$count", 401, 0, False)])


class Transport(unittest.TestCase):
    def test_idle_connections_are_closed(self):
        with FakeApi(World(devices=5), keepalive_s=0.05) as api:
            with socket.create_connection(("127.0.0.1", api.port), timeout=5) as sock:
                sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
                data = b""
                while True:
                    part = sock.recv(4096)
                    if not part:
                        break
                    data += part
            self.assertTrue(data.endswith(b"\r\n\r\nOK"))

    def test_keep_alive_and_pipelining(self):
        with FakeApi(World(devices=5)) as api:
            conn = http.client.HTTPConnection("127.0.0.1", api.port, timeout=5)
            for _ in range(3):
                self.assertEqual(request(api, "/ping", connection=conn).body, b"OK")
            conn.close()
            self.assertEqual({e["conn"] for e in api.log}, {1})
            with socket.create_connection(("127.0.0.1", api.port), timeout=5) as sock:
                sock.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n" * 2
                             + b"GET /ping HTTP/1.0\r\n\r\n")
                data = b""
                while part := sock.recv(4096):
                    data += part
            self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 3)                # live 2
            self.assertEqual(data.count(b"Connection: close"), 1)
            with socket.create_connection(("127.0.0.1", api.port), timeout=5) as sock:
                sock.sendall(b"GET /ping HTTP/1.1\r\n\r\n")
                self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 400 "))  # no Host

    def test_no_cache_beats_the_etag(self):
        with FakeApi(World(devices=5)) as api:
            first = request(api, "/v7/device/$count")
            headers = {"Authorization": "Bearer " + TOKEN, "If-None-Match": first.headers["ETag"]}
            self.assertEqual(request(api, "/v7/device/$count", headers=headers).status, 304)
            headers["Cache-Control"] = "no-cache"
            self.assertEqual(request(api, "/v7/device/$count", headers=headers).status, 200)

    def test_supervisor_user_agent(self):
        with FakeApi(World(devices=5)) as api:
            for agent, present in (("Supervisor/16.0.0", False), ("curl/8.0", False), ("telegraf", True)):
                reply = request(api, "/ping", headers={"User-Agent": agent})
                self.assertEqual("X-Frame-Options" in reply.headers, present)


class CommandLine(unittest.TestCase):
    @contextlib.contextmanager
    def run_server(self, *args):
        process = subprocess.Popen([sys.executable, os.path.join(HERE, "fake_api.py"), "--quiet", *args],
                                   stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            self.assertRegex(line, r"^listening on https?://127\.0\.0\.1:[0-9]+\n$")
            yield process, line.split()[-1]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_start_and_signals(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "port")
            for number in (signal.SIGTERM, signal.SIGINT):
                with self.run_server("--port-file", path, "--devices", "20", "--token", "one", "--token", "two",
                                     "--v6-only", "--fault", '{"match":"ping","status":503}') as (process, url):
                    with open(path, encoding="ascii") as file:
                        port = int(file.read())
                    self.assertEqual(url, "http://127.0.0.1:%d" % port)
                    api = collections.namedtuple("Api", "port")(port)
                    self.assertEqual(request(api, "/ping").status, 503)
                    self.assertEqual(get(api, "/v6/device/$count", token="two"), 20)
                    self.assertEqual(request(api, "/v7/device", token="two").status, 404)
                    process.send_signal(number)
                    self.assertEqual(process.wait(timeout=5), 0)

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl to make a certificate")
    def test_tls(self):
        import ssl
        with tempfile.TemporaryDirectory() as folder:
            cert, key = os.path.join(folder, "cert"), os.path.join(folder, "key")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            with FakeApi(World(devices=7), tls=(cert, key)) as api:
                conn = http.client.HTTPSConnection("127.0.0.1", api.port, timeout=5,
                                                   context=ssl.create_default_context(cafile=cert))
                self.assertEqual(get(api, "/v7/device/$count", connection=conn), 7)
                conn.close()


if __name__ == "__main__":
    unittest.main()
