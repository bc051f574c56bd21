#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A balena API for tests: a loopback server that answers as the recorded one did.

Every rule cites what it follows:
  [name]    a recorded exchange, tests/fixtures/recorded/NAME.http and .json ("vN-x" stands for
            v6-x and v7-x)
  live N    section N of the facts measured on a running open-balena-api v49
  api N     section N of the facts read in the sources and documentation
  design N  section N of the design
  grammar   @balena/odata-parser 4.3.5, the parser the recorded server runs
What none of them covers is refused with status 599 and a text saying what was not covered.
A guess here would become a bug that the tests prove right.

The world is generated from a seed. A device is a function of (seed, id), so a million of them
cost one array entry each; what a test changes is kept beside them.

The control side, without a token and never logged or failed:
  GET  /_fake/truth                       what a correct crawl must find
  GET  /_fake/devices?after=ID&limit=N    raw devices, ascending
  GET  /_fake/log                         the requests so far, one JSON object a line
  POST /_fake/reset                       empties the log
  POST /_fake/set                         a JSON object with one or more of
       {"device": ID, "fields": {..}}  {"device_add": {..}}  {"device_remove": ID}
       {"fleet": ID, "fields": {..}}   {"fleet_remove": ID}  {"tokens": [..]}
       (of a device also "image_install" and "device_tag", each a list of rows)
       {"fault": {..}} adds one        {"faults": [..]} replaces all
       {"latency_ms": N}               {"versions": [6, 7]}

A fault is {"match": part of the target, "times": 1 or N or -1 for ever, "after": matches to let
pass first, "latency_ms": N, and at most one action}:
  "status": CODE, with "headers": {..} and "body": text (none: an empty body)
  "cut": N            the connection ends after N bytes of the body as it is on the wire
  "truncate": N       a correct answer of N bytes, never compressed
  "garbage": text     status 200 with this body (true: a broken JSON text)
  "hang": true        no answer until the client goes
  "reset": N or true  RST after N bytes of the body (true: half of it)
  "drip": [N, MS]     N bytes of the body every MS milliseconds
