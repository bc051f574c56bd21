#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The monitoring pack's rules and its Alertmanager configuration, with promtool and amtool: they are well formed
and agree with the catalogue, the runbook and their own tests in tests/rules/; and these notice a change.

  MESON_BUILD_ROOT    where telegraf-balena was built: its list of metrics is the measure
  BALENACRAWL_STRIDE  which changes are tried: each, or every so many-th
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import e2e_lib as lib

RULES = lib.ROOT / "packaging" / "monitoring" / "rules"
TESTS = lib.ROOT / "tests" / "rules"
ALERTMANAGER = lib.ROOT / "packaging" / "monitoring" / "alertmanager" / "alertmanager.yml"
RUNBOOK = "docs/alerts.md"
# What is neither ours nor made by a rule: Prometheus' own, and any Go or C program's.
OTHERS = {"ALERTS", "up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
STRIDE = int(os.environ.get("BALENACRAWL_STRIDE", "23"))


def load(path):
    import yaml  # pylint: disable=import-outside-toplevel
    return yaml.safe_load(path.read_text("utf-8"))


def rules():
    return [rule for path in sorted(RULES.glob("*.yml")) for group in load(path)["groups"] for rule in group["rules"]]


def alerts():
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metric_names(expression):
    """What an expression asks for: words that stand before { [ or an operator, and are no function or label."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\b(?:by|on|ignoring|without|group_left)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\s*\(|[\w:])", bare)
    return {word for word in words if word not in ("and", "or", "unless", "bool")
            and not re.fullmatch(r"(?:sum|max|min|count|count_values|avg)", word)}


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False, timeout=120)
    return done.returncode, done.stdout


class RulesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.require("yaml", "prometheus")


class Form(RulesTest):
    def test_promtool_has_nothing_to_say(self):
        status, said = run(lib.find("promtool"), "check", "rules", "--lint=all", "--lint-fatal",
                           *sorted(RULES.glob("*.yml")))
        self.assertEqual(status, 0, said)

    def test_each_metric_is_in_the_catalogue(self):
        listed = subprocess.run([lib.execd_path(), "--list-metrics"], check=True, capture_output=True, text=True).stdout
        known = set(re.findall(r"^\| `(balena_\w+)`", listed, re.M)) | OTHERS | {
            rule["record"] for rule in rules() if "record" in rule}
        self.assertGreater(len(known), 60)
        asked = {name for rule in rules() for name in metric_names(rule["expr"])}
        self.assertEqual(asked - known, set())
        # Nor is anything recorded that nobody asks for.
        self.assertEqual({rule["record"] for rule in rules() if "record" in rule} - asked, set())
        self.assertEqual(OTHERS - asked, set())

    def test_each_alert_is_whole(self):
        for name, rule in alerts().items():
            with self.subTest(alert=name):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook_url"})
                self.assertEqual(rule["annotations"]["runbook_url"], "%s#%s" % (RUNBOOK, name.lower()))
                self.assertIn("for", rule)

    def test_the_runbook_has_each_alert(self):
        """Its section begins with how severe it is and how long it waits, as the rule has it."""
        text = (lib.ROOT / RUNBOOK).read_text("utf-8")
        found = dict(re.findall(r"^### (Balena\w+)\n\n(.*)$", text, re.M))
        self.assertEqual(len(re.findall(r"^### ", text, re.M)), len(found))
        wanted = {}
        for name, rule in alerts().items():
            kept = ", kept for %s" % rule["keep_firing_for"] if "keep_firing_for" in rule else ""
            wanted[name] = "*%s, after %s%s*" % (rule["labels"]["severity"], rule["for"], kept)
        self.assertEqual(found, wanted)

    def test_times_are_written_so_that_they_can_be_scaled(self):
        """A large number is a unit of time, or known not to be one."""
        large = {(rule.get("alert", rule.get("record")), number) for rule in rules() for number in re.findall(
            r"(?<![\w.])\d{2,}(?![\w.])", re.sub(r'"[^"]*"|\[[^]]*\]', "", rule["expr"])) if int(number) >= 60}
        self.assertEqual({(name, number) for name, number in large if number not in ("60", "3600", "86400")},
                         {("BalenaCpuTemperatureHigh", "80"), ("BalenaAgentMemoryHigh", "1024"),
                          ("BalenaAgentMemoryHigh", "60000")})


class Scaling(unittest.TestCase):
    PROGRAM = lib.ROOT / "packaging" / "monitoring" / "scale-rules.py"

    def test_all_times_and_nothing_else(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            file.write("groups:\n  - name: g\n    interval: 1m\n    rules:\n"
                       "      - alert: A\n        expr: |\n          # 60 s\n"
                       "          rate(x_60{l=\"y\"}[1h30m:5m] offset 3m) > 2 * 3600 and z > 160\n"
                       "        for: 10m\n        annotations:\n          summary: 'for: 10m [1h] 60'\n")
            file.flush()
            status, said = run(self.PROGRAM, 60, file.name, file.name)
        once = ("  - name: g\n    interval: 1000ms\n    rules:\n"
                "      - alert: A\n        expr: |\n          # 60 s\n"
                "          rate(x_60{l=\"y\"}[90000ms:5000ms] offset 3000ms) > 2 * (3600 / 60) and z > 160\n"
                "        for: 10000ms\n        annotations:\n          summary: 'for: 10m [1h] 60'\n")
        self.assertEqual((status, said), (0, "groups:\n" + once + once))

    def test_usage(self):
        self.assertEqual(run(self.PROGRAM, "--help")[0], 0)
        for wrong in ([], ["60"], ["0", "x"], ["1.5", "x"]):
            status, said = run(self.PROGRAM, *wrong)
            self.assertEqual(status, 2)
            self.assertRegex(said, "^usage: ")


class Behaviour(RulesTest):
    def test_what_promtool_is_told(self):
        status, said = run(lib.find("promtool"), "test", "rules", *sorted(TESTS.glob("*.yml")))
        self.assertEqual(status, 0, said)

    def test_each_alert_is_seen_to_come_and_to_go(self):
        """A test named after the alert sees it quiet, firing and quiet again, with the labels that are used in
        what it says."""
        seen = {}
        for path in TESTS.glob("*.yml"):
            for test in load(path)["tests"]:
                for name in alerts():
                    if not re.match(name + r"\b", test["name"]):
                        continue
                    steps = [[sample["labels"] for sample in step.get("exp_samples", []) if '"%s"' % name in
                              sample["labels"]] for step in test["promql_expr_test"]]
                    if not steps[0] and any(steps) and not steps[-1]:
                        seen[name] = {label for step in steps for text in step
                                      for label in re.findall(r'(\w+)="', text)}
        self.assertEqual(set(alerts()) - set(seen), set())
        for name, rule in alerts().items():
            used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            self.assertEqual(used - seen[name], set(), name)


class Changes(RulesTest):
    """Mutants of the alerts: each must fail a test."""

    @staticmethod
    def scaled(text, factor):
        number, unit = re.fullmatch(r"(\d+)([mhd])", text).groups()
        return "%dm" % max(1, int(number) * {"m": 1, "h": 60, "d": 1440}[unit] * factor)

    @classmethod
    def mutants(cls, block):
        """(what was done, the block after it) for each change of one alert's text."""
        for match in re.finditer(r"(?:for: )(\d+[mhd])\b", block):
            for factor in (0.5, 2):
                yield "for", block[:match.start(1)] + cls.scaled(match[1], factor) + block[match.end(1):]
        body = block.index("expr:"), block.index("        for:")
        expression = block[slice(*body)]

        def with_expression(start, end, text):
            return block[:body[0]] + expression[:start] + text + expression[end:] + block[body[1]:]
        for match in re.finditer(r"\[(\d+[mhd])\]", expression):
            yield "range of " + match[1], with_expression(*match.span(1), cls.scaled(match[1], 0.5))
        opposite = {">": ">=", "<": "<=", ">=": ">", "<=": "<", "==": "!=", "!=": "=="}
        bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', lambda match: "#" * len(match[0]), expression)
        # Whether a fraction itself counts makes no difference that could be measured.
        for match in re.finditer(r" ([<>]=?|==|!=) (?!0\.)", bare):
            yield "operator", with_expression(*match.span(1), opposite[match[1]])
        for match in re.finditer(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", bare):
            for sign in (-1, 1):
                number = float(match[0])
                number = number * (1 + sign / 9) if number > 20 or number % 1 else number + sign
                yield "number", with_expression(*match.span(), "%.6g" % number)
        for match in re.finditer(r"\s+and (?:on \(job, instance, account\) instance:balena_crawl:fresh|"
                                 r"device:balena_device_up:max(?: == [01])?)", expression):
            yield "guard", with_expression(*match.span(), "")

    def all_mutants(self):
        for path in sorted(RULES.glob("balena-alerts*.yml")):
            blocks = re.split(r"(?=^      - alert: )", path.read_text("utf-8"), flags=re.M)
            for i, block in enumerate(blocks[1:], 1):
                name = re.search(r"alert: (\w+)", block)[1]
                for what, changed in self.mutants(block):
                    if changed == block:
                        continue
                    told = [line.strip() for line in changed.splitlines() if line not in block.splitlines()]
                    yield ("%s: %s: %s" % (name, what, " ".join(told)), name, path.name,
                           "".join(blocks[:i] + [changed] + blocks[i + 1:]))

    def test_a_changed_alert_fails_its_test(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-rules-"))
        self.addCleanup(shutil.rmtree, directory)
        suites = [load(path) for path in sorted(TESTS.glob("*.yml"))]

        def fails(name):
            """Whether a test of this alert does."""
            for suite in suites:
                tests = [test for test in suite["tests"] if re.match(name + r"\b", test["name"])]
                told = {**suite, "tests": tests, "rule_files": [str(directory / pathlib.Path(file).name)
                                                                for file in suite["rule_files"]]}
                (directory / "test.json").write_text(json.dumps(told))
                if tests and run(lib.find("promtool"), "test", "rules", directory / "test.json")[0] != 0:
                    return True
            return False
        tried = list(self.all_mutants())[::STRIDE]
        self.assertGreater(len(tried), 9)
        unnoticed = []
        for what, name, file, text in tried:
            for path in RULES.glob("*.yml"):
                shutil.copy(path, directory)
            (directory / file).write_text(text)
            if not fails(name):
                unnoticed.append(what)
        self.assertEqual(unnoticed, [], "of %d changes these went unnoticed:\n%s" % (len(tried), "\n".join(unnoticed)))


class Alertmanager(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.require("yaml", "alertmanager")

    def test_amtool_has_nothing_to_say(self):
        status, said = run(lib.find("amtool"), "check-config", ALERTMANAGER)
        self.assertEqual(status, 0, said)

    def test_it_names_alerts_that_there_are(self):
        matchers = [matcher for rule in load(ALERTMANAGER)["inhibit_rules"]
                    for matcher in rule["source_matchers"] + rule["target_matchers"] if "alertname" in matcher]
        named = [part for matcher in matchers for part in re.sub("^alertname =~? |\"", "", matcher).split("|")]
        self.assertGreater(len(named), 10)
        for pattern in named:
            self.assertTrue([name for name in alerts() if re.fullmatch(pattern, name)], pattern)


if __name__ == "__main__":
    lib.main("prometheus", "alertmanager")
