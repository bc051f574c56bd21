#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tests/coverage.sh [BUILD-DIR]: builds with gcov's counters (build-coverage/ unless told otherwise),
# runs the unit suite and prints what it covers of core/. Status 1 if a test failed, or fewer than 95 %
# of the lines or 85 % of the branches were taken. docs/coverage.md says what is left, and why.
#
# -O0, as the optimizer folds branches; counters that threads may share (gcovr stops at the negative
# ones that come of it otherwise). Branches in lines without code of ours (a closing bracket that
# frees what goes out of scope) do not count.
set -euo pipefail
lines=95 branches=85

case "${1:-}" in
-*)
	sed -n '4,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 2
	;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/lib-common.sh"
build=$(realpath -m "${1:-$root/build-coverage}")
open_work

ensure_packages gcovr
say "building ($build)"
if ! build_tree "$build" "$work/build.log" --buildtype=debug -Db_coverage=true \
	-Dc_args=-fprofile-update=atomic -Dtests=enabled; then
	show_log "$work/build.log"
	exit 1
fi
find "$build" -name '*.gcda' -delete
say "running the unit suite"
status=0
if ! stage "$work/test.log" meson test -C "$build" --no-rebuild --suite unit --timeout-multiplier 3; then
	show_log "$work/test.log"
	status=1
fi
say "core/, by file: lines, then branches"
measure=(gcovr --root "$root" "$build" --filter "$root/core/" --exclude-unreachable-branches)
"${measure[@]}" | sed -n '/^core/p'
"${measure[@]}" --branches --print-summary --fail-under-line "$lines" --fail-under-branch "$branches" |
	sed -n '/^core/p;/^lines:/p;/^branches:/p' || status=1
exit "$status"
