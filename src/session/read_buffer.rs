//! [`ReadBuffer`]: bytes that were read and are not decoded yet.

use std::cell::RefCell;

/// Bytes between reading and decoding. The buffer belongs to the thread, not to the connection:
/// before a session sleeps it gives the buffer back, and bytes that are left go into a small one of
/// its own.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    /// The end of the bytes that are decoded.
    at: usize,
    /// The end of the bytes that were read.
    end: usize,
    pooled: bool,
}

impl ReadBuffer {
    /// Returns the thread's buffer, empty.
    pub(super) fn pooled() -> Box<Self> {
        // A thread that ends no longer has a pool.
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
        pooled.ok().flatten().unwrap_or_else(|| {
            Box::new(Self {
                bytes: vec![0; SIZE_BYTES],
                at: 0,
                end: 0,
                pooled: true,
            })
        })
    }

    /// Returns a buffer outside the pool that holds these bytes.
    pub(super) fn owned(bytes: &[u8]) -> Box<Self> {
        Box::new(Self {
            bytes: bytes.to_vec(),
            at: 0,
            end: bytes.len(),
            pooled: false,
        })
    }

    /// Gives the buffer back to the thread; the bytes are gone.
    pub(super) fn recycle(mut self: Box<Self>) {
        if !self.pooled {
            return;
        }
        self.at = 0;
        self.end = 0;
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < POOLED_MAX {
                pool.push(self);
            }
        });
    }

    /// Moves the bytes that are left into a buffer that may be kept; `None` if there are none.
    pub(super) fn park(self: Box<Self>) -> Option<Box<Self>> {
        if !self.pooled {
            return Some(self);
        }
        let rest = &self.bytes[self.at..self.end];
        let parked = (!rest.is_empty()).then(|| Self::owned(rest));
        self.recycle();
        parked
    }

    /// Returns all that was read, and how far it is decoded.
    pub(super) fn unread(&mut self) -> (&mut [u8], &mut usize) {
        (&mut self.bytes[..self.end], &mut self.at)
    }

    /// Whether everything is decoded.
    pub(super) fn is_spent(&self) -> bool {
        self.at == self.end
    }

    /// Returns room to read into, once everything is decoded.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Notes that this many bytes were read into the room.
    pub(super) fn fill(&mut self, read: usize) {
        self.at = 0;
        self.end = read;
    }
}

thread_local! {
    #[expect(clippy::vec_box, reason = "it is the boxes that are passed on")]
    static POOL: RefCell<Vec<Box<ReadBuffer>>> = const { RefCell::new(Vec::new()) };
}

/// One read.
const SIZE_BYTES: usize = 32 * 1024;
/// One session runs at a time on a thread; a second buffer is for a runtime within a runtime.
const POOLED_MAX: usize = 2;
