//! The rules of permessage-deflate, for any bytes.

use crate::websocket::{Decoder, Extensions, Incoming, OpCode, Role};

use super::compressor::Compression;
use super::window_bits::WindowBits;
use super::{agree, compressed_frame};

/// The first byte chooses what the others are, the second and third how.
///
/// - A compressed text inflates to itself within a limit of exactly its length; a limit of one byte
///   less refuses it.
/// - A compressed message, in fragments, or a stream of frames: the answer is the same for the
///   whole, for single bytes, and for the two halves; nothing beyond the limit is inflated.
/// - Offers: the answer is one that the client may accept, and where the offers are plain, the one
///   that they ask for.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn deflate(data: &[u8]) {
    let Some((&[choice, first, second], bytes)) = data.split_first_chunk::<3>() else {
        return;
    };
    match choice % 4 {
        0 => round_trip(first, second, bytes),
        1 => inflate(&in_fragments(first, bytes), second),
        2 => inflate(bytes, second),
        _ => negotiate(first, bytes),
    }
}

fn round_trip(first: u8, second: u8, bytes: &[u8]) {
    let Some(window) = WindowBits::new(9 + first % 7) else {
        panic!("a window of 9 to 15 bits is refused");
    };
    let compression = Compression {
        window,
        level: 1 + second % 9,
        min_len: 0,
    };
    // Repeated, so that there is something to refer to, at distances beyond the smaller windows.
    let payload = bytes.repeat(1 + usize::from(first >> 3));
    let Some(frame) = compressed_frame(OpCode::Binary, &payload, compression) else {
        return;
    };
    assert!(frame.len() < payload.len() + 10, "longer than it was");
    let whole = read(payload.len(), &[&frame]);
    assert_eq!(
        whole,
        (vec![Incoming::Binary(payload.clone().into())], None)
    );
    let (head, tail) = frame.split_at(usize::from(second) % frame.len());
    assert_eq!(read(payload.len(), &[head, tail]), whole, "in two pieces");
    let too_small = read(payload.len() - 1, &[&frame]);
    assert_eq!(too_small, (vec![], Some(1009)));
}

/// The bytes as one compressed message: fragments of this length, and text or binary.
fn in_fragments(first: u8, bytes: &[u8]) -> Vec<u8> {
    let length = 1 + usize::from(first >> 1);
    let opcode = 1 + (first & 1);
    let mut fragments = bytes.chunks(length).peekable();
    let mut wire = Vec::new();
    let mut begins = 0x40 | opcode;
    while let Some(fragment) = fragments.next() {
        let ends = if fragments.peek().is_none() { 0x80 } else { 0 };
        wire.push(begins | ends);
        match u8::try_from(fragment.len()) {
            Ok(short @ ..=125) => wire.push(short),
            _ => wire.extend([126, 0, fragment.len() as u8]),
        }
        wire.extend_from_slice(fragment);
        begins = 0;
    }
    wire
}

fn inflate(wire: &[u8], choice: u8) {
    let limit = LIMITS[usize::from(choice) % LIMITS.len()];
    let whole = read(limit, &[wire]);
    let single: Vec<_> = wire.chunks(1).collect();
    assert_eq!(read(limit, &single), whole, "byte by byte");
    let (head, tail) = wire.split_at(wire.len() * usize::from(choice) / 256);
    assert_eq!(read(limit, &[head, tail]), whole, "in two pieces");
}

/// The messages, and the code of the violation.
fn read(limit: usize, pieces: &[&[u8]]) -> (Vec<Incoming>, Option<u16>) {
    let extensions = Extensions {
        deflate: Some(WindowBits::MAX),
    };
    let mut decoder = Decoder::new(Role::Client, limit).with(extensions);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = piece.to_vec();
        let mut at = 0;
        loop {
            let outcome = decoder.decode(&mut input, &mut at);
            let held = decoder.held();
            assert!(held <= limit + BESIDE, "{held} bytes held");
            match outcome {
                Ok(Some(incoming)) => {
                    check(&incoming, limit);
                    messages.push(incoming);
                }
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation.code)),
            }
        }
        assert_eq!(at, input.len(), "not all was taken");
    }
    (messages, None)
}

