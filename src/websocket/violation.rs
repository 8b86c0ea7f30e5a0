//! A violation of RFC 6455 by the peer, ready for a close frame.

use std::error::Error;
use std::fmt;

use crate::websocket::opcode::OpCode;

/// The peer broke the protocol: the connection must be failed with this code and reason.
///
/// The reason names the offending byte, bit or number and always fits a close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// 1002 (protocol error), 1007 (not UTF-8, not DEFLATE) or 1009 (message too big).
    pub(crate) code: u16,
    /// The fault, in at most 123 bytes.
    pub(crate) reason: String,
}

/// One constructor for each way to break the protocol. They are cold, so that the path of good
/// frames stays short.
impl Violation {
    #[cold]
    pub(super) fn reserved_bit(first: u8) -> Self {
        Self::protocol(format!(
            "reserved bit set in first byte 0x{first:02x}, no extension was agreed for it"
        ))
    }

    #[cold]
    pub(super) fn reserved_opcode(bits: u8) -> Self {
        Self::protocol(format!("reserved opcode 0x{bits:x}"))
    }

    #[cold]
    pub(super) fn fragmented_control(opcode: OpCode) -> Self {
        let bits = opcode.bits();
        Self::protocol(format!("fragmented control frame, opcode 0x{bits:x}"))
    }

    #[cold]
    pub(super) fn long_control(opcode: OpCode) -> Self {
        let bits = opcode.bits();
        Self::protocol(format!(
            "control frame with more than 125 bytes of payload, opcode 0x{bits:x}"
        ))
    }

    #[cold]
    pub(super) fn orphan() -> Self {
        Self::protocol("continuation of no message")
    }

    #[cold]
    pub(super) fn unended(opcode: OpCode) -> Self {
        let bits = opcode.bits();
        Self::protocol(format!(
            "new message, opcode 0x{bits:x}, before the last fragment of another"
        ))
    }

    #[cold]
    pub(super) fn unmasked() -> Self {
        Self::protocol("unmasked frame: a client must mask every frame")
    }

    #[cold]
    pub(super) fn masked() -> Self {
        Self::protocol("masked frame: a server must not mask")
    }

    #[cold]
    pub(super) fn highest_bit() -> Self {
        Self::protocol("64-bit length with its highest bit set")
    }

    #[cold]
    pub(super) fn long_form(len: u64) -> Self {
        Self::protocol(format!("length {len} not in its shortest form"))
    }

    /// The limit is in bytes.
    #[cold]
    pub(super) fn too_big(limit: usize) -> Self {
        Self {
            code: 1009,
            reason: format!("message longer than {limit} bytes"),
        }
    }

    #[cold]
    pub(super) fn bad_text() -> Self {
        Self::not_utf8("text message is not valid UTF-8")
    }

    #[cfg(feature = "deflate")]
    #[cold]
    pub(super) fn bad_deflate() -> Self {
        Self {
            code: 1007,
            reason: "compressed message is not whole, valid DEFLATE data".to_owned(),
        }
    }

    #[cold]
    pub(super) fn half_close_code() -> Self {
        Self::protocol("close body of one byte: a code takes two")
    }

    #[cold]
    pub(super) fn close_code(code: u16) -> Self {
        Self::protocol(format!("close code {code} must not be sent"))
    }

    #[cold]
    pub(super) fn bad_close_reason() -> Self {
        Self::not_utf8("close reason is not valid UTF-8")
    }

    fn protocol(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { code: 1002, reason }
    }

    fn not_utf8(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { code: 1007, reason }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.code)
    }
}

impl Error for Violation {}
