// SPDX-License-Identifier: GPL-2.0
/*
 * The helpers that the overlay adds. All of rust/helpers is compiled, with each helper static, so
 * that the compiler drops those that the kernel has. The others become global.
 */

#include <linux/compiler.h>

#include "helpers_static.h"

#define DAX_HELPER(name)	\
	__ADDRESSABLE(name)	\
	asm(".globl " #name);

#include "helpers_ours.h"
