//! [`Connection`]: one WebSocket on its way from open to closed: reading ahead, writing, heartbeat,
//! closing handshake.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::broadcast::EncodedFrame;
use crate::close::{Cause, CloseCode, Closed};
use crate::config::Config;
use crate::mailbox::{Arrival, Close, CloseRequest, Control, Gap, Mailbox};
use crate::message::Message;
use crate::websocket::Violation;
use crate::yield_now::yield_now;

use super::deadlines::{Deadline, Deadlines};
use super::phase::{Phase, Source};
use super::reader::{ReadState, Reader, Received};
use super::socket::Socket;
use super::transport::Transport;

/// One WebSocket connection after its handshake. While idle it owns nothing except this and its
/// timer.
pub(super) struct Connection {
    socket: Socket,
    reader: Reader,
    deadlines: Pin<Box<Deadlines>>,
    phase: Phase,
}

/// The next cause of a hook, or the end.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    Event(EncodedFrame),
    Gap(Gap),
    End(Closed),
}

/// Why a running hook is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Its time was up. For `connect` and `disconnect`, that is a timeout of their own. For another
    /// hook, its connection had ended, and the grace or the drain's deadline was over.
    TimedOut,
    /// It ran longer than [`Config::hook_limit`].
    OverLimit,
}

/// The session's side.
impl Connection {
    /// Takes over the stream. From now on others may write to it.
    pub(super) fn new(mailbox: Arc<Mailbox>, transport: Transport) -> Self {
        Self::in_phase(Phase::open(), mailbox, transport)
    }

    /// Takes over the stream of a client that was refused: only the closing handshake is left.
    pub(super) fn refused(mailbox: Arc<Mailbox>, transport: Transport) -> Self {
        let is_slow_reader = false;
        Self::in_phase(Phase::Closing { is_slow_reader }, mailbox, transport)
    }

    fn in_phase(phase: Phase, mailbox: Arc<Mailbox>, transport: Transport) -> Self {
        Self {
            reader: Reader::new(&mailbox, &transport.early),
            deadlines: Deadlines::new(mailbox.settings().config(), mailbox.id()),
            phase,
            socket: Socket::new(mailbox, transport.stream),
        }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        self.socket.mailbox()
    }

