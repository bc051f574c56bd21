#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/run.sh [--full]: installs what is missing, builds with warnings as errors and runs every
# test there is. The last line is "N passed, N failed, N skipped"; the status is 0 only if none
# failed. --full adds the long stages: the unit tests under valgrind, a release build, ThreadSanitizer,
# fuzzing, coverage, a soak of 2,000 crawls instead of 100, and packages, container images and quickstart,
# built and used.
#
# With CI=true nothing that can be had may be skipped: a missing Go or Telegraf is a failure.
set -euo pipefail

case "$#:${1:-}" in
0:) full=0 ;;
1:--full) full=1 ;;
1:--help | 1:-h)
	sed -n '4,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 0
	;;
*)
	echo "usage: tests/run.sh [--full]" >&2
	exit 2
	;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-telegraf.sh"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's own tools before a developer's
build=$root/build-test
build_asan=$root/build-asan
open_work
passed=0 failed=0 skipped=0
finished=0
beside_pid=""

# The closing line comes whatever happens: an end before its time is a failure too.
cleanup() {
	end_process "$beside_pid"
	close_work
	if [ "$finished" -eq 0 ]; then
		failed=$((failed + 1))
		say "FAIL: ended before all tests were run"
		finish
	fi
}
trap cleanup EXIT

finish() {
	finished=1
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" -eq 0 ] || exit 1
	exit 0
}

install_packages() {
	ensure_packages gcc g++ libc6-dev binutils meson ninja-build pkgconf python3 ca-certificates \
		'libcurl4-openssl-dev|libcurl4-gnutls-dev' libjson-c-dev libcmocka-dev \
		collectd-core collectd-dev 'libmicrohttpd12|libmicrohttpd12t64' libprotobuf-c1 \
		valgrind pmccabe openssl man-db iproute2 strace python3-h2 python3-yaml \
		'libcurl3-gnutls|libcurl3t64-gnutls' libyajl2 libjansson4 `# what other plugins of collectd load` \
		etcd-client dnsmasq-base tzdata docker-compose shellcheck \
		liblua5.3-0 libopentracing-c-wrapper0 libpcre2-8-0 libsystemd0 # what haproxy and nginx load
	if [ "$full" -eq 1 ]; then
		ensure_packages clang libclang-rt-dev gcovr build-essential debhelper lintian autopkgtest piuparts mmdebstrap \
			rpm rpmlint git chromium podman runc
	fi
}

# run_meson NAME LOG DIR ARGUMENT...: runs a part of the tests and counts from meson's own JSON,
# DIR/meson-logs/LOG.json. Failures are shown with their output, skips by name.
run_meson() {
	local name=$1 logbase=$2 dir=$3 json p f s status=0
	shift 3
	json=$dir/meson-logs/$logbase.json
	say "$name"
	rm -f "$json"
	: >"$work/meson.log"
	stage "$work/meson.log" meson test -C "$dir" --no-rebuild --logbase "${logbase%%-*}" "$@" || status=$?
	if ! "$python" "$root/tests/count_results.py" "$json" "$work/counts"; then
		show_log "$work/meson.log"
		printf '0 1 0\n' >"$work/counts"
	fi
	read -r p f s <"$work/counts"
	# Meson does not record a test that it gave up itself.
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		say "FAIL: meson test ended with $status, though no test it recorded failed"
		show_log "$work/meson.log"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	say "$name: $p passed, $f failed, $s skipped"
}

# begin_beside LOG DIR ARGUMENT...: a part of the tests that mostly waits, while others work; end_beside
# NAME waits for it, says how it went and counts it.
begin_beside() {
	mkdir "$work/beside"
	(
		trap 'end_process "$stage_pid"; exit 143' TERM
		work=$work/beside passed=0 failed=0 skipped=0
		run_meson "beside" "$@" >"$work/said" 2>&1
		printf '%d %d %d\n' "$passed" "$failed" "$skipped" >"$work/sum"
	) &
	beside_pid=$!
}

end_beside() {
	local p=0 f=1 s=0
	say "$1"
	stage "$work/beside/wait.log" tail --pid="$beside_pid" -f /dev/null
	wait "$beside_pid" || true
	beside_pid=""
	sed '1d;$d;/still at it/d' "$work/beside/said"
	if [ -s "$work/beside/sum" ]; then read -r p f s <"$work/beside/sum"; fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	say "$1: $p passed, $f failed, $s skipped"
}

# Each change of the rules in turn would take a processor for four minutes.
begin_waiting() { BALENACRAWL_STRIDE=7 begin_beside beside "$build" --suite beside --num-processes 4; }

# has_suite SUITE DIR: whether this build has tests of that suite.
has_suite() { meson test -C "$2" --no-rebuild --list --suite "$1" 2>/dev/null | grep ' / ' >/dev/null; }

# run_script NAME COMMAND...: a part that is a program of its own. It counts by its last line, "N
# passed, N failed[, N skipped]"; without one it is one test, passed or failed by its status.
run_script() {
	local name=$1 log=$work/script.log status=0 p=0 f=0 s=0 last
	shift
	say "$name"
	: >"$log"
	stage "$log" "$@" || status=$?
	last=$(tail -n 1 "$log")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]} s=${BASH_REMATCH[4]:-0}
		if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
	elif [ "$status" -eq 0 ]; then
		p=1
	else
		f=1
	fi
	if [ "$f" -gt 0 ]; then
		say "FAIL: $name"
		show_log "$log" 60
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	say "$name: $p passed, $f failed, $s skipped"
}

