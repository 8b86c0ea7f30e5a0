//! The queues of one connection: frames that wait for the socket, events that wait for the hook,
//! their bounds, and what happens at the bounds.
//!
//! A [`Mailbox`] is the one block that a connection's session shares with all tasks that send to
//! it.

mod buffer_chain;
mod conflation_index;
mod control_frames;
mod event_queue;
mod flags;
mod gap;
mod mailbox;
mod outbound;
mod settings;
mod state;
mod try_send;
mod write_queue;

#[cfg(any(test, fuzzing))]
pub(crate) mod tests;

pub(crate) use gap::{Gap, GapPermit};
pub(crate) use mailbox::{Arrival, Close, Control, Mailbox};
pub(crate) use outbound::{Outbound, QueueFull};
pub(crate) use settings::ConnectionSettings;
pub(crate) use state::CloseRequest;
pub(crate) use try_send::try_send;
