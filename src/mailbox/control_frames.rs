//! [`ControlFrames`]: the ping and the pongs that are written at the next frame boundary.

use std::collections::VecDeque;

use crate::websocket::{ControlPayload, OpCode, encode_into};

/// Control frames that wait, ahead of all other frames. A close frame is not among them: it is the
/// last frame of the queue itself.
#[derive(Debug, Default)]
pub(super) struct ControlFrames {
    /// A ping of this side.
    ping: bool,
    /// The answers to the client's pings, oldest first; at most [`MAX_PONGS`].
    pongs: VecDeque<ControlPayload>,
    /// The frames that are being written. The next ones are encoded when these are on the wire, so
    /// that a client that pings and does not read makes nothing grow.
    wire: Vec<u8>,
    /// How much of `wire` is written.
    written: usize,
}

impl ControlFrames {
    pub(super) fn push_ping(&mut self) {
        self.ping = true;
    }

    /// Appends the answer to a ping. If too many wait, the oldest is dropped (RFC 6455, section
    /// 5.5.3).
    pub(super) fn push_pong(&mut self, payload: ControlPayload) {
        if self.pongs.len() == MAX_PONGS {
            self.pongs.pop_front();
        }
        self.pongs.push_back(payload);
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.has_unencoded() && self.wire.is_empty()
    }

    /// Whether frames wait that are not encoded yet.
    pub(super) fn has_unencoded(&self) -> bool {
        self.ping || !self.pongs.is_empty()
    }

    /// Encodes the frames that wait, unless an earlier batch is not fully written yet.
    pub(super) fn encode(&mut self) {
        if !self.wire.is_empty() {
            return;
        }
        if std::mem::take(&mut self.ping) {
            encode_into(&mut self.wire, OpCode::Ping, b"");
        }
        for payload in self.pongs.drain(..) {
            encode_into(&mut self.wire, OpCode::Pong, &payload);
        }
    }

    /// The encoded frames that are not written yet.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.wire[self.written..]
    }

    /// Removes written bytes of the encoded frames. Returns how many bytes were written beyond them.
    pub(super) fn advance(&mut self, written: usize) -> usize {
        let own = written.min(self.unwritten().len());
        self.written += own;
        self.end_if_written();
        written - own
    }

    fn end_if_written(&mut self) {
        if self.written == self.wire.len() {
            self.wire.clear();
            self.written = 0;
        }
    }

    /// Drops every frame that has not begun.
    pub(super) fn discard(&mut self) {
        self.ping = false;
        self.pongs.clear();
        self.wire.truncate(self.end_of_begun());
        self.end_if_written();
    }

    /// Drops everything, for the next connection.
    pub(super) fn clear(&mut self) {
        self.ping = false;
        self.pongs.clear();
        self.wire.clear();
        self.written = 0;
    }

    /// The end of the encoded frame that is written in part; if there is none, the end of the
    /// written bytes.
    fn end_of_begun(&self) -> usize {
        let mut end = 0;
        while end < self.written {
            // A server's control frame has a header of two bytes. The second one is the payload's
            // length.
            end += 2 + usize::from(self.wire[end + 1]);
        }
        end
    }
}

/// How many pongs wait at most (2 KB). Clients measure round trips by a ping's payload, so every
/// ping is answered; only a client that sends more pings than this without reading loses answers.
const MAX_PONGS: usize = 16;
