#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Many namespaces in a region, by labels: each has its own device, and they come, go
# and stay by themselves.
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
is "no two share memory" "$(reserved | wc -l) $(reserved | sort -u | wc -l)" "$((2 * count)) $((2 * count))"

each_says()	# something different, and all of it is still there when all have said it
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
each_says "each has memory of its own" "${names[@]}"

before=$(reserved)
kept=() gone=()
for i in "${!names[@]}"; do
	if [ $((i % 2)) = 0 ]; then kept+=("${names[i]}"); else gone+=("${names[i]}"); fi
done
for name in "${gone[@]}"; do ndctl destroy-namespace -f "$name" >/dev/null 2>&1; done
is "every second is destroyed, the others stay" "$(devices)" "$(of "${kept[@]}")"
names=("${kept[@]}")
each_says "and still work" "${kept[@]}"
for i in $(seq $((count / 2))); do
	names+=("$(make $((2 * i)))")
done
udevadm settle
is "as many come again" "$(devices)" "$(of "${names[@]}")"
is "$count in all" "$(devices | wc -l)" $count
each_says "all work" "${names[@]}"

before=$(reserved)
ndctl disable-namespace all >/dev/null 2>&1
is "all disabled" "$(devices)$(reserved)" ""
ndctl enable-namespace all >/dev/null 2>&1
udevadm settle
is "all enabled, at the same place" "$(reserved)" "$before"
ndctl disable-region all >/dev/null 2>&1
is "the whole region disabled" "$(devices)$(reserved)" ""
ndctl enable-region all >/dev/null 2>&1
udevadm settle
is "the whole region enabled, each is at the same place" \
	"$(reserved | grep -c .) $(reserved | sed 's/ :.*//' | sort)" \
	"$((2 * count)) $(sed 's/ :.*//' <<<"$before" | sort)"

# Numbers follow the labels' order after this.
for name in $(ndctl list -N | jq -r '.[].dev'); do ndctl destroy-namespace -f "$name" >/dev/null 2>&1; done
names=()
is "all destroyed" "$(devices)$(reserved)" ""
done_testing
