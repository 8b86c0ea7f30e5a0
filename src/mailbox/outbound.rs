//! [`Outbound`]: a message of the consumer's own, before it is queued.

use crate::message::Message;

use super::encoded::Encoded;

/// A message on its way into the queue.
#[derive(Debug)]
pub(crate) enum Outbound {
    Message(Message),
    Ready(Encoded),
}

/// There was no room, and nobody writes yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;
