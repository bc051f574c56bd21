#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What packaging/build-deb.sh and packaging/build-rpm.sh share. Sourced after lib-common.sh.

dist=$root/dist

project_version() { sed -n "s/^  version: '\([^']*\)',\$/\1/p" "$root/meson.build"; }

# When what is being built was last changed: the one date that all files in the packages get.
source_date() { sed -n 's/^ -- .*>  //p;T;q' "$root/packaging/deb/changelog" | date -u -f - +%s; }

# pack_source FILE: the source as a tar.gz, the same bytes whenever and wherever it is made: in a clone
# the files that git does not ignore, as they are now, else all but what builds leave.
pack_source() {
	local name
	name=balenacrawl-$(project_version)
	if git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
		git -C "$root" ls-files -z --cached --others --exclude-standard
	else
		(cd "$root" && find . -type f ! -path './build*' ! -path './dist/*' ! -name '*.pyc' -printf '%P\0')
	fi | LC_ALL=C sort -z |
		tar -C "$root" --null --verbatim-files-from -T - --transform "s,^,$name/," --owner=0 --group=0 \
			--numeric-owner --mode='u+rw,go=rX' --mtime="@$(source_date)" --format=ustar -c | gzip -9n >"$1"
}

# deliver SUFFIX FILE...: the packages to dist/, in place of those of earlier builds, with what
# identifies them.
deliver() {
	mkdir -p "$dist"
	rm -f "$dist"/*."$1"
	shift
	cp "$@" "$dist/"
	say "in dist/, by SHA-256:"
	(cd "$dist" && sha256sum "${@##*/}")
}
