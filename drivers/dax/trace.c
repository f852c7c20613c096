// SPDX-License-Identifier: GPL-2.0
/*
 * The tracepoints of DAX, which take macros of C. The abstractions in
 * rust/kernel/dax/trace.rs fire them.
 */

#include <linux/mm.h>
#include <linux/range.h>
#include "dax-private.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/dax.h>

/* A fault is handled in the module that has the device. */
EXPORT_TRACEPOINT_SYMBOL_GPL(dax_fault);
EXPORT_SYMBOL_GPL(rust_do_trace_dax_fault);