    /// Returns the next message, event, gap or the end. Messages take turns with the others.
    /// Queued data is written before this waits.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.reader.is_turn_over() {
            // Others run now, and the peer gets its answers.
            yield_now(cx);
            self.reader.begin_turn();
            // If there are always events waiting, the peer is read here only.
            if self.reader.is_empty() {
                let _ = self.poll_read(cx);
            }
            self.flush(cx);
            // A peer that always sends something has deadlines, too.
            self.poll_deadlines(cx);
            self.sleep();
            return Poll::Pending;
        }
        loop {
            if let Some(next) = self.next_at_hand(cx) {
                self.reader.hook_begins();
                return Poll::Ready(next);
            }
            self.flush(cx);
            if self.poll_read(cx).is_ready() {
                continue;
            }
            self.poll_deadlines(cx);
            if !matches!(self.phase, Phase::Ended(_)) {
                self.sleep();
                return Poll::Pending;
            }
        }
    }

    /// Does everything except hooks while a hook waits: reads ahead up to the bound, writes, sends
    /// pings, checks the deadlines. Returns why the hook must be dropped now, if it must.
    pub(super) fn poll_during_hook(&mut self, cx: &mut Context<'_>) -> Option<Cancelled> {
        if let Phase::Open {
            hook_has_waited, ..
        } = &mut self.phase
        {
            *hook_has_waited = true;
        }
        if let Some(limit) = self.config().hook_limit {
            self.deadlines.as_mut().set(Deadline::HookLimit, limit);
        }
        self.mailbox().register(cx.waker());
        self.fill_read_ahead(cx);
        self.sleep();
        self.flush(cx);
        let cancelled = self.poll_hook_deadlines(cx);
        // The drain's deadline counts whatever the hook's grace is.
        cancelled.or_else(|| {
            self.mailbox()
                .flags()
                .is_hook_cancelled()
                .then_some(Cancelled::TimedOut)
        })
    }

    /// Continues after a hook has returned. If the connection has ended, the time of the hook goes
    /// on for the messages that were read before.
    pub(super) fn hook_returned(&mut self) {
        let Phase::Open {
            hook_has_waited, ..
        } = &mut self.phase
        else {
            self.deadlines.as_mut().clear(Deadline::HookLimit);
            // Messages that were read before still run their hooks, unless the hook has closed.
            if self.mailbox().flags().has_close_request() {
                self.phase.discard_read_ahead();
            }
            return;
        };
        // A hook that was ready at once has set no deadline. Then the deadlines are not touched,
        // since they are seldom in the cache.
        let has_waited = mem::take(hook_has_waited);
        if has_waited {
            self.deadlines.as_mut().clear(Deadline::HookLimit);
        }
        if self.mailbox().flags().is_closed() {
            self.ask_first(Source::Mailbox);
        } else if has_waited {
            self.deadlines.as_mut().clear(Deadline::Hook);
        }
    }

    /// Continues after a hook was dropped or has failed: no other runs except `disconnect`.
    pub(super) fn hook_failed(&mut self) {
        self.deadlines.as_mut().clear(Deadline::HookLimit);
        self.phase.discard_read_ahead();
        // The decision to close comes before a message that was read and not decoded.
        self.ask_first(Source::Mailbox);
    }

    /// Gives `disconnect` its time, from now.
    pub(super) fn begin_disconnect(&mut self) {
        let timeout = self.config().disconnect_timeout;
        self.deadlines.as_mut().clear(Deadline::Hook);
        self.deadlines.as_mut().set(Deadline::Hook, timeout);
    }

    /// Closes while `disconnect` runs. Ready when the time of `disconnect` is up.
    pub(super) fn poll_during_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.close(cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Closes after `disconnect`. Ready when the connection is closed.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The deadline of `disconnect` may pass only now, when it has returned already.
        while self.close(cx) {}
        if self.reader.state() == ReadState::Ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Reading.
impl Connection {
    /// Returns the next cause of a hook that is there without a read. If there is none, the mailbox
    /// wakes the task when it has one.
    fn next_at_hand(&mut self, cx: &Context<'_>) -> Option<Next> {
        let first = match &mut self.phase {
            Phase::Open { first, .. } => mem::replace(first, Source::Messages),
            // Messages that the peer sent before the end come first.
            Phase::Ended(_) | Phase::Closing { .. } => {
                let message = self.phase.pop_read_ahead().map(Next::Message);
                return message.or_else(|| self.phase.close_ended().map(Next::End));
            }
        };
        if first == Source::Messages
            && let Some(message) = self.next_message()
        {
            self.ask_first(Source::Mailbox);
            return Some(Next::Message(message));
        }
        if let Poll::Ready(taken) = self.mailbox().poll_receive(cx) {
            return Some(match taken {
                Arrival::Event(event) => Next::Event(event),
                Arrival::Gap(gap) => Next::Gap(gap),
                Arrival::Close(request) => {
                    let closed = Closed::new(request.code, request.reason, request.cause);
                    self.phase.close(&closed);
                    Next::End(closed)
                }
            });
        }
        if first == Source::Messages {
            return None;
        }
        self.next_message().map(Next::Message)
    }

    /// Returns the next message that was read ahead, or else the next to decode.
    fn next_message(&mut self) -> Option<Message> {
        let message = self.phase.pop_read_ahead();
        if message.is_some() {
            return message;
        }
        if self.phase.discard_read_ahead() {
            self.deadlines.as_mut().resume_heartbeat();
        }
        self.decode()
    }

    /// Decodes the next message. Control frames before it are answered.
    fn decode(&mut self) -> Option<Message> {
        loop {
            match self.reader.decode()? {
                Received::Message(message) => return Some(message),
                Received::Ping(payload) => self.mailbox().push_control(Control::Pong(payload)),
                Received::Close(code, reason) => self.peer_closed(code, reason),
                Received::Violation(violation) => self.peer_failed(violation),
            }
        }
    }

    /// Reads once; ready when there is something new: bytes, or the stream's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let read = self.reader.poll_read(&mut self.socket, cx);
        read.map(|read| match read {
            Ok(0) => self.peer_half_closed(),
            Ok(_) => self.deadlines.as_mut().heard(),
            Err(_) => self.lost(),
        })
    }

    /// Reads ahead of a running hook, up to the bound. Beyond it nothing is read, and TCP slows the
    /// peer down.
    fn fill_read_ahead(&mut self, cx: &mut Context<'_>) {
        let bound = self.config().messages;
        loop {
            let read_ahead = self.phase.read_ahead().and_then(Option::as_mut);
            let is_full = read_ahead.is_some_and(|read_ahead| {
                read_ahead.drop_if_evicted();
                read_ahead.is_full(bound)
            });
            if is_full || !self.phase.is_open() {
                self.deadlines.as_mut().pause_heartbeat();
            } else {
                self.deadlines.as_mut().resume_heartbeat();
            }
            if is_full {
                self.find_broken_socket(cx);
                self.reader.rest();
            }
            if is_full || !self.phase.is_open() {
                return;
            }
            if let Some(message) = self.decode() {
                if let Some(read_ahead) = self.phase.read_ahead() {
                    let read_ahead = read_ahead.get_or_insert_default();
                    read_ahead.push(message, self.socket.mailbox());
                }
            } else if !self.phase.is_open() || self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    /// Ends a connection on which a write has failed, while reading rests and would not find it.
    fn find_broken_socket(&mut self, cx: &Context<'_>) {
        if !self.socket.is_broken() {
            return;
        }
        if self.mailbox().flags().has_output() {
            // The hook may wait for room only, which it gets before the next look.
            cx.waker().wake_by_ref();
        } else {
            // The hook has its grace from now on.
            self.lost();
        }
    }
}

/// Writing and deadlines.
impl Connection {
    /// Writes the queued data. Returns whether nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let (written, result) = self.socket.poll_flush(cx);
        if written > 0 || result.is_ready() {
            self.deadlines.as_mut().clear(Deadline::Write);
        }
        if result.is_pending() {
            let timeout = self.config().write_timeout;
            self.deadlines.as_mut().set(Deadline::Write, timeout);
        }
        result.is_ready()
    }

    /// Acts on the deadlines that have passed, while the connection is open.
    fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        while self.phase.is_open()
            && let Poll::Ready(deadline) = self.poll_deadline(cx)
        {
            self.passed(deadline);
            self.flush(cx);
        }
    }

    /// As [`poll_deadlines`](Self::poll_deadlines), while a hook runs, which has deadlines too.
    fn poll_hook_deadlines(&mut self, cx: &mut Context<'_>) -> Option<Cancelled> {
        loop {
            if !self.phase.is_open() || self.mailbox().flags().is_closed() {
                let grace = self.config().grace;
                self.deadlines.as_mut().set(Deadline::Hook, grace);
            }
            match self.poll_deadline(cx) {
                Poll::Ready(Deadline::Hook) => return Some(Cancelled::TimedOut),
                Poll::Ready(Deadline::HookLimit) => return Some(Cancelled::OverLimit),
                Poll::Ready(deadline) => self.passed(deadline),
                Poll::Pending => return None,
            }
            self.flush(cx);
        }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Deadline> {
        let config = self.socket.mailbox().settings().config();
        self.deadlines.as_mut().poll(config, cx)
    }

    fn passed(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Ping => self.mailbox().push_control(Control::Ping),
            Deadline::Pong => self.give_up(CloseCode::NO_PONG, "no answer to a ping"),
            Deadline::Write => self.give_up(CloseCode::ABNORMAL, "nothing could be written"),
            Deadline::Close | Deadline::Hook | Deadline::HookLimit => {}
        }
    }
}

