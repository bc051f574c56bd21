/* SPDX-License-Identifier: MIT
 * Compiled only (lint_header.sh): the public header is C++ as well. */
#include "balenacrawl.h"

bcrawl_error header_cxx_error = { sizeof header_cxx_error, 0, 0, 0, "" };
