#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The example of the admin guide does as the guide says.
# machines: nvdimm
# needs: example
# limit: 120
. ./lib.sh

for align in 4K 2M; do
	dax_device $align mem 256M
	dax "$align: set the first word to 0" <<-DAX
		open f $NODE			= ok
		mmap m f $align 0		= ok
		write m 0 0			= ok
	DAX
	for run in 1 2; do
		is "$align: run number $run" "$(example "$NODE" 2>&1)" "$(bytes $align) bytes mapped, run number $run"
	done
	unbind
	refuse "$align: an unbound device is reported" "$DEV: No such device or address" example "$NODE"
	bind
	destroy_device >/dev/null
done
refuse "a missing argument is reported" "give me a device" example
done_testing
