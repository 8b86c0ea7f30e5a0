//! [`Batch`]: frames that are handed to a member together, joined for one write.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Budget;
use super::chunks::COPIED;
use super::parcel::Parcel;
use super::shared::Shared;
use super::tag::Tag;

/// Frames one behind the other in one buffer. A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    wire: Shared,
    /// Made for the first queue that lags.
    counted: OnceCell<Shared>,
    /// The length of each frame, in order; their sum is the buffer's.
    lengths: Vec<u32>,
    /// Each frame once more, where one of them may take an older one's place. They wait one by one,
    /// so that each can be taken out again and holds no memory but its own.
    single: Vec<Parcel>,
}

impl Batch {
    /// Joins the frames; a single one is not copied.
    pub(crate) fn join<'a>(parcels: impl Iterator<Item = &'a Parcel> + Clone) -> Self {
        let frames = || parcels.clone().map(|parcel| parcel.encoded.wire());
        let lengths: Vec<u32> = frames().map(length).collect();
        let mut rest = frames();
        let wire = match (rest.next(), lengths.len()) {
            (None, _) => Bytes::new(),
            (Some(only), 1) => only.clone(),
            (Some(first), _) => {
                let mut joined = Vec::with_capacity(lengths.iter().map(|&n| n as usize).sum());
                joined.extend_from_slice(first);
                rest.for_each(|frame| joined.extend_from_slice(frame));
                joined.into()
            }
        };
        let single = match parcels.clone().any(|parcel| parcel.latest.is_some()) {
            true => parcels.cloned().collect(),
            false => Vec::new(),
        };
        Self {
            wire: Shared::new(wire),
            counted: OnceCell::new(),
            lengths,
            single,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn wire(&self) -> &Bytes {
        self.wire.bytes()
    }

    /// What waits: in queues that lag it is counted once for all. What they copy is not.
    pub(super) fn waiting(&self, lags: bool, budget: &Arc<Budget>) -> &Shared {
        if lags && self.wire().len() > COPIED {
            self.counted.get_or_init(|| self.wire.counted(budget))
        } else {
            &self.wire
        }
    }

    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Whether the frames must be queued one by one.
    pub(super) fn has_tags(&self) -> bool {
        !self.single.is_empty()
    }

    /// The frame at this place, which begins at this byte of the buffer, as it waits.
    pub(super) fn frame(
        &self,
        at: usize,
        start: usize,
        lags: bool,
        budget: &Arc<Budget>,
    ) -> (Shared, Option<&Tag>) {
        let length = self.lengths[at] as usize;
        match self.single.get(at) {
            Some(parcel) => {
                let waiting = parcel.waiting(lags && length > COPIED, budget);
                (waiting.shared().clone(), parcel.latest.as_ref())
            }
            None => {
                let range = start..start + length;
                (self.waiting(lags, budget).slice(range), None)
            }
        }
    }
}

/// Frames are bounded far below 4 GiB: by the publisher's pending list, and by memory.
pub(super) fn length(wire: &Bytes) -> u32 {
    u32::try_from(wire.len()).unwrap_or(u32::MAX)
}
