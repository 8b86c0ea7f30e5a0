//! The rules of the codec, for any bytes.

use crate::close::is_wire_code;
use crate::websocket::{
    ControlPayload, Decoder, Incoming, OpCode, Role, Violation, close_payload, encode_into,
    encode_masked_into,
};

/// Decodes bytes that a peer sent. The first byte chooses our role and the limit, the second how
/// the rest is cut.
///
/// - The messages and the violation are the same for the whole, for single bytes, and for pieces of
///   any length.
/// - No more is kept than has arrived, and never more than the limit and a constant.
/// - Messages are within the limit, and an accepted message is the same after it is written and
///   read again.
/// - After a violation nothing is taken, and its code and reason fit a close frame.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn codec(data: &[u8]) {
    let Some((&[choice, cuts], bytes)) = data.split_first_chunk::<2>() else {
        return;
    };
    let role = if choice & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let limit = LIMITS[usize::from(choice >> 1) % LIMITS.len()];
    let whole = read(role, limit, &[bytes]);
    let single = bytes.chunks(1).collect::<Vec<_>>();
    assert_eq!(read(role, limit, &single), whole, "byte by byte");
    let pieces = pieces(bytes, cuts);
    assert_eq!(read(role, limit, &pieces), whole, "in pieces");
    whole.messages.iter().for_each(|it| check(it, limit));
    if let Some(violation) = &whole.violation {
        check_violation(violation);
    }
    let again = write(role, choice, &whole.messages);
    let again = read(role, limit, &[&again]);
    assert_eq!(again.messages, whole.messages, "written again");
    assert_eq!(again.violation, None, "written again");
}

/// The result of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    messages: Vec<Incoming>,
    violation: Option<Violation>,
}

fn read(role: Role, limit: usize, pieces: &[&[u8]]) -> Heard {
    let mut decoder = Decoder::new(role, limit);
    let mut messages = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        arrived += piece.len();
        let mut input = piece.to_vec();
        let mut at = 0;
        loop {
            let outcome = decoder.decode(&mut input, &mut at);
            let held = decoder.held();
            assert!(held <= limit.saturating_add(BESIDE), "{held} bytes held");
            assert!(held <= 2 * arrived + BESIDE, "{held} bytes held");
            match outcome {
                Ok(Some(incoming)) => messages.push(incoming),
                Ok(None) => break,
                Err(violation) => {
                    stays_refused(&mut decoder, &violation);
                    let violation = Some(violation);
                    return Heard {
                        messages,
                        violation,
                    };
                }
            }
        }
        assert_eq!(at, input.len(), "not all was taken");
    }
    Heard {
        messages,
        violation: None,
    }
}

fn stays_refused(decoder: &mut Decoder, violation: &Violation) {
    // A good frame for either role, so that only the violation before can be the reason.
    for good in [&[0x89, 0][..], &[0x89, 0x80, 0, 0, 0, 0]] {
        let mut at = 0;
        let outcome = decoder.decode(&mut good.to_vec(), &mut at);
        assert_eq!(outcome.as_ref(), Err(violation));
        assert_eq!(at, 0, "something was taken after a violation");
    }
    assert!(decoder.held() <= BESIDE, "a refused message is kept");
}

/// Pieces of 0 to 15 bytes and now and then of 200, by a sequence that `seed` chooses.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let long = state >> 30 == 0;
        let length = if long { 200 } else { (state >> 16) % 16 };
        let (piece, after) = rest.split_at(rest.len().min(length as usize));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn check(incoming: &Incoming, limit: usize) {
    match incoming {
        Incoming::Text(text) => {
            assert!(text.len() <= limit, "a text over the limit");
            assert_eq!(text.capacity(), text.len(), "room that nobody uses");
        }
        Incoming::Binary(bytes) => assert!(bytes.len() <= limit, "bytes over the limit"),
        Incoming::Ping(payload) | Incoming::Pong(payload) => {
            assert!(payload.len() <= ControlPayload::MAX);
        }
        Incoming::Close(None) => {}
        Incoming::Close(Some(body)) => {
            assert!(is_wire_code(body.code), "code {}", body.code);
            assert!(body.reason.len() + 2 <= ControlPayload::MAX);
        }
    }
}

fn check_violation(violation: &Violation) {
    assert!(
        matches!(violation.code, 1002 | 1007 | 1009),
        "{violation:?}"
    );
    let payload = close_payload(violation.code, &violation.reason);
    assert_eq!(&payload[2..], violation.reason.as_bytes(), "cut off");
}

/// The messages as a peer of `role` would send them.
fn write(role: Role, key: u8, messages: &[Incoming]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut key = [key, key ^ 0x55, !key, 0];
    for message in messages {
        let close;
        let (opcode, payload) = match message {
            Incoming::Text(text) => (OpCode::Text, text.as_bytes()),
            Incoming::Binary(bytes) => (OpCode::Binary, &bytes[..]),
            Incoming::Ping(payload) => (OpCode::Ping, &payload[..]),
            Incoming::Pong(payload) => (OpCode::Pong, &payload[..]),
            Incoming::Close(body) => {
                let body = body.as_ref();
                close = body.map_or_else(
                    || ControlPayload::new(&[]),
                    |body| close_payload(body.code, &body.reason),
                );
                (OpCode::Close, &close[..])
            }
        };
        match role {
            Role::Client => encode_into(&mut out, opcode, payload),
            Role::Server => encode_masked_into(&mut out, opcode, key, payload),
        }
        key.rotate_left(1);
    }
    out
}

/// Limits of a message: around the borders of the three forms of a length, and one a little above a
/// power of two.
const LIMITS: [usize; 8] = [0, 1, 5, 125, 126, 2100, 70_000, usize::MAX];

/// The memory that a decoder may keep besides the message: its box, a control frame, a violation.
const BESIDE: usize = 1024;
