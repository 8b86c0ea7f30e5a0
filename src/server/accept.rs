//! [`Acceptor`]: a listener that goes on accepting, whatever goes wrong with one connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::sampler::{LogSampler, sampled};

/// A listener, and the sampler of its failures.
pub(super) struct Acceptor {
    listener: TcpListener,
    log: LogSampler,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            log: LogSampler::of_condition(),
        }
    }

    /// The next connection.
    ///
    /// Out of descriptors or memory, it waits a moment and tries again: clients wait in the
    /// kernel's queue meanwhile, and are served when others have left. A client that is gone before
    /// it was accepted is nobody's trouble.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, no connection is lost.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
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
                    sampled!(
                        self.log,
                        warn,
                        "accept_failed",
                        %error,
                        "cannot accept connections: clients wait until others leave. If it is about open files, allow more \
                         (`ulimit -n`, LimitNOFILE) or set Limits::connections below it"
                    );
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Errors that Linux reports for a connection that failed while it waited.
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
