#!/bin/bash
# SPDX-License-Identifier: MIT
#
# packaging/build-rpm.sh [--check] [--collectd-source FILE]: builds the rpm packages of this tree into dist/
# and prints their checksums; the same tree gives the same bytes. Installs what a build needs. --check runs
# the unit tests in the build and rpmlint over what came out.
#
# It is for Debian, with collectd-dev's headers, and shows what a Fedora build makes; --collectd-source builds
# against those of a release of collectd instead, collectd-5.12.0.tar.gz, as the spec says for Fedora.
set -euo pipefail

usage() { sed -n '4,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

check=0 collectd=""
while [ $# -gt 0 ]; do
	case "$1" in
	--check) check=1 ;;
	--collectd-source)
		collectd=${2:-}
		if [ ! -r "$collectd" ]; then
			echo "--collectd-source: cannot read \"$collectd\": it is the source of collectd 5.12, a tar.gz" >&2
			exit 2
		fi
		collectd=$(realpath "$collectd")
		shift
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

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-package.sh"
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH # Debian's own tools before a developer's
open_work

packages=(rpm gcc libc6-dev meson ninja-build pkgconf collectd-dev 'libcurl4-openssl-dev|libcurl4-gnutls-dev'
	libjson-c-dev libcmocka-dev python3)
if [ "$check" -eq 1 ]; then packages+=(rpmlint); fi
ensure_packages "${packages[@]}"

version=$(project_version)
spec=$root/packaging/rpm/balenacrawl.spec
stated=$(sed -n 's/^Version: *//p' "$spec")
if [ "$stated" != "$version" ]; then
	complain "meson.build says version $version, packaging/rpm/balenacrawl.spec $stated: make them agree"
	exit 1
fi

# Always in one place: its name gets into the source package.
top=$root/build-rpm
rm -rf "$top"
mkdir -p "$top/SOURCES"
pack_source "$top/SOURCES/balenacrawl-$version.tar.gz"
options=()
if [ -n "$collectd" ]; then
	cp "$collectd" "$top/SOURCES/collectd-5.12.0.tar.gz"
else
	options+=(--with system_collectd_headers)
fi
if [ "$check" -eq 0 ]; then options+=(--nocheck); fi
say "building balenacrawl $version-1 as rpm"
# What is installed here no rpm database knows.
if ! stage "$top/build.log" env -u CFLAGS -u LDFLAGS -u CPPFLAGS rpmbuild -ba --nodeps "--load=$root/packaging/rpm/macros.debian" \
	--define "_topdir $top" --define "_dbpath $top/db" "${options[@]}" "$spec"; then
	complain "the build failed:"
	show_log "$top/build.log" 60
	exit 1
fi
if [ "$check" -eq 1 ]; then
	say "rpmlint"
	if ! rpmlint -c "$root/packaging/rpm/rpmlint.toml" "$spec" "$top"/RPMS/*/*.rpm "$top"/SRPMS/*.rpm; then
		complain "rpmlint objects: see above"
		exit 1
	fi
fi
deliver rpm "$top"/RPMS/*/*.rpm "$top"/SRPMS/*.rpm
