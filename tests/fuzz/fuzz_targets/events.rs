//! Fuzzes the JSON of events; see `codec.rs` for how to run it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::events(data));
