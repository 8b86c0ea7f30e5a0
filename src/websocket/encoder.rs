//! From payloads to frames. All are whole messages: FIN set, never fragmented.

use std::ops::Deref;

use bytes::Bytes;

use crate::websocket::control::ControlPayload;
use crate::websocket::mask;
use crate::websocket::opcode::OpCode;

/// The two to ten bytes before an unmasked payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    bytes: [u8; 10],
    len: u8,
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of an unmasked frame with `payload_len` bytes, in its shortest form.
///
/// That a control frame has at most [`ControlPayload::MAX`] bytes is the caller's to ensure.
pub(crate) fn header(opcode: OpCode, payload_len: usize) -> Header {
    debug_assert!(
        !opcode.is_control() || payload_len <= ControlPayload::MAX,
        "control frame of {payload_len} bytes"
    );
    let mut bytes = [0; 10];
    bytes[0] = FIN | opcode.bits();
    let len = match payload_len {
        0..=125 => {
            bytes[1] = payload_len as u8;
            2
        }
        126..=0xFFFF => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
            10
        }
    };
    Header { bytes, len }
}

/// The header of a whole message whose payload is compressed.
#[cfg(feature = "deflate")]
pub(super) fn compressed_header(opcode: OpCode, payload_len: usize) -> Header {
    let mut header = header(opcode, payload_len);
    header.bytes[0] |= COMPRESSED;
    header
}

/// Appends an unmasked frame, as a server sends it.
#[inline]
pub(crate) fn encode_into(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    out.reserve(10 + payload.len());
    let first = FIN | opcode.bits();
    // The lengths are constants, except that of the longest form.
    match payload.len() {
        len @ 0..=125 => out.extend_from_slice(&[first, len as u8]),
        len @ 126..=0xFFFF => {
            let [high, low] = (len as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        len => out.extend_from_slice(&header(opcode, len)),
    }
    out.extend_from_slice(payload);
}

/// Appends a masked frame, as a client sends it. The mask must be unpredictable where a browser's
/// user could be tricked into sending chosen bytes (RFC 6455, 10.3).
pub(crate) fn encode_masked_into(out: &mut Vec<u8>, opcode: OpCode, mask: [u8; 4], payload: &[u8]) {
    let mut header = header(opcode, payload.len());
    header.bytes[1] |= MASKED;
    out.reserve(header.len() + mask.len() + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    mask::apply(mask, &mut out[start..]);
}

/// An unmasked frame in one buffer, to be shared by all connections that send it.
pub(crate) fn frame(opcode: OpCode, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(header(opcode, payload.len()).len() + payload.len());
    encode_into(&mut out, opcode, payload);
    Bytes::from(out)
}

const FIN: u8 = 0b1000_0000;
const MASKED: u8 = 0b1000_0000;
/// RSV1, which permessage-deflate has taken (RFC 7692, 6).
#[cfg(feature = "deflate")]
const COMPRESSED: u8 = 0b0100_0000;
