//! [`Server`]: binds, serves, and stops in good order.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::Response;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use crate::error::BoxError;
use crate::error::Error;
use crate::router::Router;
use crate::service::Body;
use crate::service::Drain;
use crate::service::Drained;
use crate::service::Sockets;

use super::accept::Acceptor;
#[cfg(unix)]
use super::descriptors;
use super::fallback::Fallback;
use super::http1::App;
use super::http1::serve;
use super::listen;
use super::signals;

/// Serves a router, and optionally plain HTTP beside it on the same port.
///
/// ```no_run
/// use strait::Router;
/// use strait::Server;
///
/// # struct Echo;
/// # impl strait::Consumer for Echo {}
/// # async fn serve() -> Result<(), strait::Error> {
/// let pages = axum::Router::new().route("/", axum::routing::get(|| async { "hello" }));
/// Server::bind("127.0.0.1:8000")
///     .router(Router::new().path("ws/echo/", |_| Ok(Echo)))
///     .fallback(pages)
///     .serve()
///     .await
/// # }
/// ```
///
/// On SIGTERM or Ctrl-C it stops accepting, closes every socket with 1012
/// ([`Sockets::drain`](crate::service::Sockets::drain)) and runs every `disconnect`, answers the
/// requests in hand, and returns.
#[must_use = "a server does nothing until it serves"]
pub struct Server {
    listener: Listener,
    router: Router,
    fallback: Option<Fallback>,
    header_timeout: Duration,
    max_header: usize,
    drain: Drain,
}

enum Listener {
    Address(String),
    Bound(io::Result<TcpListener>),
}

impl Server {
    /// Will listen on this address, `host:port`; port 0 is any free one. Whether it can be had is known
    /// when it [listens](Self::listen) or serves.
    pub fn bind(address: impl fmt::Display) -> Self {
        Self::on(Listener::Address(address.to_string()))
    }

    /// Will accept from this listener.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::on(Listener::Bound(Ok(listener)))
    }

    /// Will accept from this listener of the standard library, such as one that a service manager handed
    /// over.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn from_std(listener: std::net::TcpListener) -> Self {
        let bound = listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::from_std(listener));
        Self::on(Listener::Bound(bound))
    }

    fn on(listener: Listener) -> Self {
        Self {
            listener,
            router: Router::new(),
            fallback: None,
            header_timeout: Duration::from_secs(10),
            max_header: 64 * 1024,
            drain: Drain::new(),
        }
    }

    /// Where URLs lead. Default: nowhere; every path is the fallback's.
    pub fn router(mut self, router: Router) -> Self {
        self.router = router;
        self
    }

    /// Answers what is no WebSocket route: an `axum::Router`, or any other HTTP service. Default: 404.
    ///
    /// It cannot upgrade connections: WebSockets of axum's own need [axum's server](crate::service) around strait.
    ///
    /// The peer's address is an extension of the request, in axum `Extension<strait::handshake::Peer>`; axum's
    /// `ConnectInfo` is of axum's own server. The connection of a request whose handler panics is dropped; a layer of
    /// the service's own may answer 500 instead.
    pub fn fallback<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.fallback = Some(Fallback::new(service));
        self
    }

    /// How long a client may take to send a request's head; one that sends nothing is closed, too.
    /// Default: 10 s.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        // hyper adds it to the time of day, which has an end.
        self.header_timeout = timeout.min(Duration::from_secs(365 * 86_400));
        self
    }

    /// The longest head of a request, in bytes; a longer one is answered 431. It is looked at after each read, so that one
    /// read more may pass. Memory: that much for each client that is sending its head; what the scope keeps of it, for as
    /// long as the connection lives. At least 8 KiB. Default: 64 KiB.
    pub fn max_header(mut self, bytes: usize) -> Self {
        // Less is refused by hyper.
        self.max_header = bytes.max(8 * 1024);
        self
    }

    /// How connections are ended when the server stops. Default: [`Drain::new`].
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    /// Binds the address, and says which it is.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or the routes do not make a table.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is bound.
    pub async fn listen(self) -> Result<Listening, Error> {
        let listener = match self.listener {
            Listener::Address(address) => listen::on(&address)
                .await
                .map_err(|source| Error::io(format!("listen on {address}"), source))?,
            Listener::Bound(bound) => {
                bound.map_err(|source| Error::io("use the listener", source))?
            }
        };
        let local_addr = listener.local_addr();
        let (websockets, _) = self.router.try_into_service()?;
        Ok(Listening {
            local_addr: local_addr.map_err(|source| Error::io("use the listener", source))?,
            listener,
            app: App {
                websockets,
                fallback: self.fallback,
                header_timeout: self.header_timeout,
                max_header: self.max_header,
            },
            drain: self.drain,
        })
    }

    /// Serves until SIGTERM or Ctrl-C, then drains.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops accepting; open WebSockets stay open.
    pub async fn serve(self) -> Result<(), Error> {
        self.listen().await?.serve().await;
        Ok(())
    }

    /// Serves until the future completes, then drains.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> Result<Drained, Error> {
        Ok(self.listen().await?.serve_until(stop).await)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("router", &self.router)
            .finish_non_exhaustive()
    }
}

/// A server that is bound: clients can connect, and are served once it serves.
#[must_use = "a server does nothing until it serves"]
pub struct Listening {
    listener: TcpListener,
    local_addr: SocketAddr,
    app: App,
    drain: Drain,
}

impl Listening {
    /// The address it listens on, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The handle that counts and drains its connections.
    #[must_use]
    pub fn sockets(&self) -> Sockets {
        self.app.websockets.sockets().clone()
    }

    /// Serves until SIGTERM or Ctrl-C, then drains.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops accepting; open WebSockets stay open.
    pub async fn serve(self) {
        let drained = self.serve_until(signals::shutdown_signal()).await;
        tracing::info!(
            closed = drained.closed,
            abandoned = drained.abandoned,
            "stopped"
        );
    }

    /// Serves until the future completes, then drains.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it stops accepting; open WebSockets stay open.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) -> Drained {
        let Self {
            listener,
            app,
            drain,
            local_addr,
        } = self;
        #[cfg(unix)]
        descriptors::prepare(
            &listener,
            app.websockets.sockets().limits().max_connections(),
        );
        tracing::info!(%local_addr, "serving");
        let (stopping, is_stopping) = watch::channel(false);
        let (stop_accepting, stopped) = oneshot::channel();
        // A task of its own, since most programs await this in the runtime's main task, which is no worker's: each connection would
        // wake another thread. It ends with the sender, so also where this future is dropped.
        let accepting = tokio::spawn(accept_all(listener, app.clone(), is_stopping, stopped));
        stop.await;
        drop(stop_accepting);
        let mut connections = accepting.await.unwrap_or_default();
        let _ = stopping.send(true);
        let drained = app.websockets.sockets().drain(drain).await;
        // Requests in hand have had the drain's time; what still hangs is dropped with the set.
        let _ = timeout(LAST_REQUESTS, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
        drained
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listening")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// Serves every connection that comes, until the sender of `stopped` is dropped. Returns those that are not over yet.
async fn accept_all(
    listener: TcpListener,
    app: App,
    is_stopping: watch::Receiver<bool>,
    mut stopped: oneshot::Receiver<()>,
) -> JoinSet<()> {
    let mut acceptor = Acceptor::new(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // In this order: where clients never cease to come, the others would have no turn.
            biased;
            _ = &mut stopped => return connections,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, peer) = acceptor.accept() => {
                connections.spawn(serve(app.clone(), stream, peer, is_stopping.clone()));
            }
        }
    }
}

/// What a request may still take after the drain.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
