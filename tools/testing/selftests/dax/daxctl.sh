#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# daxctl on a device of persistent memory: it lists, disables and enables the device. A static
# region refuses the rest.
# machines: nvdimm
. ./lib.sh
dax_device 2M mem 512M

is "daxctl lists the device" \
	"$(daxctl list -d "$DEV" | jq -c '.[] | [.chardev, .size, .align, .mode]')" \
	"[\"$DEV\",$SIZE,2097152,\"devdax\"]"
is "the region" "$(daxctl list -R | jq -c '.[] | [.size, .align]')" "[$SIZE,2097152]"
is "the target node is that of the NVDIMM" "$(daxctl list -d "$DEV" | jq '.[].target_node')" 1
is "the device has one range, at page offset 0" \
	"$(daxctl list -M -d "$DEV" | jq -c '.[].mappings | map(.page_offset)')" '[0]'

session a
ask a open f "$NODE" >/dev/null
ask a mmap m f 2M 0 >/dev/null
ask a write m 0 5 >/dev/null
check "daxctl disables a mapped device" within 20 daxctl disable-device "$DEV"
is "the mapping raises SIGBUS" "$(ask a read m 0)" "SIGBUS ADRERR at 0"
leave a
is "daxctl shows it as disabled" "$(daxctl list -i -d "$DEV" | jq -r '.[].state')" disabled
is "it cannot be opened" "$(daxtest <<<"open f $NODE")" ENXIO
check "daxctl enables it" daxctl enable-device "$DEV"
dax "the device works again" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	read m 0		= 5
DAX

for align in 4096 1073741824 8192 0; do
	refuse "another align ($align) is refused" "align|invalid|not|fail|denied" \
		bash -c "daxctl disable-device $DEV >/dev/null 2>&1; daxctl reconfigure-device -m devdax -a $align $DEV"
	daxctl enable-device "$DEV" >/dev/null 2>&1
done
refuse "another size is refused" "size|invalid|not|fail|denied" daxctl reconfigure-device -m devdax -s 16M "$DEV"
refuse "a static region creates no devices" "created 0 devices" daxctl create-device -r 0
refuse "a static region destroys no devices" "destroyed 0 devices" daxctl destroy-device "$DEV"
[ -e "$SYS/driver" ] || bind
is "the refused requests changed nothing" "$(daxctl list -d "$DEV" | jq -c '.[] | [.chardev, .size, .align, .mode]')" \
	"[\"$DEV\",$SIZE,2097152,\"devdax\"]"
dax "the device still works" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	read m 0		= 5
DAX
done_testing
