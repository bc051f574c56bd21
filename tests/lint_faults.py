#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_faults.py SOURCE-TREE: the table of docs/faults.md and the tests agree.

- Each row names at least one test in its last column, as `FILE:Class.method` for tests/FILE.py or
  `FILE:test_name` for a function of tests/FILE.c that cmocka is told to run; each of them is there.
- Every test of the files that are about faults alone is in the table.
"""
import ast
import pathlib
import re
import sys

TABLE = "docs/faults.md"
# All tests of these must be in the table.
WHOLE = ("e2e_agents", "e2e_faults", "e2e_http2", "e2e_io", "e2e_time", "test_execd_faults", "test_faults", "test_http_faults", "test_oom")
NAME = re.compile(r"^`(\w+):((?:\w+\.)?test_\w+)`$")


def tests_of(path):
    """The names of a file's tests."""
    text = path.read_text("utf-8")
    if path.suffix == ".c":
        return set(re.findall(r"cmocka_unit_test\w*\(\s*(test_\w+)", text))
    return {"%s.%s" % (node.name, part.name) for node in ast.parse(text).body if isinstance(node, ast.ClassDef)
            for part in node.body if isinstance(part, ast.FunctionDef) and part.name.startswith("test_")}


def rows_of(text):
    """(line number, cells) of the rows of the tables, heads left out."""
    head = False
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            head = False
        elif re.fullmatch(r"[|:\- ]+", line):
            head = True
        elif head:
            yield number, [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def main(root):
    root = pathlib.Path(root)
    tests = {path.stem: tests_of(path) for end in ("py", "c") for path in sorted((root / "tests").glob("*." + end))}
    bad, named = [], set()
    for number, cells in rows_of((root / TABLE).read_text("utf-8")):
        if len(cells) != 6:
            bad.append("%s:%d: %d columns instead of 6" % (TABLE, number, len(cells)))
        for word in cells[-1].split(", "):
            match = NAME.match(word)
            if not match:
                bad.append("%s:%d: names no test: %r" % (TABLE, number, word))
            elif match[2] not in tests.get(match[1], ()):
                bad.append("%s:%d: there is no test %s" % (TABLE, number, word))
            else:
                named.add((match[1], match[2]))
    if not named:
        bad.append("%s: no table" % TABLE)
    for name in WHOLE:
        if not tests.get(name):
            bad.append("tests/%s: no tests" % name)
        bad += ["%s: no row for `%s:%s`" % (TABLE, name, test)
                for test in sorted(tests.get(name, ())) if (name, test) not in named]
    print("\n".join(bad) or "%d tests named" % len(named))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
