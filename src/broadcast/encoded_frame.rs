//! [`EncodedFrame`]: a message as a frame, encoded once per node.

use std::sync::Arc;

use bytes::Bytes;

use crate::budget::{AccountedBytes, Budget};
use crate::message::Message;
#[cfg(feature = "deflate")]
use crate::websocket::deflate::Compression;
use crate::websocket::{OpCode, frame};

#[cfg(feature = "deflate")]
use super::compressed_forms::CompressedForms;

/// A whole frame. A clone shares the bytes.
#[derive(Clone, Debug)]
pub(crate) struct EncodedFrame {
    frame: AccountedBytes,
    /// The compressed forms, shared by all clones; `None` if no connection could want one.
    #[cfg(feature = "deflate")]
    compressed: Option<Arc<CompressedForms>>,
}

impl EncodedFrame {
    pub(crate) fn message(message: &Message) -> Self {
        match message {
            Message::Text(text) => Self::new(OpCode::Text, text.as_bytes()),
            Message::Binary(bytes) => Self::new(OpCode::Binary, bytes),
        }
    }

    /// An event's JSON, as the text frame that a relaying or forwarding member sends.
    pub(crate) fn event(json: &[u8]) -> Self {
        Self::new(OpCode::Text, json)
    }

    fn new(opcode: OpCode, payload: &[u8]) -> Self {
        Self {
            frame: AccountedBytes::new(frame(opcode, payload)),
            #[cfg(feature = "deflate")]
            compressed: CompressedForms::of(opcode, payload),
        }
    }

    /// A frame that is sent as it is.
    #[cfg(feature = "deflate")]
    pub(crate) fn ready(frame: AccountedBytes) -> Self {
        Self {
            frame,
            compressed: None,
        }
    }

    /// The same frame, counted once for all queues that hold it.
    pub(super) fn counted(&self, budget: &Arc<Budget>) -> Self {
        Self {
            frame: self.frame.counted(budget),
            #[cfg(feature = "deflate")]
            compressed: self.compressed.clone(),
        }
    }

    /// The frame for connections with this compression.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed(&self, compression: Compression) -> Self {
        self.compressed_within(compression, None)
    }

    /// The frame for connections with this compression. If this frame is counted once for all
    /// queues, the compressed one is, too.
    #[cfg(feature = "deflate")]
    pub(crate) fn compressed_within(
        &self,
        compression: Compression,
        budget: Option<&Arc<Budget>>,
    ) -> Self {
        let payload = self.payload();
        let frame = match &self.compressed {
            Some(forms) if payload.len() >= compression.min_len => {
                let budget = budget.filter(|_| self.frame.is_counted());
                forms.frame(payload, compression, budget)
            }
            _ => None,
        };
        Self::ready(frame.unwrap_or_else(|| self.frame.clone()))
    }

    /// The frame with the note whether the budget counts it.
    pub(crate) fn accounted(&self) -> &AccountedBytes {
        &self.frame
    }

    /// Header and payload.
    pub(crate) fn bytes(&self) -> &Bytes {
        self.frame.bytes()
    }

    /// The payload. The second byte of the header tells how long the header is (RFC 6455, section
    /// 5.2).
    pub(crate) fn payload(&self) -> &[u8] {
        let header = match self.bytes().get(1) {
            Some(127) => 10,
            Some(126) => 4,
            _ => 2,
        };
        self.bytes().get(header..).unwrap_or_default()
    }

    /// The payload of an event, whose JSON is text.
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(self.payload()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::EncodedFrame;

    #[test]
    fn the_payload_is_found_behind_headers_of_every_length() {
        for len in [
            0, 1, 125, 126, 127, 128, 129, 1000, 65_535, 65_536, 65_540, 70_000,
        ] {
            let payload = vec![b'x'; len];
            assert_eq!(EncodedFrame::event(&payload).payload(), payload, "{len}");
        }
    }
}
