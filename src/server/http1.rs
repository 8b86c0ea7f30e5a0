//! One HTTP/1.1 connection, until it becomes a WebSocket or ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use futures::future::select;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower_service::Service;

use crate::scope::Peer;
use crate::service::Body;
use crate::service::WebSocketService;
use crate::session::Handover;
use crate::session::Transport;

use super::fallback::Fallback;

/// What serves every connection.
#[derive(Clone)]
pub(super) struct App {
    pub(super) websockets: WebSocketService,
    pub(super) fallback: Option<Fallback>,
    pub(super) header_timeout: Duration,
}

/// Serves requests until the connection ends, is handed to a session, or the server stops.
///
/// hyper's upgrade is not used: after a 101 the stream is taken out of its connection and goes to
/// the session as it is.
pub(super) async fn serve(
    app: App,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    let handover = Handover::default();
    let header_timeout = app.header_timeout;
    let service = service_fn({
        let handover = handover.clone();
        move |request| answer(app.clone(), handover.clone(), peer, request).boxed()
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let stopped = {
        let served = pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
        let stop = pin!(stopping.wait_for(|stopping| *stopping));
        match select(served, stop).await {
            Either::Left((result, _)) => {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "an HTTP connection failed");
                    return;
                }
                false
            }
            Either::Right(_) => true,
        }
    };
    if stopped {
        // The request in hand is answered, and no other is read.
        std::pin::Pin::new(&mut connection).graceful_shutdown();
        if poll_fn(|cx| connection.poll_without_shutdown(cx))
            .await
            .is_err()
        {
            return;
        }
    }
    let parts = connection.into_parts();
    match handover.take() {
        Some(session) => drop(session.send(Transport::tcp(parts.io.into_inner(), parts.read_buf))),
        None => close(&parts.io.into_inner()),
    }
}

async fn answer(
    mut app: App,
    handover: Handover,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(Peer(peer));
    if app.websockets.has_route(request.uri().path()) {
        request.extensions_mut().insert(handover);
        return app.websockets.call(request).await;
    }
    if let Some(fallback) = app.fallback {
        return Ok(fallback.call(request.map(Body::new)).await);
    }
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

/// The end of a plain HTTP connection.
fn close(stream: &TcpStream) {
    let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
}

/// The longest head of a request, in bytes; a longer one is answered 431.
const MAX_HEAD: usize = 64 * 1024;
