//! [`Batch`]: frames that are handed to a member together, joined for one write.

use bytes::Bytes;

use super::encoded::Encoded;

/// Frames one behind the other in one buffer. A clone shares the bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    wire: Bytes,
    /// The length of each frame, in order; their sum is the buffer's.
    lengths: Vec<u32>,
}

impl Batch {
    /// Joins the frames; a single one is not copied.
    pub(crate) fn join<'a>(frames: impl Iterator<Item = &'a Encoded> + Clone) -> Self {
        let lengths: Vec<u32> = frames.clone().map(|frame| length(frame.wire())).collect();
        let mut frames = frames;
        let wire = match (frames.next(), lengths.len()) {
            (None, _) => Bytes::new(),
            (Some(only), 1) => only.wire().clone(),
            (Some(first), _) => {
                let mut joined = Vec::with_capacity(lengths.iter().map(|&n| n as usize).sum());
                joined.extend_from_slice(first.wire());
                frames.for_each(|frame| joined.extend_from_slice(frame.wire()));
                joined.into()
            }
        };
        Self { wire, lengths }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn wire(&self) -> &Bytes {
        &self.wire
    }

    pub(crate) fn lengths(&self) -> &[u32] {
        &self.lengths
    }
}

/// Frames are bounded far below 4 GiB: by the publisher's pending list, and by memory.
pub(super) fn length(wire: &Bytes) -> u32 {
    u32::try_from(wire.len()).unwrap_or(u32::MAX)
}