/// Ways to end.
impl Connection {
    fn peer_closed(&mut self, code: CloseCode, reason: String) {
        // If this side closed first, that is how it ended, and this is the answer.
        if !self.mailbox().flags().is_closed() {
            self.mailbox().close(Close::Answer(code));
            self.phase.end(Closed::new(code, reason, Cause::Client));
        }
    }

    fn peer_failed(&self, violation: Violation) {
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

    /// The peer has ended its half of the stream without a close frame. Queued data still goes out,
    /// since the peer may read on.
    fn peer_half_closed(&mut self) {
        if !self.mailbox().flags().is_closed() {
            self.phase
                .end(Closed::new(CloseCode::ABNORMAL, "", Cause::Lost));
        }
        self.mailbox().close(Close::WithoutFrame);
    }

    /// The stream has broken.
    fn lost(&mut self) {
        self.reader.end();
        if !self.mailbox().flags().is_closed() {
            self.phase
                .end(Closed::new(CloseCode::ABNORMAL, "", Cause::Lost));
        }
        self.mailbox().close(Close::Abort);
    }

    /// The peer has missed a deadline. If this side has closed before, that is how it ended.
    fn give_up(&mut self, code: CloseCode, reason: &str) {
        if !self.mailbox().flags().is_closed() {
            self.phase.end(Closed::new(code, reason, Cause::TimeOut));
        }
        self.reset();
    }
}

/// The phases, and closing.
impl Connection {
    fn config(&self) -> &Config {
        self.mailbox().settings().config()
    }

