//! [`Connection`]: the socket's side of a session: writing, heartbeat, closing. How it reads is in
//! [`reading`](super::reading).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::broadcast::EncodedFrame;
use crate::close::{Cause, CloseCode, Closed};
use crate::config::Config;
use crate::mailbox::{Close, Control, Gap, Mailbox, Received};
use crate::message::Message;
use crate::websocket::{Decoder, Role};
use crate::yield_now::yield_now;

use super::deadlines::{Deadline, Deadlines};
use super::hook::Cancelled;
use super::inbound_rate::InboundRate;
use super::read_ahead::ReadAhead;
use super::read_buffer::ReadBuffer;
use super::reading::ReadState;
use super::socket::Socket;
use super::transport::Transport;
use super::turn::Turn;

/// One WebSocket connection after its handshake. It owns nothing while idle but this and its timer.
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) decoder: Decoder,
    /// Bytes that were read but not decoded. A pooled buffer only while the session runs.
    pub(super) buffer: Option<Box<ReadBuffer>>,
    /// Messages that were decoded while a hook ran.
    pub(super) read_ahead: Option<Box<ReadAhead>>,
    pub(super) deadlines: Pin<Box<Deadlines>>,
    /// How the connection ended, once it has.
    pub(super) end: Option<Box<Closed>>,
    /// An event goes before the next message.
    pub(super) event_first: bool,
    /// How much may be done before others have their turn.
    pub(super) turn: Turn,
    /// The running hook has waited, so that it may have deadlines.
    pub(super) hook_waited: bool,
    pub(super) read_state: ReadState,
    /// The last read has emptied the socket, and the task has not slept since: another read would
    /// find nothing.
    pub(super) is_drained: bool,
    /// `None` where the peer may send as fast as it can.
    pub(super) rate: Option<Box<InboundRate>>,
    /// A write has failed: nothing more is written. Messages that the client sent before it left
    /// are still read.
    pub(super) is_mute: bool,
}

/// The next step of a session.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    Event(EncodedFrame),
    Gap(Gap),
    End(Closed),
}

impl Connection {
    /// Takes over the stream; from now on others may write to it.
    pub(super) fn new(mailbox: Arc<Mailbox>, transport: Transport) -> Self {
        Self {
            decoder: Decoder::new(Role::Server, mailbox.settings().config().max_message)
                .with(mailbox.extensions()),
            deadlines: Deadlines::new(mailbox.settings().config(), mailbox.id()),
            buffer: (!transport.early.is_empty()).then(|| ReadBuffer::of(&transport.early)),
            read_ahead: None,
            end: None,
            event_first: false,
            turn: Turn::new(),
            hook_waited: false,
            read_state: ReadState::Open,
            is_drained: false,
            rate: InboundRate::of(mailbox.settings().config()),
            is_mute: false,
            socket: Socket::new(mailbox, transport.stream),
        }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        self.socket.mailbox()
    }

    pub(super) fn config(&self) -> &Config {
        self.mailbox().settings().config()
    }

