#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The packages as users get them: built by packaging/build-deb.sh and build-rpm.sh, put into clean
Debian systems of their own by the README's commands, word for word, run there with the real agents,
updated to a next version, and removed. Needs root, mmdebstrap, autopkgtest and piuparts; minutes."""
import functools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import e2e_lib as lib
from debian_lib import CLEAN, RELEASE, VERSION, base, check_call, require, scratch, source

NEXT = "0.2.0"
BUILD_S = 300


def setUpModule():
    require("packages", "mmdebstrap", "autopkgtest", "piuparts", "dpkg-buildpackage", "rpmbuild")
    # What is mounted for the systems below is gone with us.
    lib.unshare()


# ---- what is built ---------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def built(what, version=None):
    """The packages of a build, {name: path}, in a folder of their own; of this version, checked."""
    tree = source(version)
    check_call(tree / "packaging" / ("build-%s.sh" % what), *([] if version else ["--check"]), timeout=BUILD_S)
    kept = scratch() / ("%s-%s" % (what, version or "now"))
    shutil.copytree(tree / "dist", kept)
    shutil.rmtree(tree / "dist")
    return {re.match(r"(.*?)[-_]\d.*?(\.src\.rpm|$)", path.name).expand(r"\1\2"): path for path in sorted(kept.iterdir())}


# ---- a system of its own ---------------------------------------------------------------------

class Root:
    """A Debian in a folder. Its network is ours: the loopback interface, and apt's archive."""

    def __init__(self, test):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-root-"))
        test.addCleanup(shutil.rmtree, self.dir)
        self.dir.chmod(0o755)
        check_call("tar", "-C", self.dir, "-xf", base())
        for what in "proc", "dev":
            check_call("mount", "--bind", "/" + what, self.dir / what)
            test.addCleanup(subprocess.run, ["umount", self.dir / what], check=True)
        shutil.copy("/etc/resolv.conf", self.dir / "etc/resolv.conf")
        # collectd does not start on a machine that does not know its own name.
        self.write("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 %s.test %s\n" % (socket.gethostname(), socket.gethostname()))
        self.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        self.write("etc/apt/apt.conf.d/90test", 'APT::Get::Assume-Yes "true";\n')
        # There is no init in there: the test is what starts and restarts the agents.
        self.write("usr/bin/systemctl", '#!/bin/sh\necho "$*" >>/run/systemctl\n', 0o755)
        self.run("apt-get -q update")

    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name):
        return (self.dir / name).read_text()

    def replace(self, name, old, new):
        text = self.read(name)
        assert old in text, (name, old)
        self.write(name, text.replace(old, new))

    def put(self, packages):
        """As dist/ in the folder where commands are run."""
        shutil.rmtree(self.dir / "root/dist", ignore_errors=True)
        shutil.copytree(packages["libbalenacrawl0" if "libbalenacrawl0" in packages else "balenacrawl-libs"].parent,
                        self.dir / "root/dist")

    def run(self, script, said=b""):
        return check_call("chroot", self.dir, "bash", "-euo", "pipefail", "-c", "umask 022; cd /root; " + script, input=said)

    def asked_of_systemctl(self):
        path = self.dir / "run/systemctl"
        return path.read_text().splitlines() if path.exists() else []

    def traces(self):
        """What is there that a package of ours may have left."""
        return self.run(r"find / -xdev \( -path /root -o -path /var/log -o -path /var/cache -o -path /var/lib/collectd \) "
                        "-prune -o -ipath '*balena*' -print | sort").splitlines()


def readme_commands(package):
    """The three commands that the README has for a package, as they are written there."""
    lines = (lib.ROOT / "README.md").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("    apt install") and package in line)
    return [line.strip() for line in lines[first:first + 3]]


