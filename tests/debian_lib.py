# SPDX-License-Identifier: MIT
"""What the tests of packages and of container images share: a Debian of the release that this machine has,
a copy of the source tree to build in, and a folder for it all."""
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import e2e_lib as lib

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "balenacrawl"
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
COMMAND_S = 400
RELEASE = re.search(r"^VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(), re.M)[1]
VERSION = re.search(r"^\s*version: '([^']+)'", (lib.ROOT / "meson.build").read_text(), re.M)[1]


def check_call(*command, **options):
    """Its output; what it said is the message if it fails."""
    options = {"timeout": COMMAND_S, "env": CLEAN, **options}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False, **options)
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        raise AssertionError("%s ended with %d:\n%s" % (command[0], done.returncode, said[-4000:]))
    return said


def require(what, *tools):
    """In setUpModule: skips it by name if it can't be done here, or fails it where it must be."""
    missing = [tool for tool in tools if not lib.find(tool)]
    reason = "not installed: " + ", ".join(missing) if missing else "it takes root" if os.getuid() else None
    if reason and what in os.environ.get("BALENACRAWL_MUST", "").split():
        raise AssertionError(reason)
    if reason:
        raise unittest.SkipTest(reason)


@functools.lru_cache(maxsize=None)
def scratch():
    directory = tempfile.TemporaryDirectory(prefix="balenacrawl-debian-")
    unittest.addModuleCleanup(directory.cleanup)
    return pathlib.Path(directory.name)


@functools.lru_cache(maxsize=None)
def source(version=None):
    """A copy of the source tree, of another version if that is said."""
    tree = scratch() / ("tree-" + (version or "now"))
    files = subprocess.run(["git", "-C", lib.ROOT, "ls-files", "-z"], stdout=subprocess.PIPE,
                           check=True).stdout.decode().split("\0")
    for name in filter(None, files):
        (tree / name).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        shutil.copy2(lib.ROOT / name, tree / name)
    if version:
        for name, text in ("meson.build", "version: '%s'"), ("packaging/deb/changelog", "(%s-1)"), (
                "packaging/rpm/balenacrawl.spec", "Version:        %s"):
            path = tree / name
            old = path.read_text()
            assert text % VERSION in old, name
            path.write_text(old.replace(text % VERSION, text % version, 1))
    return tree


@functools.lru_cache(maxsize=None)
def base():
    """A minimal Debian as a tar, of the release that this machine has."""
    path = CACHE / ("debian-%s.tar.gz" % RELEASE)
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_name("%d-%s" % (os.getpid(), path.name))
        check_call("mmdebstrap", "--variant=minbase", RELEASE, part)
        part.rename(path)
    return path
