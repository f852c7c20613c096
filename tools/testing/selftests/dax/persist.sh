#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Data that is written to a device is there after a reboot, at the same offset, and the device is
# bound again automatically.
# machines: nvdimm legacy
# boots: 2
# limit: 240
. ./lib.sh

if has_labels; then
	devices='4K/mem/256M 4K/dev/256M 2M/mem/256M 2M/dev/256M 1G/mem/2G'
else
	devices='2M/dev/0'
fi

for spec in $devices; do
	IFS=/ read -r align map size <<<"$spec"
	name=persist-$align-$map
	if [ "$BOOT" = 1 ]; then
		dax_device "$align" "$map" "$size" -n "$name"
		at_exit=()
		dax "$align, map in $map: written" <<-DAX
			open f $NODE			= ok
			mmap m f $SIZE 0		= ok
			fill m 0 1M 77			= ok
			fill m $((SIZE - 1048576)) 1M 77	= ok
			fill m 0 $SIZE 77 2M		= ok
		DAX
		ndctl list -Xn "$NS" | jq -c '.[0] | [.mode, .map, .size, .align, .daxregion.size]' >"$PERSIST/$name"
		continue
	fi
	ns=$(ndctl list -NX | jq -r --arg n "$name" '[.. | objects | select(.name? == $n)][0].dev // "namespace0.0"')
	is "$align, map in $map: the namespace is unchanged" \
		"$(ndctl list -Xn "$ns" | jq -c '.[0] | [.mode, .map, .size, .align, .daxregion.size]')" \
		"$(cat "$PERSIST/$name")"
	use_device "$(ndctl list -Xn "$ns" | jq -r '.[0].daxregion.devices[0].chardev')"
	check "$align, map in $map: $DEV is bound" wait_bound
	dax "$align, map in $map: all of the data is there" <<-DAX
		open f $NODE			= ok
		mmap m f $SIZE 0		= ok
		smaps m KernelPageSize		= $(($(bytes $align) >> 10)) kB
		verify m 0 1M 77		= ok
		verify m $((SIZE - 1048576)) 1M 77	= ok
		verify m 0 $SIZE 77 2M		= ok
	DAX
	check "$align, map in $map: destroyed" ndctl destroy-namespace -f "$ns"
done
done_testing
