// SPDX-License-Identifier: GPL-2.0

/* Inline functions and macros that the dax abstractions call. */

#include <linux/dax.h>
#include <linux/ratelimit.h>

__rust_helper bool rust_helper_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&rs);
}
