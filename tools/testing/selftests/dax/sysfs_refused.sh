#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Invalid strings are written to each writable sysfs file: the test checks the errno, and that
# nothing has changed.
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

# refused FILE ERRNO VALUE...: each of these values must be refused
refused()
{
	local file=$1 errno=$2 value result
	shift 2
	while read -r result; do
		is "${file##*/sys/}: $errno for \"${1:0:40}\"" "$result" "$errno"
		shift
	done < <(for value in "$@"; do echo "put $file $value"; done | daxtest)
}

# The namespace determines all attributes of a static device.
for file in size align resource numa_node target_node modalias dev mapping0/start mapping0/end mapping0/page_offset; do
	[ ! -e "$SYS/$file" ] || refused "$SYS/$file" EACCES 0 1 4096 '\n'
done
for file in id size align; do
	refused "$region/$file" EACCES 0 1 '\n'
done

refused "$SYS/memmap_on_memory" EINVAL '\n' x 2 -1 '\xff' '\x00' '\*5000:z' ' 1'
refused "$SYS/memmap_on_memory" EOPNOTSUPP 1 y on '1\n'
is "memmap_on_memory accepts 0" "$(daxtest <<<"put $SYS/memmap_on_memory 0\\n")" ok

for file in new_id remove_id; do
	refused $DRV/$file EINVAL '\n' x 0.0 dax dax0 dax0. dax.0 dax0.x 'dax0.0 ' ' dax0.0' dax00.0 \
		dax0.00 dax0.0.0 dax0x0.0 dax+1.0 DAX0.0 'dax0.0\n\n' \
		dax4294967296.0 dax0.4294967296 dax99999999999999999999.0 '\*4000:d' 'dax0.\*4000:1' '\xff'
	refused $DRV/$file EINVAL '\*5000:1'
done
for file in new_id remove_id; do
	for name in dax-1.0 dax0.-1; do
		c_known_wrong core new-id-negative "accepts a name that no device can have"
		is "$file: EINVAL for $name" "$(daxtest <<<"put $DRV/$file $name")" EINVAL
	done
done
echo dax-1.0 >$DRV/remove_id 2>/dev/null
echo dax0.-1 >$DRV/remove_id 2>/dev/null
is "new_id accepts a device that does not exist yet" "$(daxtest <<<"put $DRV/new_id dax77.77\\n")" ok
is "new_id accepts it again" "$(daxtest <<<"put $DRV/new_id dax77.77")" ok
is "remove_id removes it" "$(daxtest <<<"put $DRV/remove_id dax77.77\\n")" ok

refused $DRV/bind ENODEV '\n' x dax dax77.77 "${DEV}x" '\*300:d' '\xff'
refused $DRV/unbind ENODEV '\n' x dax dax77.77 "${DEV}x" '\*300:d' '\xff'
refused /sys/bus/dax/drivers_probe ENODEV '\n' x dax77.77 '\xff'
refused "$SYS/uevent" EINVAL x '\xff' 'change me'

is "nothing has changed" "$(diff <(echo "$before") <(state_of))" ""
dax "the device works" <<-DAX
	open f $NODE		= ok
	mmap m f 2M 0		= ok
	write m 0 1		= ok
DAX

# A device without a driver.
unbind
refused $DRV/unbind ENODEV "$DEV"
for file in size align; do
	refused "$SYS/$file" EACCES 0 4096 2097152 1073741824
done
refused "$SYS/memmap_on_memory" EINVAL x 2
bind
is "nothing has changed after the device was bound again" "$(diff <(echo "$before") <(state_of))" ""

# An align that the hardware or the kernel does not support.
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
is "no device was created" "$(ls /sys/bus/dax/devices)" ""
done_testing
