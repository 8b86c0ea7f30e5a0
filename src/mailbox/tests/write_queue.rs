//! Frames come out of the queue whole, in order and within the bound.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_oneof, proptest};

use crate::broadcast::ConflationKey;
use crate::budget::AccountedBytes;
use crate::config::{Bound, Config};
use crate::mailbox::write_queue::WriteQueue;
use crate::websocket::{ControlPayload, OpCode, frame};

use super::socket::write;

fn conflation_key(key: usize) -> ConflationKey {
    let (group, key) = ("map".try_into().unwrap(), key.to_string());
    ConflationKey::new(&group, &key.try_into().unwrap(), false)
}

#[test]
fn a_discard_keeps_the_begun_frame_only() {
    for written in [0, 1, 4, 7, 9] {
        let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
        for text in ["first", "second", "third"] {
            queue.push(OpCode::Text, text);
        }
        write(&mut queue, written, &mut wire);
        queue.discard();
        while !queue.is_empty() {
            write(&mut queue, 2, &mut wire);
        }
        let whole: &[usize] = &[0, 7, 15];
        let boundary = whole.iter().copied().find(|&end| end >= written);
        assert_eq!(Some(wire.len()), boundary, "written {written}");
    }
}

#[test]
fn a_close_frame_goes_out_after_a_discard_at_a_boundary() {
    let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
    let frames: Vec<_> = (0..3).map(|_| frame(OpCode::Binary, &[7; 1000])).collect();
    let lengths: Vec<_> = frames.iter().map(|frame| frame.len() as u32).collect();
    queue.push_joined(&AccountedBytes::new(frames.concat().into()), &lengths);
    write(&mut queue, frames[0].len(), &mut wire);
    queue.discard();
    queue.push(OpCode::Close, vec![0x0f, 0xa8]);
    write(&mut queue, usize::MAX, &mut wire);
    assert!(queue.is_empty());
    assert_eq!(wire.len(), frames[0].len() + 4);
}

/// Lengths of payloads; a frame is two bytes longer. The bound is two frames or 100 bytes.
struct Row {
    older: usize,
    other: usize,
    newer: usize,
    taken: bool,
}

#[rustfmt::skip]
const ROWS: [Row; 7] = [
    Row { older: 1, other: 1, newer: 1, taken: true },
    Row { older: 1, other: 1, newer: 125, taken: true },
    Row { older: 38, other: 60, newer: 39, taken: true },
    // The other frame alone reaches the bound.
    Row { older: 50, other: 98, newer: 49, taken: true },
    Row { older: 50, other: 98, newer: 50, taken: true },
    Row { older: 50, other: 98, newer: 51, taken: false },
    Row { older: 50, other: 125, newer: 51, taken: false },
];

