#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: scale-rules.py FACTOR FILE...

Prints rules of Prometheus, or a configuration of Alertmanager, with all times divided by FACTOR, so that
alerts can be tried out in minutes instead of hours: for, keep_firing_for, intervals and waits, ranges and
offsets, and seconds in expressions, which are those that have 60, 3600 or 86400 as a factor. Comments and what
an alert says stay as they are. Of several files the parts below "groups:" are joined.
"""
import re
import sys

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
KEYS = "for|keep_firing_for|interval|query_offset|group_wait|group_interval|repeat_interval"


def milliseconds(duration):
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def scaled(duration, factor):
    return "%dms" % max(1, round(milliseconds(duration) / factor))


def scaled_expression(text, factor):
    text = re.sub(r"\[(%s)(?::(%s)?)?\]" % (DURATION, DURATION), lambda match: re.sub(
        DURATION, lambda part: scaled(part[0], factor), match[0]), text)
    text = re.sub(r"\boffset (-?)(%s)" % DURATION,
                  lambda match: "offset %s%s" % (match[1], scaled(match[2], factor)), text)
    return re.sub(r"(?<![\w.])(60|3600|86400)(?![\w.])", r"(\1 / %s)" % factor, text)


def scale(text, factor):
    lines, indent = [], None  # of the key expr that we are in
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if indent is not None and line.strip() and depth <= indent:
            indent = None
        if re.match(r"\s*(?:- )?expr:", line):
            indent = depth
        if line.lstrip().startswith("#"):
            pass
        elif indent is not None:
            line = scaled_expression(line, factor)
        else:
            line = re.sub(r"^(\s*(?:- )?(?:%s): )(%s)\s*$" % (KEYS, DURATION),
                          lambda match: match[1] + scaled(match[2], factor), line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def main(arguments):
    if arguments[:1] in (["--help"], ["-h"]):
        print(__doc__.strip())
        return 0
    if len(arguments) < 2 or not re.fullmatch(r"[1-9]\d*", arguments[0]):
        print(__doc__.strip().splitlines()[0] + "\nFACTOR is a whole number, 1 or more. Try --help.", file=sys.stderr)
        return 2
    seen_groups = False
    for name in arguments[1:]:
        with open(name, encoding="utf-8") as file:
            text = scale(file.read(), int(arguments[0]))
        if seen_groups:
            text = re.sub(r"^groups:\n", "", text, flags=re.M)
        seen_groups = seen_groups or bool(re.search(r"^groups:$", text, re.M))
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
