//! A message that did not come in one piece.

use bytes::Bytes;

#[cfg(feature = "deflate")]
use crate::websocket::deflate::Inflater;
use crate::websocket::header::FrameHeader;
use crate::websocket::incoming::Incoming;
use crate::websocket::opcode::OpCode;
use crate::websocket::utf8::{NotUtf8, Utf8Text};
use crate::websocket::violation::Violation;

/// A data message under construction. Its buffer grows with the bytes received, never by what a
/// header declares, and becomes the message without being copied again.
#[derive(Debug)]
pub(super) struct Message {
    body: Body,
    /// Inflates the received bytes if the message is compressed.
    #[cfg(feature = "deflate")]
    inflater: Option<Inflater>,
}

/// The bytes of a message, as far as they are here.
#[derive(Debug)]
pub(super) enum Body {
    Text(Utf8Text),
    Binary(Vec<u8>),
}

impl Message {
    /// The message whose first frame has this header.
    pub(super) fn begin(header: FrameHeader) -> Self {
        Self {
            body: Body::begin(header.opcode),
            #[cfg(feature = "deflate")]
            inflater: header.is_compressed.then(Inflater::new),
        }
    }

    /// Bytes received so far; compressed ones if the message is compressed.
    pub(super) fn len(&self) -> usize {
        #[cfg(feature = "deflate")]
        if let Some(inflater) = &self.inflater {
            return inflater.taken();
        }
        self.body.len()
    }

    /// Bytes that fit without growing.
    #[cfg(any(test, fuzzing))]
    pub(super) fn capacity(&self) -> usize {
        self.body.capacity()
    }

    #[cfg(feature = "deflate")]
    pub(super) const fn is_compressed(&self) -> bool {
        self.inflater.is_some()
    }

    /// Appends unmasked bytes. `still_to_come` is what follows them, if that is known: room beyond
    /// it would be wasted. Compressed bytes are checked against `max_message` here; for others, the
    /// caller has checked the frame's header.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        still_to_come: Option<usize>,
        max_message: usize,
    ) -> Result<(), Violation> {
        #[cfg(feature = "deflate")]
        if let Some(inflater) = &mut self.inflater {
            let room = max_message - self.body.len();
            let body = &mut self.body;
            return inflater.push(piece, room, max_message, |bytes| {
                let still_to_come = max_message - body.len() - bytes.len();
                body.push(bytes, Some(still_to_come))
            });
        }
        debug_assert!(self.body.len() + piece.len() <= max_message);
        self.body.push(piece, still_to_come)
    }

    /// The message, after its last frame.
    pub(super) fn finish(self) -> Result<Incoming, Violation> {
        #[cfg(feature = "deflate")]
        if let Some(inflater) = self.inflater {
            inflater.finish()?;
        }
        self.body.finish()
    }
}

impl Body {
    pub(super) fn begin(opcode: OpCode) -> Self {
        if opcode == OpCode::Text {
            return Self::Text(Utf8Text::default());
        }
        Self::Binary(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Bytes that fit without growing.
    #[cfg(any(test, fuzzing))]
    pub(super) fn capacity(&self) -> usize {
        match self {
            Self::Text(text) => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }

    pub(super) fn push(
        &mut self,
        piece: &[u8],
        still_to_come: Option<usize>,
    ) -> Result<(), Violation> {
        match self {
            Self::Text(text) => {
                let missing = growth(text.len(), text.capacity(), piece.len(), still_to_come);
                text.reserve_exact(missing);
                text.push(piece).map_err(not_utf8)
            }
            Self::Binary(bytes) => {
                let missing = growth(bytes.len(), bytes.capacity(), piece.len(), still_to_come);
                bytes.reserve_exact(missing);
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// The message, after its last frame, without the room for more fragments: it may wait for its
    /// hook.
    pub(super) fn finish(self) -> Result<Incoming, Violation> {
        match self {
            Self::Text(text) => text.finish().map(Incoming::Text).map_err(not_utf8),
            Self::Binary(mut bytes) => {
                bytes.shrink_to_fit();
                Ok(Incoming::Binary(Bytes::from(bytes)))
            }
        }
    }
}

fn not_utf8(_: NotUtf8) -> Violation {
    Violation::bad_text()
}

/// How much to reserve beyond `len` before `piece` bytes are appended: at least doubled, so that
/// many small pieces cost little, but not beyond the end of the message where that is known.
fn growth(len: usize, capacity: usize, piece: usize, still_to_come: Option<usize>) -> usize {
    if piece <= capacity - len {
        return 0;
    }
    let doubled = (2 * capacity).max(SMALLEST);
    let end = still_to_come.map_or(usize::MAX, |rest| len + piece + rest);
    doubled.min(end).max(len + piece) - len
}

/// The first buffer, unless the message is known to be shorter.
const SMALLEST: usize = 64;
