//! [`CompressedBatches`]: batches for members whose messages are compressed.

use std::cell::RefCell;

use crate::broadcast::{FrameBatch, PreparedMessage};
use crate::websocket::deflate::Compression;

/// The messages of one fan-out, joined once for each kind of member that compresses. Kinds differ
/// mainly by their window, so there are few.
#[derive(Debug, Default)]
pub(super) struct CompressedBatches(RefCell<Vec<(Kind, FrameBatch)>>);

/// How messages are compressed, and whether the member relays events.
type Kind = (Compression, bool);

impl CompressedBatches {
    /// Delivers to one member. If it receives all messages, it shares the batch of its kind.
    pub(super) fn deliver<'a>(
        &self,
        messages: impl Iterator<Item = &'a PreparedMessage>,
        compression: Compression,
        relay: bool,
        is_shared: bool,
        deliver: impl Fn(&FrameBatch),
    ) {
        let join = || {
            let frames: Vec<_> = messages.map(|one| one.compressed(compression)).collect();
            FrameBatch::join(frames.iter())
        };
        if !is_shared {
            return deliver_any(&join(), deliver);
        }
        let kind = (compression, relay);
        let mut batches = self.0.borrow_mut();
        let known = batches.iter().position(|(known, _)| *known == kind);
        let at = known.unwrap_or_else(|| {
            batches.push((kind, join()));
            batches.len() - 1
        });
        deliver_any(&batches[at].1, deliver);
    }
}

fn deliver_any(batch: &FrameBatch, deliver: impl Fn(&FrameBatch)) {
    if !batch.is_empty() {
        deliver(batch);
    }
}
