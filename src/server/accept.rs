//! [`Acceptor`]: a listener that goes on accepting, whatever goes wrong with one connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::sleep;

/// A listener, and what it remembers of its troubles.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// When a failure was last told.
    told: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            told: None,
        }
    }

    /// The next connection.
    ///
    /// Out of descriptors or memory, it waits a moment and tries again: clients wait in the kernel's queue meanwhile, and are
    /// served when others have left. A client that is gone before it was accepted is nobody's trouble.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, no connection is lost.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Frames are written whole: waiting for more would only delay them.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    self.tell(&error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// At most every few seconds, since it may go on for long.
    fn tell(&mut self, error: &io::Error) {
        if self.told.is_some_and(|told| told.elapsed() < TOLD) {
            return;
        }
        self.told = Some(Instant::now());
        tracing::warn!(
            %error,
            "cannot accept connections: clients wait until others leave. If it is about open files, allow more (`ulimit -n`, \
             LimitNOFILE) or set Limits::connections below it"
        );
    }
}

/// What Linux reports of a connection that failed while it waited.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Long enough not to spin, short enough that nobody notices the first one.
const PAUSE: Duration = Duration::from_millis(50);
/// How often trouble is told.
const TOLD: Duration = Duration::from_secs(10);
