#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A request that is refused again and again neither fills the log nor suppresses other messages, of
# the same driver or of another one.
# machines: hmem
. ./lib.sh

any_device 64M
said() { log_since | grep -cE -- "$1"; }
# some DESCRIPTION REGEX: the log must have a few of many messages
some() { like "$1" "$(said "$2")" '^([1-9]|1[0-9]|20)$'; }

# Wait until the messages of other tests no longer count.
sleep 6
log_mark
dax "one hundred private mappings" <<-DAX
	open f $NODE				= ok
	loop 100 mmap m f 2M 0 private		= EINVAL
DAX
some "the log has at most two bursts of them" "$DEV: .*private"
dax "a misaligned mapping" <<-DAX
	open f $NODE				= ok
	mmap m f 4K 0				= EINVAL
DAX
log_has "the log has this message, too, at once" "$DEV: .*align"

if ! in_c core; then
	unbind
	log_mark
	for ((i = 0; i < 100; i++)); do echo "put $SYS/size 4097"; done | daxtest >/dev/null
	some "the core has a rate limit of its own for one kind of request" "$DEV: size 0x1001 refused"
	result "$SYS/../dax_region/delete" "$DEV" >/dev/null
	log_has "each other kind of request has another one" "$DEV: delete refused"
	bind
fi

sleep 6
log_mark
dax "another private mapping, later" <<-DAX
	open f $NODE				= ok
	mmap m f 2M 0 private			= EINVAL
DAX
log_has "the log has it again" "$DEV: .*private"
in_c device_dax || log_has "the log says how many messages were suppressed, and where" \
	'device_dax:[0-9]+: [0-9]+ callbacks suppressed'
done_testing
