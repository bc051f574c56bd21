#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is in packaging/deploy is understood by whom it is for, and agrees with itself and with the program: names,
ports, labels, numbers, options, relabelling. What a tool can check without a server is asked of that tool; the
API's own schema of Kubernetes takes a cluster, so its keys are held against those below."""
import json
import os
import re
import subprocess
import tempfile
import unittest

import e2e_lib as lib

if not lib.missing("yaml"):
    import yaml

DEPLOY = lib.ROOT / "packaging" / "deploy"
MONITORING = lib.ROOT / "packaging" / "monitoring" / "prometheus"
DOC = lib.ROOT / "docs" / "deploy.md"
CONSUL_SD = {"server", "services", "tags", "datacenter", "token", "allow_stale", "refresh_interval", "scheme"}

# ---- the keys of Kubernetes that we use: a name's value says what is below it --------------------

ANY = object()
SELECTOR = {"matchLabels": ANY}
PROBE = {"httpGet": {"path": str, "port": str}, "periodSeconds": int, "timeoutSeconds": int, "failureThreshold": int}
LIMITS = {"cpu": str, "memory": str}
SCALING = {"stabilizationWindowSeconds": int, "policies": [{"type": str, "value": int, "periodSeconds": int}]}
POD = {
    "automountServiceAccountToken": bool, "enableServiceLinks": bool, "terminationGracePeriodSeconds": int,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int,
                        "seccompProfile": {"type": str}},
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": int, "podAffinityTerm": {"topologyKey": str, "labelSelector": SELECTOR}}]}},
    "containers": [{
        "name": str, "image": str, "envFrom": [{"configMapRef": {"name": str}}], "env": [{"name": str, "value": str}],
        "ports": [{"name": str, "containerPort": int}], "startupProbe": PROBE, "livenessProbe": PROBE,
        "readinessProbe": PROBE, "resources": {"requests": LIMITS, "limits": LIMITS},
        "securityContext": {"allowPrivilegeEscalation": bool, "readOnlyRootFilesystem": bool,
                            "capabilities": {"drop": [str]}},
        "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}]}],
    "volumes": [{"name": str, "secret": {"secretName": str, "defaultMode": int},
                 "emptyDir": {"medium": str, "sizeLimit": str}}]}
META = {"name": str, "labels": ANY}
SPECS = {
    "StatefulSet": ("apps/v1", {"spec": {
        "serviceName": str, "replicas": int, "podManagementPolicy": str, "updateStrategy": {"type": str},
        "selector": SELECTOR, "template": {"metadata": {"labels": ANY, "annotations": ANY}, "spec": POD}}}),
    "Service": ("v1", {"spec": {"clusterIP": str, "publishNotReadyAddresses": bool, "selector": ANY,
                                "ports": [{"name": str, "port": int, "targetPort": str}]}}),
    "ConfigMap": ("v1", {"data": ANY}),
    "Secret": ("v1", {"type": str, "stringData": ANY}),
    "PodDisruptionBudget": ("policy/v1", {"spec": {"maxUnavailable": int, "selector": SELECTOR}}),
    "HorizontalPodAutoscaler": ("autoscaling/v2", {"spec": {
        "scaleTargetRef": {"apiVersion": str, "kind": str, "name": str}, "minReplicas": int, "maxReplicas": int,
        "metrics": [{"type": str, "resource": {"name": str, "target": {"type": str, "averageUtilization": int}}}],
        "behavior": {"scaleUp": SCALING, "scaleDown": SCALING}}}),
    "PodMonitor": ("monitoring.coreos.com/v1", {"spec": {"selector": SELECTOR, "podMetricsEndpoints": [{
        "port": str, "path": str, "interval": str, "scrapeTimeout": str, "honorLabels": bool,
        "honorTimestamps": bool, "metricRelabelings": [
            {"sourceLabels": [str], "regex": str, "targetLabel": str, "replacement": str}]}]}}),
}


def misfits(value, shape, where):
    """What is not as the shape has it."""
    if shape is ANY:
        return []
    if isinstance(shape, dict) and isinstance(value, dict):
        return [problem for key, below in value.items() for problem in (
            misfits(below, shape[key], where + "." + key) if key in shape else ["%s: no key %s" % (where, key)])]
    if isinstance(shape, list) and isinstance(value, list):
        return [problem for i, below in enumerate(value)
                for problem in misfits(below, shape[0], "%s[%d]" % (where, i))]
    return [] if isinstance(shape, type) and type(value) is shape else ["%s: is %r" % (where, value)]


# ---- what there is -----------------------------------------------------------------------------

def files():
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.name != "token")


def load(path):
    return yaml.safe_load(path.read_text("utf-8"))


