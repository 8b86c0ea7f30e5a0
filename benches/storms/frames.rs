//! Frames on the client's side, of any length.

use crate::common::wire;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A whole frame from the server.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame of these bytes and the rest; `None` if it is not whole.
    ///
    /// # Errors
    ///
    /// For what no server may send here: fragments, extensions, a mask.
    pub(crate) fn first(bytes: &'a [u8]) -> Result<Option<(Self, &'a [u8])>, String> {
        let [first, second, more @ ..] = bytes else {
            return Ok(None);
        };
        if first & 0xf0 != 0x80 || second & 0x80 != 0 {
            return Err(format!("a frame begins with {first:#x} {second:#x}"));
        }
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, more)) = more.split_at_checked(extended) else {
            return Ok(None);
        };
        let length = match extended {
            0 => usize::from(*second),
            _ => length
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let split = more.split_at_checked(length);
        Ok(split.map(|(payload, rest)| {
            let opcode = first & 0xf;
            (Self { opcode, payload }, rest)
        }))
    }

    /// Code and reason of a close frame.
    pub(crate) fn close(&self) -> Option<(u16, &'a str)> {
        let (code, reason) = self.payload.split_first_chunk::<2>()?;
        (self.opcode == CLOSE)
            .then_some((u16::from_be_bytes(*code), std::str::from_utf8(reason).ok()?))
    }
}

/// A frame to the server.
pub(crate) fn request(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&wire::MASK);
    let masked = payload.iter().zip(wire::MASK.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// A text of this length that carries a sequence number.
#[derive(Clone)]
pub(crate) struct Numbered(Vec<u8>);

impl Numbered {
    pub(crate) fn new(length: usize) -> Self {
        Self(vec![b'x'; length])
    }

    pub(crate) fn payload(&mut self, number: u64) -> &[u8] {
        let digits = wire::sequence(number);
        self.0[..digits.len()].copy_from_slice(&digits);
        &self.0
    }

    /// Whether this is the text with that number, every byte of it.
    pub(crate) fn compare(&mut self, payload: &[u8], number: u64) -> Result<(), String> {
        if self.payload(number) == payload {
            return Ok(());
        }
        let begin = &payload[..payload.len().min(16)];
        Err(format!(
            "{} bytes that begin with {} came where number {number} was due",
            payload.len(),
            begin.escape_ascii()
        ))
    }
}
