//! A message that is prepared once for many connections: its frame with the compressed forms, the
//! key by which a newer value replaces it, and batches of such messages for one write.

#[cfg(feature = "deflate")]
mod compressed_forms;
mod conflating_queue;
mod conflation_key;
mod encoded_frame;
mod frame_batch;
mod prepared_message;

#[cfg(feature = "deflate")]
pub(crate) use compressed_forms::{agreed_compression, expect_compression};
pub(crate) use conflating_queue::{Conflate, ConflatingQueue};
pub(crate) use conflation_key::ConflationKey;
pub(crate) use encoded_frame::EncodedFrame;
pub(crate) use frame_batch::FrameBatch;
pub(crate) use prepared_message::PreparedMessage;

/// A copy of up to this many bytes is cheaper than one more slice in a write. Longer frames are
/// shared.
pub(crate) const COPY_MAX_BYTES: usize = 2048;
