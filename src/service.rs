//! The router as a `tower` service: it takes an HTTP request, and starts a session or answers.
//!
//! [`Server`](crate::Server) is the short way. This module is for programs that have a server
//! already:
//!
//! ```no_run
//! use strait::{Consumer, Context, Message, Router};
//!
//! struct Echo;
//! impl Consumer for Echo {
//!     async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
//!         Ok(ctx.send(message).await?)
//!     }
//! }
//!
//! # async fn serve() -> std::io::Result<()> {
//! let (websockets, sockets) = Router::new().path("ws/echo/", |_| Ok(Echo)).into_service();
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(|| async { "hello" }))
//!     .route_service("/ws/{*rest}", websockets);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         strait::server::shutdown_signal().await;
//!         sockets.drain(strait::service::Drain::new()).await;
//!     })
//!     .await
//! # }
//! ```
//!
//! While the drain runs, axum goes on accepting HTTP; only handshakes are answered 503. It stops
//! when the drain has ended.
//!
//! # The client's address
//!
//! Only axum has it. [`Scope::peer`] and [`Limits::per_ip`](crate::handshake::Limits::per_ip) see
//! it if a middleware puts it on the request:
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::extract::{ConnectInfo, Request};
//! use axum::middleware::{self, Next};
//! use axum::response::Response;
//! use strait::Router;
//! use strait::handshake::{Limits, Peer};
//!
//! async fn peer(ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request, next: Next) -> Response {
//!     request.extensions_mut().insert(Peer(address));
//!     next.run(request).await
//! }
//!
//! # struct Echo;
//! # impl strait::Consumer for Echo {}
//! # async fn serve() -> std::io::Result<()> {
//! let limits = Limits::new().connections(50_000).per_ip(100);
//! let (websockets, _sockets) = Router::new().path("ws/echo/", |_| Ok(Echo)).limits(limits).into_service();
//! let app = axum::Router::new().route_service("/ws/{*rest}", websockets).layer(middleware::from_fn(peer));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
//! # }
//! ```

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower_service::Service;

use crate::consumer::{Consumer, DynConsumer};
use crate::error::{BoxError, Error, chain, excerpt};
use crate::handshake::{Opening, Refusal, Reject, agree_on_extensions, switching_protocols};
use crate::metrics::{describe, handshake_refused};
use crate::router::{Router, Routes, Settled};
use crate::sampler::{LogSampler, sampled};
use crate::scope::{Peer, Scope, decode_path};
use crate::session::{Admission, Transport, UpgradeSlot, open};
use crate::urls::Params;

pub use crate::session::{Drain, Drained, Sockets};

/// A router that serves. Made by [`Router::into_service`]; a clone serves the same.
///
/// Any request is answered: a handshake with 101 and a session, an unknown path with 404, another
/// request to a known path with 426, a refused one as its [`Reject`] says. The answer to a refused
/// upgrade has `Connection: close`. It is mounted where its routes' paths arrive: under axum's
/// `route_service` or `fallback_service` they arrive whole, under `nest_service` without the
/// prefix.
#[derive(Clone)]
pub struct WebSocketService {
    routes: Arc<Routes>,
    sockets: Sockets,
}

impl Router {
    /// Returns the router as a service, for axum or hyper, and the handle that counts and drains
    /// its connections.
    ///
    /// # Panics
    ///
    /// If the patterns together are too large to compile; the panic is at the caller's line. See
    /// [`try_into_service`](Self::try_into_service).
    #[track_caller]
    #[must_use]
    pub fn into_service(self) -> (WebSocketService, Sockets) {
        match self.try_into_service() {
            Ok(pair) => pair,
            Err(error) => panic!("{error}"),
        }
    }

    /// [`into_service`](Self::into_service) for routes that are not the program's own.
    ///
    /// # Errors
    ///
    /// If the patterns together are too large to compile.
    pub fn try_into_service(self) -> Result<(WebSocketService, Sockets), Error> {
        describe();
        let sockets = Sockets::new(self.service_limits());
        let service = WebSocketService {
            routes: Arc::new(self.build()?),
            sockets: sockets.clone(),
        };
        Ok((service, sockets))
    }
}

/// Returns one consumer as a service for any path, for requests that another router has matched
/// already.
///
/// The scope has no route parameters. Those of the other router travel in the request's extensions
/// ([`Scope::extension`]) or in the path. State, limits, origins and a channel layer that others
/// publish on belong to a router:
/// `Router::new().re_path("(?s).*", factory).channel_layer(layer).into_service()` is the same with
/// a layer.
pub fn endpoint<F, C, E>(factory: F) -> (WebSocketService, Sockets)
where
    F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    // `(?s)`: a decoded path may hold a line break.
    Router::new().re_path("(?s).*", factory).into_service()
}

/// The route of a path, if there is one.
pub(crate) enum Resolution {
    Route {
        route: Arc<Settled>,
        params: Params,
        /// The path percent-decoded; `None` if that changes nothing.
        decoded: Option<String>,
    },
    NotFound,
    /// The path is not UTF-8.
    Malformed,
}

