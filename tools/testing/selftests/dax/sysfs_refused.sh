#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Bad strings to every file in /sys that takes one: the errno, and nothing changed.
# machines: nvdimm
. ./lib.sh
dax_device 2M mem 512M
region=$(readlink -f "$SYS/../dax_region")

state_of()
{
	grep -rs . "$SYS" "$region" --exclude-dir=power --exclude-dir=subsystem --exclude-dir=driver |
		grep -v /uevent:
	ls /sys/bus/dax/devices /sys/bus/dax/drivers $DRV
	readlink "$SYS/driver"
}
before=$(state_of)

# refused FILE ERRNO VALUE...: each of them
refused()
{
	local file=$1 errno=$2 value result
	shift 2
	while read -r result; do
		is "${file##*/sys/}: $errno for \"${1:0:40}\"" "$result" "$errno"
		shift
	done < <(for value in "$@"; do echo "put $file $value"; done | daxtest)
}

# A static device is what its namespace is.
for file in size align resource numa_node target_node modalias dev mapping0/start mapping0/end mapping0/page_offset; do
	[ ! -e "$SYS/$file" ] || refused "$SYS/$file" EACCES 0 1 4096 '\n'
done
for file in id size align; do
	refused "$region/$file" EACCES 0 1 '\n'
done

refused "$SYS/memmap_on_memory" EINVAL '\n' x 2 -1 '\xff' '\x00' '\*5000:z' ' 1'
refused "$SYS/memmap_on_memory" EOPNOTSUPP 1 y on '1\n'
is "memmap_on_memory takes what it can" "$(daxtest <<<"put $SYS/memmap_on_memory 0\\n")" ok

for file in new_id remove_id; do
	refused $DRV/$file EINVAL '\n' x 0.0 dax dax0 dax0. dax.0 dax0.x 'dax0.0 ' ' dax0.0' dax00.0 \
		dax0.00 dax0.0.0 dax0x0.0 dax+1.0 DAX0.0 'dax0.0\n\n' \
		dax4294967296.0 dax0.4294967296 dax99999999999999999999.0 '\*4000:d' 'dax0.\*4000:1' '\xff'
	refused $DRV/$file EINVAL '\*5000:1'
done
for file in new_id remove_id; do
	for name in dax-1.0 dax0.-1; do
		c_known_wrong core "takes a name that no device can have"
		is "$file: EINVAL for $name" "$(daxtest <<<"put $DRV/$file $name")" EINVAL
	done
done
echo dax-1.0 >$DRV/remove_id 2>/dev/null
echo dax0.-1 >$DRV/remove_id 2>/dev/null
is "new_id takes a device that may come" "$(daxtest <<<"put $DRV/new_id dax77.77\\n")" ok
is "and takes it again" "$(daxtest <<<"put $DRV/new_id dax77.77")" ok
is "remove_id takes it back" "$(daxtest <<<"put $DRV/remove_id dax77.77\\n")" ok

refused $DRV/bind ENODEV '\n' x dax dax77.77 "${DEV}x" '\*300:d' '\xff'
refused $DRV/unbind ENODEV '\n' x dax dax77.77 "${DEV}x" '\*300:d' '\xff'
refused /sys/bus/dax/drivers_probe ENODEV '\n' x dax77.77 '\xff'
refused "$SYS/uevent" EINVAL x '\xff' 'change me'

is "nothing has changed" "$(diff <(echo "$before") <(state_of))" ""
dax "and the device works" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	write m 0 1		= ok
DAX

# A device that is not bound.
unbind
refused $DRV/unbind ENODEV "$DEV"
for file in size align; do
	refused "$SYS/$file" EACCES 0 4096 2097152 1073741824
done
refused "$SYS/memmap_on_memory" EINVAL x 2
bind
is "bound again, it is as before" "$(diff <(echo "$before") <(state_of))" ""

# An align that the hardware or the kernel does not have.
destroy_device >/dev/null
for align in 0 1 512 8K 64K 1M 4M 512M 2G 3G x; do
	refuse "ndctl refuses an align of $align" "align|invalid|unsupported|failed" \
		ndctl create-namespace -f -m devdax -a $align $(has_labels && echo -s 512M || echo -e namespace0.0)
done
nd=/sys/bus/nd/devices/$(ls /sys/bus/nd/devices | grep -m1 '^dax[0-9]')
[ ! -e "$nd/align" ] || {
	was=$(cat "$nd/align")
	refused "$nd/align" EINVAL 1 8192 3 12345678 4194304 '\n' x
	is "the align of the dax seed has not changed" "$(cat "$nd/align")" "$was"
}
is "no device came of it" "$(ls /sys/bus/dax/devices)" ""
done_testing
