// SPDX-License-Identifier: GPL-2.0

//! A fuzz target: requests to a region.

#![no_main]

dax_host::fuzz_target!(dax_host::agree::fuzz_region);
