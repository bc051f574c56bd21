# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the fake API, real agents and a real Prometheus as processes of
ours on loopback, and what they must show, computed from the fake's own truth by the rules of
the metric catalogue, not by the code under test.

Environment (tests/run.sh sets all but the last, which is Meson's):
  BALENACRAWL_MUST              words that missing() knows: what is missing is a failure then, not a skip
  BALENACRAWL_TELEGRAF          the Telegraf to use, else the one in PATH
  BALENACRAWL_TELEGRAF_MISSING  why there is none
  BALENACRAWL_KEEP              a directory for all that the agents said, for lint_secrets.py
  MESON_BUILD_ROOT              where balena.so and telegraf-balena were built
"""
import collections
import ctypes
import datetime
import fcntl
import importlib.util
import json
import math
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import raw_server

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("MESON_BUILD_ROOT") or ROOT / "build-test").resolve()
TOKEN = "test-token"
HOSTNAME = "e2e-daemon"  # what collectd calls itself
DEADLINE_S = 60          # for anything that must happen at all; a busy machine gets that long
COLLECTD_PLUGINS = "/usr/lib/collectd"

os.umask(0o077)          # a token that all can read is warned of


# ---- what is there ---------------------------------------------------------------------------

def find(tool):
    """The path of a program, None if it is not there."""
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def telegraf_path():
    return os.environ.get("BALENACRAWL_TELEGRAF") or find("telegraf")


# Words for what is more than a program of that name.
PROGRAMS = {"alertmanager": ("prometheus-alertmanager", "amtool"), "etcd": ("etcd", "etcdctl"),
            "prometheus": ("prometheus", "promtool")}
MODULES = ("h2", "yaml")


def missing(what):
    """Why there is no such thing to test with; None if there is. A word is a program's name, one of
    PROGRAMS or MODULES, or one of those below."""
    if what == "telegraf":
        if not telegraf_path():
            return os.environ.get("BALENACRAWL_TELEGRAF_MISSING") or "telegraf is not installed"
        return None
    if what in MODULES:
        return None if importlib.util.find_spec(what) else "python3-%s is not installed" % what
    if what == "collectd":
        if not find("collectd"):
            return "collectd is not installed"
        if not os.path.exists(COLLECTD_PLUGINS + "/write_prometheus.so"):
            return "collectd's write_prometheus is not installed"
        if not plugin_path().exists():
            return "balena.so was not built (collectd-dev is not installed)"
        return None
    absent = [tool for tool in PROGRAMS.get(what, (what,)) if not find(tool)]
    return "not installed: %s" % ", ".join(absent) if absent else None


def require(*whats):
    """In setUpClass or a test: skips it by name, or fails it where the thing must be there."""
    for what in whats:
        reason = missing(what)
        if reason and what in os.environ.get("BALENACRAWL_MUST", "").split():
            raise AssertionError("%s, and it must be there" % reason)
        if reason:
            raise unittest.SkipTest(reason)


def execd_path():
    return BUILD / "telegraf_execd" / "telegraf-balena"


def plugin_path():
    return BUILD / "plugin_collectd" / "balena.so"


class Result(unittest.TextTestResult):
    """Says which skip is which, in a form that count_results.py reads."""

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.stream.writeln("\nSKIP: %s: %s" % (test.id().replace("__main__.", ""), reason))


class Runner(unittest.TextTestRunner):
    resultclass = Result


def main(*needs):
    """Runs the calling module's tests. Exit status 77, Meson's skip, if nothing of it can run."""
    if needs and all(missing(what) for what in needs) and not (
            set(needs) & set(os.environ.get("BALENACRAWL_MUST", "").split())):
        reasons = "; ".join(missing(what) for what in needs)
        print(reasons)
        keep("skipped", reasons.encode())
        sys.exit(77)
    # A test that is ended from outside takes its agents with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    result = unittest.main(testRunner=Runner, module="__main__", exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    # What ran nothing has shown nothing: Meson's skip.
    if result.testsRun == len(result.skipped):
        keep("skipped", "\n".join(reason for _, reason in result.skipped).encode())
        sys.exit(77)
    sys.exit(0)


# ---- waiting and HTTP ------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)
# Always our own machine, and a certificate of our own.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(
    context=ssl._create_unverified_context()))  # pylint: disable=protected-access


def http_get(url, timeout=30):
    with OPENER.open(url, timeout=timeout) as answer:
        return answer.read()


def wait_for(what, condition, alive=(), seconds=DEADLINE_S):
    """Asks condition() until it gives something true, and returns that. The one place that waits.
    Fails when the time is up, or at once when one of the processes `alive` has ended."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        for process in alive:
            if process.popen.poll() is not None:
                raise AssertionError("%s ended with %s while waiting for %s:\n%s" % (
                    process.name, process.popen.returncode, what, process.log_tail()))
        if time.monotonic() > deadline:
            raise AssertionError("no %s within %d s\n%s" % (
                what, seconds, "\n".join(process.log_tail() for process in alive)))
        time.sleep(0.1)


def make_certificate(directory, what, days=30, name="IP:127.0.0.1", issuer=None):
    """(certificate, key) as paths: issued by another one, or self-signed, and then trusted by whoever is
    given it as CA file."""
    key, request, made = (pathlib.Path(directory) / (what + end) for end in (".key", ".csr", ".pem"))
    extensions = pathlib.Path(directory) / (what + ".ext")
    extensions.write_text("subjectAltName=%s\nbasicConstraints=CA:TRUE\n" % name)

    def openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=60)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
            "/CN=balenacrawl test %s" % what, "-keyout", key, "-out", request)
    signed = ("-CA", issuer[0], "-CAkey", issuer[1], "-CAcreateserial") if issuer else ("-signkey", key)
    openssl("x509", "-req", "-in", request, *signed, "-days", days, "-extfile", extensions, "-out", made)
    return str(made), str(key)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- namespaces of a child's own -------------------------------------------------------------

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def unshare(more=0):
    """In a child: mounts, users where that takes rights, and `more` become its own."""
    call("unshare", CLONE_NEWNS | more | (CLONE_NEWUSER if os.getuid() else 0))
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def cover(path, with_path):
    """Behind unshare(): the child sees another file there."""
    call("mount", str(with_path).encode(), path, None, MS_BIND, None)


