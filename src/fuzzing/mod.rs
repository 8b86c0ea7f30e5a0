//! Rules that hold for any bytes: the entries of `tests/fuzz`, which searches for bytes that break
//! them.
//!
//! Each is in a file `fuzz.rs` beside its subject. The inputs that
//! `tests/fuzz/corpus` keeps are replayed with every `cargo test`, on any toolchain.

mod events;
#[cfg(test)]
mod replay;

pub use crate::handshake::fuzz::handshake;
pub use crate::layer::tests::fuzz::names;
pub use crate::mailbox::tests::fuzz::outgoing;
pub use crate::urls::fuzz::urls;
#[cfg(feature = "deflate")]
pub use crate::websocket::deflate::fuzz::deflate;
pub use crate::websocket::fuzz::codec;
pub use events::events;
