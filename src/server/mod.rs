//! The short way to serve: a listener, the handshake over HTTP, signals, and a drain at the end.

mod accept;
#[cfg(unix)]
mod descriptors;
mod fallback;
mod http1;
mod listen;
mod server;
mod signals;

pub use server::Listening;
pub use server::Server;
pub use signals::shutdown_signal;
