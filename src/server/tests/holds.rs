//! Every way for a client to hold a connection, and when it ends; and what must not be cut off.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::stage::{Client, GET, GOODBYE, HEADER, HOUR, KEEP_ALIVE, NOWHERE, Stage, TRANSFER};

const HANDSHAKE: &str = "GET /ws/ HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// Just less than a client may be silent within a body or an answer.
const ALMOST: Duration = Duration::from_secs(19);

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_closed_after_the_header_timeout() {
    assert_eq!(Stage::new().connect().ended().await, HEADER);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_closed_after_the_header_timeout() {
    let mut client = Stage::new().connect();
    sleep(Duration::from_secs(4)).await;
    client.write("GET / HT").await;
    assert_eq!(client.ended().await, HEADER);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_closed_after_the_header_timeout() {
    let mut client = Stage::new().connect();
    for byte in "GET / HTT".bytes() {
        sleep(Duration::from_secs(1)).await;
        client.write([byte]).await;
    }
    assert_eq!(client.ended().await, HEADER);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
    for request in [GET, NOWHERE] {
        let mut client = Stage::new().connect();
        for _ in 0..3 {
            sleep(Duration::from_secs(5)).await;
            client.write(request).await;
            client.read_until("\r\n\r\n").await;
            client.restart();
        }
        client.restart();
        assert_eq!(client.ended().await, KEEP_ALIVE, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_the_header_timeout_from_its_first_byte() {
    let mut client = Stage::new().connect();
    client.write(GET).await;
    client.read_until("page").await;
    sleep(KEEP_ALIVE - GOODBYE).await;
    client.restart();
    client.write("GET / HT").await;
    sleep(HEADER / 2).await;
    client.write("TP/1.").await;
    assert_eq!(client.ended().await, HEADER);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_whose_answers_are_not_read_are_closed_after_the_transfer_timeout() {
    for request in [GET, NOWHERE, "GET /ws/ HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut client = Stage::new().connect();
        client.flood(request).await;
        assert_eq!(client.ended().await, TRANSFER - GOODBYE, "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_that_is_not_read_is_closed_after_the_transfer_timeout() {
    let mut client = Stage::new().connect();
    client.write("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.read_until("xxx").await;
    assert_eq!(client.ended().await, TRANSFER);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_read_slowly_goes_on() {
    let mut client = Stage::new().connect();
    client.write("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut read = 0;
    for _ in 0..500 {
        sleep(ALMOST).await;
        client.restart();
        read += client
            .stream
            .read(&mut [0; 512])
            .await
            .expect("an open pipe");
    }
    assert!(read > 100_000, "{read}");
    assert_eq!(client.ended().await, TRANSFER);
}

const UPLOAD: &str = "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n";
const CHUNKED: &str = "POST /upload HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_closed_after_the_transfer_timeout() {
    for (request, begin) in [
        (UPLOAD, ""),
        (UPLOAD, "hello"),
        (CHUNKED, ""),
        (CHUNKED, "5\r\nhel"),
        (CHUNKED, "5"),
    ] {
        let mut client = Stage::new().connect();
        client.write(request).await;
        sleep(GOODBYE).await;
        client.write(begin).await;
        if !begin.is_empty() {
            client.restart();
        }
        assert_eq!(client.ended().await, TRANSFER, "{request}{begin}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_slowly_goes_on() {
    let mut client = Stage::new().connect();
    client.write(UPLOAD).await;
    for _ in 0..99 {
        sleep(ALMOST).await;
        client.write("x").await;
    }
    client.restart();
    assert_eq!(client.ended().await, TRANSFER);
}

/// The request is answered, and the rest of its body is not waited for.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_ends_the_connection_with_the_answer() {
    let mut client = Stage::new().connect();
    client.write(UPLOAD.replace("/upload", "/nowhere")).await;
    let answer = client.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(client.ended().await, GOODBYE);
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_take_as_long_as_it_likes() {
    let requests = [
        "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /events HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        // The body is there, and not read before an hour has passed.
        "POST /slow-reader HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
        "POST /slow-reader HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for request in requests {
        let mut client = Stage::new().connect();
        client.write(request).await;
        let answer = client.read_until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{request}{answer}");
        if request.contains("events") {
            for _ in 0..3 {
                client.read_until("event\n").await;
            }
            continue;
        }
        client
            .read_until(if request.contains("reader") {
                "5"
            } else {
                "slow"
            })
            .await;
        client.restart();
        assert_eq!(client.ended().await, KEEP_ALIVE, "{request}");
    }
}

/// A client that has gone without a word is found when the answer is written.
#[tokio::test(start_paused = true)]
async fn a_stream_of_events_that_is_not_read_is_closed() {
    let mut client = Stage::new().connect();
    client
        .write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    let ended = client.ended().await;
    assert!(
        ended > HOUR && (ended.as_secs() % 3600) == TRANSFER.as_secs(),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_half_is_closed_at_once() {
    for sent in ["", "GET / HT", GET] {
        let mut client = Stage::new().connect();
        client.write(sent).await;
        client.stream.shutdown().await.expect("an open pipe");
        assert_eq!(client.ended().await, Duration::ZERO, "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_ends_the_connection() {
    let refused = [
        HANDSHAKE.replace("13", "8"),
        HANDSHAKE.replace("connection: upgrade", "connection: keep-alive"),
        HANDSHAKE.replace("host: a", "host: a\r\norigin: http://evil.example"),
        HANDSHAKE.replace("GET", "POST"),
    ];
    for request in refused {
        let mut client = Stage::new().connect();
        client.write(&request).await;
        let answer = client.read_until("\r\n\r\n").await;
        let connection = answer.lines().find(|line| line.starts_with("connection: "));
        assert!(
            connection.is_some_and(|line| line.ends_with("close")),
            "{request}{answer}"
        );
        client.restart();
        assert_eq!(client.ended().await, GOODBYE, "{request}");
    }
}

/// hyper answers these by itself.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_http_or_too_long_is_answered_and_closed() {
    let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(61 * 1024));
    for (request, status) in [("hello\r\n\r\n", "400"), (&*long, "431")] {
        let mut client = Stage::new().connect();
        let (mut read, mut write) = tokio::io::split(&mut client.stream);
        let mut answer = [0; 12];
        let (answered, _) = tokio::join!(
            read.read_exact(&mut answer),
            timeout(GOODBYE / 2, write.write_all(request.as_bytes())),
        );
        answered.expect("an answer");
        assert_eq!(answer, format!("HTTP/1.1 {status}").as_bytes());
        drop((read, write));
        client.restart();
        assert_eq!(client.ended().await, GOODBYE, "{status}");
    }
    let mut client = Stage::new().connect();
    client.flood(&format!("{GET}hello\r\n\r\n")).await;
    assert!(client.ended().await <= TRANSFER);
}

/// However much it still has to say.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_on_sending_after_its_last_answer_is_closed() {
    let mut client = Stage::new().connect();
    client
        .write(
            UPLOAD
                .replace("/upload", "/nowhere")
                .replace("100", "100000000"),
        )
        .await;
    client.read_until("\r\n\r\n").await;
    let mut sent = 0;
    while client.stream.write_all(b"more").await.is_ok() {
        sent += 1;
        sleep(GOODBYE / 100).await;
    }
    assert!((50..200).contains(&sent), "{sent}");
    assert_eq!(client.ended().await, GOODBYE);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_has_none_of_these_deadlines() {
    let stage = Stage::new();
    let mut client = stage.connect();
    client.write(HANDSHAKE).await;
    let answer = client.read_until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // The session has the stream, and its first ping comes after all that.
    let ping = client.stream.read_u8().await.expect("an open pipe");
    assert_eq!(ping, 0x89);
    assert!(!client.is_served());
    assert_eq!(stage.app.websockets.sockets().count(), 1);
}

/// Idle connections end when the server stops; requests in hand are answered, and no client has
/// more time than before.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_connections_within_their_deadlines() {
    type Hold = (&'static str, Duration);
    let holds: [Hold; 6] = [
        ("", Duration::ZERO),
        (NOWHERE, Duration::ZERO),
        ("GET / HT", HEADER),
        (UPLOAD, TRANSFER),
        ("GET /large HTTP/1.1\r\nhost: a\r\n\r\n", TRANSFER),
        ("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n", HOUR),
    ];
    for (sent, limit) in holds {
        let stage = Stage::new();
        let mut client: Client = stage.connect();
        client.write(sent).await;
        if sent == NOWHERE {
            client.read_until("\r\n\r\n").await;
        }
        sleep(GOODBYE).await;
        stage.stop.send(true).expect("a connection");
        client.restart();
        let ended = client.ended().await;
        assert!(ended <= limit + GOODBYE, "{sent:?} after {ended:?}");
    }
}
