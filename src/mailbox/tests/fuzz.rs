//! The rules that the write queue keeps for any program of pushes and writes.

use std::collections::VecDeque;
use std::sync::LazyLock;
use std::task::Poll;

use bytes::Bytes;

use crate::broadcast::ConflationKey;
use crate::budget::AccountedBytes;
use crate::config::Bound;
use crate::mailbox::write_queue::WriteQueue;
use crate::name::{GroupName, Key};
use crate::websocket::{ControlPayload, OpCode, close_payload, frame};

/// Runs a program of pushes, writes of any length, pings, pongs and discards, and compares the queue
/// with a plain list of frames. Two bytes make a step.
///
/// - The bytes on the wire are the pushed frames, whole and in order, with control frames at the
///   next frame boundary.
/// - A newer frame with a key goes to the end, and the older one with that key is removed unless it
///   has begun.
/// - A discard keeps only the frame that has begun, and the last one if that is a close frame.
/// - The queue reports its true length, and its buffers are bounded by the bytes that wait.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn outgoing(data: &[u8]) {
    let mut queue = WriteQueue::pooled();
    let mut model = Model::default();
    for (number, &[step, size]) in data.as_chunks::<2>().0.iter().enumerate() {
        let size = usize::from(size);
        match step % 20 {
            0 | 1 => push(&mut queue, &mut model, number, size),
            2 => push(&mut queue, &mut model, number, 2000 + size),
            3 => push(&mut queue, &mut model, number, 65_400 + size),
            4 => push_frame(&mut queue, &mut model, number, size),
            5 => push_frame(&mut queue, &mut model, number, 1900 + size),
            6 => push_joined(&mut queue, &mut model, number, &[size, 3 * size, 0]),
            7 => push_joined(&mut queue, &mut model, number, &[1, 1000 + size]),
            8 => {
                queue.controls().push_ping();
                model.ping = true;
            }
            9 => {
                let payload = vec![number as u8; size % 126];
                queue.controls().push_pong(ControlPayload::new(&payload));
                model.push_pong(payload);
            }
            10 if queue.is_empty() => push_begun(&mut queue, &mut model, number, size),
            11 => {
                queue.discard();
                model.discard();
            }
            12 if size < 32 => {
                WriteQueue::recycle(queue);
                queue = WriteQueue::pooled();
                model = Model::default();
            }
            13 | 14 => write(&mut queue, &mut model, size),
            15 | 16 => offer(&mut queue, &mut model, number, 3 * size),
            17 => offer(&mut queue, &mut model, number, 1900 + size),
            18 if size < 64 => {
                push_close(&mut queue, &mut model, size);
                queue.discard_all_but_close();
                model.discard_all_but_last();
            }
            _ => write(&mut queue, &mut model, 300 * size),
        }
        model.compare(&queue);
    }
    // Each write takes some of the buffers; a control frame takes a write of its own.
    for _ in 0..data.len() + 3 {
        write(&mut queue, &mut model, usize::MAX);
    }
    model.compare(&queue);
    assert!(queue.is_empty(), "something is never written");
    WriteQueue::recycle(queue);
}

fn push(queue: &mut WriteQueue, model: &mut Model, number: usize, size: usize) {
    let payload = payload(number, size);
    model.push(frame(OpCode::Binary, &payload));
    queue.push(OpCode::Binary, payload);
}

fn push_frame(queue: &mut WriteQueue, model: &mut Model, number: usize, size: usize) {
    let frame = frame(OpCode::Text, &payload(number, size));
    queue.push_frame(&AccountedBytes::new(frame.clone()));
    model.push(frame);
}

fn push_joined(queue: &mut WriteQueue, model: &mut Model, number: usize, sizes: &[usize]) {
    let frames = sizes.iter().zip(number..);
    let frames: Vec<_> = frames
        .map(|(&size, number)| frame(OpCode::Binary, &payload(number, size)))
        .collect();
    let lengths: Vec<_> = frames.iter().map(|frame| frame.len() as u32).collect();
    queue.push_joined(&AccountedBytes::new(frames.concat().into()), &lengths);
    frames.into_iter().for_each(|frame| model.push(frame));
}

fn offer(queue: &mut WriteQueue, model: &mut Model, number: usize, size: usize) {
    let frame = frame(OpCode::Binary, &payload(number, size));
    let tag = size % (KEYS.len() + 1);
    let bound = Bound {
        count: 3 + size % 8,
        bytes: 6000,
    };
    let wire = AccountedBytes::new(frame.clone());
    let is_taken = queue.offer(&wire, KEYS.get(tag), bound);
    assert_eq!(is_taken, model.offer(frame, tag, bound));
}

fn push_close(queue: &mut WriteQueue, model: &mut Model, size: usize) {
    let payload = close_payload(1000, &"x".repeat(size));
    model.push(frame(OpCode::Close, &payload));
    queue.push(OpCode::Close, payload.to_vec());
}

/// Pushes the rest of a frame that a delivery has written in part.
fn push_begun(queue: &mut WriteQueue, model: &mut Model, number: usize, size: usize) {
    let frame = frame(OpCode::Binary, &payload(number, 8 * size));
    let written = 1 + number % (frame.len() - 1);
    queue.push_begun(&AccountedBytes::new(frame.clone()), written);
    model.push(frame);
    model.begun = written;
}

