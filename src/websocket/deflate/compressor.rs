//! Compressing a message, by a compressor that belongs to the thread.

use std::cell::RefCell;

use bytes::Bytes;
use flate2::Compress;
use flate2::FlushCompress;
use flate2::Status;

use crate::websocket::encoder::compressed_header;
use crate::websocket::opcode::OpCode;

use super::window_bits::WindowBits;

/// How the messages to one connection are compressed. What is alike for two connections is compressed
/// once for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    pub(crate) window: WindowBits,
    /// 1 to 9.
    pub(crate) level: u8,
    /// Shorter messages are sent as they are, in bytes.
    pub(crate) min_len: usize,
}

/// The message as a frame with its payload compressed; `None` where that would not be shorter.
pub(crate) fn compressed_frame(
    opcode: OpCode,
    payload: &[u8],
    compression: Compression,
) -> Option<Bytes> {
    // A thread that ends has no pool any more, and what it still sends goes as it is.
    POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let compressor = Compressor::of(&mut pool, compression);
        let frame = compressor.compress(payload).map(|compressed| {
            let header = compressed_header(opcode, compressed.len());
            [&header[..], compressed].concat().into()
        });
        compressor.rest();
        frame
    })
    .ok()
    .flatten()
}

/// About 380 KB with the largest window.
struct Compressor {
    window: WindowBits,
    level: u8,
    state: Compress,
    /// What comes out.
    output: Vec<u8>,
}

impl Compressor {
    /// The thread's compressor for this window and level.
    fn of(pool: &mut Vec<Self>, compression: Compression) -> &mut Self {
        let Compression { window, level, .. } = compression;
        let known = pool
            .iter()
            .position(|one| one.window == window && one.level == level);
        let at = known.unwrap_or_else(|| {
            if pool.len() == POOLED {
                pool.remove(0);
            }
            pool.push(Self::new(window, level));
            pool.len() - 1
        });
        &mut pool[at]
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

    /// The compressed payload as it stands in a frame; `None` where it is not shorter.
    fn compress(&mut self, payload: &[u8]) -> Option<&[u8]> {
        #[cfg(test)]
        COMPRESSIONS.set(COMPRESSIONS.get() + 1);
        self.state.reset();
        // What does not fit would not be shorter.
        self.output.reserve_exact(payload.len() + TAIL.len());
        let flush = FlushCompress::Sync;
        let status = self
            .state
            .compress_vec(payload, &mut self.output, flush)
            .ok()?;
        let is_all = status == Status::Ok && self.state.total_in() == payload.len() as u64;
        let compressed = self.output.strip_suffix(&TAIL)?;
        (is_all && compressed.len() < payload.len()).then_some(compressed)
    }

    /// The frame has been copied out, or there is none. The next message may be long in coming.
    fn rest(&mut self) {
        self.output.clear();
        self.output.shrink_to(KEPT);
    }
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

/// Compressors kept per thread: one for each window, where all routes have one level.
const POOLED: usize = 7;

/// The room for output that a compressor keeps.
const KEPT: usize = 64 * 1024;

/// The end of an empty stored block, to which each message is flushed; it is left out (7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
