#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""count_results.py TESTLOG.json OUT: counts what a `meson test` run did.

Reads meson's own record (one JSON object a line) and writes "passed failed skipped" to OUT. A
program that says how many cases it ran (unittest, cmocka) counts by its cases, any other as one.
Prints the failed programs with the end of their output, and every skip with its name and reason.
"""
import json
import re
import sys

TAIL_LINES = 60


def count_unittest(text):
    """(passed, failed, skipped) of Python's unittest, None if it is not that."""
    ran = re.findall(r"^Ran (\d+) tests? in ", text, re.M)
    if not ran:
        return None
    verdict = text[text.rindex("\nRan ") if "\nRan " in text else 0:]

    def number(word):
        return sum(map(int, re.findall(r"\b%s=(\d+)" % word, verdict)))

    failed = number("failures") + number("errors") + number("unexpected successes")
    skipped = number("skipped")
    # A failing setUpClass is an error of no test that ran.
    return max(int(ran[-1]) - failed - skipped, 0), failed, skipped


def count_cmocka(text):
    """(passed, failed, skipped) of cmocka's groups, None if it is not that."""
    if not re.search(r"^\[==========\].*\d+ test\(s\) run", text, re.M):
        return None

    def number(word):
        return sum(map(int, re.findall(r"^\[  %s\s*\].*?(\d+) test\(s\)" % word, text, re.M)))

    return number("PASSED"), number("FAILED"), number("SKIPPED")


def skips_of(name, text):
    """The skipped cases by name, as e2e_lib and `unittest -v` print them."""
    found = re.findall(r"^SKIP: (.+)$", text, re.M)
    verbose = re.findall(r"^(test\w+) .*\.\.\. skipped (.+)$", text, re.M)
    return found or ["%s: %s" % hit for hit in verbose] or ["%s: some cases, see its output" % name]


def main(log, out):
    total = [0, 0, 0]
    with open(log, encoding="utf-8", errors="replace") as lines:
        runs = [json.loads(line) for line in lines if line.strip()]
    if not runs:
        print("    FAIL: no test ran")
        total[1] = 1
    for run in runs:
        name, result = run["name"], run["result"]
        text = "%s\n%s" % (run.get("stdout") or "", run.get("stderr") or "")
        if result == "SKIP":
            reason = [line for line in text.splitlines() if line.strip()][-1:] or ["no reason given"]
            print("    skipped: %s: %s" % (name, reason[0].strip()))
            total[2] += 1
            continue
        counts = count_unittest(text) or count_cmocka(text) or (1, 0, 0)
        good = result in ("OK", "EXPECTEDFAIL")
        if not good:
            # Whatever it says of itself: it did not end well.
            counts = (counts[0] if counts[1] else 0, max(counts[1], 1), counts[2])
            print("    FAIL: %s (%s)" % (name, result))
            for line in text.splitlines()[-TAIL_LINES:]:
                print("        " + line)
        elif counts[1]:
            print("    FAIL: %s says it failed and ends with status 0" % name)
        if counts[2]:
            for skip in skips_of(name, text):
                print("    skipped: " + skip)
        total = [a + b for a, b in zip(total, counts)]
    with open(out, "w", encoding="ascii") as file:
        file.write("%d %d %d\n" % tuple(total))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
