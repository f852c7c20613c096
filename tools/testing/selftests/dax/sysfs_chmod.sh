#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# chmod does not make a sysfs file readable or writable if the kernel does not support that access,
# and changes nothing. This covers each file of devices on the bus and in the class, of their
# ranges, counters and regions.
# machines: nvdimm hmem
# limit: 180
. ./lib.sh

# state_of DIRECTORY...: print the contents of all files
state_of() { grep -rs . "$@" --exclude-dir=power --exclude-dir=subsystem --exclude-dir=driver | grep -v /uevent: | sort; }

# files DIRECTORY: list its files, and those of its ranges and counters
files() { find "$1" -maxdepth 2 -type f -not -path '*/power/*' -not -path "$1/dax_region/*" -not -name uevent 2>/dev/null | sort; }

# forced HOW DIRECTORY [FILE]...: add write permission to each file without it, and read permission
# to each file without it. Each such write or read must fail. The FILEs can be written for other
# devices; they must fail with EPERM and log the reason.
forced()
{
	local how=$1 dir=$2 file mode value out before after wrong='' changed=''
	shift 2
	before=$(state_of "$dir")
	for file in $(files "$dir"); do
		mode=$(stat -c %a "$file")
		if ((!(8#$mode & 8#222))); then
			chmod u+w "$file"
			out=$(for value in 0 1 4096 $((2 << 20)) "$(head -n 1 "$file")" 0x180000000-0x1801fffff; do
				echo "put $file $value"
			done | daxtest)
			! grep -qv '^E' <<<"$out" || wrong+="${file#"$dir"/}: ${out//$'\n'/ }; "
			after=$(state_of "$dir")
			[ "$before" = "$after" ] || changed+="${file#"$dir"/} "
			before=$after
			chmod "$mode" "$file"
		fi
		if ((!(8#$mode & 8#444))); then
			chmod u+r "$file"
			out=$(daxtest <<<"get $file")
			[[ $out == E* ]] || wrong+="${file#"$dir"/}: $out; "
			chmod "$mode" "$file"
		fi
	done
	c_known_wrong core static-size "checks only the mode of the file, not the kind of the region"
	is "$how: unsupported reads and writes are refused" "$wrong" ""
	c_known_wrong core static-size "checks only the mode of the file, not the kind of the region"
	is "$how: nothing has changed" "$changed" ""
	for file in "$@"; do
		chmod u+w "$dir/$file"
		c_known_wrong core static-size "checks only the mode of the file, not the kind of the region"
		is "$how: $file: EPERM" "$(result "$dir/$file" "$(cat "$dir/$file")")" EPERM
		in_c core || says "$how: $file: the log has the reason" "$DEV: $file cannot be written: not for this device" \
			<<<"put $dir/$file $(cat "$dir/$file")"
		chmod u-w "$dir/$file"
	done
}

case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	forced "static, bound" "$SYS" size align
	unbind
	if has_bug static-size core; then
		skip "static, not bound" "C: known wrong: static-size: the device loses its memory"
	else
		forced "static, not bound" "$SYS" size align
	fi
	forced "static region" "$(dirname "$SYS")/dax_region"
	bind
	wait_bound
	dax "the device still works" <<-DAX
		open f $NODE		= ok
		mmap m f $SIZE 0	= ok
		write m 0 5		= ok
	DAX
	destroy_device >/dev/null
	if ! in_c core dax_pmem; then
		in_class
		dax_device 2M mem 512M
		forced "class" "$SYS" size
		forced "region of the class" "$(readlink -f "$SYS/device")/dax_region"
		dax "the device still works" <<-DAX
			open f $NODE		= ok
			mmap m f $SIZE 0	= ok
			write m 0 5		= ok
		DAX
		destroy_device >/dev/null
	fi
	;;
*)
	dynamic_region
	new_device 64M
	forced "dynamic" "$SYS"
	forced "dynamic region" "$REGION"
	bind_to_device
	forced "dynamic, bound" "$SYS"
	;;
esac
done_testing
