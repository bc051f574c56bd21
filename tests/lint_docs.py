#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_docs.py [--fix] SOURCE-TREE TELEGRAF-BALENA: the tables of README.md are what the program
itself prints. They stand between <!-- metrics --> and <!-- /metrics -->, <!-- options --> and
<!-- /options -->; --fix writes them anew.
"""
import difflib
import pathlib
import re
import subprocess
import sys


def main(arguments):
    fix = "--fix" in arguments
    root, binary = [argument for argument in arguments if argument != "--fix"]
    readme = pathlib.Path(root) / "README.md"
    old = readme.read_text("utf-8")
    new = old
    for what in ("metrics", "options"):
        table = subprocess.run([binary, "--list-" + what], check=True, capture_output=True, text=True,
                               timeout=20).stdout.strip()
        block = re.compile(r"(<!-- %s -->\n).*?(<!-- /%s -->)" % (what, what), re.S)
        if len(block.findall(new)) != 1:
            print("README.md needs the markers <!-- %s --> and <!-- /%s -->, once each" % (what, what))
            return 1
        new = block.sub(lambda match, table=table: "%s\n%s\n\n%s" % (match[1], table, match[2]), new)
    if new == old:
        return 0
    if fix:
        readme.write_text(new, "utf-8")
        print("README.md: tables written anew")
        return 0
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "README.md",
                                               "README.md as the program says"))
    print("\nREADME.md is out of date: tests/lint_docs.py --fix SOURCE-TREE TELEGRAF-BALENA rewrites it")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
