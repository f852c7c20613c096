// SPDX-License-Identifier: GPL-2.0
/* The helpers that the overlay adds, as rust/helpers/helpers.c has them. */

#include <linux/compiler_types.h>

#define __rust_helper __always_inline

#include "../rust/helpers/dax.c"
