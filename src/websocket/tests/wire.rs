//! Frames as a peer writes them, right or wrong.

use crate::websocket::Role;

/// One frame on the wire. Everything is as RFC 6455 wants it until a method breaks it.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    first: u8,
    mask: Mask,
    key: [u8; 4],
    length: Length,
    payload: Vec<u8>,
    arrived: Arrived,
}

#[derive(Debug, Clone, Copy)]
enum Mask {
    /// As the reader demands.
    AsDue,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy)]
enum Length {
    Shortest(usize),
    Sixteen(u16),
    SixtyFour(u64),
}

#[derive(Debug, Clone, Copy)]
enum Arrived {
    All,
    /// The header and the first bytes of the payload.
    Payload(usize),
    /// The first bytes of the header.
    Bytes(usize),
}

impl Frame {
    fn new(first: u8, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self {
            first,
            mask: Mask::AsDue,
            key: [0x37, 0xFA, 0x21, 0x3D],
            length: Length::Shortest(payload.len()),
            payload,
            arrived: Arrived::All,
        }
    }

    /// Flips these bits of the first byte.
    pub(super) fn flip(mut self, bits: u8) -> Self {
        self.first ^= bits;
        self
    }

    pub(super) fn masked(mut self) -> Self {
        self.mask = Mask::Always;
        self
    }

    pub(super) fn unmasked(mut self) -> Self {
        self.mask = Mask::Never;
        self
    }

    pub(super) fn key(mut self, key: [u8; 4]) -> Self {
        self.key = key;
        self
    }

    /// Declares this length in its shortest form, whatever the payload.
    pub(super) fn len(mut self, len: usize) -> Self {
        self.length = Length::Shortest(len);
        self
    }

    /// Declares the length in two bytes.
    pub(super) fn len16(mut self, len: u16) -> Self {
        self.length = Length::Sixteen(len);
        self
    }

    /// Declares the length in eight bytes.
    pub(super) fn len64(mut self, len: u64) -> Self {
        self.length = Length::SixtyFour(len);
        self
    }

    /// The header has arrived and this many bytes of the payload.
    pub(super) fn payload_arrived(mut self, len: usize) -> Self {
        self.arrived = Arrived::Payload(len);
        self
    }

    /// Only this many bytes of the header have arrived.
    pub(super) fn bytes_arrived(mut self, len: usize) -> Self {
        self.arrived = Arrived::Bytes(len);
        self
    }

    /// The bytes a peer of `reader` puts on the wire.
    pub(super) fn write(&self, reader: Role, out: &mut Vec<u8>) {
        let start = out.len();
        let masked = match self.mask {
            Mask::AsDue => reader == Role::Server,
            Mask::Always => true,
            Mask::Never => false,
        };
        out.push(self.first);
        self.length.write(if masked { 0x80 } else { 0 }, out);
        if masked {
            out.extend_from_slice(&self.key);
        }
        let header_end = out.len();
        if masked {
            let key = self.key.iter().cycle();
            out.extend(self.payload.iter().zip(key).map(|(byte, key)| byte ^ key));
        } else {
            out.extend_from_slice(&self.payload);
        }
        match self.arrived {
            Arrived::All => {}
            Arrived::Payload(len) => out.truncate(header_end + len),
            Arrived::Bytes(len) => out.truncate(start + len),
        }
    }
}

impl Length {
    fn write(self, mask_bit: u8, out: &mut Vec<u8>) {
        match self {
            Self::Shortest(len @ 0..=125) => out.push(mask_bit | len as u8),
            Self::Shortest(len @ 126..=0xFFFF) => Self::Sixteen(len as u16).write(mask_bit, out),
            Self::Shortest(len) => Self::SixtyFour(len as u64).write(mask_bit, out),
            Self::Sixteen(len) => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Self::SixtyFour(len) => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
    }
}

pub(super) const FIN: u8 = 0x80;
pub(super) const RSV1: u8 = 0x40;
pub(super) const RSV2: u8 = 0x20;
pub(super) const RSV3: u8 = 0x10;

/// A frame with this first byte.
pub(super) fn raw(first: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(first, payload)
}

/// A whole text message.
pub(super) fn text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x81, payload)
}

/// A whole binary message.
pub(super) fn binary(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x82, payload)
}

/// The first fragment of a text message.
pub(super) fn first_text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x01, payload)
}

/// The first fragment of a binary message.
pub(super) fn first_binary(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x02, payload)
}

/// A fragment between the first and the last.
pub(super) fn more(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x00, payload)
}

/// The last fragment.
pub(super) fn last(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x80, payload)
}

pub(super) fn ping(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x89, payload)
}

pub(super) fn pong(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x8A, payload)
}

/// A close frame with these bytes as its body.
pub(super) fn close_raw(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0x88, payload)
}

pub(super) fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_ref());
    close_raw(payload)
}
