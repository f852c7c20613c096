#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Change fields of the info block of a namespace in raw mode.

  pmem_infoblock.py DEVICE [FIELD=NUMBER]...    change fields, and update the checksum
  pmem_infoblock.py DEVICE flip=OFFSET          invert the byte at OFFSET of the block
  pmem_infoblock.py DEVICE                      print all fields

The fields are those of struct nd_pfn_sb, see drivers/nvdimm/pfn.h.
"""

import os
import struct
import sys

BLOCK = 4096
FIELDS = {
    "signature": (0, "<Q"), "parent_uuid": (32, "<Q"), "flags": (48, "<I"),
    "version_major": (52, "<H"), "version_minor": (54, "<H"), "dataoff": (56, "<Q"),
    "npfns": (64, "<Q"), "mode": (72, "<I"), "start_pad": (76, "<I"), "end_trunc": (80, "<I"),
    "align": (84, "<I"), "page_size": (88, "<I"), "page_struct_size": (92, "<H"),
    "checksum": (4088, "<Q"),
}


def fletcher64(data):
    low = high = 0
    for (word,) in struct.iter_unpack("<I", data):
        low = (low + word) & 0xFFFFFFFF
        high += low
    return (high << 32 | low) & 0xFFFFFFFFFFFFFFFF


def main():
    path, changes = sys.argv[1], [change.split("=") for change in sys.argv[2:]]
    fd = os.open(path, os.O_RDWR | os.O_SYNC)
    block = bytearray(os.pread(fd, BLOCK, BLOCK))

    for name, value in changes:
        if name == "flip":
            block[int(value, 0)] ^= 0xFF
            continue
        offset, form = FIELDS[name]
        struct.pack_into(form, block, offset, int(value, 0))
        if name != "checksum":
            struct.pack_into("<Q", block, 4088, 0)
            struct.pack_into("<Q", block, 4088, fletcher64(block))
    if changes:
        os.pwrite(fd, block, BLOCK)
        os.fsync(fd)
    else:
        for name, (offset, form) in FIELDS.items():
            print(f"{name}={struct.unpack_from(form, block, offset)[0]:#x}")
    os.close(fd)


main()
