//! The body of a close frame: code and reason, read and written (RFC 6455, 5.5.1 and 7.4).

use std::str;

use crate::close::is_wire_code;
use crate::websocket::control::ControlPayload;
use crate::websocket::violation::Violation;

/// Why the peer closes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CloseBody {
    /// A code that may stand on the wire, see [`is_wire_code`].
    pub(crate) code: u16,
    /// For people and logs, often empty.
    pub(crate) reason: String,
}

impl CloseBody {
    /// Reads a whole payload; an empty one carries no body.
    pub(super) fn parse(payload: &[u8]) -> Result<Option<Self>, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            if payload.is_empty() {
                return Ok(None);
            }
            return Err(Violation::half_close_code());
        };
        let code = u16::from_be_bytes(*code);
        if !is_wire_code(code) {
            return Err(Violation::close_code(code));
        }
        let Ok(reason) = str::from_utf8(reason) else {
            return Err(Violation::bad_close_reason());
        };
        Ok(Some(Self {
            code,
            reason: reason.to_owned(),
        }))
    }
}

/// The payload of a close frame. Code 1005, "none was given", makes it empty.
///
/// The reason is cut at a character boundary to the 123 bytes that fit. That `code` is one for
/// the wire is the caller's to ensure.
pub(crate) fn close_payload(code: u16, reason: &str) -> ControlPayload {
    if code == NO_CODE {
        return ControlPayload::new(&[]);
    }
    debug_assert!(is_wire_code(code), "close code {code} must not be sent");
    let reason = cut(reason, MAX_REASON);
    let mut payload = [0; ControlPayload::MAX];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    ControlPayload::new(&payload[..2 + reason.len()])
}

/// The longest beginning of `text` that has at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Stands for a close frame without a code; never on the wire (RFC 6455, 7.4.1).
const NO_CODE: u16 = 1005;

/// The room that a control frame has besides the code.
const MAX_REASON: usize = ControlPayload::MAX - 2;
