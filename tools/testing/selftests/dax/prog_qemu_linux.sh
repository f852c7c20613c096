#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Linux in a guest of QEMU whose RAM and NVDIMM are in a device. A new QEMU goes on with the guest,
# without a copy of the RAM.
# machines: nvdimm
# image: programs
# needs: qemu-system-x86_64 cpio xz
# limit: 900
# tier: all
. ./lib.sh
. ./qemu.sh

# Also the guest's kernel is the one under test.
KERNEL=./nested-kernel
[ -e $KERNEL ] || KERNEL=/boot/vmlinuz-$(uname -r)
[ -e "$KERNEL" ] || skip_all "there is no kernel for a guest: neither $PWD/nested-kernel nor $KERNEL"

# files MODULE: the files of a module, in the order of loading. modprobe --show-depends leaves out what is loaded.
files()
{
	local tree
	tree=/lib/modules/$(uname -r)
	awk -F '[: ]+' -v tree="$tree" -v module="/$1[.]ko" \
		'$1 ~ module { for (i = NF; i; i--) if ($i != "") print tree "/" $i }' "$tree/modules.dep"
}

# initramfs: make the guest's one, with the modules that an NVDIMM needs
initramfs()
{
	local root=$TMP/root module i=10
	mkdir -p "$root/modules"
	cp nested-init "$root/init"
	for module in $({ files nfit; files nd_pmem; } | awk '!seen[$0]++'); do
		case $module in
		*.xz) xz -dc "$module" ;;
		*.zst) zstd -qdc "$module" ;;
		*) cat "$module" ;;
		esac >"$root/modules/$((i++)).ko"
	done
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$TMP/initramfs"
}

initramfs
check "there is an initramfs with the modules for an NVDIMM" test "$(ls "$TMP/root/modules" | wc -l)" -ge 3
kernel=(-kernel "$KERNEL" -initrd "$TMP/initramfs" -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off \
	tsc=nowatchdog highres=off no_timer_check rcupdate.rcu_cpu_stall_timeout=300")

dax_device 2M mem 512M
ram=$(memory ram 0 192M align=2M)
nvdimm=(-object "$(memory nv 256M 128M align=2M pmem=on)" -device nvdimm,memdev=nv)
start a 192M -object "$ram" "${nvdimm[@]}"
check "a guest with its RAM and an NVDIMM in the device comes up" up a
total=$(guest a memory)
check "it has 192 MiB of RAM, less what its kernel keeps: $total kB" \
	test "$total" -gt $((64 << 10)) -a "$total" -le $((192 << 10))
is "the entries of QEMU's mappings have 2 MiB" "$(entries a)" 2048
is "the NVDIMM has 128 MiB" "$(guest a word /sys/block/pmem0/size)" $((128 << 11))
at=$(guest a place in-RAM-$$)
is "a text that the guest writes to its RAM at $at is in the device there" "$(text "$at")" "in-RAM-$$"
is "the guest writes to its NVDIMM" "$(guest a put /dev/pmem0 0x100000 in-NVDIMM-$$)" ok
is "the text is in the device behind the RAM" "$(text $((0x10000000 + 0x100000)))" "in-NVDIMM-$$"
is "the guest fills 16 MiB with a pattern" "$(guest a fill 16)" ok
is "the guest counts" "$(guest a count)" 1
boot=$(guest a word /proc/sys/kernel/random/boot_id)

check "the guest is saved" save a "$TMP/saved"
size=$(stat -c %s "$TMP/saved")
check "what was saved does not have the RAM: $size bytes" test "$size" -lt $((8 << 20))
start a 192M -object "$ram" "${nvdimm[@]}" -incoming defer
restore a "$TMP/saved"
is "a new QEMU goes on with it: it counts on" "$(guest a count)" 2
is "it is the same boot" "$(guest a word /proc/sys/kernel/random/boot_id)" "$boot"
is "its 16 MiB have the pattern" "$(guest a verify)" ok
is "its NVDIMM has the text" "$(guest a get /dev/pmem0 0x100000)" "in-NVDIMM-$$"
at=$(guest a place again-$$)
is "what it writes now is in the device, too" "$(text "$at")" "again-$$"
check "the guest ends" end a
is "after its end its RAM is in the device" "$(text "$at")" "again-$$"
is "and its NVDIMM" "$(text $((0x10000000 + 0x100000)))" "in-NVDIMM-$$"
check "nothing keeps the device: it is unbound" unbind
check "and bound" bind
done_testing
