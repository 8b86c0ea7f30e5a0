//! [`Outbound`]: a message of the consumer's own, before it is queued.

use crate::message::Message;

#[cfg(feature = "deflate")]
use super::compressed::LongMessage;
use super::encoded::Encoded;

/// A message on its way into the queue.
#[derive(Debug)]
pub(crate) enum Outbound {
    Message(Message),
    Ready(Encoded),
    /// A long message that is being compressed.
    #[cfg(feature = "deflate")]
    Long(Box<LongMessage>),
}

/// There was no room, and nobody writes yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;
