//! [`Encoded`]: a message as a frame, made once per node and shared by all who get it.

use std::sync::Arc;

use bytes::Bytes;

use crate::message::Message;
use crate::websocket::{OpCode, frame};

use super::budget::Budget;
#[cfg(feature = "deflate")]
use super::compressed::Compressed;
use super::shared::Shared;

/// A whole frame. A clone shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    frame: Shared,
    /// What clones share of its compressed forms; `None` where nobody could want one.
    #[cfg(feature = "deflate")]
    pub(super) compressed: Option<Arc<Compressed>>,
}

impl Encoded {
    pub(crate) fn message(message: &Message) -> Self {
        match message {
            Message::Text(text) => Self::frame(OpCode::Text, text.as_bytes()),
            Message::Binary(bytes) => Self::frame(OpCode::Binary, bytes),
        }
    }

    /// An event's JSON, as the text frame that a relaying or forwarding member sends.
    pub(crate) fn event(json: &[u8]) -> Self {
        Self::frame(OpCode::Text, json)
    }

    fn frame(opcode: OpCode, payload: &[u8]) -> Self {
        Self {
            frame: Shared::new(frame(opcode, payload)),
            #[cfg(feature = "deflate")]
            compressed: Compressed::of(opcode, payload),
        }
    }

    /// A frame that stays as it is.
    #[cfg(feature = "deflate")]
    pub(super) fn ready(frame: Shared) -> Self {
        Self {
            frame,
            compressed: None,
        }
    }

    /// The same frame, counted once for all queues that it waits in.
    pub(super) fn counted(&self, budget: &Arc<Budget>) -> Self {
        Self {
            frame: self.frame.counted(budget),
            #[cfg(feature = "deflate")]
            compressed: self.compressed.clone(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.frame
    }

    /// Header and payload.
    pub(crate) fn wire(&self) -> &Bytes {
        self.frame.bytes()
    }

    /// What stands behind the header, whose second byte tells its length (RFC 6455, section 5.2).
    pub(crate) fn payload(&self) -> &[u8] {
        let header = match self.wire().get(1) {
            Some(127) => 10,
            Some(126) => 4,
            _ => 2,
        };
        self.wire().get(header..).unwrap_or_default()
    }

    /// The payload of an event, whose JSON is text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(self.payload()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Encoded;

    #[test]
    fn the_payload_is_found_at_every_header_length() {
        for len in [
            0, 1, 125, 126, 127, 128, 129, 1000, 65_535, 65_536, 65_540, 70_000,
        ] {
            let payload = vec![b'x'; len];
            assert_eq!(Encoded::event(&payload).payload(), payload, "{len}");
        }
    }
}
