//! The inflater alone: against flate2 on any bytes, and what it holds and makes.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::websocket::deflate::Inflater;
use crate::websocket::violation::Violation;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 800,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The same verdict, the same bytes and the same code however the input is cut; and flate2,
    /// which sees all of it at once, agrees.
    #[test]
    fn any_bytes_are_inflated_or_refused(bytes in bytes(), room in 0_usize..3000, piece in 1_usize..9) {
        let whole = inflate(&bytes, bytes.len().max(1), room);
        prop_assert_eq!(&inflate(&bytes, piece, room), &whole);
        prop_assert_eq!(&inflate(&bytes, 1, room), &whole);
        let (made, end) = &whole;
        let (expected, is_whole) = inflate_by_flate2(&bytes);
        let fits = expected.len() <= room;
        prop_assert!(made.len() <= room);
        prop_assert_eq!(made, &expected[..made.len()]);
        prop_assert_eq!(end.is_ok(), is_whole && fits, "{:?}", end);
        prop_assert_eq!(end == &Err(1009), !fits);
    }
}

#[test]
fn a_bomb_inflates_to_its_room_and_not_beyond() {
    let bomb = compressed(&vec![0; 8 << 20]);
    assert!(bomb.len() < 10_000);
    for room in [0, 1, 100, 4095, 4096, 4097, 1 << 16] {
        let (mut made, mut calls) = (0, 0);
        let mut inflater = Inflater::new();
        let end = inflater.push(&bomb, room, 77, |bytes| {
            made += bytes.len();
            calls += 1;
            Ok(())
        });
        assert_eq!(
            end.unwrap_err().to_string(),
            "message longer than 77 bytes (1009)"
        );
        assert_eq!(made, room);
        assert!(calls <= room / 4096 + 2, "{calls} calls for {room} bytes");
    }
}

#[test]
fn a_refusal_of_the_sink_ends_inflating() {
    let mut pushed = 0;
    let end = Inflater::new().push(&compressed(&[0; 100_000]), 100_000, 100_000, |bytes| {
        pushed += bytes.len();
        Err(Violation::bad_text())
    });
    assert_eq!(end, Err(Violation::bad_text()));
    assert!(pushed <= 4096);
}

#[test]
fn an_inflater_that_broke_off_leaves_nothing_behind() {
    let message = compressed(b"Hello, Hello, Hello");
    for broken in [
        &b"\x07"[..],
        &message[..3],
        &compressed(&[b'x'; 99_999])[..20],
    ] {
        let mut inflater = Inflater::new();
        let _ = inflater.push(broken, 10, 10, |_| Ok(()));
        drop(inflater);
        let (made, end) = inflate(&message, 1, 100);
        assert_eq!((&made[..], end), (&b"Hello, Hello, Hello"[..], Ok(())));
    }
}

/// Nearly right more often than noise would be.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let payload = || vec(prop_oneof![any::<u8>(), 97_u8..=99], 0..400);
    let message =
        (payload(), 0_usize..4).prop_map(|(payload, repeat)| compressed(&payload.repeat(repeat)));
    let damaged =
        (payload(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(payload, at, to)| {
            let mut message = compressed(&payload);
            let at = at.index(message.len());
            message[at] = to;
            message
        });
    let cut = (payload(), any::<proptest::sample::Index>()).prop_map(|(payload, at)| {
        let message = compressed(&payload);
        message[..at.index(message.len())].to_vec()
    });
    let finals = (payload(), payload()).prop_map(|(first, second)| {
        [
            compressed_to(&first, FlushCompress::Finish),
            compressed(&second),
        ]
        .concat()
    });
    prop_oneof![vec(any::<u8>(), 0..40), message, damaged, cut, finals]
}

/// The result, and the code of the refusal.
fn inflate(bytes: &[u8], piece: usize, room: usize) -> (Vec<u8>, Result<(), u16>) {
    let mut inflater = Inflater::new();
    let mut made = Vec::new();
    for piece in bytes.chunks(piece) {
        let left = room - made.len();
        let pushed = inflater.push(piece, left, room, |bytes| {
            made.extend_from_slice(bytes);
            Ok(())
        });
        if let Err(violation) = pushed {
            return (made, Err(violation.code));
        }
    }
    let end = inflater.finish().map_err(|violation| violation.code);
    (made, end)
}

/// All that inflates of it, and whether it is whole: by one call for each stream within it.
fn inflate_by_flate2(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut made = Vec::with_capacity(1 << 16);
    let mut rest = bytes;
    loop {
        let mut state = Decompress::new(false);
        let status = state.decompress_vec(rest, &mut made, FlushDecompress::None);
        rest = &rest[state.total_in() as usize..];
        match status {
            Ok(Status::StreamEnd) if rest.is_empty() => return (made, true),
            Ok(Status::StreamEnd) => {}
            Ok(_) => {
                let end = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];
                let (before, len) = (state.total_in(), made.len());
                let mut more = Vec::with_capacity(100);
                let status = state.decompress_vec(&end, &mut more, FlushDecompress::None);
                let all = state.total_in() - before == 9;
                assert_eq!(made.len(), len);
                return (
                    made,
                    matches!(status, Ok(Status::StreamEnd)) && all && more.is_empty(),
                );
            }
            Err(_) => return (made, false),
        }
    }
}

fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut message = compressed_to(payload, FlushCompress::Sync);
    message.truncate(message.len() - 4);
    message
}

fn compressed_to(payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 100);
    let mut state = Compress::new(Compression::new(6), false);
    state.compress_vec(payload, &mut out, flush).unwrap();
    out
}
