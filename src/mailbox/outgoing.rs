//! [`Outgoing`]: the frames that wait to be written to one socket. No I/O here; the mailbox writes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;
use std::task::Poll;

use bytes::Buf;
use bytes::Bytes;

use crate::config::Bound;
use crate::websocket::ControlPayload;
use crate::websocket::OpCode;
use crate::websocket::encode_into;
use crate::websocket::header;

/// Frames in the order they will be written, in as few buffers as possible: small ones are copied
/// one behind the other, large ones shared. It exists only while something waits; see
/// [`Outgoing::pooled`].
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk is written.
    offset: usize,
    /// The length of each frame; the first may be begun.
    lengths: VecDeque<u32>,
    /// How much of the first frame is written. Where it is not zero, that frame must be finished
    /// whatever happens.
    begun: usize,
    /// What is left to write of the chunks.
    bytes: usize,
    /// A ping that goes out at the next frame boundary.
    ping: bool,
    /// The answer to the peer's last ping, likewise; a later one takes its place (RFC 6455, section
    /// 5.5.3), so that a peer that pings and does not read costs nothing.
    pong: Option<ControlPayload>,
    /// A drained buffer, for the next small frame.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared(Bytes),
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
        self.bytes == 0 && !self.has_controls()
    }

    pub(super) fn is_full(&self, bound: Bound) -> bool {
        bound.is_reached(self.lengths.len(), self.bytes)
    }

    /// Whether this many frames more stay within the bound, all of them.
    pub(super) fn fits(&self, frames: usize, bytes: usize, bound: Bound) -> bool {
        self.lengths.len() + frames <= bound.count && self.bytes + bytes <= bound.bytes
    }

    /// Appends a frame with this payload; a large one is shared.
    pub(super) fn push(&mut self, opcode: OpCode, payload: impl Into<Bytes> + AsRef<[u8]>) {
        let bytes = payload.as_ref();
        let header = header(opcode, bytes.len());
        let length = header.len() + bytes.len();
        if bytes.len() <= COPIED {
            encode_into(self.own_chunk(length), opcode, bytes);
        } else {
            self.own_chunk(header.len()).extend_from_slice(&header);
            self.chunks.push_back(Chunk::Shared(payload.into()));
        }
        self.count(length);
    }

    /// Appends a ready frame; a large one is shared.
    pub(super) fn push_wire(&mut self, wire: &Bytes) {
        self.append(wire);
        self.count(wire.len());
    }

    /// Appends frames that stand in one buffer.
    pub(super) fn push_batch(&mut self, wire: &Bytes, lengths: &[u32]) {
        self.append(wire);
        self.lengths.extend(lengths);
        self.bytes += wire.len();
    }

    /// Appends, to an empty queue, the rest of a frame whose first bytes are on the wire already.
    pub(super) fn push_begun(&mut self, wire: &Bytes, written: usize) {
        self.append(&wire.slice(written..));
        self.count(wire.len());
        self.bytes -= written;
        self.begun = written;
    }

    pub(super) fn set_ping(&mut self) {
        self.ping = true;
    }

    pub(super) fn set_pong(&mut self, payload: ControlPayload) {
        self.pong = Some(payload);
    }

    /// Drops every frame that is not begun.
    pub(super) fn discard(&mut self) {
        let keep = self.rest_of_begun();
        if keep == 0 {
            // Nor does a buffer stay of which all is written.
            self.chunks.clear();
            self.offset = 0;
        }
        let mut left = keep + self.offset;
        self.chunks.retain_mut(|chunk| {
            let kept = left.min(chunk.len());
            chunk.truncate(kept);
            left -= kept;
            kept > 0
        });
        self.lengths.truncate(usize::from(self.begun > 0));
        self.bytes = keep;
        self.ping = false;
        self.pong = None;
    }

    /// Writes what is next by means of `write`, and takes away what that has written.
    pub(super) fn write(
        &mut self,
        write: &mut impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let result = if self.chunks.len() == 1 && !self.has_controls() {
            // As nearly always: what a hook sent.
            write(&[IoSlice::new(&self.chunks[0].as_slice()[self.offset..])])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.slices(&mut slices);
            write(&slices[..filled])
        };
        if let Poll::Ready(Ok(written)) = result {
            self.advance(written);
        }
        result
    }

    /// Fills `slices` with what to write next, and says how many it filled.
    ///
    /// Where a control frame waits and another frame is begun, that is the rest of the begun one.
    fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.begun == 0 {
            self.place_controls();
        }
        let mut left = if self.has_controls() {
            self.rest_of_begun()
        } else {
            usize::MAX
        };
        let mut skip = self.offset;
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            let bytes = &chunk.as_slice()[skip..];
            let bytes = &bytes[..bytes.len().min(left)];
            if bytes.is_empty() {
                break;
            }
            *slice = IoSlice::new(bytes);
            left -= bytes.len();
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Takes away what was written.
    fn advance(&mut self, written: usize) {
        if written == self.bytes {
            return self.drained();
        }
        self.bytes -= written;
        self.offset += written;
        while let Some(first) = self.chunks.front()
            && self.offset >= first.len()
        {
            self.offset -= first.len();
            self.drop_first_chunk();
        }
        self.begun += written;
        while let Some(&length) = self.lengths.front()
            && self.begun >= length as usize
        {
            self.begun -= length as usize;
            self.lengths.pop_front();
        }
    }

    /// Bytes of the heap in its buffers, shared ones included, and how many of them wait.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> (usize, usize) {
        let capacities = self.chunks.iter().map(|chunk| match chunk {
            Chunk::Own(bytes) => bytes.capacity(),
            Chunk::Shared(bytes) => bytes.len(),
        });
        let held = capacities.sum::<usize>() + self.spare.capacity();
        (held, self.bytes)
    }

    fn has_controls(&self) -> bool {
        self.ping || self.pong.is_some()
    }

    fn rest_of_begun(&self) -> usize {
        match self.lengths.front() {
            Some(&length) if self.begun > 0 => length as usize - self.begun,
            _ => 0,
        }
    }

    /// Puts the waiting control frames first. Only at a frame boundary.
    fn place_controls(&mut self) {
        if !self.has_controls() {
            return;
        }
        let mut frames = Vec::new();
        if let Some(payload) = self.pong.take() {
            encode_into(&mut frames, OpCode::Pong, &payload);
            self.lengths.push_front(short(frames.len()));
        }
        if std::mem::take(&mut self.ping) {
            let before = frames.len();
            encode_into(&mut frames, OpCode::Ping, b"");
            self.lengths.push_front(short(frames.len() - before));
            frames.rotate_left(before);
        }
        if let Some(first) = self.chunks.front_mut() {
            first.advance(self.offset);
        }
        self.offset = 0;
        self.bytes += frames.len();
        self.chunks.push_front(Chunk::Own(frames));
    }

    fn append(&mut self, wire: &Bytes) {
        if wire.len() <= COPIED {
            self.own_chunk(wire.len()).extend_from_slice(wire);
        } else {
            self.chunks.push_back(Chunk::Shared(wire.clone()));
        }
    }

    fn count(&mut self, length: usize) {
        self.lengths.push_back(short(length));
        self.bytes += length;
    }

    /// The buffer behind all others that takes this many bytes more.
    fn own_chunk(&mut self, more: usize) -> &mut Vec<u8> {
        let takes = |chunk: &Chunk| matches!(chunk, Chunk::Own(own) if own.len() + more <= OWN);
        if !self.chunks.back().is_some_and(takes) {
            self.chunks
                .push_back(Chunk::Own(std::mem::take(&mut self.spare)));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Own(own)) => own,
            _ => unreachable!("an own chunk was just found or pushed"),
        }
    }

    fn drop_first_chunk(&mut self) {
        if let Some(Chunk::Own(mut own)) = self.chunks.pop_front()
            && own.capacity() > self.spare.capacity()
            && own.capacity() <= OWN
        {
            own.clear();
            self.spare = own;
        }
    }

    /// All is written, or given up; a control frame may still wait.
    fn drained(&mut self) {
        while !self.chunks.is_empty() {
            self.drop_first_chunk();
        }
        self.lengths.clear();
        self.offset = 0;
        self.begun = 0;
        self.bytes = 0;
    }

    fn clear(&mut self) {
        self.drained();
        if self.chunks.capacity() > 8 {
            self.chunks.shrink_to(8);
        }
        if self.lengths.capacity() > 64 {
            self.lengths.shrink_to(64);
        }
        self.ping = false;
        self.pong = None;
    }
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Own(bytes) => bytes.truncate(len),
            Self::Shared(bytes) => bytes.truncate(len),
        }
    }

    fn advance(&mut self, written: usize) {
        match self {
            Self::Own(bytes) => drop(bytes.drain(..written)),
            Self::Shared(bytes) => bytes.advance(written),
        }
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
/// Up to this many bytes a copy is cheaper than one more slice to write.
const COPIED: usize = 2048;
/// The most that small frames are copied behind each other.
const OWN: usize = 16 * 1024;
/// Queues kept per thread; 16 KiB each at the most.
const POOLED: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::Just;
    use proptest::prop_assert;
    use proptest::prop_oneof;
    use proptest::proptest;
    use proptest::strategy::Strategy;
    use proptest::test_runner::TestCaseError;

    use crate::websocket::ControlPayload;
    use crate::websocket::OpCode;
    use crate::websocket::encode_into;
    use crate::websocket::frame;

    use super::Outgoing;
    use super::short;

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
    fn a_pong_goes_at_the_next_boundary_and_replaces_an_older_one() {
        let (mut queue, mut wire) = (Outgoing::default(), Vec::new());
        let first = frame(OpCode::Text, b"first");
        queue.push_wire(&first);
        queue.push(OpCode::Text, "second");
        write(&mut queue, 3, &mut wire);
        queue.set_pong(ControlPayload::new(b"old"));
        queue.set_pong(ControlPayload::new(b"new"));
        while !queue.is_empty() {
            write(&mut queue, 3, &mut wire);
        }
        let mut expected = first.to_vec();
        encode_into(&mut expected, OpCode::Pong, b"new");
        encode_into(&mut expected, OpCode::Text, b"second");
        assert_eq!(wire, expected);
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
        queue.push_batch(&Bytes::from(frames.concat()), &lengths);
        write(&mut queue, frames[0].len(), &mut wire);
        queue.discard();
        queue.push(OpCode::Close, vec![0x0f, 0xa8]);
        write(&mut queue, usize::MAX, &mut wire);
        assert!(queue.is_empty());
        assert_eq!(wire.len(), frames[0].len() + 4);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Wire(usize),
        Batch(Vec<usize>),
        Pong,
        Write(usize),
        Discard,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let size = prop_oneof![0..200_usize, 2000..2100_usize, Just(70_000)];
        let step = prop_oneof![
            size.clone().prop_map(Step::Push),
            size.clone().prop_map(Step::Wire),
            vec(size, 1..4).prop_map(Step::Batch),
            Just(Step::Pong),
            (0..5000_usize).prop_map(Step::Write),
            Just(Step::Discard),
        ];
        vec(step, 0..60)
    }

    proptest! {
        /// Whatever is pushed and however it is written: whole frames, in order, none lost but by a
        /// discard; controls between them.
        #[test]
        fn what_comes_out_is_what_went_in(steps in steps()) {
            let (mut queue, mut wire) = (Outgoing::default(), Vec::new());
            let mut pushed: Vec<Vec<u8>> = Vec::new();
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
                        queue.push_wire(&frame);
                    }
                    Step::Batch(sizes) => {
                        let frames: Vec<_> = sizes.into_iter().map(|size| frame(OpCode::Binary, &payload(size))).collect();
                        let lengths: Vec<_> = frames.iter().map(|frame| short(frame.len())).collect();
                        queue.push_batch(&Bytes::from(frames.concat()), &lengths);
                        pushed.extend(frames.iter().map(|frame| frame.to_vec()));
                    }
                    Step::Pong => queue.set_pong(ControlPayload::new(b"pong")),
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
                    }
                }
            }
            while !queue.is_empty() {
                write(&mut queue, usize::MAX, &mut wire);
            }
            check(&wire, &pushed, true)?;
        }
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
