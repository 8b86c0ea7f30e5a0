//! The results of a decoder: whole messages and control frames.

use std::str;

use bytes::Bytes;

use crate::websocket::close::CloseBody;
use crate::websocket::control::ControlPayload;
use crate::websocket::opcode::OpCode;
use crate::websocket::violation::Violation;

/// One message, or one control frame, as the peer meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A text message, its fragments joined.
    Text(String),
    /// A binary message, its fragments joined; it owns its bytes and pins no read buffer.
    Binary(Bytes),
    /// To be answered with the same payload.
    Ping(ControlPayload),
    /// The answer to a ping of ours, or an unasked one.
    Pong(ControlPayload),
    /// The peer sends no more; `None` when it gave no code.
    Close(Option<CloseBody>),
}

impl Incoming {
    /// Reads the whole, unmasked payload of a frame that is a message or a control frame by itself.
    ///
    /// [`OpCode::Continuation`] never is; it would be read as binary.
    #[inline]
    pub(super) fn from_frame(opcode: OpCode, payload: &[u8]) -> Result<Self, Violation> {
        Ok(match opcode {
            OpCode::Text => match str::from_utf8(payload) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => return Err(Violation::bad_text()),
            },
            OpCode::Binary | OpCode::Continuation => Self::Binary(Bytes::copy_from_slice(payload)),
            OpCode::Ping => Self::Ping(ControlPayload::new(payload)),
            OpCode::Pong => Self::Pong(ControlPayload::new(payload)),
            OpCode::Close => Self::Close(CloseBody::parse(payload)?),
        })
    }
}
