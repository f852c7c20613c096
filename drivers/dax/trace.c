// SPDX-License-Identifier: GPL-2.0
/*
 * The DAX tracepoints. Defining them needs C macros. rust/kernel/dax/trace.rs
 * fires them.
 */

#include <linux/mm.h>
#include <linux/range.h>
#include "dax-private.h"

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/dax.h>

/* The module of the consumer handles page faults, so it fires this one. */
EXPORT_TRACEPOINT_SYMBOL_GPL(dax_fault);
EXPORT_SYMBOL_GPL(rust_do_trace_dax_fault);
