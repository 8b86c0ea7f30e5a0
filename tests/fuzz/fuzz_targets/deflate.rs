//! Fuzzes permessage-deflate: compressing, inflating and its negotiation; see `codec.rs` for how to
//! run it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::deflate(data));
