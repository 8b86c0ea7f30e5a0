//! [`Stage`]: serves connections over pipes; and [`Client`], the other end of one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::consumer::Consumer;
use crate::router::Router;
use crate::session::Transport;

use crate::server::activity::Timeouts;
use crate::server::fallback::Fallback;
use crate::server::http1::{App, Stream, serve_stream};
use crate::server::places::Places;

impl Stream for DuplexStream {
    fn into_transport(self, early: Bytes) -> Transport {
        Transport::other(self, early)
    }
}

pub(super) struct Echo;

impl Consumer for Echo {}

pub(super) struct Stage {
    pub(super) app: App,
    pub(super) places: Arc<Places>,
    pub(super) stop: watch::Sender<bool>,
}

pub(super) const HEADER: Duration = Duration::from_secs(10);
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
pub(super) const TRANSFER: Duration = Duration::from_secs(20);
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// How many bytes fit into a pipe, in each direction.
const PIPE: usize = 1024;

impl Stage {
    pub(super) fn new() -> Self {
        Self::with_places(Places::new(1000, None))
    }

    pub(super) fn with_places(places: Arc<Places>) -> Self {
        let (websockets, _) = Router::new().path("ws/", |_| Ok(Echo)).into_service();
        let pages = axum::Router::new()
            .route("/", get(|| async { "page" }))
            .route("/large", get(|| async { vec![b'x'; 8 << 20] }))
            .route(
                "/upload",
                post(|body: Bytes| async move { body.len().to_string() }),
            )
            .route("/slow", get(slow).post(slow))
            .route("/slow-reader", post(slow_reader))
            .route("/events", get(|| async { Body::from_stream(events()) }));
        let timeouts = Timeouts {
            header: HEADER,
            keep_alive: KEEP_ALIVE,
            transfer: TRANSFER,
        };
        Self {
            app: App {
                websockets,
                fallback: Some(Fallback::new(pages)),
                timeouts,
                max_header: 16 * 1024,
                has_rfc_header_names: false,
            },
            places,
            stop: watch::channel(false).0,
        }
    }

    /// A connection from this address, if there is a place for it.
    pub(super) fn try_connect_from(&self, address: &str) -> Option<Client> {
        let address = address.parse().expect("an address");
        let place = self.places.take(address).ok()?;
        let (stream, served) = duplex(PIPE);
        let (app, stopping) = (self.app.clone(), self.stop.subscribe());
        let peer = SocketAddr::new(address, 1);
        let serving = tokio::spawn(async move {
            serve_stream(app, served, peer, place.activity(), stopping).await;
        });
        Some(Client {
            stream,
            serving,
            _stop: self.stop.clone(),
            since: Instant::now(),
        })
    }

    pub(super) fn connect(&self) -> Client {
        self.try_connect_from("192.0.2.1").expect("a place")
    }
}

async fn slow() -> &'static str {
    sleep(HOUR).await;
    "slow"
}

async fn slow_reader(body: Body) -> String {
    sleep(HOUR).await;
    let body = axum::body::to_bytes(body, usize::MAX).await;
    body.expect("the body").len().to_string()
}

/// One an hour.
fn events() -> impl futures::Stream<Item = Result<&'static str, std::convert::Infallible>> + Send {
    stream::unfold((), |()| async {
        sleep(HOUR).await;
        Some((Ok("event\n"), ()))
    })
}

pub(super) struct Client {
    pub(super) stream: DuplexStream,
    serving: JoinHandle<()>,
    /// Dropped, it would be a stop.
    _stop: watch::Sender<bool>,
    since: Instant,
}

impl Client {
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .write_all(bytes.as_ref())
            .await
            .expect("an open pipe");
    }

    /// Sends until nothing more is taken, or the connection ends. The time is taken from then on.
    pub(super) async fn flood(&mut self, request: &str) {
        loop {
            let written = timeout(GOODBYE, self.stream.write_all(request.as_bytes())).await;
            if !written.is_ok_and(|written| written.is_ok()) {
                break;
            }
            // Otherwise the paused time would never pass.
            sleep(Duration::from_millis(1)).await;
        }
        self.restart();
    }

    /// Reads until the text has come.
    pub(super) async fn read_until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = self.stream.read_u8().await;
            text.push(
                byte.unwrap_or_else(|error| panic!("{error} after {text}"))
                    .into(),
            );
        }
        text
    }

    /// From here on the time is taken.
    pub(super) fn restart(&mut self) {
        self.since = Instant::now();
    }

    pub(super) fn is_served(&self) -> bool {
        !self.serving.is_finished()
    }

    /// When the server ended it, to the second. The client's end stays open until then.
    pub(super) async fn ended(mut self) -> Duration {
        let ended = timeout(HOUR * 10_000, &mut self.serving).await;
        ended.expect("it is held for ever").expect("no panic");
        Duration::from_secs(self.since.elapsed().as_secs_f64().round() as u64)
    }
}

pub(super) const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
pub(super) const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n";
