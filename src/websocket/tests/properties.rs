//! Properties of the decoder and its parts, for any bytes.

use std::str;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::websocket::message::Body;
use crate::websocket::utf8::Utf8Text;
use crate::websocket::{Decoder, Incoming, OpCode, Role, Violation, mask};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// No panic, all is taken on `None`, and the same comes out however the bytes are cut.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in bytes(),
        role in select(vec![Role::Server, Role::Client]),
        limit in select(vec![0_usize, 5, 1000, usize::MAX]),
        piece in 1_usize..20,
    ) {
        let whole = read(role, limit, &bytes, bytes.len().max(1));
        prop_assert_eq!(&read(role, limit, &bytes, piece), &whole);
        prop_assert_eq!(&read(role, limit, &bytes, 1), &whole);
    }

    /// The same verdict as on the whole, and as soon as there can be one.
    #[test]
    fn streamed_text_is_judged_like_whole_text(bytes in nearly_text(), piece in 1_usize..6) {
        let mut text = Utf8Text::default();
        let mut pushed = Vec::new();
        for piece in bytes.chunks(piece) {
            pushed.extend_from_slice(piece);
            let hopeless = str::from_utf8(&pushed).is_err_and(|e| e.error_len().is_some());
            prop_assert_eq!(text.push(piece).is_err(), hopeless);
            if hopeless {
                return Ok(());
            }
            prop_assert_eq!(text.len(), pushed.len());
        }
        prop_assert_eq!(text.finish().ok(), String::from_utf8(pushed).ok());
    }

    #[test]
    fn masks_go_on_across_pieces(
        bytes in vec(any::<u8>(), 0..100),
        key in any::<[u8; 4]>(),
        piece in 1_usize..40,
    ) {
        let expected: Vec<u8> = bytes.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let mut masked = bytes;
        let mut next = key;
        for piece in masked.chunks_mut(piece) {
            next = mask::apply(next, piece);
        }
        prop_assert_eq!(masked, expected);
    }

    /// Memory follows what has arrived, and stops at what will.
    #[test]
    fn buffers_grow_with_what_arrives(
        pieces in vec(1_usize..3000, 1..30),
        declared in select(vec![1 << 12, 1 << 16, usize::MAX >> 1]),
        opcode in select(vec![OpCode::Text, OpCode::Binary]),
    ) {
        let mut message = Body::begin(opcode);
        let mut rest: usize = declared;
        let mut growths = 0;
        let mut before = 0;
        for len in pieces {
            let piece = vec![b'a'; len.min(rest)];
            rest -= piece.len();
            prop_assert!(message.push(&piece, Some(rest)).is_ok());
            let capacity = message.capacity();
            growths += u32::from(capacity > before);
            before = capacity;
            prop_assert!(capacity <= (2 * message.len()).max(64), "{capacity}");
            prop_assert!(capacity <= declared, "{capacity}");
        }
        // From 1 byte to 90,000 by doubling, and once to the end.
        prop_assert!(growths <= 18, "grown {growths} times");
    }
}

#[test]
fn a_fragmented_message_gives_its_memory_back() {
    let mut decoder = Decoder::new(Role::Client, 100);
    let mut at = 0;
    assert_eq!(decoder.decode(&mut [0x01, 1, b'a'], &mut at), Ok(None));
    assert!(!decoder.is_idle());
    let last = decoder.decode(&mut [0x80, 1, b'b'], &mut 0);
    assert_eq!(last, Ok(Some(Incoming::Text("ab".into()))));
    assert!(decoder.is_idle());
}

#[test]
fn fragments_hold_no_more_than_the_limit() {
    for opcode in [0x01, 0x02] {
        let mut decoder = Decoder::new(Role::Client, 2100);
        for first in [opcode].into_iter().chain([0; 20]) {
            let mut fragment = vec![b'a'; 102];
            fragment[..2].copy_from_slice(&[first, 100]);
            assert_eq!(decoder.decode(&mut fragment, &mut 0), Ok(None));
        }
        // A doubled buffer would hold 4096 bytes.
        assert!(decoder.held() < 2100 + 500, "{} bytes held", decoder.held());
    }
}

#[test]
fn a_message_of_fragments_keeps_no_room_for_more() {
    let mut decoder = Decoder::new(Role::Client, 10_000);
    let mut fragments = [[b'a'; 102]; 7];
    for (fragment, first) in fragments.iter_mut().zip([0x01, 0, 0, 0, 0, 0, 0x80]) {
        fragment[..2].copy_from_slice(&[first, 100]);
    }
    let message = decoder.decode(fragments.as_flattened_mut(), &mut 0);
    let Ok(Some(Incoming::Text(text))) = message else {
        panic!("{message:?}");
    };
    assert_eq!((text.len(), text.capacity()), (700, 700));
}

/// Anything, or bytes that look like frames for longer.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let first = select(vec![
        0x00_u8, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8A,
    ]);
    let second = prop_oneof![
        0_u8..6,
        0x80_u8..0x86,
        select(vec![126_u8, 127, 0xFE, 0xFF])
    ];
    let frame = (
        first,
        second,
        vec(select(vec![0_u8, 1, b'a', 0xC3, 0xA9]), 0..12),
    );
    let frames = vec(frame, 1..5).prop_map(|frames| {
        let mut bytes = Vec::new();
        for (first, second, rest) in frames {
            bytes.extend([first, second]);
            bytes.extend(rest);
        }
        bytes
    });
    prop_oneof![vec(any::<u8>(), 0..60), frames]
}

fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let text = "[aé€🦀\u{7FF}\u{D7FF}\u{E000}\u{10FFFF}]{0,8}".prop_map(String::into_bytes);
    let bad = vec(
        select(vec![
            0x41_u8, 0x80, 0x90, 0xA0, 0xBF, 0xC0, 0xC3, 0xE0, 0xED, 0xF0, 0xF4, 0xF5,
        ]),
        0..4,
    );
    (text.clone(), bad, text).prop_map(|(before, bad, after)| [before, bad, after].concat())
}

fn read(
    role: Role,
    limit: usize,
    bytes: &[u8],
    piece: usize,
) -> (Vec<Incoming>, Option<Violation>) {
    let mut decoder = Decoder::new(role, limit);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut input = piece.to_vec();
        let mut at = 0;
        loop {
            match decoder.decode(&mut input, &mut at) {
                Ok(Some(incoming)) => messages.push(incoming),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert_eq!(at, input.len(), "not all was taken");
    }
    (messages, None)
}
