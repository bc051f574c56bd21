#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint_includes.sh SOURCE-TREE: the boundaries that the build can't enforce. An agent includes
# nothing of ours but balenacrawl.h and its own headers; libcurl is http.c's alone, json-c belongs to
# the files that read JSON.
set -euo pipefail
cd "$1"
status=0

complain() {
	echo "$1"
	status=1
}

# agent_includes DIR: each quoted include is balenacrawl.h or a file of the agent's own directory.
agent_includes() {
	local file header
	while IFS=: read -r file header; do
		header=${header#*\"} header=${header%%\"*}
		if [ "$header" != balenacrawl.h ] && { [[ $header == */* ]] || [ ! -e "$1/$header" ]; }; then
			complain "$file includes \"$header\": of ours only balenacrawl.h and its own headers"
		fi
	done < <(grep -rHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' "$1" || true)
	while IFS= read -r file; do
		complain "$file: an agent leaves HTTP and JSON to the library"
	done < <(grep -rnE '#[[:space:]]*include[[:space:]]*[<"](curl|json-c|json_c)' --include='*.[ch]' "$1" || true)
}

# only_in PATTERN FILES-PATTERN: no include like this in core/ but in these files.
only_in() {
	local line
	while IFS= read -r line; do
		[[ ${line%%:*} =~ ^core/src/($2)$ ]] || complain "$line: only $2 may include this"
	done < <(grep -rnE "#[[:space:]]*include[[:space:]]*[<\"]($1)" --include='*.[ch]' core || true)
}

agent_includes plugin_collectd
agent_includes telegraf_execd
only_in 'curl/' 'http\.c'
only_in 'json-c/|json\.h>|json_' '(page|extract|tally|fleet|server|json|json_token|roster)\.[ch]'
exit "$status"
