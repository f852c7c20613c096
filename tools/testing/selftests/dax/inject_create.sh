#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# One process creates instances while the allocations of another process, which creates instances in
# the same region, fail in turn. The number of an instance that could not be created is free again at
# once. The undoing of that failure must not remove the instance that has got the number meanwhile.
# machines: hmem
# tier: all
# kernel: debug
# splat: at (arch_add_memory|add_pages)\+|Modules linked in:|Call Trace:
# limit: 120
. ./lib.sh
can_inject
dynamic_region
udev_off

# failing: create instances, while the first allocation fails, then the second and so on; print how
# many were created nevertheless
failing()
{
	local point created=0
	for point in $(seq 40) $(seq 40) $(seq 40); do
		# The shell opens the file first: no failure may come from open().
		{
			echo "$point" >/proc/self/fail-nth
			echo 1 >&3
			status=$?
			echo 0 >/proc/self/fail-nth
		} 3>"$REGION/create" 2>/dev/null
		created=$((created + (status == 0)))
	done
	echo "$created"
}

wrong='' refused=0
for turn in $(seq 8); do
	failing >"$TMP/created" &
	creator=$!
	created=0
	while kill -0 $creator 2>/dev/null && [ $created -lt 2000 ]; do
		echo 1 >"$REGION/create" && created=$((created + 1))
	done
	wait $creator
	other=$(cat "$TMP/created")
	refused=$((refused + 120 - other))
	found=$(ls -d "$DEVICES"/dax"$R".* | wc -l)
	[ $found = $((1 + created + other)) ] || wrong+=" turn $turn: $created + $other created, $found there;"
	empty_region
done
is "each instance that was created is there" "$wrong" ""
check "some could not be created ($refused)" test $refused -gt 8
echo "# count: $refused calls that failed in turn"
is "the region is empty again" "$(cat "$REGION/available_size")" "$LENGTH"
done_testing
