//! [`Connection`]: the socket's side of a session: reading, writing, heartbeat, closing.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::Interest;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use crate::close::Cause;
use crate::close::CloseCode;
use crate::close::Closed;
use crate::config::Config;
use crate::mailbox::CloseRequest;
use crate::mailbox::Encoded;
use crate::mailbox::Mailbox;
use crate::mailbox::Taken;
use crate::message::Message;
use crate::websocket::Decoder;
use crate::websocket::Incoming;
use crate::websocket::Role;
use crate::websocket::Violation;

use super::clock::Clock;
use super::clock::Due;
use super::input::Input;
use super::transport::Duplex;
use super::transport::Stream;
use super::transport::Transport;

/// One WebSocket connection after its handshake. It owns nothing while idle but this and its timer.
pub(super) struct Connection {
    mailbox: Arc<Mailbox>,
    /// A stream that is not plain TCP; that one is in the mailbox.
    other: Option<Box<dyn Duplex>>,
    decoder: Decoder,
    /// What was read and is not decoded. A pooled buffer while running only.
    input: Option<Box<Input>>,
    /// What was decoded while a hook ran.
    backlog: Option<Box<Backlog>>,
    clock: Pin<Box<Clock>>,
    /// How the connection ended, once it has.
    end: Option<Box<Closed>>,
    /// An event goes before the next message.
    event_first: bool,
    inbound: Inbound,
}

/// What is still to be expected from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inbound {
    /// Messages.
    Open,
    /// Nothing that could be understood: it broke the protocol.
    Garbage,
    /// It has sent its close frame.
    Closed,
    /// Nothing: the stream has ended.
    Gone,
}

/// Messages that wait for the hook.
#[derive(Debug, Default)]
struct Backlog {
    queue: VecDeque<Message>,
    bytes: usize,
}

/// What a session does next.
#[derive(Debug)]
pub(super) enum Next {
    Message(Message),
    Event(Encoded),
    End(Closed),
}

impl Connection {
    /// Takes over the stream; from now on others may write to it.
    pub(super) fn new(mailbox: Arc<Mailbox>, transport: Transport) -> Self {
        let other = match transport.stream {
            Stream::Tcp(stream) => {
                mailbox.open(Some(stream));
                None
            }
            Stream::Other(stream) => {
                mailbox.open(None);
                Some(stream)
            }
        };
        Self {
            decoder: Decoder::new(Role::Server, mailbox.config().max_message),
            clock: Clock::new(mailbox.config(), mailbox.id()),
            input: (!transport.early.is_empty()).then(|| Input::of(&transport.early)),
            backlog: None,
            end: None,
            event_first: false,
            inbound: Inbound::Open,
            mailbox,
            other,
        }
    }

    pub(super) fn config(&self) -> &Config {
        self.mailbox.config()
    }

