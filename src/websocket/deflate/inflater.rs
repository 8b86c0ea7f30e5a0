//! [`Inflater`]: a compressed message on its way back, piece by piece.

use std::cell::RefCell;

use flate2::{Decompress, FlushDecompress, Status};

use crate::websocket::violation::Violation;

/// Inflates one message. Its state, about 47 KB, comes from the thread's pool with the first bytes
/// and returns to it with the end of the message. The state of a message that did not end well is
/// dropped: a reset is not trusted to clear what such a message leaves behind.
#[derive(Debug)]
pub(in crate::websocket) struct Inflater {
    /// `None` before the first bytes.
    state: Option<Decompress>,
    /// Compressed bytes so far.
    taken: usize,
    /// A final block has ended, and nothing has come behind it.
    is_final: bool,
}

impl Inflater {
    pub(in crate::websocket) const fn new() -> Self {
        Self {
            state: None,
            taken: 0,
            is_final: false,
        }
    }

    /// Compressed bytes so far.
    pub(in crate::websocket) const fn taken(&self) -> usize {
        self.taken
    }

    /// Inflates a piece, cut anywhere, and hands what comes of it to `sink`, in order. At most
    /// `room` bytes are handed over, and hardly more are inflated. A longer result is [too
    /// big](Self::push) for a message of `limit` bytes.
    pub(in crate::websocket) fn push<S>(
        &mut self,
        mut piece: &[u8],
        mut room: usize,
        limit: usize,
        mut sink: S,
    ) -> Result<(), Violation>
    where
        S: FnMut(&[u8]) -> Result<(), Violation>,
    {
        if piece.is_empty() {
            return Ok(());
        }
        self.taken += piece.len();
        self.is_final = false;
        let state = self.state.get_or_insert_with(pooled);
        let mut buffer = [0; BUFFER];
        loop {
            // One byte beyond the room tells that there is more.
            let space = &mut buffer[..room.saturating_add(1).min(BUFFER)];
            let (status, taken, made) = inflate(state, piece, space);
            piece = &piece[taken..];
            // The first fault is returned, however the input was cut.
            sink(&space[..made.min(room)])?;
            if made > room {
                return Err(Violation::too_big(limit));
            }
            room -= made;
            match status {
                None => return Err(Violation::bad_deflate()),
                // The next block, if any, begins at the next byte, with nothing to refer to
                // (7.2.1).
                Some(Status::StreamEnd) => {
                    state.reset(false);
                    if piece.is_empty() {
                        self.is_final = true;
                        return Ok(());
                    }
                }
                Some(Status::Ok | Status::BufError) if made == space.len() => {}
                Some(Status::Ok | Status::BufError) if piece.is_empty() => return Ok(()),
                Some(Status::Ok | Status::BufError) if taken == 0 && made == 0 => {
                    return Err(Violation::bad_deflate());
                }
                Some(Status::Ok | Status::BufError) => {}
            }
        }
    }

    /// The end of the message. The pushed bytes must be whole blocks. The last one is an empty one
    /// without its last four bytes (7.2.1), or a final one.
    pub(in crate::websocket) fn finish(mut self) -> Result<(), Violation> {
        let mut state = self.state.take().unwrap_or_else(pooled);
        if !self.is_final {
            let (status, taken, made) = inflate(&mut state, &END, &mut [0]);
            if status != Some(Status::StreamEnd) || taken != END.len() || made != 0 {
                return Err(Violation::bad_deflate());
            }
        }
        recycle(state);
        Ok(())
    }
}

/// The most bytes that the compressed form of a message may have: twice its limit and a bit.
///
/// It needs a bound of its own, since empty blocks inflate to nothing for ever. An honest peer
/// stays below: the worst code makes nine bits of eight, and each flush adds five bytes.
pub(in crate::websocket) const fn most_compressed(max_message: usize) -> usize {
    max_message.saturating_mul(2).saturating_add(1024)
}

/// One step: how it ended, `None` for broken data; how much it took; how much it made.
fn inflate(
    state: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> (Option<Status>, usize, usize) {
    let (taken, made) = (state.total_in(), state.total_out());
    let status = state.decompress(input, output, FlushDecompress::None);
    let (taken, made) = (state.total_in() - taken, state.total_out() - made);
    // Neither is more than a slice's length.
    (status.ok(), taken as usize, made as usize)
}

fn pooled() -> Decompress {
    // A thread that ends has lost its pool already.
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop());
    pooled
        .ok()
        .flatten()
        .unwrap_or_else(|| Decompress::new(false))
}

/// Returns a state to the pool. Only for one that has read a message to its end.
fn recycle(mut state: Decompress) {
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < POOLED {
            state.reset(false);
            pool.push(state);
        }
    });
}

thread_local! {
    static POOL: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// Kept per thread. More exist only while that many messages are incomplete at once.
const POOLED: usize = 4;

/// How much is inflated at once.
const BUFFER: usize = 4096;

/// The four bytes that the sender left out; behind them an empty final block, which is read to its
/// end only where every block before it was whole.
const END: [u8; 9] = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];
