//! Compressing a message, by a compressor that belongs to the thread.

use std::cell::RefCell;
use std::fmt;
use std::task::Poll;

use bytes::Bytes;
use flate2::{Compress, FlushCompress, Status};

use crate::websocket::encoder::compressed_header;
use crate::websocket::opcode::OpCode;

use super::window_bits::WindowBits;

/// How the messages to one connection are compressed. Two connections with equal values share one
/// compressed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    pub(crate) window: WindowBits,
    /// 1 to 9.
    pub(crate) level: u8,
    /// Shorter messages are sent as they are, in bytes.
    pub(crate) min_len: usize,
}

/// Returns the message as a frame with its payload compressed, or `None` if that would not be
/// shorter.
pub(crate) fn compressed_frame(
    opcode: OpCode,
    payload: &[u8],
    compression: Compression,
) -> Option<Bytes> {
    let mut compressing = Compressing::new(opcode, compression);
    loop {
        if let Poll::Ready(frame) = compressing.step(payload) {
            return frame;
        }
    }
}

/// A message on its way to a compressed frame, a step at a time: a long one takes milliseconds, in
/// which other tasks of the thread have to wait.
pub(crate) struct Compressing {
    opcode: OpCode,
    /// `None` once the message is compressed. After an error or a panic, or if the message is given
    /// up, the compressor is dropped with this: a reset does not clear everything that an
    /// unfinished message leaves in it.
    compressor: Option<Compressor>,
}

impl Compressing {
    pub(crate) fn new(opcode: OpCode, compression: Compression) -> Self {
        Self {
            opcode,
            compressor: Some(Compressor::pooled(compression)),
        }
    }

    /// Compresses [`STEP_BYTES`] more of the payload, which is the same at each step. Ready with
    /// the frame after the last one, or with `None` if it would not be shorter than the plain one.
    pub(crate) fn step(&mut self, payload: &[u8]) -> Poll<Option<Bytes>> {
        let Some(compressor) = &mut self.compressor else {
            return Poll::Ready(None);
        };
        match compressor.compress(payload, worst_case(payload.len())) {
            Some(taken) if taken < payload.len() => return Poll::Pending,
            Some(_) => {}
            None => {
                self.compressor = None;
                return Poll::Ready(None);
            }
        }
        let frame = compressor.shorter_than(payload).map(|compressed| {
            let header = compressed_header(self.opcode, compressed.len());
            [&header[..], compressed].concat().into()
        });
        if let Some(compressor) = self.compressor.take() {
            compressor.recycle();
        }
        Poll::Ready(frame)
    }
}

impl fmt::Debug for Compressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressing")
            .field("opcode", &self.opcode)
            .finish_non_exhaustive()
    }
}

/// A compressor and its output buffer, about 380 KB with the largest window.
struct Compressor {
    window: WindowBits,
    level: u8,
    state: Compress,
    /// The compressed message. Empty between two messages.
    output: Vec<u8>,
}

