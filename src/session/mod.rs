//! One connection's life: [`open`] runs `connect` before there is a stream, then the hooks run in
//! order until it ends.
//!
//! [`connection`] is the socket's side: writing, heartbeat, closing; [`reading`] its other half.
//! [`hook`] runs one hook while that goes on. [`sockets`] knows the connections that are open, and
//! drains them.

mod connection;
mod deadlines;
mod hook;
mod inbound_rate;
mod opening;
mod read_ahead;
mod read_buffer;
mod reading;
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
