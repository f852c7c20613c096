#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# CXL memory that firmware also marked as soft-reserved. Its owner is decided after all drivers have
# probed: memory in a CXL region belongs to CXL, dax_hmem takes the rest.
# machines: cxl
# needs: cxl
# append: memmap=4G%0x590000000+0xefffffff modprobe.blacklist=dax_hmem,dax_cxl
# limit: 120
. ./lib.sh

# Do not access memory in this test: outside a CXL region there is none behind the addresses.
settle() { sleep 1; udevadm settle; }
# regions: print owner and size of each dax region
regions()
{
	local d
	for d in /sys/bus/platform/devices/hmem.*/dax_region /sys/bus/cxl/devices/dax_region*/dax_region; do
		[ -e "$d/size" ] || continue
		[[ $d = *hmem* ]] && echo "hmem $(($(cat "$d/size") >> 30))G" || echo "cxl $(($(cat "$d/size") >> 30))G"
	done | sort | tr '\n' ' '
}
on_exit "cxl disable-region -f all; cxl destroy-region -f all; rmmod dax_cxl; rmmod dax_hmem"

like "the CXL window" "$(cat /proc/iomem)" '^590000000-68fffffff : CXL Window 0'
like "firmware marked all of it as soft-reserved" "$(dmesg)" 'user: \[mem 0x0*590000000-0x0*68fffffff\]  soft reserved'
is "there is no dax region" "$(regions)" ""

# ---- no CXL region: dax_hmem takes all soft-reserved memory ----

check "dax_hmem is loaded" modprobe dax_hmem region_idle=1
settle
is "it offers the memory" "$(regions)" "hmem 4G "
rmmod dax_hmem
modprobe dax_hmem region_idle=1
settle
c_known_wrong dax_hmem hmem-cxl-once "a reload of the module loses the memory that CXL did not take"
is "it offers the memory again after a reload" "$(regions)" "hmem 4G "
echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/unbind
echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/bind
settle
c_known_wrong dax_hmem hmem-cxl-once "a second bind loses the memory that CXL did not take"
is "it offers the memory again after its device was bound again" "$(regions)" "hmem 4G "
wrong=
for _ in 1 2 3 4 5 6 7 8; do
	echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/unbind || wrong+='unbind '
	echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/bind || wrong+='bind '
done
is "eight unbinds and binds, without waiting for the decision" "$wrong" ""
settle
c_known_wrong dax_hmem hmem-cxl-once "a second bind loses the memory that CXL did not take"
is "it offers the memory after that" "$(regions)" "hmem 4G "

# ---- a CXL region over memory that dax_hmem already has ----

check "a CXL region over half of the memory" cxl create-region -m -t ram -d decoder0.0 mem0
log_mark
modprobe dax_cxl
settle
if ! in_c core dax_hmem dax_cxl; then
	is "the memory stays with dax_hmem" "$(regions)" "hmem 4G "
	log_has "the core logs the reason" \
		'dax region of 0x590000000-0x60fffffff refused: another region has some of it'
	log_has "dax_cxl logs how to resolve it" \
		'no instance for 0x590000000-0x60fffffff: error -16; if dax_hmem has the memory, unbind its hmem device, then: cxl disable-region region0; cxl enable-region region0'
	piece=$(basename /sys/bus/platform/devices/hmem.*)
	check "the hmem device is unbound, as the message says" \
		bash -c "echo $piece >/sys/bus/platform/drivers/hmem/unbind"
	check "the CXL region is disabled and enabled, as the message says" \
		bash -c "cxl disable-region region0 && cxl enable-region region0"
	settle
	is "CXL has the memory after that" "$(regions)" "cxl 2G "
fi

# ---- a CXL region that exists before dax_hmem is loaded ----

rmmod dax_cxl dax_hmem
check "dax_cxl loads, and loads dax_hmem" modprobe dax_cxl
settle
c_known_wrong dax_hmem hmem-cxl-once "after the first probe, all memory in CXL windows is left to CXL"
is "CXL has its half of the memory, dax_hmem the other half" "$(regions)" "cxl 2G hmem 2G "
is "kmem binds to the device" "$(basename "$(readlink /sys/bus/dax/devices/dax0.0/driver)")" kmem
rmmod dax_cxl dax_hmem
log_mark
modprobe dax_cxl
settle
is "dax_hmem leaves the whole window to CXL from now on" "$(regions)" "cxl 2G "
if ! in_c dax_hmem; then
	log_has "dax_hmem logs that" \
		'memory 0x590000000-0x68fffffff is left to CXL, which had some of it before; the rest is offered after a reboot'
fi
cxl disable-region region0 >/dev/null 2>&1
cxl destroy-region region0 >/dev/null 2>&1
rmmod dax_cxl dax_hmem
modprobe dax_hmem
settle
is "dax_hmem offers nothing, even after the CXL region was destroyed" "$(regions)" ""
done_testing
