//! A table of the ways for an accepted connection to end.

use std::time::Duration;

use tokio::time::sleep;

use strait::close::Cause;
use strait::config::Config;

use strait::ChannelLayer;

use super::raw::Raw;
use super::stage::{End, Stage};
use crate::support::client::{CLOSE, CONTINUATION, TEXT, close_payload, frame};

/// One way to end.
struct Row {
    name: &'static str,
    /// The recorder's orders.
    query: &'static str,
    steps: Vec<Step>,
    /// The hooks, exactly.
    hooks: &'static [&'static str],
    closed: End<'static>,
    seen: Seen,
}

/// The event that ends the connection.
enum Step {
    Text(&'static str),
    Binary(&'static [u8]),
    Event(&'static str),
    Close(Vec<u8>),
    Bytes(Vec<u8>),
    /// The stream is dropped.
    Leave,
    /// This text must come.
    Expect(&'static str),
}

/// The end as the client sees it.
enum Seen {
    Close(u16, &'static str),
    /// A close frame without a code.
    EmptyClose,
    /// It looked no more.
    Nothing,
}

use Step::{Binary, Bytes, Close, Event, Expect, Leave, Text};

#[tokio::test(start_paused = true)]
async fn however_a_connection_ends_disconnect_runs_once_and_nothing_is_left() {
    let rows = client_ends()
        .into_iter()
        .chain(server_ends())
        .chain(failures())
        .chain(panics())
        .chain(violations());
    for row in rows {
        play(row).await;
    }
}

async fn play(row: Row) {
    let name = row.name;
    let stage = Stage::with(Config::new().max_message(1000), ChannelLayer::memory());
    let mut client = Some(stage.enter(row.query).await);
    for step in row.steps {
        let Some(socket) = &mut client else {
            panic!("{name}: the client has left");
        };
        match step {
            Text(text) => socket.send_text(text).await,
            Binary(bytes) => socket.send(crate::support::client::BINARY, bytes).await,
            Event(orders) => stage.event(orders).await,
            Close(body) => socket.send(CLOSE, body).await,
            Bytes(bytes) => socket.write(&bytes).await,
            Leave => client = None,
            Expect(text) => socket.expect_text(text).await,
        }
        // Each step is over before the next, but bytes and what follows them.
        sleep(Duration::from_millis(10)).await;
    }
    look(name, client.as_mut(), row.seen).await;
    stage.assert_disconnected(name, row.closed).await;
    assert_eq!(stage.log.lines(), row.hooks, "{name}");
}

async fn look(name: &str, client: Option<&mut Raw>, seen: Seen) {
    let Some(client) = client else {
        assert!(matches!(seen, Seen::Nothing), "{name}");
        return;
    };
    let last = client.frame().await;
    let last = last.unwrap_or_else(|| panic!("{name}: lost without a close frame"));
    assert_eq!(last.opcode, CLOSE, "{name}: {last:?}");
    let expected = match seen {
        Seen::Close(code, reason) => Some((code, reason.to_owned())),
        Seen::EmptyClose => None,
        Seen::Nothing => panic!("{name}: the client is still there"),
    };
    assert_eq!(last.close(), expected, "{name}");
    // An answer to one's own close frame needs no answer; a second one does no harm, even to a
    // server that is gone.
    let _ = client.try_write(frame(CLOSE, last.payload)).await;
    assert_eq!(
        client.frame().await,
        None,
        "{name}: more after the close frame"
    );
}

fn client_ends() -> Vec<Row> {
    vec![
        Row {
            name: "client closes",
            query: "",
            steps: vec![Text("hello"), Close(close_payload(1000, ""))],
            hooks: &["connect", "receive hello", "disconnect"],
            closed: (1000, "", Cause::Client),
            seen: Seen::Close(1000, ""),
        },
        Row {
            name: "client closes with a reason",
            query: "",
            steps: vec![Close(close_payload(4321, "enough, thank you"))],
            hooks: &["connect", "disconnect"],
            closed: (4321, "enough, thank you", Cause::Client),
            seen: Seen::Close(4321, ""),
        },
        Row {
            name: "client closes without a code",
            query: "",
            steps: vec![Close(vec![])],
            hooks: &["connect", "disconnect"],
            closed: (1005, "", Cause::Client),
            seen: Seen::EmptyClose,
        },
        Row {
            name: "client is lost",
            query: "",
            steps: vec![Text("hello"), Leave],
            hooks: &["connect", "receive hello", "disconnect"],
            closed: (1006, "", Cause::Lost),
            seen: Seen::Nothing,
        },
        Row {
            name: "client is lost within a frame",
            query: "",
            steps: vec![Bytes(frame(TEXT, b"hello")[..8].to_vec()), Leave],
            hooks: &["connect", "disconnect"],
            closed: (1006, "", Cause::Lost),
            seen: Seen::Nothing,
        },
        Row {
            name: "messages and a close frame in one piece",
            query: "",
            steps: vec![Bytes(
                [
                    frame(TEXT, b"sleep 1"),
                    frame(TEXT, b"second"),
                    frame(TEXT, b"third"),
                    frame(CLOSE, close_payload(1001, "")),
                    frame(TEXT, b"after the close frame"),
                ]
                .concat(),
            )],
            hooks: &[
                "connect",
                "receive sleep 1",
                "receive second",
                "receive third",
                "disconnect",
            ],
            closed: (1001, "", Cause::Client),
            seen: Seen::Close(1001, ""),
        },
        Row {
            name: "messages and a lost client",
            query: "",
            steps: vec![
                Bytes([frame(TEXT, b"sleep 1"), frame(TEXT, b"send x")].concat()),
                Leave,
            ],
            hooks: &["connect", "receive sleep 1", "receive send x", "disconnect"],
            closed: (1006, "", Cause::Lost),
            seen: Seen::Nothing,
        },
        Row {
            name: "client closes while a hook fails",
            query: "",
            steps: vec![Text("sleep 1;fail"), Close(close_payload(1000, "bye"))],
            hooks: &[
                "connect",
                "receive sleep 1;fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (1000, "bye", Cause::Client),
            seen: Seen::Close(1000, ""),
        },
        Row {
            name: "client closes while a hook panics",
            query: "",
            steps: vec![Text("sleep 1;panic"), Close(close_payload(1000, "bye"))],
            hooks: &["connect", "receive sleep 1;panic", "disconnect"],
            closed: (1000, "bye", Cause::Client),
            seen: Seen::Close(1000, ""),
        },
    ]
}

fn server_ends() -> Vec<Row> {
    vec![
        Row {
            name: "ctx.close in connect",
            query: "connect=send welcome;close 4001 not today;send too late",
            steps: vec![Expect("welcome")],
            hooks: &["connect", "disconnect"],
            closed: (4001, "not today", Cause::Server),
            seen: Seen::Close(4001, "not today"),
        },
        Row {
            name: "ctx.close in receive",
            query: "",
            steps: vec![
                Text("send first;send second;close 4002 that was all;send too late"),
                Expect("first"),
                Expect("second"),
            ],
            hooks: &[
                "connect",
                "receive send first;send second;close 4002 that was all;send too late",
                "disconnect",
            ],
            closed: (4002, "that was all", Cause::Server),
            seen: Seen::Close(4002, "that was all"),
        },
        Row {
            name: "ctx.close in event",
            query: "",
            steps: vec![Event("send first;close 1000"), Expect("first")],
            hooks: &["connect", "event send first;close 1000", "disconnect"],
            closed: (1000, "", Cause::Server),
            seen: Seen::Close(1000, ""),
        },
        Row {
            name: "ctx.close, then a second one",
            query: "",
            steps: vec![Text("close 4002 first;close 4003 second")],
            hooks: &[
                "connect",
                "receive close 4002 first;close 4003 second",
                "disconnect",
            ],
            closed: (4002, "first", Cause::Server),
            seen: Seen::Close(4002, "first"),
        },
        Row {
            name: "ctx.close, then an error",
            query: "",
            steps: vec![Text("close 4002 first;fail")],
            hooks: &[
                "connect",
                "receive close 4002 first;fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (4002, "first", Cause::Server),
            seen: Seen::Close(4002, "first"),
        },
        Row {
            name: "ctx.close; messages that the client sent before it knew are not received",
            query: "",
            steps: vec![Bytes(
                [frame(TEXT, b"sleep 1;close 4002"), frame(TEXT, b"waiting")].concat(),
            )],
            hooks: &["connect", "receive sleep 1;close 4002", "disconnect"],
            closed: (4002, "", Cause::Server),
            seen: Seen::Close(4002, ""),
        },
        Row {
            name: "ctx.close with a code that may not be sent is an error",
            query: "",
            steps: vec![Text("close 1005")],
            hooks: &[
                "connect",
                "receive close 1005",
                "error 1005 may not be sent as a close code: use 1000–1003, 1007–1014 or 3000–4999",
                "disconnect",
            ],
            closed: (1011, "", Cause::Error),
            seen: Seen::Close(1011, ""),
        },
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn failures() -> Vec<Row> {
    vec![
        Row {
            name: "error in receive",
            query: "",
            steps: vec![Text("send first;fail"), Expect("first")],
            hooks: &[
                "connect",
                "receive send first;fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (1011, "", Cause::Error),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "error in event",
            query: "",
            steps: vec![Event("fail")],
            hooks: &[
                "connect",
                "event fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (1011, "", Cause::Error),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "Error::close",
            query: "",
            steps: vec![Text("end 4010 start again")],
            hooks: &[
                "connect",
                "receive end 4010 start again",
                "error close 4010: start again",
                "disconnect",
            ],
            closed: (4010, "start again", Cause::Error),
            seen: Seen::Close(4010, "start again"),
        },
        Row {
            name: "Error::close with a code that may not be sent",
            query: "",
            steps: vec![Text("end 1006")],
            hooks: &[
                "connect",
                "receive end 1006",
                "error 1006 may not be sent as a close code: use 1000–1003, 1007–1014 or 3000–4999",
                "disconnect",
            ],
            closed: (1011, "", Cause::Error),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "JSON that does not decode",
            query: "",
            steps: vec![Text("{}")],
            hooks: &[
                "connect",
                "receive {}",
                "error the message does not decode into strait::event::Event",
                "disconnect",
            ],
            closed: (1007, "invalid message", Cause::Error),
            seen: Seen::Close(1007, "invalid message"),
        },
        Row {
            name: "JSON in a binary message",
            query: "",
            steps: vec![Binary(b"{}")],
            hooks: &[
                "connect",
                "receive 2 bytes",
                "error expected a text message, got a binary one",
                "disconnect",
            ],
            closed: (1003, "unsupported kind of message", Cause::Error),
            seen: Seen::Close(1003, "unsupported kind of message"),
        },
        Row {
            name: "binary where text is wanted",
            query: "",
            steps: vec![Binary(b"\x01")],
            hooks: &[
                "connect",
                "receive 1 bytes",
                "error expected a text message, got a binary one",
                "disconnect",
            ],
            closed: (1003, "unsupported kind of message", Cause::Error),
            seen: Seen::Close(1003, "unsupported kind of message"),
        },
        Row {
            name: "layer unavailable",
            query: "",
            steps: vec![Text("unavailable")],
            hooks: &[
                "connect",
                "receive unavailable",
                "error the channel layer is unavailable: no answer from redis",
                "disconnect",
            ],
            closed: (1013, "try again later", Cause::Error),
            seen: Seen::Close(1013, "try again later"),
        },
        Row {
            name: "error hook that returns Ok keeps the connection",
            query: "error=send sorry",
            steps: vec![
                Text("fail"),
                Expect("sorry"),
                Event("fail"),
                Expect("sorry"),
                Text("send still here"),
                Expect("still here"),
                Close(close_payload(1000, "")),
            ],
            hooks: &[
                "connect",
                "receive fail",
                "error a secret of the database",
                "event fail",
                "error a secret of the database",
                "receive send still here",
                "disconnect",
            ],
            closed: (1000, "", Cause::Client),
            seen: Seen::Close(1000, ""),
        },
        Row {
            name: "error hook that returns another error",
            query: "error=end 4005 instead",
            steps: vec![Text("fail")],
            hooks: &[
                "connect",
                "receive fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (4005, "instead", Cause::Error),
            seen: Seen::Close(4005, "instead"),
        },
        Row {
            name: "error hook that closes",
            query: "error=close 4006 so be it",
            steps: vec![Text("fail")],
            hooks: &[
                "connect",
                "receive fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (4006, "so be it", Cause::Server),
            seen: Seen::Close(4006, "so be it"),
        },
    ]
}

fn panics() -> Vec<Row> {
    vec![
        Row {
            name: "panic in receive",
            query: "",
            steps: vec![Text("send first;panic"), Expect("first")],
            hooks: &["connect", "receive send first;panic", "disconnect"],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "panic in receive after a wait",
            query: "",
            steps: vec![Text("sleep 1;panic")],
            hooks: &["connect", "receive sleep 1;panic", "disconnect"],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "panic in event",
            query: "",
            steps: vec![Event("panic")],
            hooks: &["connect", "event panic", "disconnect"],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "panic in error",
            query: "error=panic",
            steps: vec![Text("fail")],
            hooks: &[
                "connect",
                "receive fail",
                "error a secret of the database",
                "disconnect",
            ],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "panic in disconnect",
            query: "disconnect=panic",
            steps: vec![Close(close_payload(1000, ""))],
            hooks: &["connect", "disconnect"],
            closed: (1000, "", Cause::Client),
            seen: Seen::Close(1000, ""),
        },
        Row {
            name: "panic in disconnect after a panic in receive",
            query: "disconnect=panic",
            steps: vec![Text("panic")],
            hooks: &["connect", "receive panic", "disconnect"],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
        Row {
            name: "panic over state that the router lacks",
            query: "",
            steps: vec![Text("state")],
            hooks: &["connect", "receive state", "disconnect"],
            closed: (1011, "", Cause::Panic),
            seen: Seen::Close(1011, ""),
        },
    ]
}

fn violations() -> Vec<Row> {
    let rows: [(&str, Vec<u8>, u16, &str); 5] = [
        (
            "reserved opcode",
            frame(0x3, b""),
            1002,
            "reserved opcode 0x3",
        ),
        (
            "continuation of nothing",
            frame(CONTINUATION, b""),
            1002,
            "continuation of no message",
        ),
        (
            "not masked",
            vec![0x81, 0x00],
            1002,
            "unmasked frame: a client must mask every frame",
        ),
        (
            "oversized",
            frame(TEXT, [b'x'; 1001]),
            1009,
            "message longer than 1000 bytes",
        ),
        (
            "bad UTF-8",
            frame(TEXT, b"\xff"),
            1007,
            "text message is not valid UTF-8",
        ),
    ];
    let row = |(name, bytes, code, reason)| Row {
        name,
        query: "",
        steps: vec![Text("hello"), Bytes(bytes)],
        hooks: &["connect", "receive hello", "disconnect"],
        closed: (code, reason, Cause::Protocol),
        seen: Seen::Close(code, reason),
    };
    rows.into_iter().map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reason_is_cut_to_what_a_close_frame_takes() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    // 122 bytes and one letter of two.
    let reason = format!("{}é", "x".repeat(122));
    client.send_text(&format!("close 4000 {reason}")).await;
    let told = client.expect_close().await;
    assert_eq!(told, (4000, "x".repeat(122)));
    stage
        .assert_disconnected("long reason", (4000, &reason, Cause::Server))
        .await;
}
