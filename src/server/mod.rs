//! The short way to serve: a listener, the handshake over HTTP, signals, and a drain at the end.

mod accept;
mod activity;
mod bodies;
#[cfg(unix)]
mod descriptors;
mod fallback;
mod header_names;
mod http1;
mod listen;
mod places;
mod server;
mod signals;
mod stream;

#[cfg(test)]
mod tests;

pub use server::{Listening, Server};
pub use signals::shutdown_signal;