def no_namespaces(enter):
    """Why a child cannot enter() its own namespaces here, None if it can."""
    try:
        subprocess.run(["true"], preexec_fn=enter, check=True)
    except (subprocess.SubprocessError, OSError):
        return "this system lets us make no namespaces"
    return None


class Hosts:
    """A child's own /etc/hosts, which can be changed while it runs."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory) / "hosts"
        self.path.touch()

    def enter(self):
        unshare()
        cover(b"/etc/hosts", self.path)

    def set(self, name, address):
        # In place: it is this very file that covers the other.
        self.path.write_text("127.0.0.1 localhost\n%s %s\n" % (address, name))
        self.path.chmod(0o644)


class BlackHole:
    """Namespaces of a child's own, in which every name is asked of a socket of ours that nobody
    reads. enter() is a preexec_fn: users, mounts and network become the child's own, loopback is
    set up, resolv.conf is covered, and the socket handed back tells when it was asked."""
    CLONE_NEWNET = 0x40000000

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="balenacrawl-e2e-")
        self.resolv_conf = os.path.join(self.directory, "resolv.conf")
        # Longer than any deadline of a test: it is not the resolver that gives up.
        pathlib.Path(self.resolv_conf).write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
        os.chmod(self.directory, 0o755)
        os.chmod(self.resolv_conf, 0o644)
        self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.asked = None

    def enter(self):
        unshare(self.CLONE_NEWNET)
        cover(b"/etc/resolv.conf", self.resolv_conf)
        dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # SIOCSIFFLAGS: IFF_UP and IFF_RUNNING.
        fcntl.ioctl(dns, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
        dns.bind(("127.0.0.1", 53))
        socket.send_fds(self.theirs, [b"s"], [dns.fileno()])
        dns.close()

    def wait_asked(self):
        """Until the child that entered last has asked for a name. The question stays unread."""
        _, fds, _, _ = socket.recv_fds(self.ours, 1, 1)
        if self.asked is not None:
            os.close(self.asked)
        self.asked = fds[0]
        if not select.select([self.asked], [], [], DEADLINE_S)[0]:
            raise AssertionError("no name was asked for")

    def close(self):
        if self.asked is not None:
            os.close(self.asked)
        self.ours.close()
        self.theirs.close()
        shutil.rmtree(self.directory)

    @classmethod
    def missing(cls):
        """Why this cannot be done here, None if it can."""
        if not os.path.exists("/etc/resolv.conf"):
            return "there is no /etc/resolv.conf to cover"
        hole = cls()
        try:
            return no_namespaces(hole.enter)
        finally:
            hole.close()


# ---- secrets ---------------------------------------------------------------------------------

def keep(name, data):
    """For lint_secrets.py: in BALENACRAWL_KEEP, as SUITE.NAME.PID."""
    directory = os.environ.get("BALENACRAWL_KEEP")
    if directory:
        suite = pathlib.Path(sys.argv[0]).stem
        with open(os.path.join(directory, "%s.%s.%d" % (suite, name, os.getpid())), "ab") as file:
            file.write(data)


def check_no_token(name, *said, token=TOKEN):
    """Nothing that a program of ours says, or is started with, may hold the token. All of it is kept."""
    for data in said:
        keep(name, data)
        for line in data.splitlines():
            if token.encode() in line:
                raise AssertionError("%s shows the token: %r" % (name, line[:300]))


def run(*command, env=None, timeout=120, enter=None, program=None):
    """A run of a program of ours, in nothing but this environment, that says no token. If another program
    starts it, program is ours."""
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=timeout, env=env or {},
                          check=False, preexec_fn=enter)
    check_no_token(pathlib.Path(program or command[0]).name, done.stdout, done.stderr)
    return done


# ---- processes -------------------------------------------------------------------------------

PR_SET_PDEATHSIG = 1


def die_with_parent():
    """In a child: a test that is killed leaves nobody behind."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid):
    """The processes that a process has started."""
    found = []
    for path in pathlib.Path("/proc/%d/task" % pid).glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            pass
    return sorted(found)


def has_ended(pid):
    """Of a process that is nobody's child of ours: one that nobody waits for has ended too."""
    try:
        return pathlib.Path("/proc/%d/stat" % pid).read_text("ascii").rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


class Process:
    """A program of ours in a directory of its own; ended by its pid, at the latest by close()."""

    def __init__(self, name, command, directory=None, env=None, enter=None):
        self.name = name
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.log_path = self.directory / (name + ".log")
        self.command, self.enter = [str(word) for word in command], enter
        # Nothing of the developer's own settings may reach what we test.
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith("BALENA") and key != "CRAWL_INTERVAL"} | (env or {})
        self.start()

    def start(self):
        def prepare():
            die_with_parent()
            if self.enter:
                self.enter()
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=self.env, start_new_session=True, preexec_fn=prepare)

    def kill(self):
        """SIGKILL, which it cannot prepare for."""
        self.popen.kill()
        self.popen.wait()

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def log_tail(self, lines=30):
        return "\n".join("  %s| %s" % (self.name, line) for line in self.log().splitlines()[-lines:])

    def stop(self):
        """SIGTERM; returns the seconds it took to end."""
        started = time.monotonic()
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return time.monotonic() - started

    def close(self):
        self.stop()
        said = self.log_path.read_bytes() if self.log_path.exists() else b""
        shutil.rmtree(self.directory, ignore_errors=True)
        check_no_token(self.name, said)