#[test]
fn a_replaced_value_frees_its_room_and_stays_if_the_newer_finds_none() {
    let bound = Config::new().outgoing(2, 100).outgoing;
    for (at, row) in ROWS.iter().enumerate() {
        let mut queue = WriteQueue::default();
        let frame = |size, byte| AccountedBytes::new(frame(OpCode::Binary, &vec![byte; size]));
        let [older, other, newer] = [
            frame(row.older, 1),
            frame(row.other, 2),
            frame(row.newer, 3),
        ];
        assert!(
            queue.offer(&older, Some(&conflation_key(1)), bound),
            "row {at}"
        );
        queue.push_frame(&other);
        let of_another_key = queue.offer(&newer, Some(&conflation_key(2)), bound);
        assert!(!of_another_key, "row {at}");
        let taken = queue.offer(&newer, Some(&conflation_key(1)), bound);
        assert_eq!(taken, row.taken, "row {at}");
        let mut wire = Vec::new();
        write(&mut queue, usize::MAX, &mut wire);
        let [one, next] = if taken {
            [other, newer]
        } else {
            [older, other]
        };
        let expected = [&one.bytes()[..], next.bytes()].concat();
        assert_eq!(wire, expected, "row {at}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Wire(usize),
    FrameBatch(Vec<usize>),
    Latest(usize, usize),
    Pong,
    Write(usize),
    Discard,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![0..200_usize, 2000..2100_usize, Just(70_000)];
    let step = prop_oneof![
        size.clone().prop_map(Step::Push),
        size.clone().prop_map(Step::Wire),
        vec(size.clone(), 1..4).prop_map(Step::FrameBatch),
        (size.clone(), KEYS).prop_map(|(size, key)| Step::Latest(size, key)),
        (size, KEYS).prop_map(|(size, key)| Step::Latest(size, key)),
        Just(Step::Pong),
        (0..5000_usize).prop_map(Step::Write),
        Just(Step::Discard),
    ];
    vec(step, 0..60)
}
const KEYS: std::ops::Range<usize> = 0..4;

proptest! {
    /// In any sequence of pushes and writes: whole frames in order, with control frames
    /// between them. A frame is lost only by a discard or, before its first byte is written, to
    /// a newer value of its key.
    #[test]
    fn frames_come_out_whole_and_in_the_order_they_went_in(steps in steps()) {
        let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
        let mut pushed: Vec<Vec<u8>> = Vec::new();
        // The key of each pushed frame.
        let mut keys: Vec<Option<usize>> = Vec::new();
        let mut next = 0_u8;
        let mut payload = |size: usize| {
            next = next.wrapping_add(1);
            vec![next; size]
        };
        for step in steps {
            match step {
                Step::Push(size) => {
                    let bytes = payload(size);
                    pushed.push(frame(OpCode::Binary, &bytes).to_vec());
                    queue.push(OpCode::Binary, bytes);
                }
                Step::Wire(size) => {
                    let frame = frame(OpCode::Binary, &payload(size));
                    pushed.push(frame.to_vec());
                    queue.push_frame(&AccountedBytes::new(frame));
                }
                Step::FrameBatch(sizes) => {
                    let frames = sizes.into_iter().map(|size| frame(OpCode::Binary, &payload(size)));
                        let frames: Vec<_> = frames.collect();
                    let lengths: Vec<_> = frames.iter().map(|frame| frame.len() as u32).collect();
                    queue.push_joined(&AccountedBytes::new(frames.concat().into()), &lengths);
                    pushed.extend(frames.iter().map(|frame| frame.to_vec()));
                }
                Step::Latest(size, key) => {
                    let frame = frame(OpCode::Binary, &payload(size));
                    let begun = begun(&wire, &pushed);
                    keys.resize(pushed.len(), None);
                    if let Some(older) = (begun..keys.len()).find(|&at| keys[at] == Some(key)) {
                        pushed.remove(older);
                        keys.remove(older);
                    }
                    let bound = Config::new().outgoing(usize::MAX, usize::MAX).outgoing;
                    prop_assert!(queue.offer(&AccountedBytes::new(frame.clone()), Some(&conflation_key(key)), bound));
                    pushed.push(frame.to_vec());
                    keys.push(Some(key));
                }
                Step::Pong => queue.controls().push_pong(ControlPayload::new(b"pong")),
                Step::Write(most) => write(&mut queue, most, &mut wire),
                Step::Discard => {
                    queue.discard();
                    let two = Bound { count: 2, bytes: usize::MAX };
                        prop_assert!(!queue.is_full(two));
                    // The model starts again with the frames that are certainly written.
                    while !queue.is_empty() {
                        write(&mut queue, usize::MAX, &mut wire);
                    }
                    check(&wire, &pushed, false)?;
                    wire.clear();
                    pushed.clear();
                    keys.clear();
                }
            }
        }
        while !queue.is_empty() {
            write(&mut queue, usize::MAX, &mut wire);
        }
        check(&wire, &pushed, true)?;
    }
}

/// Counts the frames of which at least one byte is on the wire.
fn begun(mut wire: &[u8], pushed: &[Vec<u8>]) -> usize {
    let pong = frame(OpCode::Pong, b"pong");
    let mut frames = pushed.iter();
    while let Some(first) = wire.first() {
        let whole = match *first == pong[0] {
            true => pong.len(),
            false => frames.next().map_or(0, Vec::len),
        };
        wire = &wire[whole.min(wire.len())..];
    }
    pushed.len() - frames.len()
}

/// The wire holds the pushed frames, or a beginning of them, with pongs between.
fn check(mut wire: &[u8], pushed: &[Vec<u8>], all: bool) -> Result<(), TestCaseError> {
    let pong = frame(OpCode::Pong, b"pong");
    let mut expected = pushed.iter();
    while !wire.is_empty() {
        if let Some(rest) = wire.strip_prefix(&pong[..]) {
            wire = rest;
            continue;
        }
        let Some(frame) = expected.next() else {
            return Err(TestCaseError::fail("more on the wire than was pushed"));
        };
        prop_assert!(wire.starts_with(frame), "a frame is torn or out of order");
        wire = &wire[frame.len()..];
    }
    prop_assert!(!all || expected.next().is_none(), "a frame is missing");
    Ok(())
}
