//! [`Reader`]: from the bytes of a stream to messages and control frames.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::task::coop::has_budget_remaining;

use crate::close::CloseCode;
use crate::mailbox::Mailbox;
use crate::message::Message;
use crate::websocket::{ControlPayload, Decoder, Incoming, Role, Violation};
use crate::yield_now::yield_now;

use super::inbound_rate::InboundRate;
use super::read_buffer::ReadBuffer;
use super::socket::Socket;
use super::turn::Turn;

/// The reading half of a connection: it reads, decodes, and limits the peer's rate.
pub(super) struct Reader {
    decoder: Decoder,
    /// Bytes that are read and not decoded. It is a pooled buffer only while the session runs.
    buffer: Option<Box<ReadBuffer>>,
    state: ReadState,
    /// `None` if the peer may send as fast as it can.
    rate: Option<Box<InboundRate>>,
    /// Whether messages may be inflated, which costs more of a turn.
    may_inflate: bool,
    /// The last read has emptied the socket, and the task has not slept since: another read would
    /// find nothing.
    socket_is_empty: bool,
    /// How much may still be done before other sessions run.
    turn: Turn,
}

/// The state of the peer's half of the stream, by what may still be read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadState {
    /// Messages.
    Open,
    /// Bytes that cannot be decoded: it broke the protocol.
    Failed,
    /// Nothing: it has sent its close frame.
    Closed,
    /// Nothing: it has ended its half of the stream without a close frame. It may still read.
    HalfClosed,
    /// Nothing: the stream has ended.
    Ended,
}

/// A decoded message or control frame. Pongs are not returned.
#[derive(Debug)]
pub(super) enum Received {
    Message(Message),
    Ping(ControlPayload),
    /// The close frame. Nothing follows.
    Close(CloseCode, String),
    /// The peer broke the protocol or its rate. Nothing follows.
    Violation(Violation),
}

impl Reader {
    /// Begins with the bytes that came behind the handshake's request.
    pub(super) fn new(mailbox: &Mailbox, early: &Bytes) -> Self {
        let (config, extensions) = (mailbox.settings().config(), mailbox.extensions());
        Self {
            decoder: Decoder::new(Role::Server, config.max_message).with(extensions),
            buffer: (!early.is_empty()).then(|| ReadBuffer::owned(early)),
            state: ReadState::Open,
            rate: InboundRate::new(config),
            may_inflate: extensions.may_compress(),
            socket_is_empty: false,
            turn: Turn::new(),
        }
    }

    pub(super) fn state(&self) -> ReadState {
        self.state
    }

    /// Whether everything that was read is decoded.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_none()
    }

    /// Decodes what was read, up to the next message or control frame; `None` if there is none, or
    /// if the session's turn is over.
    pub(super) fn decode(&mut self) -> Option<Received> {
        while let Some(buffer) = &mut self.buffer {
            if self.state != ReadState::Open || buffer.is_spent() {
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
            let message = match decoded {
                Ok(Some(Incoming::Text(text))) => Message::Text(text),
                Ok(Some(Incoming::Binary(bytes))) => Message::Binary(bytes),
                Ok(Some(Incoming::Ping(payload))) => {
                    self.turn.controlled();
                    return Some(Received::Ping(payload));
                }
                Ok(Some(Incoming::Pong(_))) => {
                    self.turn.controlled();
                    continue;
                }
                Ok(Some(Incoming::Close(body))) => {
                    self.state = ReadState::Closed;
                    let body = body.map(|body| (CloseCode::from_wire(body.code), body.reason));
                    let (code, reason) = body.unwrap_or((CloseCode::NO_STATUS, String::new()));
                    return Some(Received::Close(code, reason));
                }
                Ok(None) => {
                    self.drop_buffer();
                    return None;
                }
                Err(violation) => {
                    self.state = ReadState::Failed;
                    return Some(Received::Violation(violation));
                }
            };
            self.turn.decoded(message.len(), self.may_inflate);
            return Some(Received::Message(message));
        }
        None
    }

    /// Reads once, when everything is decoded. Ready when there is something new: bytes, or with 0
    /// or an error the end. A session whose turn is over reads in its next turn.
    pub(super) fn poll_read(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if !matches!(self.state, ReadState::Open | ReadState::Failed) {
            return Poll::Pending;
        }
        if self.turn.is_over() {
            yield_now(cx);
            return Poll::Pending;
        }
        if self.socket_is_empty && socket.poll_readable(cx).is_pending() {
            return self.nothing_to_read();
        }
        let mut buffer = ReadBuffer::pooled();
        let read = socket.poll_read(buffer.room(), cx);
        match read {
            Poll::Pending => {
                buffer.recycle();
                return self.nothing_to_read();
            }
            Poll::Ready(Ok(read)) if read > 0 => {
                self.turn.read(read, self.may_inflate);
                self.socket_is_empty = read < buffer.room().len();
                buffer.fill(read);
                self.buffer = Some(buffer);
            }
            Poll::Ready(Ok(_)) => {
                buffer.recycle();
                self.state = ReadState::HalfClosed;
            }
            Poll::Ready(Err(_)) => {
                buffer.recycle();
                self.state = ReadState::Ended;
            }
        }
        read
    }

    /// All that the peer has sent is read, or the task has used up its budget, and it is not known.
    fn nothing_to_read<T>(&mut self) -> Poll<T> {
        if let Some(rate) = &mut self.rate
            && has_budget_remaining()
        {
            rate.caught_up();
        }
        Poll::Pending
    }

    /// Whether other sessions are to run now.
    pub(super) fn is_turn_over(&self) -> bool {
        self.turn.is_over()
    }

    pub(super) fn begin_turn(&mut self) {
        self.turn = Turn::new();
    }

    /// Notes that a hook begins. It may block its thread, so reading may rest.
    pub(super) fn hook_begins(&mut self) {
        self.turn.ran_hook();
        self.rest();
    }

    /// Notes that reading rests because a hook is behind. Until everything is read, it is not known
    /// when the peer sent it.
    pub(super) fn rest(&mut self) {
        if let Some(rate) = &mut self.rate {
            rate.rest();
        }
    }

    /// Lifts the limit of the rate, when no hook takes messages and the time of the close is
    /// bounded.
    pub(super) fn lift_rate(&mut self) {
        self.rate = None;
    }

    /// Reads nothing from now on: the stream has ended.
    pub(super) fn end(&mut self) {
        self.state = ReadState::Ended;
    }

    /// Ends the turn, and gives back the buffer that belongs to the thread: a sleeping session must
    /// not keep it.
    pub(super) fn sleep(&mut self) {
        self.turn = Turn::new();
        self.socket_is_empty = false;
        self.buffer = self.buffer.take().and_then(ReadBuffer::park);
    }

    fn drop_buffer(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            buffer.recycle();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.drop_buffer();
    }
}
