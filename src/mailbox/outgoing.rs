//! [`Outgoing`]: the frames that wait to be written to one socket. No I/O here; the mailbox writes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use crate::config::Bound;
use crate::message::Message;
use crate::websocket::{OpCode, encode_into, header};

use super::account::{Account, FREE};
use super::budget::Queue;
use super::chunks::{COPIED, Chunks};
use super::controls::Controls;
use super::keyed::Keyed;
use super::mailbox::Mailbox;
use super::shared::Shared;
use super::tag::Tag;

/// Frames in the order they will be written, in as few buffers as possible: small ones are copied
/// one behind the other, large ones shared. It exists only while something waits; see
/// [`Outgoing::pooled`].
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: Chunks,
    /// The length of each frame; the first may be begun.
    lengths: VecDeque<u32>,
    /// None of these frames is begun.
    keyed: Keyed,
    /// How much of the first frame is written. Where it is not zero, that frame must be finished
    /// whatever happens.
    begun: usize,
    /// Pings and pongs, which go out at the next frame boundary.
    controls: Controls,
    account: Account,
}

impl Outgoing {
    /// An empty queue, if possible with the buffers that another one had on this thread.
    pub(super) fn pooled() -> Box<Self> {
        // A thread that ends has no pool any more.
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
        pooled.ok().flatten().unwrap_or_default()
    }

    /// Gives the buffers of a queue that is no longer needed to the next one on this thread.
    pub(super) fn recycle(mut queue: Box<Self>) {
        queue.clear();
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED {
                pool.push(queue);
            }
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.left() == 0 && self.controls.is_empty()
    }

    pub(super) fn is_full(&self, bound: Bound) -> bool {
        bound.is_reached(self.lengths.len(), self.chunks.left())
    }

    /// Whether this many frames more stay within the bound, all of them.
    pub(super) fn fits(&self, frames: usize, bytes: usize, bound: Bound) -> bool {
        self.lengths.len() + frames <= bound.count && self.chunks.left() + bytes <= bound.bytes
    }

    /// Whether the queue lags with so many bytes more: then what others hold, too, is to be counted
    /// once for all.
    pub(super) fn lags_with(&self, more: usize) -> bool {
        self.chunks.left() + more > FREE
    }

    /// Counts what waits, after something was added; `true` where that is more than the node may
    /// hold.
    #[inline]
    pub(super) fn grown(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        if self.chunks.is_small() {
            return false;
        }
        let (waiting, own) = (self.chunks.left(), self.chunks.own());
        self.account.grown(waiting, own, mailbox, Queue::Frames)
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    fn shrunk(&mut self) {
        self.account.shrunk(self.chunks.left(), self.chunks.own());
    }

    /// Appends a frame with this payload; a large one is shared.
    pub(super) fn push(&mut self, opcode: OpCode, payload: impl Into<Bytes> + AsRef<[u8]>) {
        let bytes = payload.as_ref();
        let header = header(opcode, bytes.len());
        let length = header.len() + bytes.len();
        if bytes.len() <= COPIED {
            self.chunks
                .copy(length, |own| encode_into(own, opcode, bytes));
        } else {
            self.chunks
                .copy(header.len(), |own| own.extend_from_slice(&header));
            self.chunks.share(Shared::new(payload.into()));
        }
        self.lengths.push_back(short(length));
    }

    /// Appends a message; a large one is shared.
    pub(super) fn push_message(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.push(OpCode::Text, text),
            Message::Binary(bytes) => self.push(OpCode::Binary, bytes),
        }
    }

    /// Appends a ready frame; a large one is shared.
    pub(super) fn push_wire(&mut self, wire: &Shared) {
        self.chunks.push(wire);
        self.lengths.push_back(short(wire.bytes().len()));
    }

    /// Appends a ready frame, in the place of an older one with the same tag; `false` where there
    /// is no room for it.
    ///
    /// The older one stays where the newer finds no room. Where it is no larger, it always does.
    pub(super) fn offer(&mut self, wire: &Shared, tag: Option<&Tag>, bound: Bound) -> bool {
        let older = tag.and_then(|tag| self.keyed.place(tag));
        let freed = older.map_or(0, |place| self.lengths[place] as usize);
        let (count, left) = (self.lengths.len(), self.chunks.left() - freed);
        let length = wire.bytes().len();
        if bound.is_reached(count - usize::from(older.is_some()), left)
            && (older.is_none() || length > freed)
        {
            return false;
        }
        if let Some(place) = older {
            self.remove(place);
        }
        if let Some(tag) = tag {
            self.keyed.push(self.lengths.len(), tag.clone());
        }
        self.push_wire(wire);
        true
    }

