//! [`Outbound`]: a message of the consumer's own before it is queued.

#[cfg(feature = "deflate")]
use std::sync::Arc;
#[cfg(feature = "deflate")]
use std::task::Poll;

#[cfg(feature = "deflate")]
use bytes::Bytes;

use crate::broadcast::EncodedFrame;
#[cfg(feature = "deflate")]
use crate::budget::{AccountedBytes, Budget};
use crate::message::Message;
#[cfg(feature = "deflate")]
use crate::websocket::OpCode;
#[cfg(feature = "deflate")]
use crate::websocket::deflate::{Compressing, Compression};

/// A message on its way into the queue.
#[derive(Debug)]
pub(crate) enum Outbound {
    Message(Message),
    Frame(EncodedFrame),
    /// A long message that is being compressed.
    #[cfg(feature = "deflate")]
    Long(Box<LongMessage>),
}

/// The queue has no room, and nothing is written before the handshake ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueFull;

#[cfg(feature = "deflate")]
impl Outbound {
    /// The message as it goes to a connection with this compression. A long one is compressed [a
    /// step at a time](LongMessage::step) by its sender.
    pub(super) fn compressed(self, compression: Compression, budget: &Arc<Budget>) -> Self {
        match self {
            Self::Message(message) if message.len() < compression.min_len => Self::Message(message),
            Self::Message(message) => {
                let mut message = LongMessage::new(message, compression);
                match message.step() {
                    Poll::Ready(compressed) => compressed,
                    Poll::Pending => Self::Long(Box::new(message)),
                }
            }
            Self::Frame(event) => Self::Frame(event.compressed_within(compression, Some(budget))),
            Self::Long(_) => self,
        }
    }
}

/// A message of the consumer's own that is compressed in several steps.
#[cfg(feature = "deflate")]
#[derive(Debug)]
pub(crate) struct LongMessage {
    message: Message,
    compressing: Compressing,
}

#[cfg(feature = "deflate")]
impl LongMessage {
    fn new(message: Message, compression: Compression) -> Self {
        let opcode = match &message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        Self {
            message,
            compressing: Compressing::new(opcode, compression),
        }
    }

    /// Compresses the next part of the message. When it is ready, returns the compressed frame, or
    /// the message itself if that is not longer.
    pub(crate) fn step(&mut self) -> Poll<Outbound> {
        let frame = self.compressing.step(self.message.as_bytes());
        frame.map(|frame| match frame {
            Some(frame) => Outbound::Frame(EncodedFrame::ready(AccountedBytes::new(frame))),
            None => Outbound::Message(std::mem::replace(
                &mut self.message,
                Message::Binary(Bytes::new()),
            )),
        })
    }

    /// The message, uncompressed.
    pub(super) fn into_plain(self) -> Message {
        self.message
    }
}
