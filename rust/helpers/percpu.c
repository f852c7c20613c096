// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>

__rust_helper unsigned long rust_helper_percpu_sum_ulong(unsigned long __percpu *p)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(p, cpu));
	return sum;
}

__rust_helper void rust_helper_this_cpu_add_ulong(unsigned long __percpu *p,
						  unsigned long n)
{
	this_cpu_add(*p, n);
}
