// SPDX-License-Identifier: GPL-2.0

//! For libFuzzer: choices when requests to a region are thought up.

#![no_main]

dax_host::fuzz_target!(dax_host::agree::fuzz_region);