class PackageTest(lib.AgentTest):
    def start(self, root, name, *command):
        return self.closed(lib.Process(name, ["chroot", root.dir, *command], env=CLEAN))

    def wait_version(self, agent, url, metric, version):
        """Until it shows a whole crawl of all devices by that version."""
        def there():
            try:
                series = lib.scrape(url)
            except OSError:
                return False
            prefix = metric[:-len("balena_crawl_info")]
            version_of = "type" if prefix else "version"
            return {dict(labels).get(version_of) for labels in lib.values_of(series, metric)} == {version} and len(
                lib.values_of(series, prefix + "balena_device_status_code")) == 61
        lib.wait_for("a crawl by " + version, there, [agent], seconds=150)


    def check_same_bytes(self, what):
        once = {path.name: path.read_bytes() for path in built(what).values()}
        check_call(source() / "packaging" / ("build-%s.sh" % what), timeout=BUILD_S)
        again = {path.name: path.read_bytes() for path in (source() / "dist").iterdir()}
        shutil.rmtree(source() / "dist")
        self.assertEqual(once, again)


class Deb(PackageTest):
    def test_same_bytes(self):
        self.check_same_bytes("deb")

    @staticmethod
    def set_up(root, package, example, *edits):
        """By the README's commands; `edits` are what the example needs in a test. Returns the first one."""
        root.put(built("deb"))
        install, token, activate = readme_commands(package)
        root.run(install)
        for old, new in edits:
            root.replace("usr/share/doc/%s/examples/%s" % (package, example), old, new)
        root.run(token, lib.TOKEN.encode() + b"\n")
        root.run(activate)
        return install

    def test_collectd(self):
        """Installed, updated and removed under a collectd as Debian configures it."""
        root, api, port = Root(self), self.api("--quiet"), lib.free_port()
        install = self.set_up(root, "collectd-balena", "balena.conf", ('/token"\n', '/token"\n    APIURL "%s"\n' % api.url),
                              ('"9103"', '"%d"' % port))
        self.assertEqual(root.asked_of_systemctl()[-1], "restart collectd")
        path, url = root.dir / "etc/balenacrawl/token", "http://127.0.0.1:%d/metrics" % port
        self.assertEqual(path.stat().st_mode & 0o7777, 0o640)
        self.assertEqual(path.parent.stat().st_mode & 0o7777, 0o2750)
        agent = self.start(root, "collectd", "/usr/sbin/collectd", "-f")
        self.wait_version(agent, url, "collectd_balena_crawl_info", VERSION)
        before = root.read("etc/collectd/collectd.conf.d/balena.conf"), path.read_text()

        # Where systemd runs, the package asks it to restart the daemon, for it has the plugin.
        (root.dir / "run/systemd/system").mkdir(parents=True)
        root.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
        root.put(built("deb", NEXT))
        root.run(install)
        self.assertTrue(any("try-restart collectd.service" in line for line in root.asked_of_systemctl()))
        self.assertEqual((root.read("etc/collectd/collectd.conf.d/balena.conf"), path.read_text()), before)
        self.assertIsNone(agent.popen.poll())
        agent.stop()
        agent = self.start(root, "collectd", "/usr/sbin/collectd", "-f")
        self.wait_version(agent, url, "collectd_balena_crawl_info", NEXT)
        agent.stop()

        said = root.run("apt-get -q remove collectd-balena")
        self.assertRegex(said, r"/etc/collectd/collectd\.conf\.d/balena\.conf still loads the plugin: collectd will not "
                         "start")
        (root.dir / "etc/collectd/collectd.conf.d/balena.conf").unlink()
        root.run("apt-get -q purge collectd-balena libbalenacrawl0")
        # What the user put there stays.
        self.assertEqual(root.traces(), ["/etc/balenacrawl", "/etc/balenacrawl/token"])

    def test_telegraf(self):
        """Under a Telegraf with the user and the folders of its own package; an update touches nothing that runs."""
        lib.require("telegraf")
        root, api, port = Root(self), self.api("--quiet"), lib.free_port()
        root.run("useradd --system --user-group telegraf")
        shutil.copy(lib.telegraf_path(), root.dir / "usr/bin/telegraf")
        (root.dir / "usr/bin/telegraf").chmod(0o755)
        root.write("etc/telegraf/telegraf.conf", '[agent]\n  interval = "10s"\n  flush_interval = "1s"\n')
        (root.dir / "etc/telegraf/telegraf.d").mkdir(mode=0o755)
        (root.dir / "etc/telegraf").chmod(0o755)
        (root.dir / "etc/telegraf/telegraf.d").chmod(0o755)
        install = self.set_up(root, "telegraf-balena", "telegraf-balena.conf", (
            'token"]', 'token", "--api-url", "%s"]' % api.url), (":9273", ":%d" % port))
        self.assertEqual(root.asked_of_systemctl()[-1], "restart telegraf")
        self.assertEqual(root.run("stat -c %a:%U:%G /etc/balenacrawl/token").strip(), "640:root:telegraf")
        url = "http://127.0.0.1:%d/metrics" % port
        command = ("setpriv", "--reuid=telegraf", "--regid=telegraf", "--init-groups", "telegraf", "--config",
                   "/etc/telegraf/telegraf.conf", "--config-directory", "/etc/telegraf/telegraf.d")
        agent = self.start(root, "telegraf", *command)
        self.wait_version(agent, url, "balena_crawl_info", VERSION)
        self.assertIn("\nprocess_resident_memory_bytes ", lib.http_get(url).decode())
        child = lib.children(agent.popen.pid)

        root.put(built("deb", NEXT))
        root.run(install)
        self.assertEqual(lib.children(agent.popen.pid), child)
        self.assertIn("(deleted)", os.readlink("/proc/%d/exe" % child[0]))
        self.wait_version(agent, url, "balena_crawl_info", VERSION)
        agent.stop()
        agent = self.start(root, "telegraf", *command)
        self.wait_version(agent, url, "balena_crawl_info", NEXT)
        agent.stop()
        said = root.run("apt-get -q purge telegraf-balena libbalenacrawl0")
        self.assertIn("/etc/telegraf/telegraf.d/telegraf-balena.conf still runs the program: Telegraf will not start", said)
        self.assertEqual(root.traces(), ["/etc/balenacrawl", "/etc/balenacrawl/token",
                                         "/etc/telegraf/telegraf.d/telegraf-balena.conf"])

    def test_autopkgtest(self):
        root, tree = Root(self), scratch() / "autopkgtest"
        shutil.copytree(source(), tree)
        shutil.copytree(tree / "packaging/deb", tree / "debian")
        packages = [path for name, path in built("deb").items() if not name.endswith("dbgsym")]
        check_call("autopkgtest", "-q", "--setup-commands", "apt-get update", *packages, tree, "--", "chroot", root.dir)

    def test_piuparts(self):
        packages = [path for name, path in built("deb").items() if not name.endswith("dbgsym")]
        check_call("piuparts", "-d", RELEASE, "--basetgz", base(), "--skip-logrotatefiles-test", "--warn-on-leftovers-after-purge",
                   *packages)