class FakeApi(Process):
    """tests/fake_api.py on a port of its own choice."""

    def __init__(self, *more, fleets=3, devices=61, seed=1):
        self.tls = "--tls" in more
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        port_file = directory / "port"
        super().__init__("fake-api", [sys.executable, ROOT / "tests" / "fake_api.py", "--port", 0,
                                      "--port-file", port_file, "--seed", seed, "--fleets", fleets,
                                      "--devices", devices, "--token", TOKEN, *more], directory)
        try:
            wait_for("port file", lambda: port_file.exists() and port_file.read_text().strip(), [self])
        except BaseException:
            self.close()
            raise
        self.url = "http://127.0.0.1:%d" % int(port_file.read_text())

    def ask(self, path):
        return json.loads(http_get(self.url + path))

    def set(self, **wish):
        """Changes the world or the server's behaviour; see the fake's own text."""
        OPENER.open(self.url + "/_fake/set", json.dumps(wish).encode(), timeout=30).close()

    def truth(self):
        return self.ask("/_fake/truth")

    def devices(self):
        """Every device as the server holds it."""
        rows = []
        while True:
            more = self.ask("/_fake/devices?after=%d&limit=1000" % (rows[-1]["id"] if rows else 0))
            if not more:
                return rows
            rows += more

    def check_log(self):
        """Nothing but GET was ever sent, the token in the header and nowhere else."""
        url = self.url.replace("http:", "https:") if self.tls else self.url
        for line in http_get(url + "/_fake/log").splitlines():
            entry = json.loads(line)
            if entry["method"] != "GET" or TOKEN in entry["target"] or "apikey" in entry["target"]:
                raise AssertionError("sent to the API: %r" % entry)

    def close(self):
        try:
            if self.popen.poll() is None and hasattr(self, "url"):
                self.check_log()
        finally:
            super().close()

    def reset_log(self):
        self.check_log()
        OPENER.open(self.url + "/_fake/reset", b"", timeout=30).close()

    def requests(self):
        """Targets asked for since the last reset, probes left out: what a crawl costs."""
        lines = http_get(self.url + "/_fake/log").decode().splitlines()
        return [target for target in (json.loads(line)["target"] for line in lines)
                if "$top=0" not in target]


class Mute(socket.socket):
    """A listener that takes no connection in. With `full` its queue is full too, so that a client
    waits for the connection itself."""

    def __init__(self, full=False):
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(0 if full else 16)
        self.fillers = []
        while full and len(self.fillers) < 8:
            filler = socket.socket()
            filler.setblocking(False)
            self.fillers.append(filler)
            filler.connect_ex(self.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                break

    def close(self):
        for filler in self.fillers:
            filler.close()
        super().close()


def sockets_of(pid):
    """How many internet sockets a process has."""
    count = 0
    for fd in pathlib.Path("/proc/%d/fd" % pid).iterdir():
        try:
            count += os.readlink(fd).startswith("socket:")
        except OSError:
            pass
    return count


class Moment:
    """A server that keeps whoever asks it in one moment of a crawl."""
    LIST = "/application?"
    FAULTS = {
        "before the first byte": {"match": LIST, "hang": True},
        "in the middle of a list": {"match": LIST, "drip": [5, 200]},
        "in the middle of a page": {"match": "belongs_to__application in", "drip": [20, 200]},
        "waiting in the gate": {"match": LIST, "status": 429, "headers": {"Retry-After": "50"}},
        "waiting to try again": {"match": LIST, "status": 503},
        "in a probe": {"match": "$top=0", "hang": True},
    }
    BOMB = "in a gzip bomb"
    # By how long they last: some seconds, three tries to connect, as long as may be.
    ALL = (BOMB, "connecting", "in the TLS handshake", *FAULTS)

    def __init__(self, name, devices=300):
        self.name, self.upstream = name, None
        if name == self.BOMB:
            self.upstream = FakeApi("--quiet", devices=devices)
            self.server = raw_server.RawServer(self.upstream.url).script(
                self.LIST, raw_server.message(b"", "HTTP/1.1 200 OK", "Content-Encoding: gzip", length=False),
                *raw_server.bomb(b" "))
            self.url = self.server.url
        elif name in self.FAULTS:
            self.server = FakeApi("--quiet", devices=devices)
            self.server.set(fault={"times": -1, **self.FAULTS[name]})
            self.url = self.server.url
        else:
            self.server = Mute(full=name == "connecting")
            self.url = "%s://127.0.0.1:%d" % ("http" if name == "connecting" else "https",
                                              self.server.getsockname()[1])

    def wait(self, pid, alive=()):
        """Until the process is there."""
        def there():
            if isinstance(self.server, Mute):
                return sockets_of(pid)
            if self.upstream:
                return any(self.LIST.encode() in data for _, data in self.server.seen)
            return b'"fault":true' in http_get(self.url + "/_fake/log")
        wait_for(self.name, there, alive)

    def close(self):
        self.server.close()
        if self.upstream:
            self.upstream.close()


class Collectd(Process):
    """A collectd with write_prometheus and our plugin. `accounts`: the text of <Plugin balena>.
    `more`: configuration of other plugins; `alone`: ours and nothing else, to see how fast it ends."""

    def __init__(self, accounts, interval=1, more="", alone=False, env=None, enter=None):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        conf = directory / "collectd.conf"
        writer = "" if alone else """
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "%d"
</Plugin>""" % self.port
        # Each LoadPlugin looks into the PluginDir named last before it.
        conf.write_text("""
Hostname "%s"
FQDNLookup false
BaseDir "%s"
PIDFile "%s/pid"
TypesDB "/usr/share/collectd/types.db"
Interval %d
PluginDir "%s"
%s
%s
PluginDir "%s"
LoadPlugin balena
<Plugin balena>
%s
</Plugin>
""" % (HOSTNAME, directory, directory, interval, COLLECTD_PLUGINS, writer, more, plugin_path().parent, accounts))
        super().__init__("collectd", [find("collectd"), "-f", "-C", conf, "-P", directory / "pid"],
                         directory, env, enter)

    @staticmethod
    def account(api, name="quickstart", **options):
        """An <Account> block for a fake API; its token file is left in the fake's directory."""
        token_file = api.directory / "token"
        token_file.write_text(TOKEN + "\n")
        values = {"TokenFile": '"%s"' % token_file, "ApiUrl": '"%s"' % api.url, "Interval": 10,
                  "StartJitter": 0, **options}
        lines = "".join("    %s %s\n" % item for item in values.items())
        return '  <Account "%s">\n%s  </Account>\n' % (name, lines)


# Of a telegraf.conf: one flush holds a crawl.
TELEGRAF_BUFFERS = """\
  metric_batch_size = 10000
  metric_buffer_limit = 200000
  skip_processors_after_aggregators = true
"""
TELEGRAF_OUTPUT = """\
[[outputs.prometheus_client]]
  listen = "127.0.0.1:%d"
  metric_version = 2
  expiration_interval = "%s"
  collectors_exclude = ["gocollector", "process"]
  [outputs.prometheus_client.metric_types]
    counter = ["balena_api_*_total", "balena_shard_*_total"]
    gauge = ["balena_devices_online", "balena_device_*", "balena_fleet_*", "balena_crawl_*"]
"""


class Telegraf(Process):
    """A Telegraf with inputs.execd running our program and outputs.prometheus_client, which shows what it
    was given for so long as `expires` says."""

    def __init__(self, api, *arguments, signal_mode="STDIN", port=None, expires="5m", enter=None):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = port or free_port()
        self.url = "http://127.0.0.1:%d/metrics" % self.port
        token_file = api.directory / "token"
        token_file.write_text(TOKEN + "\n")
        command = [str(execd_path()), "--api-url", api.url, "--token-file", str(token_file),
                   "--start-jitter", "0", *arguments]
        self.conf = directory / "telegraf.conf"
        self.conf.write_text("""
[agent]
  interval = "2s"
  flush_interval = "1s"
  omit_hostname = true
%s[[inputs.execd]]
  command = %s
  signal = "%s"
  restart_delay = "1s"
  data_format = "influx"
%s""" % (TELEGRAF_BUFFERS, json.dumps(command), signal_mode, TELEGRAF_OUTPUT % (self.port, expires)))
        super().__init__("telegraf", [telegraf_path(), "--config", self.conf], directory, enter=enter)


class Prometheus(Process):
    """A Prometheus that scrapes {job: URL} every second. `rules`: the text of a rule file; `more`: as config() has
    it."""

    def __init__(self, jobs, *flags, rules="", **more):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        self.port = free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        conf = directory / "prometheus.yml"
        conf.write_text(self.config(jobs, **more), "utf-8")
        (directory / "rules.yml").write_text(rules, "utf-8")
        super().__init__("prometheus", [
            find("prometheus"), "--config.file", conf, "--storage.tsdb.path", directory / "data",
            "--web.listen-address", "127.0.0.1:%d" % self.port, "--rules.alert.resend-delay", "1s", *flags], directory)

    @staticmethod
    def config(jobs, more=None, others=(), alertmanager=None):
        """`more`: {job: what else it has}; `others`: whole scrape configurations; `alertmanager`: whom to tell."""
        scrapes = [{"honor_labels": False, "honor_timestamps": False, **(more or {}).get(job, {}), "job_name": job,
                    "static_configs": [{"targets": [urllib.parse.urlsplit(url).netloc]}]}
                   for job, url in jobs.items()]
        told = {"targets": [alertmanager] if alertmanager else []}
        return json.dumps({  # JSON is YAML
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": [*scrapes, *others],
            "rule_files": ["rules.yml"], "alerting": {"alertmanagers": [{"static_configs": [told]}]}})

    def query(self, expression):
        """{labels: value} of an instant query; {} while Prometheus is not up."""
        url = self.url + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            answer = json.loads(http_get(url))
        except OSError:
            return {}
        return {frozenset(row["metric"].items()): float(row["value"][1])
                for row in answer["data"]["result"]}


# ---- Prometheus text -------------------------------------------------------------------------

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: (-?\d+))?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)",?')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def give_directory(test_class):
    """In setUpClass: a folder that goes with the class, and a token file in it."""
    test_class.directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
    test_class.addClassCleanup(shutil.rmtree, test_class.directory, True)
    test_class.token_file = test_class.directory / "token"
    test_class.token_file.write_text(TOKEN + "\n")


