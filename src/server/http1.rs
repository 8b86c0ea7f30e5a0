//! One HTTP/1.1 connection, until it becomes a WebSocket or ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Either;
use futures::future::select;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
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
    /// In bytes.
    pub(super) max_header: usize,
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
    let (header_timeout, max_header) = (app.header_timeout, app.max_header);
    let service = service_fn({
        let handover = handover.clone();
        move |request| answer(app.clone(), handover.clone(), peer, request).boxed()
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(max_header)
        .serve_connection(TokioIo::new(stream), service);
    let stop = async {
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let serving = pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
    let served = match select(serving, pin!(stop)).await {
        Either::Left((served, _)) => served,
        Either::Right(_) => {
            // The request in hand is answered, and no other is read.
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|cx| connection.poll_without_shutdown(cx)).await
        }
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    match (served, handover.take()) {
        (Ok(()), Some(session)) => drop(session.send(Transport::tcp(stream, parts.read_buf))),
        // A session whose answer could not be written learns of it when its sender is dropped.
        (Err(error), _) => tracing::debug!(%peer, %error, "an HTTP connection failed"),
        (Ok(()), None) => close(stream).await,
    }
}

async fn answer(
    mut app: App,
    handover: Handover,
    peer: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(Peer(peer));
    if app.websockets.is_for_routes(&request) {
        request.extensions_mut().insert(handover);
        return app.websockets.call(request).await;
    }
    match app.fallback {
        Some(fallback) => Ok(fallback.call(request.map(Body::new)).await),
        None => app.websockets.call(request).await,
    }
}

/// The end of a plain HTTP connection: ours first, then what the client is still sending is read and dropped for a moment. With unread
/// bytes a closed socket is reset, which can overtake the answer (a 413, say) on its way.
async fn close(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut dropped = vec![0; 8 * 1024];
    let drain = async { while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(LINGER, drain).await;
}

/// How long a client may still send after its last answer.
const LINGER: Duration = Duration::from_secs(1);