    /// Appends frames that stand in one buffer.
    pub(super) fn push_batch(&mut self, wire: &Shared, lengths: &[u32]) {
        self.chunks.push(wire);
        self.lengths.extend(lengths);
    }

    /// Appends, to an empty queue, the rest of a frame whose first bytes are on the wire already.
    pub(super) fn push_begun(&mut self, wire: &Shared, written: usize) {
        let length = wire.bytes().len();
        self.chunks.push(&wire.slice(written..length));
        self.lengths.push_back(short(length));
        self.begun = written;
    }

    /// The pings and pongs that wait.
    pub(super) fn controls(&mut self) -> &mut Controls {
        &mut self.controls
    }

    /// Drops every frame that is not begun.
    pub(super) fn discard(&mut self) {
        self.chunks.keep(self.rest_of_begun());
        self.lengths.truncate(usize::from(self.begun > 0));
        self.keyed.clear();
        self.controls.discard();
        self.shrunk();
    }

    /// Drops every frame that is not begun but a close frame, the last one; there is none for a
    /// peer that has ended its half.
    pub(super) fn discard_all_but_close(&mut self) {
        let mut unbegun = self.lengths.range(usize::from(self.begun > 0)..);
        let length = unbegun.next_back().map_or(0, |&length| length as usize);
        let last = self.chunks.last(length);
        self.discard();
        if last.first() == header(OpCode::Close, 0).first() {
            self.push_wire(&Shared::new(last.into()));
        }
    }

    /// Writes what is next by means of `write`, and takes away what that has written.
    pub(super) fn write(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let result = if let Some(only) = self.chunks.only()
            && self.controls.is_empty()
        {
            // As nearly always: what a hook sent.
            write(&[IoSlice::new(only)])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.slices(&mut slices);
            write(&slices[..filled])
        };
        if let Poll::Ready(Ok(written)) = result {
            self.advance(written);
            self.shrunk();
        }
        result
    }

    /// Fills `slices` with what to write next, and returns how many it filled.
    ///
    /// If a control frame waits and another frame is begun, that is the rest of the begun one.
    fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.controls.is_empty() {
            return self.chunks.slices(slices, usize::MAX);
        }
        if self.begun > 0 {
            return self.chunks.slices(slices, self.rest_of_begun());
        }
        self.controls.encode();
        slices[0] = IoSlice::new(self.controls.unwritten());
        if self.controls.has_others() {
            // They go before the next frame, too, in a write of their own.
            return 1;
        }
        1 + self.chunks.slices(&mut slices[1..], usize::MAX)
    }

    /// Takes away what was written.
    fn advance(&mut self, mut written: usize) {
        if self.begun == 0 {
            written = self.controls.advance(written);
        }
        if written == self.chunks.left() {
            return self.drained();
        }
        self.chunks.advance(written);
        self.begun += written;
        let before = self.lengths.len();
        while let Some(&length) = self.lengths.front()
            && self.begun >= length as usize
        {
            self.begun -= length as usize;
            self.lengths.pop_front();
        }
        let unbegun = usize::from(self.begun > 0)..self.lengths.len();
        self.keyed.advance(before - self.lengths.len(), unbegun);
    }

    /// Takes a frame out that is not begun.
    fn remove(&mut self, place: usize) {
        self.keyed.remove(place);
        let before: usize = self.lengths.range(..place).map(|&n| n as usize).sum();
        let length = self.lengths.remove(place).unwrap_or_default() as usize;
        self.chunks.cut(before - self.begun, length);
    }

    /// Bytes of the heap in its buffers, shared ones included, and how many of them wait.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.chunks.held(), self.chunks.left())
    }

    fn rest_of_begun(&self) -> usize {
        match self.lengths.front() {
            Some(&length) if self.begun > 0 => length as usize - self.begun,
            _ => 0,
        }
    }

    /// All is written, or given up; a control frame may still wait.
    fn drained(&mut self) {
        self.chunks.clear();
        self.lengths.clear();
        self.keyed.clear();
        self.begun = 0;
    }

    fn clear(&mut self) {
        self.drained();
        self.chunks.shrink();
        if self.lengths.capacity() > 64 {
            self.lengths.shrink_to(64);
        }
        self.keyed.shrink();
        self.controls.clear();
        self.account = Account::default();
    }
}

