//! The six opcodes of RFC 6455, 11.8.

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpCode {
    /// A later part of a message begun by [`OpCode::Text`] or [`OpCode::Binary`].
    Continuation,
    /// UTF-8, the whole message or its first part.
    Text,
    /// Bytes, the whole message or its first part.
    Binary,
    /// The sender will send no more.
    Close,
    /// To be answered by a [`OpCode::Pong`] with the same payload.
    Ping,
    /// The answer to a ping, or an unasked sign of life.
    Pong,
}

impl OpCode {
    /// The opcode in the low four bits of a frame's first byte, `None` for a reserved one.
    pub(super) const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// The four bits on the wire.
    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Control frames are never fragmented and may come between the parts of a message.
    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}
