#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The container images as users get them: built by packaging/container/build.sh, run with as few rights as
they need, scraped, asked for their health, and stopped. Their bases cannot be had without a registry:
a Debian of this machine's release stands in, under the name that the Containerfiles have, and the pinned
Telegraf on it. Needs root, podman, runc and mmdebstrap; minutes.

All of it is in namespaces of its own: the network, so that port 8000 is free, and the processes, so that no
container outlives the test."""
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import unittest

import e2e_lib as lib
from debian_lib import CLEAN, VERSION, base, check_call, require, scratch, source

CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
URL = "http://127.0.0.1:8000/metrics"  # what the documentation says
INTERVAL, MAX_AGE = 10, 17             # the shortest interval, and with Telegraf's 5 s until it shows a crawl
STOP_S = 5
OUTSIDE = os.open("/proc/self/ns/net", os.O_RDONLY)  # where the archive is
USER = 10001
# What the images of Debian on the registries have, and mmdebstrap does not make.
SLIM = """\
FROM localhost/minbase
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d && \\
    printf 'path-exclude /usr/share/%s/*\\n' doc locale man >/etc/dpkg/dpkg.cfg.d/slim
"""
TELEGRAF = "FROM docker.io/library/debian:bookworm-slim\nCOPY telegraf /usr/bin/telegraf\n"


def enter_own_processes():
    """Goes on as the first of processes of our own: all of them end with it, and it with its parent."""
    lib.unshare(CLONE_NEWPID)
    child = os.fork()
    if child:
        signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.exit(status if status >= 0 else 128 - status)
    lib.LIBC.prctl(lib.PR_SET_PDEATHSIG, signal.SIGTERM)
    lib.call("mount", b"proc", b"/proc", b"proc", 0, None)


def limits():
    """Ours: without the right to raise them an engine may not even set what it would by default."""
    for name, number in ("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC):
        soft, hard = (4096 if value == resource.RLIM_INFINITY else min(value, 4096)
                      for value in resource.getrlimit(number))
        yield "%s=%d:%d" % (name, soft, hard)


def podman(*words, **options):
    return check_call("podman", *words, env=environment(), **options)


def environment():
    """Where the engine keeps what, all of it in our folder; and how it runs and builds."""
    return {**CLEAN, "CONTAINERS_STORAGE_CONF": str(scratch() / "storage.conf"), "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_CONF": str(scratch() / "containers.conf")}


def configure():
    (scratch() / "storage.conf").write_text('[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' % (
        scratch() / "graph", scratch() / "run"))
    (scratch() / "containers.conf").write_text(
        '[containers]\ndefault_ulimits = %s\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
        'events_logger = "file"\nlock_type = "file"\ntmp_dir = "%s"\n' % (json.dumps(list(limits())), scratch() / "tmp"))


def build(*words, **options):
    return check_call(source() / "packaging/container/build.sh", "--engine", "podman", *words, "--pull=never",
                      env=environment(), **options)


def build_base(name, containerfile, **files):
    directory = scratch() / name.replace("/", "_")
    directory.mkdir()
    (directory / "Containerfile").write_text(containerfile)
    for file, path in files.items():
        shutil.copy(path, directory / file)
        (directory / file).chmod(0o755)
    podman("build", "--pull=never", "--tag", name, directory)


def setUpModule():
    require("containers", "podman", "runc", "mmdebstrap", "ip")
    lib.require("telegraf")
    configure()
    podman("import", base(), "localhost/minbase")
    try:
        podman("run", "--rm", "--network=none", "--memory=64m", "localhost/minbase", "true")
    except AssertionError as error:
        raise unittest.SkipTest("podman runs no containers here: %s" % error) from None
    build_base("docker.io/library/debian:bookworm-slim", SLIM)
    version = re.search(r"^TELEGRAF_VERSION=(\S+)", (lib.ROOT / "packaging/lib-telegraf.sh").read_text(), re.M)[1]
    build_base("docker.io/library/telegraf:" + version, TELEGRAF, telegraf=lib.telegraf_path())
    build("--")
    # The archive was needed up to here. An address beside the loopback is what a container has.
    lib.unshare(CLONE_NEWNET)
    check_call("ip", "link", "set", "lo", "up")
    check_call("ip", "address", "add", "192.0.2.1/32", "dev", "lo")


class Container(lib.Process):
    """A container in the foreground, with as few rights as there are."""

    url = URL

    def __init__(self, image, *options, **variables):
        self.container = "%s-%d" % (image, id(self))
        # Given by name, values do not stand on the command line.
        names = [word for name in variables for word in ("--env", name)]
        super().__init__(image, ["podman", "run", "--name", self.container, "--rm", "--network=host", "--read-only",
                                 "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges",
                                 "--memory=128m", *names, *options, "localhost/" + image],
                         env={**environment(), **variables})

    def inspect(self):
        return json.loads(podman("container", "inspect", self.container))[0]

    def is_healthy(self):
        """What the image's own HEALTHCHECK says."""
        return subprocess.run(["podman", "healthcheck", "run", self.container], env=environment(), check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60).returncode == 0

    def health(self, **variables):
        """The status of balena-health, and what it says."""
        done = subprocess.run(["podman", "exec", *("--env=%s=%s" % item for item in variables.items()), self.container,
                               "balena-health"], env=environment(), check=False, capture_output=True, timeout=60)
        return done.returncode, (done.stdout + done.stderr).decode()


