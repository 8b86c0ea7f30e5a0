//! [`ReadBuffer`]: bytes that were read and are not decoded yet.

use std::cell::RefCell;

/// Bytes between reading and decoding. The buffer belongs to the thread, not to the connection:
/// before a session sleeps it gives it back, and what it holds still goes into a small one of its
/// own.
#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    /// How much is decoded.
    pub(super) at: usize,
    /// How much was read.
    end: usize,
    pooled: bool,
}

impl ReadBuffer {
    /// The thread's buffer, empty.
    pub(super) fn pooled() -> Box<Self> {
        // A thread that ends has lost its pool already.
        let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
        pooled.ok().flatten().unwrap_or_else(|| {
            Box::new(Self {
                bytes: vec![0; SIZE],
                at: 0,
                end: 0,
                pooled: true,
            })
        })
    }

    /// A buffer of one's own that holds these bytes.
    pub(super) fn of(bytes: &[u8]) -> Box<Self> {
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
            if pool.len() < POOLED {
                pool.push(self);
            }
        });
    }

    /// The same bytes in a buffer that may be kept; `None` if there are none.
    pub(super) fn park(self: Box<Self>) -> Option<Box<Self>> {
        if !self.pooled {
            return Some(self);
        }
        let rest = &self.bytes[self.at..self.end];
        let parked = (!rest.is_empty()).then(|| Self::of(rest));
        self.recycle();
        parked
    }

    /// All that was read, and how far it is decoded.
    pub(super) fn unread(&mut self) -> (&mut [u8], &mut usize) {
        (&mut self.bytes[..self.end], &mut self.at)
    }

    /// Whether everything is decoded.
    pub(super) fn is_spent(&self) -> bool {
        self.at == self.end
    }

    /// Room to read into, once everything is decoded.
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
const SIZE: usize = 32 * 1024;
/// One session runs at a time on a thread; a second buffer is for a runtime within a runtime.
const POOLED: usize = 2;
