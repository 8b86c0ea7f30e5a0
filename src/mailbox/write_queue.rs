//! [`WriteQueue`]: the frames that wait to be written to one socket. No I/O here: the mailbox writes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use crate::broadcast::{COPY_MAX_BYTES, ConflationKey, FrameBatch};
use crate::budget::{AccountedBytes, Budget, FREE_BYTES, QueueKind, QueueOwner, Reservation};
use crate::config::Bound;
use crate::message::Message;
use crate::websocket::{OpCode, encode_into, header};

use super::buffer_chain::BufferChain;
use super::conflation_index::ConflationIndex;
use super::control_frames::ControlFrames;

/// Frames in the order in which they will be written, in as few buffers as possible. It exists
/// only while something waits; see [`WriteQueue::pooled`].
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    buffers: BufferChain,
    /// The length of each frame. The first frame may be written in part.
    lengths: VecDeque<u32>,
    /// The keys of frames that a newer value may replace. None of these frames has begun.
    keys: ConflationIndex,
    /// How much of the first frame is written. If it is not zero, that frame must be finished
    /// whatever happens.
    begun: usize,
    /// Pings and pongs, which are written at the next frame boundary.
    controls: ControlFrames,
    reservation: Reservation,
}

impl WriteQueue {
    /// An empty queue, with the buffers of an earlier one of this thread if there is one.
    pub(super) fn pooled() -> Box<Self> {
        // A thread that ends has lost its pool already.
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
        pooled.ok().flatten().unwrap_or_default()
    }

    /// Keeps the buffers of a queue that is no longer needed for the next one of this thread.
    pub(super) fn recycle(mut queue: Box<Self>) {
        queue.clear();
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOL_QUEUES {
                pool.push(queue);
            }
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffers.left() == 0 && self.controls.is_empty()
    }

    pub(super) fn is_full(&self, bound: Bound) -> bool {
        bound.is_reached(self.lengths.len(), self.buffers.left())
    }

    /// Whether all of this many more frames stay within the bound.
    pub(super) fn fits(&self, frames: usize, bytes: usize, bound: Bound) -> bool {
        self.lengths.len() + frames <= bound.count && self.buffers.left() + bytes <= bound.bytes
    }

    /// Whether the queue lags with this many more bytes. Bytes that other queues hold, too, are
    /// then counted once for all of them.
    fn lags_with(&self, more: usize) -> bool {
        self.buffers.left() + more > FREE_BYTES
    }