fn check(incoming: &Incoming, limit: usize) {
    match incoming {
        Incoming::Text(text) => {
            assert!(text.len() <= limit, "a text over the limit");
            assert_eq!(text.capacity(), text.len(), "room that nobody uses");
        }
        Incoming::Binary(bytes) => assert!(bytes.len() <= limit, "bytes over the limit"),
        Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Close(_) => {}
    }
}

fn negotiate(first: u8, bytes: &[u8]) {
    let largest = WindowBits::new(9 + first % 7).unwrap_or(WindowBits::MAX);
    let lines = bytes.split(|&byte| byte == b'\n');
    let agreed = agree(lines.clone(), largest);
    if let Err(malformed) = &agreed {
        assert!(malformed.to_string().len() > 30, "{malformed}");
    }
    if let Ok(Some((window, answer))) = &agreed {
        let answer = answer.to_str().unwrap_or_default();
        let mut params = answer.split("; ");
        assert_eq!(params.next(), Some("permessage-deflate"));
        assert_eq!(params.next(), Some("server_no_context_takeover"));
        assert_eq!(params.next(), Some("client_no_context_takeover"));
        let named = params.next().map(|it| it.to_owned());
        let expected = format!("server_max_window_bits={}", window.bits());
        let is_named = named.as_ref() == Some(&expected);
        assert!(is_named || (named.is_none() && *window == WindowBits::MAX));
        assert_eq!(params.next(), None);
        assert!(*window <= largest);
    }
    // Quotes are for the parser alone to read.
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    if text.contains(['"', '\\']) {
        return;
    }
    let expected = plain_reading(text);
    let agreed = agreed.ok().map(|agreed| agreed.map(|(window, _)| window));
    let expected = expected.map(|offer| offer.map(|bits| bits.min(largest.bits())));
    let agreed = agreed.map(|agreed| agreed.map(WindowBits::bits));
    assert_eq!(agreed, expected, "{text:?}");
}

/// The window of the first good offer; the outer `None` is a header that is none by its grammar.
fn plain_reading(text: &str) -> Option<Option<u8>> {
    let mut chosen = None;
    for element in text.split(['\n', ',']).map(plain) {
        if element.is_empty() {
            continue;
        }
        let mut parts = element.split(';').map(plain);
        let name = parts.next().filter(|name| is_token(name))?;
        let mut params = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (plain(name), Some(plain(value))),
                None => (part, None),
            };
            if !is_token(name) || !value.is_none_or(is_token) {
                return None;
            }
            params.push((name, value));
        }
        if chosen.is_none() && name == "permessage-deflate" {
            chosen = window_of(&params);
        }
    }
    Some(chosen)
}

fn window_of(params: &[(&str, Option<&str>)]) -> Option<u8> {
    let mut window = 15;
    for (at, &(name, value)) in params.iter().enumerate() {
        if params[..at].iter().any(|(earlier, _)| *earlier == name) {
            return None;
        }
        let bits = BITS.iter().position(|bits| Some(*bits) == value);
        match (name, value, bits) {
            ("server_no_context_takeover" | "client_no_context_takeover", None, _)
            | ("client_max_window_bits", None, _)
            | ("client_max_window_bits", _, Some(_)) => {}
            // The smallest cannot be compressed with.
            ("server_max_window_bits", _, Some(bits @ 1..)) => window = 8 + bits as u8,
            _ => return None,
        }
    }
    Some(window)
}

fn plain(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_token(text: &str) -> bool {
    let separators = "()<>@,;:\\\"/[]?={} \t";
    let allowed = |c: char| c.is_ascii_graphic() && !separators.contains(c);
    !text.is_empty() && text.chars().all(allowed)
}

const BITS: [&str; 8] = ["8", "9", "10", "11", "12", "13", "14", "15"];

/// Limits of a message, around a buffer of the inflater and one far below it.
const LIMITS: [usize; 6] = [0, 1, 100, 4095, 5000, 70_000];

/// The memory that a decoder may keep besides the message; the inflater belongs to the thread.
const BESIDE: usize = 1024;
