//! The ways to mount a router: inside axum, as a service for one consumer, and behind [`Server`]
//! with other HTTP on the same port.
//!
//! The client is tungstenite's, over a real port.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, middleware};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tungstenite::handshake::HandshakeError;
use tungstenite::{Message as Frame, WebSocket};

use strait::handshake::Peer;
use strait::service::{Drain, Sockets, endpoint};
use strait::testing::TestServer;
use strait::{Accept, Consumer, Context, Message, Reject, Router, Scope, Server};

/// Greets with what a function finds in the scope, then echoes.
struct Echo(fn(&Scope) -> String);

impl Consumer for Echo {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.send_text((self.0)(ctx.scope())).await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

fn echo(greeting: fn(&Scope) -> String) -> impl Fn(&Scope) -> Result<Echo, Reject> {
    move |_| Ok(Echo(greeting))
}

fn place(scope: &Scope) -> String {
    let params: Vec<_> = scope.params().map(|(_, value)| value).collect();
    format!("{} {params:?}", scope.path())
}

/// An axum application on a free port, until it is dropped.
struct App {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl App {
    async fn serve(app: axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        Self {
            address,
            serving: tokio::spawn(async move { axum::serve(listener, service).await.unwrap() }),
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Socket = WebSocket<TcpStream>;

/// Connects and holds a dialogue on a thread of its own; the status of a refusal.
async fn talk<T: Send + 'static>(
    address: SocketAddr,
    path: &str,
    dialogue: impl FnOnce(&mut Socket) -> T + Send + 'static,
) -> Result<T, u16> {
    let url = format!("ws://{address}{path}");
    let talking = spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        match tungstenite::client(url, stream) {
            Ok((mut socket, _)) => Ok(dialogue(&mut socket)),
            Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(other) => panic!("no handshake: {other}"),
        }
    });
    talking.await.unwrap()
}

/// The greeting, after an echo and a clean end.
async fn greeting(address: SocketAddr, path: &str) -> Result<String, u16> {
    talk(address, path, |socket| {
        let greeting = socket.read().unwrap().into_text().unwrap().to_string();
        socket.send(Frame::text("hello")).unwrap();
        assert_eq!(socket.read().unwrap(), Frame::text("hello"));
        socket.close(None).unwrap();
        until_closed(socket);
        greeting
    })
    .await
}

/// Reads to the clean end; the code and reason of the close frame, where it had some.
fn until_closed(socket: &mut Socket) -> Option<(u16, String)> {
    let mut closed = None;
    loop {
        match socket.read() {
            Ok(Frame::Close(frame)) => {
                closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
            }
            Ok(frame) => panic!("unexpected: {frame:?}"),
            Err(tungstenite::Error::ConnectionClosed) => return closed,
            Err(error) => panic!("not a clean end: {error}"),
        }
    }
}

/// An HTTP request with a connection of its own: status and body.
async fn http(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap()
}

const LIMIT: Duration = Duration::from_secs(5);

/// Waits until this many connections are open.
async fn count(sockets: &Sockets, wanted: usize) {
    within(async {
        while sockets.count() != wanted {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_same_router_stands_anywhere_in_axum() {
    let router = || {
        Router::new()
            .path("ws/<name>/", echo(place))
            .re_path(r"ws/(?P<id>\d+)/re/$", echo(place))
            .into_service()
            .0
    };
    let pages = || axum::Router::new().route("/", get(|| async { "page" }));
    let route = pages().route_service("/ws/{*rest}", router());
    let nest = pages().nest_service("/api", router());
    let fallback = pages().fallback_service(router());
    // The prefix of `nest_service` is gone when the path arrives.
    let rows = [
        ("route_service", route, ""),
        ("nest_service", nest, "/api"),
        ("fallback_service", fallback, ""),
    ];
    for (name, app, prefix) in rows {
        let app = App::serve(app).await;
        let at = |path: &str| format!("{prefix}{path}");
        let got = greeting(app.address, &at("/ws/caf%C3%A9/?x=1")).await;
        assert_eq!(
            got.as_deref(),
            Ok("/ws/caf\u{e9}/ [\"caf\u{e9}\"]"),
            "{name}"
        );
        let got = greeting(app.address, &at("/ws/5/re/")).await;
        assert_eq!(got.as_deref(), Ok("/ws/5/re/ [\"5\"]"), "{name}");
        let got = greeting(app.address, &at("/ws/a/b/")).await;
        assert_eq!(got, Err(404), "{name}");
        let (status, body) = http(app.address, "GET /", "").await;
        assert_eq!((status, &*body), (200, "page"), "{name}");
        let (status, _) = http(app.address, &format!("GET {}", at("/ws/x/")), "").await;
        assert_eq!(status, 426, "{name}");
        let (status, _) = http(app.address, &format!("POST {}", at("/ws/x/")), "body").await;
        assert_eq!(status, 405, "{name}");
        let (status, _) = http(app.address, "GET /nowhere", "").await;
        assert_eq!(status, 404, "{name}");
    }
}

/// Hands on what axum found in the path.
async fn room(Path(room): Path<String>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Room(room));
    next.run(request).await
}

#[derive(Clone, Debug)]
struct Room(String);

#[tokio::test]
async fn one_consumer_is_an_endpoint_for_what_axum_has_matched() {
    let (service, sockets) = endpoint(echo(|scope| {
        let room = scope.extension().map(|Room(room)| room);
        format!("{} {room:?} {}", scope.path(), scope.params().count())
    }));
    let rooms = axum::Router::new()
        .route_service("/live/{room}", service.clone())
        .route_layer(middleware::from_fn(room));
    let app = rooms.route_service("/other/{*rest}", service);
    let app = App::serve(app).await;
    let rows = [
        ("/live/5", "/live/5 Some(\"5\") 0"),
        ("/live/a%0Ab", "/live/a\nb Some(\"a\\nb\") 0"),
        ("/other/a/b/", "/other/a/b/ None 0"),
    ];
    for (path, expected) in rows {
        assert_eq!(greeting(app.address, path).await.unwrap(), expected);
    }
    assert_eq!(greeting(app.address, "/live/5/6").await, Err(404));
    count(&sockets, 0).await;
}

#[derive(Clone)]
struct User(String);

/// Middleware of the application's: who is it, and from where?
async fn identify(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    if request.uri().query() == Some("nobody") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    request.extensions_mut().insert(User("ada".to_owned()));
    request.extensions_mut().insert(Peer(address));
    Ok(next.run(request).await)
}

#[tokio::test]
async fn extensions_of_axums_middleware_reach_the_scope() {
    let (service, _) = Router::new()
        .path("ws/", |scope| {
            let User(name) = scope.extension().ok_or_else(Reject::unauthorized)?;
            assert_eq!(name, "ada");
            Ok(Echo(|scope| {
                let User(name) = scope.extension().unwrap();
                let tenant: &str = scope.extension().unwrap();
                let peer = scope.peer().unwrap();
                format!("{name} {tenant} {}", peer.ip())
            }))
        })
        .into_service();
    let app = axum::Router::new()
        .route_service("/ws/", service)
        .layer(middleware::from_fn(identify))
        .layer(Extension("tenant"));
    let app = App::serve(app).await;
    let got = greeting(app.address, "/ws/").await;
    assert_eq!(got.as_deref(), Ok("ada tenant 127.0.0.1"));
    assert_eq!(greeting(app.address, "/ws/?nobody").await, Err(401));
}

#[tokio::test]
async fn inside_axum_too_frames_sent_with_the_request_are_received() {
    let (service, _) = Router::new().path("ws/", echo(place)).into_service();
    let app = App::serve(axum::Router::new().fallback_service(service)).await;
    let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let mut bytes = HANDSHAKE.to_vec();
    bytes.extend([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\x81\x02hi") {
        assert!(within(stream.read_buf(&mut answer)).await.unwrap() > 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
}

const HANDSHAKE: &[u8] = b"GET /ws/ HTTP/1.1\r\n\
    Host: server.example\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn a_drain_inside_axum_closes_every_socket_with_1012_and_refuses_newcomers() {
    let (service, sockets) = Router::new().path("ws/", echo(place)).into_service();
    let app = App::serve(axum::Router::new().fallback_service(service)).await;
    let address = app.address;
    let clients: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn(async move {
                let closed = talk(address, "/ws/", |socket| {
                    socket.read().unwrap();
                    until_closed(socket)
                });
                closed.await.unwrap().unwrap()
            })
        })
        .collect();
    count(&sockets, 3).await;
    assert!(!sockets.is_draining());
    let drained = within(sockets.drain(Drain::new())).await;
    assert_eq!((drained.closed, drained.abandoned), (3, 0));
    for client in clients {
        let (code, reason) = within(client).await.unwrap();
        assert_eq!(code, 1012);
        let after = reason.strip_prefix("retry_after_ms=").unwrap();
        assert!(after.parse::<u32>().is_ok(), "{reason}");
    }
    assert!(sockets.is_draining());
    assert_eq!(sockets.count(), 0);
    assert_eq!(greeting(address, "/ws/").await, Err(503));
}

#[tokio::test]
async fn a_server_answers_other_http_on_the_same_port_by_its_fallback() {
    let pages = axum::Router::new()
        .route("/", get(|| async { "page" }))
        .route(
            "/shout",
            post(|body: String| async move { body.to_uppercase() }),
        )
        .route(
            "/peer",
            get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.ip().to_string() }),
        )
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page") });
    let router = Router::new().path("ws/<name>/", echo(place));
    let server = Server::bind("127.0.0.1:0").router(router).fallback(pages);
    let server = TestServer::serve(server).await.unwrap();
    let address = server.local_addr();
    let long = "x".repeat(200_000);
    let rows = [
        ("GET /", "", 200, "page"),
        ("POST /shout", "hello", 200, "HELLO"),
        ("POST /shout", &long, 200, &long.to_uppercase()),
        ("GET /shout", "", 405, ""),
        ("GET /peer", "", 200, "127.0.0.1"),
        ("GET /nowhere", "", 404, "no such page"),
        ("GET /ws/", "", 404, "no such page"),
        // A path that is not UTF-8 may be a page's; no route could have matched it.
        ("GET /caf%E9", "", 404, "no such page"),
    ];
    for (head, body, status, expected) in rows {
        let got = http(address, head, body).await;
        assert_eq!((got.0, &*got.1), (status, expected), "{head}");
    }
    // A path of the router's is the router's, whatever the request.
    assert_eq!(http(address, "GET /ws/x/", "").await.0, 426);
    let got = greeting(address, "/ws/x/").await;
    assert_eq!(got.as_deref(), Ok("/ws/x/ [\"x\"]"));
    // A handshake on a page is the fallback's to answer.
    assert_eq!(greeting(address, "/").await, Err(200));
    assert_eq!(greeting(address, "/caf%E9").await, Err(400));
    within(server.stop()).await;
}

#[tokio::test]
async fn a_page_and_a_socket_share_a_connection() {
    let pages = axum::Router::new().route("/", get(|| async { "page" }));
    let router = Router::new().path("ws/", echo(place));
    let server = Server::bind("127.0.0.1:0").router(router).fallback(pages);
    let server = TestServer::serve(server).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.local_addr())
        .await
        .unwrap();
    let page = b"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n";
    for (request, ends) in [
        (&page[..], &b"page"[..]),
        (page, b"page"),
        (HANDSHAKE, b"\x81\x07/ws/ []"),
    ] {
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(ends) {
            let read = within(stream.read_buf(&mut answer)).await.unwrap();
            assert!(read > 0, "{}", answer.escape_ascii());
        }
    }
}

#[tokio::test]
async fn without_a_fallback_other_paths_are_404() {
    let router = Router::new().path("ws/", echo(place));
    let server = TestServer::spawn(router).await.unwrap();
    assert_eq!(http(server.local_addr(), "GET /", "").await.0, 404);
    assert_eq!(greeting(server.local_addr(), "/").await, Err(404));
}

#[tokio::test]
async fn a_server_serves_until_it_is_told_and_drains() {
    let entered = Arc::new(Notify::new());
    let slow = {
        let entered = entered.clone();
        move || async move {
            entered.notify_one();
            tokio::time::sleep(Duration::from_millis(100)).await;
            "in time"
        }
    };
    let pages = axum::Router::new().route("/slow", get(slow));
    let listening = Server::bind("127.0.0.1:0")
        .router(Router::new().path("ws/", echo(place)))
        .fallback(pages)
        .listen()
        .await
        .unwrap();
    let (address, sockets) = (listening.local_addr(), listening.sockets());
    assert!(address.ip().is_loopback() && address.port() != 0);
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(listening.serve_until(async move {
        let _ = stopped.await;
    }));
    let client = tokio::spawn(async move {
        let closed = talk(address, "/ws/", |socket| {
            socket.read().unwrap();
            until_closed(socket)
        });
        closed.await.unwrap().unwrap()
    });
    let request = tokio::spawn(async move { http(address, "GET /slow", "").await });
    count(&sockets, 1).await;
    within(entered.notified()).await;
    stop.send(()).unwrap();
    let drained = within(serving).await.unwrap();
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    assert_eq!(within(client).await.unwrap().0, 1012);
    // The request in hand was answered, and no other is.
    assert_eq!(within(request).await.unwrap(), (200, "in time".to_owned()));
    let refused = tokio::net::TcpStream::connect(address).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
}

#[tokio::test]
async fn serve_until_on_the_server_itself_binds_and_serves() {
    let router = Router::new().path("ws/", echo(place));
    let server = Server::bind("127.0.0.1:0").router(router);
    let drained = within(server.serve_until(async {})).await.unwrap();
    assert_eq!((drained.closed, drained.abandoned), (0, 0));
}

#[tokio::test]
async fn a_server_takes_a_listener_that_is_bound_already() {
    let router = || Router::new().path("ws/", echo(place));
    let of_std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let of_tokio = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rows = [
        (of_std.local_addr().unwrap(), Server::from_std(of_std)),
        (
            of_tokio.local_addr().unwrap(),
            Server::from_listener(of_tokio),
        ),
    ];
    for (address, server) in rows {
        let server = TestServer::serve(server.router(router())).await.unwrap();
        assert_eq!(server.local_addr(), address);
        assert_eq!(greeting(address, "/ws/").await.as_deref(), Ok("/ws/ []"));
        within(server.stop()).await;
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let busy = taken.local_addr().unwrap().to_string();
    for address in [&*busy, "127.0.0.1", "127.0.0.1:port", "127.0.0.1:65536"] {
        let listening = Server::bind(address).listen().await.map(drop);
        let error = listening.unwrap_err();
        assert!(error.to_string().contains(address), "{error}");
        assert!(error.source().is_some(), "{error}: why?");
        let served = Server::bind(address).serve_until(async {}).await;
        assert_eq!(served.unwrap_err().to_string(), error.to_string());
    }
}

/// Inside axum, whose server reads the header and closes.
#[tokio::test]
async fn a_refused_upgrade_closes_the_connection_inside_axum() {
    let (websockets, _) = Router::new().path("ws/", echo(place)).into_service();
    let app = axum::Router::new().route_service("/ws/", websockets);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let refused = String::from_utf8_lossy(HANDSHAKE).replace("Version: 13", "Version: 8");
    stream.write_all(refused.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(
        answer.contains("\r\nconnection: Upgrade, close\r\n"),
        "{answer}"
    );
    serving.abort();
}

/// A server that answers before it has read everything must not reset the connection over its
/// answer.
#[tokio::test]
async fn an_answer_given_early_reaches_a_client_that_is_still_sending() {
    let refuse = axum::Router::new().fallback(|| async { StatusCode::PAYLOAD_TOO_LARGE });
    let server = Server::bind("127.0.0.1:0").fallback(refuse);
    let server = TestServer::serve(server).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(server.local_addr())
        .await
        .unwrap();
    let head = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    within(stream.write_all(&vec![b'x'; 4_000_000]))
        .await
        .unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    within(server.stop()).await;
}

/// A program may drop the future of the server: it accepts no more, and connected clients stay
/// connected.
#[tokio::test]
async fn a_server_that_is_dropped_stops_accepting_and_keeps_its_sockets() {
    let router = Router::new().path("ws/", echo(place));
    let listening = Server::bind("127.0.0.1:0").router(router).listen();
    let listening = listening.await.unwrap();
    let (address, sockets) = (listening.local_addr(), listening.sockets());
    let serving = tokio::spawn(listening.serve_until(std::future::pending()));

    let (go_on, gone) = std::sync::mpsc::channel::<()>();
    let talking = tokio::spawn(talk(address, "/ws/", move |socket| {
        socket.read().unwrap();
        gone.recv().unwrap();
        socket.send(Frame::text("still there")).unwrap();
        socket.read().unwrap()
    }));
    count(&sockets, 1).await;
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    within(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    go_on.send(()).unwrap();
    let answer = within(talking).await.unwrap();
    assert_eq!(answer, Ok(Frame::text("still there")));
}
