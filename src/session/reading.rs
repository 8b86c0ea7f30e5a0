//! Reading: from bytes to messages, ahead of a running hook as well, up to what the peer may send.

use std::task::{Context, Poll};

use tokio::task::coop::has_budget_remaining;

use crate::close::{Cause, CloseCode, Closed};
use crate::mailbox::{Close, CloseRequest, Control};
use crate::message::Message;
use crate::websocket::{Incoming, Violation};
use crate::yield_now::yield_now;

use super::connection::Connection;
use super::read_buffer::ReadBuffer;
use super::turn::Turn;

/// How far the client's buffer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// Messages.
    Open,
    /// Nothing that could be understood: it broke the protocol.
    Garbage,
    /// It has sent its close frame.
    Closed,
    /// It has ended its half of the stream without one. It may still read.
    Ended,
    /// Nothing: the stream has ended.
    Gone,
}

impl Connection {
    /// The next message from the read-ahead or from the read buffer. Control frames before it are
    /// answered.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        if let Some(read_ahead) = &mut self.read_ahead {
            if let Some(message) = read_ahead.pop() {
                return Some(message);
            }
            self.read_ahead = None;
            self.deadlines.as_mut().pause(false);
        }
        self.decode()
    }

    /// The next message in the read buffer, until the session's turn is over. Control frames before
    /// it are answered.
    pub(super) fn decode(&mut self) -> Option<Message> {
        while let Some(buffer) = &mut self.buffer {
            if self.read_state != ReadState::Open || buffer.is_spent() {
                self.drop_buffer();
                return None;
            }
            if self.turn.is_over() {
                return None;
            }
            let (bytes, at) = buffer.unread();
            let mut decoded = self.decoder.decode(bytes, at);
            let fragments = self.decoder.take_fragments();
            self.turn.fragmented(fragments);
            if let Some(rate) = &mut self.rate {
                decoded = rate.limit(decoded, fragments);
            }
            match decoded {
                Ok(Some(Incoming::Text(text))) => return Some(self.decoded(Message::Text(text))),
                Ok(Some(Incoming::Binary(bytes))) => {
                    return Some(self.decoded(Message::Binary(bytes)));
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    self.turn.controlled();
                    self.mailbox().push_control(Control::Pong(payload));
                }
                Ok(Some(Incoming::Pong(_))) => self.turn.controlled(),
                Ok(Some(Incoming::Close(body))) => {
                    let body = body.map(|body| (CloseCode::from_wire(body.code), body.reason));
                    let (code, reason) = body.unwrap_or((CloseCode::NO_STATUS, String::new()));
                    self.peer_closed(code, reason);
                }
                Ok(None) => self.drop_buffer(),
                Err(violation) => self.violated(violation),
            }
        }
        None
    }

    fn decoded(&mut self, message: Message) -> Message {
        let is_compressed = self.mailbox().extensions().may_compress();
        self.turn.decoded(message.len(), is_compressed);
        message
    }

    pub(super) fn peer_closed(&mut self, code: CloseCode, reason: String) {
        self.read_state = ReadState::Closed;
        // If this side closed first, its own code is the end, and this is the answer to it.
        if !self.mailbox().flags().is_closed() {
            self.mailbox().close(Close::Answer(code));
            self.end_with(Closed::new(code, reason, Cause::Client));
        }
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        self.read_state = ReadState::Garbage;
        let code = CloseCode::from_wire(violation.code);
        let cause = if code == CloseCode::POLICY_VIOLATION {
            Cause::RateLimit
        } else {
            Cause::Protocol
        };
        self.mailbox().close(Close::AfterQueue(CloseRequest {
            code,
            reason: violation.reason,
            cause,
        }));
    }

    /// Reads once; ready when there is something new: bytes, or the stream's end. A session whose
    /// turn is over reads in the next one, when what it has read before is decoded.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !matches!(self.read_state, ReadState::Open | ReadState::Garbage) {
            return Poll::Pending;
        }
        if self.turn.is_over() {
            yield_now(cx);
            return Poll::Pending;
        }
        if self.is_drained && self.socket.poll_readable(cx).is_pending() {
            return self.nothing_to_read();
        }
        let mut buffer = ReadBuffer::pooled();
        let read = self.socket.poll_read(buffer.room(), cx);
        match read {
            Poll::Pending => {
                buffer.recycle();
                return self.nothing_to_read();
            }
            Poll::Ready(Ok(read)) if read > 0 => {
                let is_compressed = self.mailbox().extensions().may_compress();
                self.turn.read(read, is_compressed);
                self.is_drained = read < buffer.room().len();
                buffer.fill(read);
                self.buffer = Some(buffer);
                self.deadlines.as_mut().heard();
            }
            Poll::Ready(end) => {
                buffer.recycle();
                match end {
                    Ok(_) => self.ended(),
                    Err(_) => self.lost(),
                }
            }
        }
        Poll::Ready(())
    }

    /// The peer has been heard to the end, for now; or the task has used up its turn, and nobody
    /// knows.
    pub(super) fn nothing_to_read(&mut self) -> Poll<()> {
        if let Some(rate) = &mut self.rate
            && has_budget_remaining()
        {
            rate.caught_up();
        }
        Poll::Pending
    }

    /// Reads ahead of a running hook, up to the bound; beyond it the peer feels that nothing is
    /// read.
    pub(super) fn fill_read_ahead(&mut self, cx: &mut Context<'_>) {
        let bound = self.config().messages;
        loop {
            let paused = self.read_ahead.as_mut().is_some_and(|read_ahead| {
                read_ahead.drop_if_evicted();
                read_ahead.is_full(bound)
            });
            self.deadlines.as_mut().pause(paused || self.end.is_some());
            if paused && self.is_mute {
                if self.mailbox().flags().has_output() {
                    // The hook may wait for room only, which it gets before the next look.
                    cx.waker().wake_by_ref();
                } else {
                    // Its end would not be found while reading rests, and the hook has its grace
                    // from now.
                    self.lost();
                }
            }
            if paused && let Some(rate) = &mut self.rate {
                rate.rest();
            }
            if paused || self.end.is_some() {
                return;
            }
            if let Some(message) = self.decode() {
                let read_ahead = self.read_ahead.get_or_insert_default();
                read_ahead.push(message, self.socket.mailbox());
            } else if self.end.is_some() || self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    /// Looks through what was read, for the peer's close frame only.
    pub(super) fn discard_messages(&mut self) {
        self.read_ahead = None;
        // No hook takes what comes, and the time of the close is bounded.
        self.rate = None;
        while self.decode().is_some() {}
    }

    /// The peer has ended its half of the stream without a close frame. The queued frames are still
    /// written: the client may go on reading.
    pub(super) fn ended(&mut self) {
        self.read_state = ReadState::Ended;
        if !self.mailbox().flags().is_closed() {
            self.end_with(Closed::new(CloseCode::ABNORMAL, "", Cause::Lost));
        }
        self.mailbox().close(Close::WithoutFrame);
    }

    /// The stream has broken.
    pub(super) fn lost(&mut self) {
        self.read_state = ReadState::Gone;
        if !self.mailbox().flags().is_closed() {
            self.end_with(Closed::new(CloseCode::ABNORMAL, "", Cause::Lost));
        }
        self.mailbox().close(Close::Abort);
    }

    pub(super) fn drop_buffer(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            buffer.recycle();
        }
    }

    /// Nothing borrowed from the thread survives a suspension.
    pub(super) fn sleep(&mut self) {
        self.turn = Turn::new();
        self.is_drained = false;
        self.buffer = self.buffer.take().and_then(ReadBuffer::park);
    }

    pub(super) fn end_with(&mut self, closed: Closed) {
        self.end.get_or_insert_with(|| Box::new(closed));
    }
}