# build NAME DIR OPTION...: a build that fails is one failed test.
build() {
	local name=$1 dir=$2
	shift 2
	say "$name"
	build_tree "$dir" "$work/build.log" -Dtests=enabled -Dexecd=enabled -Dcollectd=enabled "$@" && return 0
	say "FAIL: $name"
	grep -aE -A 12 'error:|ERROR:|FAILED:' "$work/build.log" | head -n 60 | sed 's/^/    /' || true
	failed=$((failed + 1))
	return 1
}

say "tests/run.sh"
install_packages
pick_python
unpack prometheus prometheus promtool
unpack prometheus-alertmanager prometheus-alertmanager amtool
unpack etcd-server etcd
unpack haproxy haproxy
unpack nginx nginx
# What an end-to-end test must find; without it the test is skipped by name.
export BALENACRAWL_MUST="alertmanager collectd containers dnsmasq docker-compose etcd h2 haproxy nginx packages prometheus shellcheck strace yaml"
if [ "$full" -eq 1 ]; then
	BALENACRAWL_MUST+=" chromium"
	export BALENACRAWL_STRIDE=1 # every call fails in turn, not every so many-th
fi
if pinned_telegraf || telegraf=$(command -v telegraf); then
	export BALENACRAWL_TELEGRAF=$telegraf
	BALENACRAWL_MUST+=" telegraf"
else
	say "$telegraf_reason"
	if [ -s "$work/telegraf.log" ]; then show_log "$work/telegraf.log" 10; fi
	export BALENACRAWL_TELEGRAF_MISSING=$telegraf_reason
	if [ "${CI:-}" = true ]; then BALENACRAWL_MUST+=" telegraf"; fi
fi

# All that the agents say is kept, for the search for tokens.
export BALENACRAWL_KEEP=$work/kept
mkdir "$BALENACRAWL_KEEP"

if build "building with warnings as errors (build-test/)" "$build" -Dwerror=true; then
	# A full run has the time to leave the first stage alone, which measures how soon a program ends.
	if [ "$full" -eq 0 ]; then begin_waiting; fi
	run_meson "unit and agent tests, fake API" unit "$build" --no-suite lint --no-suite e2e --no-suite beside \
		--no-suite fuzz-replay --no-suite long
	if has_suite fuzz-replay "$build"; then run_meson "corpora of the fuzzers" fuzz "$build" --suite fuzz-replay; fi
	run_meson "lints" lint "$build" --suite lint
	if [ "$full" -eq 1 ]; then begin_waiting; fi
fi
if build "building with AddressSanitizer and UndefinedBehaviorSanitizer (build-asan/)" "$build_asan" \
	-Db_sanitize=address,undefined -Db_lundef=false; then
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		run_meson "unit tests under the sanitizers" sanitizers "$build_asan" --suite unit \
		--suite fuzz-replay --timeout-multiplier 5
fi
if [ -n "$beside_pid" ]; then
	end_beside "end to end, beside those"
	# These measure how soon an agent ends: nothing runs beside them.
	run_meson "end to end" e2e "$build" --suite e2e
	if [ "$full" -eq 1 ]; then soak=2000; else soak=100; fi
	MESON_BUILD_ROOT=$build run_script "soak of $soak crawls" bash "$root/tests/soak.sh" "$soak"
	run_script "no token in what all of them said" "$python" "$root/tests/lint_secrets.py" \
		"$BALENACRAWL_KEEP" "$build/meson-logs"
	# They take minutes, and the sanitizers see nearly as much in any case.
	if [ "$full" -eq 1 ]; then
		run_meson "packages, container images, quickstart" long "$build" --suite long
		UNIT_STRIDE=499 run_meson "unit tests under valgrind" memcheck-valgrind "$build" --suite unit \
			--timeout-multiplier 10 --wrapper 'valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible'
	fi
fi
if [ "$full" -eq 1 ]; then
	if build "building a release with warnings as errors (build-release/)" "$root/build-release" \
		-Dbuildtype=release -Dwerror=true; then
		run_meson "unit tests of the release" release "$root/build-release" --suite unit
		run_meson "lints of the release" lint "$root/build-release" --suite lint
	fi
	if build "building with ThreadSanitizer (build-tsan/)" "$root/build-tsan" -Db_sanitize=thread -Db_lundef=false; then
		TSAN_OPTIONS=halt_on_error=1 run_meson "threads under ThreadSanitizer" tsan "$root/build-tsan" \
			--suite threads --timeout-multiplier 5
	fi
	if [ -e "$root/tests/fuzz/run.sh" ]; then run_script "fuzzing" bash "$root/tests/fuzz/run.sh" 60; fi
	if [ -e "$root/tests/coverage.sh" ]; then run_script "coverage" bash "$root/tests/coverage.sh"; fi
fi
say "done"
finish
