#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint_exports.sh LIBRARY STATIC-LIBRARY [PLUGIN]: what each shows to the linker. The daemon's own
# symbols come first in its lookups, so a stray global name of ours would be a bug waiting.
set -euo pipefail
export LC_ALL=C
status=0

# expect WHAT PATTERN NM-OPTION FILE: every defined global name of FILE matches PATTERN.
expect() {
	local what=$1 pattern=$2 option=$3 file=$4 names bad
	names=$(nm "$option" --defined-only --extern-only "$file" | awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u)
	if [ -z "$names" ]; then
		echo "$what: no symbols at all in $file"
		status=1
	fi
	bad=$(grep -vxE "$pattern" <<<"$names" || true)
	if [ -n "$bad" ]; then
		echo "$what: only $pattern may be exported, but there is:" $bad
		status=1
	fi
}

command -v nm >/dev/null || {
	echo "nm is not installed (package binutils)"
	exit 77
}
expect "library" 'bcrawl_[a-z0-9_]+' -D "$1"
expect "static library" '(bcrawl|bci)_[a-z0-9_]+' -g "$2"
if [ -e "${3:-}" ]; then
	expect "collectd plugin" module_register -D "$3"
fi
exit "$status"
