# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Code that all tests share. A test is a bash script in this directory that sources this file, calls
# the functions below, and ends with "done_testing". Its head says where and how it runs:
#
#   # machines: nvdimm legacy    machines that it runs on, see machine.sh (default: nvdimm)
#   # boots: 2                   number of boots with the same persistent memory (default: 1);
#                                $BOOT is the number of this one
#   # kexec: c rust              these kernels start each other between the boots, without a power off; "crash":
#                                the kernel that "kexec -p" has loaded does; "off": a power off after all
#   # limit: 120                 seconds that it may take in one boot (default: 120)
#   # image: programs            the guest's image, see tools/testing/dax/README.rst (default: guest)
#   # append: maxcpus=1          additions to the kernel's command line
#   # leaves: memory             the state it leaves behind on purpose; it then needs an append
#   # impl: rust core - why      runs only where these drivers are Rust; if none is named, all
#   # bug: PAGE...               or where these bugs of the drivers in C are fixed, see has_bug
#   # needs: fio                 programs that not every machine has
#   # tools: next                uses the ndctl, daxctl and cxl in $DAX_TEST_NEXT instead of those in PATH
#   # tier: all                  takes long, and runs only on request
#   # kernel: debug              kernels of tools/testing/dax that it is for (default: all)
#   # splat: REGEX               warnings that the kernel may log during the test
#   # splat-in-c: REGEX          the same, if device_dax is upstream's C
#
# The output is KTAP, written by the kernel's own helpers. A line "# count: 100 power cuts" says how
# often something was tried.
#
# tools/testing/dax runs the tests in its own machines. It sets MACHINE, IN_C (the drivers that are
# upstream's C in this kernel: core, device_dax ...), BOOT, PERSIST (a directory that survives
# reboots), PACE (a factor for all time limits) and C_FIXED (the bugs of upstream's C that this kernel
# does not have).
#
# On any other machine, run "make -C tools/testing/selftests TARGETS=dax run_tests". This file then
# finds out the values that are not set. A test that does not fit the machine is skipped with the
# reason. The tests make and destroy namespaces, and take memory away from its users, so they are
# skipped unless these variables allow them:
#
#   DAX_TEST_DESTROY=yes   memory that DAX can reach holds no data of value
#   DAX_TEST_LONG=yes      run tests that take long, too; raise kselftest's own limit for them
#
# Some tests run once more with newer tools, if they are in DAX_TEST_NEXT=/opt/ndctl-next/bin.

set -u
export LC_ALL=C PATH=$PWD:$PATH
. ../kselftest/ktap_helpers.sh
. ./machine.sh

skip_all() { ktap_skip_all "$*"; exit "$KSFT_SKIP"; }

# rust_here [DRIVER...]: true if these drivers are Rust; without arguments, if all are
rust_here()
{
	local part
	for part in ${*:-$IN_C}; do
		in_c "$part" && return 1
	done
	return 0
}

# all_fixed PAGE...: true if this kernel has the fixes of all these bugs
all_fixed()
{
	local page
	[ $# != 0 ] || return
	for page; do [[ " ${C_FIXED:-} " == *" $page "* ]] || return; done
}

# anywhere: find out the values that tools/testing/dax would have set, or skip the test
anywhere()
{
	local each kind impl
	[ $UID = 0 ] || skip_all "only root can run it"
	[ "${DAX_TEST_DESTROY:-}" = yes ] ||
		skip_all "it takes the memory of the machine; DAX_TEST_DESTROY=yes allows that"
	[ "$(head_of "$0" tier)" != all ] || [ "${DAX_TEST_LONG:-}" = yes ] ||
		skip_all "it takes long; DAX_TEST_LONG=yes runs it"
	[ -z "$(head_of "$0" boots)" ] || skip_all "it needs a reboot; see tools/testing/dax"
	for each in ndctl daxctl jq udevadm daxtest $(head_of "$0" needs); do
		command -v "$each" >/dev/null || skip_all "there is no $each"
	done
	for each in $(head_of "$0" append); do
		[[ " $(cat /proc/cmdline) " = *" $each "* ]] ||
			skip_all "the kernel was not started with $each"
	done
	case $(head_of "$0" kernel) in
	*debug*) [ -e /proc/self/fail-nth ] || skip_all "the kernel injects no failures" ;;
	?*) [ -d ./upstream ] || skip_all "there are no modules in C beside those of the kernel" ;;
	esac

	kind=$(head_of "$0" machines)
	for each in ${kind:-nvdimm}; do
		machine_is "$each" && MACHINE=$each && break
	done
	[ -n "$MACHINE" ] || skip_all "the machine has nothing that is like ${kind:-nvdimm}; see machine.sh"
	prepare >/dev/null 2>&1
	IN_C=$(parts_in_c | tr '\n' ' ')
	impl=$(head_of "$0" impl)
	impl=${impl%% - *}
	[ -z "$impl" ] || rust_here ${impl#rust} || all_fixed $(head_of "$0" bug) || skip_all "$(head_of "$0" impl); C here: $IN_C"
}