class Image:
    """What holds for both images; the classes below say what differs."""

    def run_image(self, api, *options, **variables):
        return self.closed(Container(self.image, *options, **{
            "BALENA_API_URL": api.url, "CRAWL_INTERVAL": str(INTERVAL), "BALENA_START_JITTER": "0", **variables}))

    def wait_log(self, agent, *words):
        lib.wait_for("log of " + " ".join(words), lambda: all(word in agent.log() for word in words), [agent])

    def test_crawl(self):
        """With a token in the environment: the values, the rights, the health, the end."""
        api = self.api("--quiet")
        agent = self.run_image(api, BALENA_TOKEN=lib.TOKEN, HEALTH_MAX_AGE=str(MAX_AGE))
        rows, truth = api.devices(), api.truth()
        series = lib.scrape_crawl(agent, [api], self.prefix, len(rows))
        expected = self.expected({**lib.expected_devices(rows, self.names), **lib.expected_device_infos(rows),
                                  **lib.expected_fleets(rows, truth)})
        lib.compare(expected, series)
        self.assertEqual({value for name, value in series.items() if name[0].endswith("_crawl_interval_seconds")},
                         {INTERVAL})

        process = agent.inspect()["State"]["Pid"]
        status = dict(re.findall(r"^(\w+):\s+(.*)$", pathlib.Path("/proc/%d/status" % process).read_text(), re.M))
        self.assertEqual(status["Name"], self.agent)  # nobody between it and the engine's signals
        self.assertEqual(status["Uid"].split(), [str(USER)] * 4)
        self.assertEqual(int(status["CapBnd"], 16), 0)

        self.assertEqual(re.findall(self.trouble, agent.log()), [])
        lib.wait_for("good health", agent.is_healthy, [agent])
        lib.wait_for("good health", lambda: agent.health() == (0, ""), [agent])
        # By default ten minutes are allowed, or three intervals.
        self.assertEqual(agent.health(HEALTH_MAX_AGE="")[0], 0)
        api.set(fault={"times": -1, "status": 503})
        lib.wait_for("bad health", lambda: not agent.is_healthy(), [agent])
        self.assertRegex(agent.health()[1], r"the last crawl that went well is \d+ s old, %d are allowed" % MAX_AGE)
        self.assertEqual(agent.health(HEALTH_MAX_AGE="")[0], 0)
        api.set(faults=[])
        lib.wait_for("good health again", agent.is_healthy, [agent])
        self.assertEqual(len(re.findall(self.trouble, agent.log())), 1)

        self.assertLess(agent.stop(), STOP_S)
        self.assertEqual(agent.popen.returncode, 0)

    def test_token_file(self):
        """As a secret is mounted."""
        api = self.api("--quiet")
        secret = api.directory / "secret"
        secret.write_text(lib.TOKEN + "\n")
        os.chown(secret, USER, USER)
        agent = self.run_image(api, "--volume=%s:/run/secrets/balena:ro" % secret,
                               BALENA_TOKEN_FILE="/run/secrets/balena", BALENA_DETAIL="fleets", BALENA_ACCOUNT="mine")
        series = lib.scrape_crawl(agent, [api], self.prefix)
        name = self.prefix + "balena_crawl_success"
        self.assertEqual([(dict(labels)[self.account], value) for labels, value in lib.values_of(series, name).items()],
                         [("mine", 1)])
        self.assertLess(agent.stop(), STOP_S)

    def test_no_token(self):
        """Says what is missing, lives on, and is not healthy."""
        agent = self.run_image(self.api("--quiet"))
        self.wait_log(agent, "no API token: set token-file to a file that holds one")
        lib.wait_for("bad health", lambda: agent.health() == (1, "no crawl has ended yet\n"), [agent])
        self.assertLess(agent.stop(), STOP_S)

    def test_wrong_token(self):
        agent = self.run_image(self.api("--quiet"), BALENA_TOKEN="not-the-token")
        self.wait_log(agent, "the API refuses the token (HTTP 401)")
        lib.wait_for("bad health", lambda: agent.health()[1].endswith(": no crawl went well yet\n"), [agent])
        self.assertLess(agent.stop(), STOP_S)

    def test_wrong_option(self):
        agent = self.run_image(self.api("--quiet"), BALENA_TOKEN=lib.TOKEN, CRAWL_INTERVAL="5")
        self.wait_log(agent, 'CRAWL_INTERVAL: interval: "5" is not allowed: 10 to 86400 seconds')

    def test_image(self):
        """What it says of itself, and what it adds to its base."""
        image = json.loads(podman("image", "inspect", "localhost/" + self.image))[0]
        config, labels = image["Config"], image["Config"]["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], VERSION)
        self.assertEqual(labels["org.opencontainers.image.licenses"], "MIT")
        self.assertEqual(config["User"], "%d:%d" % (USER, USER))
        self.assertEqual(list(config["ExposedPorts"]), ["8000/tcp"])
        self.assertFalse([line for line in config["Env"] if "BALENA" in line])
        under = json.loads(podman("image", "inspect", labels["org.opencontainers.image.base.name"]))[0]
        added = image["Size"] - under["Size"]
        print("%s adds %.1f MB to its base" % (self.image, added / 1e6))
        self.assertLess(added, self.most_added)


class Collectd(Image, lib.AgentTest):
    image, agent, prefix, account, names = "balenacrawl-collectd", "collectd", "collectd_", "balena", lib.LEAN
    trouble = r"\[error\] balena plugin.*"
    most_added = 25e6

    @staticmethod
    def expected(series):
        # The daemon's name in the image.
        lib.HOSTNAME = "balenacrawl"
        return lib.as_collectd(series)

    def test_same_again(self):
        """The same packages give the same layers; one image for both, as it takes its time."""
        def layers():
            return json.loads(podman("image", "inspect", "localhost/" + self.image))[0]["RootFS"]["Layers"]
        once = layers()
        build(self.agent, "--", "--no-cache", preexec_fn=lambda: lib.call("setns", OUTSIDE, CLONE_NEWNET))
        self.assertEqual(layers(), once)


class Telegraf(Image, lib.AgentTest):
    image, agent, prefix, account, names = "balenacrawl-telegraf", "telegraf", "", "account", None
    trouble = r".* E! .*"
    most_added = 20e6
    expected = staticmethod(lib.as_line_protocol)

    def test_health_is_cheap(self):
        """It reads no device, however many there are."""
        agent = self.run_image(self.api("--quiet"), BALENA_TOKEN=lib.TOKEN)
        lib.wait_for("good health", agent.is_healthy, [agent])
        port = json.loads(podman("image", "inspect", "localhost/" + self.image))[0]["Healthcheck"]["Test"][-1]
        names = {name for name, _ in lib.scrape("http://127.0.0.1:%s/metrics" % port)}
        self.assertIn("balena_crawl_success", names)
        self.assertEqual({name for name in names if not name.startswith("balena_crawl_")}, set())


if __name__ == "__main__":
    if os.getuid() == 0:
        enter_own_processes()
    lib.main()
