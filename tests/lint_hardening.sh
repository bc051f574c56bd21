#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint_hardening.sh FILE...: what the linker and the compiler were to make of the files we install:
# relocations read-only and all bound at start, position independent, no executable stack, functions
# with buffers guarded, libc's calls checked.
set -euo pipefail

failed=0

# check FILE WHAT PATTERN TEXT: the text must have a line that matches.
check() {
	if ! grep -Eq -- "$3" <<<"$4"; then
		echo "$1: not $2"
		failed=1
	fi
}

refuse() {
	if grep -Eq -- "$3" <<<"$4"; then
		echo "$1: $2"
		failed=1
	fi
}

command -v readelf >/dev/null || {
	echo "readelf is not installed (package binutils)"
	exit 77
}
[ $# -gt 0 ] || { echo "usage: lint_hardening.sh FILE..." >&2; exit 2; }
for file; do
	name=${file##*/}
	header=$(LC_ALL=C readelf -h "$file")
	segments=$(LC_ALL=C readelf -lW "$file")
	dynamic=$(LC_ALL=C readelf -dW "$file")
	symbols=$(LC_ALL=C readelf --dyn-syms -W "$file")
	check "$name" "position independent" 'Type: +DYN' "$header"
	if grep -q INTERP <<<"$segments"; then check "$name" "PIE" 'FLAGS_1.*PIE' "$dynamic"; fi
	check "$name" "read-only after relocation (RELRO)" 'GNU_RELRO' "$segments"
	check "$name" "bound at start (BIND_NOW)" '\((FLAGS|FLAGS_1|BIND_NOW)\).*NOW' "$dynamic"
	check "$name" "without executable stack" 'GNU_STACK.* RW  ' "$segments"
	refuse "$name" "a segment that is writable and executable" 'LOAD.* RWE ' "$segments"
	refuse "$name" "relocations in its code" 'TEXTREL' "$dynamic"
	check "$name" "guarded (-fstack-protector-strong)" '__stack_chk_fail' "$symbols"
	check "$name" "fortified (_FORTIFY_SOURCE)" '__[a-z]+_chk(@|$)' "$(grep -v __stack_chk_fail <<<"$symbols")"
done
exit "$failed"