# Run the test with a time limit. kselftest's runner takes the exit status 124 for a timeout.
if [ -z "${DAX_TEST_LIMITED:-}" ]; then
	export MACHINE=${MACHINE:-} IN_C=${IN_C:-} BOOT=${BOOT:-1} PERSIST=${PERSIST:-} PACE=${PACE:-1}
	ktap_print_header
	if [ -n "$(head_of "$0" tools)" ]; then
		PATH=${DAX_TEST_NEXT:=/opt/ndctl-next/bin}:$PATH
		for each in ndctl daxctl cxl; do
			[ -x "$DAX_TEST_NEXT/$each" ] || skip_all "there is no $each in $DAX_TEST_NEXT"
		done
	fi
	[ -n "$MACHINE" ] || anywhere
	limit=$(head_of "$0" limit)
	limit=$((${limit:-120} * PACE))
	DAX_TEST_LIMITED=yes timeout -k 5 $limit bash "$0"
	status=$?
	[ $status != 124 ] || ktap_print_msg "it took longer than its limit of $limit s"
	exit $status
fi
unset DAX_TEST_LIMITED

todo=
TMP=$(mktemp -d /tmp/test.XXXXXX)
at_exit=()

# ---- results ----

# ktap HELPER ARG...: call a KTAP helper without globbing, and keep its variables out of the test
ktap()
{
	local - result description directive
	set -f
	"$@"
}

ok() { ktap ktap_test_pass "$1"; todo=; }

not_ok()
{
	if [ -n "$todo" ]; then
		ktap ktap_test_xfail "$1 ($todo)"
	else
		ktap ktap_test_fail "$1"
	fi
	[ $# -lt 2 ] || [ -z "$2" ] || printf '%s\n' "$2" | head -16 | sed 's/^/# /'
	todo=
}

skip() { ktap ktap_test_skip "$1 ($2)"; }

# in_c DRIVER...: true if at least one of these drivers is C in this kernel
in_c()
{
	local part
	for part in "$@"; do [[ " $IN_C " != *" $part "* ]] || return 0; done
	return 1
}

# has_bug PAGE DRIVER...: true if at least one of these drivers is C, and this kernel does not have the
# fix of the bug that Documentation/driver-api/dax/upstream-bugs/PAGE.rst describes
has_bug() { [[ " ${C_FIXED:-} " != *" $1 "* ]] && in_c "${@:2}"; }

# in_a_row N: the number of faults of a program that touches the memory of N large entries, at most 17,
# one after the other; the mapping must not cross page tables
in_a_row() { if in_c device_dax || [ "$1" -lt 2 ]; then echo "$1"; else echo 2; fi; }

# c_known_wrong DRIVER PAGE REASON: let the next case fail if the driver has this bug
c_known_wrong() { ! has_bug "$2" "$1" || todo="C: known wrong: $2: ${*:3}"; }

# check DESCRIPTION COMMAND...: the command must succeed
check()
{
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$what"; else not_ok "$what" "$* failed: $out"; fi
}

# within SECONDS COMMAND...: fail if the command takes longer; slow kernels get PACE times as long
within()
{
	local seconds=$(($1 * PACE)) status
	shift
	timeout $seconds "$@"
	status=$?
	[ $status != 124 ] || echo "took longer than $seconds s"
	return $status
}

# configured OPTION: true if the kernel is built with CONFIG_OPTION=y
configured()
{
	if [ -e /proc/config.gz ]; then zcat /proc/config.gz; else cat "/boot/config-$(uname -r)"; fi |
		grep -q "^CONFIG_$1=y"
}

# check_memory: like check, for the amount of free memory. KASAN delays frees, so it is skipped
# there; kernels with KASAN also have kmemleak, which finds leaks.
check_memory() { if configured KASAN; then skip "$1" "kmemleak looks"; else check "$@"; fi; }

# refuse DESCRIPTION PATTERN COMMAND...: the command must fail, with output that matches
refuse()
{
	local what=$1 pattern=$2 out
	shift 2
	if out=$("$@" 2>&1); then
		not_ok "$what" "$* succeeded: $out"
	elif ! grep -qiE -- "$pattern" <<<"$out"; then
		not_ok "$what" "$* says: $out (expected: $pattern)"
	else
		ok "$what"
	fi
}

# is DESCRIPTION GOT EXPECTED
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got \"$2\", expected \"$3\""; fi; }

