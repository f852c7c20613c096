#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Many namespaces in a libnvdimm region, by labels: each has its own device, and each comes and goes
# without an effect on the others.
# machines: nvdimm
# limit: 200
. ./lib.sh

count=12
names=()
on_exit 'for n in "${names[@]}"; do ndctl destroy-namespace -f $n; done >/dev/null 2>&1'

make()
{
	local align=4K map=mem
	[ $(($1 % 2)) = 0 ] || align=2M
	[ $(($1 % 3)) = 0 ] || map=dev
	ndctl create-namespace -m devdax -a $align -M $map -s 64M | jq -r .dev
}
devices() { ls /sys/bus/dax/devices | sort -V; }
of() { printf '%s\n' "${@/namespace/dax}" | sort -V; }
reserved() { grep -E ' : (namespace|dax)' /proc/iomem; }

for i in $(seq $count); do
	names+=("$(make "$i")")
done
udevadm settle
is "$count namespaces have $count devices" "$(devices)" "$(of "${names[@]}")"
is "no two reservations are equal" "$(reserved | wc -l) $(reserved | sort -u | wc -l)" "$((2 * count)) $((2 * count))"

each_says()	# write a different value to each device, then read all of them
{
	local what=$1 i=0 wrong='' name node got
	shift
	for name; do
		node=/dev/${name/namespace/dax}
		i=$((i + 1))
		printf '%s\n' "open f $node" "mmap m f 2M 0" "write m 0 $i" | daxtest >/dev/null
	done
	i=0
	for name; do
		node=/dev/${name/namespace/dax}
		i=$((i + 1))
		got=$(printf '%s\n' "open f $node" "mmap m f 2M 0" "read m 0" | daxtest | tail -1)
		[ "$got" = $i ] || wrong+="$node has $got, not $i; "
	done
	is "$what" "$wrong" ""
}
each_says "each device has memory of its own" "${names[@]}"

before=$(reserved)
kept=() gone=()
for i in "${!names[@]}"; do
	if [ $((i % 2)) = 0 ]; then kept+=("${names[i]}"); else gone+=("${names[i]}"); fi
done
for name in "${gone[@]}"; do ndctl destroy-namespace -f "$name" >/dev/null 2>&1; done
is "every second namespace is destroyed, the others stay" "$(devices)" "$(of "${kept[@]}")"
names=("${kept[@]}")
each_says "the others still work" "${kept[@]}"
for i in $(seq $((count / 2))); do
	names+=("$(make $((2 * i)))")
done
udevadm settle
is "the same number is created again" "$(devices)" "$(of "${names[@]}")"
is "there are $count devices" "$(devices | wc -l)" $count
each_says "all devices work" "${names[@]}"

before=$(reserved)
ndctl disable-namespace all >/dev/null 2>&1
is "disabled namespaces have no device and no reservation" "$(devices)$(reserved)" ""
ndctl enable-namespace all >/dev/null 2>&1
udevadm settle
is "enabled namespaces are at the same addresses" "$(reserved)" "$before"
ndctl disable-region all >/dev/null 2>&1
is "with the libnvdimm region disabled, there is no device and no reservation" "$(devices)$(reserved)" ""
ndctl enable-region all >/dev/null 2>&1
udevadm settle
is "with the libnvdimm region enabled, each namespace is at the same address" \
	"$(reserved | grep -c .) $(reserved | sed 's/ :.*//' | sort)" \
	"$((2 * count)) $(sed 's/ :.*//' <<<"$before" | sort)"

# After this, the numbers follow the order of the labels.
for name in $(ndctl list -N | jq -r '.[].dev'); do ndctl destroy-namespace -f "$name" >/dev/null 2>&1; done
names=()
is "destroyed namespaces have no device and no reservation" "$(devices)$(reserved)" ""
done_testing
