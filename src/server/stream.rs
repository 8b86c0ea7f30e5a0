//! [`HttpStream`]: a stream while it speaks HTTP. It tells the connection's [`Activity`] how
//! reading and writing go.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::header_names::HeaderNames;

/// A WebSocket is given the stream as it is, so that none of this is in its way.
pub(super) struct HttpStream<S> {
    stream: S,
    activity: Activity,
    header_names: Option<HeaderNames>,
}

impl<S> HttpStream<S> {
    pub(super) fn new(stream: S, activity: Activity, header_names: Option<HeaderNames>) -> Self {
        Self {
            stream,
            activity,
            header_names,
        }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(_) => self.activity.wrote(),
            Poll::Pending => self.activity.write_waits(),
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> HttpStream<S> {
    /// Writes of the head whose names are rewritten, if these bytes begin with it.
    fn poll_rewritten(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        let stream = Pin::new(&mut self.stream);
        self.header_names
            .as_ref()?
            .write(bytes, |head| stream.poll_write(cx, head))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buf) else {
            this.activity.read_waits();
            return Poll::Pending;
        };
        this.activity.read(buf.filled().len() - before);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = match this.poll_rewritten(cx, buf) {
            Some(result) => result,
            None => Pin::new(&mut this.stream).poll_write(cx, buf),
        };
        this.written(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A head is one piece.
        let first = bufs.iter().find(|buf| !buf.is_empty());
        let rewritten = first.and_then(|first| this.poll_rewritten(cx, first));
        let result = match rewritten {
            Some(result) => result,
            None => Pin::new(&mut this.stream).poll_write_vectored(cx, bufs),
        };
        this.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        if let Some(names) = &this.header_names {
            names.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
