#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs in a guest of Debian: stock-guest.sh MACHINE TEST... installs the package of the modules with apt, if
# there is one, runs the tests, and removes the package. If a test has several boots, this script goes on with it
# after each. The cases are KTAP, as in tools/testing/selftests/dax/lib.sh. The lines with ## are for stock.py.

cd /srv/job || exit 1
export PACE=${PACE:-1}
machine=$1
shift
nr=0
check()
{
	nr=$((nr + 1))
	local out
	if out=$("${@:2}" 2>&1); then echo "ok $nr - $1"; else echo "not ok $nr - $1"; sed 's/^/# /' <<<"$out"; fi
}
# begin NAME LIMIT: a test, or a part of this script, that should end by itself after LIMIT
begin()
{
	nr=0
	echo "## begin $1 $(($2 * PACE))"
	echo "dax-test: $machine $1 begins" >/dev/kmsg
	# If it hangs, log all tasks, and power off.
	{
		sleep $(($2 * PACE + 30))
		ps -eo pid,ppid,stat,wchan:30,args | while read -r line; do echo "$line" >/dev/kmsg; done
		echo w >/proc/sysrq-trigger
		sleep 5
		echo o >/proc/sysrq-trigger
	} &
	dog=$!
}
# end NAME STATUS
end()
{
	# shellcheck disable=SC2046
	kill $dog $(ps -o pid= --ppid $dog) 2>/dev/null
	wait $dog 2>/dev/null
	echo "dax-test: $machine $1 ended" >/dev/kmsg
	echo "## end $1 $2"
}

# language MODULE...: what the modules that are loaded are made of
in_rust() { for m in "$@"; do grep Rust "/sys/module/$m/version" || return; done; }
in_c() { for m in "$@"; do [ -d "/sys/module/$m" ] && [ ! -e "/sys/module/$m/version" ] || return; done; }
none_in_c() { for m in $modules; do [ ! -d "/sys/module/$m" ] || in_rust "$m" || { echo "$m"; return 1; }; done; }
file_in() { [[ $(modinfo -n "$1") == */"$2"/* ]] || { modinfo -n "$1"; return 1; }; }
writes()
{
	python3 - <<-'EOF'
		import mmap, os
		f = os.open("/dev/dax0.0", os.O_RDWR)
		m = mmap.mmap(f, 16 << 20, mmap.MAP_SHARED)
		for at in range(0, 16 << 20, 2 << 20):
		    m[at:at + 5] = b"hello"
		assert all(m[at:at + 5] == b"hello" for at in range(0, 16 << 20, 2 << 20))
	EOF
}
# opened COMMAND...: run it while the device is open
opened() { exec 9<>/dev/dax0.0 || return; "$@"; local status=$?; exec 9>&-; return $status; }
refused() { ! "$@"; }
apt() { DEBIAN_FRONTEND=noninteractive apt-get -y "$@"; }
# Without labels there is always a namespace, with labels only the first time.
make_namespace() { ndctl create-namespace -f -e namespace0.0 -m devdax || ndctl create-namespace -m devdax; }
# The kernel's log of what people do with a device, without numbers. One line has other words in C.
everyday()
{
	seen=$(dmesg | wc -l)
	{
		modprobe -a $providers
		[ ! "$pmem" ] || make_namespace
		udevadm settle
		[ ! "$pmem" ] || writes
		daxctl reconfigure-device -m system-ram dax0.0
		daxctl reconfigure-device -f -m devdax dax0.0
		daxctl disable-device dax0.0
		daxctl enable-device dax0.0
		[ ! "$pmem" ] || ndctl destroy-namespace -f namespace0.0
		# shellcheck disable=SC2086
		modprobe -r $modules
	} >/dev/null
	dmesg -t | tail -n +$((seen + 1)) | grep -v '^dax_rust: ' | sed -E -e 's/[0-9]+/N/g' \
		-e 's/^(kmem daxN.N:) (DAX region truncated|mappingN: .* is trimmed) .*/\1 trimmed/'
	seen=$(dmesg | wc -l)
}
# What the kernel has said of DAX since the package is there.
said() { dmesg | tail -n +$((seen + 1)) | grep -E '(dax|kmem)' | grep -vE 'dax-test:|taint|dax_rust: device DAX in Rust|Modules linked in'; }

# Each before those that it uses.
modules="dax_cxl dax_hmem fsdev_dax kmem dax_pmem device_dax"
providers="dax_pmem device_dax" pmem=yes
case $machine in
nvdimm*) modprobe nfit ;;
legacy) modprobe nd_e820 ;;
hm*) providers="dax_hmem device_dax" pmem= ;;
esac
udevadm settle

