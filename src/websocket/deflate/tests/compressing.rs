//! Frames that are compressed here, read by plain flate2 and by our own decoder.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use flate2::{Decompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::websocket::deflate::{Compression, WindowBits, compressed_frame, compressions, kept};
use crate::websocket::{Decoder, Extensions, Incoming, OpCode, Role};

#[test]
fn every_window_and_level_is_read_with_a_window_of_that_size() {
    let payloads = [
        "a".repeat(300),
        "Hello, world! ".repeat(1000),
        (0..4000).map(|n| format!("{{\"id\":{n}}},")).collect(),
    ];
    for bits in 9..=15 {
        for level in 1..=9 {
            for payload in &payloads {
                let compression = compression(bits, level);
                let frame =
                    compressed_frame(OpCode::Text, payload.as_bytes(), compression).unwrap();
                assert_eq!(frame[0], 0b1100_0001, "FIN, RSV1, text");
                assert!(frame.len() < payload.len(), "{bits} {level}");
                let compressed = [payload_of(&frame), &[0, 0, 0xFF, 0xFF]].concat();
                let inflated = inflated_with(bits, &compressed);
                assert_eq!(inflated, payload.as_bytes(), "{bits} {level}");
            }
        }
    }
}

/// A compressor whose output had no room for noise used to leave part of it to the next message.
#[test]
fn a_message_after_noise_inflates_to_what_was_sent() {
    let text = |length| b"the order is on its way ".repeat(length)[..length].to_vec();
    let sequences = [
        vec![noise(64_000, 1), text(1000), text(4000), text(300)],
        vec![noise(300, 2), text(100_000), text(10)],
        vec![
            noise(65_536, 3),
            noise(65_535, 4),
            text(65_536),
            noise(70, 5),
        ],
        vec![[noise(40_000, 6), text(40_000)].concat(), text(500)],
        vec![text(64_004), noise(64_004, 7), text(64_004)],
    ];
    for bits in 9..=15 {
        for level in [1, 2, 6, 9] {
            for (at, sequence) in sequences.iter().enumerate() {
                for (place, payload) in sequence.iter().enumerate() {
                    let frame = compressed_frame(OpCode::Binary, payload, compression(bits, level));
                    let Some(frame) = frame else {
                        continue;
                    };
                    assert!(
                        inflated_by_miniz(payload_of(&frame)) == *payload,
                        "window {bits}, level {level}, sequence {at}, message {place}"
                    );
                }
            }
        }
    }
}

#[test]
fn incompressible_messages_stay_as_they_are() {
    let noise = noise(5000, 1);
    for payload in [&b""[..], b"a", b"Hello", &noise] {
        let frame = compressed_frame(OpCode::Binary, payload, compression(15, 1));
        assert!(frame.is_none(), "{} bytes", payload.len());
    }
    // And the compressor is as good as new.
    assert!(compressed_frame(OpCode::Binary, &[0; 100], compression(15, 1)).is_some());
}

#[test]
fn a_thread_compresses_with_any_number_of_kinds() {
    let before = compressions();
    for round in 0..3 {
        for level in 1..=9 {
            for bits in 9..=15 {
                let frame = compressed_frame(OpCode::Text, &[b'x'; 999], compression(bits, level));
                assert_eq!(read(&frame.unwrap(), 999), text(&[b'x'; 999]), "{round}");
            }
        }
    }
    assert_eq!(compressions() - before, 3 * 9 * 7);
}