impl Resolution {
    /// Whether the request is for the routes, not for the fallback. That is decided by its path. If
    /// the path is not UTF-8, handshakes are for the routes.
    pub(crate) fn is_for_routes(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Route { .. } => true,
            Self::NotFound => false,
            Self::Malformed => headers.contains_key(header::UPGRADE),
        }
    }
}

impl WebSocketService {
    /// Decodes a path and finds its route.
    pub(crate) fn resolve(&self, raw_path: &str) -> Resolution {
        let Some(path) = decode_path(raw_path) else {
            return Resolution::Malformed;
        };
        let Some((route, params)) = self.routes.find(&path) else {
            return Resolution::NotFound;
        };
        Resolution::Route {
            route: route.clone(),
            params,
            decoded: match path {
                Cow::Borrowed(_) => None,
                Cow::Owned(path) => Some(path),
            },
        }
    }

    /// Answers a request whose path was [resolved](Self::resolve).
    pub(crate) fn respond(
        &self,
        mut request: Parts,
        resolution: Resolution,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let stream = StreamSource::take(&mut request);
        self.clone().answer(request, resolution, stream)
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Answers a request, whose stream the session takes over if this is a handshake that succeeds.
    async fn answer(
        self,
        mut request: Parts,
        resolution: Resolution,
        stream: StreamSource,
    ) -> Response<Body> {
        let mut response = match self.handshake(&mut request, resolution, stream).await {
            Ok(response) => response,
            Err(reject) => refuse(reject),
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            handshake_refused(response.status());
            self.log_refusal(request.uri.path(), response.status());
            if request.headers.contains_key(header::UPGRADE) {
                // A client that wanted a WebSocket has no other use for the connection, and some
                // would wait on it.
                let close = HeaderValue::from_static("close");
                response.headers_mut().append(header::CONNECTION, close);
            }
        }
        response
    }

    /// Logs a refusal at debug level, for a developer whose client does not connect. The most
    /// common reason has a line of its own.
    fn log_refusal(&self, path: &str, status: StatusCode) {
        let status = status.as_u16();
        if tracing::enabled!(tracing::Level::DEBUG)
            && status == 404
            && matches!(self.resolve(&format!("{path}/")), Resolution::Route { .. })
        {
            tracing::debug!(
                path,
                status,
                "no route for this path; there is one with a slash at its end"
            );
        } else {
            tracing::debug!(path, status, "refused a handshake");
        }
    }

    async fn handshake(
        &self,
        request: &mut Parts,
        resolution: Resolution,
        stream: StreamSource,
    ) -> Result<Response<Body>, Reject> {
        let (route, params, decoded) = match resolution {
            Resolution::Route {
                route,
                params,
                decoded,
            } => (route, params, decoded),
            Resolution::NotFound => return Err(Reject::not_found()),
            Resolution::Malformed => {
                return Err(Reject::status(StatusCode::BAD_REQUEST).body("the path is not UTF-8"));
            }
        };
        // A copy, since the scope takes the request's extensions while it borrows the path.
        let uri = request.uri.clone();
        let path = decoded.as_deref().unwrap_or_else(|| uri.path());
        let opening = Opening::parse(request)?;
        let (extensions, extensions_answer) =
            agree_on_extensions(&request.headers, route.terms.config())?;
        route
            .origins
            .check(path, &request.headers, route.terms.log())?;
        if matches!(stream, StreamSource::Unavailable) {
            return Err(no_upgrade(path, route.terms.log()));
        }
        // Nothing before this counts against the limits, and no code of the application runs before
        // it.
        let address = request
            .extensions
            .get::<Peer>()
            .map(|Peer(address)| address.ip());
        let guard = self.sockets.admit(address).ok_or_else(restarting)??;
        let scope = Scope::new(request, path, params, route.mount.clone());
        let consumer = admit(&route, &scope).await?;
        let admission = Admission {
            consumer,
            scope,
            layer: route.layer.clone(),
            terms: route.terms.clone(),
            extensions,
            guard,
        };
        let session = open(admission).ok_or_else(restarting)?;
        match session.answer.await {
            Ok(Ok(mut headers)) => {
                if let Some(answer) = extensions_answer {
                    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, answer);
                }
                stream.hand_to(session.stream);
                Ok(switching_protocols(opening, headers))
            }
            Ok(Err(Refusal::Http {
                status,
                headers,
                body,
            })) => Ok(plain(status, headers, body)),
            // The session's task is gone, which happens only at the end of the runtime.
            Ok(Err(Refusal::AfterAccept(..))) | Err(_) => Err(restarting()),
        }
    }
}

impl From<Router> for WebSocketService {
    /// # Panics
    ///
    /// As [`Router::into_service`].
    fn from(router: Router) -> Self {
        router.into_service().0
    }
}

impl From<&Self> for WebSocketService {
    fn from(service: &Self) -> Self {
        service.clone()
    }
}