class Url:
    """Any server in place of a fake API, for an account block."""

    def __init__(self, url, directory):
        self.url, self.directory = url, pathlib.Path(directory)


def of_account(name):
    """The labels of what collectd shows of a crawl."""
    return frozenset({"balena": name, "instance": HOSTNAME}.items())


class AgentTest(unittest.TestCase):
    """Fake APIs and real agents that end with their test."""

    def closed(self, process):
        self.addCleanup(process.close)
        return process

    def black_hole(self):
        reason = BlackHole.missing()
        if reason:
            self.skipTest(reason)
        return self.closed(BlackHole())

    def api(self, *arguments, **world):
        return self.closed(FakeApi(*arguments, **world))

    def collectd(self, *accounts, **options):
        return self.closed(Collectd("".join(accounts), **options))

    def telegraf(self, api, *arguments, **options):
        return self.closed(Telegraf(api, *arguments, **options))


def parse_text(text):
    """{(name, frozenset of labels): value}; a line that is no sample or is there twice fails."""
    series = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        match = SAMPLE.match(line)
        if not match:
            raise AssertionError("not a sample: %r" % line)
        labels = frozenset((name, re.sub(r'\\[\\"n]', lambda hit: ESCAPES[hit.group(0)], value))
                           for name, value in LABEL.findall(match[2] or ""))
        key = (match[1], labels)
        if key in series:
            raise AssertionError("there twice: %r" % line)
        series[key] = float(match[3])
    return series


def of_the_world(series):
    """The series about fleets and devices, without those about the crawl."""
    return {key: value for key, value in series.items()
            if not key[0].startswith(("balena_crawl_", "balena_api_", "balena_shard_"))}


def scrape(url):
    """The parsed series at url, {} while nobody listens there."""
    try:
        return parse_text(http_get(url).decode("utf-8"))
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}


SPLIT = {sign: re.compile(r"(?<!\\)" + sign) for sign in " ,="}
UNESCAPE = re.compile(r"\\([,= ])")


def parse_line(line):
    """The series of one line of line protocol, as the rules of the format have it."""
    head, fields, _ = SPLIT[" "].split(line)
    measurement, *tags = SPLIT[","].split(head)
    labels = frozenset(tuple(UNESCAPE.sub(r"\1", part) for part in SPLIT["="].split(tag)) for tag in tags)
    for field in SPLIT[","].split(fields):
        name, _, value = field.partition("=")
        yield (measurement + "_" + name, labels), float(value.rstrip("i"))


def values_of(series, name):
    """{labels as a dict's items: value} of one metric."""
    return {labels: value for (found, labels), value in series.items() if found == name}