#[test]
fn a_thread_keeps_no_room_for_what_was_long() {
    let noise: Vec<u8> = (0..1_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_769) >> 13) as u8)
        .collect();
    for payload in [noise, vec![0; 1_000_000]] {
        compressed_frame(OpCode::Binary, &payload, compression(15, 1));
        assert!(kept() <= 64 * 1024, "{} bytes", kept());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Each message inflates to itself, whatever the thread has compressed before.
    #[test]
    fn every_sequence_of_messages_inflates_to_what_was_sent(
        sequence in vec((any_payload(), 9_u8..=15, prop_oneof![4 => Just(1), 1 => 2_u8..=9]), 1..6),
    ) {
        for (payload, bits, level) in sequence {
            let frame = compressed_frame(OpCode::Binary, &payload, compression(bits, level));
            if let Some(frame) = frame {
                prop_assert!(inflated_by_miniz(payload_of(&frame)) == payload);
            }
        }
    }

    /// Any compressed bytes inflate to the original, whole and in pieces, here and by flate2.
    #[test]
    fn inflating_inverts_compressing(
        payload in payload(),
        bits in 9_u8..=15,
        level in 1_u8..=9,
        piece in 1_usize..700,
    ) {
        let Some(frame) = compressed_frame(OpCode::Binary, &payload, compression(bits, level)) else {
            return Ok(());
        };
        let compressed = [payload_of(&frame), &[0, 0, 0xFF, 0xFF]].concat();
        prop_assert_eq!(&inflated_with(bits, &compressed), &payload);
        let expected = Incoming::Binary(payload.into());
        prop_assert_eq!(&read(&frame, frame.len()), &expected);
        prop_assert_eq!(read(&frame, piece), expected);
    }
}

/// Noise, repetitions, and both in turn.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        vec(any::<u8>(), 0..200),
        (any::<u8>(), 0_usize..5000).prop_map(|(byte, len)| std::vec![byte; len]),
        (vec(any::<u8>(), 1..50), 1_usize..200).prop_map(|(bytes, times)| bytes.repeat(times)),
        Just(b"{\"type\":\"order.updated\",\"order_id\":17}".to_vec()),
    ];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// As [`payload`], or noise of up to a little more than 64 KiB, or both.
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![0_usize..600, 65_530_usize..65_545, 0_usize..70_000];
    let noise = (length, any::<u32>()).prop_map(|(length, seed)| noise(length, seed));
    prop_oneof![
        payload(),
        noise.clone(),
        (noise, payload()).prop_map(|(noise, payload)| [noise, payload].concat()),
    ]
}

/// Bytes that do not compress.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// By an inflater that shares nothing with the compressor. A last block ends the stream for it.
fn inflated_by_miniz(compressed: &[u8]) -> Vec<u8> {
    let stream = [compressed, &[0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF]].concat();
    miniz_oxide::inflate::decompress_to_vec(&stream).unwrap()
}

fn compression(bits: u8, level: u8) -> Compression {
    Compression {
        window: WindowBits::new(bits).unwrap(),
        level,
        min_len: 0,
    }
}

fn payload_of(frame: &[u8]) -> &[u8] {
    let header = match frame[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    &frame[header..]
}

/// By an inflater that has no larger window than was agreed on, in small steps, so that it needs
/// it.
fn inflated_with(bits: u8, mut input: &[u8]) -> Vec<u8> {
    let mut state = Decompress::new_with_window_bits(false, bits);
    let mut inflated = Vec::new();
    loop {
        let mut step = [0; 64];
        let (taken, made) = (state.total_in(), state.total_out());
        state
            .decompress(input, &mut step, FlushDecompress::None)
            .unwrap();
        input = &input[(state.total_in() - taken) as usize..];
        let made = (state.total_out() - made) as usize;
        inflated.extend(&step[..made]);
        if input.is_empty() && made < step.len() {
            return inflated;
        }
    }
}

/// By our own decoder, in pieces of this length.
fn read(frame: &[u8], piece: usize) -> Incoming {
    let deflate = Some(WindowBits::MAX);
    let mut decoder = Decoder::new(Role::Client, 1 << 20).with(Extensions { deflate });
    let mut got = Vec::new();
    for piece in frame.chunks(piece) {
        let (mut input, mut at) = (piece.to_vec(), 0);
        while let Some(incoming) = decoder.decode(&mut input, &mut at).unwrap() {
            got.push(incoming);
        }
    }
    assert_eq!(got.len(), 1);
    got.remove(0)
}

fn text(payload: &[u8]) -> Incoming {
    Incoming::Text(String::from_utf8(payload.to_vec()).unwrap())
}
