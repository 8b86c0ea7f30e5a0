//! What waits at a connection: frames to be written, events for its hook; their bounds, and what
//! happens at them.
//!
//! A [`Mailbox`] is the one block that a connection's session shares with everybody who sends to
//! it.

mod account;
mod batch;
mod budget;
mod chunks;
#[cfg(feature = "deflate")]
mod compressed;
mod controls;
mod encoded;
mod events;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gap;
mod keyed;
mod machine;
mod mailbox;
mod outbound;
mod outgoing;
mod parcel;
mod shared;
mod state;
mod tag;
mod terms;
mod transmit;

#[cfg(test)]
mod tests;

pub(crate) use account::Account;
pub(crate) use batch::Batch;
pub(crate) use budget::{Budget, Queue};
pub(crate) use encoded::Encoded;
pub(crate) use gap::{Gap, Turn};
pub(crate) use mailbox::{Mailbox, Taken};
pub(crate) use outbound::{Outbound, QueueFull};
pub(crate) use parcel::Parcel;
pub(crate) use state::CloseRequest;
pub(crate) use tag::Tag;
pub(crate) use terms::Terms;
pub(crate) use transmit::transmit;
