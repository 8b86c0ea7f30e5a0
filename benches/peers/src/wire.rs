//! The frames of the benchmark, the same for every server: 128 bytes of JSON, an event as it
//! happens, that carry a sequence number.
//!
//! `"type"` comes first both in the order of the alphabet and in ours, so that a server which
//! decodes and encodes the event gives the same bytes back.

pub const PAYLOAD: usize = 128;
/// A frame from the server: two bytes, a length in two, the payload.
pub const REPLY: usize = 4 + PAYLOAD;
/// A frame to the server has a key beside it.
pub const REQUEST: usize = 8 + PAYLOAD;

/// The reply of every server to a handshake that sends [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// `Sec-WebSocket-Key`, the example of RFC 6455: with a fixed key the floor has its answer ready.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The sequence number in hexadecimal digits, as it stands in a payload.
pub type Sequence = [u8; 16];

#[must_use]
pub fn sequence(number: u64) -> Sequence {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at) & 15) as usize])
}

/// The number of a payload, if there are digits where they should be.
#[must_use]
pub fn number(payload: &[u8]) -> Option<u64> {
    let digits = payload.get(SEQUENCE..SEQUENCE + 16)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A server's frame with this number.
#[must_use]
pub fn reply(sequence: &Sequence) -> [u8; REPLY] {
    let mut frame = [0; REPLY];
    frame[..4].copy_from_slice(&[0x81, 126, 0, PAYLOAD as u8]);
    frame[4..].copy_from_slice(&payload(sequence));
    frame
}

/// Writes another number into a server's frame.
pub fn renumber(reply: &mut [u8], sequence: &Sequence) {
    reply[4 + SEQUENCE..4 + SEQUENCE + 16].copy_from_slice(sequence);
}

/// A client's frame with this number.
#[must_use]
pub fn request(sequence: &Sequence) -> [u8; REQUEST] {
    let mut frame = [0; REQUEST];
    frame[..4].copy_from_slice(&[0x81, 0x80 | 126, 0, PAYLOAD as u8]);
    frame[4..8].copy_from_slice(&MASK);
    for (at, byte) in payload(sequence).iter().enumerate() {
        frame[8 + at] = byte ^ MASK[at % 4];
    }
    frame
}

fn payload(sequence: &Sequence) -> [u8; PAYLOAD] {
    let mut payload = [b'x'; PAYLOAD];
    payload[..SEQUENCE].copy_from_slice(BEGIN);
    payload[SEQUENCE..SEQUENCE + 16].copy_from_slice(sequence);
    payload[SEQUENCE + 16..SEQUENCE + 16 + MIDDLE.len()].copy_from_slice(MIDDLE);
    payload[PAYLOAD - 2..].copy_from_slice(b"\"}");
    payload
}

const BEGIN: &[u8; SEQUENCE] = br#"{"type":"tick","u":""#;
const MIDDLE: &[u8] = br#"","x":""#;
/// The place of the sequence number in a payload; a multiple of the key's length.
pub const SEQUENCE: usize = 20;
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
