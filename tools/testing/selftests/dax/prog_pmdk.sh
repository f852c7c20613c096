#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# PMDK on a device of each align: pmempool, a transactional store of libpmemobj, libpmem2, daxio.
# machines: nvdimm
# image: programs
# needs: pmempool daxio gcc
# limit: 400
# tier: all
. ./lib.sh

gcc -O1 -o "$TMP/pmdk" pmdk.c -lpmemobj -lpmem2 >"$TMP/gcc" 2>&1 ||
	skip_all "pmdk.c does not compile; install the headers of libpmemobj and libpmem2: $(head -3 "$TMP/gcc")"
store() { { "$TMP/pmdk" "$NODE" "$@"; } 2>&1; }

# bytes_at OFFSET LENGTH: print bytes of the device
bytes_at()
{
	daxio --input="$NODE" --output="$TMP/bytes" --skip="$1" --len="$2" >/dev/null 2>&1
	hex <"$TMP/bytes"
	rm -f "$TMP/bytes"
}
hex() { od -An -tx1 | tr -d ' \n'; }

# damage: change the checksum of the header
damage()
{
	printf damage >"$TMP/damage"
	daxio --input="$TMP/damage" --output="$NODE" --seek=$((4096 - 8)) >/dev/null 2>&1
}

for align in 4K 2M 1G; do
	dax_device $align mem "$([ $align = 1G ] && echo 2G || echo 256M)"

	# PMDK maps a pool at a multiple of 2 MiB, and the kernel refuses that with entries of 1 GiB. This is
	# the address where PMDK begins to look for room.
	unset PMEM_MMAP_HINT
	[ $align != 1G ] || export PMEM_MMAP_HINT=0x100000000000

	# ---- daxio ----

	head -c 3M /dev/urandom >"$TMP/in"
	like "$align: daxio writes a file to the device" \
		"$(daxio --input="$TMP/in" --output="$NODE" --seek=5M 2>&1)" "copied 3145728 bytes to device"
	like "$align: daxio reads it" \
		"$(daxio --input="$NODE" --output="$TMP/out" --skip=5M --len=3M 2>&1)" "copied 3145728 bytes"
	check "$align: it is the same" cmp "$TMP/in" "$TMP/out"
	like "$align: daxio writes zeros" "$(daxio --zero --output="$NODE" --seek=5M --len=1M 2>&1)" \
		"copied 1048576 bytes to device"
	is "$align: they are there" "$(bytes_at $(((6 << 20) - 4)) 4)" "$(head -c 4 /dev/zero | hex)"
	is "$align: what follows is as before" "$(bytes_at $((6 << 20)) 8)" \
		"$(tail -c +1048577 "$TMP/in" | head -c 8 | hex)"
	refuse "$align: daxio refuses to write beyond the end" "Invalid argument|no space|offset" \
		daxio --input="$TMP/in" --output="$NODE" --seek="$SIZE"
	daxio --zero --output="$NODE" --len=16M >/dev/null 2>&1

	# ---- libpmem2 ----

	is "$align: libpmem2 maps the whole device, for stores of whole cache lines" "$(store map)" "$SIZE 1"
	check "$align: libpmem2 makes a text durable" store persist 0x300040 durable
	is "$align: it is there" "$(bytes_at $((0x300040)) 8)" "$(printf 'durable\0' | hex)"

	# ---- pmempool ----

	check "$align: pmempool makes a pool of objects" pmempool create --layout=store obj "$NODE"
	refuse "$align: and not a second one" "Non-empty file detected" pmempool create --layout=other obj "$NODE"
	info=$(pmempool info "$NODE" 2>&1)
	like "$align: pmempool finds its type" "$info" "^Signature +: PMEMOBJ"
	like "$align: and its layout" "$info" "^Layout +: store"
	like "$align: and that it is a device" "$info" "^type +: device dax"
	like "$align: of this size" "$info" "^size +: $SIZE\$"
	like "$align: and align" "$info" "^alignment +: $(bytes $align)\$"
	like "$align: the pool is consistent" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: consistent"

	# ---- transactions ----

	is "$align: the store is empty" "$(store list)" 0
	check "$align: 500 transactions" store add 500
	is "$align: another process finds the 500 entries" "$(store list)" 500
	store abort >/dev/null
	is "$align: an aborted transaction leaves nothing" "$(store list)" 500
	# In a shell of its own, which says that it was killed.
	(store die) >/dev/null 2>&1
	is "$align: nor does one whose process was killed before the commit" "$(store list)" 500
	like "$align: the pool is consistent after that" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: consistent"
	check "$align: the device is unbound" unbind
	check "$align: and bound" bind
	is "$align: the entries are still there" "$(store list)" 500

	# ---- repair ----

	daxio --input="$NODE" --output="$TMP/header" --len=4096 >/dev/null 2>&1
	damage
	like "$align: pmempool finds a damaged header" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: not consistent"
	like "$align: it repairs no pools of objects" "$(pmempool check -v --repair --yes "$NODE" 2>&1)" \
		"the repair of pmemobj pools is not supported"
	daxio --input="$TMP/header" --output="$NODE" >/dev/null 2>&1
	like "$align: with a copy of the header the pool is consistent again" \
		"$(pmempool check -v "$NODE" 2>&1)" "$NODE: consistent"
	is "$align: with its entries" "$(store list)" 500

	check "$align: pmempool removes the pool" pmempool rm "$NODE"
	check "$align: the device is still there" test -c "$NODE"
	like "$align: the pool is gone" "$(pmempool check -v "$NODE" 2>&1)" "empty pool hdr"

	check "$align: pmempool makes a pool of blocks" pmempool create blk 512 "$NODE"
	like "$align: pmempool finds its type" "$(pmempool info "$NODE" 2>&1)" "^Signature +: PMEMBLK"
	like "$align: that pool is consistent" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: consistent"
	damage
	like "$align: pmempool finds a damaged header" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: not consistent"
	like "$align: it repairs it" "$(pmempool check -v --repair --advanced --yes "$NODE" 2>&1)" "$NODE: repaired"
	like "$align: that pool is consistent again" "$(pmempool check -v "$NODE" 2>&1)" "$NODE: consistent"
	check "$align: pmempool removes it" pmempool rm "$NODE"
	destroy_device >/dev/null
done
done_testing
