#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real etcd, and the two scripts that make a list of shards of it: members come, go and die, etcd goes
away and comes back, and the file follows."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile

import e2e_lib as lib
import e2e_shard as shard

SYSTEMD = lib.ROOT / "packaging" / "deploy" / "systemd"
PREFIX = "/balenacrawl/members"
LONG_S = 10 * lib.DEADLINE_S


class Etcd(lib.Process):
    def __init__(self, certificate=None, key=None):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="balenacrawl-e2e-"))
        peers = "http://127.0.0.1:%d" % lib.free_port()
        self.url = "%s://127.0.0.1:%d" % ("https" if certificate else "http", lib.free_port())
        super().__init__("etcd", [
            lib.find("etcd"), "--data-dir", directory / "data", "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", "default=" + peers,
            *(["--cert-file", certificate, "--key-file", key] if certificate else [])], directory)
        self.etcdctl = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url,
                        **({"ETCDCTL_CACERT": str(certificate)} if certificate else {})}

    def run(self, *words):
        """What etcdctl says; "" if it fails."""
        done = subprocess.run(["etcdctl", *words], env=os.environ | self.etcdctl, capture_output=True, text=True,
                              timeout=20, check=False)
        return "" if done.returncode else done.stdout + done.stderr

    def wait(self):
        lib.wait_for("etcd", lambda: self.run("endpoint", "health"), [self])


class EtcdTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("etcd")

    def setUp(self):
        lib.give_directory(type(self))
        self.file = self.directory / "members.json"
        self.etcd = self.closed(Etcd())
        self.etcd.wait()

    def script(self, name, *words, env=None):
        return self.closed(lib.Process(name, [SYSTEMD / name, PREFIX, *words], env=self.etcd.etcdctl | (env or {})))

    def member(self, address, lease=2):
        return self.script("balena-member-etcd", address, env={"LEASE_SECONDS": str(lease)})

    def targets(self):
        """None if there is no file. It is whole at any time."""
        if not self.file.exists():
            return None
        groups = json.loads(self.file.read_text())
        return [target for group in groups for target in group["targets"]]

    def wait(self, *targets):
        lib.wait_for("members %s, not %s" % (targets, self.targets()), lambda: self.targets() == list(targets),
                     [self.watcher, self.etcd])

    def watch(self):
        self.watcher = self.script("balena-members-etcd", self.file)

    def test_members(self):
        self.watch()
        self.wait()
        first = self.member("10.0.0.11:9273", LONG_S)
        self.wait("10.0.0.11:9273")
        second = self.member("[2001:db8::2]:9273")
        self.wait("10.0.0.11:9273", "[2001:db8::2]:9273")
        # Told to end: withdrawn, not left to its lease.
        first.stop()
        self.assertNotIn("10.0.0.11", self.etcd.run("get", "--prefix", PREFIX))
        self.wait("[2001:db8::2]:9273")
        # Killed: its lease runs out.
        second.kill()
        self.wait()

    def test_shards_read_it(self):
        """Each member crawls its part, and the one that is left crawls all."""
        fake = self.api("--quiet", fleets=20, devices=40)
        (fake.directory / "token").write_text(lib.TOKEN)
        everything = lib.of_the_world(shard.once(fake)[0])
        self.watch()
        addresses = ["10.0.0.11:9273", "10.0.0.12:9273"]
        members = [self.member(address) for address in addresses]
        self.wait(*addresses)

        def crawled(address):
            series, said = shard.once(fake, "--shard-members", "file:%s" % self.file, "--shard-self", address)
            return shard.shard_of(series), lib.of_the_world(series), said
        parts = [crawled(address) for address in addresses]
        self.assertEqual([part[0] for part in parts], [(0, 2), (1, 2)])
        self.assertEqual(parts[0][1].keys() & parts[1][1].keys(), set())
        self.assertEqual(parts[0][1] | parts[1][1], everything)
        members[0].stop()
        self.wait(addresses[1])
        self.assertEqual(crawled(addresses[1])[:2], ((0, 1), everything))

    def test_prometheus_reads_it(self):
        """The very file, as packaging/deploy/prometheus/discovery.yml has it."""
        lib.require("prometheus")
        self.watch()
        # Scraped or not: whom Prometheus looks for is what counts.
        addresses = sorted("127.0.0.1:%d" % lib.free_port() for _ in range(2))
        members = [self.member(address) for address in addresses]
        self.wait(*addresses)
        prometheus = self.closed(lib.Prometheus({}, others=[
            {"job_name": "found", "file_sd_configs": [{"files": [str(self.file)]}]}]))

        def instances():
            return {dict(labels)["instance"] for labels in prometheus.query('up{job="found"}')}
        lib.wait_for("two targets", lambda: instances() == set(addresses), [prometheus, self.watcher])
        members[0].stop()
        lib.wait_for("one target", lambda: instances() == {addresses[1]}, [prometheus, self.watcher])

    def test_what_is_no_member(self):
        self.etcd.run("put", PREFIX + "/bad", 'a"b, c\nd')
        self.etcd.run("put", PREFIX + "/good", "b.example:9273")
        self.etcd.run("put", PREFIX + "/twice", "b.example:9273")
        self.watch()
        self.wait("b.example:9273")
        self.assertIn("left out", self.watcher.log())
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o644)

    def test_etcd_restarts(self):
        self.watch()
        member = self.member("10.0.0.11:9273")
        self.wait("10.0.0.11:9273")
        before = self.file.stat()
        self.etcd.kill()
        # Who begins without it waits too, and takes the list of before for a good one.
        other = self.directory / "other.json"
        other.write_text('[{"targets": ["10.0.0.9:9273"]}]\n')
        late = [self.script("balena-members-etcd", other), self.member("10.0.0.12:9273")]
        for script, word in (member, "not registered"), (late[0], "etcd is away"), (late[1], "not registered"):
            lib.wait_for(word, lambda log=script.log, word=word: word in log(), [script, self.watcher])
        self.assertEqual(self.targets(), ["10.0.0.11:9273"])
        self.assertEqual(self.file.stat().st_mtime_ns, before.st_mtime_ns)
        self.assertIn("10.0.0.9:9273", other.read_text())
        self.etcd.start()
        self.wait("10.0.0.11:9273", "10.0.0.12:9273")
        lib.wait_for("the same list", lambda: other.read_text() == self.file.read_text(), late)

    def test_as_installed(self):
        """By the words of the documentation, with TLS, and as a user of its own."""
        lib.require("openssl")
        certificate, key = lib.make_certificate(self.directory, "etcd-ca")
        etcd = self.closed(Etcd(certificate, key))
        etcd.wait()
        root = self.directory / "root"
        self.directory.chmod(0o755)
        _, words = (lib.ROOT / "docs" / "deploy.md").read_text("utf-8").split("cd packaging/deploy/systemd\n")
        words = "\n".join(line for line in words.partition("\n\n")[0].splitlines() if line.startswith("    install "))
        subprocess.run(["bash", "-euc", 'umask 022; mkdir -p "$ROOT/usr/local/bin"\n'
                        'editor() { sed -i "s|^ETCDCTL_ENDPOINTS=.*|ETCDCTL_ENDPOINTS=$ETCD|" "$1"; }\n'
                        + re.sub(r"(?<= )/(?=etc/|usr/)", '"$ROOT"/', words.replace("WHEREVER", str(self.directory)))],
                       cwd=SYSTEMD, env=os.environ | {"ETCD": etcd.url, "ROOT": str(root)}, check=True, timeout=20)
        unit = dict(re.findall(r"^(\w+)=(.*)$", (SYSTEMD / "balena-member-etcd.service").read_text(), re.M))
        settings = dict(re.findall(r"^(\w+)=(.*)$", (root / unit["EnvironmentFile"][1:]).read_text(), re.M))
        settings["ETCDCTL_CACERT"] = str(root) + settings["ETCDCTL_CACERT"]
        program, *arguments = re.sub(r"\$\{(\w+)\}", lambda name: settings[name[1]], unit["ExecStart"]).split()

        def become_nobody():
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            lib.die_with_parent()  # which ends with a user
        member = self.closed(lib.Process("balena-member-etcd", [str(root) + program, *arguments], env=settings,
                                         enter=become_nobody if os.getuid() == 0 else None))
        lib.wait_for("a member", lambda: settings["MEMBER"] in etcd.run("get", "--prefix", settings["MEMBERS_PREFIX"]),
                     [member, etcd])

    def test_nobody_is_left_behind(self):
        """Killed, a script takes its etcdctl along; else a dead host's lease would live."""
        self.watch()
        member = self.member("10.0.0.11:9273")
        self.wait("10.0.0.11:9273")
        for process in self.watcher, member:
            child, = lib.wait_for("etcdctl", lambda pid=process.popen.pid: [
                child for child in lib.children(pid) if name_of(child) == "etcdctl"], [process])
            process.popen.send_signal(signal.SIGKILL)
            lib.wait_for("its end", lambda pid=child: lib.has_ended(pid))


def name_of(pid):
    try:
        return pathlib.Path("/proc/%d/comm" % pid).read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    lib.main("etcd")