impl<B> Service<Request<B>> for WebSocketService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let resolution = self.resolve(request.uri().path());
        let (request, _body) = request.into_parts();
        Box::pin(self.respond(request, resolution).map(Ok))
    }
}

impl fmt::Debug for WebSocketService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketService")
            .field("routes", &self.routes)
            .field("sockets", &self.sockets)
            .finish()
    }
}

/// The source of the stream after the 101.
enum StreamSource {
    /// From strait's own server, or from a test.
    Slot(UpgradeSlot),
    /// From hyper's upgrade, within another server.
    Upgrade(OnUpgrade),
    /// This request cannot be upgraded: HTTP/1.0, or a server without upgrades.
    Unavailable,
}

impl StreamSource {
    fn take(request: &mut Parts) -> Self {
        // Both are taken out, whichever is used: the extensions stay with the connection.
        let slot = request.extensions.remove::<UpgradeSlot>();
        let upgrade = request.extensions.remove::<OnUpgrade>();
        match (slot, upgrade) {
            (Some(slot), _) => Self::Slot(slot),
            (None, Some(upgrade)) => Self::Upgrade(upgrade),
            (None, None) => Self::Unavailable,
        }
    }

    fn hand_to(self, session: oneshot::Sender<Transport>) {
        match self {
            Self::Slot(slot) => slot.expect(session),
            Self::Upgrade(upgrade) => drop(tokio::spawn(async move {
                if let Ok(upgraded) = upgrade.await {
                    // The session may have given up waiting; then the stream ends here.
                    let _ = session.send(transport(upgraded));
                }
            })),
            Self::Unavailable => {}
        }
    }
}

/// Returns plain TCP if the stream is that, as under axum; otherwise a stream of another kind.
fn transport(upgraded: Upgraded) -> Transport {
    match downcast::<TokioIo<TcpStream>>(upgraded) {
        Ok(parts) => Transport::tcp(parts.io.into_inner(), parts.read_buf),
        Err(upgraded) => Transport::other(TokioIo::new(upgraded), Bytes::new()),
    }
}

fn refuse(reject: Reject) -> Response<Body> {
    match reject.into_refusal() {
        Refusal::Http {
            status,
            headers,
            body,
        } => plain(status, headers, body),
        // A check or factory has no stream to close. It answers 403, as Channels does.
        Refusal::AfterAccept(..) => plain(StatusCode::FORBIDDEN, HeaderMap::new(), String::new()),
    }
}

fn plain(status: StatusCode, headers: HeaderMap, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn restarting() -> Reject {
    let retry = HeaderValue::from_static("1");
    Reject::status(StatusCode::SERVICE_UNAVAILABLE)
        .header(header::RETRY_AFTER, retry)
        .body("the server is restarting")
}

fn no_upgrade(path: &str, log: &LogSampler) -> Reject {
    sampled!(
        log,
        error,
        "no_upgrade",
        path = &*excerpt(path),
        "refused a connection: the server in front hands over no upgraded connections"
    );
    Reject::status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Runs the checks and the factory within `connect_timeout`, which `connect` then has for itself.
async fn admit(route: &Settled, scope: &Scope) -> Result<Box<dyn DynConsumer>, Reject> {
    let (log, limit) = (route.terms.log(), route.terms.config().connect_timeout);
    let admitted = AssertUnwindSafe(route.admit(scope)).catch_unwind();
    let reject = match timeout(limit, admitted).await {
        Ok(Ok(Ok(consumer))) => return Ok(consumer),
        Ok(Ok(Err(reject))) => {
            if let Some(error) = reject.error() {
                sampled!(
                    log,
                    error,
                    "check_failed",
                    path = &*excerpt(scope.path()),
                    route = scope.route(),
                    error = chain(&**error),
                    "a check or factory failed; refused the connection"
                );
            }
            reject
        }
        Ok(Err(_)) => {
            sampled!(
                log,
                error,
                "check_panicked",
                path = &*excerpt(scope.path()),
                route = scope.route(),
                "a check or factory panicked; refused the connection"
            );
            Reject::status(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => {
            sampled!(
                log,
                warn,
                "check_timed_out",
                path = &*excerpt(scope.path()),
                route = scope.route(),
                "the checks took too long and were dropped; refused the connection"
            );
            Reject::unavailable()
        }
    };
    Err(reject)
}

/// The body of a response, and of the requests that reach a [fallback](crate::Server::fallback).
pub struct Body(Inner);

enum Inner {
    Full(Full<Bytes>),
    /// A fallback's.
    Boxed(UnsyncBoxBody<Bytes, BoxError>),
}

impl Body {
    /// Wraps the body of another service.
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Inner::Boxed(body.map_err(Into::into).boxed_unsync()))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self(Inner::Full(Full::default()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Inner::Full(Full::from(text)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Inner::Full(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Inner::Boxed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(body) => body.is_end_stream(),
            Inner::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(body) => body.size_hint(),
            Inner::Boxed(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}
