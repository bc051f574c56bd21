#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/bench/run.sh [--quick] [RESULT.json]: builds a release in build-bench/ and measures it beside
# curl, a bare libcurl program, a bare parser, an old exporter and the agents' own plugins, all against
# recorded answers on the loopback interface. Prints what it measures and a table of ratios, and writes
# both as JSON; default build-bench/bench.json. --quick leaves the two large workloads out and takes a
# minute; all of it takes a quarter of an hour, and some minutes more the first time.
#
# It is no test: the status says whether it could measure, not what.
set -euo pipefail

quick=()
result=""
for argument in "$@"; do
	case "$argument" in
	--quick) quick=(--quick) ;;
	-*)
		sed -n '4,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
		exit 2
		;;
	*) result=$argument ;;
	esac
done

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-telegraf.sh"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
build=$root/build-bench
open_work

ensure_packages gcc libc6-dev meson ninja-build pkgconf python3 python3-requests curl nginx-light openssl \
	'libcurl4-openssl-dev|libcurl4-gnutls-dev' libjson-c-dev zlib1g-dev libcmocka-dev collectd-core collectd-dev libyajl2 valgrind \
	'libcurl3-gnutls|libcurl3t64-gnutls'
pick_python

say "building a release (build-bench/)"
# Of the tree only this, without the tests: a minute less.
make_build() {
	[ -e "$build/build.ninja" ] || stage "$work/build.log" meson setup "$build" "$root" \
		-Dbuildtype=release -Dtests=enabled -Dexecd=enabled -Dcollectd=enabled || return
	stage "$work/build.log" ninja -C "$build" telegraf_execd/telegraf-balena plugin_collectd/balena.so \
		tests/bench/bare_multi tests/bench/bare_parse tests/bench/measure
}
if ! make_build; then
	show_log "$work/build.log"
	exit 1
fi
if ! pinned_telegraf http "custom,inputs.http,outputs.file,parsers.xpath,serializers.influx"; then
	say "$telegraf_reason"
fi
"$python" "$root/tests/bench/bench.py" --build "$build" --json "${result:-$build/bench.json}" \
	--telegraf "$telegraf" "${quick[@]}" &
stage_pid=$! # so that Ctrl-C ends it, and it what it started
wait "$stage_pid"
stage_pid=""
say "written to ${result:-$build/bench.json}"