install_package()
{
	everyday >in_c.log
	if [ "$pmem" ]; then
		check "a devdax namespace is made, and served by the C modules" \
			make_namespace
		udevadm settle
	fi
	modprobe -a $providers
	check "the modules that are loaded are in C" in_c $providers
	udevadm settle
	seen=$(dmesg | wc -l)
	check "apt installs the package" apt install ./package.deb
	# Memory that kmem has, or devices of dax_hmem, are not taken away by an installation.
	if [ "$pmem" ]; then
		check "then the modules that are loaded are in Rust" in_rust $providers
		check "a program writes to /dev/dax0.0" writes
		check "a module is not removed while its device is open" opened refused modprobe -r device_dax
		check "and is when it is closed" modprobe -r device_dax
		check "and comes back" modprobe device_dax
		udevadm settle
		check "a program writes to /dev/dax0.0 again" writes
	else
		# shellcheck disable=SC2086
		modprobe -r $modules
		check "the modules are exchanged by hand" modprobe -a $providers
		check "then they are in Rust" in_rust $providers
	fi
	check "no module that is loaded is in C" none_in_c
	check "when another kernel is installed, a message says that its modules are in C" \
		eval "run-parts --arg=7.9.9 --arg=/boot/vmlinuz-7.9.9 /usr/share/kernel/postinst.d | grep 'Linux 7.9.9 uses its own modules, in C'"
	check "when the same kernel is upgraded, none does" \
		refused eval "run-parts --arg=$(uname -r) --arg=/boot/vmlinuz-$(uname -r) /usr/share/kernel/postinst.d | grep 'in C'"
	for m in $modules daxfile; do
		check "$m is the one in updates/" file_in "$m" updates
	done
	check "the kernel says nothing of DAX but that the modules are there" refused said
	if [ "$pmem" ]; then
		ndctl destroy-namespace -f namespace0.0
	fi
	everyday >in_rust.log
	# In the machine hmat, C makes devices that no driver can be bound to: see upstream-bugs/hmem-parts.rst.
	[ "$machine" = hmat ] ||
		check "the kernel's log of a day's work, not empty with C, is the same with Rust" \
			eval '[ -s in_c.log ] && diff in_c.log in_rust.log'
}

remove_package()
{
	udevadm settle
	modprobe -a $providers
	if [ "$pmem" ]; then
		make_namespace
		udevadm settle
	fi
	check "the modules that are loaded are in Rust" in_rust $providers
	check "daxfile is loaded as well" modprobe daxfile
	check "apt removes the package" apt remove "dax-rust-modules-$(uname -r)"
	if [ "$pmem" ]; then
		check "then the modules that are loaded are in C" in_c $providers
		check "and dax_rust and daxfile are not loaded" [ ! -e /sys/module/dax_rust -a ! -e /sys/module/daxfile ]
		check "a program writes to /dev/dax0.0" writes
	fi
	for m in $modules; do
		check "$m is the kernel's own" file_in "$m" kernel
	done
	check "nothing of the package is left" refused compgen -G "/usr/lib/modules/$(uname -r)/updates/*.ko*"
}

# kexec_to KERNEL: boot for the next part of a test. KERNEL, of its line "# kexec:", is "crash", for the kernel that the
# test has loaded for that; "c" or "rust", for this kernel without or with the package; or another one, for this kernel.
kexec_to()
{
	case $1 in
	crash)
		sync
		echo 1 >/proc/sys/kernel/sysrq
		echo c >/proc/sysrq-trigger
		;;
	c) apt remove "dax-rust-modules-$(uname -r)" ;;
	rust) apt install ./package.deb ;;
	esac
	kexec -l "/boot/vmlinuz-$(uname -r)" --initrd="/boot/initrd.img-$(uname -r)" --command-line="$(cat /proc/cmdline)"
	sync
	kexec -e
}

# On the disk: what the tests keep for their next boot, and in "next" where this script goes on.
kept=/var/lib/dax-test
mkdir -p $kept
boot=1
packaged=
[ ! -e package.deb ] || packaged=yes
if [ -e $kept/next ]; then
	read -r name boot in_c <$kept/next
	rm $kept/next
	while [ "$1" != "$name" ]; do shift; done
elif [ "$packaged" ]; then
	in_c=core
	begin install 300
	install_package
	echo "1..$nr"
	end install 0
fi

# The tests, each with the machine as machine.sh prepares it.
extra=/usr/lib/modules/$(uname -r)/extra
if [ $# != 0 ]; then
	# What the tests use and the package does not have.
	install -Dm 644 -t "$extra" samples/*.ko.xz && depmod
	cd tests/dax || exit 1
	export MACHINE=$machine PERSIST=$kept PATH=$PWD:$PATH
	(. ./machine.sh && prepare) >/dev/null 2>&1
	for name in "$@"; do
		head_of() { sed -n "s/^# $1: *//p" "$name.sh"; }
		limit=$(head_of limit)
		limit=${limit:-120}
		kernels=($(head_of kexec))
		for ((; ; boot++)); do
			begin "$name" "$limit"
			IN_C=$in_c BOOT=$boot timeout -k 5 $((limit * PACE)) bash "./$name.sh" 2>&1 </dev/null
			status=$?
			end "$name" $status
			[ "${kernels[*]}" ] || break
			next=${kernels[(boot - 1) % ${#kernels[@]}]}
			[ $status = 0 ] && [ "$boot" != "$(head_of boots)" ] && [ "$next" != off ] || break
			case $next in
			c) in_c=$ALL_PARTS ;;
			rust) in_c=core ;;
			esac
			echo "## kexec $name $next"
			echo "$name $((boot + 1)) $in_c" >$kept/next
			(cd /srv/job && kexec_to "$next") 2>&1
			# kexec does not return.
			rm $kept/next
			break
		done
		boot=1
	done
	cd /srv/job || exit 1
	modprobe -rq rust_driver_dax dax_onefile
	rm -r "$extra"
fi

if [ "$packaged" ]; then
	begin remove 120
	remove_package
	echo "1..$nr"
	end remove 0
fi
