//! [`FrameBatch`]: frames that a member receives together, joined for one write.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use crate::budget::{AccountedBytes, Budget};

use super::COPY_MAX_BYTES;
use super::conflation_key::ConflationKey;
use super::prepared_message::PreparedMessage;

/// Frames in one buffer. A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameBatch {
    joined: AccountedBytes,
    /// The buffer as queues that lag hold it; made for the first of them.
    counted: OnceCell<AccountedBytes>,
    /// The length of each frame, in order. Their sum is the length of the buffer.
    lengths: Vec<u32>,
    /// The messages, if one of them may replace an older value. They are then queued one by one,
    /// so that each can be taken out again and holds no memory but its own.
    single: Vec<PreparedMessage>,
}

impl FrameBatch {
    /// Joins the frames. A single one is not copied.
    pub(crate) fn join<'a>(messages: impl Iterator<Item = &'a PreparedMessage> + Clone) -> Self {
        let frames = || messages.clone().map(|message| message.frame.bytes());
        let lengths: Vec<u32> = frames().map(frame_length).collect();
        let mut rest = frames();
        let joined = match (rest.next(), lengths.len()) {
            (None, _) => Bytes::new(),
            (Some(only), 1) => only.clone(),
            (Some(first), _) => {
                let mut joined = Vec::with_capacity(lengths.iter().map(|&n| n as usize).sum());
                joined.extend_from_slice(first);
                rest.for_each(|frame| joined.extend_from_slice(frame));
                joined.into()
            }
        };
        let single = match messages.clone().any(|message| message.latest.is_some()) {
            true => messages.cloned().collect(),
            false => Vec::new(),
        };
        Self {
            joined: AccountedBytes::new(joined),
            counted: OnceCell::new(),
            lengths,
            single,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// All frames.
    pub(crate) fn bytes(&self) -> &Bytes {
        self.joined.bytes()
    }

    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// The buffer to queue. Queues that lag share one that is counted once for all of them, unless
    /// it is so short that they copy it.
    pub(crate) fn for_queue(&self, lags: bool, budget: &Arc<Budget>) -> &AccountedBytes {
        if lags && self.bytes().len() > COPY_MAX_BYTES {
            self.counted.get_or_init(|| self.joined.counted(budget))
        } else {
            &self.joined
        }
    }

    /// Whether the frames must be queued one by one.
    pub(crate) fn has_keys(&self) -> bool {
        !self.single.is_empty()
    }

    /// The frame at this place, which begins at byte `start` of the buffer, as a queue holds it.
    pub(crate) fn frame_for_queue(
        &self,
        place: usize,
        start: usize,
        lags: bool,
        budget: &Arc<Budget>,
    ) -> (AccountedBytes, Option<&ConflationKey>) {
        let length = self.lengths[place] as usize;
        match self.single.get(place) {
            Some(message) => {
                let frame = message.frame_for_queue(lags && length > COPY_MAX_BYTES, budget);
                (frame.accounted().clone(), message.latest.as_ref())
            }
            None => {
                let range = start..start + length;
                (self.for_queue(lags, budget).slice(range), None)
            }
        }
    }
}

/// Frames are far below 4 GiB: the publisher's pending list and memory bound them.
fn frame_length(frame: &Bytes) -> u32 {
    u32::try_from(frame.len()).unwrap_or(u32::MAX)
}
