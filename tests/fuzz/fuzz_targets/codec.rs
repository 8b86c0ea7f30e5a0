//! Fuzzes the codec; the other targets are run alike.
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none codec -- -max_len=4096 -runs=1000000
//! ```
//!
//! Without a sanitizer it runs on stable Rust; the crate has no unsafe code for one to find. The
//! rules are in the docs of each function of `strait::fuzzing`. A crash lands in `artifacts/`: copy
//! its file into `corpus/codec/`, where `cargo test` replays it, and give the bug a test of its
//! own. After a longer run keep the corpus small:
//!
//! ```text
//! cargo fuzz cmin --fuzz-dir tests/fuzz --sanitizer none codec
//! ```
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| strait::fuzzing::codec(data));
