// SPDX-License-Identifier: GPL-2.0

//! For libFuzzer: a text that is written to a file.

#![no_main]

dax_host::fuzz_target!(dax_host::agree::fuzz_text);