# like DESCRIPTION GOT REGEX
like()
{
	if grep -qE -- "$3" <<<"$2"; then ok "$1"; else not_ok "$1" "got \"$2\", expected /$3/"; fi
}

# dax DESCRIPTION <<EOF: run a script in daxtest; each line must have the result that it names
dax()
{
	local out
	if out=$(daxtest 2>&1) && [ -z "$out" ]; then ok "$1"; else not_ok "$1" "$out"; fi
}

# selftest DEV: run the kernel's own selftest of kmem on DEV, bound to kmem, and report its cases
selftest()
{
	local line what
	DAX_KMEM_TEST_DEV=$1 bash ./dax-kmem-hotplug.sh >"$TMP/selftest" 2>&1
	grep -qE '^ok ' "$TMP/selftest" || not_ok "the kernel's selftest of kmem runs" "$(cat "$TMP/selftest")"
	while read -r line; do
		what="selftest: ${line#*ok [0-9]* }"
		case $line in
		"ok "*"# SKIP"*) skip "${what%% # SKIP*}" "${line##*# SKIP }" ;;
		"ok "*) ok "$what" ;;
		"not ok "*) not_ok "$what" ;;
		esac
	done <"$TMP/selftest"
}

bail_out() { ktap ktap_exit_fail_msg "$*"; }

done_testing() { ktap_set_plan $((KTAP_TESTNO - 1)); ktap_finished; }

# ---- the end ----

on_exit() { at_exit=("$*" "${at_exit[@]}"); }

finish()
{
	local status=$? todo
	trap - EXIT
	for todo in "${at_exit[@]}"; do eval "$todo"; done
	jobs -p | xargs -r kill -KILL 2>/dev/null
	wait 2>/dev/null
	rm -rf "$TMP"
	exit $status
}
trap finish EXIT

# ---- the kernel's log ----

mark=

log_mark() { mark="dax-test mark $$ $RANDOM$RANDOM"; echo "$mark" >/dev/kmsg; }

log_since() { dmesg | sed -n "/$mark/,\$p" | tail -n +2; }

# log_has DESCRIPTION REGEX: the log must match since the last log_mark
log_has()
{
	if log_since | grep -qE -- "$2"; then
		ok "$1"
	else
		not_ok "$1" "nothing like /$2/ in the log: $(log_since | tail -n 20)"
	fi
}

# says DESCRIPTION REGEX <<EOF: the log must match after this daxtest script has run. Messages are
# rate-limited, so the script runs again, for some seconds, until one gets through.
says()
{
	local script turn
	script=$(cat)
	for turn in 1 2 3 4 5 6 7 8; do
		log_mark
		daxtest <<<"$script" >/dev/null
		log_since | grep -qE -- "$2" && break
		sleep 1
	done
	log_has "$1" "$2"
}

# ---- the sizes of entries ----

bytes() { numfmt --from=iec "$1"; }

