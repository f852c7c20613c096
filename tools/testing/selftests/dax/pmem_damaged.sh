#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A namespace that is not what its info block says, or was not set up completely: no
# device, nothing reserved, a sentence that says what is wrong, and ndctl repairs it.
# machines: nvdimm legacy
# needs: python3
# limit: 600
# impl: rust dax_pmem - C follows several of these info blocks blindly, or fails without a word
. ./lib.sh

ND=/sys/bus/nd/devices
DRIVER=/sys/bus/nd/drivers/dax_pmem
devices() { ls /sys/bus/dax/devices; ls /dev | grep -E '^(dax|pmem)'; }
reserved() { grep -E ' : (namespace|dax)' /proc/iomem; }
rewrite() { ndctl create-namespace -f -m devdax -a "$align" -M "$map" -e "$NS"; }

# infoblock [FIELD=NUMBER]...: change the info block of the disabled namespace
infoblock()
{
	local disk
	echo 1 >$ND/$NS/force_raw
	echo "$NS" >/sys/bus/nd/drivers/nd_pmem/bind
	disk=$(ls $ND/$NS/block)
	./pmem_infoblock.py "/dev/$disk" "$@"
	echo "$NS" >/sys/bus/nd/drivers/nd_pmem/unbind
	echo 0 >$ND/$NS/force_raw
}

now() { use_device "$DEV"; echo "$SIZE $(reserved)"; }

repaired()
{
	check "$1: ndctl rewrites the info block" rewrite
	check "$1: the device is there again" wait_bound
	is "$1: the device is what it was" "$(now)" "$whole"
}

# refused DESCRIPTION LOG COMMAND...: after the command the namespace is refused
refused()
{
	local what=$1 log=$2
	shift 2
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	"$@"
	log_mark
	refuse "$what: it is not enabled" "failed to enable|No such device" ndctl enable-namespace "$NS"
	log_has "$what: the reason is in the log" "$log"
	is "$what: no device, nothing reserved" "$(devices)$(reserved)" ""
}

setup()
{
	align=$1 map=$2
	dax_device "$align" "$map" "$3"
	nd=$(basename "$(dirname "$SYS")")
	whole="$(cat "$SYS/size") $(reserved)"
	total=$(cat $ND/$NS/size)
	ours="dax_pmem dax[0-9.]+: $NS: "
	over="start over: ndctl create-namespace -f -m devdax -e $NS\$"
}

hex() { printf '%#x' "$1"; }

# ---- what dax_pmem refuses ----

setup 2M mem 512M

what="another major version"
refused "$what" "${ours}its info block has version 2\.4, not 1\.x; use its own kernel, or $over" \
	infoblock version_major=2
repaired "$what"

what="made for a smaller namespace"
refused "$what" "${ours}its info block is for a size of 0x1200000, but it has $(hex "$total"); restore the size, or $over" \
	infoblock npfns=0x1000
repaired "$what"

what="no room for the memmap"
refused "$what" "${ours}its info block leaves 0x1fe000 bytes for the memmap, which needs 0x[0-9a-f]+; to $over" \
	infoblock mode=2
repaired "$what"

# In libnvdimm's own check, this wraps around and passes.
what="padding beyond the end"
refused "$what" "${ours}its info block is for a size of 0x[0-9a-f]{9}, but it has $(hex "$total"); restore the size, or $over" \
	infoblock start_pad=0xffe00000 end_trunc=0xffe00000
repaired "$what"

if has_labels; then
	what="the namespace shrank"
	refused "$what" "${ours}its info block is for a size of 0x20000000, but it has 0x10000000; restore the size, or $over" \
		eval 'echo $((256 << 20)) >$ND/$NS/size'
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	what="the namespace grew"
	refused "$what" "${ours}its info block is for a size of 0x20000000, but it has 0x30000000; restore the size, or $over" \
		eval 'echo $((768 << 20)) >$ND/$NS/size'
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	echo $((512 << 20)) >$ND/$NS/size
	check "$what: with its old size it is enabled" ndctl enable-namespace "$NS"
	check "$what: the device is there again" wait_bound
	is "$what: the device is what it was" "$(now)" "$whole"
fi

# Bound by hand, again and again. A processor keeps up to 60 free objects of each cache, which
# count as well.
what="refused again and again"
refused "$what" "version 3\.4" infoblock version_major=3
objects() { awk '/^kmalloc-(rcl-)?(4k|1k|512|256|192|128) / { print $1, $2 }' /proc/slabinfo; }
turns=300
! configured KASAN || turns=30
for turn in $(seq 10); do echo "$nd" >$DRIVER/bind; done 2>/dev/null
objects >"$TMP/before"
for turn in $(seq $turns); do echo "$nd" >$DRIVER/bind; done 2>/dev/null
most=$(objects | paste - "$TMP/before" | awk '{ print $2 - $4, "more in", $1 }' | sort -n | tail -n 1)
is "$what: no device, nothing reserved" "$(devices)$(reserved)" ""
check_memory "$what: no memory is lost ($most)" test "${most%% *}" -lt $((turns / 2))
check "$what: the module is not kept" modprobe -r dax_pmem
modprobe dax_pmem
check "$what: the namespace can be destroyed" destroy_device

