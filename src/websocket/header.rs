//! Reading one frame header (RFC 6455, 5.2), from its first byte on.

use crate::websocket::control::ControlPayload;
#[cfg(feature = "deflate")]
use crate::websocket::deflate::most_compressed;
use crate::websocket::opcode::OpCode;
use crate::websocket::role::Role;
use crate::websocket::violation::Violation;

/// A header that is allowed at its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    /// It begins a message that is compressed.
    #[cfg(feature = "deflate")]
    pub(super) is_compressed: bool,
    /// `None` for what a server sends.
    pub(super) mask: Option<[u8; 4]>,
    /// Length of the payload; of a data frame it is within the limit.
    pub(super) len: usize,
}

/// The requirements for a header that follow from its place in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) role: Role,
    /// The limit of a message, to be named when it is exceeded.
    pub(super) max_message: usize,
    /// Length of the fragmented message so far, `None` when none was begun.
    pub(super) begun: Option<usize>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Deflate,
}

/// The difference that permessage-deflate makes for the next frame.
#[cfg(feature = "deflate")]
#[derive(Debug, Clone, Copy)]
pub(super) struct Deflate {
    /// It was agreed on.
    pub(super) is_agreed: bool,
    /// The fragmented message is compressed: its length is that of the compressed form.
    pub(super) has_begun: bool,
}

/// The longest header: two bytes, eight of length, four of mask.
pub(super) const MAX_HEADER: usize = 14;

/// The header that nearly all messages have towards a server: a whole one, masked, with a length of
/// at most two bytes. `None` for any other, and for one that is not right in any way: [`parse`]
/// tells which.
#[inline]
pub(super) fn common(bytes: &[u8], expected: Expected) -> Option<(FrameHeader, usize)> {
    let &[first, second, ref after @ ..] = bytes else {
        return None;
    };
    let opcode = match first {
        FIN_TEXT => OpCode::Text,
        FIN_BINARY => OpCode::Binary,
        _ => return None,
    };
    let (len, after) = match second ^ MASKED {
        short @ 0..=125 => (usize::from(short), after),
        LEN_16 => {
            let (len, after) = after.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), after)
        }
        _ => return None,
    };
    let is_shortest = len > 125 || second ^ MASKED != LEN_16;
    let is_right = is_shortest && len <= expected.max_message && expected.begun.is_none();
    if !is_right || expected.role != Role::Server {
        return None;
    }
    let (key, rest) = after.split_first_chunk::<4>()?;
    let header = FrameHeader {
        opcode,
        fin: true,
        #[cfg(feature = "deflate")]
        is_compressed: false,
        mask: Some(*key),
        len,
    };
    Some((header, bytes.len() - rest.len()))
}

/// Reads the header at the front of `bytes` and how many bytes it took, `None` while it is not
/// whole.
///
/// The first byte that cannot be right fails, also when the header is not whole yet, so the
/// answer does not depend on how the bytes were cut.
#[inline]
pub(super) fn parse(
    bytes: &[u8],
    expected: Expected,
) -> Result<Option<(FrameHeader, usize)>, Violation> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let (opcode, fin) = first_byte(first, expected)?;
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    second_byte(second, opcode, expected.role)?;
    let Some((len, taken)) = payload_len(second, &bytes[2..])? else {
        return Ok(None);
    };
    let len = within_limit(len, first, opcode, expected)?;
    let at = 2 + taken;
    let (mask, size) = match expected.role {
        Role::Client => (None, at),
        Role::Server => match bytes[at..].first_chunk::<4>() {
            Some(key) => (Some(*key), at + 4),
            None => return Ok(None),
        },
    };
    let header = FrameHeader {
        opcode,
        fin,
        #[cfg(feature = "deflate")]
        is_compressed: first & RSV1 != 0,
        mask,
        len,
    };
    Ok(Some((header, size)))
}

/// FIN, the reserved bits and the opcode.
#[inline]
fn first_byte(byte: u8, expected: Expected) -> Result<(OpCode, bool), Violation> {
    if byte & RESERVED_BITS != 0 && !begins_compressed(byte, expected) {
        return Err(Violation::reserved_bit(byte));
    }
    let bits = byte & OPCODE_BITS;
    let Some(opcode) = OpCode::from_bits(bits) else {
        return Err(Violation::reserved_opcode(bits));
    };
    let fin = byte & FIN != 0;
    if opcode.is_control() {
        if !fin {
            return Err(Violation::fragmented_control(opcode));
        }
        return Ok((opcode, fin));
    }
    match (opcode == OpCode::Continuation, expected.begun.is_some()) {
        (true, false) => Err(Violation::orphan()),
        (false, true) => Err(Violation::unended(opcode)),
        (true, true) | (false, false) => Ok((opcode, fin)),
    }
}

