#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# KUnit: the modules that hold unit tests, loaded; what they print is their result.
# machines: nvdimm
# impl: rust - they test Rust code
. ./lib.sh

modules=$(find "/lib/modules/$(uname -r)" -name 'dax*kunit*.ko' -printf '%f\n' | sed 's/\.ko$//')
[ -n "$modules" ] || bail_out "there is no module with unit tests; CONFIG_DAX_KUNIT_TEST=m makes one"
for module in $modules; do
	log_mark
	check "$module loads" modprobe "$module"
	while read -r result name; do
		case $result in
		ok*) ok "$module: $name" ;;
		*) not_ok "$module: $name" "$(log_since | grep -B 15 -- "- $name\|$name\$" | tail -n 15)" ;;
		esac
	done < <(log_since | sed -nE 's/^(\[[^]]*\])? +((not )?ok) [0-9]+ (- )?([a-z].*)$/\2 \5/p' | sed 's/^not ok/not-ok/')
	check "$module reports its results" test "$KTAP_TESTNO" -gt 3
	modprobe -r "$module"
done
done_testing
