#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/soak.sh [CRAWLS] [SEED]: so many crawls (2000) of one telegraf-balena against a fake API whose
# faults and changes follow from SEED (1). Every value that comes out must have been true at some
# moment of its crawl; memory, descriptors and threads must not grow; no crawl may run beyond its
# deadline. The last line is "N passed, N failed", a crawl or a resource being one.
#
# MESON_BUILD_ROOT: the build to test; default build-test/, built if there is none.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export MESON_BUILD_ROOT=${MESON_BUILD_ROOT:-$root/build-test}
case "${1:-2000}:${2:-1}:$#" in
*[!0-9:]* | *:3)
	sed -n '4,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
	;;
esac
if [ ! -x "$MESON_BUILD_ROOT/telegraf_execd/telegraf-balena" ]; then
	[ -e "$MESON_BUILD_ROOT/build.ninja" ] || meson setup "$MESON_BUILD_ROOT" "$root"
	ninja -C "$MESON_BUILD_ROOT" telegraf_execd/telegraf-balena
fi
python=/usr/bin/python3
[ -x "$python" ] || python=python3
exec "$python" "$root/tests/soak.py" "${1:-2000}" "${2:-1}"
