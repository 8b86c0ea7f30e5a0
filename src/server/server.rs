//! [`Server`]: binds, serves, and stops in good order.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service;

use crate::error::{BoxError, Error};
use crate::router::Router;
use crate::service::{Body, Drain, Drained, Sockets};

use super::accept::Acceptor;
use super::activity::Timeouts;
#[cfg(unix)]
use super::descriptors;
use super::fallback::Fallback;
use super::http1::{App, serve};
use super::places::{Full, Places, refuse};
use super::{listen, signals};

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
    timeouts: Timeouts,
    max_header: usize,
    http_connections: Option<usize>,
    http_per_ip: Option<usize>,
    has_rfc_header_names: bool,
    drain: Drain,
}

enum Listener {
    Address(String),
    Bound(io::Result<TcpListener>),
}

impl Server {
    /// Will listen on this address, `host:port`; port 0 is any free one. Whether it can be had is
    /// known when it [listens](Self::listen) or serves.
    pub fn bind(address: impl fmt::Display) -> Self {
        Self::on(Listener::Address(address.to_string()))
    }

    /// Will accept from this listener.
    pub fn from_listener(listener: TcpListener) -> Self {
        Self::on(Listener::Bound(Ok(listener)))
    }

    /// Will accept from this listener of the standard library, such as one that a service manager
    /// handed over.
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
            timeouts: Timeouts {
                header: Duration::from_secs(10),
                keep_alive: Duration::from_secs(75),
                transfer: Duration::from_secs(10),
            },
            max_header: 16 * 1024,
            http_connections: None,
            http_per_ip: None,
            has_rfc_header_names: false,
            drain: Drain::new(),
        }
    }

    /// The routes. Default: nowhere; every path is the fallback's.
    pub fn router(mut self, router: Router) -> Self {
        self.router = router;
        self
    }

    /// Answers what is no WebSocket route: an `axum::Router`, or any other HTTP service. Default:
    /// 404.
    ///
    /// It cannot upgrade connections: WebSockets of axum's own need [axum's server](crate::service)
    /// around strait.
    ///
    /// The peer's address is an extension of the request, in axum
    /// `Extension<strait::handshake::Peer>`; axum's `ConnectInfo` is of axum's own server. The
    /// connection of a request whose handler panics is dropped; a layer of the service's own may
    /// answer 500 instead.
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

    /// How long a client may take to send a request's head, from its first byte to its last; for
    /// the first request, from connecting. A client that takes longer is closed without an answer.
    /// Default: 10 s.
    pub fn header_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.header = timeout.min(LONGEST);
        self
    }

    /// How long a connection may be idle between two requests of plain HTTP. Default: 75 s, longer
    /// than a proxy or load balancer commonly keeps an idle connection (nginx and AWS: 60 s): the
    /// end that closes first must be the one that sends requests, otherwise a request now and then
    /// meets a connection that is being closed, and becomes a 502.
    ///
    /// An idle connection ends earlier if its place is needed:
    /// [`http_connections`](Self::http_connections).
    pub fn keep_alive(mut self, timeout: Duration) -> Self {
        self.timeouts.keep_alive = timeout.min(LONGEST);
        self
    }

    /// How long plain HTTP may stand still on the client's side: without a byte of a request's body
    /// that the [fallback](Self::fallback) waits for, or without a byte of an answer taken. The
    /// connection is then closed, and the fallback's future dropped. Default: 10 s.
    ///
    /// The time that the fallback itself takes does not count. A client that sends or takes a byte
    /// now and then is not cut off, however slow it is: bound the whole of a request in the
    /// fallback, such as with a timeout layer. Until then it holds one of the
    /// [`http_connections`](Self::http_connections).
    pub fn transfer_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.transfer = timeout.min(LONGEST);
        self
    }

    /// The longest head of a request, in bytes; a longer one is answered 431. Memory: that much for
    /// each client that is sending its head; and for as long as a WebSocket lives, a copy of what
    /// its head really had, as [`Scope`](crate::Scope) shows it. Default: 16 KiB, enough for
    /// browsers with large cookies; most proxies allow 8 KiB.
    pub fn max_header(mut self, bytes: usize) -> Self {
        self.max_header = bytes;
        self
    }

    /// How many connections may speak HTTP at a time: from accepting until one has become a
    /// WebSocket, which then counts among the [`Limits`](crate::handshake::Limits) only, or has
    /// ended. At least 1.
    ///
    /// At the limit a new client takes the place of the connection that has waited longest for its
    /// own client (idle, or in the middle of a head, a body or an answer; of 64 that are looked
    /// at), if that is 250 ms or more. So clients that hold connections keep no handshake out. A
    /// connection whose request the program is working on is never ended for this; if there are
    /// only such ones, new clients wait to be accepted. A warning in the log says that the limit is
    /// reached, at most every 10 s.
    ///
    /// Memory for each: 12 KB when idle; in the worst case [`max_header`](Self::max_header) twice,
    /// for requests and for answers that the client does not take, and the piece of an answer's
    /// body that the fallback gave last. Default: a quarter of the limit of open files, at most
    /// 10,000.
    pub fn http_connections(mut self, limit: usize) -> Self {
        self.http_connections = Some(limit.max(1));
        self
    }

    /// How many of these connections one client may have; one more is answered 429 and closed. A
    /// client is what it is for [`Limits::per_ip`](crate::handshake::Limits::per_ip). A browser
    /// holds up to 6 for pages and one for each WebSocket that it is opening. At least 1. Memory:
    /// about 50 bytes for each client that is connected. Default: no limit.
    ///
    /// **Behind a proxy every client has the proxy's address**: do not set this there.
    pub fn http_per_ip(mut self, limit: usize) -> Self {
        self.http_per_ip = Some(limit.max(1));
        self
    }

    /// Whether the answers to handshakes have their header names as RFC 6455 prints them:
    /// `Upgrade`, `Connection`, `Sec-WebSocket-Accept`, and all others in title case. The case of a
    /// name means nothing in HTTP, but some devices compare names exactly. Answers of the
    /// [fallback](Self::fallback) are not changed. Default: `false`, lower case.
    ///
    /// Inside axum, or behind a proxy that speaks HTTP itself, the names are written there.
    pub fn rfc_header_names(mut self, enabled: bool) -> Self {
        self.has_rfc_header_names = enabled;
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
                timeouts: self.timeouts,
                max_header: self.max_header,
                has_rfc_header_names: self.has_rfc_header_names,
            },
            http_connections: self.http_connections,
            http_per_ip: self.http_per_ip,
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
    http_connections: Option<usize>,
    http_per_ip: Option<usize>,
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
            http_connections,
            http_per_ip,
            drain,
            local_addr,
        } = self;
        let http_connections = http_connections.unwrap_or_else(default_http_connections);
        let places = Places::new(http_connections, http_per_ip);
        #[cfg(unix)]
        descriptors::prepare(
            &listener,
            app.websockets.sockets().limits().max_connections(),
        );
        tracing::info!(%local_addr, "serving");
        let (stopping, is_stopping) = watch::channel(false);
        let (stop_accepting, stopped) = oneshot::channel();
        // A task of its own, since most programs await this in the runtime's main task, which is no
        // worker's: each connection would wake another thread. It ends with the sender, so also
        // where this future is dropped.
        let accepting = tokio::spawn(accept_all(
            listener,
            app.clone(),
            places,
            is_stopping,
            stopped,
        ));
        stop.await;
        drop(stop_accepting);
        let mut connections = accepting.await.unwrap_or_default();
        let _ = stopping.send(true);
        let drained = app.websockets.sockets().drain(drain).await;
        // Running requests have had the drain's time; those that still hang are dropped with the
        // set.
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