# iec BYTES: print a multiple of 1024 as bytes() reads it
iec()
{
	local n=$(($1 >> 10)) unit
	for unit in K M G T; do [ $((n % 1024)) = 0 ] || break; n=$((n / 1024)); done
	echo "$n$unit"
}

# The sizes of a pte, a pmd and a pud, as 4K, 2M and 1G, and page, the first one in bytes. PUD is empty
# where no entry of a pud is made, as on arm64. ALIGNS: those that there are.
page=$(getconf PAGESIZE)
PAGE=$(iec "$page")
PMD=$(iec $((page * page / 8)))
case $(uname -m) in x86_64) PUD=1G ;; *) PUD='' ;; esac
# shellcheck disable=SC2034
ALIGNS=("$PAGE" "$PMD" ${PUD:+"$PUD"})

# The align of a device where a test does not depend on it: a pmd, or a pte if the pmd is larger than the sizes in
# the tests.
case $PMD in 2M) ENTRY=$PMD ;; *) ENTRY=$PAGE ;; esac

# room ALIGN: a size for a device with this align: 256M, or as much as some entries need
room() { if [ "$(bytes "$1")" -lt $((256 << 20)) ]; then echo 256M; else echo 3G; fi; }

# The numa_node of soft-reserved memory in node 1. On x86 a node without memory is offline, so it is the nearest
# other node. On arm64 each node that firmware names is online.
# shellcheck disable=SC2034
case $(uname -m) in x86_64) near=0 ;; *) near=1 ;; esac

# ---- devices ----

# The current device: DEV (dax0.0), NODE (/dev/dax0.0), NS (namespace0.0), SYS (its directory in
# sysfs), SIZE (bytes).
DEV='' NODE='' NS='' SYS='' SIZE=''

# True if a libnvdimm region can hold several namespaces, of any size.
has_labels() { case $MACHINE in nvdimm*) true ;; *) false ;; esac; }

# dax_device ALIGN [MAP] [SIZE] [more for ndctl]: make a namespace in devdax mode, and wait until
# its instance is bound to device_dax. The namespace is destroyed when the test ends.
dax_device()
{
	local align=$1 map=${2:-mem} size=${3:-512M} json args
	shift $(($# < 3 ? $# : 3))
	if has_labels; then
		args=(-s "$size")
	else
		# Without labels, the one namespace takes the whole libnvdimm region.
		args=(-f -e namespace0.0)
	fi
	json=$(ndctl create-namespace -m devdax -a "$align" -M "$map" "${args[@]}" "$@" 2>"$TMP/ndctl") ||
		bail_out "ndctl create-namespace -m devdax -a $align -M $map ${args[*]}: $(cat "$TMP/ndctl")"
	NS=$(jq -r .dev <<<"$json")
	DEV=$(jq -r '.daxregion.devices[0].chardev' <<<"$json")
	on_exit "ndctl destroy-namespace -f $NS >/dev/null 2>&1"
	use_device "$DEV"
	wait_bound || bail_out "$DEV is not bound to device_dax"
}

# has_align ALIGN [DIRECTORY]: give a device this align, and take its memory if it has another
has_align()
{
	local sys=${2:-$SYS}
	[ "$(cat "$sys/align")" = "$(bytes "$1")" ] ||
		{ echo 0 >"$sys/size"; bytes "$1" >"$sys/align"; }
}

# any_device SIZE: make a device bound to device_dax from the memory that the machine has: NVDIMM,
# soft-reserved or CXL. The end of the test restores the previous state.
any_device()
{
	case $MACHINE in
	hmem*)
		use_device dax0.0
		on_exit "[ $(driver) = none ] || echo $DEV >$KMEM/bind"
		on_exit "has_align $PMD $SYS; echo $SIZE >$SYS/size; echo $DEV >$DRV/remove_id"
		on_exit "echo $DEV >$SYS/driver/unbind"
		;;
	cxl*)
		cxl create-region -m -t ram -d decoder0.0 mem0 >/dev/null 2>"$TMP/cxl" ||
			bail_out "cxl create-region: $(cat "$TMP/cxl")"
		on_exit "cxl destroy-region -f all >/dev/null 2>&1"
		udevadm settle
		use_device "$(basename /sys/bus/dax/devices/dax*.0)"
		;;
	*)
		dax_device "$ENTRY" mem "$1"
		return
		;;
	esac
	[ "$(driver)" = none ] || echo "$DEV" >"$SYS/driver/unbind"
	has_align "$ENTRY"
	bytes "$1" >"$SYS/size"
	echo "$DEV" >$DRV/new_id
	use_device "$DEV"
	wait_bound || bail_out "$DEV is not bound to device_dax"
}

