# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The guest's part of the demonstration. usage: guest.sh write|verify SEED
set -e

# The language of a module, or of the built-in core: the names of Rust functions begin
# with _R.
language() { grep -q "$1" /proc/kallsyms && echo Rust || echo C; }

if [ "$1" = write ]; then
	ndctl create-namespace --force --reconfig=namespace0.0 --mode=devdax --align=2M >/run/namespace
	udevadm settle
fi

echo "  kernel      $(uname -sr)"
echo "  drivers     dax (built in): $(language ' _R.*8dax_core')," \
	"device_dax: $(language ' _R.*\[device_dax\]'), dax_pmem: $(language ' _R.*\[dax_pmem\]')"
ndctl list --namespaces --device-dax |
	jq -r '.[] | "  namespace   \(.dev), mode \(.mode), \(.size) bytes, \(.uuid)"'
device=$(ndctl list --namespaces | jq -r '.[0].chardev')
size=$(cat "/sys/bus/dax/devices/$device/size")
align=$(cat "/sys/bus/dax/devices/$device/align")
echo "  device      /dev/$device, $((size >> 20)) MiB, align $((align >> 20)) MiB," \
	"driver $(basename "$(readlink "/sys/bus/dax/devices/$device/driver")")"
/mnt/demo/pattern "$1" "/dev/$device" $((64 * align)) "$2"