    /// The next message, event or end; messages and events take turns. Queued frames are written
    /// before this waits.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.turn.is_over() {
            // Others have their turn, and the peer gets its answers.
            yield_now(cx);
            self.turn = Turn::new();
            // If events never cease to wait, this is when the peer is heard.
            if self.buffer.is_none() {
                let _ = self.poll_read(cx);
            }
            self.flush(cx);
            // A peer that always has something to say has deadlines, too.
            self.poll_deadlines(cx);
            self.sleep();
            return Poll::Pending;
        }
        loop {
            if let Some(next) = self.at_hand(cx) {
                self.turn.ran_hook();
                if let Some(rate) = &mut self.rate {
                    // The hook may block its thread. Until everything is read, nobody can tell when
                    // it came.
                    rate.rest();
                }
                return Poll::Ready(next);
            }
            self.flush(cx);
            if self.poll_read(cx).is_ready() {
                continue;
            }
            if self.end.is_none() && !self.poll_deadlines(cx) {
                self.sleep();
                return Poll::Pending;
            }
        }
    }

    /// The next step that needs no read. Registers the task if there is none.
    fn at_hand(&mut self, cx: &Context<'_>) -> Option<Next> {
        if self.end.is_some() {
            // Messages that the client sent before it left are still handled.
            let waiting = self
                .read_ahead
                .as_mut()
                .and_then(|read_ahead| read_ahead.pop());
            return waiting
                .map(Next::Message)
                .or_else(|| self.end.as_deref().cloned().map(Next::End));
        }
        let event_first = self.event_first;
        if !event_first && let Some(message) = self.next_message() {
            self.event_first = true;
            return Some(Next::Message(message));
        }
        self.event_first = false;
        if let Poll::Ready(taken) = self.mailbox().poll_receive(cx) {
            return Some(self.taken(taken));
        }
        if !event_first {
            return None;
        }
        self.next_message().map(Next::Message)
    }

    fn taken(&mut self, taken: Received) -> Next {
        match taken {
            Received::Event(event) => Next::Event(event),
            Received::Gap(gap) => Next::Gap(gap),
            Received::Close(request) => {
                let closed = Closed::new(request.code, request.reason, request.cause);
                self.read_ahead = None;
                self.end_with(closed.clone());
                Next::End(closed)
            }
        }
    }

    /// Everything but hooks: reading into the read-ahead while it has room, writing, pings, deadlines.
    /// For while a hook runs. Tells why the hook must end now, if it must.
    pub(super) fn poll_background(&mut self, cx: &mut Context<'_>) -> Option<Cancelled> {
        self.hook_waited = true;
        if let Some(limit) = self.config().hook_limit {
            self.deadlines.as_mut().limit_within(limit);
        }
        self.mailbox().register(cx.waker());
        self.fill_read_ahead(cx);
        self.sleep();
        self.flush(cx);
        let cut = self.poll_hook_deadlines(cx);
        // The drain's deadline holds even if the hook has grace left.
        cut.or_else(|| {
            self.mailbox()
                .flags()
                .is_hook_cancelled()
                .then_some(Cancelled::Deadline)
        })
    }

    /// A hook is over. If the connection has ended, its grace continues for the messages that the
    /// client sent before.
    pub(super) fn hook_over(&mut self) {
        // One that was ready at once has no deadline: the deadlines is not looked at, which is seldom
        // in the cache.
        let waited = std::mem::take(&mut self.hook_waited);
        if waited {
            self.deadlines.as_mut().limit_over();
        }
        if self.end.is_some() {
            // Messages that the client sent before it left are still handled, unless the hook has
            // closed as well.
            if self.mailbox().flags().has_close_request() {
                self.read_ahead = None;
            }
            return;
        }
        if self.mailbox().flags().is_closed() {
            // The decision to close goes before the next message.
            self.event_first = true;
        } else if waited {
            self.deadlines.as_mut().hook_over();
        }
    }

    /// A hook was dropped or has failed: no other will run but `disconnect`.
    pub(super) fn hook_was_last(&mut self) {
        self.deadlines.as_mut().limit_over();
        self.read_ahead = None;
        // The decision to close goes before a message that was read and not decoded.
        self.event_first = true;
    }

    /// Gives `disconnect` its time, from now.
    pub(super) fn begin_last(&mut self) {
        let limit = self.config().disconnect_timeout;
        self.deadlines.as_mut().hook_over();
        self.deadlines.as_mut().hook_within(limit);
    }

    /// Goes on with closing while `disconnect` runs. Ready when its time is up.
    pub(super) fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.go_on_closing(cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Goes on with closing after `disconnect`. Ready when nothing is left to do.
    pub(super) fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The time that `disconnect` had may pass only now; it is over already.
        while self.go_on_closing(cx) {}
        if self.read_state == ReadState::Gone {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// As far as it goes without waiting; `true` when the hook's time is up.
    fn go_on_closing(&mut self, cx: &mut Context<'_>) -> bool {
        // A connection that is closing sends no pings.
        self.deadlines.as_mut().pause(true);
        if self.read_state != ReadState::Gone {
            // Progress alone no longer counts: a client that takes a byte now and then would hold
            // the queue for days.
            let config = self.config();
            let flush = config.write_timeout.saturating_mul(FLUSHES);
            let timeout = flush.saturating_add(config.close_timeout);
            self.deadlines.as_mut().closes_within(timeout);
        }
        loop {
            self.mailbox().register(cx.waker());
            self.close_stream(cx);
            match self.poll_deadline(cx) {
                Poll::Ready(Deadline::Close | Deadline::Stall) => self.reset(),
                Poll::Ready(Deadline::Ping | Deadline::Silence | Deadline::Limit) => {}
                Poll::Ready(Deadline::Hook) => return true,
                Poll::Pending => {
                    self.sleep();
                    return false;
                }
            }
        }
    }

    /// Writes what waits, then waits for the peer's close frame, then ends the stream.
    fn close_stream(&mut self, cx: &mut Context<'_>) {
        while self.read_state != ReadState::Gone {
            // Before the look at what the peer has sent: its close frame may just have been read.
            self.discard_messages();
            if self.flush(cx) {
                match self.read_state {
                    ReadState::Closed | ReadState::Ended => return self.shut_down(cx),
                    // No answer of the client could be decoded, so only the end of the stream tells
                    // it that nothing more comes.
                    ReadState::Garbage => self.socket.end_output(cx),
                    ReadState::Open | ReadState::Gone => {}
                }
                // For a slow reader the kernel still holds megabytes, which go before the close
                // frame. It keeps the time of the whole close, or it would see a reset in place of
                // 4008.
                if !self.reads_slowly() {
                    let timeout = self.config().close_timeout;
                    self.deadlines.as_mut().closes_within(timeout);
                }
            }
            if self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    fn reads_slowly(&self) -> bool {
        let end = self.end.as_deref();
        end.is_some_and(|closed| closed.cause() == Cause::SlowReader)
    }
}

/// Writing and deadlines.
impl Connection {
    /// Writes what waits; `true` when nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_mute {
            self.mailbox().discard_output();
            return true;
        }
        let (written, result) = self.socket.poll_flush(cx);
        if written > 0 || result.is_ready() {
            self.deadlines.as_mut().wrote();
        }
        match result {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.is_mute = true;
                self.mailbox().discard_output();
                // If reading is paused, the end is found at the next look only.
                cx.waker().wake_by_ref();
                true
            }
            Poll::Pending => {
                self.deadlines.as_mut().stalls();
                false
            }
        }
    }

    /// Deals with the deadlines that have passed; `true` when the connection has ended with that.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> bool {
        while self.end.is_none() {
            let Poll::Ready(due) = self.poll_deadline(cx) else {
                return false;
            };
            self.passed(due);
            self.flush(cx);
        }
        true
    }

    /// As [`poll_deadlines`](Self::poll_deadlines), but tells when the hook's time is up.
    fn poll_hook_deadlines(&mut self, cx: &mut Context<'_>) -> Option<Cancelled> {
        loop {
            if self.end.is_some() || self.mailbox().flags().is_closed() {
                let grace = self.config().grace;
                self.deadlines.as_mut().hook_within(grace);
            }
            match self.poll_deadline(cx) {
                Poll::Ready(Deadline::Hook) => return Some(Cancelled::Deadline),
                Poll::Ready(Deadline::Limit) => return Some(Cancelled::Limit),
                Poll::Ready(due) => self.passed(due),
                Poll::Pending => return None,
            }
            self.flush(cx);
        }
    }

    /// The next deadline that has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Deadline> {
        self.deadlines
            .as_mut()
            .poll(self.socket.mailbox().settings().config(), cx)
    }

    fn passed(&mut self, due: Deadline) {
        match due {
            Deadline::Ping => self.mailbox().push_control(Control::Ping),
            Deadline::Silence => self.give_up(CloseCode::NO_PONG, "no answer to a ping"),
            Deadline::Stall => self.give_up(CloseCode::ABNORMAL, "nothing could be written"),
            Deadline::Close | Deadline::Hook | Deadline::Limit => {}
        }
    }

    /// The client did not keep a deadline. If this side has closed before, the end keeps that
    /// cause.
    fn give_up(&mut self, code: CloseCode, reason: &str) {
        if !self.mailbox().flags().is_closed() {
            self.end_with(Closed::new(code, reason, Cause::TimeOut));
        }
        self.reset();
    }

    /// Ends the stream from this side, after both close frames.
    fn shut_down(&mut self, cx: &mut Context<'_>) {
        self.read_state = ReadState::Gone;
        self.socket.shut_down(cx);
    }

    /// Gives the client up: bytes that the kernel still holds for it are dropped with the socket.
    fn reset(&mut self) {
        self.read_state = ReadState::Gone;
        self.deadlines.as_mut().pause(true);
        self.mailbox().close(Close::Abort);
        self.socket.reset();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.drop_buffer();
        self.mailbox().close(Close::Abort);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("mailbox", self.mailbox())
            .field("read_state", &self.read_state)
            .finish_non_exhaustive()
    }
}

/// How many times [`Config::write_timeout`] all that waits has when the connection closes.
const FLUSHES: u32 = 3;
