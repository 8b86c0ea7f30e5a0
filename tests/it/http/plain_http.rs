//! Plain HTTP beside WebSockets, over TCP: clients that hold connections, the limits of the server,
//! and a stop in the midst of it.

use std::future::Future;
use std::time::Duration;

use axum::routing::{get, post};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use strait::service::Drain;
use strait::testing::TestServer;
use strait::{Consumer, Context, Message, Router, Server};

use crate::support::client::{Client, PATIENCE, request};
use crate::support::log::Log;

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

fn server() -> Server {
    let pages = axum::Router::new()
        .route("/", get(|| async { "page" }))
        .route("/large", get(|| async { vec![b'x'; 8 << 20] }))
        .route(
            "/upload",
            post(|body: Bytes| async move { body.len().to_string() }),
        );
    // Bytes for a client that does not read wait in the server, not in the kernel.
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_send_buffer_size(16 * 1024).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Server::from_listener(listener.listen(1024).unwrap())
        .router(Router::new().path("ws/", |_| Ok(Echo)))
        .fallback(pages)
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn enter(server: &TestServer) -> Client {
    let mut client = within(Client::connect(server.local_addr(), "/ws/")).await;
    client.send_text("hello").await;
    assert_eq!(client.receive_text().await, "hello");
    client
}

/// The bytes of clients that hold a connection without reading an answer.
const HOLDS: [&str; 6] = [
    "",
    "GET / HT",
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /ws/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /large HTTP/1.1\r\nhost: a\r\n\r\n",
    "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhello",
];

async fn holds(server: &TestServer, count: usize) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for sent in HOLDS.iter().cycle().take(count) {
        let mut stream = connect(server).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        clients.push(stream);
    }
    clients
}

#[tokio::test]
async fn clients_that_hold_connections_keep_no_handshake_out() {
    let (log, _guard) = Log::start();
    let hour = Duration::from_secs(3600);
    let server = server()
        .header_timeout(hour)
        .transfer_timeout(hour)
        .keep_alive(hour)
        .http_connections(12);
    let server = TestServer::serve(server).await.unwrap();
    let _holds = holds(&server, 60).await;
    let mut entered = Vec::new();
    for _ in 0..20 {
        entered.push(enter(&server).await);
    }
    assert_eq!(server.sockets().count(), 20);
    assert_eq!(log.lines("HTTP connection limit reached"), 1);
}

/// A connection that became a WebSocket no longer holds a place.
#[tokio::test]
async fn websockets_do_not_count_among_the_http_connections() {
    let server = TestServer::serve(server().http_connections(1).http_per_ip(1))
        .await
        .unwrap();
    let mut entered = Vec::new();
    while entered.len() < 20 {
        entered.push(enter(&server).await);
    }
    for client in &mut entered {
        client.send_text("still here").await;
        assert_eq!(client.receive_text().await, "still here");
    }
}

#[tokio::test]
async fn a_client_over_its_limit_is_answered_429_and_closed() {
    let server = TestServer::serve(server().http_per_ip(2)).await.unwrap();
    let both = holds(&server, 2).await;
    let mut third = String::new();
    // The server has accepted these two before.
    within(async {
        let mut stream = connect(&server).await;
        stream.read_to_string(&mut third).await.unwrap();
    })
    .await;
    let (status, headers) = third.split_once("\r\n").unwrap();
    assert_eq!(status, "HTTP/1.1 429 Too Many Requests");
    let seconds = headers
        .lines()
        .find_map(|line| line.strip_prefix("retry-after: "));
    let seconds: u64 = seconds.unwrap().parse().unwrap();
    assert!((5..=30).contains(&seconds), "{third}");
    assert!(headers.contains("connection: close\r\n"), "{third}");
    drop(both);
    within(async {
        // The server may not have seen the two leave.
        while Client::over_tcp(connect(&server).await).try_ask().await != Some(101) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

impl Client {
    /// The status of a handshake's answer, if one comes.
    async fn try_ask(&mut self) -> Option<u16> {
        self.try_write(request("/ws/", "")).await.ok()?;
        let mut answer = [0; 12];
        self.stream.read_exact(&mut answer).await.ok()?;
        String::from_utf8_lossy(&answer[9..]).parse().ok()
    }
}

/// Requests sent ahead until no more are taken, and no answer is read.
#[tokio::test]
async fn a_client_that_sends_requests_and_reads_no_answer_is_cut_off() {
    let server = server().transfer_timeout(Duration::from_millis(200));
    let server = TestServer::serve(server).await.unwrap();
    for request in [
        "GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /large HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let mut stream = connect(&server).await;
        let cut_off = within(async {
            loop {
                if let Err(error) = stream.write_all(request.as_bytes()).await {
                    return error;
                }
            }
        });
        cut_off.await;
    }
}

/// The stop takes no longer than the drain and the five seconds for requests in hand, and closes
/// all connections.
#[tokio::test(start_paused = true)]
async fn a_stop_is_not_held_up_by_clients_that_hang() {
    let hour = Duration::from_secs(3600);
    let server = server()
        .header_timeout(hour)
        .transfer_timeout(hour)
        .keep_alive(hour)
        .drain(Drain::new().deadline(Duration::from_secs(3)));
    let server = TestServer::serve(server).await.unwrap();
    let clients = holds(&server, 12).await;
    let mut socket = Client::connect(server.local_addr(), "/ws/").await;
    let stopped = Instant::now();
    let reads = async {
        // It answers the close frame.
        let (code, _) = socket.frame().await.unwrap().close().unwrap();
        socket.send_close(code, "").await;
    };
    let (drained, ()) = tokio::join!(server.stop(), reads);
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    assert!(
        stopped.elapsed() <= Duration::from_secs(3 + 5),
        "{:?}",
        stopped.elapsed()
    );
    for mut client in clients {
        let mut all = Vec::new();
        // The end, or a reset if something was unread.
        let _ = client.read_to_end(&mut all).await;
    }
}
