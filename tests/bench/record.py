#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""record.py INDEX DATA [--fleets N] [--devices N] -- COMMAND...: runs COMMAND against a fake API of
such a world and keeps every answer byte by byte. {url} in COMMAND becomes the fake's URL.

DATA is all answers one after the other, INDEX a line for each request, in the order of the requests:

  KIND STATUS OFFSET LENGTH BODY-OFFSET BODY-LENGTH TARGET

A target that was asked for twice has two lines that name one answer. KIND is what the request was
for: probe, list, ids, page or other. Both files appear at the end, or not at all.
"""
import argparse
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import fake_api  # noqa: E402

KINDS = (("probe", r"\$top=0$"), ("list", r"/v\d+/application\?"), ("ids", r"/v\d+/device\?\$select=id&\$filter"),
         ("page", r"/v\d+/device\?"))


def kind_of(target):
    return next((kind for kind, pattern in KINDS if re.search(pattern, target)), "other")


class Tape:
    def __init__(self, index, data):
        self.lock = threading.Lock()
        self.names = index, data
        self.index = open(index + ".new", "w", encoding="latin-1")
        self.data = open(data + ".new", "wb")
        self.places = {}

    def add(self, entry, head, body, tail):
        target = entry["target"]
        with self.lock:
            if target not in self.places:
                offset = self.data.tell()
                self.data.write(head + body + tail)
                self.places[target] = "%d %d %d %d %d" % (
                    entry["status"], offset, len(head) + len(body) + len(tail), offset + len(head), len(body))
            self.index.write("%s %s %s\n" % (kind_of(target), self.places[target], target))

    def finish(self):
        self.index.close()
        self.data.close()
        for name in self.names[::-1]:           # the index last: with it a recording is whole
            os.replace(name + ".new", name)


def recorder(tape):
    class Recorder(fake_api.Connection):
        """Writes as the fake does, and keeps what it wrote."""

        def write(self, head, wire, chunked, fault, entry):
            prefix, suffix = (b"", b"") if not chunked else (
                (b"%x\r\n" % len(wire), b"\r\n0\r\n\r\n") if wire else (b"", b"0\r\n\r\n"))
            tape.add(entry, head + prefix, wire, suffix)
            super().write(head, wire, chunked, fault, entry)

    return Recorder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index")
    parser.add_argument("data")
    parser.add_argument("--fleets", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    tape = Tape(args.index, args.data)
    fake_api.Connection = recorder(tape)
    world = fake_api.World(fleets=args.fleets, devices=args.devices, empty_fleets=0, orphans=0)
    with fake_api.FakeApi(world, tokens=["bench-token"]) as api:
        command = [word.replace("{url}", api.url) for word in args.command]
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False).returncode
    if status:
        sys.exit("%s ended with %d" % (command[0], status))
    tape.finish()


if __name__ == "__main__":
    main()
