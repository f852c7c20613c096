#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio's own engine for device DAX, with verification. fio_long.sh has more engines, and more time.
# machines: nvdimm
# needs: fio
# limit: 240
. ./lib.sh

# ENGINES: those of fio. Each kind of requests takes FOR seconds, and once at least writes and verifies
# AMOUNT bytes with each size of BLOCKS.
ENGINES=${ENGINES:-dev-dax} FOR=${FOR:-0} AMOUNT=${AMOUNT:-16M} BLOCKS=${BLOCKS:-2M}

# job KIND OPTION...: run fio
job()
{
	fio --output-format=terse --minimal --name="$1" --rw="$1" --size="$AMOUNT" --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 "${@:2}"
}

# rounds KIND OPTION...: write and verify until the time is over
rounds()
{
	local kind=$1 blocks end=$((SECONDS + FOR))
	shift
	while
		for blocks in $BLOCKS; do
			job "$kind" --bs="$blocks" --randseed=$RANDOM$RANDOM "$@" || return
			echo >>"$TMP/done"
		done
		[ $SECONDS -lt $end ]
	do :; done
}

# verified DESCRIPTION ENGINE OPTION...
verified()
{
	local what=$1 engine=$2 kind
	shift 2
	for kind in write randwrite randrw; do
		check "$what: fio --ioengine=$engine --rw=$kind with verification" rounds $kind --ioengine="$engine" "$@"
	done
}

for engine in $ENGINES; do
	case $engine in
	dev-dax)
		for align in 4K 2M; do
			dax_device $align mem 256M
			verified $align dev-dax --filename="$NODE"

			same=(--ioengine=dev-dax --filename="$NODE" --bs=2M --randseed=1)
			check "$align: fio writes, and does not verify" job write "${same[@]}" --do_verify=0
			unbind
			bind
			check "$align: after an unbind and a bind, it finds what it wrote" job read "${same[@]}"
			dax "$align: somebody else changes a word" <<-DAX
				open f $NODE		= ok
				mmap m f $AMOUNT 0	= ok
				write m 5M 1		= ok
			DAX
			refuse "$align: fio notices" "verify: bad|verify failed" job read "${same[@]}"
			destroy_device >/dev/null
		done
		;;
	*)
		for fs in ext4 xfs; do
			file_system $fs
			case $engine in
			io_uring) verified $fs io_uring --filename="$MNT/file" --direct=1 --iodepth=8 --fixedbufs=1 ;;
			*) verified $fs "$engine" --filename="$MNT/file" ;;
			esac
			drop_file_system
		done
		;;
	esac
done
echo "# count: $(wc -l <"$TMP/done") runs of fio that wrote and verified $AMOUNT"
done_testing
