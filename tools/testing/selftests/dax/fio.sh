#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio's own engine for device DAX, with verification.
# machines: nvdimm
# needs: fio
# limit: 240
. ./lib.sh

for align in 4K 2M; do
	dax_device $align mem 256M
	for rw in write randwrite randrw; do
		check "$align: fio --ioengine=dev-dax --rw=$rw with verification" \
			fio --output-format=terse --minimal --name=$rw --ioengine=dev-dax --filename="$NODE" \
			--rw=$rw --bs=2M --size=16M --verify=crc32c --verify_fatal=1 --verify_state_save=0
	done
	destroy_device >/dev/null
done
done_testing
