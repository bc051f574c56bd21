#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint_size.sh SOURCE-TREE: no function longer than 80 lines or more complex than 15, no line of the
# library and its agents longer than 100 columns.
set -euo pipefail
command -v pmccabe >/dev/null || {
	echo "pmccabe is not installed (package pmccabe)"
	exit 77
}
cd "$1"
long=0
for file in core/*/*.[ch] plugin_collectd/*.[ch] telegraf_execd/*.[ch]; do
	expand -t 8 "$file" | awk -v file="$file" '
		length($0) > 100 { printf "%s:%d: %d columns, 100 allowed\n", file, FNR, length($0); bad = 1 }
		END { exit bad }' || long=1
done
# Columns: complexity with a switch as one decision, the same with each case, statements, first
# line, lines, place and name.
pmccabe core/src/*.c plugin_collectd/*.c telegraf_execd/*.c | awk '
	{ functions++ }
	$5 > 80 { printf "%s %s: %d lines, 80 allowed\n", $6, $7, $5; bad = 1 }
	$1 > 15 { printf "%s %s: complexity %d, 15 allowed\n", $6, $7, $1; bad = 1 }
	END { if (!functions) { print "no functions found"; bad = 1 } exit bad }'
exit "$long"