def scrape_crawl(agent, others=(), prefix="", devices=None):
    """Waits until a crawl's end and all of its devices have reached the agent's output."""
    def complete():
        series = scrape(agent.url)
        if not values_of(series, prefix + "balena_crawl_success"):
            return None
        if devices is not None and len(values_of(series, prefix + "balena_device_status_code")) < devices:
            return None
        return series
    series = wait_for("finished crawl at %s" % agent.url, complete, [agent, *others])
    # The last of the fleets' and the crawl's own lines may still be on their way.
    seen = [len(series)]

    def settled():
        seen.append(len(scrape(agent.url)))
        return len(seen) > 10 and len(set(seen[-10:])) == 1
    wait_for("settled output", settled, [agent, *others])
    return scrape(agent.url)


# ---- what must be shown ----------------------------------------------------------------------

STATUS = ["operational", "reduced-functionality", "updating", "configuring", "post-provisioning",
          "disconnected", "inactive"]
HEARTBEAT = ["online", "timeout", "offline", "unknown"]
UPDATE = ["done", "downloading", "downloaded", "applying changes", "rejected", "aborted"]
CONNECTION = ["connected", "disconnected", "never", "inactive"]
ROLLOUT = ["on_target", "pending", "pending_offline", "unknown"]
SERVICE = ["Running", "Starting", "Installed", "Installing", "Downloaded", "Downloading", "Handing over",
           "Awaiting handover", "Idle", "configuring", "Stopping", "Stopped", "paused", "restarting", "exited",
           "Dead", "removing", "Deleting", "deleted", "Unknown"]
RELEASE = ["success", "running", "failed", "error", "cancelled", "interrupted"]
MIB = 1048576
INT4_MAX = 2147483647  # what the server makes of anything larger: never what a device said
TOP = 20               # how many values of a top N are named, if nothing else is asked for

# Sets of the catalogue, by name without "balena_device_".
LEAN = {"up", "status_code", "on_target_release", "storage_usage_ratio", "memory_usage_ratio",
        "offline_since_timestamp_seconds"}
STANDARD = LEAN | {
    "cpu_usage_ratio", "cpu_temperature_celsius", "undervolted", "storage_used_bytes", "storage_size_bytes",
    "memory_used_bytes", "memory_size_bytes", "vpn_connected", "heartbeat_code", "vpn_changed_timestamp_seconds",
    "heartbeat_changed_timestamp_seconds", "update_status_code", "update_status_changed_timestamp_seconds",
    "progress_ratio"}
OPTIONAL = {"pinned", "active", "frozen", "web_accessible", "locked_until_timestamp_seconds",
            "created_timestamp_seconds", "modified_timestamp_seconds", "provisioning_progress_ratio",
            "os_update_pending", "supervisor_update_pending", "latitude_degrees", "longitude_degrees"}
ALL = STANDARD | OPTIONAL
# What a device says of itself: true only while it is connected.
REPORTED = {"storage_usage_ratio", "memory_usage_ratio", "cpu_usage_ratio", "cpu_temperature_celsius",
            "undervolted", "storage_used_bytes", "storage_size_bytes", "memory_used_bytes", "memory_size_bytes",
            "update_status_code", "update_status_changed_timestamp_seconds", "progress_ratio",
            "provisioning_progress_ratio"}
# Metrics that are one field each, scaled or coded: what the API gives is shown, or it is counted.
ONE_FIELD = {
    "status_code": "overall_status", "heartbeat_code": "api_heartbeat_state", "update_status_code": "update_status",
    "cpu_usage_ratio": "cpu_usage", "cpu_temperature_celsius": "cpu_temp", "undervolted": "is_undervolted",
    "storage_used_bytes": "storage_usage", "storage_size_bytes": "storage_total",
    "memory_used_bytes": "memory_usage", "memory_size_bytes": "memory_total", "vpn_connected": "is_connected_to_vpn",
    "vpn_changed_timestamp_seconds": "last_vpn_event",
    "heartbeat_changed_timestamp_seconds": "changed_api_heartbeat_state_on__date",
    "update_status_changed_timestamp_seconds": "last_update_status_event", "progress_ratio": "overall_progress",
    "provisioning_progress_ratio": "provisioning_progress", "web_accessible": "is_web_accessible",
    "locked_until_timestamp_seconds": "is_locked_until__date", "created_timestamp_seconds": "created_at",
    "modified_timestamp_seconds": "modified_at", "active": "is_active", "frozen": "is_frozen"}
CLOUD = {"active", "frozen", "latitude_degrees", "longitude_degrees"}  # other servers do not have these
# The sets of the fleets' sums, by name without "balena_fleet_", that are not lean.
FLEET_OPTIONAL = {"cpu_usage_mean_ratio", "cpu_usage_max_ratio", "memory_usage_mean_ratio", "memory_usage_max_ratio",
                  "storage_usage_mean_ratio", "storage_usage_max_ratio", "cpu_temperature_mean_celsius",
                  "latest_release_status_code"}
SERVICE_METRICS = {"status_code", "download_progress_ratio"}

# Numbers that make sense; all else is dropped and counted.
RANGES = {"cpu_usage": (0, 100), "cpu_temp": (-100, 200), "memory_usage": (0, INT4_MAX), "memory_total": (0, INT4_MAX),
          "storage_usage": (0, INT4_MAX), "storage_total": (0, INT4_MAX), "overall_progress": (0, 100),
          "provisioning_progress": (0, 100), "download_progress": (0, 100), "latitude": (-90, 90),
          "longitude": (-180, 180), "custom_latitude": (-90, 90), "custom_longitude": (-180, 180)}


def code(words, word):
    return words.index(word) + 1 if word in words else 0


