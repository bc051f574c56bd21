#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What packaging/quickstart.sh and tests/run.sh share: lines with a clock, stages with their log,
# Debian packages, installed or only unpacked, a free port, a build. Sourced, never run.
#
# The sourcing script sets "root" (the source tree) and calls open_work.

SECONDS=0 # bash counts it up: the clock of say()
stage_pid=""

# One line with the clock in front.
say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

complain() { printf '[%4ds] %s\n' "$SECONDS" "$*" >&2; }

# open_work: sets "work", a private temporary directory. It goes with the script, however that ends, and
# so does what a stage runs. A script with more to end sets an EXIT trap of its own that calls close_work.
open_work() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/balenacrawl.XXXXXX")
	trap close_work EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

close_work() {
	trap '' INT TERM HUP
	end_process "$stage_pid"
	drop_service_guard
	rm -rf "$work"
}

# Ends a process that we started, with its process group if it leads one: asked first, then made.
end_process() {
	local pid=$1 target=$1 i
	[ -n "$pid" ] || return 0
	if kill -0 -- "-$pid" 2>/dev/null; then target="-$pid"; fi
	kill -TERM -- "$target" 2>/dev/null || true
	for ((i = 0; i < 60; i++)); do
		kill -0 -- "$target" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL -- "$target" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}

# stage LOG COMMAND...: runs it in a process group of its own, output to LOG, and shows that
# something moves: its latest line in place on a terminal, else a line every 30 s. In the background,
# because bash runs no trap before a foreground command has ended.
stage() {
	local log=$1 started=$SECONDS told=$SECONDS status=0
	shift
	set -m
	"$@" </dev/null >>"$log" 2>&1 &
	stage_pid=$!
	set +m
	while kill -0 "$stage_pid" 2>/dev/null; do
		if [ -t 1 ]; then
			printf '\r\033[K       %4ds  %.60s' $((SECONDS - started)) \
				"$(tail -n 1 "$log" | tr -dc '[:print:]')"
		elif [ $((SECONDS - told)) -ge 30 ]; then
			told=$SECONDS
			say "  ... still at it ($((SECONDS - started)) s)"
		fi
		sleep 0.2
	done
	if [ -t 1 ]; then printf '\r\033[K'; fi
	wait "$stage_pid" || status=$?
	stage_pid=""
	return "$status"
}

