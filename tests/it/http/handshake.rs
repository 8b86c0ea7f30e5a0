//! The opening handshake over TCP, byte by byte: which request gets which answer, what goes into
//! the 101, and how long a client may take.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use strait::config::Config;
use strait::handshake::Origins;
use strait::testing::TestServer;
use strait::{Accept, Consumer, Context, Message, Reject, Router, Scope, Server};

use crate::support::client::{Client, TEXT, frame};

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

fn echo(_scope: &Scope) -> Result<Echo, Reject> {
    Ok(Echo)
}

async fn serve(router: Router) -> TestServer {
    TestServer::spawn(router).await.unwrap()
}

/// An HTTP answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        value
    }
}

async fn connect(server: &TestServer) -> Client {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut client = Client::over_tcp(stream);
    client.patience = Some(PATIENCE);
    client
}

impl Client {
    /// Sends a request and reads its answer.
    async fn ask(&mut self, request: &str) -> Answer {
        self.write(request).await;
        self.answer(request.starts_with("HEAD")).await
    }

    async fn answer(&mut self, without_body: bool) -> Answer {
        let head = self.head().await;
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut answer = Answer {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: String::new(),
        };
        let length = answer.header("content-length").filter(|_| !without_body);
        let length = length.map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            assert!(self.read().await.unwrap() > 0, "the end within {answer:?}");
        }
        answer.body = String::from_utf8(self.unread.split_to(length).to_vec()).unwrap();
        answer
    }

    /// Waits for the end and returns what came before it.
    async fn rest(mut self) -> Vec<u8> {
        while self.read().await.unwrap() > 0 {}
        self.unread.to_vec()
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// Less than any limit by which a server would end a connection by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// The example of RFC 6455, with the request line and the headers of `changes` in place of its own;
/// `-Name` leaves one out.
fn request(line: &str, changes: &[&str]) -> String {
    let own = [
        "Host: server.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ];
    let name = |header: &str| header.split(':').next().unwrap().to_ascii_lowercase();
    let is_kept = |header: &&&str| {
        !changes
            .iter()
            .any(|change| name(change.trim_start_matches('-')) == name(header))
    };
    let kept = own.iter().filter(is_kept);
    let added = changes.iter().filter(|change| !change.starts_with('-'));
    let lines: Vec<_> = [&line]
        .into_iter()
        .chain(kept)
        .chain(added)
        .copied()
        .collect();
    lines.join("\r\n") + "\r\n\r\n"
}

fn handshake(changes: &[&str]) -> String {
    request("GET /ws/ HTTP/1.1", changes)
}

/// A request and the status it deserves.
struct Row {
    line: &'static str,
    changes: &'static [&'static str],
    status: u16,
}

const fn row(line: &'static str, changes: &'static [&'static str], status: u16) -> Row {
    Row {
        line,
        changes,
        status,
    }
}

const GET: &str = "GET /ws/ HTTP/1.1";

const ROWS: &[Row] = &[
    row(GET, &[], 101),
    row("GET /ws/?token=x HTTP/1.1", &[], 101),
    row("GET //ws/ HTTP/1.1", &[], 101),
    row("GET http://server.example/ws/ HTTP/1.1", &[], 101),
    // Upgrade: a list of tokens in any case, in one header or several.
    row(GET, &["Upgrade: WebSocket"], 101),
    row(GET, &["Upgrade: h2c, websocket"], 101),
    row(GET, &["Upgrade: h2c", "Upgrade: websocket"], 101),
    row(GET, &["Upgrade: , ,\t, websocket,"], 101),
    row(GET, &["Upgrade:", "Upgrade: websocket"], 101),
    row(GET, &["Upgrade: , ,"], 426),
    row(GET, &["upgrade: websocket"], 101),
    row(GET, &["Upgrade: h2c"], 426),
    row(GET, &["Upgrade: websockets"], 426),
    row(GET, &["Upgrade: web socket"], 426),
    row(GET, &["Upgrade:"], 426),
    row(GET, &["-Upgrade"], 426),
    row(GET, &["-Upgrade", "-Connection"], 426),
    // Connection: the same.
    row(GET, &["Connection: upgrade"], 101),
    row(GET, &["Connection: keep-alive, Upgrade"], 101),
    row(GET, &["Connection: ,, Upgrade , ,"], 101),
    row(GET, &["Connection: ,"], 400),
    row(GET, &["Connection: keep-alive,Upgrade , x"], 101),
    row(GET, &["Connection: keep-alive", "Connection: Upgrade"], 101),
    row(GET, &["Connection: keep-alive"], 400),
    row(GET, &["Connection: close"], 400),
    row(GET, &["Connection: upgraded"], 400),
    row(GET, &["-Connection"], 400),
    // The version.
    row(GET, &["Sec-WebSocket-Version:   13  "], 101),
    row(GET, &["Sec-WebSocket-Version: 8"], 426),
    row(GET, &["Sec-WebSocket-Version: 14"], 426),
    row(GET, &["Sec-WebSocket-Version: 013"], 426),
    row(GET, &["Sec-WebSocket-Version: 13, 8"], 426),
    row(
        GET,
        &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"],
        426,
    ),
    row(GET, &["-Sec-WebSocket-Version"], 426),
    // The key: 16 bytes in base64.
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="], 101),
    // The last digit carries two bits; the four below them are ignored, as by other servers.
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB=="], 101),
    row(GET, &["Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="], 101),
    row(GET, &["Sec-WebSocket-Key: ///////////////////////=="], 400),
    row(GET, &["Sec-WebSocket-Key: //////////////////////=="], 101),
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA="], 400),
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA"], 400),
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="], 400),
    row(GET, &["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA_-=="], 400),
    row(GET, &["Sec-WebSocket-Key: AAAA AAAAAAAAAAAAAAAAA=="], 400),
    row(GET, &["Sec-WebSocket-Key:"], 400),
    row(GET, &["-Sec-WebSocket-Key"], 400),
    row(
        GET,
        &[
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
        400,
    ),
    // Host: exactly one.
    row(GET, &["-Host"], 400),
    row(GET, &["Host: server.example", "Host: evil.example"], 400),
    // A body, which could be taken for frames.
    row(GET, &["Content-Length: 0"], 101),
    row(GET, &["Content-Length: 5"], 400),
    row(GET, &["Transfer-Encoding: chunked"], 400),
    // Extensions: an empty list is none.
    row(GET, &["Sec-WebSocket-Extensions:"], 101),
    row(GET, &["Sec-WebSocket-Extensions: , ,"], 101),
    // Methods and versions of HTTP.
    row("POST /ws/ HTTP/1.1", &["Content-Length: 0"], 405),
    row("HEAD /ws/ HTTP/1.1", &[], 405),
    row("PUT /ws/ HTTP/1.1", &["Content-Length: 0"], 405),
    row("OPTIONS /ws/ HTTP/1.1", &["-Upgrade"], 405),
    row("GET /ws/ HTTP/1.0", &[], 426),
    row("GET /ws/ HTTP/1.0", &["-Upgrade", "-Host"], 426),
    // The path comes first.
    row("GET /nowhere/ HTTP/1.1", &[], 404),
    row("GET /ws HTTP/1.1", &[], 404),
    row("GET /nowhere/ HTTP/1.1", &["-Upgrade"], 404),
    row("POST /nowhere/ HTTP/1.1", &["Content-Length: 0"], 404),
    row("HEAD /nowhere/ HTTP/1.1", &[], 404),
    row("OPTIONS * HTTP/1.1", &[], 404),
    row("GET /ws/%FF/ HTTP/1.1", &[], 400),
    // Then the handshake, then the origin.
    row(GET, &["Origin: http://evil.example"], 403),
    row(GET, &["Origin: http://evil.example", "-Upgrade"], 426),
    row(
        "GET /nowhere/ HTTP/1.1",
        &["Origin: http://evil.example"],
        404,
    ),
];

#[tokio::test]
async fn each_request_gets_the_answer_it_deserves() {
    // No setting of a route keeps a client out.
    let configs = [
        Config::new(),
        #[cfg(feature = "deflate")]
        Config::new().deflate(strait::config::Deflate::new()),
    ];
    for config in configs {
        let server = serve(Router::new().path("ws/", echo).config(config)).await;
        for row in ROWS {
            ask_row(&server, row).await;
        }
        assert_eq!(within(server.stop()).await.abandoned, 0);
    }
}

async fn ask_row(server: &TestServer, row: &Row) {
    let Row {
        line,
        changes,
        status,
    } = row;
    let request = request(line, changes);
    let answer = connect(server).await.ask(&request).await;
    assert_eq!(answer.status, *status, "{request}{answer:?}");
    let upgrade = match status {
        101 | 426 => Some("websocket"),
        _ => None,
    };
    assert_eq!(answer.header("upgrade"), upgrade, "{request}{answer:?}");
    let allow = (*status == 405).then_some("GET");
    assert_eq!(answer.header("allow"), allow, "{request}{answer:?}");
    let says_why = matches!(status, 400 | 405 | 426) && !line.starts_with("HEAD");
    assert_eq!(!answer.body.is_empty(), says_why, "{request}{answer:?}");
    if says_why {
        let plain = Some("text/plain; charset=utf-8");
        assert_eq!(answer.header("content-type"), plain, "{request}");
    }
}

#[tokio::test]
async fn a_wrong_version_is_told_the_right_one() {
    let server = serve(Router::new().path("ws/", echo)).await;
    for (changes, told) in [
        (&["Sec-WebSocket-Version: 8"][..], Some("13")),
        (&["-Sec-WebSocket-Version"], Some("13")),
        (&["Upgrade: h2c"], None),
        (&[], None),
    ] {
        let request = handshake(changes);
        let answer = connect(&server).await.ask(&request).await;
        assert_eq!(answer.header("sec-websocket-version"), told, "{answer:?}");
        let connection = match answer.status {
            101 => "Upgrade",
            _ => "Upgrade, close",
        };
        assert_eq!(answer.header("connection"), Some(connection), "{answer:?}");
    }
}

#[tokio::test]
async fn the_101_has_the_accept_key_of_the_rfcs_example_and_no_body() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let mut client = connect(&server).await;
    let answer = client.ask(&handshake(&[])).await;
    let key = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(answer.header("sec-websocket-accept"), key);
    for absent in [
        "content-length",
        "transfer-encoding",
        "content-type",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
    ] {
        assert_eq!(answer.header(absent), None, "{absent} in {answer:?}");
    }
    client.send_text("hello").await;
    assert_eq!(client.receive_text().await, "hello");
}

#[tokio::test]
async fn bytes_that_are_no_http_are_400_and_a_head_that_is_too_large_431() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let many = (0..200).fold(String::new(), |many, n| many + &format!("X-{n}: x\r\n"));
    let many = format!("GET /ws/ HTTP/1.1\r\n{many}\r\n");
    let rows: [(&[u8], u16); 6] = [
        (b"GET /ws/\xff/ HTTP/1.1\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /ws/ HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        (b"GET /ws/ FTP/1.1\r\n\r\n", 400),
        (many.as_bytes(), 431),
    ];
    for (request, status) in rows {
        let mut client = connect(&server).await;
        client.write(request).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, status, "{}", request.escape_ascii());
        assert_eq!(client.rest().await, b"", "{}", request.escape_ascii());
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let mut client = connect(&server).await;
    client.write("GET /ws/ HTTP/1.1\r\nX: ").await;
    let kib = [b'x'; 1024];
    // Bytes after the 431 are read and dropped for a second, then the connection ends.
    within(async { while client.stream.write_all(&kib).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_client_that_speaks_http_2_is_closed() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let mut client = connect(&server).await;
    client.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn origins_decide_with_403_and_the_last_origin_header_counts() {
    let router = |origins: Origins| Router::new().path("ws/", echo).origins(origins);
    let same = serve(Router::new().path("ws/", echo)).await;
    let list = serve(router(Origins::list([
        "https://shop.example",
        ".partner.example",
        "app://.",
    ])))
    .await;
    let any = serve(router(Origins::any())).await;
    const EVIL: &str = "Origin: http://evil.example";
    const SAME: &str = "Origin: http://server.example";
    let rows: [(&str, &TestServer, &[&str], u16); 25] = [
        ("same", &same, &[], 101),
        ("same", &same, &[SAME], 101),
        ("same", &same, &["Origin: https://server.example"], 101),
        ("same", &same, &["Origin: http://SERVER.example:80"], 101),
        ("same", &same, &["Origin: http://server.example:8000"], 403),
        ("same", &same, &["Origin: http://sub.server.example"], 403),
        ("same", &same, &["Origin: null"], 403),
        ("same", &same, &["Origin:"], 403),
        ("same", &same, &[EVIL], 403),
        ("same", &same, &[SAME, EVIL], 403),
        ("same", &same, &[EVIL, SAME], 101),
        (
            "same, another port",
            &same,
            &["Host: localhost:8000", "Origin: http://localhost:8000"],
            101,
        ),
        (
            "same, another port",
            &same,
            &["Host: localhost:8000", "Origin: http://localhost:3000"],
            403,
        ),
        ("list", &list, &["Origin: https://shop.example"], 101),
        ("list", &list, &["Origin: https://shop.example:443"], 101),
        ("list", &list, &["Origin: http://shop.example"], 403),
        ("list", &list, &["Origin: http://a.partner.example:81"], 101),
        ("list", &list, &["Origin: http://notpartner.example"], 403),
        ("list", &list, &["Origin: app://."], 101),
        ("list", &list, &["Origin: app://x."], 403),
        ("list", &list, &[SAME], 403),
        ("list", &list, &[], 403),
        ("any", &any, &[EVIL], 101),
        ("any", &any, &["Origin: rubbish"], 101),
        ("any", &any, &[], 101),
    ];
    for (name, server, changes, status) in rows {
        let answer = connect(server).await.ask(&handshake(changes)).await;
        assert_eq!(answer.status, status, "{name}: {changes:?} {answer:?}");
    }
}

/// Chooses the first subprotocol it knows; with none in common, none.
struct Chooser;

impl Consumer for Chooser {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let known = |name: &&str| ["chat.v2", "chat.v1"].contains(name);
        let chosen = ctx.scope().subprotocols().find(known);
        Ok(chosen.map_or_else(Accept::new, |name| Accept::new().subprotocol(name)))
    }
}

#[tokio::test]
async fn the_chosen_subprotocol_stands_in_the_101() {
    let server = serve(Router::new().path("ws/", |_| Ok(Chooser))).await;
    let rows: [(&[&str], Option<&str>); 9] = [
        (&[], None),
        (&["Sec-WebSocket-Protocol: , ,"], None),
        (
            &[
                "Sec-WebSocket-Protocol:",
                "Sec-WebSocket-Protocol: ,, chat.v1,",
            ],
            Some("chat.v1"),
        ),
        (&["Sec-WebSocket-Protocol: chat.v1"], Some("chat.v1")),
        (
            &["Sec-WebSocket-Protocol: chat.v1, chat.v2"],
            Some("chat.v1"),
        ),
        (
            &["Sec-WebSocket-Protocol: x,chat.v2 ,chat.v1"],
            Some("chat.v2"),
        ),
        (
            &[
                "Sec-WebSocket-Protocol: x",
                "Sec-WebSocket-Protocol: chat.v2",
            ],
            Some("chat.v2"),
        ),
        (&["Sec-WebSocket-Protocol: CHAT.V1"], None),
        (&["Sec-WebSocket-Protocol:"], None),
    ];
    for (changes, chosen) in rows {
        let answer = connect(&server).await.ask(&handshake(changes)).await;
        assert_eq!(answer.status, 101, "{changes:?}");
        let got = answer.header("sec-websocket-protocol");
        assert_eq!(got, chosen, "{changes:?}");
    }
}

/// Answers with what a closure makes.
struct Accepts<F>(F);

impl<F: Fn() -> Accept + Send + 'static> Consumer for Accepts<F> {
    async fn connect(&mut self, _ctx: &Context) -> Result<Accept, Reject> {
        Ok((self.0)())
    }
}

fn accepts<F>(make: F) -> Router
where
    F: Fn() -> Accept + Clone + Send + Sync + 'static,
{
    Router::new().path("ws/", move |_| Ok(Accepts(make.clone())))
}

#[tokio::test]
async fn the_headers_of_an_accept_stand_in_the_101() {
    let router = accepts(|| {
        let accept = Accept::new().header("X-Room", "lobby");
        accept
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2")
    });
    let server = serve(router).await;
    let answer = connect(&server).await.ask(&handshake(&[])).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("x-room"), Some("lobby"));
    let cookies = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn an_accept_that_cannot_be_sent_is_a_500() {
    let header = |name: &'static str, value: &'static str| {
        accepts(move || Accept::new().header(name, value))
    };
    let rows = [
        ("upgrade", header("Upgrade", "h2c")),
        ("connection", header("Connection", "close")),
        ("key", header("Sec-WebSocket-Accept", "x")),
        ("protocol", header("Sec-WebSocket-Protocol", "chat")),
        ("extensions", header("Sec-WebSocket-Extensions", "x")),
        ("length", header("Content-Length", "5")),
        ("encoding", header("Transfer-Encoding", "chunked")),
        ("name", header("no name", "x")),
        ("value", header("X-Split", "a\r\nSet-Cookie: b")),
        (
            "subprotocol",
            accepts(|| Accept::new().subprotocol("not.offered")),
        ),
    ];
    for (name, router) in rows {
        let server = serve(router).await;
        let mut client = connect(&server).await;
        let answer = client
            .ask(&handshake(&["Sec-WebSocket-Protocol: a, b"]))
            .await;
        assert_eq!(answer.status, 500, "{name}");
        assert_eq!(answer.body, "", "{name}");
        assert_eq!(answer.header("sec-websocket-accept"), None, "{name}");
    }
}

#[tokio::test]
async fn the_refusal_of_a_consumer_is_the_answer() {
    struct Refuses;
    impl Consumer for Refuses {
        async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
            match ctx.scope().query("how").as_deref() {
                Some("teapot") => Err(Reject::status(418).header("X-Tea", "green").body("tea")),
                Some("json") => Err(Reject::unauthorized()
                    .header("Content-Type", "application/json")
                    .body("{}")),
                Some("error") => Err("secret".into()),
                Some("panic") => panic!("connect panics"),
                _ => Err(Reject::after_accept(4401, "no token")),
            }
        }
    }
    let server = serve(Router::new().path("ws/", |_| Ok(Refuses))).await;
    let rows = [
        ("teapot", 418, "tea"),
        ("json", 401, "{}"),
        ("error", 500, ""),
        ("panic", 500, ""),
    ];
    for (how, status, body) in rows {
        let line = format!("GET /ws/?how={how} HTTP/1.1");
        let answer = connect(&server).await.ask(&request(&line, &[])).await;
        assert_eq!(answer.status, status, "{how}");
        assert_eq!(answer.body, body, "{how}");
        let tea = (status == 418).then_some("green");
        assert_eq!(answer.header("x-tea"), tea, "{how}");
        if status == 401 {
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
    // A page can read only a close code, and none where it offered subprotocols and was given no
    // one of them.
    for (offer, chosen) in [
        (None, None),
        (
            Some("Sec-WebSocket-Protocol: bearer, secret"),
            Some("bearer"),
        ),
    ] {
        let mut client = connect(&server).await;
        let changes: Vec<_> = offer.into_iter().collect();
        let answer = client.ask(&handshake(&changes)).await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("sec-websocket-protocol"), chosen);
        let closed = client.frame().await.unwrap().close();
        assert_eq!(closed, Some((4401, "no token".to_owned())));
    }
}

#[tokio::test]
async fn frames_sent_together_with_the_request_are_received() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let request = handshake(&[]).into_bytes();
    let frames = [frame(TEXT, "one"), frame(TEXT, "two"), frame(TEXT, "three")].concat();
    let all = [request.clone(), frames].concat();
    let (whole, half, head) = (all.len(), request.len() + 12, request.len() + 1);
    for cut in [whole, half, head, request.len(), request.len() - 2, 20] {
        let mut client = connect(&server).await;
        client.write(&all[..cut]).await;
        let before = if cut >= request.len() {
            Some(client.answer(false).await.status)
        } else {
            None
        };
        client.write(&all[cut..]).await;
        let status = match before {
            Some(status) => status,
            None => client.answer(false).await.status,
        };
        assert_eq!(status, 101, "cut at {cut}");
        for expected in ["one", "two", "three"] {
            assert_eq!(client.receive_text().await, expected, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn frames_sent_while_connect_runs_are_received() {
    struct Slow(Arc<Notify>);
    impl Consumer for Slow {
        async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
            self.0.notified().await;
            ctx.send_text("welcome").await?;
            Ok(Accept::new())
        }

        async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
            ctx.send(message).await?;
            Ok(())
        }
    }
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let server = serve(Router::new().path("ws/", move |_| Ok(Slow(gate.clone())))).await;
    let mut client = connect(&server).await;
    client.write(handshake(&[])).await;
    while server.sockets().count() == 0 {
        tokio::task::yield_now().await;
    }
    client
        .write([frame(TEXT, "one"), frame(TEXT, "two")].concat())
        .await;
    go.notify_one();
    assert_eq!(client.answer(false).await.status, 101);
    for expected in ["welcome", "one", "two"] {
        assert_eq!(client.receive_text().await, expected);
    }
}

#[tokio::test]
async fn bytes_pipelined_behind_a_handshake_are_frames_or_garbage() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let second = handshake(&[]);
    let rows: [(&str, &[u8]); 3] = [
        ("another request", second.as_bytes()),
        ("rubbish", b"\xff\xff\xff\xff"),
        ("an unmasked frame", b"\x81\x02hi"),
    ];
    for (name, garbage) in rows {
        let mut client = connect(&server).await;
        let all = [handshake(&[]).as_bytes(), garbage].concat();
        client.write(all).await;
        assert_eq!(client.answer(false).await.status, 101, "{name}");
        let (code, _) = client.frame().await.unwrap().close().unwrap();
        assert_eq!(code, 1002, "{name}");
    }
    // Behind a request without an upgrade it is the next request.
    let mut client = connect(&server).await;
    let refused = request("GET /nowhere/ HTTP/1.1", &["-Upgrade"]);
    client.write(refused + &handshake(&[])).await;
    assert_eq!(client.answer(false).await.status, 404);
    assert_eq!(client.answer(false).await.status, 101);
}

#[tokio::test]
async fn a_connection_goes_on_after_a_request_without_an_upgrade() {
    let server = serve(Router::new().path("ws/", echo)).await;
    let mut client = connect(&server).await;
    let rows = [
        (request("GET /nowhere/ HTTP/1.1", &["-Upgrade"]), 404),
        (request("GET /ws/ HTTP/1.1", &["-Upgrade"]), 426),
        (
            request("POST /ws/ HTTP/1.1", &["-Upgrade", "Content-Length: 5"]) + "hello",
            405,
        ),
        (handshake(&[]), 101),
    ];
    for (request, status) in rows {
        let answer = client.ask(&request).await;
        assert_eq!(answer.status, status, "{request}{answer:?}");
    }
    client.send_text("still here").await;
    assert_eq!(client.receive_text().await, "still here");
}

#[tokio::test]
async fn a_refused_upgrade_closes_the_connection() {
    let router = Router::new()
        .path("ws/", echo)
        .path("members/", |_| Err::<Echo, _>(Reject::unauthorized()));
    let server = serve(router).await;
    let rows = [
        (request("GET /nowhere/ HTTP/1.1", &[]), 404),
        (request("GET /members/ HTTP/1.1", &[]), 401),
        (request("POST /ws/ HTTP/1.1", &[]), 405),
        (handshake(&["Sec-WebSocket-Version: 8"]), 426),
        (handshake(&["-Sec-WebSocket-Key"]), 400),
        (handshake(&["Origin: http://evil.example"]), 403),
    ];
    for (request, status) in rows {
        let mut client = connect(&server).await;
        // A request behind it is no longer answered.
        let answer = client.ask(&(request.clone() + &handshake(&[]))).await;
        assert_eq!(answer.status, status, "{request}{answer:?}");
        let connection = answer.header("connection").unwrap();
        assert!(connection.ends_with("close"), "{request}{answer:?}");
        assert_eq!(client.rest().await, b"", "{request}");
    }
}

/// With these names an answer can be read by a device that compares them exactly.
#[tokio::test]
async fn header_names_are_written_as_the_rfc_prints_them_if_that_is_set() {
    struct Polite;
    impl Consumer for Polite {
        async fn connect(&mut self, _ctx: &Context) -> Result<Accept, Reject> {
            Ok(Accept::new()
                .subprotocol("chat")
                .header("x-room", "a: sec-websocket-b"))
        }
    }
    let router = Router::new()
        .path("ws/", |_| Ok(Polite))
        .path("echo/", echo);
    let server = Server::bind("127.0.0.1:0")
        .router(router)
        .rfc_header_names(true);
    let server = TestServer::serve(server).await.unwrap();
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nX-Room: a: sec-websocket-b\r\nSec-WebSocket-Protocol: chat\r\n\
                    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let refused = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
                   Sec-WebSocket-Version: 13\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 32\r\n";
    let rows = [
        (handshake(&["Sec-WebSocket-Protocol: chat"]), accepted),
        (handshake(&["Sec-WebSocket-Version: 8"]), refused),
        // Behind another request: the answer to that one is out first.
        (
            request("GET /ws/ HTTP/1.1", &["-Upgrade"])
                + &handshake(&["Sec-WebSocket-Protocol: chat"]),
            accepted,
        ),
    ];
    for (request, expected) in rows {
        let mut client = connect(&server).await;
        client.write(&request).await;
        if request.matches("GET").count() == 2 {
            let first = client.answer(false).await;
            assert_eq!(first.status, 426);
            assert!(first.headers.iter().any(|(name, _)| name == "Upgrade"));
        }
        let head = client.head().await;
        let (before, date) = head.split_once("Date: ").unwrap();
        assert_eq!(before, expected, "{request}");
        assert_eq!(date.matches("\r\n").count(), 2, "{head}");
    }
    let mut client = connect(&server).await;
    client.ask(&request("GET /echo/ HTTP/1.1", &[])).await;
    client.send_text("hello").await;
    assert_eq!(client.receive_text().await, "hello");
}

/// How long a client may take for its request in the tests that wait for the limit.
const SHORT: Duration = Duration::from_millis(150);

async fn impatient(router: Router) -> TestServer {
    let server = Server::bind("127.0.0.1:0").router(router);
    TestServer::serve(server.header_timeout(SHORT).keep_alive(SHORT))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_client_that_sends_its_request_too_slowly_or_not_at_all_is_closed() {
    let server = impatient(Router::new().path("ws/", echo)).await;
    let mut silent = connect(&server).await;
    let mut half = connect(&server).await;
    let mut idle = connect(&server).await;
    let mut dripping = connect(&server).await;
    half.write("GET /ws/ HTTP/1.1\r\nHost: server.example\r\n")
        .await;
    let answer = idle
        .ask(&request("GET /nowhere/ HTTP/1.1", &["-Upgrade"]))
        .await;
    assert_eq!(answer.status, 404);
    let drip = async {
        // A byte now and then is not progress enough.
        for byte in handshake(&[]).bytes() {
            if dripping.stream.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(SHORT / 10).await;
        }
    };
    within(async {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        let (a, b, c, ()) = tokio::join!(
            silent.stream.read_to_end(&mut a),
            half.stream.read_to_end(&mut b),
            idle.stream.read_to_end(&mut c),
            drip,
        );
        assert_eq!((a.unwrap(), c.unwrap()), (0, 0));
        // The one that began is perhaps told why.
        b.unwrap();
    })
    .await;
    assert_eq!(server.sockets().count(), 0);
}

/// A hundred that drip hold up nobody, and are all gone at their limit.
#[tokio::test]
async fn clients_that_drip_do_not_disturb_others() {
    let server = impatient(Router::new().path("ws/", echo)).await;
    let mut dripping = Vec::new();
    for _ in 0..100 {
        dripping.push(connect(&server).await);
    }
    let drip = async {
        for byte in "GET /ws/ HTTP".bytes() {
            for client in &mut dripping {
                // It may be closed already.
                let _ = client.stream.write_all(&[byte]).await;
            }
            sleep(SHORT / 10).await;
        }
    };
    let others = async {
        for _ in 0..50 {
            let mut client = connect(&server).await;
            let asked = Instant::now();
            assert_eq!(client.ask(&handshake(&[])).await.status, 101);
            client.send_text("hello").await;
            assert_eq!(client.receive_text().await, "hello");
            assert!(asked.elapsed() < Duration::from_secs(1));
        }
    };
    tokio::join!(drip, others);
    for mut client in dripping {
        while client
            .stream
            .read(&mut [0; 64])
            .await
            .is_ok_and(|read| read > 0)
        {}
    }
}

#[tokio::test]
async fn the_size_of_a_head_is_the_servers_setting_to_the_byte() {
    for (setting, limit) in [(None, 16), (Some(1), 1), (Some(64), 64), (Some(256), 256)] {
        let mut server = Server::bind("127.0.0.1:0").router(Router::new().path("ws/", echo));
        if let Some(kib) = setting {
            server = server.max_header(kib * 1024);
        }
        let server = TestServer::serve(server).await.unwrap();
        let empty = handshake(&["X: "]).len();
        let limit = limit * 1024;
        for (len, status) in [(limit, 101), (limit + 1, 431), (61 * 1024 + limit, 431)] {
            let header = format!("X: {}", "x".repeat(len - empty));
            let mut client = connect(&server).await;
            let answer = client.ask(&handshake(&[&header])).await;
            assert_eq!(answer.status, status, "{len} of {limit}");
        }
    }
}

#[tokio::test]
async fn the_limit_of_the_request_is_none_of_the_connection() {
    struct Slow;
    impl Consumer for Slow {
        async fn connect(&mut self, _ctx: &Context) -> Result<Accept, Reject> {
            sleep(SHORT * 3).await;
            Ok(Accept::new())
        }

        async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
            ctx.send(message).await?;
            Ok(())
        }
    }
    let server = impatient(Router::new().path("ws/", |_| Ok(Slow))).await;
    let mut client = connect(&server).await;
    assert_eq!(client.ask(&handshake(&[])).await.status, 101);
    sleep(SHORT * 3).await;
    client.send_text("late").await;
    assert_eq!(client.receive_text().await, "late");
}
