#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Each module in either language, with each other module in either language: providers with
# consumers, and one consumer after another on the same device. The core is that of the kernel.
# machines: nvdimm hmem cxl
# limit: 400
# kernel: rust c-core
# tier: all
. ./lib.sh

CONSUMERS="device_dax kmem fsdev_dax"
KMEM=/sys/bus/dax/drivers/kmem
FS=/sys/bus/dax/drivers/fsdev_dax
mnt=$TMP/mnt
mkdir "$mnt"

# load LANGUAGE MODULE [PARAMETER]...
load()
{
	local language=$1 module=$2
	shift 2
	case $language in
	C) insmod "./upstream/$module.ko" "$@" ;;
	*) modprobe "$module" "$@" ;;
	esac || not_ok "$module ($language) can be loaded" "$(dmesg | tail -n 5)"
	# The taint tells a module that was built outside the kernel's tree.
	case $language$(cat "/sys/module/$module/taint") in
	C*O* | Rust) ;;
	*) not_ok "$module is $language" ;;
	esac
}

unload_all()
{
	local module
	umount "$mnt" 2>/dev/null
	for module in dax_onefile dax_cxl dax_hmem dax_pmem dax_pmem_compat kmem fsdev_dax device_dax; do
		[ ! -d /sys/module/$module ] || rmmod $module 2>"$TMP/rmmod" ||
			not_ok "$module can be unloaded" "$(cat "$TMP/rmmod")"
	done
}

as_before()
{
	unload_all
	modprobe -a dax_pmem device_dax kmem fsdev_dax
	case $MACHINE in
	hmem)
		modprobe dax_hmem
		udevadm settle
		echo dax0.0 >$KMEM/unbind
		;;
	cxl) cxl destroy-region -f all >/dev/null 2>&1 ;;
	esac
	udevadm settle
}

# pair CONSUMER: report that provider and consumer passed, for the table of run/all_kernels.py
failed_before=0
pair()
{
	[ "$KTAP_CNT_FAIL" != "$failed_before" ] || echo "# pair: ${provider%%:*}|${provider#*:}|$1|$(language "$1")"
	failed_before=$KTAP_CNT_FAIL
}
language() { eval "echo \$lang_$1"; }

# bound_to DRIVER: bind DEV to this driver, and to no other
bound_to()
{
	[ ! -e "$SYS/driver" ] || echo "$DEV" >"$SYS/driver/unbind"
	[ "$1" = none ] || result "/sys/bus/dax/drivers/$1/new_id" "$DEV"
}
leave_driver() { echo "$DEV" >"/sys/bus/dax/drivers/$1/remove_id"; bound_to none; }

as_device()
{
	bound_to device_dax >/dev/null
	session a
	is "$1: $(language device_dax) device_dax maps it" \
		"$(driver) $(ask a open f "$NODE")/$(ask a mmap m f 4M 0)/$(ask a write m 2M "$2") $(ask a read m 2M)" \
		"device_dax ok/ok/ok $2"
	leave_driver device_dax
	is "$1: $(language device_dax) device_dax is unbound while it is mapped" "$(driver) $(ask a read m 2M)" "none SIGBUS ADRERR at 0x200000"
	leave a
	pair device_dax
}

as_memory()
{
	local there gone
	bound_to kmem >/dev/null
	there="$(driver) $([ -n "$(its_memory)" ] && echo added)"
	leave_driver kmem
	[ -n "$(its_memory)" ] && gone="still there" || gone=removed
	is "$1: $(language kmem) kmem adds the memory, and removes it" "$there $(driver) $gone" "kmem added none removed"
	pair kmem
}

as_files()
{
	local out
	bound_to fsdev_dax >/dev/null
	out="$(driver) $(daxtest <<<"open f $NODE")"
	if mount -t onefile -o "size=$SIZE" "$NODE" "$mnt" 2>"$TMP/mount"; then
		out+=" $(daxtest <<-DAX
			open f $mnt/data	= ok
			mmap m f 4M 0		= ok
			read m 2M		= $2
			write m 0 $2		= ok
			fsync f			= ok
		DAX
		)mounted"
		umount "$mnt"
	else
		out+=" $(cat "$TMP/mount")"
	fi
	leave_driver fsdev_dax
	is "$1: $(language fsdev_dax) fsdev_dax gives it to a file system" "$out $(driver)" "fsdev_dax ok mounted none"
	pair fsdev_dax
}

# one_by_one HOW: bind each consumer in turn, and device_dax after each
one_by_one()
{
	as_device "$1" 11
	[ ! -d /sys/module/dax_onefile ] || as_files "$1" 11
	as_device "$1" 12
	as_memory "$1"
	as_device "$1" 13
}

# combined: print all combinations of languages for the three consumers
combined()
{
	local device kmem files
	for device in Rust C; do for kmem in Rust C; do for files in Rust C; do
		echo "$device $kmem $files"
	done; done; done
}

# consumers DEVICE KMEM FSDEV: load them in these languages
consumers()
{
	lang_device_dax=$1 lang_kmem=$2 lang_fsdev_dax=$3
	load "$1" device_dax
	load "$2" kmem
	load "$3" fsdev_dax
	modprobe dax_onefile
}