/// Writes up to `most` bytes, as a socket would; 0 for one whose buffer is full.
fn write(queue: &mut WriteQueue, model: &mut Model, most: usize) {
    let mut wire = Vec::new();
    let mut is_asked_for_nothing = true;
    let result = queue.write(&mut |slices| {
        for slice in slices {
            assert!(!slice.is_empty(), "an empty slice would end the writing");
            let room = most - wire.len();
            wire.extend_from_slice(&slice[..slice.len().min(room)]);
            is_asked_for_nothing = false;
        }
        match most {
            0 => Poll::Pending,
            _ => Poll::Ready(Ok(wire.len())),
        }
    });
    model.place_controls();
    assert_eq!(is_asked_for_nothing, model.is_empty());
    match result {
        Poll::Pending => assert_eq!(most, 0),
        Poll::Ready(written) => assert_eq!(written.ok(), Some(wire.len())),
    }
    model.written(&wire);
}

fn payload(number: usize, size: usize) -> Vec<u8> {
    vec![number as u8; size]
}

/// The queue as a list.
#[derive(Default)]
struct Model {
    frames: VecDeque<Waiting>,
    /// How much of the first frame is written.
    begun: usize,
    ping: bool,
    pongs: VecDeque<Vec<u8>>,
    /// The control frames that are being written.
    controls: VecDeque<Bytes>,
    /// How much of the first of them is written.
    control_begun: usize,
}

struct Waiting {
    wire: Bytes,
    /// Its place in [`KEYS`]; none if it is beyond them.
    tag: usize,
}

impl Model {
    fn push(&mut self, wire: Bytes) {
        let tag = KEYS.len();
        self.frames.push_back(Waiting { wire, tag });
    }

    fn push_pong(&mut self, payload: Vec<u8>) {
        if self.pongs.len() == 16 {
            self.pongs.pop_front();
        }
        self.pongs.push_back(payload);
    }

    fn has_controls(&self) -> bool {
        self.ping || !self.pongs.is_empty() || !self.controls.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty() && !self.has_controls()
    }

    fn offer(&mut self, wire: Bytes, tag: usize, bound: Bound) -> bool {
        let begun = usize::from(self.begun > 0);
        let mut unbegun = self.frames.iter().enumerate().skip(begun);
        let older = unbegun.find(|(_, frame)| tag < KEYS.len() && frame.tag == tag);
        let older = older.map(|(place, frame)| (place, frame.wire.len()));
        let (one, freed) = older.map_or((0, 0), |(_, length)| (1, length));
        let is_full = bound.is_reached(self.frames.len() - one, self.bytes() - freed);
        if is_full && (older.is_none() || wire.len() > freed) {
            return false;
        }
        if let Some((place, _)) = older {
            self.frames.remove(place);
        }
        self.frames.push_back(Waiting { wire, tag });
        true
    }

    fn bytes(&self) -> usize {
        let lengths = self.frames.iter().map(|frame| frame.wire.len());
        lengths.sum::<usize>() - self.begun
    }

    /// Control frames go out at a frame boundary, the ping first, and not before the last ones are
    /// written.
    fn place_controls(&mut self) {
        if self.begun > 0 || !self.controls.is_empty() {
            return;
        }
        if std::mem::take(&mut self.ping) {
            self.controls.push_back(frame(OpCode::Ping, b""));
        }
        let pongs = self.pongs.drain(..);
        let pongs = pongs.map(|payload| frame(OpCode::Pong, &payload));
        self.controls.extend(pongs);
    }

    fn discard(&mut self) {
        self.frames.truncate(usize::from(self.begun > 0));
        self.ping = false;
        self.pongs.clear();
        self.controls.truncate(usize::from(self.control_begun > 0));
    }

    fn discard_all_but_last(&mut self) {
        let last = self.frames.pop_back();
        self.discard();
        self.frames.extend(last);
    }

    fn written(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            let is_control = self.begun == 0 && !self.controls.is_empty();
            let (first, begun) = if is_control {
                (self.controls.front(), &mut self.control_begun)
            } else {
                (
                    self.frames.front().map(|first| &first.wire),
                    &mut self.begun,
                )
            };
            let first = first.expect("more was written than waits");
            let rest = &first[*begun..];
            let length = rest.len().min(wire.len());
            assert_eq!(wire[..length], rest[..length], "a frame is torn");
            wire = &wire[length..];
            *begun += length;
            if *begun < first.len() {
                continue;
            }
            *begun = 0;
            if is_control {
                self.controls.pop_front();
            } else {
                self.frames.pop_front();
                assert!(
                    wire.is_empty() || !self.has_controls(),
                    "a control frame was passed over"
                );
            }
        }
    }

    fn compare(&self, queue: &WriteQueue) {
        let bytes = self.bytes();
        assert_eq!(queue.is_empty(), self.is_empty());
        let count = self.frames.len();
        let exact = Bound { count, bytes };
        assert!(queue.is_full(exact), "less than {exact:?}");
        assert!(queue.fits(0, 0, exact), "more than {exact:?}");
        let (held, waiting) = queue.held();
        assert!(
            held <= 2 * waiting + KEPT_BYTES,
            "{held} bytes for {waiting}"
        );
    }
}

/// The bytes that a queue may hold besides the bytes that wait: the largest frame here, nearly all written,
/// small buffers and a spare one.
const KEPT_BYTES: usize = 128 * 1024;

static KEYS: LazyLock<Vec<ConflationKey>> = LazyLock::new(|| {
    let group = GroupName::encode("positions");
    let keys = ["one", "two", "three"].map(Key::try_from);
    let keys = keys.into_iter().flatten();
    keys.map(|key| ConflationKey::new(&group, &key, false))
        .collect()
});