With "identity": true the answer is not compressed, so that N counts bytes of JSON.
"""

import argparse
import base64
import bisect
import collections
import datetime
import functools
import hashlib
import itertools
import json
import operator
import os
import random
import re
import select
import signal
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import zlib
from array import array


# ---- the three ways to say no -----------------------------------------------------------------

class Malformed(Exception):
    """400: the URL does not parse."""


class BadQuery(Exception):
    """500: the URL parses, but names or types are wrong."""


class Unauthorized(Exception):
    """401: the resource is unknown, or closed to this credential."""


class NotCovered(Exception):
    """599: nothing recorded says what the server would answer."""


# ---- the dialect: raw query text in, a tree out ----------------------------------------------

Path = collections.namedtuple("Path", "names count count_filter")       # a/b, a/$count
Literal = collections.namedtuple("Literal", "type value")               # int real text bool null date
Compare = collections.namedtuple("Compare", "op left right")
InList = collections.namedtuple("InList", "left values")
Logic = collections.namedtuple("Logic", "op left right")
Lambda = collections.namedtuple("Lambda", "nav variable body")
Contains = collections.namedtuple("Contains", "path text")
Order = collections.namedtuple("Order", "path direction")
Expand = collections.namedtuple("Expand", "nav count options")
Request = collections.namedtuple("Request", "resource key property count options")

NAME = re.compile(r"[^:/?#\[\]@!$*&()+,;= %]+")        # grammar ResourceName
TEXT = re.compile(r"[^:/?#\[\]@!$*&()+,;=]*")          # grammar Text
SPACE = re.compile(r"(?: |%20|\+)")                    # [url-plus-space]; no tab: live 5
NUMBER = re.compile(r"(?:\+|%2B|-)?[0-9]+(?:\.[0-9]+)?")
COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
ARITHMETIC = ("add", "sub", "mul", "div", "mod")
METHODS = ("cast ceiling concat contains date day endswith floor fractionalseconds hour indexof isof "
           "length maxdatetime mindatetime minute month now replace round second startswith "
           "substringof substring time tolower totaloffsetminutes totalseconds toupper trim year").split()
OPTIONS = ("select", "filter", "expand", "orderby", "top", "skip", "count", "inlinecount", "format")


def decode(text):
    """decodeURIComponent: what is no percent code or no UTF-8 is an error (grammar)."""
    try:
        if re.search("%(?![0-9A-Fa-f]{2})", text):
            raise Malformed()
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Malformed() from None


class Parser:
    """Recursive descent over the raw target: the server parses before it decodes (live 5), so an
    encoded '(' or ',' outside a string is an error by itself [url-paren-encoded]
    [url-comma-encoded] [url-pct-all] [url-pct-expand] [url-pct-parens] [url-path-pct-dollar-count]."""

    def __init__(self, text):
        self.text = text
        self.pos = 0

    def peek(self, word):
        return self.text.startswith(word, self.pos)

    def take(self, word):
        if self.peek(word):
            self.pos += len(word)
            return True
        return False

    def need(self, word):
        if not self.take(word):
            raise Malformed()

    def match(self, regex):
        found = regex.match(self.text, self.pos)
        if found is None or found.end() == self.pos:
            return None
        self.pos = found.end()
        return found.group()

    def spaces(self):
        count = 0
        while self.match(SPACE):
            count += 1
        return count

    def name(self):
        name = self.match(NAME)
        if name is None:
            raise Malformed()
        return name

    def word(self, words):
        """One of words, followed by a boundary (space or an opening parenthesis)."""
        for word in words:
            if self.peek(word):
                start = self.pos
                self.pos += len(word)
                if self.peek("(") or self.spaces():
                    return word
                self.pos = start
        return None

    def at_end(self):
        return self.pos == len(self.text)

    # The path.

    def request(self):
        self.need("/")                     # '//' and a trailing '/' fail here and at at_end()
        if self.peek("$batch"):            # [url-batch]
            raise Malformed()
        if self.take("$metadata"):         # [vN-metadata]
            if self.at_end():
                raise Unauthorized()
            raise Malformed()
        if self.at_end():
            raise NotCovered("the service root")
        resource, key, prop, count = self.name(), None, None, False
        if self.peek("("):
            key = self.key()
        if self.take("/$count"):           # [vN-device-count]; not after a key (grammar)
            if key is not None:
                raise Malformed()
            count = True
        elif key is not None and self.take("/"):           # [vN-device-by-app-nav]
            prop = self.name()
            if self.peek("/") or self.peek("("):
                raise NotCovered("a path of more than two segments")
        options = {}
        if self.take("?") and not self.at_end():
            options = self.options("&")
        if not self.at_end():
            raise Malformed()
        return Request(resource, key, prop, count, options)

    def key(self):
        self.need("(")
        name, value = "id", self.key_value()
        if value is None:
            name = self.name()             # [vN-application-slug-key] [vN-device-uuid-key]
            self.need("=")
            value = self.key_value()
            if value is None:
                raise Malformed()
        if self.peek(","):
            raise NotCovered("a key of two parts")
        self.need(")")
        if isinstance(value, str) == (name == "id"):
            raise NotCovered("a key of this type")
        return name, value

    def key_value(self):
        number = self.match(NUMBER)
        if number is None:
            return self.quoted()
        if "." in number:
            raise NotCovered("a key with a fraction")
        return int(number.replace("%2B", "+"))

    # The options; nested ones are separated by ';' or '&' (live 5).

    def options(self, separators):
        options = {}
        while True:
            # [url-dollar-encoded-option] [url-pct-dollar]
            encoded = self.peek("%24")
            if self.take("$") or self.take("%24"):
                name = self.match(re.compile("[a-z]+"))
                if name not in OPTIONS or not self.take("="):
                    if encoded:            # the grammar takes it for a plain parameter
                        raise NotCovered("an unknown option with %24")
                    raise Malformed()      # [vN-err-unknown-option] [vN-application-apply-groupby]
                if name in options:
                    raise NotCovered("$%s given twice" % name)
                options[name] = getattr(self, "option_" + name)()
            elif self.peek("@"):
                raise NotCovered("parameter aliases")
            else:                          # [url-unknown-plain-param-ignored], ?apikey= (live 3)
                if self.peek("="):
                    raise NotCovered("a parameter without a name")
                name = self.match(TEXT)
                if name is None or not self.take("="):
                    raise Malformed()      # [url-trailing-amp]
                options["?" + decode(name)] = decode(self.match(TEXT) or "")
            if self.at_end() or self.text[self.pos] not in separators:
                return options
            self.pos += 1

    def option_select(self):
        if self.take("*"):                 # live 5
            return ["*"]
        names = [self.name()]              # a space after a comma fails [url-spaces-after-comma]
        while self.take(","):
            names.append(self.name())
        if self.peek("/"):
            raise NotCovered("a path in $select")
        return names

    def option_filter(self):
        return self.expression()

    def option_expand(self):
        items = [self.expand_item()]
        while self.take(","):
            items.append(self.expand_item())
        return items

    def expand_item(self):
        nav, options = self.name(), {}
        count = self.take("/$count")
        if self.take("("):
            if not self.peek(")"):
                options = self.options("&;")
            self.need(")")
        if self.peek("/"):
            raise NotCovered("a path in $expand")
        return Expand(nav, count, options)

    def option_orderby(self):
        items = []
        while True:
            path = self.path()
            direction = "desc"             # [vN-device-orderby-default-direction]
            start = self.pos
            if self.spaces():
                if self.take("asc"):
                    direction = "asc"
                elif self.take("desc"):
                    direction = "desc"
                else:
                    self.pos = start
            items.append(Order(path, direction))
            if not self.take(","):
                return items

    def option_top(self):
        digits = self.match(re.compile("[0-9]+"))
        if digits is None:                 # [vN-err-bad-top]; negative: live 4
            raise Malformed()
        return int(digits)

    option_skip = option_top

    def option_count(self):                # accepted and ignored [vN-device-count-inline]
        if not (self.take("true") or self.take("false")):
            raise Malformed()
        return True

    def option_inlinecount(self):          # ignored [vN-device-inlinecount-allpages]
        if not self.take("allpages"):
            raise NotCovered("$inlinecount other than allpages")
        return True

    def option_format(self):
        if not self.take("json"):          # live 5
            raise NotCovered("$format other than json")
        return "json"

    # Filter expressions. 'and' and 'or' have one precedence and bind from the left (grammar).

    def expression(self):
        left = self.comparison()
        while True:
            start = self.pos
            self.spaces()
            op = self.word(("and", "or"))
            if op is None:
                self.pos = start
                return left
            left = Logic(op, left, self.comparison())

    def comparison(self):
        left = self.value()
        start = self.pos
        spaced = self.spaces()
        if spaced and self.word(("in",)):
            return self.comparison_end(InList(left, self.value_list()))
        op = self.word(COMPARISONS)
        if op:
            return self.comparison_end(Compare(op, left, self.value()))
        self.pos = start
        return self.comparison_end(left)

    def comparison_end(self, node):
        start = self.pos
        self.spaces()
        if self.word(ARITHMETIC):
            raise NotCovered("arithmetic in $filter")
        if self.word(COMPARISONS):
            raise NotCovered("chained comparisons")
        self.pos = start
        return node

    def value_list(self):
        self.need("(")
        values = []
        while True:
            self.spaces()
            values.append(self.literal())
            if values[-1] is None:
                self.name()                # an error if it is not even a name
                raise NotCovered("a field in a list")
            self.spaces()
            if self.take(")"):
                return values
            self.need(",")

    def value(self):
        start = self.pos
        self.spaces()
        if self.word(("not",)):
            raise NotCovered("not in $filter")
        self.pos = start
        if self.take("("):
            self.spaces()
            node = self.expression()
            self.spaces()
            self.need(")")
            return node
        if self.peek("@"):
            raise NotCovered("parameter aliases")
        for method in METHODS:
            if self.peek(method + "("):
                if method != "contains":
                    raise NotCovered("%s() in $filter" % method)
                return self.contains()
        if self.peek("duration'") or self.peek("duration%27"):
            raise NotCovered("durations")
        literal = self.literal()
        return literal if literal is not None else self.path(in_filter=True)

    def contains(self):                    # [url-string-utf8]
        self.need("contains(")
        self.spaces()
        path = self.path()
        self.spaces()
        self.need(",")
        self.spaces()
        text = self.quoted()
        if text is None:
            raise NotCovered("contains() without a quoted text")
        self.spaces()
        self.need(")")
        return Contains(path, text)

    def literal(self):
        text = self.quoted()
        if text is not None:
            return Literal("text", text)
        number = self.match(NUMBER)
        if number is not None:             # an unquoted date ends as a number here and fails
            if "." in number:              # after it [vN-device-modified-gt-bare]
                raise NotCovered("a number with a fraction")
            return Literal("int", int(number.replace("%2B", "+")))
        for word, literal in (("true", Literal("bool", True)), ("false", Literal("bool", False)),
                              ("null", Literal("null", None))):
            if self.take(word):
                return literal
        for word in ("datetime", "date"):
            if self.peek(word + "'") or self.peek(word + "%27"):
                self.pos += len(word)
                return Literal("date", self.quoted())
        return None

    def quoted(self):
        """A quoted text; %27 is a quote, two quotes are one, all else is decoded afterwards
        [url-quote-encoded] [url-string-quote-doubled] [url-pct-datetime]."""
        if not (self.take("'") or self.take("%27")):
            return None
        raw = []
        while not self.at_end():
            if self.take("'") or self.take("%27"):
                if self.take("'") or self.take("%27"):
                    raw.append("'")
                    continue
                return decode("".join(raw))
            raw.append(self.text[self.pos])
            self.pos += 1
        raise NotCovered("a quote without its twin")       # the grammar then takes it for a name

    def path(self, in_filter=False):
        names = [self.name()]
        while self.peek("/"):
            if self.take("/$count"):
                count_filter = None
                if self.take("("):
                    raise NotCovered("a filtered nav/$count outside $expand")
                return Path(tuple(names), True, count_filter)
            self.pos += 1
            name = self.name()
            if in_filter and self.peek("("):
                if name != "any" or len(names) != 1:
                    raise NotCovered("%s() in $filter" % name)
                self.need("(")
                self.spaces()
                variable = self.name()
                self.need(":")
                body = self.expression()
                self.spaces()
                self.need(")")
                return Lambda(names[0], variable, body)
            names.append(name)
        if self.peek("("):
            raise NotCovered("a key or call in a path")
        return Path(tuple(names), False, None)


# ---- the model: what each resource has -------------------------------------------------------

# Fields in the order of the recorded answer without $select [vN-device-1-all-fields]
# [vN-application-all-fields]. "ref:X" is a reference to resource X.
DEVICE_V7 = """created_at date|modified_at date|id int|actor ref|api_heartbeat_state text
changed_api_heartbeat_state_on__date date|uuid text|local_id text|device_name text|note text
is_of__device_type ref:device_type|belongs_to__application ref:application|is_online bool
last_connectivity_event date|is_connected_to_vpn bool|last_vpn_event date|is_locked_until__date date
public_address text|ip_address text|mac_address text|is_web_accessible bool|memory_usage int
memory_total int|storage_block_device text|storage_usage int|storage_total int|cpu_usage int
cpu_temp int|is_undervolted bool|cpu_id text|is_running__release ref:release|download_progress int
status text|os_version text|os_variant text|overall_status text|overall_progress int
supervisor_version text|provisioning_progress int|provisioning_state text|api_port int
api_secret text|is_managed_by__service_instance ref|is_pinned_on__release ref:release
should_be_running__release ref:release|should_be_operated_by__release ref:release
should_be_managed_by__release ref:release|update_status text|last_update_status_event date"""
DEVICE_V6 = """created_at date|modified_at date|id int|actor int|api_heartbeat_state text|uuid text
local_id text|device_name text|note text|is_of__device_type ref:device_type
belongs_to__application ref:application|is_online bool|last_connectivity_event date
is_connected_to_vpn bool|last_vpn_event date|is_locked_until__date date|logs_channel text
public_address text|vpn_address text|ip_address text|mac_address text|is_web_accessible bool
memory_usage int|memory_total int|storage_block_device text|storage_usage int|storage_total int
cpu_usage int|cpu_temp int|is_undervolted bool|cpu_id text|is_running__release ref:release
download_progress int|status text|os_version text|os_variant text|overall_status text
overall_progress int|supervisor_version text|provisioning_progress int|provisioning_state text
api_port int|api_secret text|is_managed_by__service_instance ref
should_be_running__release ref:release|should_be_operated_by__release ref:release
is_managed_by__device ref|update_status text|last_update_status_event date"""
# Cloud only (api 2); their place in an answer without $select is not known, so they are last.
DEVICE_CLOUD = """is_active bool|is_frozen bool|latitude text|longitude text|custom_latitude text
custom_longitude text"""
APPLICATION_V7 = """created_at date|modified_at date|id int|actor ref|should_track_latest_release bool
is_of__class text|organization ref:organization|app_name text|slug text
is_for__device_type ref:device_type|should_be_running__release ref:release|application_type ref
is_host bool|is_archived bool|uuid text|is_public bool"""
APPLICATION_V6 = APPLICATION_V7.replace("actor ref", "actor int").replace(
    "|application_type ref", "|depends_on__application ref\napplication_type ref")
# Of the other resources only these fields were seen [vN-application-expand-devicetype]
# [vN-device-metrics-expand] [vN-device-expand-installs] [vN-device-tags-resource]; a release's
# created_at and status: api 2.
OTHERS = {
    "device_type": "id int|slug text|name text",
    "organization": "id int|name text|handle text",
    "release": "id int|commit text|raw_version text|semver text|revision int|created_at date|status text",
    "device_tag": "id int|tag_key text|value text|device ref:device",
    "application_tag": "id int|tag_key text|value text",
    "image_install": "id int|download_progress int|status text|install_date date"
                     "|image ref:image|is_provided_by__release ref:release",
    "service_install": "id int|service ref:service",
    "image": "id int|is_a_build_of__service ref:service",
    "service": "id int|service_name text",
}
# One relation has two names: 'image' was recorded, 'installs__image' is the model's (api 2).
SYNONYMS = {("image_install", "installs__image"): "image",
            ("service_install", "installs__service"): "service"}
TO_MANY = {
    "application": {"owns__device": "device", "owns__release": "release",
                    "application_tag": "application_tag"},
    "device": {"device_tag": "device_tag", "image_install": "image_install",
               "service_install": "service_install"},
}
SERVED = ("application", "device", "device_type", "release", "device_tag")
# Resources of which the fields are not all known: an unknown name is refused, not a 500.
PARTLY_KNOWN = frozenset(OTHERS)
# They exist (api 2), but nobody recorded a request to them.
UNRECORDED = frozenset(OTHERS) - frozenset(SERVED) | frozenset(
    "user actor api_key team role application_type application_config_variable "
    "application_environment_variable device_config_variable device_environment_variable "
    "device_service_environment_variable service_environment_variable service_label "
    "release_tag release_image release_asset image_label cpu_architecture "
    "device_type_alias service_instance".split())


def parse_fields(text):
    return dict(item.split() for item in text.replace("\n", "|").split("|"))


class Model:
    """Names and types of one API version."""

    def __init__(self, version, cloud):
        self.version = version
        device = parse_fields(DEVICE_V7 if version == 7 else DEVICE_V6)
        if cloud:
            device.update(parse_fields(DEVICE_CLOUD))
        self.fields = {"device": device,
                       "application": parse_fields(APPLICATION_V7 if version == 7 else APPLICATION_V6)}
        for name, text in OTHERS.items():
            self.fields[name] = parse_fields(text)

    def field(self, resource, name):
        """The type of a field, or an error: unknown names are a 500 [vN-err-bad-select-field]
        [vN-err-bad-filter-field]."""
        name = SYNONYMS.get((resource, name), name)
        type_ = self.fields[resource].get(name)
        if type_ is None:
            if resource in PARTLY_KNOWN:
                raise NotCovered("field %s of %s" % (name, resource))
            raise BadQuery(name)
        return type_

    def navigation(self, resource, name):
        """(target resource, is it to-many) of a navigation [vN-err-bad-expand]."""
        many = TO_MANY.get(resource, {}).get(name)
        if many is not None:
            return many, True
        type_ = self.fields[resource].get(SYNONYMS.get((resource, name), name))
        if type_ is not None and type_.startswith("ref:"):
            return type_[4:], False
        if type_ is not None and type_ == "ref" or resource in PARTLY_KNOWN:
            raise NotCovered("navigation %s of %s" % (name, resource))
        raise BadQuery(name)

    def source(self, resource, name):
        """Where a row keeps a field: v6 differs in the words of overall_status and in the meaning
        of should_be_running__release (live 7)."""
        if resource == "device" and self.version == 6:
            if name == "overall_status":
                return "_v6_overall_status"
            if name == "should_be_running__release":
                return "is_pinned_on__release"
        return SYNONYMS.get((resource, name), name)


# ---- the kinds of devices --------------------------------------------------------------------

Kind = collections.namedtuple(
    "Kind", "connection overall weight cloud vpn heartbeat connectivity heartbeat_date status update "
    "state progress download metrics pinned undervolted running installs active frozen odd")


def kind(connection, overall, weight, cloud=False, vpn=True, heartbeat="online", connectivity=True,
         heartbeat_date=True, status="Idle", update="done", state=None, progress=None, download=None,
         metrics=True, pinned=False, undervolted=False, running="target", installs="running",
         active=True, frozen=False, odd=False):
    """connection and overall are what the truth counts; the rest are the fields. They are written
    apart on purpose: the tests compare one with the other."""
    return Kind(connection, overall, weight, cloud, vpn, heartbeat, connectivity, heartbeat_date, status,
                update, state, progress, download, metrics, pinned, undervolted, running, installs,
                active, frozen, odd)


GONE = {"vpn": False, "heartbeat": "offline"}                       # ids 11-13
NEVER = {"vpn": False, "heartbeat": "unknown", "connectivity": False, "heartbeat_date": False}
BLANK = dict(NEVER, metrics=None, status=None, update=None, running="none", installs="none")   # id 19
ON, LOW, OFF, SET = "connected", "reduced-functionality", "disconnected", "configuring"
OK = "operational"

# Ids are those of [v7-device-metrics-v7fields] that have this combination; words of update_status
# and heartbeat beyond them: live 7. The order is the order of the first devices of a world.
KINDS = [
    kind(ON, OK, 300),                                                              # ids 1-10
    kind(OFF, OFF, 60, **GONE),
    kind("never", SET, 15, **BLANK),
    kind(ON, LOW, 25, vpn=False, connectivity=False),                               # id 14
    kind(ON, LOW, 20, heartbeat="unknown", heartbeat_date=False),                   # id 15
    kind(ON, LOW, 20, vpn=False, heartbeat="timeout", connectivity=False),          # id 16
    kind(ON, "updating", 12, status="Downloading", download=37, running="old"),     # id 17
    kind(ON, "updating", 12, update="downloading", running="old", installs="downloading"),   # id 18
    kind("never", "post-provisioning", 5, **dict(NEVER, status="Post Provisioning",
                                                 state="Post-Provisioning", progress=100)),  # id 20
    kind(ON, SET, 8, status="configuring", state="Configuring", progress=45),       # id 21
    kind(ON, OK, 12, undervolted=True),                                             # id 29
    kind(ON, OK, 12, metrics=None),                                                 # id 47
    kind(ON, OK, 20, running="old"),
    kind(ON, OK, 6, running="none", installs="none"),
    kind(ON, OK, 14, pinned=True),
    kind(ON, OK, 6, pinned=True, running="old"),
    kind(OFF, OFF, 8, undervolted=True, **GONE),                                    # id 54
    kind(OFF, OFF, 8, metrics=None, **GONE),                                        # id 53
    kind(OFF, OFF, 8, pinned=True, **GONE),
    kind(OFF, OFF, 15, running="old", **GONE),
    kind(OFF, OFF, 8, vpn=False, heartbeat="unknown", heartbeat_date=False),        # live 7
    kind(ON, LOW, 5, vpn=False),
    kind(ON, LOW, 5, heartbeat="timeout"),
    kind(ON, LOW, 5, heartbeat="offline"),
    kind(ON, OK, 5, update="rejected", running="old"),
    kind(ON, OK, 5, update="downloaded", running="old"),
    kind(ON, OK, 5, update="applying changes", running="old", installs="moving"),
    kind(ON, OK, 5, update="aborted", running="old"),
    kind(ON, OK, 8, update=None),
    kind(ON, OK, 8, installs="broken"),
    kind(OFF, OFF, 4, update="downloading", running="old", **GONE),                 # stale words
    # Only with --cloud: the service has device activation (live 7, api 2).
    kind("inactive", "inactive", 10, cloud=True, active=False, **BLANK),
    kind("inactive", "inactive", 5, cloud=True, active=False, **GONE),
    kind("inactive", "inactive", 3, cloud=True, active=False),
    kind(ON, OK, 5, cloud=True, frozen=True),
    # Only with --odd many. Words that no version knew are what a newer server would say; numbers
    # out of their range pass unchecked (live 6); installs of several releases (api 2).
    kind(ON, "hibernating", 6, odd=True),
    kind(OFF, "hibernating", 3, odd=True, **GONE),
    kind(ON, OK, 6, odd=True, update="reticulating"),
    kind(OFF, OFF, 3, odd=True, update="reticulating", **GONE),
    kind(ON, "updating", 6, odd=True, status="Downloading", download=130, running="old"),
    kind(ON, SET, 4, odd=True, status="configuring", state="Configuring", progress=-1),
    kind(ON, OK, 10, odd=True, installs="twice"),
    kind(OFF, OFF, 6, odd=True, installs="twice", **GONE),
    kind(ON, OK, 8, odd=True, installs="odd"),
]

V6_STATUS = {"operational": "idle", "reduced-functionality": "idle", "disconnected": "offline"}   # live 7
STATUS_WORDS = ("operational", "reduced-functionality", "updating", "configuring", "post-provisioning",
                "disconnected", "inactive")
HEARTBEAT_WORDS = ("online", "timeout", "offline", "unknown")
UPDATE_WORDS = ("done", "downloading", "downloaded", "applying changes", "rejected", "aborted")
RELEASE_WORDS = ("success", "running", "failed", "error", "cancelled", "interrupted")      # api 2
CONNECTIONS = ("connected", "disconnected", "never", "inactive")


def connection_of(row):
    """The state of a device as metrics.md section 1 defines it."""
    if row["overall_status"] == "inactive":
        return "inactive"
    if row["is_connected_to_vpn"] or row["api_heartbeat_state"] in ("online", "timeout"):
        return "connected"
    if row["api_heartbeat_state"] == "unknown" and row["last_connectivity_event"] is None:
        return "never"
    return "disconnected"


def overall_status_of(row, downloading):
    """v7's computed status by live 7 and [v7-device-heartbeat-only]; used for changed devices. That
    the connectivity event decides between configuring and disconnected, and not the heartbeat, is
    open-balena-api's src/features/devices/models/device-additions.ts."""
    vpn, heartbeat = row["is_connected_to_vpn"], row["api_heartbeat_state"]
    if row["is_active"] is False:
        return "inactive"
    if row["provisioning_state"] == "Post-Provisioning":
        return "post-provisioning"
    if not vpn and heartbeat in ("offline", "unknown"):
        return "configuring" if row["last_connectivity_event"] is None else "disconnected"
    if row["provisioning_progress"] is not None:
        return "configuring"
    if vpn != (heartbeat == "online") or heartbeat == "timeout":
        return "reduced-functionality"
    if row["download_progress"] is not None or downloading:
        return "updating"
    return "operational"