class Rpm(PackageTest):
    def test_same_bytes(self):
        self.check_same_bytes("rpm")

    @staticmethod
    def stub(packages):
        """A package that provides all that ours need and do not have: what is wrong between ours shows."""
        query = ["rpm", "-qp", "--dbpath", scratch() / "nodb"]
        needs, have = (set(check_call(*query, what, *packages).splitlines()) for what in ("--requires", "--provides"))
        names = {line.split()[0] for line in have}
        wanted = sorted({line.replace("<", "=").replace("= 6", "= 5.99") if " < " in line else line.replace(">=", "=")
                         for line in needs if line.split()[0] not in names and not line.startswith("rpmlib(")})
        top = scratch() / "stub"
        top.mkdir()
        (top / "stub.spec").write_text(
            "Name: stub\nVersion: 1\nRelease: 1\nSummary: What a Fedora has\nLicense: MIT\nBuildArch: noarch\n" +
            "".join("Provides: %s\n" % line for line in wanted) + "%description\n-\n%files\n")
        check_call("rpmbuild", "-bb", "--define", "_topdir %s" % top, "--define", "_dbpath %s/db" % top,
                   top / "stub.spec")
        return next(top.glob("RPMS/noarch/*.rpm"))

    def test_install_update_remove(self):
        root, api = Root(self), self.api("--quiet")
        root.run("apt-get -q install --no-install-recommends libcurl4 libjson-c5 collectd-core libmicrohttpd12 "
                 "libprotobuf-c1 libyajl2 ca-certificates")
        root.run("useradd --system --user-group telegraf")
        root.write("etc/ld.so.conf.d/lib64.conf", "/usr/lib64\n")
        root.write("etc/collectd.d/balena.conf", "LoadPlugin balena\n")
        packages = {name: path for name, path in built("rpm").items() if not name.endswith(".src.rpm")}
        self.assertEqual(set(packages), {"balenacrawl-libs", "balenacrawl-devel", "collectd-balena", "telegraf-balena"})

        def rpm(*words):
            return check_call("rpm", "--root", root.dir, *words)
        rpm("--initdb")
        rpm("-ivh", self.stub(packages.values()))
        # One without the library that it needs is refused.
        with self.assertRaisesRegex(AssertionError, "balenacrawl-libs"):
            rpm("-ivh", packages["telegraf-balena"])
        rpm("-ivh", packages["balenacrawl-libs"], packages["telegraf-balena"])
        # What comes later must not take the folder from Telegraf.
        rpm("-ivh", packages["balenacrawl-devel"], packages["collectd-balena"])

        def folder():
            return root.run("stat -c %a:%U:%G /etc/balenacrawl").strip()
        self.assertEqual(folder(), "2750:root:telegraf")
        self.assertEqual(rpm("-V", *packages), "")
        root.run("ldconfig")
        root.run("install -m 640 /dev/stdin /etc/balenacrawl/token", lib.TOKEN.encode() + b"\n")

        def version():
            lines = root.run("telegraf-balena --token-file /etc/balenacrawl/token --api-url %s --once" % api.url)
            self.assertEqual(len(re.findall("^balena_device,.*info=1i", lines, re.M)), 61)
            return re.search(r"^balena_crawl,.*version=([^, ]+) info=1i", lines, re.M)[1]
        self.assertEqual(version(), VERSION)
        # The plugin too, in the daemon that is at hand.
        port = lib.free_port()
        root.run("cp /usr/lib64/collectd/balena.so /usr/lib/collectd/")
        root.write("etc/test.conf", 'Hostname "test"\nInterval 1\n%s' % root.read(
            "usr/share/doc/collectd-balena-%s/balena.conf" % VERSION).replace(
                '/token"', '/token"\n    APIURL "%s"' % api.url).replace("9103", str(port)))
        agent = self.start(root, "collectd", "/usr/sbin/collectd", "-f", "-C", "/etc/test.conf")
        self.wait_version(agent, "http://127.0.0.1:%d/metrics" % port, "collectd_balena_crawl_info", VERSION)
        agent.stop()

        later = {name: path for name, path in built("rpm", NEXT).items() if not name.endswith(".src.rpm")}
        rpm("-Uvh", *later.values())
        self.assertEqual(version(), NEXT)
        self.assertEqual(folder(), "2750:root:telegraf")
        self.assertIn("/etc/collectd.d/balena.conf still loads the plugin", rpm("-e", "collectd-balena"))
        rpm("-e", *(set(packages) - {"collectd-balena"}))
        self.assertEqual(root.traces(), ["/etc/balenacrawl", "/etc/balenacrawl/token", "/etc/collectd.d/balena.conf",
                                         "/usr/lib/collectd/balena.so"])


if __name__ == "__main__":
    lib.main()
