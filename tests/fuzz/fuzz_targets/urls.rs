//! Fuzzes patterns and paths; see `codec.rs` for how to run it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::urls(data));
