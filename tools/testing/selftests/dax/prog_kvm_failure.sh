#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A page fails in the RAM of a guest of KVM, which is in a device of each align. The guest gets a machine check
# with the address when it touches that memory, and goes on. So does another guest in the same device.
# machines: nvdimm
# image: programs
# needs: qemu-system-x86_64
# limit: 400
# splat: due to hardware memory corruption
# tier: all
. ./lib.sh
. ./qemu.sh

[ -e bare ] || skip_all "there is no program for a guest: bare.c is for x86 only"
modprobe -a kvm_amd kvm_intel 2>/dev/null
[ -e /dev/kvm ] || skip_all "there is no KVM"
grep -q AuthenticAMD /proc/cpuinfo || skip_all "an Intel processor's guest gets a machine check before it touches the memory"
can_fail
accel=(-accel kvm -cpu host)

# check_at ADDRESS: the guest's answer when it touches memory that has failed there
check_at() { printf 'machine check at 0x%010x' $(($1)); }

for align in 4K 2M 1G; do
	# With 1 GiB, the guest has two entries. The second one is at 4 GiB of its addresses.
	case $align in
	1G) device=4G part=2G other=1G bad=$(((1 << 30) + (5 << 20))) there=$((1 << 32)) touch="far text" ;;
	*) device=512M part=192M other=$part bad=$((40 << 20)) there=$((40 << 20)) touch=verify ;;
	esac
	dax_device $align mem $device
	start a $part -machine max-ram-below-4g=1G -object "$(memory ram 0 $part align=$align)"
	start b $other -machine max-ram-below-4g=1G -object "$(memory ram $part $other align=$align)"
	for name in a b; do
		check "$align: guest $name comes up under KVM" up $name
		is "$align: it fills 32 MiB with a pattern" "$(guest $name fill 32)" ok
	done
	[ $align != 1G ] || is "$align: the first guest writes to its RAM at 4 GiB" "$(guest a far before)" before

	is "$align: a page of the RAM of the first guest fails" "$(fails $bad)" ok
	is "$align: the guest goes on, as long as it does not touch it" "$(guest a count)" 1
	refused=$(cat "$SYS/stats/refused_failed" 2>/dev/null)
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	is "$align: the guest gets a machine check when it touches it" "$(guest a $touch)" "$(check_at $there)"
	c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
	check "$align: QEMU logs that it has injected it" grep -q "MCE .*GUEST addr $(hex $there) .*injected" "$TMP/a.log"
	! rust_here device_dax || check "$align: a refused fault is counted" \
		test "$refused" -lt "$(cat "$SYS/stats/refused_failed")"
	is "$align: it goes on: it counts, and fills memory" "$(guest a count) $(guest a fill 4) $(guest a verify)" "2 ok ok"
	is "$align: the second guest goes on, with its pattern" "$(guest b verify) $(guest b fill 48) $(guest b verify)" "ok ok ok"

	# ---- memory that the guest has not touched ----

	if [ $align != 1G ]; then
		c_known_wrong device_dax failure-untouched "the failure of memory that nobody touched is refused"
		is "$align: a page fails that the second guest has not touched" "$(fails "$(bytes $part) + (100 << 20)")" ok
		c_known_wrong device_dax failed-memory "a fault maps memory that has failed"
		is "$align: it gets a machine check when it touches it" "$(guest b fill 96)" "$(check_at "100 << 20")"
		is "$align: it goes on" "$(guest b fill 48) $(guest b verify)" "ok ok"
	fi
	check "$align: the first guest ends" end a
	check "$align: the second guest ends" end b
	check "$align: nothing keeps the device: it is unbound" unbind
	check "$align: and bound" bind
	start a $part -machine max-ram-below-4g=1G -object "$(memory ram 0 $part align=$align)"
	check "$align: a guest in the memory that had failed comes up" up a
	is "$align: it fills 32 MiB with a pattern and reads it back" "$(guest a fill 32) $(guest a verify)" "ok ok"
	check "$align: it ends" end a
	destroy_device >/dev/null
done
done_testing
