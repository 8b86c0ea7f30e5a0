//! [`Frame`]: a frame of a server (RFC 6455, section 5.2); and the frames of a client, as bytes.

use bytes::{Buf, BytesMut};

/// A frame from a server, which neither fragments nor masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// With [`RSV1`] where an extension has set it.
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            opcode,
            payload: payload.into(),
        }
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::new(TEXT, text)
    }

    /// Takes the first of these bytes, once it is whole.
    pub(crate) fn take(unread: &mut BytesMut) -> Option<Self> {
        let (&[first, second], rest) = unread.split_first_chunk()?;
        assert_eq!(first & !(RSV1 | 0x0f), FIN, "whole, no reserved bit");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (length, header): (u64, usize) = match second {
            126 => (u16::from_be_bytes(*rest.first_chunk()?).into(), 4),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
            short => (short.into(), 2),
        };
        let length = usize::try_from(length).unwrap();
        if unread.len() - header < length {
            return None;
        }
        unread.advance(header);
        Some(Self::new(first & !FIN, unread.split_to(length)))
    }

    /// Code and reason of a close frame; `None` for one without a body, and for all others.
    pub(crate) fn close(&self) -> Option<(u16, String)> {
        let (code, reason) = self.payload.split_first_chunk()?;
        let reason = || String::from_utf8(reason.to_vec()).unwrap();
        (self.opcode == CLOSE).then(|| (u16::from_be_bytes(*code), reason()))
    }
}

/// A client's frame, its message's only or last.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    fragment(FIN | opcode, payload)
}

/// A frame without the FIN bit: more of the message follows.
pub(crate) fn fragment(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = header(opcode, payload.len() as u64);
    bytes.extend(masked(payload));
    bytes
}

/// The header of a client's frame with a payload of this length, in its shortest form.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes
}

pub(crate) fn masked(payload: &[u8]) -> impl Iterator<Item = u8> {
    let masks = MASK.iter().cycle();
    payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask)
}

pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;
pub(crate) const FIN: u8 = 0x80;
/// With permessage-deflate: the message is compressed.
pub(crate) const RSV1: u8 = 0x40;
/// That of the RFC's examples.
pub(crate) const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