def job(path):
    """The one scrape job of a configuration."""
    found, = load(path)["scrape_configs"]
    return found


class Deploy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        lib.give_directory(cls)

    def ask(self, *command, env=None):
        """What a tool says of it; anything but a good status fails."""
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **(env or {})})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    # ---- all of it

    def test_options(self):
        options = set(re.findall(r"BALENA_[A-Z_]+|CRAWL_INTERVAL", self.ask(lib.execd_path(), "--list-options")))
        used = {name for path in [*files(), DOC]
                for name in re.findall(r"(?<!\w)BALENA_[A-Z_]+|CRAWL_INTERVAL", path.read_text("utf-8"))}
        self.assertTrue(used)
        self.assertLessEqual(used, options)

    def test_documented(self):
        text = DOC.read_text("utf-8")
        for path in files():
            shown = path.relative_to(DEPLOY)
            self.assertTrue(path.name in text or re.search(r"\b%s/?`" % path.parent.name, text), shown)
            if path.suffix != ".json":
                self.assertIn("SPDX-License-Identifier: MIT", path.read_text("utf-8"), shown)

    def test_images(self):
        """Those of this version."""
        version = re.search(r"version: '([^']+)'", (lib.ROOT / "meson.build").read_text())[1]
        images = {image for path in files()
                  for image in re.findall(r"(?:image: |REGISTRY:-\})(balenacrawl-\S+)", path.read_text("utf-8"))}
        images |= set(re.findall(r"balenacrawl-\w+:\d[\w.]*", DOC.read_text("utf-8")))
        self.assertEqual({image.rpartition(":")[2] for image in images}, {version})
        self.assertLessEqual({image.rpartition(":")[0] for image in images},
                             {"balenacrawl-telegraf", "balenacrawl-collectd"})

    def test_shell(self):
        lib.require("shellcheck")
        scripts = [path for path in files() if path.read_bytes().startswith(b"#!/bin/bash")]
        self.ask("shellcheck", *scripts)
        for script in [*scripts, DEPLOY / "balance" / "balena-fresh"]:
            self.assertIn(script.name, self.ask(script, "--help"))

    # ---- Compose and Swarm

    def check_compose(self, path):
        lib.require("docker-compose", "yaml")
        stack = load(path)
        profiles = {name for service in stack["services"].values() for name in service.get("profiles", [])}
        for profile in profiles or {"none"}:
            self.ask("docker-compose", "-f", path, "--profile", profile, "config", "-q")
        sources = [source["file"] for source in stack.get("configs", {}).values()]
        for service in stack["services"].values():
            sources += [mount.split(":")[0] for mount in service.get("volumes", [])
                        if isinstance(mount, str) and mount.startswith(".")]
        for source in sources:
            self.assertTrue((path.parent / source).is_file(), source)
        return stack

    def test_compose(self):
        stack = self.check_compose(DEPLOY / "compose" / "compose.yaml")
        members = stack["services"]["crawler"]["environment"]["BALENA_SHARD_MEMBERS"]
        self.assertEqual(members, "dns:crawler")
        self.assertIn("/compose/token", (lib.ROOT / ".gitignore").read_text())

    def test_swarm(self):
        services = self.check_compose(DEPLOY / "swarm" / "stack.yml")["services"]
        crawler = services["crawler"]
        self.assertEqual(crawler["environment"]["BALENA_SHARD_MEMBERS"], "dns:crawler")
        # Else its name has no address until the first check went well, and it crawls everything.
        self.assertEqual(crawler["healthcheck"], {"disable": True})
        self.assertNotIn("ports", crawler)  # a name of many addresses can publish none
        found = {name for way in job(DEPLOY / "compose" / "prometheus.yml")["dns_sd_configs"] for name in way["names"]}
        for name in found & services.keys():
            self.assertEqual(services[name]["deploy"].get("endpoint_mode"), "dnsrr", name)

    # ---- Kubernetes

    def resources(self, folder):
        """What a kustomization is made of: ours list it, and may say how many of it."""
        listed = load(folder / "kustomization.yaml")
        self.assertEqual((listed.pop("apiVersion"), listed.pop("kind")),
                         ("kustomize.config.k8s.io/v1beta1", "Kustomization"))
        self.assertLessEqual(set(listed), {"resources", "replicas"})
        counts = {entry["name"]: entry["count"] for entry in listed.get("replicas", [])}
        for name in listed["resources"]:
            path = folder / name
            for thing in self.resources(path) if path.is_dir() else [load(path)]:
                if thing["kind"] == "StatefulSet" and thing["metadata"]["name"] in counts:
                    thing["spec"]["replicas"] = counts[thing["metadata"]["name"]]
                yield thing

    def kustomized(self, name):
        lib.require("yaml")
        folder = DEPLOY / "kubernetes" / name
        things = {thing["kind"]: thing for thing in self.resources(folder)}
        self.check_shapes(things.values())
        # Debian 12's is too old to list folders among resources.
        if lib.find("kubectl") and not re.search(r"\bv1\.(1\d|20)\.", self.ask("kubectl", "version", "--client")):
            shown = yaml.safe_load_all(self.ask("kubectl", "kustomize", folder))
            self.assertEqual({thing["kind"]: thing for thing in shown}, things)
        return things

    def check_shapes(self, objects):
        problems = []
        for thing in objects:
            version, shape = SPECS[thing["kind"]]
            self.assertEqual(thing["apiVersion"], version)
            problems += misfits(thing, {"apiVersion": str, "kind": str, "metadata": META, **shape}, thing["kind"])
        self.assertEqual(problems, [])

    def check_crawlers(self, things):
        crawlers = things["StatefulSet"]
        spec, pod = crawlers["spec"], crawlers["spec"]["template"]
        labels = pod["metadata"]["labels"]
        container, = pod["spec"]["containers"]
        for selector in (spec["selector"]["matchLabels"], things["Service"]["spec"]["selector"],
                         things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
                         pod["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][
                             0]["podAffinityTerm"]["labelSelector"]["matchLabels"]):
            self.assertTrue(selector.items() <= labels.items(), selector)
        self.assertEqual(spec["serviceName"], things["Service"]["metadata"]["name"])
        ports = {port["name"] for port in container["ports"]}
        for name in "startupProbe", "livenessProbe", "readinessProbe":
            self.assertIn(container[name]["httpGet"]["port"], ports)
        self.assertIn(things["Service"]["spec"]["ports"][0]["targetPort"], ports)
        # A pod that cannot start must be given no fleets.
        self.assertNotIn("publishNotReadyAddresses", things["Service"]["spec"])
        self.assertEqual(container["envFrom"][0]["configMapRef"]["name"], things["ConfigMap"]["metadata"]["name"])
        self.assertEqual({mount["name"] for mount in container["volumeMounts"]},
                         {volume["name"] for volume in pod["spec"]["volumes"]})
        secret = load(DEPLOY / "kubernetes" / "secret-example.yaml")
        self.check_shapes([secret])
        token = {entry["name"]: entry["value"] for entry in container["env"]}["BALENA_TOKEN_FILE"]
        folder, _, key = token.rpartition("/")
        volume, = [volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        self.assertEqual(volume, secret["metadata"]["name"])
        self.assertIn(key, secret["stringData"])
        self.assertIn(folder, {mount["mountPath"] for mount in container["volumeMounts"]})
        return spec, things["ConfigMap"]["data"]["BALENA_SHARD_MEMBERS"]

    def test_kubernetes(self):
        spec, members = self.check_crawlers(self.kustomized("."))
        self.assertEqual(members, "ordinal:%d" % spec["replicas"])

    def test_kubernetes_autoscale(self):
        things = self.kustomized("autoscale")
        spec, members = self.check_crawlers(things)
        self.assertNotIn("replicas", spec)  # each apply would undo what the autoscaler has done
        self.assertEqual(members, "dns:" + things["Service"]["metadata"]["name"])
        scaled = things["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        self.assertEqual((scaled["apiVersion"], scaled["kind"], scaled["name"]),
                         ("apps/v1", "StatefulSet", things["StatefulSet"]["metadata"]["name"]))

    def test_kubernetes_operator(self):
        monitor = self.kustomized("operator")["PodMonitor"]["spec"]
        pod = self.kustomized("crawler")["StatefulSet"]["spec"]["template"]
        self.assertTrue(monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items())
        endpoint, = monitor["podMetricsEndpoints"]
        self.assertIn(endpoint["port"], {port["name"] for port in pod["spec"]["containers"][0]["ports"]})
        ours = job(MONITORING / "balena-telegraf.yml")
        self.assertEqual((endpoint["interval"], endpoint["scrapeTimeout"], endpoint["honorLabels"],
                          endpoint["honorTimestamps"]),
                         (ours["scrape_interval"], ours["scrape_timeout"], ours["honor_labels"],
                          ours["honor_timestamps"]))
        self.assertEqual([{re.sub("[A-Z]", lambda hit: "_" + hit[0].lower(), key): value for key, value in rule.items()}
                          for rule in endpoint["metricRelabelings"]], ours["metric_relabel_configs"])

    def test_shapes_find_what_is_wrong(self):
        lib.require("yaml")
        good = load(DEPLOY / "kubernetes" / "crawler" / "statefulset.yaml")
        for key, value in (("servicName", "x"), ("serviceName", 3)):
            with self.subTest(key), self.assertRaises(AssertionError):
                self.check_shapes([{**good, "spec": {**good["spec"], key: value}}])

    # ---- Prometheus and Alertmanager

    def check_config(self, config):
        with tempfile.NamedTemporaryFile("w", dir=self.directory, suffix=".yml") as file:
            json.dump(config, file)  # JSON is YAML
            file.flush()
            self.ask("promtool", "check", "config", file.name)

    def test_prometheus(self):
        lib.require("prometheus", "yaml")
        path = DEPLOY / "compose" / "prometheus.yml"
        self.ask("promtool", "check", "config", path)
        mine, theirs = job(path), job(MONITORING / "balena-telegraf.yml")
        for key in "metric_relabel_configs", "honor_labels", "honor_timestamps":
            self.assertEqual(mine[key], theirs[key])

    def test_discovery(self):
        """Each way to find crawlers, in each of the two jobs."""
        lib.require("prometheus", "yaml")
        ways = load(DEPLOY / "prometheus" / "discovery.yml")
        consul, = ways.pop("consul_sd_configs")
        self.assertLessEqual(set(consul), CONSUL_SD)
        self.assertIn(load(DEPLOY / "systemd" / "consul-service.json")["service"]["name"], consul["services"])
        self.assertGreaterEqual(len(ways), 3)
        for agent in "telegraf", "collectd":
            base = job(MONITORING / ("balena-%s.yml" % agent))
            del base["static_configs"]
            for way, value in ways.items():
                with self.subTest(agent=agent, way=way):
                    self.check_config({"scrape_configs": [{**base, way: value}]})

    # ---- balancers and systemd

    def test_haproxy(self):
        lib.require("haproxy")
        path = DEPLOY / "balance" / "haproxy.cfg"
        # By itself, as in a container; and behind a file like Debian's, of which it takes nothing.
        other = self.directory / "haproxy.cfg"
        other.write_text("global\n    log /dev/log local0\ndefaults\n    log global\n    mode tcp\n    option tcplog\n"
                         "    timeout connect 5s\n    timeout client 50s\n    timeout server 50s\n")
        for files_before in [], ["-f", other]:
            said = self.ask(lib.find("haproxy"), "-c", "-V", "-dW", *files_before, "-f", path)
            self.assertIn("Configuration file is valid", said)
        shared = re.search(r"^global\n(.*?)\n\n", path.read_text(), re.M | re.S)[1]
        self.assertEqual([line for line in shared.splitlines() if not re.match(r"    presetenv ", line)], [])

    def test_nginx(self):
        lib.require("nginx")
        conf = self.directory / "nginx.conf"
        conf.write_text("pid %s/pid;\nevents {}\nhttp {\n%sinclude %s;\n}\n" % (self.directory, "".join(
            "%s_temp_path %s/%s;\n" % (kind, self.directory, kind)
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")), DEPLOY / "balance" / "nginx.conf"))
        self.ask(lib.find("nginx"), "-t", "-e", "stderr", "-p", self.directory, "-c", conf)

    def test_twins_have_one_name(self):
        """balena-fresh, HAProxy and NGINX know the crawlers by the same names and addresses."""
        fresh = (DEPLOY / "balance" / "balena-fresh.service").read_text()
        twins = dict(re.findall(r" (\w+)=http://(\S+)/metrics", fresh))
        self.assertEqual(len(twins), 2)
        haproxy, nginx = ((DEPLOY / "balance" / name).read_text() for name in ("haproxy.cfg", "nginx.conf"))
        for name, address in twins.items():
            self.assertIn("presetenv TWIN_%s %s" % (name.upper(), address), haproxy)
            self.assertEqual(haproxy.count('server %s "$TWIN_%s"' % (name, name.upper())), 2)
            self.assertIn("upstream balena_%s { server %s; }" % (name, address), nginx)
            self.assertIn("auth_request /fresh/%s;" % name, nginx)

    def test_systemd(self):
        lib.require("systemd-analyze")
        units = [path for path in files() if path.suffix == ".service"]
        self.assertTrue(units)
        # Where the units say that things are, there is nothing here.
        (self.directory / "telegraf.service").write_text("[Service]\nExecStart=/bin/true\n")
        for unit in units:
            program = unit.parent / unit.stem
            self.assertTrue(os.access(program, os.X_OK), program)
            text, count = re.subn("/usr/local/bin/" + unit.stem, str(program), unit.read_text())
            self.assertGreaterEqual(count, 1, unit.name)
            (self.directory / unit.name).write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", *(self.directory / unit.name for unit in units)],
                              capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "SYSTEMD_UNIT_PATH": "%s:" % self.directory})
        ours = [line for line in done.stderr.splitlines() if any(unit.name in line for unit in units)]
        self.assertEqual(ours, [])


if __name__ == "__main__":
    lib.main()
