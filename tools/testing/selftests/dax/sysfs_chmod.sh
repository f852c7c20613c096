#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a file of a device cannot be used for it cannot be used for after a chmod either, and
# nothing has changed: each file of devices on the bus and in the class, of their ranges, statistics
# and regions.
# machines: nvdimm hmem
# limit: 180
. ./lib.sh

# state_of FOLDER...: what the files say
state_of() { grep -rs . "$@" --exclude-dir=power --exclude-dir=subsystem --exclude-dir=driver | grep -v /uevent: | sort; }

# files FOLDER: its files, those of its ranges and statistics
files() { find "$1" -maxdepth 2 -type f -not -path '*/power/*' -not -path "$1/dax_region/*" -not -name uevent 2>/dev/null | sort; }

# forced HOW FOLDER [FILE]...: every write to a file without write permission is refused after chmod,
# and every read of one without read permission. The files that have a store for other devices say
# EPERM, and why.
forced()
{
	local how=$1 folder=$2 file mode value out before after wrong='' changed=''
	shift 2
	before=$(state_of "$folder")
	for file in $(files "$folder"); do
		mode=$(stat -c %a "$file")
		if ((!(8#$mode & 8#222))); then
			chmod u+w "$file"
			out=$(for value in 0 1 4096 $((2 << 20)) "$(head -n 1 "$file")" 0x180000000-0x1801fffff; do
				echo "put $file $value"
			done | daxtest)
			! grep -qv '^E' <<<"$out" || wrong+="${file#"$folder"/}: ${out//$'\n'/ }; "
			after=$(state_of "$folder")
			[ "$before" = "$after" ] || changed+="${file#"$folder"/} "
			before=$after
			chmod "$mode" "$file"
		fi
		if ((!(8#$mode & 8#444))); then
			chmod u+r "$file"
			out=$(daxtest <<<"get $file")
			[[ $out == E* ]] || wrong+="${file#"$folder"/}: $out; "
			chmod "$mode" "$file"
		fi
	done
	c_known_wrong core "looks at the mode of the file only, not at the kind of the region"
	is "$how: what is not permitted is refused" "$wrong" ""
	c_known_wrong core "looks at the mode of the file only, not at the kind of the region"
	is "$how: nothing has changed" "$changed" ""
	for file in "$@"; do
		chmod u+w "$folder/$file"
		c_known_wrong core "looks at the mode of the file only, not at the kind of the region"
		is "$how: $file: EPERM" "$(result "$folder/$file" "$(cat "$folder/$file")")" EPERM
		in_c core || says "$how: $file: the reason" "$DEV: $file cannot be written: not for this device" \
			<<<"put $folder/$file $(cat "$folder/$file")"
		chmod u-w "$folder/$file"
	done
}

case $MACHINE in
nvdimm)
	dax_device 2M mem 512M
	forced "static, bound" "$SYS" size align
	unbind
	if in_c core; then
		skip "static, not bound" "C: known wrong: the device loses its memory"
	else
		forced "static, not bound" "$SYS" size align
	fi
	forced "static region" "$(dirname "$SYS")/dax_region"
	bind
	wait_bound
	dax "it still works" <<-DAX
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
		dax "it still works" <<-DAX
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