setup 4K mem 512M
what="the data would be where the info block is"
refused "$what" "${ours}its info block has data offset 0x1000, not 0x2000 or more; to $over" \
	infoblock dataoff=0x1000
repaired "$what"
destroy_device >/dev/null

setup 1G mem 3G
what="the data ends within an entry"
refused "$what" "${ours}its info block puts data at $(cat "$SYS/resource")-0x[0-9a-f]+, not multiples of 0x40000000; to $over" \
	infoblock end_trunc=0x200000 npfns=$(((SIZE >> 12) - 512))
repaired "$what"
destroy_device >/dev/null

# ---- configured by hand: set-up incomplete, or not that of the info block ----

setup 2M mem 512M
uuid=$(cat $ND/$nd/uuid)
configure()	# NAMESPACE UUID MODE: libnvdimm's spare device; a dash leaves something out
{
	nd=$(cat "$ND/$region/dax_seed")
	[ "$1" = - ] || echo "$1" >$ND/$nd/namespace
	[ "$2" = - ] || echo "$2" >$ND/$nd/uuid
	[ "$3" = - ] || echo "$3" >$ND/$nd/mode
}
region=$(basename "$(readlink -f $ND/$nd/..)")
attach() { daxtest <<<"put $DRIVER/bind $nd"; }
detach() { echo >$ND/$nd/namespace; }

ndctl disable-namespace "$NS" >/dev/null 2>&1
log_mark
configure - "$uuid" ram
is "without a namespace" "$(attach)" ENODEV
is "without a namespace: nothing to say" "$(log_since | grep "dax_pmem.*: " | grep -v 'probe with driver')" ""
configure "$NS" - -
log_mark
# The UUID was set above; a new spare device has none.
is "reattached, as it was" "$(attach)" ok
check "reattached: the device is there again" wait_bound
is "reattached: the device is what it was" "$(now)" "$whole"

echo "$nd" >$DRIVER/unbind
echo pmem >$ND/$nd/mode
log_mark
is "set to map=dev, made with map=mem" "$(attach)" EOPNOTSUPP
log_has "map: the reason is in the log" "${ours}align or mode, as set, are not those of its info block; to go by the info block: ndctl enable-namespace $NS"
echo ram >$ND/$nd/mode
echo 4096 >$ND/$nd/align
log_mark
is "set to 4 KiB, made with 2 MiB" "$(attach)" EOPNOTSUPP
log_has "align: the reason is in the log" "${ours}align or mode, as set, are not those of its info block"
is "no device, nothing reserved" "$(devices)$(reserved)" ""
ndctl disable-namespace "$NS" >/dev/null 2>&1
check "enabled, it goes by the info block" ndctl enable-namespace "$NS"
is "the device is what it was" "$(now)" "$whole"

ndctl disable-namespace "$NS" >/dev/null 2>&1
infoblock flip=200
configure "$NS" - -
log_mark
is "without a UUID" "$(attach)" ENODEV
log_has "without a UUID: the reason is in the log" "${ours}its UUID, map \(mem or dev\) or capacity is not set; to $over"
configure - "$uuid" ram
log_mark
is "with a damaged info block" "$(attach)" EBADMSG
log_has "damaged: the reason is in the log" "${ours}its info block is damaged: the checksum is wrong; to $over"
is "damaged: no device, nothing reserved" "$(devices)$(reserved)" ""
detach
infoblock flip=200
configure "$NS" "$uuid" ram
is "undamaged again" "$(attach)" ok
check "undamaged again: the device is there" wait_bound
is "undamaged again: the device is what it was" "$(now)" "$whole"
repaired "in the end"

# ---- what libnvdimm decides before dax_pmem sees it ----

not_devdax()	# DESCRIPTION FIELD=NUMBER: taken for a namespace without a mode
{
	local what=$1
	shift
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	infoblock "$@"
	check "$what: it is enabled" ndctl enable-namespace "$NS"
	check "$what: as a block device" test -b "/dev/$(ls $ND/$NS/block)"
	is "$what: there is no dax device" "$(ls /sys/bus/dax/devices)" ""
	repaired "$what"
}
not_devdax "wrong checksum" flip=3000
not_devdax "wrong signature" flip=3
not_devdax "of another namespace" parent_uuid=0x1234
not_devdax "unknown mode" mode=7

by_libnvdimm()	# DESCRIPTION LOG FIELD=NUMBER...
{
	local what=$1 log=$2
	shift 2
	refused "$what" "$log" infoblock "$@"
	repaired "$what"
}
by_libnvdimm "unsupported align" "init failed, alignment mismatch: .*:65536" align=0x10000
by_libnvdimm "misaligned offset" "bad offset: 0x300000 dax disabled align: 0x200000" dataoff=0x300000
by_libnvdimm "offset beyond the end" "pfn array size exceeds capacity of $NS" "dataoff=$total"
by_libnvdimm "misaligned start" "bad offset: .* dax disabled" start_pad=0x1000
by_libnvdimm "misaligned end" "resource end misaligned" end_trunc=0x1000

check "destroyed" destroy_device
is "nothing is left" "$(devices)$(reserved)" ""
done_testing
