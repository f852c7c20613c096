#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# CXL memory that is soft-reserved, too. Who has it is decided once all drivers have been
# probed: what CXL has made a region of is CXL's, the rest is dax_hmem's.
# machines: cxl
# needs: cxl
# append: memmap=4G%0x590000000+0xefffffff modprobe.blacklist=dax_hmem,dax_cxl
# limit: 120
. ./lib.sh

# Nothing here may touch memory: where there is no region, there is none.
settle() { sleep 1; udevadm settle; }
# Of each region where it is, how large, and whose.
regions()
{
	local d
	for d in /sys/bus/platform/devices/hmem.*/dax_region /sys/bus/cxl/devices/dax_region*/dax_region; do
		[ -e "$d/size" ] || continue
		[[ $d = *hmem* ]] && echo "hmem $(($(cat "$d/size") >> 30))G" || echo "cxl $(($(cat "$d/size") >> 30))G"
	done | sort | tr '\n' ' '
}
on_exit "cxl disable-region -f all; cxl destroy-region -f all; rmmod dax_cxl; rmmod dax_hmem"

like "the window of CXL" "$(cat /proc/iomem)" '^590000000-68fffffff : CXL Window 0'
like "all of it is marked" "$(dmesg)" 'user: \[mem 0x0*590000000-0x0*68fffffff\]  soft reserved'
is "nothing is there" "$(regions)" ""

# ---- no CXL region: firmware's word is all there is ----

check "dax_hmem is loaded" modprobe dax_hmem region_idle=1
settle
is "it offers the memory" "$(regions)" "hmem 4G "
rmmod dax_hmem
modprobe dax_hmem region_idle=1
settle
c_known_wrong dax_hmem "what CXL did not have is lost when the module is loaded again"
is "and so it does when it is loaded again" "$(regions)" "hmem 4G "
echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/unbind
echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/bind
settle
c_known_wrong dax_hmem "likewise"
is "and when its device is bound again" "$(regions)" "hmem 4G "
wrong=
for _ in 1 2 3 4 5 6 7 8; do
	echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/unbind || wrong+='unbind '
	echo hmem_platform.0 >/sys/bus/platform/drivers/hmem_platform/bind || wrong+='bind '
done
is "over and over, without waiting for the decision" "$wrong" ""
settle
c_known_wrong dax_hmem "likewise"
is "each time" "$(regions)" "hmem 4G "

# ---- a CXL region where dax_hmem has the memory already ----

check "a CXL region over a half of it" cxl create-region -m -t ram -d decoder0.0 mem0
log_mark
modprobe dax_cxl
settle
if ! in_c core dax_hmem dax_cxl; then
	is "the memory stays with dax_hmem" "$(regions)" "hmem 4G "
	log_has "the core says why" 'dax region of 0x590000000-0x60fffffff refused: another region has some of it'
	log_has "dax_cxl says what to do" 'no instance for 0x590000000-0x60fffffff: error -16; if dax_hmem has the memory, unbind its hmem device, then: cxl disable-region region0; cxl enable-region region0'
	piece=$(basename /sys/bus/platform/devices/hmem.*)
	check "which is done" bash -c "echo $piece >/sys/bus/platform/drivers/hmem/unbind"
	check "and that" bash -c "cxl disable-region region0 && cxl enable-region region0"
	settle
	is "then it is CXL's" "$(regions)" "cxl 2G "
fi

# ---- a CXL region that is there first ----

rmmod dax_cxl dax_hmem
check "dax_hmem is loaded again, by dax_cxl" modprobe dax_cxl
settle
c_known_wrong dax_hmem "once probed, all memory in windows is left to CXL"
is "CXL has its half, dax_hmem the other" "$(regions)" "cxl 2G hmem 2G "
is "System RAM is for kmem to make" "$(basename "$(readlink /sys/bus/dax/devices/dax0.0/driver)")" kmem
rmmod dax_cxl dax_hmem
log_mark
modprobe dax_cxl
settle
is "from then on dax_hmem leaves the window alone" "$(regions)" "cxl 2G "
if ! in_c dax_hmem; then
	log_has "and says so" 'memory 0x590000000-0x68fffffff is left to CXL, which had some of it before; the rest is offered after a reboot'
fi
cxl disable-region region0 >/dev/null 2>&1
cxl destroy-region region0 >/dev/null 2>&1
rmmod dax_cxl dax_hmem
modprobe dax_hmem
settle
is "even if the region is destroyed: nothing may be there" "$(regions)" ""
done_testing