/// RSV1 tells so at the first frame of a data message, where permessage-deflate was agreed on; it
/// means nothing at any other (RFC 7692, 6).
#[cfg(feature = "deflate")]
fn begins_compressed(byte: u8, expected: Expected) -> bool {
    let opcode = OpCode::from_bits(byte & OPCODE_BITS);
    expected.deflate.is_agreed
        && byte & RESERVED_BITS == RSV1
        && matches!(opcode, Some(OpCode::Text | OpCode::Binary))
}

#[cfg(not(feature = "deflate"))]
const fn begins_compressed(_byte: u8, _expected: Expected) -> bool {
    false
}

/// The mask bit, and the length as far as it tells a control frame's.
#[inline]
fn second_byte(byte: u8, opcode: OpCode, role: Role) -> Result<(), Violation> {
    match (role, byte & MASKED != 0) {
        (Role::Server, false) => return Err(Violation::unmasked()),
        (Role::Client, true) => return Err(Violation::masked()),
        (Role::Server, true) | (Role::Client, false) => {}
    }
    if opcode.is_control() && usize::from(byte & LEN_BITS) > ControlPayload::MAX {
        return Err(Violation::long_control(opcode));
    }
    Ok(())
}

/// The declared length and how many bytes after the second it took, `None` while they are missing.
#[inline]
fn payload_len(second: u8, after: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (len, taken, least) = match second & LEN_BITS {
        LEN_16 => match after.first_chunk::<2>() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 2, 126),
            None => return Ok(None),
        },
        LEN_64 => match after.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8, 1 << 16),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 0),
    };
    if len >> 63 != 0 {
        return Err(Violation::highest_bit());
    }
    if len < least {
        return Err(Violation::long_form(len));
    }
    Ok(Some((len, taken)))
}

/// The length as a number we can hold, once it fits what the message may still grow by.
#[inline]
fn within_limit(
    len: u64,
    first: u8,
    opcode: OpCode,
    expected: Expected,
) -> Result<usize, Violation> {
    let too_big = || Violation::too_big(expected.max_message);
    let len = usize::try_from(len).map_err(|_| too_big())?;
    let room = most(first, expected).saturating_sub(expected.begun.unwrap_or(0));
    if !opcode.is_control() && len > room {
        return Err(too_big());
    }
    Ok(len)
}

/// The most bytes that all frames of the message together may have.
#[cfg(feature = "deflate")]
fn most(first: u8, expected: Expected) -> usize {
    if first & RSV1 != 0 || expected.deflate.has_begun {
        return most_compressed(expected.max_message);
    }
    expected.max_message
}

#[cfg(not(feature = "deflate"))]
const fn most(_first: u8, expected: Expected) -> usize {
    expected.max_message
}

const FIN: u8 = 0b1000_0000;
const FIN_TEXT: u8 = 0b1000_0001;
const FIN_BINARY: u8 = 0b1000_0010;
const RESERVED_BITS: u8 = 0b0111_0000;
/// The one of them that permessage-deflate has taken.
#[cfg(feature = "deflate")]
const RSV1: u8 = 0b0100_0000;
const OPCODE_BITS: u8 = 0b0000_1111;
const MASKED: u8 = 0b1000_0000;
const LEN_BITS: u8 = 0b0111_1111;

/// A 16-bit length follows.
const LEN_16: u8 = 126;
/// A 64-bit length follows.
const LEN_64: u8 = 127;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::strategy::Just;
    use proptest::{option, prop_assert_eq, prop_oneof, proptest};

    use super::{Expected, FrameHeader, Role, common, parse};

    /// Its fields, to be compared.
    fn told((header, size): (FrameHeader, usize)) -> String {
        format!("{header:?} in {size}")
    }

    proptest! {
        /// The fast path reads the same as the slow path, and no common header takes the slow path.
        #[test]
        fn the_common_header_is_what_it_is_for_all(
            first in prop_oneof![Just(0x81_u8), Just(0x82), any::<u8>()],
            second in prop_oneof![Just(0xfe_u8), any::<u8>()],
            rest in vec(prop_oneof![Just(0_u8), any::<u8>()], 0..14),
            max_message in prop_oneof![Just(0_usize), Just(125), Just(126), Just(200), Just(1 << 20)],
            begun in option::of(0_usize..300),
            is_server in any::<bool>(),
        ) {
            let bytes = [&[first, second], &rest[..]].concat();
            let expected = Expected {
                role: if is_server { Role::Server } else { Role::Client },
                max_message,
                begun,
                #[cfg(feature = "deflate")]
                deflate: super::Deflate {
                    is_agreed: true,
                    has_begun: false,
                },
            };
            let parsed = parse(&bytes, expected).ok().flatten();
            let is_common = is_server && matches!(first, 0x81 | 0x82) && second != 0xff;
            let parsed = parsed.filter(|_| is_common).map(told);
            prop_assert_eq!(common(&bytes, expected).map(told), parsed);
        }
    }
}
