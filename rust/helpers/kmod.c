// SPDX-License-Identifier: GPL-2.0

#include <linux/kmod.h>

/* request_module() takes a format. Without CONFIG_MODULES it is an inline function. */
__rust_helper int rust_helper_request_module_by_name(const char *name)
{
	return request_module("%s", name);
}
