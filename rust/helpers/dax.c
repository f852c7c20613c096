// SPDX-License-Identifier: GPL-2.0

/* Inline functions and macros that the dax abstractions call. */

#include <linux/dax.h>
