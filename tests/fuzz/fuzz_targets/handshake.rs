//! Fuzzes what is made of a request's head; see `codec.rs` for how to run it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::handshake(data));