# destroy_device: destroy the namespace that dax_device made last
destroy_device() { ndctl destroy-namespace -f "$NS" 2>&1; }

# The directory of the devices: the bus, or the class if dax_pmem_compat has the namespaces.
BUS=/sys/bus/dax/devices CLASS=/sys/class/dax
PLACE=$BUS

# provided_by dax_pmem|dax_pmem_compat: let this driver take the namespaces
provided_by()
{
	case $1 in dax_pmem) PLACE=$BUS ;; *) PLACE=$CLASS ;; esac
	local driver
	for driver in dax_pmem dax_pmem_compat; do
		[ ! -d /sys/module/$driver ] || modprobe -r $driver || return
	done
	modprobe "$1" && udevadm settle
}

# Use the class; the end of the test switches back to the bus.
in_class()
{
	on_exit "provided_by dax_pmem"
	provided_by dax_pmem_compat || bail_out "dax_pmem_compat cannot be loaded"
}

use_device()
{
	DEV=$1
	NODE=/dev/$DEV
	SYS=$(readlink -f "$PLACE/$DEV")
	SIZE=$(cat "$SYS/size")
}

# udev may load the driver's module only after the device was made.
wait_bound()
{
	udevadm settle --timeout=$((20 * PACE))
	# libnvdimm may create another device when a namespace is enabled again.
	[ ! -e "$PLACE/$DEV" ] || SYS=$(readlink -f "$PLACE/$DEV")
	[ -c "$NODE" ] && [ -e "$PLACE/$DEV" ] && { [ $PLACE = $CLASS ] || [ -e "$SYS/driver" ]; }
}

DRV=/sys/bus/dax/drivers/device_dax
unbind() { echo "$DEV" >$DRV/unbind; }
bind() { echo "$DEV" >$DRV/bind; }

# ---- file systems ----

# file_system ext4|xfs [OPTION...]: make a file system on a new namespace in fsdax mode, and mount it
# with dax at $MNT. NS, PMEM (/dev/pmem0) and SYS are then those of the namespace. The end of the test
# undoes it. Both allocate whole entries of 2 MiB. NAMESPACE: options for ndctl instead of a size of 640M.
file_system()
{
	local fs=$1 json
	shift
	MNT=$TMP/mnt
	mkdir -p "$MNT"
	json=$(ndctl create-namespace -m fsdax ${NAMESPACE:--s 640M} 2>"$TMP/ndctl") ||
		bail_out "ndctl create-namespace -m fsdax: $(cat "$TMP/ndctl")"
	NS=$(jq -r .dev <<<"$json")
	PMEM=/dev/$(jq -r .blockdev <<<"$json")
	on_exit "drop_file_system"
	case $fs in
	ext4) mkfs.ext4 -q -b 4096 -E stride=512,stripe_width=512 "$@" -F "$PMEM" ;;
	xfs) mkfs.xfs -q -f -d su=2m,sw=1 -l size=64m "$@" "$PMEM" ;;
	esac >"$TMP/mkfs" 2>&1 || bail_out "mkfs.$fs: $(cat "$TMP/mkfs")"
	mount -o dax=always "$PMEM" "$MNT" || bail_out "$fs cannot be mounted with dax"
	# The device whose driver has the memory: the driver unbinds from it.
	SYS=$(readlink -f "/sys/block/$(basename "$PMEM")/device")
}

drop_file_system()
{
	[ -n "$NS" ] || return 0
	! mountpoint -q "$MNT" || umount "$MNT"
	ndctl destroy-namespace -f "$NS" >/dev/null 2>&1
	NS=
}

