// SPDX-License-Identifier: GPL-2.0

//! A fuzz target: info blocks and ranges of memory.

#![no_main]

dax_host::fuzz_target!(dax_host::agree::fuzz_memory);