impl Compressor {
    /// Takes the thread's compressor for this window and level out of the pool, or makes one.
    fn pooled(compression: Compression) -> Self {
        let Compression { window, level, .. } = compression;
        // A thread that is ending has no pool.
        let pooled = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            let at = pool
                .iter()
                .position(|one| one.window == window && one.level == level)?;
            Some(pool.remove(at))
        });
        pooled
            .ok()
            .flatten()
            .unwrap_or_else(|| Self::new(window, level))
    }

    fn new(window: WindowBits, level: u8) -> Self {
        let level_of_flate2 = flate2::Compression::new(u32::from(level));
        Self {
            window,
            level,
            state: Compress::new_with_window_bits(level_of_flate2, false, window.bits()),
            output: Vec::new(),
        }
    }

    /// Returns the compressor to the thread's pool, ready for the next message, which may be long
    /// in coming. Only for one that has finished its message.
    fn recycle(mut self) {
        self.state.reset();
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES);
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() == POOLED {
                // The one that was used longest ago.
                pool.remove(0);
            }
            pool.push(self);
        });
    }

    /// Compresses up to [`STEP_BYTES`] more of the payload into `output`, which grows by at least
    /// `room` bytes at a time, and flushes at its end. Returns how much of it is compressed so far,
    /// or `None` if the compressor failed.
    fn compress(&mut self, payload: &[u8], mut room: usize) -> Option<usize> {
        let taken = |state: &Compress| usize::try_from(state.total_in()).ok();
        let begin = taken(&self.state)?;
        let end = payload.len().min(begin + STEP_BYTES);
        let flush = if end == payload.len() {
            FlushCompress::Sync
        } else {
            FlushCompress::None
        };
        if begin == 0 {
            #[cfg(test)]
            COMPRESSIONS.set(COMPRESSIONS.get() + 1);
            self.output.reserve_exact(room);
        }
        loop {
            let piece = &payload[taken(&self.state)?..end];
            let status = self
                .state
                .compress_vec(piece, &mut self.output, flush)
                .ok()?;
            // zlib has taken and flushed everything if it leaves room in the output, or finds
            // nothing to do.
            match status {
                Status::Ok if self.output.len() < self.output.capacity() => break,
                Status::BufError if taken(&self.state)? == end => break,
                Status::Ok | Status::BufError => {}
                Status::StreamEnd => return None,
            }
            room = room.max(self.output.len());
            self.output.reserve_exact(room);
        }
        let taken = taken(&self.state)?;
        (taken == end).then_some(taken)
    }

    /// Returns the compressed payload as it stands in a frame, or `None` if it is not shorter.
    fn shorter_than(&self, payload: &[u8]) -> Option<&[u8]> {
        let compressed = self.output.strip_suffix(&TAIL)?;
        (compressed.len() < payload.len()).then_some(compressed)
    }
}

/// Room for the compressed form of any message of `len` bytes, its header and its flush included.
/// More than zlib's own bounds, so that a message is never cut short; a message that needs even
/// more [gets it](Compressor::compress).
const fn worst_case(len: usize) -> usize {
    len + len / 8 + len / 64 + 64
}

thread_local! {
    static POOL: RefCell<Vec<Compressor>> = const { RefCell::new(Vec::new()) };
}

/// How many messages this thread has compressed.
#[cfg(test)]
pub(crate) fn compressions() -> usize {
    COMPRESSIONS.get()
}

/// The room for output that this thread's compressors keep.
#[cfg(test)]
pub(super) fn kept() -> usize {
    POOL.with_borrow(|pool| pool.iter().map(|one| one.output.capacity()).sum())
}

#[cfg(test)]
thread_local! {
    static COMPRESSIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Compressors kept per thread: one for each window if all routes have one level.
const POOLED: usize = 7;

/// How much of a message is compressed at once: about half a millisecond.
const STEP_BYTES: usize = 64 * 1024;

/// The room for output that a pooled compressor keeps.
const KEPT_BYTES: usize = 64 * 1024;

/// The end of an empty stored block, to which each message is flushed; it is left out (7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

#[cfg(test)]
mod tests {
    use crate::websocket::deflate::WindowBits;

    use super::{Compressor, TAIL};

    #[test]
    fn a_message_longer_than_its_room_is_finished() {
        let mut state = 7_u32;
        let payload: Vec<u8> = (0..3000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for level in 1..=9 {
            for room in [8, 9, 64, 1000, 2999, 3005, 3006, 3010] {
                let mut compressor = Compressor::new(WindowBits::MAX, level);
                assert_eq!(compressor.compress(&payload, room), Some(3000));
                let mut inflated = [0; 4000];
                let mut reader = flate2::Decompress::new(false);
                let flush = flate2::FlushDecompress::Sync;
                assert!(
                    reader
                        .decompress(&compressor.output, &mut inflated, flush)
                        .is_ok()
                );
                let length = usize::try_from(reader.total_out());
                assert_eq!(length, Ok(payload.len()), "level {level}, room {room}");
                assert_eq!(&inflated[..payload.len()], payload);
                assert!(compressor.output.ends_with(&TAIL));
            }
        }
    }
}