alone
on_exit as_before
case $MACHINE in
nvdimm)
	dax_device 2M mem 256M
	destroyed="ndctl destroy-namespace -f $NS"
	device=$DEV
	while read -r provider_language device_language kmem_language files_language; do
		unload_all
		consumers "$device_language" "$kmem_language" "$files_language"
		load "$provider_language" dax_pmem
		provider=dax_pmem:$provider_language
		use_device "$device"
		bound_to none
		one_by_one "$provider_language dax_pmem"
	done < <(combined | sed 's/^/Rust /'; combined | sed 's/^/C /')
	$destroyed >/dev/null 2>&1

	# Behind another namespace, with 1 GiB: one module must know where the pages begin.
	other=$(ndctl create-namespace -m fsdax -s 64M | jq -r .dev)
	for languages in "Rust C" "C Rust" "Rust Rust"; do
		unload_all
		load "${languages#* }" device_dax
		load "${languages% *}" dax_pmem
		dax_device 1G mem 2G
		dax "${languages% *} dax_pmem, ${languages#* } device_dax: 1 GiB, behind another namespace" <<-DAX
			open f $NODE		= ok
			mmap m f 1G 0		= ok
			write m 0 5		= ok
			read m 0		= 5
		DAX
		destroy_device >/dev/null
	done
	ndctl destroy-namespace -f "$other" >/dev/null 2>&1

	# ---- the class ----

	unload_all
	if in_c core; then
		refuse "Kconfig does not have dax_pmem_compat with a core in C" "not found" modprobe dax_pmem_compat
		# The module of a kernel with the core in Rust, if there is one.
		if [ -e upstream/dax_pmem_compat.ko ]; then
			modprobe -a libnvdimm device_dax
			log_mark
			refuse "a dax_pmem_compat from another kernel is not loaded" \
				"Unknown symbol" insmod upstream/dax_pmem_compat.ko
			log_has "the log names the missing symbol" \
				"dax_pmem_compat: Unknown symbol dax_class_driver_get"
		else
			skip "a dax_pmem_compat from another kernel is not loaded" "there is no kernel-rust"
		fi
	else
		for language in Rust C; do
			unload_all
			lang_device_dax=$language
			load "$language" device_dax
			load Rust dax_pmem_compat
			provider=dax_pmem_compat:Rust
			PLACE=$CLASS
			dax_device 2M mem 256M
			session a
			is "Rust dax_pmem_compat, $language device_dax: the device is mapped" \
				"$(ask a open f "$NODE")/$(ask a mmap m f 4M 0)/$(ask a write m 2M 21) $(ask a read m 2M)" \
				"ok/ok/ok 21"
			is "the uevent names no driver" "$(grep -c DRIVER "$SYS/uevent")" 0
			nd=$(basename "$(readlink -f "$SYS/device")")
			refuse "device_dax cannot be removed" "in use" rmmod device_dax
			echo "$nd" >/sys/bus/nd/drivers/dax_pmem_compat/unbind
			is "the device is removed while it is mapped" \
				"$([ -e "$SYS" ] || echo gone) $(ask a read m 2M)" \
				"gone SIGBUS ADRERR at 0x200000"
			echo "$nd" >/sys/bus/nd/drivers/dax_pmem_compat/bind
			leave a
			dax "the device is back, with its data" <<-DAX
				open f $NODE		= ok
				mmap m f 4M 0		= ok
				read m 2M		= 21
			DAX
			pair device_dax
			destroy_device >/dev/null
			PLACE=$BUS
		done

		# Not in Kconfig: user space could not tell which module gets a namespace.
		unload_all
		load Rust device_dax
		load C dax_pmem
		load Rust dax_pmem_compat
		log_mark
		dax_device 2M mem 256M
		is "C dax_pmem has the namespaces, dax_pmem_compat has none" \
			"$(ls $BUS) $(ls $CLASS)" "$DEV "
		nd=$(basename "$(dirname "$SYS")")
		echo "$nd" >/sys/bus/nd/drivers/dax_pmem/unbind
		is "dax_pmem_compat refuses the namespace" \
			"$(result /sys/bus/nd/drivers/dax_pmem_compat/bind "$nd")" EBUSY
		log_has "the log has the reason" \
			"dax_pmem_compat dax.*: $NS: dax_pmem is not the one in Rust, so that both have namespaces; .* $NS"
		echo "$nd" >/sys/bus/nd/drivers/dax_pmem/bind
		destroy_device >/dev/null
	fi
	;;
hmem)
	while read -r provider_language device_language kmem_language files_language; do
		unload_all
		consumers "$device_language" "$kmem_language" "$files_language"
		load "$provider_language" dax_hmem region_idle=1
		provider=dax_hmem:$provider_language
		use_device dax0.0
		bound_to none
		echo $((256 << 20)) >"$SYS/size"
		use_device dax0.0
		one_by_one "$provider_language dax_hmem"
		echo 0 >"$SYS/size"
	done < <(combined | sed 's/^/Rust /'; combined | sed 's/^/C /')
	;;
cxl)
	modprobe dax_cxl
	cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null 2>"$TMP/cxl" ||
		bail_out "cxl create-region: $(cat "$TMP/cxl")"
	# A small device: CXL memory is slow in QEMU.
	while read -r provider_language hmem_language consumer_language; do
		unload_all
		consumers "$consumer_language" "$consumer_language" "$consumer_language"
		load "$hmem_language" dax_hmem
		load "$provider_language" dax_cxl
		provider=dax_cxl:$provider_language
		for _ in $(seq 100); do [ ! -e $BUS/dax0.0/size ] || break; sleep 0.1; done
		use_device dax0.0
		bound_to none
		echo 0 >"$SYS/size"
		echo $((256 << 20)) >"$SYS/size"
		use_device dax0.0
		one_by_one "$provider_language dax_cxl, $hmem_language dax_hmem"
		echo 0 >"$SYS/size"
	done < <(for a in Rust C; do for b in Rust C; do for c in Rust C; do echo "$a $b $c"; done; done; done)
	;;
esac
done_testing