def epoch(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


def seen_by(rows, version):
    """The rows as a server of this API version tells them, in the meaning of v7: what v6 has no
    word for is absent, what it says in another way is translated."""
    return [row if version == 7 else from_v6(row) for row in rows]


def from_v6(row):
    heartbeat = row["api_heartbeat_state"]
    status = row["_v6_overall_status"]
    if status == "offline":
        status = "disconnected"
    elif status == "idle":
        half = heartbeat == "timeout" or row["is_connected_to_vpn"] != (heartbeat == "online")
        status = "reduced-functionality" if half else "operational"
    return {**row, "overall_status": status, "changed_api_heartbeat_state_on__date": None, "managed_by": None}


def connection(row):
    """The one decision about a device's state that everything else follows."""
    if row["overall_status"] == "inactive":
        return "inactive"
    if row["is_connected_to_vpn"] or row["api_heartbeat_state"] in ("online", "timeout"):
        return "connected"
    if row["api_heartbeat_state"] == "unknown" and row["last_connectivity_event"] is None:
        return "never"
    return "disconnected"


def rejection(name, value):
    """Why a number of the API is dropped: "type", "range" or None."""
    if value is None or value == "":
        return None
    try:
        value = float(value)
    except ValueError:
        return "type"
    low, high = RANGES[name]
    return None if low <= value <= high and value != INT4_MAX else "range"


def number(row, name):
    """A number that makes sense, or None."""
    value = row[name]
    return None if value is None or value == "" or rejection(name, value) else float(value)


def on_target(row):
    running, target = row["is_running__release"], row["should_be_running__release"]
    return None if running is None or target is None else int(running == target)


def scaled(value, factor):
    return None if value is None else value * factor


def ratio(row, what):
    used, total = number(row, what + "_usage"), number(row, what + "_total")
    return used / total if used is not None and total else None


def differs(version, wanted, revisions=False):
    """Whether a version text is not that of a release, told by semver and revision."""
    if not version or not wanted or wanted["semver"].startswith("0.0.0"):
        return None
    base, _, build = version.partition("+")
    if base != wanted["semver"].partition("+")[0]:
        return 1
    found = re.search(r"rev([0-9]+)", build)
    revision = int(found[1]) if found else 0
    return int(revisions and wanted["revision"] is not None and revision != wanted["revision"])


def place(row, what):
    """A person's choice goes before the address's."""
    chosen = number(row, "custom_" + what)
    return number(row, what) if chosen is None else chosen


def flag(value):
    return None if value is None else int(value)


def device_values(row, cloud=True, keep=False):
    """{name without "balena_device_": value} of a device: all sets, but info. `keep`: also what a
    device that is not connected said when it was."""
    state = connection(row)
    vpn_changed = epoch(row["last_vpn_event"])
    heartbeat_changed = epoch(row["changed_api_heartbeat_state_on__date"])
    lost = max(filter(None, (vpn_changed, heartbeat_changed)), default=None)
    values = {
        "up": {"connected": 1, "disconnected": 0}.get(state),
        "status_code": code(STATUS, row["overall_status"]),
        "on_target_release": on_target(row),
        "storage_usage_ratio": ratio(row, "storage"),
        "memory_usage_ratio": ratio(row, "memory"),
        "offline_since_timestamp_seconds": lost if state == "disconnected" else None,
        "cpu_usage_ratio": scaled(number(row, "cpu_usage"), 0.01),
        "cpu_temperature_celsius": number(row, "cpu_temp"),
        "undervolted": flag(row["is_undervolted"]),
        "storage_used_bytes": scaled(number(row, "storage_usage"), MIB),
        "storage_size_bytes": scaled(number(row, "storage_total"), MIB),
        "memory_used_bytes": scaled(number(row, "memory_usage"), MIB),
        "memory_size_bytes": scaled(number(row, "memory_total"), MIB),
        "vpn_connected": int(row["is_connected_to_vpn"]),
        "heartbeat_code": code(HEARTBEAT, row["api_heartbeat_state"]),
        "vpn_changed_timestamp_seconds": vpn_changed,
        "heartbeat_changed_timestamp_seconds": heartbeat_changed,
        "update_status_code": code(UPDATE, row["update_status"]) if row["update_status"] else None,
        "update_status_changed_timestamp_seconds": epoch(row["last_update_status_event"]),
        "progress_ratio": scaled(number(row, "overall_progress"), 0.01),
        "pinned": int(row["is_pinned_on__release"] is not None),
        "active": flag(row["is_active"]),
        "frozen": flag(row["is_frozen"]),
        "web_accessible": flag(row["is_web_accessible"]),
        "locked_until_timestamp_seconds": epoch(row["is_locked_until__date"]),
        "created_timestamp_seconds": epoch(row["created_at"]),
        "modified_timestamp_seconds": epoch(row["modified_at"]),
        "provisioning_progress_ratio": scaled(number(row, "provisioning_progress"), 0.01),
        "os_update_pending": differs((row["os_version"] or "").rpartition(" ")[2], row["operated_by"], True),
        "supervisor_update_pending": differs(row["supervisor_version"], row["managed_by"]),
        "latitude_degrees": place(row, "latitude"),
        "longitude_degrees": place(row, "longitude"),
    }
    hidden = set() if keep or state == "connected" else REPORTED
    return {name: value for name, value in values.items()
            if value is not None and name not in hidden and (cloud or name not in CLOUD)}


def stale_values(rows, names, services=frozenset()):
    """How many values the devices that are not connected have withheld from them: those of `names`,
    and of their services those of `services`."""
    count = 0
    for row in rows:
        if connection(row) != "connected":
            count += len(REPORTED & set(names) & set(device_values(row, keep=True)))
            count += sum(len(services & set(values)) for values in service_values(row, keep=True).values())
    return count


def superseded_values(rows, names):
    """How many values of installs that are not the current one of their service are withheld."""
    count = 0
    for row in rows:
        current = {id(install) for install in current_installs(row).values()}
        for install in live_installs(row):
            if id(install) not in current:
                count += "status_code" in names
                count += "download_progress_ratio" in names and number(install, "download_progress") is not None
    return count


def rejections(rows, fields, installs=False):
    """{"type": n, "range": n} of the numbers of these fields, and of the services' progress."""
    counts = collections.Counter(type=0, range=0)
    for row in rows:
        values = [(name, row[name]) for name in fields if name in RANGES]
        if installs:
            values += [("download_progress", install["download_progress"])
                       for install in current_installs(row).values()]
        counts.update(filter(None, (rejection(name, value) for name, value in values)))
    return counts


# Services: of a device's installs of one service one is its state.

def live_installs(row):
    return [install for install in row["image_install"] if install["status"] != "deleted"]


def current_installs(row):
    """{service name: install}: that of the release the device runs, else the newest."""
    def rank(install):
        of_running = install["is_provided_by__release"] == row["is_running__release"]
        return of_running, install["install_date"]
    current = {}
    for install in live_installs(row):
        name = install["service_name"]
        if name not in current or rank(install) > rank(current[name]):
            current[name] = install
    return current


def service_values(row, keep=False):
    """{service name: {name without "balena_device_service_": value}} of a device."""
    if connection(row) != "connected" and not keep:
        return {}
    result = {}
    for service, install in current_installs(row).items():
        values = {"status_code": code(SERVICE, install["status"])}
        progress = number(install, "download_progress")
        if progress is not None:
            values["download_progress_ratio"] = progress / 100
        result[service] = values
    return result


def expected_services(rows, names=None, keep=False):
    """{(name, labels): value} of all series of the devices' services."""
    series = {}
    for row in rows:
        for service, values in service_values(row, keep).items():
            labels = of_fleet(row["fleet"] or "none", device_uuid=row["uuid"], service_name=service)
            for name, value in values.items():
                if names is None or name in names:
                    series["balena_device_service_" + name, labels] = value
    return series


# Partitions.

def by_word(rows, words, word_of, rest="other"):
    """A full partition: every word, zeros included, what is none of them under `rest`."""
    counts = collections.Counter({word: 0 for word in words + ([rest] if rest else [])})
    for row in rows:
        word = word_of(row)
        counts[word if word in words or not rest else rest] += 1
    return counts


def by_text(texts, top, target=None):
    """A partition of texts nobody knows before: the `top` most frequent by name, equal ones in the
    order of their bytes, and the target in any case; `none` and `other` are always there."""
    counts = collections.Counter(clean(text or "") or "none" for text in texts)
    parts = {"none": counts.pop("none", 0), "other": counts.pop("other", 0)}
    ranked = sorted(counts, key=lambda text: (-counts[text], text.encode()))
    named = set(ranked[:top]) | ({target} if target else set())
    for text in named:
        parts[text] = parts.get(text, 0) + counts.pop(text, 0)
    parts["other"] += sum(counts.values())
    return parts


def update_word(row, keep=False):
    if connection(row) != "connected" and not (keep and row["update_status"]):
        return "stale"
    return row["update_status"] or "none"


def rollout_word(row):
    there = on_target(row)
    if there is None:
        return "unknown"
    if there:
        return "on_target"
    return "pending" if connection(row) == "connected" else "pending_offline"


def service_words(rows, keep=False):
    """{(service name, status word): devices}: every word for every service that the fleet has, but
    counted only where it is known."""
    counts = collections.Counter()
    for row in rows:
        for service in current_installs(row):
            for word in SERVICE + ["other"]:
                counts[service, word] += 0
        if keep or connection(row) == "connected":
            for service, install in current_installs(row).items():
                counts[service, install["status"] if install["status"] in SERVICE else "other"] += 1
    return counts


def mean_and_max(values):
    values = [value for value in values if value is not None]
    return (sum(values) / len(values), max(values)) if values else (None, None)


def fleet_values(rows, cloud, target=None, top=TOP, services=False, keep=False):
    """{(name without "balena_fleet_", extra labels): value} of a fleet's sums, all sets."""
    connected = [row for row in rows if connection(row) == "connected"]
    speaking = rows if keep else connected
    values = {
        ("devices", ()): len(rows),
        ("devices_pinned", ()): sum(row["is_pinned_on__release"] is not None for row in rows),
        ("devices_undervolted", ()): sum(bool(row["is_undervolted"]) for row in speaking),
        ("devices_without_metrics", ()): sum(row["memory_total"] is None for row in connected),
        ("crawl_success", ()): 1,
    }
    if cloud:
        values["devices_frozen", ()] = sum(bool(row["is_frozen"]) for row in rows)
    for name, unit, reading in (
            ("cpu_temperature", "celsius", lambda row: number(row, "cpu_temp")),
            ("cpu_usage", "ratio", lambda row: scaled(number(row, "cpu_usage"), 0.01)),
            ("memory_usage", "ratio", lambda row: ratio(row, "memory")),
            ("storage_usage", "ratio", lambda row: ratio(row, "storage"))):
        mean, most = mean_and_max(map(reading, speaking))
        values["%s_mean_%s" % (name, unit), ()] = mean
        values["%s_max_%s" % (name, unit), ()] = most
    for name, counts in (
            ("connection", by_word(rows, CONNECTION, connection, None)),
            ("status", by_word(rows, STATUS, lambda row: row["overall_status"])),
            ("heartbeat", by_word(rows, HEARTBEAT, lambda row: row["api_heartbeat_state"])),
            ("update_status", by_word(rows, UPDATE + ["none", "stale"], lambda row: update_word(row, keep))),
            ("rollout", by_word(rows, ROLLOUT, rollout_word, None)),
            ("release", by_text([row["release"] for row in rows], top, target)),
            ("os_version", by_text([row["os_version"] for row in rows], top)),
            ("supervisor_version", by_text([row["supervisor_version"] for row in rows], top)),
            ("device_type", by_text([row["device_type"] for row in rows], top))):
        for word, count in counts.items():
            values["devices_by_" + name, ((name, word),)] = count
    if services:
        for (service, word), count in service_words(rows, keep).items():
            values["services_by_status", (("service_name", service), ("service_status", word))] = count
    return {key: value for key, value in values.items() if value is not None}


def clean(text):
    """A label value: no control characters. Only Telegraf's line protocol cannot carry a backslash
    at the end; see as_line_protocol()."""
    return re.sub("[\x00-\x1f\x7f-\x9f]", " ", text)


def of_fleet(fleet, **more):
    """A label set, without the labels that have no text."""
    return frozenset((name, clean(value)) for name, value in {"fleet": fleet, **more}.items() if value)


def of_tags(tags, keys):
    """The labels of the tags that were asked for."""
    return {"tag_" + re.sub("[^a-z0-9_]", "_", key.lower()): tags[key] for key in keys if key in tags}


def expected_devices(rows, names=None, cloud=True, keep=False):
    """{(name, labels): value} of all device series but info; `names` are those wanted, default the
    sets lean and standard."""
    series = {}
    for row in rows:
        labels = of_fleet(row["fleet"] or "none", device_uuid=row["uuid"])
        for name, value in device_values(row, cloud, keep).items():
            if name in (STANDARD if names is None else names):
                series["balena_device_" + name, labels] = value
    return series


def expected_device_infos(rows, tags=()):
    """The info series; `tags` are the keys of the tags to show."""
    series = {}
    for row in rows:
        own = {tag["tag_key"]: tag["value"] for tag in row["device_tag"]}
        series["balena_device_info", of_fleet(
            row["fleet"] or "none", device_uuid=row["uuid"], device_name=row["device_name"],
            device_type=row["device_type"], os_version=row["os_version"], os_variant=row["os_variant"],
            supervisor_version=row["supervisor_version"], release=row["release"], **of_tags(own, tags))] = 1
    return series


def expected_fleets(rows, truth, top=TOP, services=False, optional=False, tags=(), keep=False):
    """{(name, labels): value} of all fleet series, the empty fleets' and the fleet-less devices' too:
    the lean set, with `services` also what detail services brings, with `optional` the rest."""
    series = {}
    by_slug = {fleet["slug"]: [] for fleet in truth["fleets"]}
    targets = {fleet["slug"]: fleet["target_release"]["raw_version"]
               for fleet in truth["fleets"] if fleet["target_release"]}
    for row in rows:
        by_slug.setdefault(row["fleet"] or "none", []).append(row)
    for slug, of_slug in by_slug.items():
        sums = fleet_values(of_slug, truth["cloud"], targets.get(slug), top, services, keep)
        for (name, extra), value in sums.items():
            if optional or name not in FLEET_OPTIONAL:
                series["balena_fleet_" + name, of_fleet(slug, **dict(extra))] = value
    for fleet in truth["fleets"]:
        slug, release = fleet["slug"], fleet["target_release"]
        named = of_fleet(slug, fleet_name=fleet["app_name"])
        series["balena_devices_online", named] = sum(row["is_connected_to_vpn"] for row in by_slug[slug])
        series["balena_fleet_tracks_latest_release", of_fleet(slug)] = int(fleet["tracks_latest"])
        series["balena_fleet_info", of_fleet(
            slug, fleet_name=fleet["app_name"], organization=fleet["org"],
            device_type=fleet["device_type"], fleet_id=str(fleet["id"]), **of_tags(fleet["tags"], tags))] = 1
        if release:
            series["balena_fleet_target_release_info", of_fleet(slug, release=release["raw_version"])] = 1
            series["balena_fleet_target_release_created_timestamp_seconds", of_fleet(slug)] = \
                epoch(release["created_at"])
        if optional and fleet["latest_release_status"]:
            series["balena_fleet_latest_release_status_code", of_fleet(slug)] = \
                code(RELEASE, fleet["latest_release_status"])
    return series


def chosen(rows, truth, wanted, fleetless=False):
    """(rows, truth) of a crawl of some of the fleets: wanted() is asked about each; `fleetless`:
    the devices of no fleet too."""
    fleets = [fleet for fleet in truth["fleets"] if wanted(fleet)]
    slugs = {fleet["slug"] for fleet in fleets}
    return ([row for row in rows if (row["fleet"] in slugs if row["fleet"] else fleetless)],
            {**truth, "fleets": fleets})


def as_line_protocol(series):
    """The same series as they come through Telegraf: a tag cannot end in a backslash, and a tag
    without a text is none."""
    return {(name, frozenset((label, text.rstrip("\\")) for label, text in labels if text.rstrip("\\"))): value
            for (name, labels), value in series.items()}


COLLECTD_NAME_MAX = 127


def fit(text):
    """A name that collectd would cut: cut between two characters, with a hash (FNV-1a, 32 bits) of
    the whole behind it, so that long names stay apart."""
    raw = text.encode()
    if len(raw) <= COLLECTD_NAME_MAX:
        return text
    digest = 2166136261
    for byte in raw:
        digest = (digest ^ byte) * 16777619 & 0xFFFFFFFF
    return raw[:COLLECTD_NAME_MAX - 8].decode(errors="ignore") + "%08x" % digest


def as_collectd(series):
    """The same series as write_prometheus shows them: host = device, plugin instance = fleet, type
    instance = the extra labels, of an info the one that collectd has room for."""
    shown = {}
    for (name, labels), value in series.items():
        labels = dict(labels)
        identity = {"balena": fit(labels.pop("fleet")).replace("/", ":"),
                    "instance": labels.pop("device_uuid", HOSTNAME)}
        if name.endswith("_info"):
            labels = {label: labels[label] for label in ("device_name", "fleet_name", "release")
                      if label in labels and (label != "release" or "_release_" in name)}
        if labels:
            # service_name goes before service_status.
            identity["type"] = fit(":".join(text for _, text in sorted(labels.items()))).replace("/", "_")
        shown["collectd_" + name, frozenset(identity.items())] = value
    return shown


def as_shown(name, value):
    """What is neither whole nor a time is rounded to a millionth, away from zero at the half."""
    if not name.endswith(("_ratio", "_celsius", "_degrees")):
        return value
    return math.copysign(math.floor(abs(value) * 1e6 + 0.5) / 1e6, value)


def compare(expected, series, names=None):
    """Every series expected is there with its value, and of these metrics no other. `names`: metrics
    to look at, default those expected. Returns how many agree; fails with all that does not."""
    names = {name for name, labels in expected} if names is None else names
    shown = {key: value for key, value in series.items() if key[0] in names}
    wrong = []
    for key, value in expected.items():
        value = as_shown(key[0].removeprefix("collectd_"), value)
        if key not in shown:
            wrong.append("missing: %s = %s" % (describe(key), value))
        elif not math.isclose(shown[key], value, rel_tol=1e-9, abs_tol=1e-9):
            wrong.append("wrong: %s is %r, should be %r" % (describe(key), shown[key], value))
    wrong += ["not expected: %s = %s" % (describe(key), value)
              for key, value in shown.items() if key not in expected]
    if wrong:
        raise AssertionError("%d of %d series disagree:\n  %s" % (
            len(wrong), len(expected), "\n  ".join(sorted(wrong)[:40])))
    return len(expected)


def describe(key):
    return "%s{%s}" % (key[0], ",".join('%s="%s"' % item for item in sorted(key[1])))
