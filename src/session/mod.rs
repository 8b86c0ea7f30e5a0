//! One connection's life: [`open`] runs `connect` before there is a stream, then the hooks run in
//! order until it ends.
//!
//! - [`opening`] runs `connect` and takes over the stream.
//! - [`session`] runs the hooks in order, `disconnect` last; [`hook`] runs one of them.
//! - [`connection`] does everything else while a hook waits: it reads ahead, writes, keeps the
//!   [`deadlines`], and goes from [`phase`] to phase.
//! - [`reader`] makes messages of bytes; [`socket`] is the stream, of whichever kind.
//! - [`sockets`] lists the open connections, and drains them.

mod connection;
mod deadlines;
mod hook;
mod inbound_rate;
mod opening;
mod phase;
mod read_ahead;
mod read_buffer;
mod reader;
mod session;
mod socket;
mod sockets;
mod transport;
mod turn;

#[cfg(test)]
mod tests;

pub use sockets::{Drain, Drained, Sockets};

pub(crate) use opening::{Admission, open};
pub(crate) use transport::{Transport, UpgradeSlot};
