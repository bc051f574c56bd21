#!/bin/bash
# SPDX-License-Identifier: MIT
#
# packaging/build-deb.sh [--check]: builds the Debian packages of this tree into dist/ and prints their
# checksums; the same tree gives the same bytes. Installs what a build needs. --check runs the unit
# tests in the build and lintian over what came out.
set -euo pipefail

check=0
case "$#:${1:-}" in
0:) ;;
1:--check) check=1 ;;
*)
	sed -n '4,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then exit 0; fi
	exit 2
	;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-package.sh"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's own tools before a developer's
open_work

packages=(build-essential dpkg-dev debhelper meson pkgconf collectd-dev 'libcurl4-openssl-dev|libcurl4-gnutls-dev'
	libjson-c-dev)
if [ "$check" -eq 1 ]; then packages+=(libcmocka-dev python3 lintian); fi
ensure_packages "${packages[@]}"

version=$(project_version)
release=$(dpkg-parsechangelog -l "$root/packaging/deb/changelog" -S Version)
if [ "${release%-*}" != "$version" ]; then
	complain "meson.build says version $version, packaging/deb/changelog $release: make them agree"
	exit 1
fi

tree=$work/balenacrawl-$version
pack_source "$work/balenacrawl_$version.orig.tar.gz"
tar -C "$work" -xzf "$work/balenacrawl_$version.orig.tar.gz"
cp -r "$root/packaging/deb" "$tree/debian"

unless=nocheck # of the options and profiles that Debian's builds know
if [ "$check" -eq 1 ]; then unless=""; fi
say "building balenacrawl $release for $(dpkg --print-architecture)"
build() {
	cd "$tree" && DEB_BUILD_OPTIONS="parallel=$(nproc) $unless" DEB_BUILD_PROFILES=$unless \
		env -u CFLAGS -u LDFLAGS -u CPPFLAGS dpkg-buildpackage -us -uc
}
if ! stage "$work/build.log" build; then
	complain "the build failed:"
	show_log "$work/build.log" 60
	exit 1
fi
if [ "$check" -eq 1 ]; then
	say "lintian"
	# These are not uploaded to Debian, whose wish for a package such a bug would be.
	if ! lintian --allow-root --info --display-info --pedantic --fail-on error,warning \
		--suppress-tags initial-upload-closes-no-bugs "$work"/balenacrawl_*.changes; then
		complain "lintian objects: see above"
		exit 1
	fi
fi
deliver deb "$work"/*.deb
