//! [`Transport`]: the stream that a session takes over after the handshake, and the slot through
//! which it does.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A stream after its 101, with the bytes that came behind the request.
pub(crate) struct Transport {
    pub(super) stream: Stream,
    pub(super) early: Bytes,
}

/// Plain TCP is shared with the fan-outs that write to it. Any other stream belongs to the session
/// alone.
pub(super) enum Stream {
    Tcp(TcpStream),
    Other(Box<dyn Duplex>),
}

/// A byte stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Transport {
    pub(crate) fn tcp(stream: TcpStream, early: Bytes) -> Self {
        Self {
            stream: Stream::Tcp(stream),
            early,
        }
    }

    pub(crate) fn other(stream: impl Duplex + 'static, early: Bytes) -> Self {
        Self {
            stream: Stream::Other(Box::new(stream)),
            early,
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The place where a service leaves the session that waits for the stream of a request. It travels
/// as an extension of the request, from the owner of the stream to the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct UpgradeSlot(Arc<Mutex<Option<oneshot::Sender<Transport>>>>);

impl UpgradeSlot {
    /// Leaves the session that waits for the stream. This is the service's side.
    pub(crate) fn expect(&self, session: oneshot::Sender<Transport>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }

    /// Returns the session that waits for the stream, if the request was a handshake that
    /// succeeded. This is the side of the stream's owner.
    pub(crate) fn take(&self) -> Option<oneshot::Sender<Transport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
