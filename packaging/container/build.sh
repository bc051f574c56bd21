#!/bin/bash
# SPDX-License-Identifier: MIT
#
# packaging/container/build.sh [--engine ENGINE] [collectd|telegraf]... [-- OPTION...]: builds the images
# balenacrawl-collectd and balenacrawl-telegraf, both unless one is named, tagged with the version and
# "latest". The engine is podman, buildah or docker, the first that is there. What stands behind "--" is
# handed to its build. The Debian packages in dist/ go in; packaging/build-deb.sh makes those that are
# missing.
set -euo pipefail

usage() { sed -n '4,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

engine=""
agents=()
while [ $# -gt 0 ]; do
	case "$1" in
	--engine)
		engine=${2:-}
		if ! command -v "$engine" >/dev/null; then
			echo "--engine needs a program that is there: podman, buildah or docker" >&2
			exit 2
		fi
		shift
		;;
	collectd | telegraf) agents+=("$1") ;;
	--)
		shift
		break
		;;
	--help | -h)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
[ ${#agents[@]} -gt 0 ] || agents=(collectd telegraf)

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-package.sh"
. "$root/packaging/lib-telegraf.sh"
open_work
umask 022

if [ -z "$engine" ] && ! engine=$(command -v podman || command -v buildah || command -v docker); then
	complain "neither podman nor buildah nor docker is there: install one of them, as by: apt-get install podman"
	exit 3
fi
# With a date podman and buildah make the same layers of the same packages; of health checks they know in
# Docker's format alone.
options=(--format docker --timestamp "$(source_date)")
if [ "${engine##*/}" = docker ]; then
	options=()
	export DOCKER_BUILDKIT=1 # for --mount
fi

version=$(project_version)

# build AGENT OPTION...: from a folder with nothing but what the image is made of.
build() {
	local agent=$1 context=$work/$1
	shift
	mkdir -p "$context/packages"
	cp "$dist/libbalenacrawl0_$version"-*.deb "$dist/$agent-balena_$version"-*.deb "$context/packages/"
	cp "$root/packaging/container/"* "$context/"
	chmod -R u=rwX,go=rX "$context" # what a strict umask has taken would be missed in the image
	: >"$work/build.log"
	say "building balenacrawl-$agent:$version with ${engine##*/}"
	if ! stage "$work/build.log" "$engine" build "${options[@]}" --file "$context/Containerfile.$agent" \
		--build-arg "VERSION=$version" --build-arg "TELEGRAF_VERSION=$TELEGRAF_VERSION" \
		--tag "balenacrawl-$agent:$version" --tag "balenacrawl-$agent:latest" "$@" "$context"; then
		complain "the build failed:"
		show_log "$work/build.log"
		exit 1
	fi
}

have_packages() {
	local package
	for package in libbalenacrawl0 "${agents[@]/%/-balena}"; do
		compgen -G "$dist/${package}_$version-*.deb" >/dev/null || return 1
	done
}

if ! have_packages; then
	say "dist/ has no packages of $version yet"
	"$root/packaging/build-deb.sh"
fi
for agent in "${agents[@]}"; do build "$agent" "$@"; done
say "done: ${agents[*]/#/balenacrawl-}, of version $version"