/// A single frame is far below 4 GiB: memory and the bounds see to it.
fn short(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

thread_local! {
    #[expect(clippy::vec_box, reason = "it is the boxes that are passed on")]
    static POOL: RefCell<Vec<Box<Outgoing>>> = const { RefCell::new(Vec::new()) };
}

/// How many buffers one write takes together.
const SLICES: usize = 16;
/// Queues kept per thread; at most 19 KiB each.
const POOLED: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use std::io::IoSlice;

    use proptest::collection::vec;
    use proptest::prelude::Just;
    use proptest::strategy::Strategy;
    use proptest::test_runner::TestCaseError;
    use proptest::{prop_assert, prop_oneof, proptest};

    use crate::config::Config;
    use crate::websocket::{ControlPayload, OpCode, frame};

    use super::{Outgoing, Shared, Tag, short};

    fn tag(key: usize) -> Tag {
        let (group, key) = ("map".try_into().unwrap(), key.to_string());
        Tag::new(&group, &key.try_into().unwrap(), false)
    }

    /// Writes up to `most` bytes, as a socket would.
    fn write(queue: &mut Outgoing, most: usize, wire: &mut Vec<u8>) {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = queue.slices(&mut slices);
        let mut left = most;
        let before = wire.len();
        for slice in &slices[..filled] {
            let taken = slice.len().min(left);
            wire.extend_from_slice(&slice[..taken]);
            left -= taken;
        }
        queue.advance(wire.len() - before);
    }

    #[test]
    fn a_discard_keeps_the_begun_frame_only() {
        for written in [0, 1, 4, 7, 9] {
            let (mut queue, mut wire) = (Outgoing::default(), Vec::new());
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
        let (mut queue, mut wire) = (Outgoing::default(), Vec::new());
        let frames: Vec<_> = (0..3).map(|_| frame(OpCode::Binary, &[7; 1000])).collect();
        let lengths: Vec<_> = frames.iter().map(|frame| short(frame.len())).collect();
        queue.push_batch(&Shared::new(frames.concat().into()), &lengths);
        write(&mut queue, frames[0].len(), &mut wire);
        queue.discard();
        queue.push(OpCode::Close, vec![0x0f, 0xa8]);
        write(&mut queue, usize::MAX, &mut wire);
        assert!(queue.is_empty());
        assert_eq!(wire.len(), frames[0].len() + 4);
    }

    /// Payloads, whose frames are two bytes more; the bound is two frames or 100 bytes.
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
        // The other alone reaches the bound.
        Row { older: 50, other: 98, newer: 49, taken: true },
        Row { older: 50, other: 98, newer: 50, taken: true },
        Row { older: 50, other: 98, newer: 51, taken: false },
        Row { older: 50, other: 125, newer: 51, taken: false },
    ];

    #[test]
    fn a_replaced_value_frees_its_room_and_one_that_finds_none_leaves_the_older() {
        let bound = Config::new().outgoing(2, 100).outgoing;
        for (at, row) in ROWS.iter().enumerate() {
            let mut queue = Outgoing::default();
            let frame = |size, byte| Shared::new(frame(OpCode::Binary, &vec![byte; size]));
            let [older, other, newer] = [
                frame(row.older, 1),
                frame(row.other, 2),
                frame(row.newer, 3),
            ];
            assert!(queue.offer(&older, Some(&tag(1)), bound), "row {at}");
            queue.push_wire(&other);
            let of_another_key = queue.offer(&newer, Some(&tag(2)), bound);
            assert!(!of_another_key, "row {at}");
            let taken = queue.offer(&newer, Some(&tag(1)), bound);
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
        Batch(Vec<usize>),
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
            vec(size.clone(), 1..4).prop_map(Step::Batch),
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
        /// Whatever is pushed and however it is written: whole frames, in order, none lost but by a
        /// discard or, before its first byte is written, by a newer value of its key; controls
        /// between them.
        #[test]
        fn what_comes_out_is_what_went_in(steps in steps()) {
            let (mut queue, mut wire) = (Outgoing::default(), Vec::new());
            let mut pushed: Vec<Vec<u8>> = Vec::new();
            // The key of each of the pushed.
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
                        queue.push_wire(&Shared::new(frame));
                    }
                    Step::Batch(sizes) => {
                        let frames: Vec<_> = sizes.into_iter().map(|size| frame(OpCode::Binary, &payload(size))).collect();
                        let lengths: Vec<_> = frames.iter().map(|frame| short(frame.len())).collect();
                        queue.push_batch(&Shared::new(frames.concat().into()), &lengths);
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
                        prop_assert!(queue.offer(&Shared::new(frame.clone()), Some(&tag(key)), bound));
                        pushed.push(frame.to_vec());
                        keys.push(Some(key));
                    }
                    Step::Pong => queue.controls().push_pong(ControlPayload::new(b"pong")),
                    Step::Write(most) => write(&mut queue, most, &mut wire),
                    Step::Discard => {
                        queue.discard();
                        prop_assert!(queue.lengths.len() <= 1);
                        // From here on the model restarts with what is certainly on its way.
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

    /// Of how many frames at least one byte is on the wire.
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
}
