//! What must hold for any bytes at all: the entries of `tests/fuzz`, which looks for bytes for
//! which it does not.
//!
//! Each stands beside what it is about, in the folder's `fuzz.rs`. The inputs that
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
