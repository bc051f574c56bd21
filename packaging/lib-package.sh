#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What packaging/build-deb.sh and packaging/build-rpm.sh share. Sourced after lib-common.sh.

dist=$root/dist

project_version() { sed -n "s/^  version: '\([^']*\)',\$/\1/p" "$root/meson.build"; }

# When what is being built was last changed: the one date that all files in the packages get.
source_date() { sed -n 's/^ -- .*>  //p;T;q' "$root/packaging/deb/changelog" | date -u -f - +%s; }

# list_source: the names of the source's files, each with a NUL: in a clone what git knows, else all
# but what builds leave.
list_source() {
	if [ -e "$root/.git" ]; then
		git -C "$root" ls-files -z
	else
		(cd "$root" && find . \( -path './build*' -o -path ./dist -o -path ./.cache -o -name __pycache__ \) -prune -o \
			-type f -printf '%P\0')
	fi
}

# pack_source FILE: the source, files as they are now, as a tar.gz: the same bytes whenever and wherever
# it is made.
pack_source() {
	local name unknown
	name=balenacrawl-$(project_version)
	if [ -e "$root/.git" ]; then
		if ! unknown=$(git -C "$root" ls-files --others --exclude-standard); then
			complain "git cannot read this clone: see above; without git, build from a release's tar"
			exit 1
		fi
		if [ -n "$unknown" ]; then say "left out, as git does not know it: ${unknown//$'\n'/ }"; fi
	fi
	list_source | LC_ALL=C sort -z |
		tar -C "$root" --null --verbatim-files-from -T - --transform "s,^,$name/," --owner=0 --group=0 \
			--numeric-owner --mode='u+rw,go=rX' --mtime="@$(source_date)" --format=ustar -c | gzip -9n >"$1"
	chmod 644 "$1" # which rpm keeps
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
