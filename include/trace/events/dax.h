/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of device DAX instances: page faults, binds, kills, and ranges that an
 * instance gets or returns. See Documentation/admin-guide/device-dax.rst.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dax

#if !defined(_TRACE_DAX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DAX_H

#include <linux/mm.h>
#include <linux/tracepoint.h>

struct dev_dax;

TRACE_EVENT(dax_fault,
	TP_PROTO(const struct dev_dax *dev_dax, const struct vm_fault *vmf,
		 unsigned int order, vm_fault_t result),
	TP_ARGS(dev_dax, vmf, order, result),
	TP_STRUCT__entry(
		__string(dev, dev_name(&dev_dax->dev))
		__field(unsigned long, address)
		__field(pgoff_t, pgoff)
		__field(unsigned long, size)
		__field(unsigned int, flags)
		__field(unsigned int, result)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->address = vmf->real_address;
		__entry->pgoff = vmf->pgoff;
		__entry->size = PAGE_SIZE << order;
		__entry->flags = vmf->flags;
		__entry->result = (__force unsigned int)result;
	),
	TP_printk("dev=%s address=%#lx pgoff=%#lx size=%#lx flags=%s result=%s",
		__get_str(dev), __entry->address, __entry->pgoff, __entry->size,
		__print_flags(__entry->flags, "|", FAULT_FLAG_TRACE),
		__print_flags(__entry->result, "|", VM_FAULT_RESULT_TRACE))
);

TRACE_EVENT(dax_bind,
	TP_PROTO(const struct dev_dax *dev_dax, const char *driver, int error),
	TP_ARGS(dev_dax, driver, error),
	TP_STRUCT__entry(
		__string(dev, dev_name(&dev_dax->dev))
		__string(driver, driver)
		__field(unsigned int, align)
		__field(int, ranges)
		__field(u64, size)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(dev);
		__assign_str(driver);
		__entry->align = dev_dax->align;
		__entry->ranges = dev_dax->nr_range;
		__entry->size = 0;
		for (int i = 0; i < dev_dax->nr_range; i++)
			__entry->size += range_len(&dev_dax->ranges[i].range);
		__entry->error = error;
	),
	TP_printk("dev=%s driver=%s align=%#x ranges=%d size=%#llx error=%d",
		__get_str(dev), __get_str(driver), __entry->align, __entry->ranges,
		__entry->size, __entry->error)
);

TRACE_EVENT(dax_kill,
	TP_PROTO(const struct dev_dax *dev_dax),
	TP_ARGS(dev_dax),
	TP_STRUCT__entry(
		__string(dev, dev_name(&dev_dax->dev))
	),
	TP_fast_assign(
		__assign_str(dev);
	),
	TP_printk("dev=%s", __get_str(dev))
);

/*
 * Numbers instead of a struct dev_dax: the device of the instance may not be
 * registered yet, or no longer.
 */
DECLARE_EVENT_CLASS(dax_range,
	TP_PROTO(unsigned int region, unsigned int id, u64 start, u64 end),
	TP_ARGS(region, id, start, end),
	TP_STRUCT__entry(
		__field(unsigned int, region)
		__field(unsigned int, id)
		__field(u64, start)
		__field(u64, end)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->id = id;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("dev=dax%u.%u start=%#llx end=%#llx",
		__entry->region, __entry->id, __entry->start, __entry->end)
);

DEFINE_EVENT(dax_range, dax_range_alloc,
	TP_PROTO(unsigned int region, unsigned int id, u64 start, u64 end),
	TP_ARGS(region, id, start, end));

DEFINE_EVENT(dax_range, dax_range_free,
	TP_PROTO(unsigned int region, unsigned int id, u64 start, u64 end),
	TP_ARGS(region, id, start, end));

#endif /* _TRACE_DAX_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
