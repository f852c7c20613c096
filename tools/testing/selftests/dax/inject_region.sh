#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A dynamic region is divided, and its instances are bound, while each allocation fails in turn.
# machines: hmem
# tier: all
# kernel: debug
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 600
. ./lib.sh
can_inject
dynamic_region
watched=("$DEVICES" /dev/dax"$R".{0,1,2})
MIB=$((1 << 20))
# range FROM LENGTH: a range as the file "mapping" takes it, from MiB in the region
range() { printf '%x-%x' $((START + $1 * MIB)) $((START + ($1 + $2) * MIB - 1)); }

# ---- create and delete ----

inject create "ENOMEM|ok" put "$REGION/create" 1 <<-EOF
	undo put $REGION/delete dax$R.1
EOF
new_device
inject delete "ENOMEM|ok" put "$REGION/delete" "$DEV" <<-EOF
	undo put $REGION/create 1
EOF

# ---- size, mapping and align ----

inject "size, one range" "ENOMEM|ok" put "$SYS/size" $((64 * MIB)) <<-EOF
	undo put $SYS/size 0
EOF
for at in 4 8; do
	new_device
	echo "$(range $at 2)" >"$SYS/mapping"
done
use_device "dax$R.1"
echo $((2 * MIB)) >"$SYS/size"
inject "size: one range grows and two are added" "ENOMEM|ok" put "$SYS/size" $((8 * MIB)) <<-EOF
	undo put $SYS/size $((2 * MIB))
EOF
echo $((8 * MIB)) >"$SYS/size"
is "it has three ranges" "$(ranges)" "0+4 6+2 10+2"
inject "size: two ranges are removed and one shrinks" "ENOMEM|ok" put "$SYS/size" $((2 * MIB)) <<-EOF
	undo put $SYS/size $((8 * MIB))
EOF
inject mapping "ENOMEM|ok" put "$SYS/mapping" "$(range 20 2)" <<-EOF
	undo put $SYS/size $((8 * MIB))
EOF
inject align "ENOMEM|ok" put "$SYS/align" 4096 <<-EOF
	undo put $SYS/align $((2 * MIB))
EOF

# ---- drivers ----

inject "new_id of a device without memory" "ENOMEM|ok" put $DRV/new_id "dax$R.0" <<-EOF
	undo put $DRV/remove_id dax$R.0
EOF
# A device that was bound once is no longer the seed.
bind_to_device
unbind
echo "$DEV" >$DRV/remove_id
inject new_id "ENOMEM|ok, mended|ok" put $DRV/new_id "$DEV" <<-EOF
	mend put $DRV/bind $DEV
	undo put $DRV/unbind $DEV
	undo put $DRV/remove_id $DEV
EOF
for driver in device_dax fsdev_dax; do
	at=/sys/bus/dax/drivers/$driver
	echo "$DEV" >$at/new_id
	[ "$(driver)" = none ] || echo "$DEV" >"$SYS/driver/unbind"
	for align in 4096 $((2 * MIB)); do
		echo $align >"$SYS/align"
		inject "bind to $driver, three ranges, align $align" "ENOMEM|EBUSY|ok" put $at/bind "$DEV" <<-EOF
			undo put $at/unbind $DEV
		EOF
	done
	echo "$DEV" >$at/bind
	inject "unbind from $driver" "ENOMEM|ok" put $at/unbind "$DEV" <<-EOF
		undo put $at/bind $DEV
	EOF
	echo "$DEV" >$at/unbind
	echo "$DEV" >$at/remove_id
done
done_testing