# ---- the world -------------------------------------------------------------------------------

DEVICE_TYPES = [("raspberrypi4-64", "Raspberry Pi 4 (using 64bit OS)"), ("intel-nuc", "Intel NUC"),
                ("raspberrypi3", "Raspberry Pi 3"), ("jetson-nano", "Nvidia Jetson Nano SD-CARD")]
MEMORY = {1: 3794, 2: 15902, 3: 921, 4: 3956}
STORAGE = {1: 28946, 2: 228936, 3: 28946, 4: 28946}
BLOCK_DEVICE = {1: "/dev/mmcblk0p6", 2: "/dev/nvme0n1p6", 3: "/dev/mmcblk0p6", 4: "/dev/mmcblk0p6"}
FLEET_NAMES = ["field-gateways", "kiosk-display", "sensor-nodes", "edge-cameras", "cold-chain", "tram-signs"]
OS_VERSIONS = ["balenaOS 6.0.13", "balenaOS 6.1.24", "balenaOS 5.3.27+rev1", "balenaOS 2.115.18",
               "balenaOS 2024.10.1", "balenaOS 2.108.26", "Resin OS 2.12.7+rev1"]
SUPERVISORS = ["15.3.1", "16.4.0", "14.13.10", "16.7.7"]
ADJECTIVES = "summer late tense silent complex muddy average jolly twilight tenacious red proud antique".split()
NOUNS = "shape firefly cactus house monster sky doorway scout stream zombie leaf photo river sea".split()
# Legal and seen: quotes, '=', ',', '#', '/', two spaces, UTF-8, duplicates (live 6).
ODD_NAMES = ['Büro Gerät #4 / "lobby"  =,', "O'Neil, rack=2", "a=b,c#d/e", "北京 №5", "Ω=1 \"x\"",
             "smile 😀, done", "name, with = and #"]
TAG_VALUES = ["berlin", "lyon", "osaka", "line1\nline2\t\"q\" \\ =,"]
# With --odd many. Names differ only in '/' and '_', or only behind the 127 bytes that collectd
# keeps, end in a backslash, have 200 characters; some are a word that partitions use themselves.
MANY_NAMES = ["rack/1", "rack_1", "a=b,c#d/e", "two  blanks", 'say "hi", O\'Neil', "inner\\back\\slash", "ends in \\",
              "ends in two \\\\",
              'inner \\"quote\\"', "smile 😀👩‍🚀, done", "محطة القياس ٣", "תחנה 12 \u200f(א)", "/", "/rack_1",
              "n" * 200, "n" * 199 + "m", "北" * 200, "none", "other", "{brace}=\"x\",y", "Ωmega №5 e\u0301", "#hash, first",
              "=", ",", '"', "{}", "tram 7"]
MANY_TAG_VALUES = ["berlin", 'Zürich "Süd", O\'Neil=1', "line1\nline2\ttab \x7f \x85.", "", "back\\slash\\",
                   "  blanks  in  ", "北京 😀 مرحبا", "v" * 300]
MANY_OS = ["other", "none", None, 'os "x", =1/2\\3', "balenaOS"]
MANY_APP_NAMES = {1: 'Büro "Süd", #1 = a\\b 北京', 4: "rack/1  \\"}
# Handles are [a-z0-9_], names [a-zA-Z0-9_-] (metrics.md 3): two slugs of 200 bytes of which the
# first 191 are equal.
LONG_HANDLE = ("northern_field_operations_" * 5)[:100]
LONG_NAMES = {n: ("refrigerated-trailer-units-" * 4)[:90] + end
              for n, end in ((2, "-north-01"), (3, "-south-02"))}
INT4_MAX = 2147483647                          # what larger numbers are clamped to (live 6)
DAY_ZERO = datetime.date(2026, 11, 23)         # the day of the recordings; fixed, so runs are equal
DAYS = [(DAY_ZERO - datetime.timedelta(days=n)).isoformat() for n in range(400)]