    /// Counts the bytes that wait after something was added. Returns `true` if the node's budget
    /// is exceeded.
    #[inline]
    pub(super) fn reserve<O: QueueOwner + 'static>(&mut self, owner: &Arc<O>) -> bool {
        if self.buffers.is_small() {
            return false;
        }
        let (waiting, own) = (self.buffers.left(), self.buffers.own());
        self.reservation
            .grow(waiting, own, owner, QueueKind::Frames)
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.reservation.is_evicted()
    }

    fn shrink_reservation(&mut self) {
        self.reservation
            .shrink(self.buffers.left(), self.buffers.own());
    }

    /// Appends a frame with this payload. A long payload is shared.
    pub(super) fn push(&mut self, opcode: OpCode, payload: impl Into<Bytes> + AsRef<[u8]>) {
        let bytes = payload.as_ref();
        let header = header(opcode, bytes.len());
        let length = header.len() + bytes.len();
        if bytes.len() <= COPY_MAX_BYTES {
            self.buffers
                .copy(length, |own| encode_into(own, opcode, bytes));
        } else {
            self.buffers
                .copy(header.len(), |own| own.extend_from_slice(&header));
            self.buffers.share(AccountedBytes::new(payload.into()));
        }
        self.lengths.push_back(frame_length(length));
    }

    /// Appends a message. A long one is shared.
    pub(super) fn push_message(&mut self, message: Message) {
        match message {
            Message::Text(text) => self.push(OpCode::Text, text),
            Message::Binary(bytes) => self.push(OpCode::Binary, bytes),
        }
    }

    /// Appends an encoded frame. A long one is shared.
    pub(super) fn push_frame(&mut self, frame: &AccountedBytes) {
        self.buffers.push(frame);
        self.lengths.push_back(frame_length(frame.bytes().len()));
    }

    /// Appends an encoded frame and removes an older one with the same key. Returns `false` if
    /// there is no room; the older one then stays.
    pub(super) fn offer(
        &mut self,
        frame: &AccountedBytes,
        key: Option<&ConflationKey>,
        bound: Bound,
    ) -> bool {
        let older = key.and_then(|key| self.keys.place(key));
        let replaced = older.map(|place| self.lengths[place] as usize);
        let (count, bytes) = (self.lengths.len(), self.buffers.left());
        if !bound.admits(count, bytes, frame.bytes().len(), replaced) {
            return false;
        }
        if let Some(place) = older {
            self.remove(place);
        }
        if let Some(key) = key {
            self.keys.push(self.lengths.len(), key.clone());
        }
        self.push_frame(frame);
        true
    }

    /// Appends the frames of a batch of which the first `written` bytes are on the wire already;
    /// the queue is empty if that is not 0. Returns how many of the frames found no room.
    pub(super) fn offer_batch(
        &mut self,
        batch: &FrameBatch,
        written: usize,
        bound: Bound,
        budget: &Arc<Budget>,
    ) -> usize {
        let lengths = batch.lengths();
        let lags = self.lags_with(batch.bytes().len());
        let is_plain = written == 0 && !batch.has_keys();
        if is_plain && self.fits(lengths.len(), batch.bytes().len(), bound) {
            self.push_joined(batch.for_queue(lags, budget), lengths);
            return 0;
        }
        let (mut start, mut refused) = (0, 0);
        for (place, &length) in lengths.iter().enumerate() {
            let end = start + length as usize;
            let (frame, key) = batch.frame_for_queue(place, start, lags, budget);
            if start >= written {
                refused += usize::from(!self.offer(&frame, key, bound));
            } else if end > written {
                self.push_begun(&frame, written - start);
            }
            start = end;
        }
        refused
    }

    /// Appends frames that are in one buffer.
    pub(super) fn push_joined(&mut self, joined: &AccountedBytes, lengths: &[u32]) {
        self.buffers.push(joined);
        self.lengths.extend(lengths);
    }

    /// Appends, to an empty queue, the rest of a frame whose first bytes are on the wire already.
    pub(super) fn push_begun(&mut self, frame: &AccountedBytes, written: usize) {
        let length = frame.bytes().len();
        self.buffers.push(&frame.slice(written..length));
        self.lengths.push_back(frame_length(length));
        self.begun = written;
    }

    /// The pings and pongs that wait.
    pub(super) fn controls(&mut self) -> &mut ControlFrames {
        &mut self.controls
    }

    /// Drops every frame that has not begun.
    pub(super) fn discard(&mut self) {
        self.buffers.truncate(self.rest_of_begun());
        self.lengths.truncate(usize::from(self.begun > 0));
        self.keys.clear();
        self.controls.discard();
        self.shrink_reservation();
    }

    /// Drops every frame that has not begun except a close frame, which is the last one. There is
    /// none for a client that has ended its half of the stream.
    pub(super) fn discard_all_but_close(&mut self) {
        let mut unbegun = self.lengths.range(usize::from(self.begun > 0)..);
        let length = unbegun.next_back().map_or(0, |&length| length as usize);
        let last = self.buffers.last(length);
        self.discard();
        if last.first() == header(OpCode::Close, 0).first() {
            self.push_frame(&AccountedBytes::new(last.into()));
        }
    }

    /// Calls `write` with the next bytes and removes those that it has written.
    pub(super) fn write(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let result = if let Some(only) = self.buffers.only()
            && self.controls.is_empty()
        {
            // The usual case: one buffer with the messages of a hook.
            write(&[IoSlice::new(only)])
        } else {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.slices(&mut slices);
            write(&slices[..filled])
        };
        if let Poll::Ready(Ok(written)) = result {
            self.advance(written);
            self.shrink_reservation();
        }
        result
    }

    /// Fills `slices` with the next bytes to write, and returns how many it filled.
    ///
    /// If a control frame waits while another frame is written in part, that is the rest of the
    /// other frame.
    fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.controls.is_empty() {
            return self.buffers.slices(slices, usize::MAX);
        }
        if self.begun > 0 {
            return self.buffers.slices(slices, self.rest_of_begun());
        }
        self.controls.encode();
        slices[0] = IoSlice::new(self.controls.unwritten());
        if self.controls.has_unencoded() {
            // They also go before the next frame, in a write of their own.
            return 1;
        }
        1 + self.buffers.slices(&mut slices[1..], usize::MAX)
    }

    /// Removes bytes that were written.
    fn advance(&mut self, mut written: usize) {
        if self.begun == 0 {
            written = self.controls.advance(written);
        }
        if written == self.buffers.left() {
            return self.clear_frames();
        }
        self.buffers.advance(written);
        self.begun += written;
        let before = self.lengths.len();
        while let Some(&length) = self.lengths.front()
            && self.begun >= length as usize
        {
            self.begun -= length as usize;
            self.lengths.pop_front();
        }
        let unbegun = usize::from(self.begun > 0)..self.lengths.len();
        self.keys.advance(before - self.lengths.len(), unbegun);
    }

    /// Removes a frame that has not begun.
    fn remove(&mut self, place: usize) {
        self.keys.remove(place);
        let before: usize = self.lengths.range(..place).map(|&n| n as usize).sum();
        let length = self.lengths.remove(place).unwrap_or_default() as usize;
        self.buffers.cut(before - self.begun, length);
    }

    /// The heap bytes of the buffers, shared ones included, and how many of them wait.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.buffers.held(), self.buffers.left())
    }

    fn rest_of_begun(&self) -> usize {
        match self.lengths.front() {
            Some(&length) if self.begun > 0 => length as usize - self.begun,
            _ => 0,
        }
    }

    /// Removes all frames; a control frame may still wait.
    fn clear_frames(&mut self) {
        self.buffers.clear();
        self.lengths.clear();
        self.keys.clear();
        self.begun = 0;
    }

    fn clear(&mut self) {
        self.clear_frames();
        self.buffers.shrink();
        if self.lengths.capacity() > 64 {
            self.lengths.shrink_to(64);
        }
        self.keys.shrink();
        self.controls.clear();
        self.reservation = Reservation::default();
    }
}

/// Frames are far below 4 GiB: memory and the bounds see to that.
fn frame_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes themselves are passed on")]
    static POOL: RefCell<Vec<Box<WriteQueue>>> = const { RefCell::new(Vec::new()) };
}

/// How many buffers one write takes.
const WRITE_SLICES: usize = 16;
/// Queues kept per thread, of at most 19 KiB each.
const POOL_QUEUES: usize = 64;
