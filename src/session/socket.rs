//! [`Socket`]: the byte stream of a connection, plain TCP or another kind.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::mailbox::{Mailbox, try_send};

use super::transport::{Duplex, Stream};

/// A TCP stream, or another stream. The TCP stream is in the mailbox, so that fan-outs can write to
/// it; another stream belongs to the session.
pub(super) struct Socket {
    mailbox: Arc<Mailbox>,
    other: Option<Box<dyn Duplex>>,
    /// A write has failed: nothing more goes out. Bytes that the peer sent before are still read.
    is_broken: bool,
}

impl Socket {
    /// Opens the mailbox: from now on frames go out.
    pub(super) fn new(mailbox: Arc<Mailbox>, stream: Stream) -> Self {
        let (tcp, other) = match stream {
            Stream::Tcp(stream) => (Some(stream), None),
            Stream::Other(stream) => (None, Some(stream)),
        };
        mailbox.open(tcp);
        Self {
            mailbox,
            other,
            is_broken: false,
        }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Ready if a read is worth a buffer; otherwise the task is woken when it is. A stream that is
    /// not TCP is always ready.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.mailbox.stream() {
            Some(stream) => stream.poll_read_ready(cx).map(drop),
            None => Poll::Ready(()),
        }
    }

    /// Reads once. Returns 0 at the end of the stream.
    pub(super) fn poll_read(
        &mut self,
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(stream) = &mut self.other {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            return Poll::Ready(Ok(buffer.filled().len()));
        }
        match self.mailbox.stream() {
            Some(stream) => poll_read_tcp(stream, buffer, cx),
            None => Poll::Ready(Ok(0)),
        }
    }

    /// Whether a write has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Writes the queued data of the mailbox. Returns how much that was, and whether it was all. If
    /// a write fails, queued data is dropped from then on.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> (usize, Poll<()>) {
        if !self.is_broken {
            match self.poll_write(cx) {
                (written, Poll::Pending) => return (written, Poll::Pending),
                (written, Poll::Ready(Ok(()))) => return (written, Poll::Ready(())),
                (_, Poll::Ready(Err(_))) => {
                    self.is_broken = true;
                    // While reading rests, the end is found at the next look only.
                    cx.waker().wake_by_ref();
                }
            }
        }
        self.mailbox.discard_output();
        (0, Poll::Ready(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> (usize, Poll<io::Result<()>>) {
        if let Some(stream) = &mut self.other {
            let mut stream = Pin::new(stream);
            let written = self
                .mailbox
                .poll_flush(|slices| stream.as_mut().poll_write_vectored(cx, slices));
            // A stream with a buffer of its own must be flushed.
            return match stream.poll_flush(cx) {
                Poll::Ready(Err(error)) => (0, Poll::Ready(Err(error))),
                Poll::Ready(Ok(())) | Poll::Pending => written,
            };
        }
        match self.mailbox.stream() {
            Some(stream) => {
                let write = |slices: &[IoSlice<'_>]| poll_write_tcp(stream, slices, cx);
                self.mailbox.poll_flush(write)
            }
            None => (0, Poll::Ready(Ok(()))),
        }
    }

    /// Ends the stream in both directions.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = &mut self.other {
            // A stream with layers of its own may write something at its end. Nothing waits for
            // that.
            let _ = Pin::new(stream).poll_shutdown(cx);
        } else if let Some(stream) = self.mailbox.stream() {
            let _ = shutdown(stream, Shutdown::Both);
        }
    }

    /// Ends this side's half of the stream. Reading goes on: a TCP stream that is closed with
    /// something unread is reset, and the reset may overtake the close frame.
    pub(super) fn end_output(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = &mut self.other {
            let _ = Pin::new(stream).poll_shutdown(cx);
        } else if let Some(stream) = self.mailbox.stream() {
            let _ = shutdown(stream, Shutdown::Write);
        }
    }

    /// Gives the peer up: data that the kernel still holds for it is dropped with the socket.
    pub(super) fn reset(&mut self) {
        if let Some(stream) = self.mailbox.stream() {
            let _ = set_socket_linger(stream, Some(Duration::ZERO));
            let _ = shutdown(stream, Shutdown::Both);
        }
        self.other = None;
    }
}

/// Calls `recv` once. A read that does not fill the buffer has emptied the socket. The readiness is
/// cleared with it, which saves a call that would return `WouldBlock`.
fn poll_read_tcp(
    stream: &TcpStream,
    buffer: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        let mut short = None;
        let result = stream.try_io(Interest::READABLE, || {
            let (read, _) = recv(stream, &mut *buffer, RecvFlags::DONTWAIT)?;
            if read > 0 && read < buffer.len() {
                short = Some(read);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(read)
        });
        if let Some(read) = short {
            return Poll::Ready(Ok(read));
        }
        match result.map_err(|error| (error.kind(), error)) {
            Err((io::ErrorKind::WouldBlock, _)) => ready!(stream.poll_read_ready(cx))?,
            Err((io::ErrorKind::Interrupted, _)) => {}
            Err((_, error)) => return Poll::Ready(Err(error)),
            Ok(read) => return Poll::Ready(Ok(read)),
        }
    }
}

/// Writes to the descriptor directly first. tokio's readiness is asked only if the kernel takes
/// nothing.
fn poll_write_tcp(
    stream: &TcpStream,
    slices: &[IoSlice<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        match try_send(stream, only) {
            Ok(0) => {}
            written => return Poll::Ready(written),
        }
    }
    loop {
        let written = match slices {
            [only] => stream.try_write(only),
            several => stream.try_write_vectored(several),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_write_ready(cx))?;
            }
            written => return Poll::Ready(written),
        }
    }
}
