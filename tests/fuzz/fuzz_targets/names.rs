//! Fuzzes the names of groups and channels, and patterns over them; see `codec.rs` for how to run
//! it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::names(data));
