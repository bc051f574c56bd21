#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_names.py SOURCE-TREE TELEGRAF-BALENA: names of metrics and keys of options stand in their
tables alone. Every string literal of core/, plugin_collectd/ and telegraf_execd/ is looked at; a
word such as "fleet" that is also a label's name is let through in the core, where labels are made.
"""
import pathlib
import re
import subprocess
import sys

TABLES = {"core/src/metrics.c", "core/src/options.c", "core/include/balenacrawl.h"}
STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
COMMENT = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|//[^\n]*', re.S)


def without_comments(text):
    """Comments blanked, lines and strings kept."""
    def blank(match):
        found = match.group(0)
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
    return COMMENT.sub(blank, text)


def option_keys(binary):
    text = subprocess.run([binary, "--list-options"], check=True, capture_output=True, text=True,
                          timeout=20).stdout
    keys = re.findall(r"^\|?\s*`?(?:--)?([a-z][a-z0-9-]*)`?\s*\|", text, re.M)
    return {key for key in keys if key not in ("option", "key")}


def main(root, binary):
    root = pathlib.Path(root)
    keys = option_keys(binary)
    if not keys:
        print("no option keys in the output of --list-options")
        return 1
    bad = 0
    for folder in ("core", "plugin_collectd", "telegraf_execd"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            name = path.relative_to(root).as_posix()
            if name in TABLES:
                continue
            for number, line in enumerate(without_comments(path.read_text("utf-8")).splitlines(), 1):
                if line.lstrip().startswith("#include"):
                    continue
                for literal in STRING.findall(line):
                    word = literal.lstrip("-")
                    plain_label = folder == "core" and "-" not in word
                    if re.search(r"\bbalena_[a-z]", literal):
                        what = "a metric's name"
                    elif word in keys and not plain_label:
                        what = "an option's key"
                    else:
                        continue
                    print('%s:%d: "%s" is %s; it belongs into its table' % (name, number, literal, what))
                    bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
