//! [`TestServer`]: a server on a free port of this machine.

use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::router::Router;
use crate::server::Server;
use crate::service::{Drained, Sockets};

/// Serves a router on a free loopback port, for tests with a real client. (Channels'
/// `ChannelsLiveServerTestCase`.)
///
/// Dropped, it stops accepting; [`stop`](Self::stop) drains as a real server does.
#[derive(Debug)]
pub struct TestServer {
    local_addr: SocketAddr,
    sockets: Sockets,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Drained>,
}

impl TestServer {
    /// Serves this router.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn spawn(router: Router) -> Result<Self, Error> {
        Self::serve(Server::bind("127.0.0.1:0").router(router)).await
    }

    /// Serves this server, which should be bound to port 0.
    ///
    /// # Errors
    ///
    /// As [`Server::listen`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is served.
    pub async fn serve(server: Server) -> Result<Self, Error> {
        let listening = server.listen().await?;
        let (stop, stopped) = oneshot::channel::<()>();
        Ok(Self {
            local_addr: listening.local_addr(),
            sockets: listening.sockets(),
            stop,
            serving: tokio::spawn(listening.serve_until(async {
                let _ = stopped.await;
            })),
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The `ws://` URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}/{}", self.local_addr, path.trim_start_matches('/'))
    }

    /// The connections.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Drains and stops.
    ///
    /// # Panics
    ///
    /// When the server's task panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the server goes on stopping.
    pub async fn stop(self) -> Drained {
        let _ = self.stop.send(());
        match self.serving.await {
            Ok(drained) => drained,
            Err(error) => panic!("the test server failed: {error}"),
        }
    }
}
