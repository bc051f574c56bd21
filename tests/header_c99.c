/* SPDX-License-Identifier: MIT
 * Compiled only (lint_header.sh): the public header needs nothing before it. */
#include "balenacrawl.h"

struct bcrawl_error header_c99_error = { sizeof header_c99_error, 0, 0, 0, "" };