    fn ask_first(&mut self, source: Source) {
        if let Phase::Open { first, .. } = &mut self.phase {
            *first = source;
        }
    }

    /// Closes as far as possible without waiting. Returns whether the time of `disconnect` is up.
    fn close(&mut self, cx: &mut Context<'_>) -> bool {
        self.deadlines.as_mut().pause_heartbeat();
        if self.reader.state() != ReadState::Ended {
            // Progress alone is no longer enough: a peer that takes a byte now and then would hold
            // the queued data for days.
            let config = self.config();
            let flush = config.write_timeout.saturating_mul(FLUSH_TIMEOUTS);
            let timeout = flush.saturating_add(config.close_timeout);
            self.deadlines.as_mut().shorten(Deadline::Close, timeout);
        }
        loop {
            self.mailbox().register(cx.waker());
            self.close_stream(cx);
            match self.poll_deadline(cx) {
                Poll::Ready(Deadline::Close | Deadline::Write) => self.reset(),
                Poll::Ready(Deadline::Ping | Deadline::Pong | Deadline::HookLimit) => {}
                Poll::Ready(Deadline::Hook) => return true,
                Poll::Pending => {
                    self.sleep();
                    return false;
                }
            }
        }
    }

    /// Writes the queued data, then waits for the peer's close frame, then ends the stream.
    fn close_stream(&mut self, cx: &mut Context<'_>) {
        while self.reader.state() != ReadState::Ended {
            // Before the state is read: the close frame of the peer may just have arrived.
            self.discard_messages();
            if self.flush(cx) {
                match self.reader.state() {
                    ReadState::Closed | ReadState::HalfClosed => return self.shut_down(cx),
                    // No answer could be decoded. The peer sees that nothing more comes.
                    ReadState::Failed => self.socket.end_output(cx),
                    ReadState::Open | ReadState::Ended => {}
                }
                // For a slow reader the kernel still holds megabytes, which go before the close
                // frame. It has the time of the whole close, or it would see a reset in place of
                // 4008.
                if !matches!(
                    self.phase,
                    Phase::Closing {
                        is_slow_reader: true
                    }
                ) {
                    let timeout = self.config().close_timeout;
                    self.deadlines.as_mut().shorten(Deadline::Close, timeout);
                }
            }
            if self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    /// Looks through the data that was read, for the peer's close frame only.
    fn discard_messages(&mut self) {
        // No hook takes messages, and the time of the close is bounded.
        self.reader.lift_rate();
        while self.decode().is_some() {}
    }

    /// Ends the stream from this side, after both close frames.
    fn shut_down(&mut self, cx: &mut Context<'_>) {
        self.reader.end();
        self.socket.shut_down(cx);
    }

    /// Gives the peer up: data that the kernel still holds for it is dropped with the socket.
    fn reset(&mut self) {
        self.reader.end();
        self.deadlines.as_mut().pause_heartbeat();
        self.mailbox().close(Close::Abort);
        self.socket.reset();
    }

    /// Prepares for a wait: nothing borrowed from the thread is kept.
    fn sleep(&mut self) {
        self.reader.sleep();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.mailbox().close(Close::Abort);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("mailbox", self.mailbox())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// How many times [`Config::write_timeout`] the queued data has when the connection closes.
const FLUSH_TIMEOUTS: u32 = 3;