def date_text(days_ago, ms):
    """Always UTC with three decimals and Z (live 6)."""
    seconds, ms = divmod(ms, 1000)
    minutes, second = divmod(seconds, 60)
    return "%sT%02d:%02d:%02d.%03dZ" % (DAYS[days_ago], minutes // 60, minutes % 60, second, ms)


def semver_of(raw_version):
    """semver and revision of a release. raw_version has more in it: the variant of an OS release, and
    the time stamp of a draft, which has no revision (tried on a running open-balena-api v49)."""
    base, _, build = raw_version.partition("+")
    draft = re.fullmatch(r"(.*)-[0-9]{13}", base)
    revision = re.search(r"rev([0-9]+)", build)
    if draft:
        return {"semver": draft[1], "revision": None}
    return {"semver": base, "revision": int(revision[1]) if revision else 0}


class World:
    """Fleets and devices made from a seed, and what tests changed since."""

    def __init__(self, seed=1, fleets=3, devices=61, empty_fleets=None, orphans=1, cloud=False, odd="some"):
        if empty_fleets is None:
            empty_fleets = 1 if fleets >= 3 else 0
        if not 0 <= empty_fleets <= fleets or devices < 0 or orphans < 0 or orphans > devices:
            raise ValueError("impossible world")
        if empty_fleets == fleets and devices > orphans:
            raise ValueError("devices without a fleet to be in")
        self.seed, self.cloud, self.odd = seed, cloud, odd
        self.version = 0                       # rises with each change; caches look at it
        self.lock = threading.RLock()
        self.changed = {}                      # device id -> row, in the order of the changes
        self.kinds = [k for k in KINDS if (cloud or not k.cloud) and (odd == "many" or not k.odd)]
        self.tagged = {}                       # condition -> (version, ids of the devices)
        self._make_applications(fleets, empty_fleets)
        self._make_devices(devices, fleets - empty_fleets, orphans)

    def _make_applications(self, fleets, empty):
        self.tables = {"device_type": {}, "organization": {}, "release": {}, "application": {}, "service": {},
                       "image": {}, "application_tag": {}}
        for n, (slug, name) in enumerate(DEVICE_TYPES, 1):
            self.tables["device_type"][n] = {"id": n, "slug": slug, "name": name}
        for n, handle in enumerate(("admin", "balena_os", "acme", "northwind_2", LONG_HANDLE), 1):
            self.tables["organization"][n] = {"id": n, "name": handle, "handle": handle}
        for n in range(1, fleets + 1):
            if n > fleets - empty:
                k = n - (fleets - empty)
                self._application("empty-fleet" if k == 1 else "empty-fleet-%d" % k, 1, (n - 1) % 4 + 1, 0)
            else:
                # Every fifth fleet is of another organization and has the name of the one
                # before it: app_name is not unique, the slug is.
                twin = n % 5 == 0
                m = n - 1 if twin else n
                name = FLEET_NAMES[(m - 1) % len(FLEET_NAMES)]
                if m > len(FLEET_NAMES):
                    name += "-%d" % ((m - 1) // len(FLEET_NAMES) + 1)
                org, changes = 3 if twin else 4 if n % 5 == 3 else 1, {}
                if self.odd == "many":
                    if n in LONG_NAMES:
                        org, name = 5, LONG_NAMES[n]
                    if n in MANY_APP_NAMES:
                        changes["app_name"] = MANY_APP_NAMES[n]
                # Every seventh tracks nothing and has no target release.
                self._application(name, org, (n - 1) % 4 + 1, 3, target=n % 7 != 6, **changes)
        # What the account sees besides and must never be listed as a fleet
        # [vN-application-select]: host apps, supervisor apps, a block, an archived fleet.
        self.os_releases = {}
        for slug, type_ in (("raspberrypi4-64", 1), ("intel-nuc", 2)):
            app = self._application(slug, 2, type_, 4, versions=(
                                        "6.0.13+Production", "2.115.18-1795561422787", "6.1.24", "5.3.27+rev1.Production"),
                                    is_host=True, is_public=True)
            self.os_releases[type_] = {self.tables["release"][id_]["raw_version"]: id_ for id_ in app["_releases"]}
        self.supervisor_releases = {}
        for slug, type_ in (("aarch64-supervisor", 1), ("amd64-supervisor", 2)):
            app = self._application(slug, 2, type_, len(SUPERVISORS), versions=SUPERVISORS, is_public=True,
                                    is_of__class="app")
            self.supervisor_releases[type_] = app["_releases"]
        self._application("mqtt-block", 1, 1, 0, is_of__class="block")
        self._application("archived-fleet", 1, 3, 0, is_archived=True)

    def _application(self, name, org, type_, releases, versions=("1.0.0", "1.1.0", "1.2.0-rc1+rev2"),
                     target=True, **changes):
        apps, rel = self.tables["application"], self.tables["release"]
        id_ = len(apps) + 1
        made = date_text(60, 22722374 + id_ * 137)
        digest = hashlib.blake2b(b"application:%d:%d" % (self.seed, id_), digest_size=16).hexdigest()
        services = []
        if releases == 3:
            for service_name in ("main", "telemetry"):
                service = {"id": len(self.tables["service"]) + 1, "service_name": service_name}
                self.tables["service"][service["id"]] = service
                services.append(service["id"])
        ids = []
        for n in range(releases):
            version = versions[n % len(versions)]
            release = {"id": len(rel) + 1, "raw_version": version, **semver_of(version), "status": "success",
                       "commit": hashlib.blake2b(b"release:%d:%d" % (self.seed, len(rel) + 1),
                                                 digest_size=16).hexdigest(),
                       "created_at": date_text(50 - n, 22722374 + id_ * 137), "_application": id_, "_images": []}
            for service in services:
                image = {"id": len(self.tables["image"]) + 1, "is_a_build_of__service": service}
                self.tables["image"][image["id"]] = image
                release["_images"].append(image["id"])
            rel[release["id"]] = release
            ids.append(release["id"])
        # The target is the second of three: the third is newer and not yet wanted by anybody, and
        # of some fleets it never will be.
        if len(ids) == 3:
            words = RELEASE_WORDS[:3] + ("finalizing",) + RELEASE_WORDS[3:] if self.odd == "many" else RELEASE_WORDS
            rel[ids[2]]["status"] = words[(id_ - 1) % len(words)]
        wanted = ids[1] if len(ids) == 3 else ids[-1] if ids else None
        app = {"created_at": made, "modified_at": made, "id": id_, "actor": id_ + 2,
               "should_track_latest_release": target, "is_of__class": "fleet", "organization": org,
               "app_name": name, "slug": self.tables["organization"][org]["handle"] + "/" + name,
               "is_for__device_type": type_, "should_be_running__release": wanted if target else None,
               "application_type": 1, "is_host": False, "is_archived": False, "uuid": digest, "is_public": False,
               "depends_on__application": None, "_releases": ids, "_services": services}
        app.update(changes)
        apps[id_] = app
        if not app["is_public"]:
            tags = {"env": ("prod", "staging")[id_ % 2]}
            if id_ % 2:
                tags["site"] = TAG_VALUES[3 if self.odd == "many" and id_ % 4 == 1 else id_ % 3]
            for key, value in tags.items():
                tag = {"id": len(self.tables["application_tag"]) + 1, "tag_key": key, "value": value,
                       "_application": id_}
                self.tables["application_tag"][tag["id"]] = tag
        return app

    def _make_devices(self, count, homes, orphans):
        """One array entry per device: the fleet (0 no device, -1 no fleet) and the kind."""
        rng = random.Random(self.seed)
        gaps = rng.choices((1, 2, 4), cum_weights=(12, 13, 14), k=count)
        fleets = rng.choices(range(1, homes + 1), weights=[1 / (n + 1) for n in range(homes)],
                             k=count) if homes else [-1] * count
        kinds = rng.choices(range(len(self.kinds)), weights=[k.weight for k in self.kinds], k=count)
        # The first devices take each kind and each fleet in turn, so that small worlds have all.
        for n in range(min(count, len(self.kinds))):
            kinds[n] = n
        for n in range(min(count, homes)):
            fleets[n] = n + 1
        for n in range(count - orphans, count):
            fleets[n] = -1
        size = sum(gaps) + 2
        self.fleet_of = array("i", bytes(4 * size))
        self.kind_of = bytearray(size)
        self.ids_of = {app: array("i") for app in self.tables["application"]}
        self.ids_of[-1] = array("i")
        id_ = 0
        for n in range(count):
            id_ += gaps[n] if n else 1
            self.fleet_of[id_] = fleets[n]
            self.kind_of[id_] = kinds[n]
            self.ids_of[fleets[n]].append(id_)

    # Rows.

    def row(self, id_):
        row = self.changed.get(id_)
        return row if row is not None else self.generate(id_, self.fleet_of[id_], self.kinds[self.kind_of[id_]])

    def generate(self, id_, fleet, k):
        """A device as a function of (seed, id), its fleet and its kind."""
        digest = hashlib.blake2b(b"%d:%d" % (self.seed, id_), digest_size=64).digest()
        a, b, c, d, e = struct.unpack_from("<5Q", digest, 24)
        app = self.tables["application"].get(fleet)
        type_ = app["is_for__device_type"] if app else a % 4 + 1
        if a % 16 == 3:
            type_ = type_ % 4 + 1              # a fleet may hold compatible other types
        releases = app["_releases"] if app else ()
        fleet_target = app["should_be_running__release"] if app else None
        pinned = releases[0] if k.pinned and releases else None
        target = pinned or fleet_target
        running = None
        if releases and k.running == "target":
            running = target or releases[1]
        elif releases and k.running == "old":
            running = releases[1] if pinned else releases[0]
        ms = 22000000 + a % 3600000
        made = date_text(8 + b % 40, ms)
        heard = date_text(b % 8, 20000000 + c % 40000000)
        vpn_event = date_text(c % 8, 10000000 + d % 60000000) if k.connectivity else None
        silent = k.connectivity is False and k.vpn is False and k.heartbeat == "unknown" and k.metrics is None
        memory_total = memory = storage_total = storage = cpu = temperature = block = None
        if k.metrics:
            memory_total, storage_total, block = MEMORY[type_], STORAGE[type_], BLOCK_DEVICE[type_]
            memory, storage = memory_total * (5 + d % 90) // 100, storage_total * (3 + e % 95) // 100
            cpu, temperature = (d >> 20) % 101, 30 + (e >> 20) % 56
        name = "%s-%s" % (ADJECTIVES[a % len(ADJECTIVES)], NOUNS[(a >> 8) % len(NOUNS)])
        status = k.status
        if self.odd != "none":
            oddity = (c >> 32) % 64
            if id_ % 12 == 5:
                name = ODD_NAMES[id_ // 12 % len(ODD_NAMES)]
            if k.metrics and oddity < 6:       # [v7-device-odd-values], live 6
                if oddity == 0:
                    memory = memory_total + 206
                elif oddity == 1:
                    storage = storage_total = 0
                elif oddity == 2:
                    temperature = -12
                elif oddity == 3:
                    cpu = 250
                elif oddity == 4:
                    block = ""
                elif status == "Idle":
                    status = "Some Unknown Status"
        os_version, os_target = OS_VERSIONS[(a >> 32) % 7], None
        many, locked = self.odd == "many", None
        latitude = "%.4f" % (e % 1200000 / 10000 - 60)
        if type_ in self.os_releases and (c >> 44) % 3 == 0:
            known = self.os_releases[type_]
            os_target = known.get(os_version.rpartition(" ")[2]) if (c >> 50) & 1 else None
            if os_target is None:
                os_target = list(known.values())[(c >> 51) % len(known)]
        if many:
            if id_ % 4:
                name = MANY_NAMES[(id_ - id_ // 4) % len(MANY_NAMES)]
            if (b >> 24) % 8 == 0:
                os_version = MANY_OS[(b >> 32) % len(MANY_OS)]
            elif (b >> 24) % 8 < 3:            # more versions than anybody wants to see by name
                os_version = "balenaOS 2.%d.0" % ((b >> 32) % 40)
            if (e >> 50) % 16 < 2:
                latitude = ("somewhere", "95.5")[(e >> 50) % 16]
            if k.metrics:
                oddity = (c >> 38) % 40
                memory = {0: -1, 1: INT4_MAX}.get(oddity, memory)
                memory_total = {2: INT4_MAX, 3: 0, 4: -INT4_MAX - 1}.get(oddity, memory_total)
                storage = {5: INT4_MAX, 6: storage_total * 3 + 7, 7: -9}.get(oddity, storage)
                storage_total = {8: -1, 9: INT4_MAX, 10: 0}.get(oddity, storage_total)
                cpu = {11: INT4_MAX, 12: -5, 13: 250, 14: 101}.get(oddity, cpu)
                temperature = {15: -273, 16: 300, 17: INT4_MAX, 18: -100}.get(oddity, temperature)
        if (many or self.cloud) and (b >> 40) % 9 == 0:
            locked = "2026-12-%02dT10:00:00.000Z" % (1 + b % 28)
        progress = k.progress if k.progress is not None else k.download
        if k.installs == "downloading":
            progress = (40 + id_ % 50 + 20 + id_ % 50) // 2
        supervisor = None if many and (b >> 20) % 11 == 0 else SUPERVISORS[(b >> 16) % 4]
        managed = self.supervisor_releases.get(type_)
        update = k.update
        overall = k.overall
        return {
            "created_at": made, "modified_at": made if silent else heard, "id": id_, "actor": id_ + 1000,
            "api_heartbeat_state": k.heartbeat,
            "changed_api_heartbeat_state_on__date": heard if k.heartbeat_date else None,
            "uuid": digest[:31].hex() if b % 8 == 5 else digest[:16].hex(),   # 62 or 32 digits (live 6)
            "local_id": None, "device_name": name, "note": None, "is_of__device_type": type_,
            "belongs_to__application": fleet if fleet > 0 else None, "is_online": k.vpn,   # live 7
            "last_connectivity_event": vpn_event, "is_connected_to_vpn": k.vpn, "last_vpn_event": vpn_event,
            "is_locked_until__date": locked, "logs_channel": None, "public_address": None, "vpn_address": None,
            "ip_address": None if silent else "192.168.%d.%d 10.8.0.%d" % (a >> 8 & 255, a >> 16 & 255, a >> 24 & 255),
            "mac_address": "DC:A6:32:%02X:%02X:%02X" % (a & 255, a >> 8 & 255, a >> 16 & 255),
            "is_web_accessible": self.cloud and (b >> 44) % 5 == 0, "memory_usage": memory, "memory_total": memory_total,
            "storage_block_device": block, "storage_usage": storage, "storage_total": storage_total,
            "cpu_usage": cpu, "cpu_temp": temperature, "is_undervolted": k.undervolted,
            "cpu_id": None if silent else "%016x" % b, "is_running__release": running,
            "download_progress": k.download, "status": status, "os_version": os_version,
            "os_variant": "dev" if b >> 60 else "prod", "overall_status": overall,
            "_v6_overall_status": V6_STATUS.get(overall, overall), "overall_progress": progress,
            "supervisor_version": supervisor, "provisioning_progress": k.progress,
            "provisioning_state": k.state, "api_port": None if silent else 48484, "api_secret": None,
            "is_managed_by__service_instance": 1 if k.connectivity else None,
            "is_pinned_on__release": pinned, "should_be_running__release": target,
            "should_be_operated_by__release": os_target,
            "should_be_managed_by__release": managed[(b >> 18) % 4] if managed else None,
            "is_managed_by__device": None, "update_status": update,
            "last_update_status_event": heard if update else None,
            # Cloud only (api 2): texts, sensitive, custom_* override.
            "is_active": k.active, "is_frozen": k.frozen,
            "latitude": latitude, "longitude": "%.4f" % (d % 3600000 / 10000 - 180),
            "custom_latitude": "12.5" if e % 9 == 0 else "", "custom_longitude": "-7.25" if e % 9 == 0 else "",
            "_installs": k.installs, "_tags": None,
        }

    def many(self, resource, nav, row):
        """The rows of a to-many navigation, in order of insertion."""
        if resource == "device":
            return getattr(self, "_" + nav)(row)
        if nav == "owns__device":
            return [self.row(id_) for id_ in self.ids_of[row["id"]]]
        if nav == "owns__release":
            return [self.tables["release"][id_] for id_ in row["_releases"]]
        return [tag for tag in self.tables["application_tag"].values() if tag["_application"] == row["id"]]

    def _device_tag(self, row):
        if row["_tags"] is not None:
            return row["_tags"]
        return self.tags_of(row["id"])

    def tags_of(self, id_):
        """The tags of a device that no test has changed: they follow from its id."""
        tags, values = [], MANY_TAG_VALUES if self.odd == "many" else TAG_VALUES[:3]
        if id_ % 3 == 1:
            tags.append({"id": 4 * id_ - 3, "tag_key": "site", "value": values[id_ // 3 % len(values)], "device": id_})
        if id_ % 7 == 4 and self.odd != "none":     # keys may have '=', ',' and quotes (live 6)
            tags.append({"id": 4 * id_ - 2, "tag_key": 'odd=key,"x"', "value": TAG_VALUES[3], "device": id_})
        if id_ % 5 == 2 and self.odd == "many":
            tags.append({"id": 4 * id_ - 1, "tag_key": "Site-ID", "value": "N%d" % id_, "device": id_})
        return tags

    def _image_install(self, row):
        """Two services for each device that runs a release, plus deleted rows of an older one;
        a download is of the target release [vN-device-expand-installs]."""
        running, mode, id_ = row["is_running__release"], row["_installs"], row["id"]
        if running is None or mode == "none" or not isinstance(mode, str):
            return [] if isinstance(mode, str) else mode
        releases = self.tables["release"]
        when, rows = row["last_update_status_event"] or row["created_at"], []

        def add(release, image, status, progress=None, date=when):
            rows.append({"id": 8 * id_ + len(rows), "download_progress": progress, "status": status,
                         "install_date": date, "image": image, "is_provided_by__release": release})
        target = row["should_be_running__release"] or running
        if id_ % 5 == 0:
            for release in releases[running]["_images"][:1]:
                add(running, release, "deleted")
        first, second = releases[running]["_images"]
        if mode == "downloading":
            add(target, releases[target]["_images"][0], "Downloading", 40 + id_ % 50)
            add(target, releases[target]["_images"][1], "Downloading", 20 + id_ % 50)
        elif mode == "moving":                 # one service twice, of the old and the new release
            add(running, first, "Stopping")
            add(target, releases[target]["_images"][0], "Starting")
            add(running, second, "Running")
        elif mode == "twice":
            # Neither install of the first service is of the running release, so that the newer
            # one counts; of the second one is, and it counts though it is the older.
            of_fleet = self.tables["application"][releases[running]["_application"]]["_releases"]
            others = [release for release in of_fleet if release != running]
            twins = [(others[0], "Stopping", row["created_at"]), (others[1], "Starting", when)]
            for release, status, date in twins[::-1] if id_ % 2 else twins:
                add(release, releases[release]["_images"][0], status, None, date)
            add(running, second, "Running", None, row["created_at"])
            add(others[1], releases[others[1]]["_images"][1], "Downloading", 10 + id_ % 80)
        elif mode == "odd":
            add(running, first, "Hibernating")
            add(running, second, "Downloading", 130)
        else:
            add(running, first, "Running")
            add(running, second, ("exited", "restarting", "Dead", "paused")[id_ % 4] if mode == "broken" else "Running")
        return rows

    def _service_install(self, row):
        app = self.tables["application"].get(row["belongs_to__application"])
        return [{"id": 2 * row["id"] - 1 + n, "service": service}
                for n, service in enumerate(app["_services"] if app else ())]

    # Ids and counts.

    def all_ids(self):
        return list(itertools.compress(itertools.count(), self.fleet_of))

    def ids_in(self, fleets, low, high):
        """Ids of these fleets (None: of all) with low < id <= high, ascending."""
        low, high = max(low, 0), min(high, len(self.fleet_of) - 1)
        if fleets is None:
            start = low + 1
            return [start + n for n, fleet in enumerate(self.fleet_of[start:high + 1]) if fleet]
        ids = []
        for fleet in fleets:
            of = self.ids_of.get(fleet)
            if of:
                ids.extend(of[bisect.bisect_right(of, low):bisect.bisect_right(of, high)])
        if len(fleets) > 1:
            ids.sort()
        return ids

    @functools.lru_cache(maxsize=4)
    def _kind_counts(self, version):
        counts = collections.Counter(zip(self.fleet_of, self.kind_of))
        for id_ in self.changed:
            counts[self.fleet_of[id_], self.kind_of[id_]] -= 1
        return counts

    def kind_counts(self):
        """{(fleet, kind index): devices}, without the changed devices."""
        return self._kind_counts(self.version)

    # What tests may change.

    def set_device(self, id_, fields):
        with self.lock:
            if not 0 < id_ < len(self.fleet_of) or not self.fleet_of[id_]:
                raise KeyError("no device %d" % id_)
            row = dict(self.row(id_))
            unknown = set(fields) - set(row) - {"image_install", "device_tag"}
            if unknown:
                raise KeyError("no field " + ", ".join(sorted(unknown)))
            row.update(fields)
            if "image_install" in fields:
                row["_installs"] = row.pop("image_install")
            if "device_tag" in fields:
                row["_tags"] = [dict(tag, id=4 * id_ + n, device=id_) for n, tag in enumerate(row.pop("device_tag"))]
            self._derive(row, fields)
            self._move(id_, row["belongs_to__application"] or -1)
            self.changed.pop(id_, None)        # an update moves a row to the end of the heap
            self.changed[id_] = row
            self.version += 1

    def _derive(self, row, fields):
        """What follows from other fields, unless the test says otherwise."""
        if "is_online" not in fields:          # mirrors the VPN (live 7)
            row["is_online"] = row["is_connected_to_vpn"]
        app = self.tables["application"].get(row["belongs_to__application"])
        if "should_be_running__release" not in fields:
            row["should_be_running__release"] = row["is_pinned_on__release"] or (
                app["should_be_running__release"] if app else None)
        if "overall_status" not in fields:
            downloading = any(i["status"] == "Downloading" and i["download_progress"] is not None
                              for i in self._image_install(row))
            row["overall_status"] = overall_status_of(row, downloading)
        row["_v6_overall_status"] = V6_STATUS.get(row["overall_status"], row["overall_status"])

    def _move(self, id_, fleet):
        if fleet not in self.ids_of:
            raise KeyError("no fleet %d" % fleet)
        old = self.fleet_of[id_]
        if old != fleet:
            if old:
                del self.ids_of[old][bisect.bisect_left(self.ids_of[old], id_)]
            bisect.insort(self.ids_of[fleet], id_)
            self.fleet_of[id_] = fleet

    def add_device(self, fields):
        with self.lock:
            id_ = fields.get("id")
            if id_ is None:
                id_ = max((ids[-1] for ids in self.ids_of.values() if ids), default=0) + 1
            if id_ < 1 or id_ < len(self.fleet_of) and self.fleet_of[id_]:
                raise KeyError("device %d is there already" % id_)
            while len(self.fleet_of) <= id_:
                self.fleet_of.append(0)
                self.kind_of.append(0)
            fleet = fields.get("belongs_to__application") or -1
            if fleet not in self.ids_of:
                raise KeyError("no fleet %d" % fleet)
            self._move(id_, fleet)
            self.kind_of[id_] = 0
            self.set_device(id_, fields)
            return id_

    def remove_device(self, id_):
        with self.lock:
            fleet = self.fleet_of[id_] if 0 < id_ < len(self.fleet_of) else 0
            if not fleet:
                raise KeyError("no device %d" % id_)
            del self.ids_of[fleet][bisect.bisect_left(self.ids_of[fleet], id_)]
            self.fleet_of[id_] = 0
            self.changed.pop(id_, None)
            self.version += 1

    def remove_fleet(self, id_):
        """A fleet and its devices."""
        with self.lock:
            for device in list(self.ids_of[id_]):
                self.remove_device(device)
            del self.ids_of[id_]
            del self.tables["application"][id_]
            self.version += 1

    def set_fleet(self, id_, fields):
        with self.lock:
            app = self.tables["application"][id_]
            unknown = set(fields) - set(app)
            if unknown:
                raise KeyError("no field " + ", ".join(sorted(unknown)))
            app.update(fields)
            for device in self.ids_of[id_]:
                if device in self.changed and "should_be_running__release" in fields:
                    row = self.changed[device]
                    row["should_be_running__release"] = row["is_pinned_on__release"] or app["should_be_running__release"]
            self.version += 1

    # The truth.

    def listed_fleets(self, archived=False):
        return [app for app in self.tables["application"].values()
                if app["is_of__class"] == "fleet" and not app["is_host"] and app["is_archived"] == archived]

    def truth(self):
        """What a correct crawl must find, counted from the kinds and not from rendered rows."""
        with self.lock:
            counts = self.kind_counts()
            fleets, archived = [], []
            for app in self.listed_fleets() + self.listed_fleets(archived=True):
                release = self.tables["release"].get(app["should_be_running__release"])
                entry = {"id": app["id"], "slug": app["slug"], "app_name": app["app_name"],
                         "org": self.tables["organization"][app["organization"]]["handle"],
                         "device_type": self.tables["device_type"][app["is_for__device_type"]]["slug"],
                         "tracks_latest": app["should_track_latest_release"],
                         "target_release": release and {"id": release["id"], "raw_version": release["raw_version"],
                                                        "created_at": release["created_at"]},
                         "latest_release_status": self.tables["release"][app["_releases"][-1]]["status"]
                         if app["_releases"] else None,
                         "tags": {tag["tag_key"]: tag["value"]
                                  for tag in self.many("application", "application_tag", app)}}
                entry.update(self._tally(app["id"], bool(app["_releases"]), release is not None, counts))
                (archived if app["is_archived"] else fleets).append(entry)
            none = self._tally(-1, False, False, counts)
            total = sum(f["devices"] for f in fleets) + none["devices"]
            return {"fleets": fleets, "archived": archived, "none": none, "devices": total, "seed": self.seed,
                    "cloud": self.cloud}

    def _tally(self, fleet, has_releases, has_target, counts):
        t = {"devices": 0, "online": 0, "by_connection": dict.fromkeys(CONNECTIONS, 0),
             "by_status": dict.fromkeys(STATUS_WORDS, 0), "by_heartbeat": dict.fromkeys(HEARTBEAT_WORDS, 0),
             "by_update_status": dict.fromkeys(UPDATE_WORDS + ("none", "stale", "other"), 0),
             "by_rollout": dict.fromkeys(("on_target", "pending", "pending_offline", "unknown"), 0),
             "pinned": 0, "undervolted_connected": 0, "without_metrics_connected": 0, "frozen": 0}

        def count(n, connection, overall, heartbeat, vpn, update, rollout, pinned, undervolted, metrics, frozen):
            up = connection == "connected"
            t["devices"] += n
            t["online"] += n * vpn
            t["by_connection"][connection] += n
            t["by_status"][overall] = t["by_status"].get(overall, 0) + n
            t["by_heartbeat"][heartbeat] = t["by_heartbeat"].get(heartbeat, 0) + n
            word = ("none" if update is None else update if update in UPDATE_WORDS else "other") if up else "stale"
            t["by_update_status"][word] += n
            t["by_rollout"]["pending_offline" if rollout == "pending" and not up else rollout] += n
            t["pinned"] += n * pinned
            t["undervolted_connected"] += n * (up and undervolted)
            t["without_metrics_connected"] += n * (up and not metrics)
            t["frozen"] += n * frozen

        for index, k in enumerate(self.kinds):
            n = counts[fleet, index]
            pinned = k.pinned and has_releases
            if not has_releases or k.running == "none" or not (has_target or pinned):
                rollout = "unknown"
            else:
                rollout = "on_target" if k.running == "target" else "pending"
            count(n, k.connection, k.overall, k.heartbeat, k.vpn, k.update, rollout, pinned, k.undervolted,
                  bool(k.metrics), k.frozen)
        for id_, row in self.changed.items():
            if self.fleet_of[id_] == fleet:
                running, target = row["is_running__release"], row["should_be_running__release"]
                count(1, connection_of(row), row["overall_status"], row["api_heartbeat_state"],
                      row["is_connected_to_vpn"], row["update_status"],
                      "unknown" if not running or not target else "on_target" if running == target else "pending",
                      row["is_pinned_on__release"] is not None, row["is_undervolted"],
                      row["memory_total"] is not None, row["is_frozen"])
        return t

    def device_dicts(self, after, limit):
        """Raw devices for a test's own arithmetic."""
        result = []
        for id_ in self.ids_in(None, after, len(self.fleet_of))[:limit]:
            row = dict(self.row(id_))
            app = self.tables["application"].get(row["belongs_to__application"])
            release = self.tables["release"].get(row["is_running__release"])
            target = self.tables["release"].get(row["should_be_running__release"])
            row["fleet"] = app["slug"] if app else None
            row["device_type"] = self.tables["device_type"][row["is_of__device_type"]]["slug"]
            row["release"] = release["raw_version"] if release else None
            row["target"] = target["raw_version"] if target else None
            for what in ("operated", "managed"):
                wanted = self.tables["release"].get(row["should_be_%s_by__release" % what])
                row[what + "_by"] = {name: wanted[name] for name in ("semver", "revision")} if wanted else None
            row["connection"] = connection_of(row)
            row["image_install"] = [dict(i, service_name=self._service_name(i)) for i in self._image_install(row)]
            row["device_tag"] = self._device_tag(row)
            del row["_installs"], row["_tags"]
            result.append(row)
        return result

    def _service_name(self, install):
        image = self.tables["image"].get(install["image"])
        return self.tables["service"][image["is_a_build_of__service"]]["service_name"] if image else None


# ---- answering a query -----------------------------------------------------------------------

COMPARE = {"eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt,
           "le": operator.le}
# What the kind of a device alone decides; last_connectivity_event only as far as null or not.
BY_KIND = frozenset("is_online is_connected_to_vpn api_heartbeat_state overall_status update_status is_active "
                    "is_frozen is_undervolted".split())


def date_value(text):
    """Texts that the recorded server took as dates (live 8): with or without a time, decimals, an
    offset. Compared as the text of an answer, which sorts by time."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise NotCovered("date " + repr(text)) from None
    if moment.tzinfo:
        moment = moment.astimezone(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (moment.microsecond // 1000)


class Query:
    """One parsed request against one world."""

    def __init__(self, world, model, anonymous):
        self.world, self.model, self.anonymous = world, model, anonymous

    # Filters: a tree in, a function of a row out.

    def compile(self, node, resource, uses):
        """uses collects the plain fields that the filter looks at."""
        if isinstance(node, Logic):
            left = self.compile(node.left, resource, uses)
            right = self.compile(node.right, resource, uses)
            if node.op == "and":
                return lambda row: left(row) and right(row)
            return lambda row: left(row) or right(row)
        if isinstance(node, Compare):
            return self.compile_compare(node, resource, uses)
        if isinstance(node, InList):
            field, type_ = self.plain_field(node.left, resource, uses)
            values = {self.constant(value, type_, "eq") for value in node.values}
            if None in values:
                raise NotCovered("null in a list")
            return lambda row: row[field] in values
        if isinstance(node, Contains):
            field, type_ = self.plain_field(node.path, resource, uses)
            if type_ != "text":
                raise NotCovered("contains() on a field that is no text")
            return lambda row: row[field] is not None and node.text in row[field]
        if isinstance(node, Lambda):
            return self.compile_lambda(node, resource, uses)
        raise NotCovered("a bare value as a filter")

    def plain_field(self, path, resource, uses):
        if not isinstance(path, Path) or path.count or len(path.names) != 1:
            raise NotCovered("this path in a filter")
        type_ = self.model.field(resource, path.names[0])
        field = self.model.source(resource, path.names[0])
        uses.add("overall_status" if field == "_v6_overall_status" else field)
        return field, type_

    def constant(self, literal, type_, op):
        """The value of a literal beside a field of this type."""
        if not isinstance(literal, Literal):
            raise NotCovered("a comparison of two fields")
        have = literal.type
        if have == "null":
            if op != "eq":
                raise NotCovered("null with " + op)
            return None
        want = "int" if type_.startswith("ref") else type_
        if want == "date":
            if have in ("date", "text"):       # [vN-device-modified-gt] [vN-device-modified-gt-string]
                return date_value(literal.value)
            if have == "int":                  # [url-datetime-epoch-number]
                raise BadQuery("date and number")
        if want == have:
            return literal.value
        if want == "int" and have == "text":   # [vN-err-bad-type]
            raise BadQuery("number and text")
        raise NotCovered("%s beside %s" % (want, have))

    def compile_compare(self, node, resource, uses):
        compare = COMPARE[node.op]
        if isinstance(node.left, Literal) and isinstance(node.right, Literal):   # dau:1 eq 1
            if node.left.type != "int" or node.right.type != "int":
                raise NotCovered("a comparison of these constants")
            result = compare(node.left.value, node.right.value)
            return lambda row: result
        if isinstance(node.left, Path) and node.left.count:                      # [url-filter-nav-count]
            if resource != "application" or node.left.names != ("owns__device",):
                raise NotCovered("nav/$count of this navigation in a filter")
            limit = self.constant(node.right, "int", node.op)
            uses.add("$count")
            ids_of = self.world.ids_of
            return lambda row: compare(len(ids_of[row["id"]]), limit)
        field, type_ = self.plain_field(node.left, resource, uses)
        value = self.constant(node.right, type_, node.op)
        if value is None:
            return lambda row: row[field] is None
        if node.op == "eq":
            return lambda row: row[field] == value
        if node.op == "ne":
            def differs(row):
                if row[field] is None:
                    raise NotCovered("ne on a null")
                return row[field] != value
            return differs
        if type_ in ("bool", "text"):
            raise NotCovered("%s on %s" % (node.op, type_))
        return lambda row: row[field] is not None and compare(row[field], value)

    def compile_lambda(self, node, resource, uses):
        if resource == "application" and node.nav == "is_directly_accessible_by__user":
            # [vN-application-directly-accessible]: in open-balena every application the token can
            # read. On the cloud not the public ones of others (api 5).
            if node.body != Compare("eq", Literal("int", 1), Literal("int", 1)):
                raise NotCovered("is_directly_accessible_by__user other than any(x:1 eq 1)")
            if self.anonymous:                 # [err-bad-token-application-directly]
                raise Unauthorized()
            if self.world.cloud:
                return lambda row: row["organization"] != 2
            return lambda row: True
        if resource == "device" and node.nav == "belongs_to__application":
            matches = self.lambda_fleets(node)  # [vN-device-by-app-any-in] [vN-device-by-app-name]
            uses.add("belongs_to__application")
            return lambda row: row["belongs_to__application"] in matches
        if resource == "device" and node.nav == "device_tag":
            tagged = self.tagged_devices(node)
            uses.add("device_tag")
            return lambda row: row["id"] in tagged
        self.model.navigation(resource, node.nav)
        raise NotCovered("any() over " + node.nav)

    def tagged_devices(self, node):
        """Ids of the devices with a tag that fits: device_tag/any(t:(t/tag_key eq 'K') and
        (t/value eq 'V')) or the key alone (api 5). Tags follow from the id, so no row is made."""
        parts = []
        for part in self.conjuncts(node.body):
            path = getattr(part, "left", None)
            names = path.names if isinstance(path, Path) and not path.count else ()
            if not isinstance(part, Compare) or part.op != "eq" or len(names) != 2 or names[0] != node.variable:
                raise NotCovered("device_tag/any() other than tag_key eq '..' and value eq '..'")
            parts.append(part._replace(left=Path(names[1:], False, None)))
        tests = [self.compile(part, "device_tag", set()) for part in parts]
        world = self.world
        version, ids = world.tagged.get(str(parts), (None, None))
        if version != world.version:
            def fits(tags):
                return any(all(test(tag) for test in tests) for tag in tags)
            ids = {id_ for id_ in world.all_ids() if id_ not in world.changed and fits(world.tags_of(id_))}
            ids.update(id_ for id_, row in world.changed.items() if fits(world._device_tag(row)))
            if len(world.tagged) > 50:
                world.tagged.clear()
            world.tagged[str(parts)] = world.version, ids
        return ids

    def lambda_fleets(self, node):
        body = node.body
        path = getattr(body, "left", None)
        names = path.names if isinstance(path, Path) and not path.count else ()
        ok = (isinstance(body, InList) and names == (node.variable, "id")
              or isinstance(body, Compare) and body.op == "eq" and names == (node.variable, "app_name"))
        if not ok:
            raise NotCovered("belongs_to__application/any() other than id in (..) and app_name eq '..'")
        test = self.compile(body._replace(left=Path(names[1:], False, None)), "application", set())
        return {id_ for id_, app in self.world.tables["application"].items() if test(app)}

    # Device collections: the parts of a filter that name ids and fleets choose the candidates, so
    # that a page of a million devices does not look at a million rows.

    def plan_devices(self, node):
        """(fleets or None, low, high, id list or None, the rest as a list of nodes)."""
        fleets, ids, low, high, rest = None, None, 0, 1 << 40, []
        for part in self.conjuncts(node):
            names = part.left.names if isinstance(part, (Compare, InList)) and isinstance(part.left, Path) else None
            values = None
            if isinstance(part, InList) and all(v.type == "int" for v in part.values):
                values = {max(v.value, 0) for v in part.values}      # -1 means null here
            elif isinstance(part, Compare) and isinstance(part.right, Literal):
                if part.right.type == "int" and part.op == "eq":
                    values = {max(part.right.value, 0)}
                elif part.right.type == "null" and part.op == "eq":
                    values = {-1}
            if names == ("belongs_to__application",) and values is not None:
                fleets = values if fleets is None else fleets & values
            elif names == ("id",) and values is not None and -1 not in values:
                ids = values if ids is None else ids & values
            elif names == ("id",) and isinstance(part, Compare) and part.op in ("gt", "ge", "lt", "le") \
                    and isinstance(part.right, Literal) and part.right.type == "int":
                bound = part.right.value
                if part.op in ("gt", "ge"):
                    low = max(low, bound - (part.op == "ge"))
                else:
                    high = min(high, bound - (part.op == "lt"))
            elif isinstance(part, Lambda) and part.nav == "belongs_to__application":
                found = self.lambda_fleets(part)
                fleets = found if fleets is None else fleets & found
            else:
                rest.append(part)
        return fleets, low, high, ids, rest

    def conjuncts(self, node):
        if node is None:
            return []
        if isinstance(node, Logic) and node.op == "and":
            return self.conjuncts(node.left) + self.conjuncts(node.right)
        return [node]

    def device_ids(self, node):
        world = self.world
        if node is not None:
            self.compile(node, "device", set())          # all errors, whatever the plan
        fleets, low, high, wanted, rest = self.plan_devices(node)
        if wanted is None:
            ids = world.ids_in(None if fleets is None else sorted(fleets), low, high)
        else:
            size = len(world.fleet_of)
            ids = [i for i in sorted(wanted) if low < i <= high and 0 < i < size and world.fleet_of[i]
                   and (fleets is None or world.fleet_of[i] in fleets)]
        for part in rest:
            if self.is_tag(part):
                tagged = self.tagged_devices(part)
                ids = [id_ for id_ in ids if id_ in tagged]
                continue
            test = self.compile(part, "device", set())
            ids = [id_ for id_ in ids if test(world.row(id_))]
        return ids

    @staticmethod
    def is_tag(node):
        return isinstance(node, Lambda) and node.nav == "device_tag"

    def count_devices(self, fleet, node):
        """Devices of one fleet that pass a filter. If the kinds decide, none is looked at."""
        world = self.world
        if node is None:
            return len(world.ids_of[fleet])
        counted = self.count_by_kind(node)
        if counted is not None:
            return counted[fleet]
        test = self.compile(node, "device", set())
        return sum(1 for id_ in world.ids_of[fleet] if test(world.row(id_)))

    def count_by_kind(self, node):
        """{fleet: devices} or None; one walk for all fleets of a list. Conditions on tags may be
        beside those on what the kind decides."""
        key = ("kinds", node, self.world.version)
        if getattr(self, "_counted", (None,))[0] == key:
            return self._counted[1]
        uses = set()
        parts = self.conjuncts(node)
        tests = [self.compile(part, "device", uses) for part in parts if not self.is_tag(part)]
        tagged = [self.tagged_devices(part) for part in parts if self.is_tag(part)]

        def test(row):
            return all(one(row) for one in tests)
        event = ("last_connectivity_event",)
        null_only = all(isinstance(part, Compare) and part.right == Literal("null", None)
                        for part in self.leaves(node)
                        if getattr(getattr(part, "left", None), "names", None) == event)
        result = None
        if uses <= BY_KIND | ({"last_connectivity_event"} if null_only else set()):
            passing = [test(self.world.generate(1, -1, k)) for k in self.world.kinds]
            result = collections.Counter()
            if tagged:
                world, changed = self.world, self.world.changed
                for id_ in set.intersection(*tagged):
                    if test(changed[id_]) if id_ in changed else passing[world.kind_of[id_]]:
                        result[world.fleet_of[id_]] += 1
            else:
                for (fleet, index), n in self.world.kind_counts().items():
                    if fleet and passing[index]:
                        result[fleet] += n
                for id_, row in self.world.changed.items():
                    result[self.world.fleet_of[id_]] += bool(test(row))
        self._counted = (key, result)
        return result

    def leaves(self, node):
        if isinstance(node, Logic):
            return self.leaves(node.left) + self.leaves(node.right)
        return [node]

    # Rendering: options in, a function of a row out.

    def renderer(self, resource, options, devices=None):
        """An object has the expanded properties first, then the selected ones in the order of
        $select (live 6) [vN-application-1-count-online]."""
        names = options.get("select", ["*"])
        expands = options.get("expand", ())
        if names == ["*"]:
            if resource not in ("device", "application"):
                raise NotCovered("%s without $select" % resource)
            if any(not self.model.navigation(resource, e.nav)[1] for e in expands):
                raise NotCovered("a to-one $expand without $select")
            names = list(self.model.fields[resource])
        if len(set(names)) != len(names):
            raise NotCovered("a field selected twice")
        sources, refs = [], []
        for name in names:
            if name in TO_MANY.get(resource, {}):
                raise NotCovered("a to-many navigation in $select")
            if self.model.field(resource, name).startswith("ref"):
                refs.append(name)
            sources.append(self.model.source(resource, name))
        parts = {}
        for item in expands:
            self.model.navigation(resource, item.nav)
            if item.nav in names:
                raise NotCovered("a navigation both selected and expanded")
            # The later of two expansions of one navigation wins [vN-application-two-counts-same-nav]
            # [vN-application-two-counts-same-nav-swapped] [vN-application-expand-plus-count-same-nav].
            parts[item.nav] = self.expansion(resource, item)
        parts = list(parts.items())
        if len(sources) == 1:
            key, source = names[0], sources[0]
            pick = lambda row: {key: row[source]}                # noqa: E731
        else:
            getter = operator.itemgetter(*sources)
            pick = lambda row: dict(zip(names, getter(row)))     # noqa: E731

        def render(row):
            picked = pick(row)
            for name in refs:
                if picked[name] is not None:
                    picked[name] = {"__id": picked[name]}
            if not parts:
                return picked
            out = {nav: expand(row) for nav, expand in parts}
            out.update(picked)
            return out
        return render

    def expansion(self, resource, item):
        target, many = self.model.navigation(resource, item.nav)
        options = {name: value for name, value in item.options.items() if not name.startswith("?")}
        if item.count:
            if not many:
                raise NotCovered("$count of a to-one navigation")
            if set(options) - {"filter"}:
                raise NotCovered("options beside $filter in nav/$count")
            node = options.get("filter")
            if node is not None:
                self.compile(node, target, set())
            if target == "device":
                return lambda row: self.count_devices(row["id"], node)
            if node is not None:
                raise NotCovered("a filtered $count of " + item.nav)
            return lambda row: len(self.world.many(resource, item.nav, row))
        if set(options) - {"select", "filter", "orderby", "top", "expand"}:
            raise NotCovered("this option in $expand")
        if "select" not in options:
            raise NotCovered("$expand of a navigation without $select in it")
        render = self.renderer(target, options)
        if not many:
            if set(options) - {"select", "expand"}:
                raise NotCovered("$filter, $orderby or $top in a to-one $expand")
            source = self.model.source(resource, item.nav)
            table, cache = self.world.tables.get(target), {}

            def to_one(row):                   # an array of 0 or 1 [vN-device-orphan-expand]
                id_ = row[source]
                if id_ is None:
                    return []
                if id_ not in cache:
                    found = self.world.row(id_) if table is None else table.get(id_)
                    cache[id_] = [render(found)] if found else []
                return cache[id_]
            return to_one
        test = self.compile(options["filter"], target, set()) if "filter" in options else None

        def to_many(row):
            rows = self.world.many(resource, item.nav, row)
            if test:
                rows = [r for r in rows if test(r)]
            rows = self.order(rows, target, options.get("orderby"))
            return [render(r) for r in rows[:options.get("top")]]
        return to_many

    def order(self, rows, resource, orders):
        if not orders:
            return rows
        rows = list(rows)
        for path, direction in reversed(orders):
            key = self.order_key(path, resource)
            rows.sort(key=key, reverse=direction == "desc")
        return rows

    def order_key(self, path, resource):
        if path.count:                         # [url-orderby-nav-count]
            if resource != "application" or path.names != ("owns__device",):
                raise NotCovered("$orderby of this $count")
            return lambda row: len(self.world.ids_of[row["id"]])
        if len(path.names) == 2:               # [vN-device-orderby-nav]
            if resource != "device" or path.names != ("belongs_to__application", "app_name"):
                raise NotCovered("$orderby of this path")
            apps = self.world.tables["application"]

            def by_app(row):
                if row["belongs_to__application"] is None:
                    raise NotCovered("the place of a null in $orderby")
                return apps[row["belongs_to__application"]]["app_name"]
            return by_app
        if len(path.names) > 2:
            raise NotCovered("$orderby of this path")
        self.model.field(resource, path.names[0])
        source = self.model.source(resource, path.names[0])

        def plain(row):
            if row[source] is None:
                raise NotCovered("the place of a null in $orderby")
            return row[source]
        return plain

    # Whole requests.

    def answer(self, request):
        resource, options = request.resource, {n: v for n, v in request.options.items() if not n.startswith("?")}
        if resource in UNRECORDED:
            raise NotCovered("resource " + resource)
        if resource not in SERVED:             # [vN-err-unknown-resource]
            raise Unauthorized()
        if self.anonymous:
            self.check_anonymous(request, options)
        if request.property:
            return self.by_navigation(request, options)
        if request.count:
            return self.count(request, options)
        rows = self.rows(resource, request.key, options)
        render = self.renderer(resource, options)
        return [render(row) for row in rows]

    def check_anonymous(self, request, options):
        """No token, or a bad one: live 3."""
        if request.resource in ("device", "device_tag"):
            # [err-bad-token-device] [err-bad-token-device-count]; a tag is the device's.
            if request.resource == "device_tag":
                raise NotCovered("device_tag without a token")
            raise Unauthorized()
        if request.key or request.property or request.count:
            raise NotCovered("a key, path or count without a token")
        if "expand" in options and not self.has_dau(options.get("filter")):
            raise NotCovered("$expand without a token")

    def has_dau(self, node):
        return any(isinstance(part, Lambda) and part.nav == "is_directly_accessible_by__user"
                   for part in (self.leaves(node) if node is not None else ()))

    def by_navigation(self, request, options):
        if request.resource != "application" or request.property != "owns__device" or not request.key:
            raise NotCovered("this path")
        if "filter" in options:
            raise NotCovered("$filter on a path through a navigation")
        fleets = self.rows("application", request.key, {})
        if not fleets:
            raise NotCovered("a navigation from an entity that is not there")
        inner = dict(options, filter=Compare("eq", Path(("belongs_to__application",), False, None),
                                             Literal("int", fleets[0]["id"])))
        render = self.renderer("device", options)
        return [render(row) for row in self.rows("device", None, inner)]

    def count(self, request, options):
        """resource/$count: a number; $top is ignored [url-count-ignores-top]."""
        if request.resource not in ("device",):
            raise NotCovered("$count of " + request.resource)
        if set(options) - {"filter", "top"}:
            raise NotCovered("options beside $filter and $top with $count")
        node = options.get("filter")
        if node is not None:
            counted = self.count_by_kind(node)
            if counted is not None:
                return sum(counted.values())
        return len(self.device_ids(node))

    def rows(self, resource, key, options):
        node = options.get("filter")
        if key is not None:
            if node is not None:
                raise NotCovered("$filter with a key")
            name, value = key
            if (resource, name) not in (("device", "id"), ("device", "uuid"), ("application", "id"),
                                        ("application", "slug")):
                raise NotCovered("key %s of %s" % (name, resource))
            node = Compare("eq", Path((name,), False, None),
                           Literal("int" if isinstance(value, int) else "text", value))
        if resource == "device":
            return self.device_rows(node, options)
        if resource == "device_tag":
            rows = [tag for id_ in self.world.all_ids() for tag in self.world._device_tag(self.world.row(id_))]
        else:
            rows = list(self.world.tables[resource].values())
        if self.anonymous:                     # [err-bad-token-application] [err-bad-token-release]
            apps = self.world.tables["application"]
            if resource == "application":
                rows = [row for row in rows if row["is_public"]]
            elif resource == "release":
                rows = [row for row in rows if apps[row["_application"]]["is_public"]]
        if node is not None:
            test = self.compile(node, resource, set())
            rows = [row for row in rows if test(row)]
        return self.slice(self.order(rows, resource, options.get("orderby")), options)

    def device_rows(self, node, options):
        orders = options.get("orderby")
        for order in orders or ():
            self.order_key(order.path, "device")
        ids = self.device_ids(node)
        if orders and orders[0].path == Path(("id",), False, None):
            if orders[0].direction == "desc":  # ids are unique: what follows cannot matter
                ids.reverse()
            ids = self.slice(ids, options)
            orders = None
        elif not orders:
            # Order of insertion, changed rows last, as the database's heap has them (live 8).
            changed = self.world.changed
            if changed:
                present = set(ids)
                ids = [i for i in ids if i not in changed] + [i for i in changed if i in present]
            ids = self.slice(ids, options)
        else:
            rows = self.order([self.world.row(id_) for id_ in ids], "device", orders)
            return self.slice(rows, options)
        if options.get("select") == ["id"] and not options.get("expand"):
            return [{"id": id_} for id_ in ids]          # nothing else is needed of the row
        row = self.world.row
        return map(row, ids)

    def slice(self, rows, options):
        skip = options.get("skip", 0)
        top = options.get("top")
        return rows[skip:] if top is None else rows[skip:skip + top]


# ---- HTTP ------------------------------------------------------------------------------------

MAX_HEAD = 16 * 1024            # Node's limit for request line and headers (live 2) [long-url-in-4000]
GZIP_FROM = 1024                # "bodies under about 1 KB are never compressed" (live 2)
JSON_TYPE = "application/json; charset=utf-8"
REASONS = {200: "OK", 204: "No Content", 301: "Moved Permanently", 304: "Not Modified", 400: "Bad Request", 401: "Unauthorized",
           403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 429: "Too Many Requests",
           431: "Request Header Fields Too Large", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout", 599: "Not Covered By A Recording"}
# Left out for no User-Agent, curl... and Supervisor... [ua-none] [ua-curl] [ua-custom] (live 2).
BROWSER_HEADERS = [("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff"),
                   ("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true"),
                   ("Access-Control-Expose-Headers", "Retry-After")]
OPTIONS_HEADERS = [
    ("Access-Control-Allow-Methods", "GET, PUT, POST, PATCH, DELETE, OPTIONS, HEAD"),
    ("Access-Control-Allow-Headers", "Content-Type, Authorization, Application-Record-Count, "
                                     "MaxDataServiceVersion, X-Requested-With, X-Balena-Client"),
    ("Access-Control-Max-Age", "86400")]
ACTIONS = ("status", "cut", "truncate", "garbage", "hang", "reset", "drip")
FAULT_KEYS = frozenset(ACTIONS) | {"match", "times", "after", "latency_ms", "headers", "body", "identity"}


class Answer:
    """What goes out. body None: no body at all; "": the empty chunked body of errors."""

    def __init__(self, status, body=None, headers=(), cache=True, etag=True, vary="Accept-Encoding",
                 type_=JSON_TYPE, browser=True, key=None):
        self.status, self.body, self.headers = status, body, list(headers)
        self.cache, self.etag, self.vary, self.type = cache, etag, vary, type_
        self.browser = browser
        self.key = key                  # of the compressed body in the page cache


def empty(status, cache=True):
    """Errors without a body are chunked with length zero (live 2) [vN-err-no-token]."""
    return Answer(status, b"", cache=cache, etag=False, vary=None, type_=None)


def dump(value):
    """Compact, and UTF-8 as it is (live 2)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def not_covered(what):
    return Answer(599, ("not covered by a recording: %s\n" % what).encode(), etag=False, vary=None,
                  type_="text/plain; charset=utf-8", cache=False)


def check_fault(fault):
    unknown = set(fault) - FAULT_KEYS
    if unknown:
        raise ValueError("unknown fault key " + ", ".join(sorted(unknown)))
    actions = [a for a in ACTIONS if a in fault]
    if len(actions) > 1 or not actions and "latency_ms" not in fault:
        raise ValueError("a fault has one action of " + ", ".join(ACTIONS) + " or latency_ms")
    return {"match": fault.get("match", ""), "left": fault.get("times", 1), "skip": fault.get("after", 0), **fault}


class Connection:
    """One TCP connection: reads requests, pipelined ones too, and writes answers."""

    def __init__(self, api, sock, number):
        self.api, self.sock, self.number = api, sock, number
        self.buffer = b""
        self.open = True

    def run(self):
        self.sock.settimeout(self.api.keepalive_s)
        while self.open:
            head = self.read_head()
            if head is None:
                return
            self.one(*head)

    def recv(self):
        try:
            return self.sock.recv(65536)
        except (TimeoutError, OSError):
            return b""                         # idle for too long, or gone

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > MAX_HEAD:
                break
            data = self.recv()
            if not data:
                return None
            self.buffer += data
        raw, _, rest = self.buffer.partition(b"\r\n\r\n")
        if len(raw) > MAX_HEAD:                # [long-url-in-4000]: two header lines, nothing else
            target = raw.split(b" ", 2)[1] if raw.count(b" ") else b""
            self.refuse(431, target[:100].decode("latin-1") + "...")
            return None
        self.buffer = rest
        lines = raw.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            self.refuse(400, lines[0][:100])
            return None
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                self.refuse(400, words[1])
                return None
            headers[name.strip().lower()] = value.strip()
        if "host" not in headers and words[2] == "HTTP/1.1":     # live 2
            self.refuse(400, words[1])
            return None
        body = b""
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            self.refuse(400, words[1])
            return None
        while len(self.buffer) < length:
            data = self.recv()
            if not data:
                return None
            self.buffer += data
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return words[0], words[1], words[2], headers, body

    def refuse(self, status, target):
        self.send(b"HTTP/1.1 %d %s\r\nConnection: close\r\n\r\n" % (status, REASONS[status].encode()))
        self.api.record({"method": "", "target": target, "status": status, "bytes": 0, "auth": False,
                         "conn": self.number})
        # What the client still sends must not turn into a reset that destroys the answer.
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while self.sock.recv(65536):
                pass
        except OSError:
            pass
        self.open = False

    def send(self, data):
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            self.open = False
            return False

    def one(self, method, target, version, headers, body):
        api, start = self.api, time.time()
        # 1.0 is answered as 1.1 and closed (live 2).
        keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        control = target.startswith("/_fake/")
        fault = None if control else api.take_fault(target)
        latency = 0 if control else api.latency_ms
        if fault:
            latency += fault.get("latency_ms", 0)
        if latency:
            time.sleep(latency / 1000)
        entry = {"method": method, "target": target, "status": 0, "bytes": 0, "auth": "authorization" in headers,
                 "conn": self.number, "user_agent": headers.get("user-agent"),
                 "accept_encoding": headers.get("accept-encoding"), "fault": bool(fault), "start": start,
                 "end": None}
        if not control:
            api.record(entry)                  # before the answer: a test may look at once
        if fault and fault.get("hang"):
            self.hang()
            return
        if control:
            answer = api.control(method, target, body)
        else:
            answer = None
            if fault:
                answer = fault_answer(fault)
            if answer is None:
                answer = api.respond(method, target, headers, body)
        head, wire, chunked = self.encode(answer, method, headers, keep, fault or {})
        entry["status"] = answer.status
        entry["bytes"] = len(wire)
        if not keep:
            self.open = False
        self.write(head, wire, chunked, fault or {}, entry)
        entry["end"] = time.time()

    def encode(self, answer, method, headers, keep, fault):
        status, body = answer.status, answer.body
        lines = []
        agent = headers.get("user-agent", "")
        if answer.browser and agent and not agent.startswith(("curl", "Supervisor")):
            lines += BROWSER_HEADERS
        lines += answer.headers
        if answer.cache:
            lines.append(("Cache-Control", "no-cache"))
        etag = None
        if answer.etag and body:               # weak, on every JSON answer (live 2), as express makes it
            digest = base64.b64encode(hashlib.sha1(body).digest()).decode().rstrip("=")
            etag = 'W/"%x-%s"' % (len(body), digest)
        # A request that says no-cache gets a 200 in any case (live 2).
        if status == 200 and etag and headers.get("if-none-match") == etag \
                and "no-cache" not in headers.get("cache-control", ""):
            answer.status = status = 304       # [etag-if-none-match]: neither type nor length nor Vary
            lines.append(("ETag", etag))
            body = None
        chunked = False
        encoding = None
        if body is not None:
            if answer.type:
                lines.append(("Content-Type", answer.type))
            if body == b"" and answer.type is None:
                chunked = True
            else:
                encodings = re.split(r"[\s,;]+", headers.get("accept-encoding", "").lower())
                if "gzip" in encodings and len(body) >= GZIP_FROM and answer.vary == "Accept-Encoding" \
                        and "truncate" not in fault and not fault.get("identity"):
                    encoding, chunked = "gzip", True        # [enc-gzip]; small ones not [enc-gzip-small]
                body = body[:fault["truncate"]] if "truncate" in fault else body
                if not chunked:
                    lines.append(("Content-Length", str(len(body))))
            if etag:
                lines.append(("ETag", etag))
            if answer.vary and status != 304:
                lines.append(("Vary", answer.vary))
        if encoding:
            lines.append(("Content-Encoding", "gzip"))
            body = self.api.compress(answer.key, body)
        lines.append(("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())))
        lines.append(("Connection", "keep-alive" if keep else "close"))
        if keep:
            lines.append(("Keep-Alive", "timeout=5"))       # live 2
        if method == "HEAD":
            body, chunked = None, False
        if chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        head = "HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, "Status"))
        head += "".join("%s: %s\r\n" % line for line in lines) + "\r\n"
        return head.encode("latin-1"), body or b"", chunked

    def write(self, head, wire, chunked, fault, entry):
        if chunked:
            prefix, suffix = (b"%x\r\n" % len(wire), b"\r\n0\r\n\r\n") if wire else (b"", b"0\r\n\r\n")
        else:
            prefix = suffix = b""
        if "cut" in fault:
            wire = wire[:fault["cut"]]
            entry["bytes"] = len(wire)
            self.send(head + prefix + wire)
            self.open = False
        elif "reset" in fault:
            n = fault["reset"]
            wire = wire[:len(wire) // 2 if n is True else n]
            entry["bytes"] = len(wire)
            self.send(head + prefix + wire)
            # Lingering for zero seconds makes close() send a RST.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.open = False
        elif "drip" in fault:
            size, ms = fault["drip"]
            self.send(head + prefix)
            for start in range(0, len(wire), size):
                if not self.send(wire[start:start + size]):
                    return
                if self.api.stopping.wait(ms / 1000):
                    return
            self.send(suffix)
        else:
            self.send(head + prefix + wire + suffix)

    def hang(self):
        """Never answer, but notice that the client has gone or the server stops."""
        self.open = False
        poll = select.poll()                   # select() ends at 1024 descriptors
        poll.register(self.sock, select.POLLIN)
        while not self.api.stopping.is_set():
            if poll.poll(100) and not self.recv():
                return


def fault_answer(fault):
    """The whole answer that a fault puts in place of the real one, or None."""
    if "status" in fault:
        headers = list(fault.get("headers", {}).items())
        body = fault.get("body")
        if body is None:
            answer = empty(fault["status"])
            answer.headers = headers
            return answer
        if not isinstance(body, str):
            body = dump(body).decode()
        names = {name.lower() for name, _ in headers}
        return Answer(fault["status"], body.encode(), headers, etag=False, vary=None,
                      type_=None if "content-type" in names else JSON_TYPE)
    if "garbage" in fault:
        text = fault["garbage"] if isinstance(fault["garbage"], str) else '{"d":[{"id":1,"uu\x00\x00<html>'
        return Answer(200, text.encode(), etag=False)
    return None


class FakeApi:
    """The server. start() runs it in a thread, stop() ends it and all connections."""

    def __init__(self, world=None, tokens=("test-token",), port=0, v6_only=False, v7_only=False, latency_ms=0,
                 faults=(), page_cache=False, keepalive_s=5.0, tls=None, quiet=True):
        self.world = world or World()
        self.tokens = set(tokens)
        self.versions = {6} if v6_only else {7} if v7_only else {6, 7}
        self.latency_ms, self.keepalive_s, self.quiet = latency_ms, keepalive_s, quiet
        self.faults = [check_fault(fault) for fault in faults]
        self.models = {v: Model(v, self.world.cloud) for v in (6, 7)}
        self.page_cache = collections.OrderedDict() if page_cache else None
        self.log = collections.deque(maxlen=200000)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.connections = set()
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        api, numbers = self, itertools.count(1)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                api.serve(self.request, next(numbers))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                if not api.stopping.is_set() and not api.quiet:
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", port), Handler)      # loopback only
        self.port = self.server.server_address[1]
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)
        self.thread = None

    def start(self):
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        return self

    def stop(self):
        self.stopping.set()
        if self.thread:
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()
        with self.lock:
            connections = list(self.connections)
        for sock in connections:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    def serve(self, sock, number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            sock.settimeout(self.keepalive_s)
            try:
                sock = self.tls.wrap_socket(sock, server_side=True)
            except OSError:
                return
        with self.lock:
            self.connections.add(sock)
        try:
            Connection(self, sock, number).run()
        finally:
            with self.lock:
                self.connections.discard(sock)
            try:
                sock.close()
            except OSError:
                pass

    def record(self, entry):
        self.log.append(entry)
        if not self.quiet:
            print(entry["method"], entry["target"], file=sys.stderr)

    def take_fault(self, target):
        """The first fault that matches and is due; matched against the target as sent and as
        decoded, so that a test may write spaces."""
        decoded = urllib.parse.unquote(target)
        with self.lock:
            for fault in self.faults:
                if fault["left"] == 0 or not (fault["match"] in target or fault["match"] in decoded):
                    continue
                if fault["skip"] > 0:
                    fault["skip"] -= 1
                    continue
                if fault["left"] > 0:
                    fault["left"] -= 1
                return fault
        return None

    def compress(self, key, body):
        """gzip level 1: tests want speed. Cached beside the page if pages are cached."""
        if key is not None and self.page_cache is not None:
            cached = self.page_cache.get(key)
            if cached is not None and cached[1] is not None:
                return cached[1]
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        packed = packer.compress(body) + packer.flush()
        if key is not None and self.page_cache is not None and key in self.page_cache:
            self.page_cache[key] = (body, packed)
        return packed

    # The API.

    def respond(self, method, target, headers, body):
        # Behind a proxy that does not say https (live 2) [redirect-x-forwarded-for].
        if "x-forwarded-for" in headers and headers.get("x-forwarded-proto") != "https":
            return Answer(301, b"", [("Location", "https://127.0.0.1" + target)], cache=False, etag=False,
                          vary="Accept", type_="", browser=False)
        path = target.partition("?")[0]
        if path == "/ping" and method == "GET":             # [ping]
            return Answer(200, b"OK", cache=False, vary=None, type_="text/plain; charset=utf-8")
        anonymous = not self.authenticated(target, headers)
        if path in ("/user/v1/whoami", "/actor/v1/whoami") and method == "GET":
            if anonymous:                                   # [err-bad-token-whoami] [err-bad-token-actor]
                return empty(401, cache=False)
            if path.startswith("/user"):                    # [whoami]
                return Answer(200, dump({"id": 2, "username": "admin", "email": "admin@example.test"}), cache=False)
            return Answer(200, dump({"id": 2, "actorType": "user", "actorTypeId": 2, "username": "admin",
                                     "email": "admin@example.test"}), cache=False)   # [actor-whoami]
        found = re.match(r"/v([0-9]+)(/.*)?$", target)
        version = int(found.group(1)) if found else 0
        if version not in self.versions:
            # [err-v5] [err-v8] [err-unknown-path]; /resin is hidden in stock servers (live 1).
            if method != "GET":
                return not_covered("%s on an unknown path" % method)
            return empty(404, cache=False)
        if found.group(2) is None:                          # bare /v7: design 3.2
            return empty(404, cache=False) if method == "GET" else not_covered(method + " on the root")
        if method == "HEAD":                                # [head]
            return empty(500)
        if method == "OPTIONS":                             # [options]
            return Answer(200, b"", OPTIONS_HEADERS, cache=False, etag=False, vary=None, type_="")
        if method != "GET":
            if method == "POST" and target == "/v7/device" and body == b"{}" and not anonymous:
                return empty(500)                           # [post-on-collection-bad]
            return not_covered("%s %s" % (method, target))
        return self.odata(version, target, found.group(2), anonymous)

    def odata(self, version, target, rest, anonymous):
        key = (target, anonymous, self.world.version)
        if self.page_cache is not None and key in self.page_cache:
            return Answer(200, self.page_cache[key][0], key=key)
        try:
            request = Parser(rest).request()
            with self.world.lock:              # no change in the middle of an answer
                result = Query(self.world, self.models[version], anonymous).answer(request)
        except Malformed:                                   # live 4: a JSON string with the URL
            return Answer(400, dump("Malformed url: '%s'" % target))
        except BadQuery:                                    # live 4
            return empty(500)
        except Unauthorized:
            return empty(401)
        except NotCovered as error:
            return not_covered("%s in %s" % (error, target))
        body = dump({"d": result})
        if self.page_cache is not None:
            self.page_cache[key] = (body, None)
            while len(self.page_cache) > 5000:
                self.page_cache.popitem(last=False)
        return Answer(200, body, key=key)

    def authenticated(self, target, headers):
        """Bearer in any case, or ?apikey=; all else is nobody (live 3) [vN-err-basic-auth]
        [err-empty-bearer-device]."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token in self.tokens:
            return True
        found = re.search(r"[?&]apikey=([^&]*)", target)
        return bool(found) and urllib.parse.unquote(found.group(1)) in self.tokens

    # The control side, which no real server has.

    def control(self, method, target, body):
        path, _, query = target.partition("?")
        args = dict(urllib.parse.parse_qsl(query))
        try:
            if method == "GET" and path == "/_fake/truth":
                return control_answer(self.world.truth())
            if method == "GET" and path == "/_fake/devices":
                return control_answer(self.world.device_dicts(int(args.get("after", 0)), int(args.get("limit", 1000))))
            if method == "GET" and path == "/_fake/log":
                lines = b"".join(dump(entry) + b"\n" for entry in list(self.log))
                return control_answer(lines, "application/x-ndjson")
            if method == "POST" and path == "/_fake/reset":
                self.log.clear()
                return control_answer({"ok": True})
            if method == "POST" and path == "/_fake/set":
                return control_answer({"ok": True, **self.change(json.loads(body))})
        except (KeyError, ValueError, TypeError) as error:
            return control_answer({"error": str(error)}, status=400)
        return control_answer({"error": "no such control"}, status=404)

    def change(self, wish):
        """One or several changes; unknown words are an error, as a typing mistake would be."""
        known = {"device", "fields", "fleet", "device_add", "device_remove", "fleet_remove", "fault", "faults",
                 "tokens", "latency_ms", "versions"}
        if set(wish) - known:
            raise KeyError("unknown: " + ", ".join(sorted(set(wish) - known)))
        result = {}
        if "device" in wish:
            self.world.set_device(wish["device"], wish["fields"])
        if "fleet" in wish:
            self.world.set_fleet(wish["fleet"], wish["fields"])
        if "device_add" in wish:
            result["id"] = self.world.add_device(wish["device_add"])
        if "device_remove" in wish:
            self.world.remove_device(wish["device_remove"])
        if "fleet_remove" in wish:
            self.world.remove_fleet(wish["fleet_remove"])
        with self.lock:
            if "faults" in wish:               # replaces all; [] ends them
                self.faults = [check_fault(fault) for fault in wish["faults"]]
            if "fault" in wish:
                self.faults.append(check_fault(wish["fault"]))
        if "tokens" in wish:
            self.tokens = set(wish["tokens"])
        if "latency_ms" in wish:
            self.latency_ms = wish["latency_ms"]
        if "versions" in wish:
            self.versions = set(wish["versions"])
        return result


def control_answer(value, type_="application/json", status=200):
    body = value if isinstance(value, bytes) else dump(value)
    return Answer(status, body, cache=False, etag=False, vary=None, type_=type_, browser=False)


# ---- command line ----------------------------------------------------------------------------

def main(argv=None):
    parser = argparse.ArgumentParser(description="A balena API for tests, on the loopback interface.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", help="write the port number here when ready")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fleets", type=int, default=3)
    parser.add_argument("--devices", type=int, default=61)
    parser.add_argument("--empty-fleets", type=int, help="of the fleets; default 1 if there are 3 or more")
    parser.add_argument("--orphans", type=int, default=1, help="devices of no fleet, of the devices")
    parser.add_argument("--odd", choices=("some", "none", "many"), default="some",
                        help="odd but legal values and names")
    parser.add_argument("--token", action="append", help="a good token; default test-token")
    parser.add_argument("--v6-only", action="store_true")
    parser.add_argument("--v7-only", action="store_true")
    parser.add_argument("--cloud", action="store_true", help="cloud-only fields and inactive devices")
    parser.add_argument("--latency-ms", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[], help="a fault as JSON")
    parser.add_argument("--page-cache", action="store_true", help="keep whole answers by target")
    parser.add_argument("--keepalive-s", type=float, default=5.0, help="close idle connections after this")
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--quiet", action="store_true", help="do not name each request on stderr")
    args = parser.parse_args(argv)
    # The main thread waits, so the handler runs at once; nothing is worth saving.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    try:
        world = World(args.seed, args.fleets, args.devices, args.empty_fleets, min(args.orphans, args.devices),
                      args.cloud, args.odd)
        api = FakeApi(world, args.token or ["test-token"], args.port, args.v6_only, args.v7_only, args.latency_ms,
                      [json.loads(fault) for fault in args.fault], args.page_cache, args.keepalive_s, args.tls,
                      args.quiet)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    api.start()
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as file:
            file.write("%d\n" % api.port)
        os.replace(args.port_file + ".new", args.port_file)      # whole or not there
    print("listening on %s" % api.url, flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
