#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Where a Telegraf comes from: the pinned one, built once with Go and kept in the user's cache.
# Only the plugins that are needed are built in, which takes minutes off. Sourced after
# lib-common.sh, never run.

TELEGRAF_VERSION=1.39.3
TELEGRAF_TAGS=custom,inputs.execd,outputs.prometheus_client,outputs.file,parsers.influx,serializers.influx
TELEGRAF_GO_MINOR=26 # go.mod of this Telegraf says go 1.26.0

telegraf_cached() { printf '%s/telegraf-%s%s/telegraf\n' "$(cache_dir)" "$TELEGRAF_VERSION" "${1:+-$1}"; }

# The path of a Go that is new enough, looked for in PATH and where its own installer puts it.
find_go() {
	local go minor
	for go in $(type -aP go) /usr/local/go/bin/go; do
		[ -x "$go" ] || continue
		minor=$("$go" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
		if [ "${minor:-0}" -ge "$TELEGRAF_GO_MINOR" ]; then
			printf '%s\n' "$go"
			return 0
		fi
	done
	return 1
}

# pinned_telegraf [NAME TAGS]: sets "telegraf" to the pinned Telegraf, building it if need be. On
# failure "telegraf" is empty and "telegraf_reason" says why: status 3 without Go, 1 if the build
# failed. With a name it is another build, of other plugins, kept beside the first.
pinned_telegraf() {
	local go target tags=${2:-$TELEGRAF_TAGS} log=$work/telegraf.log
	target=$(telegraf_cached "${1:-}")
	telegraf="" telegraf_reason=""
	if [ ! -x "$target" ]; then
		if ! go=$(find_go); then
			telegraf_reason="no Go >= 1.$TELEGRAF_GO_MINOR to build Telegraf $TELEGRAF_VERSION with"
			return 3
		fi
		say "building Telegraf $TELEGRAF_VERSION with $("$go" env GOVERSION) (some minutes, once)"
		mkdir -p "$work/gobin"
		: >"$log"
		if ! stage "$log" env HOME="${HOME:-/root}" CGO_ENABLED=0 GOBIN="$work/gobin" \
			"$go" install -tags "$tags" \
			-ldflags "-s -w -X github.com/influxdata/telegraf/internal.Version=$TELEGRAF_VERSION" \
			"github.com/influxdata/telegraf/cmd/telegraf@v$TELEGRAF_VERSION"; then
			telegraf_reason="go install of Telegraf $TELEGRAF_VERSION failed: $(tail -n 1 "$log")"
			return 1
		fi
		# By rename, so that nobody ever starts half a file.
		mkdir -p "${target%/*}"
		cp "$work/gobin/telegraf" "$target.$$"
		mv "$target.$$" "$target"
	fi
	telegraf=$target
}
