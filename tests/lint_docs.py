#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""lint_docs.py [--fix] SOURCE-TREE TELEGRAF-BALENA: README, manuals, sample configurations,
container images and the monitoring pack name what the program knows, all of it and nothing else.

The program's own lists, --list-metrics, --list-options and --help, are the measure:

- The generated parts of README.md (between <!-- metrics --> and <!-- /metrics -->, <!-- options -->
  and <!-- /options -->) and of the manuals (between comments of the same words) are what is made
  out of these lists. --fix writes them anew.
- README.md and the manuals of both agents name every metric and every option.
- What looks like a metric's name is one; a pattern matches one. So for options, as each file spells
  them: flags behind telegraf-balena, BALENA_ in the environment, keys in an <Account> block.
- The sample for collectd has each option once, in the table's words, with its default. --fix writes
  words and defaults anew; an entry that is missing has to be written by hand.
- The patterns of metric_types give each metric its type. Telegraf looks at gauge before counter.
- man has no warning for the manuals, and the program in balenacrawl(3) compiles.

One line for each problem: FILE:LINE: what is wrong.
"""
import difflib
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

README = "README.md"
MANUALS = "packaging/man"
FOR_TELEGRAF = MANUALS + "/telegraf-balena.1"
FOR_COLLECTD = MANUALS + "/collectd-balena.5"
LIBRARY = MANUALS + "/balenacrawl.3"
SAMPLE_COLLECTD = "packaging/config/collectd-balena.conf"
FOLDERS = [MANUALS, "packaging/config", "packaging/container", "packaging/monitoring", "docs"]
# Flags of other programs that stand behind "telegraf-balena" on a line.
OTHERS_FLAGS = {"--cflags", "--libs"}
PREFIX = "balena_"
EXAMPLE_LINES = 60  # fewer than these
# What an <Account> block takes beside the options.
BLOCK_KEYS = {"Environment"}
# What the plugin for collectd takes when the table has another default.
COLLECTD_DEFAULTS = {"Metrics": "@lean"}


# ---- what the program says -----------------------------------------------------------------------

class Metric:
    def __init__(self, cells):
        (self.name, self.set, self.kind, self.unit, labels, self.source, self.meaning,
         self.trap) = cells
        self.labels = [label for label in labels.split(",") if label]


class Option:
    def __init__(self, cells):
        flag, self.collectd, environment, self.default, self.values, self.meaning = cells
        self.secret = not flag.startswith("--")
        self.key = flag.lstrip("-")
        self.environment = environment.replace("`", "").split(", ")
        self.multi = "given several times" in self.meaning
        # As the table has it: the list adds a sentence for each of its marks.
        self.help = re.sub(r" May be given several times\.| Refused on the command line\.", "",
                           self.meaning)

    def in_block(self):
        """Whether it is a key of collectd's <Account> block: not what the block is named by, nor
        what one agent alone takes."""
        return self.key != "account" and "(telegraf-balena)" not in self.help

    def collectd_default(self):
        return COLLECTD_DEFAULTS.get(self.collectd, self.default)


def cells_of(row):
    """The cells of a Markdown row, without the marks of code around a whole one."""
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    return [re.sub(r"^`([^`]*)`$", r"\1", cell).replace("\\|", "|") for cell in cells]


class Program:
    def __init__(self, binary):
        self.markdown = {what: self.run(binary, "--list-" + what).strip()
                         for what in ("metrics", "options")}
        self.metrics = [Metric(cells_of(row)) for row in self.markdown["metrics"].splitlines()[2:]]
        self.options = [Option(cells_of(row)) for row in self.markdown["options"].splitlines()[2:]]
        self.flags = re.findall(r"^  (--[a-z-]+)", self.run(binary, "--help").split("\nOptions")[0],
                                re.M)
        self.names = {metric.name for metric in self.metrics}
        # As line protocol splits a name: "balena_device" of "balena_device_up".
        self.measurements = {"_".join(name.split("_")[:2]) for name in self.names}
        self.environment = {name for option in self.options for name in option.environment}
        self.keys = {option.collectd for option in self.options if option.key != "account"}
        self.all_flags = {*self.flags, *("--" + option.key for option in self.options
                                         if not option.secret)}
        if not self.names or not self.keys or not self.flags:
            sys.exit("%s prints no metrics, no options or no flags" % binary)

    @staticmethod
    def run(binary, argument):
        return subprocess.run([binary, argument], check=True, capture_output=True, text=True,
                              timeout=20).stdout


# ---- the manuals' generated parts ----------------------------------------------------------------

def roff(text):
    for plain, escape in ("\\", "\\e"), ("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti"):
        text = text.replace(plain, escape)
    return text


def code(text, font="B"):
    return "\\f%s%s\\fP" % (font, roff(text).replace("-", "\\-").replace(" ", "\\ "))


def paragraph(*sentences):
    """Lines of text, each sentence on a new one; a line must not begin as a request does."""
    for sentence in sentences:
        for line in textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False):
            yield "\\&" + line if line[0] in ".'" else line


def sentences_of(text):
    return re.split(r"(?<=\.) (?=[A-Z])", text)


def roff_metric(metric, for_collectd):
    yield ".TP"
    yield code(metric.name)
    facts = ["Set: %s; kind: %s" % (metric.set, metric.kind)]
    if metric.unit:
        facts.append("unit: " + metric.unit)
    if metric.labels:
        facts.append("labels: " + ", ".join(code(label, "I") for label in metric.labels))
    if for_collectd:
        kind = metric.name[len(PREFIX):]
        if metric.kind == "counter" and kind.endswith("_total"):
            kind = kind[:-len("_total")]
        facts.append("type: " + code(kind, "I"))
    yield from paragraph(*map(roff, sentences_of(metric.meaning)))
    if metric.trap:
        yield ".br"
        first, *rest = map(roff, sentences_of(metric.trap))
        yield from paragraph("\\fITrap:\\fP " + first, *rest)
    yield ".br"
    yield from paragraph("; ".join(facts) + ".")
    if metric.source:
        yield ".br"
        yield from paragraph("Source: %s." % roff(metric.source))


def roff_metrics(program, for_collectd):
    titles = {"device": "Devices", "devices": "Fleets", "fleet": "Fleets", "crawl": "The crawl",
              "api": "The API", "shard": "Shards"}
    groups = {}
    for metric in program.metrics:
        scope = metric.name.split("_")[1]
        groups.setdefault(titles.get(scope, scope), []).append(metric)
    for title, metrics in groups.items():
        yield ".SS " + title
        for metric in metrics:
            yield from roff_metric(metric, for_collectd)


def roff_option(option, for_collectd):
    default = option.collectd_default() if for_collectd else option.default
    if for_collectd:
        heads = [code(option.collectd) + " \\fIvalue\\fP"]
    else:
        heads = [] if option.secret else [code("--" + option.key) + " \\fIvalue\\fP"]
        heads += [code(name) for name in option.environment]
    yield ".TP"
    yield ", ".join(heads)
    yield from paragraph(*map(roff, sentences_of(option.help if for_collectd else option.meaning)))
    if for_collectd and option.multi:
        yield "May be given several times, and with several values."
    yield from paragraph("Values: %s." % roff(option.values))
    if default:
        yield from paragraph("Default: %s." % code(default))


def roff_options(program, for_collectd):
    for option in program.options:
        if not for_collectd or option.in_block():
            yield from roff_option(option, for_collectd)


# ---- what is wrong -------------------------------------------------------------------------------

class Lint:
    def __init__(self, root, program, fix):
        self.root = pathlib.Path(root)
        self.program = program
        self.fix = fix
        self.problems = []
        self.texts = {}
        self.written = set()
        paths = [self.root / README]
        for folder in FOLDERS:
            paths += sorted((self.root / folder).rglob("*"))
        for path in paths:
            if path.is_file():
                name = path.relative_to(self.root).as_posix()
                self.texts[name] = path.read_text("utf-8", "replace")

    def problem(self, name, number, text, *values):
        self.problems.append("%s:%d: %s" % (name, number, text % values))

    def write(self, name, text):
        if text != self.texts[name]:
            self.texts[name] = text
            self.written.add(name)
            (self.root / name).write_text(text, "utf-8")

    def plain_lines(self, name):
        """Numbered lines, without what roff puts before a hyphen and around a word."""
        for number, line in enumerate(self.texts[name].splitlines(), 1):
            if name.startswith(MANUALS):
                line = re.sub(r"\\f[BIPR]|\\&", "", line.replace("\\-", "-").replace("\\(aq", "'"))
            yield number, line

    # -- generated parts

    def check_generated(self, name, what, begin, end, wanted):
        lines = self.texts[name].splitlines()
        if lines.count(begin) != 1 or lines.count(end) != 1:
            self.problem(name, 1, "needs the lines %s and %s, once each", begin, end)
            return
        first, last = lines.index(begin) + 1, lines.index(end)
        if self.fix:
            self.write(name, "\n".join(lines[:first] + wanted + lines[last:]) + "\n")
            return
        have = lines[first:last]
        for tag, i, k, m, n in difflib.SequenceMatcher(None, have, wanted, False).get_opcodes():
            if tag != "equal":
                self.problem(name, first + i + 1, "the %s are out of date: --fix writes them anew; "
                             "there is %.60r, there should be %.60r", what,
                             " ".join(have[i:k]), " ".join(wanted[m:n]))

    def check_all_generated(self):
        for what in "metrics", "options":
            self.check_generated(README, what, "<!-- %s -->" % what, "<!-- /%s -->" % what,
                                 ["", *self.program.markdown[what].splitlines(), ""])
            write = roff_metrics if what == "metrics" else roff_options
            for name in FOR_TELEGRAF, FOR_COLLECTD:
                self.check_generated(name, what, '.\\" ' + what, '.\\" /' + what,
                                     list(write(self.program, name == FOR_COLLECTD)))

    def check_complete(self):
        for name in README, FOR_TELEGRAF, FOR_COLLECTD:
            words = set(re.findall(r"[\w-]+", "\n".join(line for _, line in self.plain_lines(name))))
            for metric in self.program.metrics:
                if metric.name not in words:
                    self.problem(name, 1, "the metric %s is not named", metric.name)
            for option in self.program.options:
                spellings = {README: [option.collectd, *option.environment],
                             FOR_TELEGRAF: option.environment, FOR_COLLECTD: [option.collectd]}
                if not option.secret and name != FOR_COLLECTD:
                    spellings[name] = ["--" + option.key, *spellings[name]]
                for spelling in spellings[name]:
                    if spelling not in words:
                        self.problem(name, 1, "the option %s is not named", spelling)
        words = " ".join(line for _, line in self.plain_lines(FOR_TELEGRAF))
        for flag in self.program.flags:
            if not re.search(re.escape(flag) + r"(?![\w-])", words):
                self.problem(FOR_TELEGRAF, 1, "the flag %s is not named", flag)

    # -- names

    def is_metric(self, name, after):
        """Whether a word is a metric's name, or is not meant as one."""
        if "*" in name:
            return bool(fnmatch.filter(self.program.names, name))
        if name in self.program.names or name in self.program.measurements:
            return True
        # Part of a regular expression or of a name that goes on in braces.
        return name.endswith("_") or after in set("?+(")

    def check_names(self, name):
        for number, line in self.plain_lines(name):
            for match in re.finditer(r"(?<![\w.*/-])(?:collectd_)?(balena_[\w*]*)", line):
                if not self.is_metric(match[1], line[match.end():match.end() + 1]):
                    self.problem(name, number, "there is no metric %s", match[1])
            for match in re.finditer(r"(?<!\w)BALENA_[A-Z_]+", line):
                if match[0] not in self.program.environment:
                    self.problem(name, number, "%s is no option's name in the environment", match[0])
            behind = re.split(r"telegraf-balena\b", line, maxsplit=1)[1:]
            for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", "".join(behind)):
                if flag not in self.program.all_flags | OTHERS_FLAGS:
                    self.problem(name, number, "telegraf-balena has no flag %s", flag)

    def check_block_keys(self, name):
        """The keys between <Account ...> and </Account>, commented out or not."""
        inside = False
        for number, line in self.plain_lines(name):
            if line.startswith("##"):
                continue
            text = line.lstrip("# \t")
            if re.match(r"</?Account\b", text):
                inside = not text.startswith("</")
                continue
            match = re.match(r"([A-Za-z]\w*)\s+\S", text)
            if inside and match and match[1] not in self.program.keys | BLOCK_KEYS:
                self.problem(name, number, "%s is no option in an <Account> block", match[1])

    # -- metric_types of Telegraf

    def check_types(self, name):
        lines = list(self.plain_lines(name))
        found = {}
        for number, line in lines:
            match = re.match(r"[#\s]*(gauge|counter)\s*=\s*\[(.*)\]", line)
            if match:
                found[match[1]] = number, re.findall(r'"([^"]*)"', match[2])
        for kind, (number, patterns) in found.items():
            for metric in self.program.metrics:
                fits = any(fnmatch.fnmatchcase(metric.name, pattern) for pattern in patterns)
                if fits and metric.kind != kind:
                    self.problem(name, number, "%s is a %s, but matches a pattern of %s",
                                 metric.name, metric.kind, kind)
                if not fits and metric.kind == kind:
                    self.problem(name, number, "%s is a %s, and no pattern matches it", metric.name, kind)
        if len(found) == 1:
            self.problem(name, next(iter(found.values()))[0], "gauge and counter belong together")
        return bool(found)

    # -- the sample for collectd

    @staticmethod
    def sample_value(option):
        value = option.collectd_default()
        return value if re.fullmatch(r"\d+(\.\d+)?|true|false", value) else '"%s"' % value

    def check_sample_entry(self, lines, number, option):
        """lines[number] is the key's; the lines above it, up to an empty one, say what it is."""
        first = number
        while first > 0 and lines[first - 1].startswith("##"):
            first -= 1
        wanted = ["## " + option.help, "## Allowed: %s." % option.values]
        prose = lines[first + 2:number]
        if option.default:
            value = "#    %s %s" % (option.collectd, self.sample_value(option))
            if lines[number] != value:
                self.sample_differs(lines, number, value)
            if prose[-1:] != ["## Default:"]:
                self.problem(SAMPLE_COLLECTD, number + 1, "%s: the line before it should be "
                             "\"## Default:\"", option.collectd)
        elif not any("Default: none" in line for line in prose):
            self.problem(SAMPLE_COLLECTD, number + 1, "%s: there should be \"Default: none\" above it",
                         option.collectd)
        if option.multi != any("several times" in line for line in prose):
            self.problem(SAMPLE_COLLECTD, number + 1, "%s: it should %sbe said that it may be given "
                         "several times", option.collectd, "" if option.multi else "not ")
        for i, line in enumerate(wanted):
            if first + i >= number or lines[first + i] != line:
                self.sample_differs(lines, first + i, line)

    def sample_differs(self, lines, number, wanted):
        if self.fix and lines[number].startswith("#"):
            lines[number] = wanted
        else:
            self.problem(SAMPLE_COLLECTD, number + 1, "should be %r", wanted)

    def check_sample(self):
        lines = self.texts[SAMPLE_COLLECTD].splitlines()
        block = [i for i, line in enumerate(lines) if re.match(r"#\s*</?Account\b", line)]
        if len(block) < 2:
            self.problem(SAMPLE_COLLECTD, 1, "there is no <Account> block")
            return
        entries = {}
        for i in range(block[0] + 1, block[1]):
            match = re.match(r"#    (\w+) ", lines[i])
            if match:
                entries.setdefault(match[1], []).append(i)
        for option in self.program.options:
            found = entries.pop(option.collectd, [])
            if not option.in_block():
                for number in found:
                    self.problem(SAMPLE_COLLECTD, number + 1, "%s does nothing here", option.collectd)
                continue
            if len(found) != 1:
                self.problem(SAMPLE_COLLECTD, block[0] + 1, "%s is there %d times, not once",
                             option.collectd, len(found))
            for number in found:
                self.check_sample_entry(lines, number, option)
        for i, line in enumerate(lines):
            if line and not line.startswith("#"):
                self.problem(SAMPLE_COLLECTD, i + 1, "nothing may be active in this file")
        if self.fix:
            self.write(SAMPLE_COLLECTD, "\n".join(lines) + "\n")

    # -- man

    def check_man(self, name):
        if not shutil.which("man") or not shutil.which("groff"):
            return
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", name],
                              cwd=self.root, check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=60,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": ""})
        for line in done.stderr.splitlines():
            match = re.search(r":(\d+): (.*)", line)
            self.problem(name, int(match[1]) if match else 1, "man: %s", match[2] if match else line)

    def check_example(self):
        """The program in balenacrawl(3) is C99 by the header, and short."""
        lines = list(self.plain_lines(LIBRARY))
        starts = [i for i, (_, line) in enumerate(lines) if line == ".EX"]
        if len(starts) != 1:
            self.problem(LIBRARY, 1, "there should be one example, not %d", len(starts))
            return
        source = []
        for _, line in lines[starts[0] + 1:]:
            if line == ".EE":
                break
            source.append(line.replace("\\e", "\\"))
        if len(source) >= EXAMPLE_LINES:
            self.problem(LIBRARY, lines[starts[0]][0], "the example has %d lines", len(source))
        if not shutil.which("cc"):
            return
        done = subprocess.run(["cc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                               "-I", self.root / "core/include", "-xc", "-"], check=False, text=True,
                              input="\n".join(source) + "\n", capture_output=True, timeout=60)
        for number, text in re.findall(r"^<stdin>:(\d+):(?:\d+:)? error: (.*)", done.stderr, re.M):
            self.problem(LIBRARY, lines[starts[0]][0] + int(number), "the example: %s", text)
        if done.returncode and "<stdin>:" not in done.stderr:
            self.problem(LIBRARY, 1, "the example: %s", done.stderr.strip())

    def check_all(self):
        for name in README, FOR_TELEGRAF, FOR_COLLECTD, LIBRARY, SAMPLE_COLLECTD:
            if name not in self.texts:
                self.problem(name, 1, "there is no such file")
        if self.problems:
            return
        self.check_all_generated()
        self.check_sample()
        self.check_complete()
        self.check_example()
        typed = 0
        for name in self.texts:
            self.check_names(name)
            self.check_block_keys(name)
            typed += self.check_types(name)
            if name.startswith(MANUALS):
                self.check_man(name)
        if not typed:
            self.problem("packaging/config/telegraf-balena.conf", 1, "no metric_types anywhere")


def main(arguments):
    fix = "--fix" in arguments
    root, binary = [argument for argument in arguments if argument != "--fix"]
    lint = Lint(root, Program(binary), fix)
    lint.check_all()
    for name in sorted(lint.written):
        print("%s: written anew" % name)
    for problem in lint.problems:
        print(problem)
    return 1 if lint.problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
