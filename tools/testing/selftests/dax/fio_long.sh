#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio with verification, for two hours: on a device, and on files of file systems with DAX that it maps with
# libpmem and by itself, and that io_uring reads and writes with registered buffers.
# machines: nvdimm
# needs: fio
# limit: 10800
# tier: all
ENGINES='dev-dax libpmem mmap io_uring' FOR=300 AMOUNT=64M BLOCKS='4K 64K 2M'
. ./fio.sh
