#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest survives the kernel of its host. Its RAM is in a device. The host's kernel changes by kexec, from
# Rust to upstream's C and back, ten times. The device stays as it was, and a new QEMU goes on with the guest.
# machines: nvdimm
# image: programs
# boots: 21
# kexec: c rust
# append: maxcpus=1
# kernel: rust
# needs: qemu-system-x86_64 kexec
# limit: 900
# tier: all
. ./lib.sh
. ./qemu.sh

# Like prog_qemu_linux: the guest is Linux.
KERNEL=./nested-kernel
[ -e $KERNEL ] || KERNEL=/boot/vmlinuz-$(uname -r)
mkdir -p "$TMP/root"
cp nested-init "$TMP/root/init"
(cd "$TMP/root" && find . | cpio -o -H newc --quiet) >"$TMP/initramfs"
kernel=(-kernel "$KERNEL" -initrd "$TMP/initramfs" -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off \
	tsc=nowatchdog highres=off no_timer_check rcupdate.rcu_cpu_stall_timeout=300")

# checksum: of the whole device
checksum()
{
	python3 - "$NODE" "$SIZE" <<-'EOF'
		import hashlib, mmap, os, sys
		with mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2]), mmap.MAP_SHARED, mmap.PROT_READ) as m:
		    print(hashlib.sha256(m).hexdigest())
	EOF
}

# keep NAME VALUE: keep a value for the next boot; kept NAME prints it
keep() { echo "$2" >"$PERSIST/kexec-$1"; }
kept() { cat "$PERSIST/kexec-$1"; }

is "boot $BOOT: device_dax is in $([ $((BOOT % 2)) = 1 ] && echo Rust || echo C)" \
	"$(in_c device_dax && echo C || echo Rust)" "$([ $((BOOT % 2)) = 1 ] && echo Rust || echo C)"
if [ "$BOOT" = 1 ]; then
	dax_device 2M mem 256M
	at_exit=()
	keep device "$DEV $NS"
else
	read -r DEV NS <<<"$(kept device)"
	use_device "$DEV"
	check "$DEV is bound" wait_bound
	is "it has the same size, align and namespace" \
		"$SIZE $(cat "$SYS/align") $(ndctl list -Xn "$NS" | jq -r '.[0].daxregion.devices[0].chardev')" "$(kept shape)"
	is "the whole device has the same content" "$(checksum)" "$(kept checksum)"
fi

ram=$(memory ram 0 192M align=2M)
if [ "$BOOT" = 1 ]; then
	start a 192M -object "$ram"
	check "a guest with its RAM in the device comes up" up a
	is "it fills 16 MiB with a pattern" "$(guest a fill 16)" ok
	keep boot "$(guest a word /proc/sys/kernel/random/boot_id)"
	keep text "$(guest a place in-RAM-$$) in-RAM-$$"
else
	start a 192M -object "$ram" -incoming defer
	restore a "$PERSIST/kexec-saved"
	is "it is the same boot of the guest" "$(guest a word /proc/sys/kernel/random/boot_id)" "$(kept boot)"
	is "its 16 MiB have the pattern" "$(guest a verify)" ok
fi
is "the guest counts its hosts" "$(guest a count)" "$BOOT"
read -r at text <<<"$(kept text)"
is "the entries of QEMU's mappings have 2 MiB" "$(entries a)" 2048
if [ "$BOOT" = 21 ]; then
	check "the guest ends" end a
	is "after its end its RAM is in the device" "$(text "$at")" "$text"
	check "the namespace is destroyed" ndctl destroy-namespace -f "$NS"
	done_testing
	exit
fi
check "the guest is saved" save a "$PERSIST/kexec-saved"
is "its RAM is in the device" "$(text "$at")" "$text"
keep shape "$SIZE $(cat "$SYS/align") $DEV"
keep checksum "$(checksum)"
done_testing
