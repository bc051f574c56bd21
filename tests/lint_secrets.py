#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_secrets.py KEPT [PATH...]: looks for the tests' tokens in all that the agents said, which
e2e_lib.py keeps in the directory KEPT as SUITE.PROGRAM.PID, and in the files and directories PATH,
Meson's logs. Prints each line that has one, and fails. Fails too for an end-to-end suite, or the soak,
that left nothing of a program of ours: then nothing was proved about what it makes them say.
"""
import pathlib
import re
import sys

# Every word that some test uses as a token.
SECRETS = re.compile(rb"test-token|s3cr3t-s3cr3t|soak-token|sekret")
# What a test prints of itself when it fails is for people to read, not for an agent's log; a fake API
# is told its token on the command line, as the tests' own server may be.
OWN = re.compile(rb"fake_api\.py|AssertionError|test_\w+ \(__main__")
# What says something of ours; or why a suite could not run, which whoever ran it has been told.
PROGRAMS = {"telegraf-balena", "telegraf", "collectd", "balena-members-etcd", "skipped"}
HERE = pathlib.Path(__file__).resolve().parent
SUITES = {path.stem for path in HERE.glob("e2e_*.py")} - {"e2e_lib"} | {"soak"}


def files_of(path):
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def silent(kept):
    """The suites of which nothing was kept."""
    names = [file.name.split(".") for file in files_of(kept) if file.stat().st_size]
    return SUITES - {suite for suite, program, _ in names if program in PROGRAMS}


def main(kept, *paths):
    files, size, bad = [], 0, 0
    for path in map(pathlib.Path, (kept, *paths)):
        files += files_of(path)
    for file in files:
        data = file.read_bytes()
        size += len(data)
        for number, line in enumerate(data.splitlines(), 1):
            if SECRETS.search(line) and not OWN.search(line):
                bad += 1
                print("%s:%d: %s" % (file.name, number, line[:200].decode("utf-8", "replace")))
    if not SECRETS.search(b"E! HTTP 500: Authorization: Bearer test-token"):
        print("the pattern does not find what it is for")
        bad += 1
    for suite in sorted(silent(pathlib.Path(kept))):
        print("%s left nothing to look at" % suite)
        bad += 1
    print("%d files, %d bytes, %d found" % (len(files), size, bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
