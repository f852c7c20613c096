#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A namespace that contradicts its info block, or was not set up completely: there is no device and
# no reservation, the log has the reason, and ndctl repairs the namespace.
# machines: nvdimm legacy
# needs: python3
# limit: 600
# impl: rust dax_pmem - C trusts several of these info blocks, or fails without a message
# bug: pmem-info-block
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
	check "$1: the device is back" wait_bound
	is "$1: the device is unchanged" "$(now)" "$whole"
}

# refused DESCRIPTION LOG COMMAND...: after the command, enabling the namespace must fail
refused()
{
	local what=$1 log=$2
	shift 2
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	"$@"
	log_mark
	refuse "$what: the namespace is not enabled" "failed to enable|No such device" ndctl enable-namespace "$NS"
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

# ---- info blocks that dax_pmem refuses ----

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

# The addition in libnvdimm's own check overflows, so the check passes.
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
	check "$what: with its old size the namespace is enabled" ndctl enable-namespace "$NS"
	check "$what: the device is back" wait_bound
	is "$what: the device is unchanged" "$(now)" "$whole"
fi

# Bind again and again. A CPU keeps up to 60 free objects of each cache, and these count as well.
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
check_memory "$what: no memory is leaked ($most)" test "${most%% *}" -lt $((turns / 2))
check "$what: the module can be unloaded" modprobe -r dax_pmem
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

# ---- devices set up by hand: incomplete, or in conflict with the info block ----

setup 2M mem 512M
uuid=$(cat $ND/$nd/uuid)
configure()	# NAMESPACE UUID MODE: set up libnvdimm's seed device; a dash leaves an attribute unset
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
is "without a namespace: the log has no message of dax_pmem" \
	"$(log_since | grep "dax_pmem.*: " | grep -v 'probe with driver')" ""
configure "$NS" - -
log_mark
# The UUID was set above, since a new seed device has none.
is "attached again, with its mode" "$(attach)" ok
check "reattached: the device is back" wait_bound
is "reattached: the device is unchanged" "$(now)" "$whole"

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
check "ndctl enables the namespace as its info block says" ndctl enable-namespace "$NS"
is "the device is unchanged" "$(now)" "$whole"

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
is "with the info block restored" "$(attach)" ok
check "with the info block restored: the device is back" wait_bound
is "with the info block restored: the device is unchanged" "$(now)" "$whole"
repaired "in the end"

# ---- info blocks that libnvdimm rejects before dax_pmem probes ----

not_devdax()	# DESCRIPTION FIELD=NUMBER: libnvdimm takes it for a namespace without a mode
{
	local what=$1
	shift
	ndctl disable-namespace "$NS" >/dev/null 2>&1
	infoblock "$@"
	check "$what: the namespace is enabled" ndctl enable-namespace "$NS"
	check "$what: it is a block device" test -b "/dev/$(ls $ND/$NS/block)"
	is "$what: there is no dax device" "$(ls /sys/bus/dax/devices)" ""
	repaired "$what"
}
not_devdax "wrong checksum" flip=3000
not_devdax "wrong signature" flip=3
not_devdax "UUID of another namespace" parent_uuid=0x1234
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

check "the namespace is destroyed" destroy_device
is "nothing is left" "$(devices)$(reserved)" ""
done_testing
