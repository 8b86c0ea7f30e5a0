//! [`Encoded`]: a message as a frame, made once per node and shared by all who get it.

use bytes::Bytes;

use crate::message::Message;
use crate::websocket::OpCode;
use crate::websocket::frame;

/// A whole frame and, inside it, its payload. A clone shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    wire: Bytes,
    payload_len: usize,
}

impl Encoded {
    pub(crate) fn message(message: &Message) -> Self {
        match message {
            Message::Text(text) => Self::new(OpCode::Text, text.as_bytes()),
            Message::Binary(bytes) => Self::new(OpCode::Binary, bytes),
        }
    }

    /// An event's JSON, as the text frame that a relaying or forwarding member sends.
    pub(crate) fn event(json: &[u8]) -> Self {
        Self::new(OpCode::Text, json)
    }

    fn new(opcode: OpCode, payload: &[u8]) -> Self {
        Self {
            wire: frame(opcode, payload),
            payload_len: payload.len(),
        }
    }

    /// Header and payload.
    pub(crate) fn wire(&self) -> &Bytes {
        &self.wire
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.wire[self.wire.len() - self.payload_len..]
    }
}