    /// The next message, event or end; messages and events take turns. What is to be written is written before this waits.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            if let Some(next) = self.at_hand(cx) {
                return Poll::Ready(next);
            }
            self.flush(cx);
            match self.poll_read(cx) {
                Poll::Ready(()) => continue,
                Poll::Pending => {}
            }
            if self.end.is_none() && !self.poll_clock(cx) {
                self.sleep();
                return Poll::Pending;
            }
        }
    }

    /// What there is without reading. Asks to be woken where there is nothing.
    fn at_hand(&mut self, cx: &Context<'_>) -> Option<Next> {
        if self.end.is_some() {
            // What the peer sent before it went is still heard.
            let waiting = self.backlog.as_mut().and_then(|backlog| backlog.pop());
            return waiting
                .map(Next::Message)
                .or_else(|| self.end.as_deref().cloned().map(Next::End));
        }
        if !self.event_first
            && let Some(message) = self.next_message()
        {
            self.event_first = true;
            return Some(Next::Message(message));
        }
        self.event_first = false;
        if let Poll::Ready(taken) = self.mailbox.poll_take(cx) {
            return Some(self.taken(taken));
        }
        self.next_message().map(Next::Message)
    }

    fn taken(&mut self, taken: Taken) -> Next {
        match taken {
            Taken::Event(event) => Next::Event(event),
            Taken::Close(request) => {
                let closed = Closed::new(request.code, request.reason, request.cause);
                self.backlog = None;
                self.end_with(closed.clone());
                Next::End(closed)
            }
        }
    }

    /// Everything but hooks: reading into the backlog while it has room, writing, pings, deadlines. For while a hook runs. `true` when the hook's
    /// time is up.
    pub(super) fn poll_background(&mut self, cx: &mut Context<'_>) -> bool {
        self.mailbox.register(cx.waker());
        self.fill_backlog(cx);
        self.sleep();
        self.flush(cx);
        if self.end.is_some() || self.mailbox.is_shut() {
            let grace = self.config().grace;
            self.clock.as_mut().hook_within(grace);
        }
        self.poll_hook_clock(cx)
    }

    /// A hook is over. Where the connection has ended, its time goes on for what the peer sent before.
    pub(super) fn hook_over(&mut self) {
        if self.end.is_none() && !self.mailbox.is_shut() {
            self.clock.as_mut().hook_over();
        }
    }

    /// A hook was dropped: no other will run but `disconnect`.
    pub(super) fn hook_cut(&mut self) {
        self.backlog = None;
    }

    /// Whether the hook must end now, whatever its grace: the drain's deadline.
    pub(super) fn is_cut(&self) -> bool {
        self.mailbox.is_cut()
    }

    /// Gives `disconnect` its time, from now.
    pub(super) fn begin_last(&mut self) {
        let limit = self.config().disconnect_timeout;
        self.clock.as_mut().hook_over();
        self.clock.as_mut().hook_within(limit);
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
        self.go_on_closing(cx);
        if self.inbound == Inbound::Gone {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// As far as it goes without waiting; `true` when the hook's time is up.
    fn go_on_closing(&mut self, cx: &mut Context<'_>) -> bool {
        let config = self.mailbox.config().clone();
        loop {
            self.mailbox.register(cx.waker());
            self.close_stream(cx);
            match self.clock.as_mut().poll(&config, cx) {
                Poll::Ready(Due::Close | Due::Stall) => self.reset(),
                // Who is closing is not asked for signs of life.
                Poll::Ready(Due::Ping | Due::Silence) => {}
                Poll::Ready(Due::Hook) => return true,
                Poll::Pending => {
                    self.sleep();
                    return false;
                }
            }
        }
    }

    /// Writes what waits, then waits for the peer's close frame, then ends the stream.
    fn close_stream(&mut self, cx: &mut Context<'_>) {
        while self.inbound != Inbound::Gone {
            if self.flush(cx) {
                if self.inbound == Inbound::Closed {
                    return self.shut_down(cx);
                }
                let timeout = self.config().close_timeout;
                self.clock.as_mut().closes_within(timeout);
            }
            if self.discard_messages(cx).is_pending() {
                return;
            }
        }
    }

    /// The wait for the peer begins now, whether it reads or not: for who was too slow already.
    pub(super) fn hurry(&mut self) {
        let timeout = self.config().close_timeout;
        self.clock.as_mut().closes_within(timeout);
    }
}

/// Reading.
impl Connection {
    /// The next message from the backlog or from what was read; control frames on the way are answered.
    fn next_message(&mut self) -> Option<Message> {
        if let Some(backlog) = &mut self.backlog {
            if let Some(message) = backlog.pop() {
                return Some(message);
            }
            self.backlog = None;
            self.clock.as_mut().pause(false);
        }
        self.decode()
    }

    fn decode(&mut self) -> Option<Message> {
        while let Some(input) = &mut self.input {
            if self.inbound != Inbound::Open {
                self.drop_input();
                return None;
            }
            let (bytes, at) = input.unread();
            match self.decoder.decode(bytes, at) {
                Ok(Some(Incoming::Text(text))) => return Some(Message::Text(text)),
                Ok(Some(Incoming::Binary(bytes))) => return Some(Message::Binary(bytes)),
                Ok(Some(Incoming::Ping(payload))) => self.mailbox.pong(payload),
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(body))) => {
                    let body = body.map(|body| (CloseCode::from_wire(body.code), body.reason));
                    let (code, reason) = body.unwrap_or((CloseCode::NO_STATUS, String::new()));
                    self.peer_closed(code, reason);
                }
                Ok(None) => self.drop_input(),
                Err(violation) => self.violated(violation),
            }
        }
        None
    }

    fn peer_closed(&mut self, code: CloseCode, reason: String) {
        self.inbound = Inbound::Closed;
        // Where this side closed first, that is how it ended, and this is the answer.
        if !self.mailbox.is_shut() {
            self.mailbox.close_answer(code);
            self.end_with(Closed::new(code, reason, Cause::Client));
        }
    }

    fn violated(&mut self, violation: Violation) {
        self.inbound = Inbound::Garbage;
        self.mailbox.close(CloseRequest {
            code: CloseCode::from_wire(violation.code),
            reason: violation.reason,
            cause: Cause::Protocol,
        });
    }

    /// Reads once; ready when there is something new: bytes, or the stream's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.inbound, Inbound::Gone | Inbound::Closed) {
            return Poll::Pending;
        }
        let mut input = Input::pooled();
        let read = match &mut self.other {
            Some(stream) => poll_read_stream(stream, input.room(), cx),
            None => match self.mailbox.stream() {
                Some(stream) => poll_read_tcp(stream, input.room(), cx),
                None => Poll::Ready(Ok(0)),
            },
        };
        match read {
            Poll::Pending => {
                input.recycle();
                return Poll::Pending;
            }
            Poll::Ready(Ok(read)) if read > 0 => {
                input.fill(read);
                self.input = Some(input);
                self.clock.as_mut().heard();
            }
            Poll::Ready(_) => {
                input.recycle();
                self.lost();
            }
        }
        Poll::Ready(())
    }

    /// Reads ahead of a running hook, up to the bound; beyond it the peer feels that nothing is read.
    fn fill_backlog(&mut self, cx: &mut Context<'_>) {
        let bound = self.config().messages;
        loop {
            let waiting = self.backlog.as_deref();
            let paused =
                waiting.is_some_and(|waiting| bound.is_reached(waiting.queue.len(), waiting.bytes));
            self.clock.as_mut().pause(paused);
            if paused || self.end.is_some() {
                return;
            }
            if let Some(message) = self.decode() {
                self.backlog.get_or_insert_default().push(message);
            } else if self.end.is_some() || self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    /// Reads on, for the peer's close frame only.
    fn discard_messages(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.backlog = None;
        while self.decode().is_some() {}
        self.drop_input();
        if self.inbound == Inbound::Closed {
            return Poll::Pending;
        }
        self.poll_read(cx)
    }

    /// The stream ended without a close frame.
    fn lost(&mut self) {
        self.inbound = Inbound::Gone;
        if !self.mailbox.is_shut() {
            self.end_with(Closed::new(CloseCode::ABNORMAL, "", Cause::Lost));
        }
        self.mailbox.end();
    }

    fn drop_input(&mut self) {
        if let Some(input) = self.input.take() {
            input.recycle();
        }
    }

    /// Nothing borrowed from the thread survives a suspension.
    fn sleep(&mut self) {
        self.input = self.input.take().and_then(Input::park);
    }

    fn end_with(&mut self, closed: Closed) {
        self.end.get_or_insert_with(|| Box::new(closed));
    }
}

/// Writing and deadlines.
impl Connection {
    /// Writes what waits; `true` when nothing is left.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let (mailbox, other) = (&self.mailbox, &mut self.other);
        let (written, result) = match (other, mailbox.stream()) {
            (Some(stream), _) => {
                let flushed = mailbox
                    .poll_flush(|slices| Pin::new(&mut *stream).poll_write_vectored(cx, slices));
                // A stream with a buffer of its own has to be told.
                match Pin::new(stream).poll_flush(cx) {
                    Poll::Ready(Err(error)) => (0, Poll::Ready(Err(error))),
                    Poll::Ready(Ok(())) | Poll::Pending => flushed,
                }
            }
            (None, Some(stream)) => mailbox.poll_flush(|slices| poll_write_tcp(stream, slices, cx)),
            (None, None) => (0, Poll::Ready(Ok(()))),
        };
        if written > 0 || result.is_ready() {
            self.clock.as_mut().wrote();
        }
        match result {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(_)) => {
                self.lost();
                true
            }
            Poll::Pending => {
                self.clock.as_mut().stalls();
                false
            }
        }
    }

    /// Deals with the deadlines that have passed; `true` when one of them ended the connection.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let config = self.mailbox.config().clone();
        while let Poll::Ready(due) = self.clock.as_mut().poll(&config, cx) {
            self.passed(due);
            if self.end.is_some() {
                return true;
            }
            self.flush(cx);
        }
        false
    }

    /// As [`poll_clock`](Self::poll_clock), but `true` when the hook's time is up.
    fn poll_hook_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let config = self.mailbox.config().clone();
        while let Poll::Ready(due) = self.clock.as_mut().poll(&config, cx) {
            if due == Due::Hook {
                return true;
            }
            self.passed(due);
            self.flush(cx);
        }
        false
    }

    fn passed(&mut self, due: Due) {
        match due {
            Due::Ping => self.mailbox.ping(),
            Due::Silence => {
                self.end_with(Closed::new(
                    CloseCode::NO_PONG,
                    "no answer to a ping",
                    Cause::TimeOut,
                ));
                self.reset();
            }
            Due::Stall => {
                self.end_with(Closed::new(
                    CloseCode::ABNORMAL,
                    "nothing could be written",
                    Cause::TimeOut,
                ));
                self.reset();
            }
            Due::Close | Due::Hook => {}
        }
    }

    /// Ends the stream from this side, after both close frames.
    fn shut_down(&mut self, cx: &mut Context<'_>) {
        self.inbound = Inbound::Gone;
        if let Some(stream) = &mut self.other {
            // What a TLS or in-memory stream has to say at its end; nobody waits for it.
            let _ = Pin::new(stream).poll_shutdown(cx);
        } else if let Some(stream) = self.mailbox.stream() {
            let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Both);
        }
    }

    /// Gives the peer up: what the kernel still holds for it is dropped with the socket.
    fn reset(&mut self) {
        self.inbound = Inbound::Gone;
        self.mailbox.end();
        if let Some(stream) = self.mailbox.stream() {
            let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
            let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Both);
        }
        self.other = None;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.drop_input();
        self.mailbox.end();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("mailbox", &self.mailbox)
            .field("inbound", &self.inbound)
            .finish_non_exhaustive()
    }
}

impl Backlog {
    fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.queue.push_back(message);
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }
}

/// One `recv`. A read that does not fill the buffer has emptied the socket: the readiness is cleared with it, which saves the
/// call that would only say so.
fn poll_read_tcp(
    stream: &TcpStream,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let mut short = None;
        let result = stream.try_io(Interest::READABLE, || {
            let read = rustix::net::recv(stream, &mut *buffer, RecvFlags::DONTWAIT)?.0;
            if read > 0 && read < buffer.len() {
                short = Some(read);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        match (result, short) {
            (_, Some(read)) | (Ok(read), None) => return Poll::Ready(Ok(read)),
            (Err(error), None) if error.kind() == io::ErrorKind::WouldBlock => {}
            (Err(error), None) if error.kind() == io::ErrorKind::Interrupted => {}
            (Err(error), None) => return Poll::Ready(Err(error)),
        }
    }
}

fn poll_write_tcp(
    stream: &TcpStream,
    slices: &[IoSlice<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        let written = match slices {
            [only] => stream.try_write(only),
            several => stream.try_write_vectored(several),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_write_ready(cx))?
            }
            written => return Poll::Ready(written),
        }
    }
}

fn poll_read_stream(
    stream: &mut Box<dyn Duplex>,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
