//! One HTTP/1.1 connection, until it becomes a WebSocket or ends.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::scope::Peer;
use crate::service::{Body, WebSocketService};
use crate::session::{Transport, UpgradeSlot};
use crate::yield_now::yield_now;

use super::activity::{Activity, Cut, Deadline, InHand, Timeouts, Wait};
use super::bodies::{AnswerBody, RequestBody};
use super::fallback::Fallback;
use super::header_names::HeaderNames;
use super::places::Place;
use super::stream::HttpStream;

/// The parts that all connections share.
#[derive(Clone)]
pub(super) struct App {
    pub(super) websockets: WebSocketService,
    pub(super) fallback: Option<Fallback>,
    pub(super) timeouts: Timeouts,
    /// In bytes.
    pub(super) max_header: usize,
    pub(super) has_rfc_header_names: bool,
}

/// Serves requests until the connection ends, is handed to a session, or the server stops.
pub(super) async fn serve(
    app: App,
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    stopping: watch::Receiver<bool>,
) {
    serve_stream(app, stream, peer, place.activity(), stopping).await;
}

/// A stream that can be handed to a session.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn into_transport(self, early: Bytes) -> Transport;

    /// Drops what the kernel has not sent yet, which it would otherwise keep for minutes for a
    /// client that reads nothing.
    fn discard_unsent(&self) {}
}

impl Stream for TcpStream {
    fn into_transport(self, early: Bytes) -> Transport {
        Transport::tcp(self, early)
    }

    #[cfg(unix)]
    fn discard_unsent(&self) {
        let at_once = Some(std::time::Duration::ZERO);
        let _ = rustix::net::sockopt::set_socket_linger(self, at_once);
    }
}

/// hyper's upgrade is not used: after a 101 the stream is taken out of its connection and goes to
/// the session as it is. hyper's timeouts are not used either: the [`Deadline`] knows more than the
/// head.
pub(super) async fn serve_stream<S: Stream>(
    app: App,
    stream: S,
    peer: SocketAddr,
    activity: &Activity,
    mut stopping: watch::Receiver<bool>,
) {
    let (timeouts, max_header) = (app.timeouts, app.max_header);
    let header_names = app.has_rfc_header_names.then(HeaderNames::default);
    let upgrade_slot = UpgradeSlot::default();
    let site = Arc::new(Site {
        app,
        peer,
        upgrade_slot: upgrade_slot.clone(),
        activity: activity.clone(),
        header_names: header_names.clone(),
    });
    let service = service_fn(move |request| {
        let in_hand = site.activity.begin_request();
        site.clone()
            .answer(request, in_hand)
            .map(Ok::<_, Infallible>)
            .boxed()
    });
    let stream = HttpStream::new(stream, activity.clone(), header_names);
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(max_header)
        .max_buf_size(max_header.max(SMALLEST_BUFFER))
        .serve_connection(TokioIo::new(stream), service);
    let sleep = pin!(sleep_until(Instant::now() + timeouts.header));
    let mut deadline = Deadline::new(activity, timeouts, sleep);
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping).fuse());
    let served = deadline.within(poll_fn(|cx| {
        if stop.as_mut().poll(cx).is_ready() {
            // The request in hand is answered, and no other is read.
            Pin::new(&mut connection).graceful_shutdown();
        }
        if activity.is_turn_over() {
            // If requests never cease to wait, hyper wakes itself, and the I/O driver would have to
            // wait.
            yield_now(cx);
            return Poll::Pending;
        }
        connection.poll_without_shutdown(cx)
    }));
    let served = served.await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner();
    let cut = match (served, upgrade_slot.take()) {
        (Ok(Ok(())), Some(session)) => {
            return drop(session.send(stream.into_transport(parts.read_buf)));
        }
        (Ok(Ok(())), None) => close(stream, &mut deadline).await,
        // hyper has answered what is no HTTP.
        (Ok(Err(error)), _) if error.is_parse() => close(stream, &mut deadline).await,
        // A session whose answer could not be written learns of it when its sender is dropped.
        (Ok(Err(error)), _) => return tracing::debug!(%peer, %error, "an HTTP connection failed"),
        (Err(cut), _) => {
            if matches!(cut, Cut::TimedOut(Wait::Write) | Cut::Evicted(Wait::Write)) {
                stream.discard_unsent();
            }
            Err(cut)
        }
    };
    if let Err(cut) = cut {
        tracing::debug!(%peer, ?cut, "closed an HTTP connection");
    }
}

/// State that the requests of one connection share.
struct Site {
    app: App,
    peer: SocketAddr,
    upgrade_slot: UpgradeSlot,
    activity: Activity,
    header_names: Option<HeaderNames>,
}

impl Site {
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        in_hand: InHand,
    ) -> Response<AnswerBody> {
        request.extensions_mut().insert(Peer(self.peer));
        let websockets = &self.app.websockets;
        let resolution = websockets.resolve(request.uri().path());
        let answer = match &self.app.fallback {
            Some(fallback) if !resolution.is_for_routes(request.headers()) => {
                let request =
                    request.map(|body| Body::new(RequestBody::new(body, in_hand.clone())));
                fallback.call(request).await
            }
            _ => {
                // No body of a handshake is read.
                let (mut request, _) = request.into_parts();
                request.extensions.insert(self.upgrade_slot.clone());
                let answer = websockets.respond(request, resolution).await;
                if let Some(names) = &self.header_names {
                    names.rewrite_next().await;
                }
                answer
            }
        };
        answer.map(|body| AnswerBody::new(body, in_hand))
    }
}

/// The end of a plain HTTP connection: ours first, then what the client is still sending is read
/// and dropped for a moment. With unread bytes a closed socket is reset, which can overtake the
/// answer (a 413, say) on its way.
async fn close(mut stream: impl Stream, deadline: &mut Deadline<'_>) -> Result<(), Cut> {
    deadline.say_goodbye();
    deadline
        .within(async {
            if stream.shutdown().await.is_err() {
                return;
            }
            let mut dropped = vec![0; 8 * 1024];
            while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
        })
        .await
}

/// hyper takes no smaller one.
const SMALLEST_BUFFER: usize = 8 * 1024;