# show_log LOG [LINES]: the end of it, set in.
show_log() { tail -n "${2:-30}" "$1" | sed 's/^/    /' >&2; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

is_debian() {
	[ -r /etc/os-release ] && (
		. /etc/os-release
		case " ${ID:-} ${ID_LIKE:-} " in *" debian "* | *" ubuntu "*) exit 0 ;; esac
		exit 1
	)
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# apt's own output goes to a log; on a terminal its latest line is shown in place. In the
# foreground, so that sudo can ask and Ctrl-C reaches apt itself.
apt_get() {
	local log=$1 line
	shift
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null 2>&1 |
		while IFS= read -r line; do
			printf '%s\n' "$line" >>"$log"
			if [ -t 1 ]; then printf '\r\033[K       %.70s' "$line"; fi
		done
	local status=${PIPESTATUS[0]}
	if [ -t 1 ]; then printf '\r\033[K'; fi
	return "$status"
}

# ensure_packages PACKAGE[|ALTERNATIVE]...: installs those of which no alternative is there. Says
# what, asks nothing. A package that would start a service does not get to.
ensure_packages() {
	local entry name missing=() names=() log=$work/apt.log status=0 guard=/usr/sbin/policy-rc.d
	if ! is_debian; then
		complain "this is neither Debian nor Ubuntu; what is needed, by Debian's names: ${*%%|*}"
		exit 3
	fi
	for entry in "$@"; do
		for name in ${entry//|/ }; do
			is_installed "$name" && continue 2
		done
		missing+=("$entry")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		complain "missing, and neither root nor sudo to install them: ${missing[*]%%|*}"
		exit 3
	fi
	say "reading the package lists (apt-get update)"
	: >>"$log"
	apt_get "$log" update || status=$?
	if [ "$status" -ne 0 ]; then
		complain "apt-get update failed:"
		show_log "$log"
		exit 1
	fi
	for entry in "${missing[@]}"; do
		for name in ${entry//|/ }; do
			# Names differ between releases (t64): the first that this one has.
			if apt-cache show "$name" >/dev/null 2>&1; then break; fi
			name=""
		done
		names+=("${name:-${entry%%|*}}")
	done
	say "installing ${#names[@]} packages with apt-get: ${names[*]}"
	# invoke-rc.d and systemd's helper ask this file before they start anything.
	if [ -e "$guard" ]; then guard=""; fi
	if [ -n "$guard" ]; then
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null
		as_root chmod 755 "$guard"
		service_guard=$guard
	fi
	apt_get "$log" install --no-install-recommends "${names[@]}" || status=$?
	drop_service_guard
	if [ "$status" -ne 0 ]; then
		complain "apt-get install failed:"
		show_log "$log"
		exit 1
	fi
}

service_guard=""
drop_service_guard() {
	[ -n "$service_guard" ] || return 0
	as_root rm -f "$service_guard"
	service_guard=""
}

# Where is kept what takes long to get.
cache_dir() { printf '%s/balenacrawl\n' "${XDG_CACHE_HOME:-${HOME:-/root}/.cache}"; }

# unpack PACKAGE PROGRAM...: servers are unpacked, not installed: their packages start them, on all
# addresses. What the programs need beside the C library is to be installed by ensure_packages.
unpack() {
	local package=$1 program dir log=$work/unpack.log status=0 there=1
	shift
	for program; do command -v "$program" >/dev/null || there=0; done
	if [ "$there" -eq 1 ]; then return 0; fi
	dir=$(cache_dir)/debian-$package
	if [ ! -d "$dir" ]; then
		say "fetching and unpacking Debian's $package package (not installed)"
		rm -rf "$work/deb"
		mkdir "$work/deb"
		chmod 755 "$work" "$work/deb" # apt fetches as a user of its own
		: >"$log"
		if ! (cd "$work/deb" && stage "$log" apt-get -q download "$package"); then
			apt_get "$log" update || true
			(cd "$work/deb" && stage "$log" apt-get -q download "$package") || status=$?
		fi
		chmod 700 "$work"
		if [ "$status" -eq 0 ]; then
			mkdir -p "$dir.$$" && dpkg-deb -x "$work/deb/$package"_*.deb "$dir.$$" && mv "$dir.$$" "$dir" || status=$?
		fi
		if [ "$status" -ne 0 ]; then
			say "no $package to be had:"
			show_log "$log"
			return 0 # whoever needs it will miss it, and say so by name
		fi
	fi
	PATH=$PATH:$dir/usr/bin:$dir/usr/sbin
}

# Debian's own python3 first: what PATH names first may belong to one user alone.
pick_python() {
	python=/usr/bin/python3
	[ -x "$python" ] || python=$(command -v python3) || {
		complain "python3 not found"
		exit 3
	}
}

# A port of the loopback interface that nobody listens on.
free_port() {
	"$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# http_get URL: the body, on failure nothing and a status. No proxy: it is always our own machine.
http_get() {
	"$python" -c '
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    sys.stdout.buffer.write(opener.open(sys.argv[1], timeout=10).read())
except OSError:
    sys.exit(1)' "$1"
}

# build_tree DIR LOG OPTION...: configures (anew, should an old directory not fit) and builds.
build_tree() {
	local dir=$1 log=$2 status=0
	shift 2
	: >>"$log"
	if [ -e "$dir/build.ninja" ]; then
		stage "$log" meson setup --reconfigure "$dir" "$root" "$@" ||
			stage "$log" meson setup --wipe "$dir" "$root" "$@" || status=$?
	else
		stage "$log" meson setup "$dir" "$root" "$@" || status=$?
	fi
	if [ "$status" -eq 0 ]; then stage "$log" ninja -C "$dir" || status=$?; fi
	return "$status"
}