/// Serves every connection that comes, until the sender of `stopped` is dropped. Returns those that
/// are not over yet.
async fn accept_all(
    listener: TcpListener,
    app: App,
    places: Arc<Places>,
    is_stopping: watch::Receiver<bool>,
    mut stopped: oneshot::Receiver<()>,
) -> JoinSet<()> {
    let acceptor = Acceptor::new(listener);
    let mut connections = JoinSet::new();
    // A client that was accepted, and for which there is no place yet.
    let mut waiting = None;
    loop {
        tokio::select! {
            // In this order: where clients never cease to come, the others would have no turn.
            biased;
            _ = &mut stopped => return connections,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = acceptor.accept(), if waiting.is_none() => waiting = Some(accepted),
            () = sleep(NO_PLACE), if waiting.is_some() => {}
        }
        let Some((stream, peer)) = waiting.take() else {
            continue;
        };
        match places.take(peer.ip()) {
            Ok(place) => {
                connections.spawn(serve(app.clone(), stream, peer, place, is_stopping.clone()));
            }
            Err(Full::Connections) => waiting = Some((stream, peer)),
            Err(Full::PerIp) => refuse(stream),
        }
    }
}

/// As many as leave enough open files for WebSockets.
fn default_http_connections() -> usize {
    #[cfg(unix)]
    let files = descriptors::allowed() / 4;
    #[cfg(not(unix))]
    let files = u64::MAX;
    usize::try_from(files).map_or(HTTP_CONNECTIONS, |files| files.clamp(1, HTTP_CONNECTIONS))
}

/// The longest timeout, a year: added to the time of day, it must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// The bound of the default of [`Server::http_connections`].
const HTTP_CONNECTIONS: usize = 10_000;
/// The pause between two looks for a place, while a client that was accepted has none.
const NO_PLACE: Duration = Duration::from_millis(10);
/// The time that a request has left after the drain.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
