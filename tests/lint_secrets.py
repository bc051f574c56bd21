#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_secrets.py PATH...: looks for the tests' tokens in all that the suite left there: what the
agents said (kept by e2e_lib.py under BALENACRAWL_KEEP) and Meson's logs. Prints each line that has
one, and fails. Fails too if there is nothing to look at, since then it has proved nothing.
"""
import pathlib
import re
import sys

# Every word that some test uses as a token.
SECRETS = re.compile(rb"test-token|s3cr3t-s3cr3t|soak-token|sekret")
# What a test prints of itself when it fails is for people to read, not for an agent's log; a fake API
# is told its token on the command line, as the tests' own server may be.
OWN = re.compile(rb"fake_api\.py|AssertionError|test_\w+ \(__main__")


def files_of(path):
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def main(paths):
    files, size, hits = [], 0, 0
    for path in map(pathlib.Path, paths):
        files += files_of(path)
    for file in files:
        data = file.read_bytes()
        size += len(data)
        for number, line in enumerate(data.splitlines(), 1):
            if SECRETS.search(line) and not OWN.search(line):
                hits += 1
                print("%s:%d: %s" % (file.name, number, line[:200].decode("utf-8", "replace")))
    if not SECRETS.search(b"E! HTTP 500: Authorization: Bearer test-token"):
        print("the pattern does not find what it is for")
        hits += 1
    if not size:
        print("nothing to look at")
        hits += 1
    print("%d files, %d bytes, %d lines with a token" % (len(files), size, hits))
    return hits > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
