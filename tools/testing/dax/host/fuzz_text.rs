// SPDX-License-Identifier: GPL-2.0

//! A fuzz target: texts that user space writes to sysfs files.

#![no_main]

dax_host::fuzz_target!(dax_host::agree::fuzz_text);
