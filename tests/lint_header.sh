#!/bin/bash
# SPDX-License-Identifier: MIT
#
# lint_header.sh c|c++ SOURCE-TREE: the public header compiles alone, as strict C99 and as C++11.
set -euo pipefail
case "$1" in
c) compiler=${CC:-cc} standard=c99 source=header_c99.c ;;
c++) compiler=${CXX:-c++} standard=c++11 source=header_cxx.cc ;;
*) exit 2 ;;
esac
# CC may hold a wrapper or options, so no quotes.
command -v ${compiler%% *} >/dev/null || {
	echo "$compiler is not installed"
	exit 77
}
$compiler "-std=$standard" -pedantic -Wall -Wextra -Werror -fsyntax-only \
	-I "$2/core/include" "$2/tests/$source"