# written PATH SIZE: make a file with written zeros, aligned as far as the file system can
written()
{
	fallocate -l "$2" "$1" && dd if=/dev/zero of="$1" bs=1M count=$(($(bytes "$2") >> 20)) conv=notrunc status=none
}

# scattered PATH PAGES: make a file with its pages in reverse order, so that 4K is the largest align
scattered()
{
	local n
	{
		echo "truncate $(($2 * 4))k"
		for ((n = $2 - 1; n >= 0; n--)); do echo "pwrite -q $((n * 4))k 4k"; done
	} | xfs_io -f "$1" >/dev/null
}

# ---- udev ----

# Without systemd, as in most of the machines of tools/testing/dax, nobody starts udevd anew.
units="systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service"

udev_on()
{
	# shellcheck disable=SC2086
	if [ -d /run/systemd/system ]; then
		systemctl start $units
	else
		pidof systemd-udevd >/dev/null || /usr/lib/systemd/systemd-udevd --daemon >/dev/null 2>&1
	fi
}

# udev_off: stop udevd, so that no uevent is handled until udev_on
udev_off()
{
	local i
	# shellcheck disable=SC2086
	[ ! -d /run/systemd/system ] || systemctl stop $units 2>/dev/null
	for ((i = 0; i < 200; i++)); do
		# shellcheck disable=SC2046
		kill $(pidof systemd-udevd) 2>/dev/null || return 0
		sleep 0.1
	done
	bail_out "udevd does not end"
}

# ---- fault injection ----

# Files and directories that a failure must leave unchanged, besides /proc/iomem and the dax bus.
watched=()

# can_inject: set up fault injection. Each allocation of a task that asks for it can fail, without a
# message, except __GFP_NOFAIL. So can the functions listed in fallible.c, which says why.
can_inject()
{
	local at=/sys/kernel/debug each type
	[ -e /proc/self/fail-nth ] || bail_out "this kernel cannot inject failures"
	for each in failslab/{verbose,ignore-gfp-wait} fail_page_alloc/{verbose,ignore-gfp-wait,min-order}; do
		echo 0 >$at/$each || bail_out "cannot set $each"
	done
	echo 0 >$at/fail_function/verbose
	for each in failslab fail_page_alloc fail_function; do
		echo 0 >$at/$each/require-start
		echo 0xffffffffffffffff >$at/$each/require-end
	done
	cat /proc/kallsyms >"$TMP/kallsyms"
	# x86 does not check allocations of page tables for hot-added memory; see
	# upstream-bugs/hot-add-tables.
	spare fail_page_alloc init_memory_mapping
	# kmemleak's record of each allocation: kmemleak can do without, but it is not under test.
	spare failslab __alloc_object

	cp $at/error_injection/list "$TMP/list"
	modprobe libnvdimm
	insmod ./fallible.ko || bail_out "there is no fallible.ko"
	on_exit "rmmod fallible"
	on_exit "echo >$at/fail_function/inject"
	while read -r each type; do
		echo "$each" >$at/fail_function/inject || bail_out "$each cannot be made to fail"
		# None of the functions returns EIO by itself.
		case $type in *NULL) ;; *) echo 0xfffffffffffffffb >"$at/fail_function/$each/retval" ;; esac
	done < <(grep -vxFf "$TMP/list" $at/error_injection/list)
	on_exit udev_on
}

# spare ATTRIBUTE FUNCTION: inject no failure of this kind into this kernel function
spare() { limit_to reject "$1" "$2"; }

# only_in FUNCTION: from now on inject failures only into calls made by this kernel function
only_in()
{
	local each
	for each in failslab fail_page_alloc fail_function; do limit_to require $each "$1"; done
}

limit_to()
{
	local at=/sys/kernel/debug/$2 range
	range=$(awk -v name="$3" '$3 == name { start = $1; next } start && $1 != start { print start, $1; exit }' "$TMP/kallsyms")
	[ -n "$range" ] || return
	echo "0x${range#* }" >"$at/$1-end" && echo "0x${range% *}" >"$at/$1-start" ||
		bail_out "this kernel cannot $1 $3"
}

