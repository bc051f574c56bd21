#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/fuzz/run.sh SECONDS [TARGET...]: builds the fuzz targets (build-fuzz/, with clang) and runs
# each for so many seconds on a copy of its corpus, which it must have, as many at a time as there are
# processors. Says what each did; the last line is "N passed, N failed". What a target finds stays in build-fuzz/findings/, to be mended and then
# added to the corpus.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build-fuzz
here=$root/tests/fuzz
seconds=${1:-}
case $seconds in
'' | *[!0-9]*)
	echo "usage: tests/fuzz/run.sh SECONDS [TARGET...]" >&2
	exit 2
	;;
esac
shift
passed=0 failed=0

finish() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] || exit 1
	exit 0
}

if ! command -v clang >/dev/null; then
	echo "FAIL: clang is not installed (Debian: clang libclang-rt-dev)"
	failed=1
	finish
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/balenacrawl-fuzz.XXXXXX")
declare -A pids=() # of what runs, by target
cleanup() {
	if [ "${#pids[@]}" -gt 0 ]; then kill "${pids[@]}" 2>/dev/null || true; fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

build() {
	if [ ! -e "$build/build.ninja" ]; then
		CC=clang meson setup "$build" "$root" -Dfuzzers=enabled -Dcollectd=disabled -Dwerror=true || return 1
	fi
	ninja -C "$build" fuzzers
}
if ! build >"$work/build.log" 2>&1; then
	echo "FAIL: building the fuzz targets"
	grep -aE -A 12 'error:|ERROR:|FAILED:' "$work/build.log" | head -n 60 | sed 's/^/    /' || true
	failed=1
	finish
fi

# number TARGET KEY: of libFuzzer's closing figures, "stat::number_of_executed_units: 12345".
number() {
	sed -n "s/^stat::$2: *//p" "$work/$1.log" | tail -n 1
}

# coverage TARGET: the last state that was reported: "#123 DONE cov: 106 ft: 522 corp: ..."
coverage() {
	grep -ao 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$work/$1.log" | tail -n 1 || true
}

# begin TARGET
begin() {
	local name=$1 options=()
	if ! compgen -G "$here/corpus/$name/*" >/dev/null; then
		failed=$((failed + 1))
		printf 'FAIL: %s has no corpus: tests/fuzz/corpus/%s/ is empty\n' "$name" "$name"
		return
	fi
	mkdir -p "$build/findings" "$work/$name.corpus" "$work/$name.tmp"
	if [ -e "$here/dict/$name.dict" ]; then options+=(-dict="$here/dict/$name.dict"); fi
	ASAN_OPTIONS=detect_leaks=1 TMPDIR=$work/$name.tmp "$build/tests/fuzz/fuzz_$name" \
		-max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
		"${options[@]}" -artifact_prefix="$build/findings/$name-" "$work/$name.corpus" "$here/corpus/$name" \
		>"$work/$name.log" 2>&1 &
	pids[$name]=$!
}

# end TARGET: waits for it and says what it did.
end() {
	local name=$1 status=0
	wait "${pids[$name]}" || status=$?
	unset "pids[$name]"
	if [ "$status" -eq 0 ]; then
		passed=$((passed + 1))
		printf '%-8s %10s executions, %6s/s, %s\n' "$name" "$(number "$name" number_of_executed_units)" \
			"$(number "$name" average_exec_per_sec)" "$(coverage "$name")"
		return
	fi
	failed=$((failed + 1))
	printf 'FAIL: %s ended with %d; the input is in build-fuzz/findings/\n' "$name" "$status"
	grep -avE '^#[0-9]+' "$work/$name.log" | tail -n 40 | sed 's/^/    /' || true
}

# All that were built, whether there is a corpus for them or not.
targets=("$@")
if [ "$#" -eq 0 ]; then
	mapfile -t targets < <(ninja -C "$build" -t targets all | sed -n 's|^tests/fuzz/fuzz_\([a-z0-9_]*\): .*|\1|p')
fi
if [ "${#targets[@]}" -eq 0 ]; then
	echo "FAIL: no fuzz target was built"
	failed=1
fi
# All take as long, so that the one that began first is the one to wait for.
most=$(nproc) first=0
for target in "${targets[@]}"; do
	if [ "${#pids[@]}" -ge "$most" ]; then
		while [ -z "${pids[${targets[first]}]:-}" ]; do first=$((first + 1)); done
		end "${targets[first]}"
	fi
	begin "$target"
done
for target in "${targets[@]}"; do
	if [ -n "${pids[$target]:-}" ]; then end "$target"; fi
done
finish
