//! [`PreparedMessage`]: a message of a group on its way to the members on this node.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::budget::Budget;
#[cfg(feature = "deflate")]
use crate::websocket::deflate::Compression;

use super::conflation_key::ConflationKey;
use super::encoded_frame::EncodedFrame;

/// Everything that a member receives of a message, made once for all members.
#[derive(Clone, Debug)]
pub(crate) struct PreparedMessage {
    pub(crate) frame: EncodedFrame,
    /// Replaces a value with the same key that still waits.
    pub(crate) latest: Option<ConflationKey>,
    /// The frame as queues that lag hold it; made for the first of them.
    counted: OnceCell<EncodedFrame>,
}

impl PreparedMessage {
    pub(crate) fn new(frame: EncodedFrame, latest: Option<ConflationKey>) -> Self {
        Self {
            frame,
            latest,
            counted: OnceCell::new(),
        }
    }

    /// The frame to queue. Queues that lag share one that is counted once for all of them.
    pub(crate) fn frame_for_queue(&self, lags: bool, budget: &Arc<Budget>) -> EncodedFrame {
        if lags {
            let counted = || self.frame.counted(budget);
            self.counted.get_or_init(counted).clone()
        } else {
            self.frame.clone()
        }
    }

    /// The same message for connections with this compression.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(&self, compression: Compression) -> Self {
        Self::new(self.frame.compressed(compression), self.latest.clone())
    }
}