# inject DESCRIPTION OUTCOMES COMMAND [VALUE] <<EOF: run a daxtest command again and again. Each
# time the next allocation, or the next call of a function in fallible.c, fails. OUTCOMES lists the
# results allowed besides EIO, as in "ENOMEM|ok". daxtest runs the input first.
inject()
{
	local what=$1 outcomes=$2 out
	shift 2
	# udev would take most of the time, and has nothing to do for these devices.
	udev_off
	out=$({ printf 'watch %s\n' /proc/iomem /sys/bus/dax "${watched[@]}"; cat; echo "inject $*"; } | daxtest 2>&1)
	udev_on
	out=${out##*$'\n'}
	like "$what: $out" "$out" "^[0-9]+ points(; [0-9]+ ($outcomes|EIO))*\$"
	[[ $out != [0-9]* ]] || echo "# count: ${out%% *} calls that failed in turn"
}

# inject_probe DRIVER DESCRIPTION: inject failures into bind and unbind of DEV's libnvdimm device
inject_probe()
{
	local at=/sys/bus/nd/drivers/$1 nd=${SYS%/dax/*} watched
	[ "$PLACE" = $CLASS ] || nd=${SYS%/*}
	nd=${nd##*/}
	watched=("/sys/bus/nd/devices/$nd/" $CLASS/ "$NODE")
	echo "$nd" >"$at/unbind"
	inject "$2" "ENOMEM|EBUSY|ENXIO|ok|ok, mended" put "$at/bind" "$nd" <<-EOF
		$([ "$PLACE" = $CLASS ] || echo "mend put $DRV/bind $DEV")
		undo put $at/unbind $nd
	EOF
	echo "$nd" >"$at/bind"
	wait_bound || not_ok "$2: $DEV is bound"
	inject "$2, back" "ENOMEM|ok" put "$at/unbind" "$nd" <<-EOF
		undo put $at/bind $nd
	EOF
}

# ---- dynamic regions ----

# The dynamic region of the machine: REGION (its directory dax_region), R (its number), START and
# LENGTH, and DEVICES (the directory of its devices).
REGION='' R='' START='' LENGTH='' DEVICES=''

# dynamic_region: empty the region; only its first device stays, with size 0. The end of the test
# gives all of the memory back to that device.
dynamic_region()
{
	DEVICES=$(readlink -f /sys/bus/dax/devices/dax*.0/..)
	REGION=$DEVICES/dax_region
	R=$(cat "$REGION/id")
	LENGTH=$(cat "$REGION/size")
	on_exit "empty_region; echo $LENGTH >$DEVICES/dax$R.0/size"
	empty_region
	START=$(cat "$DEVICES/dax$R.0/resource")
}

empty_region()
{
	local dev
	for dev in "$DEVICES"/dax"$R".*; do
		[ ! -e "$dev/driver" ] || echo "${dev##*/}" >"$dev/driver/unbind"
		echo "${dev##*/}" >$DRV/remove_id
		echo 0 >"$dev/size"
		[ "${dev##*.}" = 0 ] || echo "${dev##*/}" >"$REGION/delete"
	done
	echo "$(cat "$REGION/align")" >"$DEVICES/dax$R.0/align"
}

# alone: until the test ends, stop everything else that opens devices, starts modprobe when a device
# without a driver is opened, or brings memory online
alone()
{
	local policy modprobe
	udev_off
	on_exit udev_on
	policy=$(cat $MEM/auto_online_blocks)
	on_exit "echo $policy >$MEM/auto_online_blocks"
	echo offline >$MEM/auto_online_blocks
	modprobe=$(cat /proc/sys/kernel/modprobe)
	on_exit "echo $modprobe >/proc/sys/kernel/modprobe"
	echo >/proc/sys/kernel/modprobe
}

# new_device [SIZE]: create another device in the dynamic region, and make it DEV (see use_device)
new_device()
{
	echo 1 >"$REGION/create" && use_device "$(cat "$REGION/create")" &&
		{ [ $# = 0 ] || echo "$(bytes "$1")" >"$SYS/size"; }
}

# bind_to_device: bind DEV to device_dax, whichever driver its region is for. empty_region removes
# the name from the driver's list.
bind_to_device() { echo "$DEV" >$DRV/new_id; wait_bound; }

# ranges [DEV]: print the ranges of a device as start+size, in MiB from the start of the region
ranges()
{
	local sys=$DEVICES/${1:-$DEV} map out=
	for map in $(printf '%s\n' "$sys"/mapping[0-9]* | sort -V); do
		[ -e "$map/start" ] || continue
		out+="$((($(cat "$map/start") - START) >> 20))+$((($(cat "$map/end") + 1 - $(cat "$map/start")) >> 20)) "
	done
	echo "${out% }"
}

# result FILE VALUE: write VALUE to FILE; print "ok" or the name of the errno
result() { daxtest <<<"put $1 $2"; }

# driver: print the name of the driver that DEV is bound to, or "none"
driver() { basename "$(readlink "$SYS/driver" || echo none)"; }

# ---- memory blocks ----

MEM=/sys/devices/system/memory
KMEM=/sys/bus/dax/drivers/kmem
block_size() { echo $((0x$(cat $MEM/block_size_bytes))); }
mem_total() { awk '/^MemTotal:/ { print $2 }' /proc/meminfo; }

# memory_state VALUE: write VALUE to the state file of DEV; print "ok" or the name of the errno
memory_state() { result "$SYS/state" "$1"; }

# blocks: print the number of DEV's memory blocks, and how many are online, as "7/6"
blocks()
{
	daxctl list -d "$DEV" | jq -r '.[] | "\(.total_memblocks)/\(.online_memblocks)"'
}

# its_memory: print the System RAM ranges of DEV, from /proc/iomem
its_memory()
{
	awk -v dev="$DEV" '$NF == dev { of = 1; next } of && /System RAM \(kmem\)/ { print $1 } { of = 0 }' /proc/iomem
}

# ---- programs in the background ----

declare -A pid_of in_of out_of

# session NAME [PROGRAM...]: start a program that takes commands and answers each with a line (default:
# daxtest)
session()
{
	local name=$1 in out
	shift
	mkfifo "$TMP/$name.in" "$TMP/$name.out"
	(exec "${@:-daxtest}") <"$TMP/$name.in" >"$TMP/$name.out" 2>&1 &
	pid_of[$name]=$!
	exec {in}>"$TMP/$name.in" {out}<"$TMP/$name.out"
	in_of[$name]=$in out_of[$name]=$out
	rm "$TMP/$name.in" "$TMP/$name.out"
}

# ask NAME COMMAND...: send a command, and print its answer
ask()
{
	local name=$1 reply
	shift
	echo "$*" >&"${in_of[$name]}"
	if read -r -t 60 reply <&"${out_of[$name]}"; then
		echo "$reply"
	else
		echo "no answer"
	fi
}

# tell NAME COMMAND...: send a command without waiting for its answer
tell() { local name=$1; shift; echo "$*" >&"${in_of[$name]}"; }

# answer NAME: print the answer to an earlier tell
answer() { local reply; read -r -t 60 reply <&"${out_of[$1]}" && echo "$reply" || echo "no answer"; }

# pages NAME NODE: the number of 4 KiB pages of anonymous memory that a session has on a node. numa_maps counts pages of
# the size that it names.
pages()
{
	awk -v want="N$2=" '/anon=/ {
		size = 4
		for (i = 1; i <= NF; i++) if ($i ~ /^kernelpagesize_kB=/) size = substr($i, 19)
		for (i = 1; i <= NF; i++) if (index($i, want) == 1) sum += substr($i, length(want) + 1) * size / 4
	} END { print sum + 0 }' "/proc/${pid_of[$1]}/numa_maps"
}

# leave NAME: kill the session, and wait until it is gone
leave()
{
	local name=$1 in=${in_of[$1]} out=${out_of[$1]}
	exec {in}>&- {out}<&-
	kill -KILL "${pid_of[$name]}" 2>/dev/null
	wait "${pid_of[$name]}" 2>/dev/null
}
