//! RFC 6455 seen from the wire: raw frames to an echo on a real port, and what comes back.
//!
//! The codec has its own, longer list of cases; here the whole server is the box.

use std::future::Future;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use strait::close::Cause;
use strait::config::Config;
use strait::testing::TestServer;
use strait::{Closed, Consumer, Context, Message, Router};

use crate::support::client::{
    BINARY, CLOSE, CONTINUATION, Client, FIN, Frame, MASK, PING, PONG, TEXT, close_payload,
    fragment, frame, header, masked,
};

/// Sends back what it gets, but `big N` (N bytes) and `close CODE REASON`; tells how it ended.
struct Echo(UnboundedSender<Closed>);

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let words: Vec<_> = message.as_text().unwrap_or_default().split(' ').collect();
        match words[..] {
            ["big", size] => ctx.send_text("x".repeat(size.parse()?)).await?,
            ["close", code, reason] => ctx.close(code.parse::<u16>()?, reason).await?,
            _ => ctx.send(message).await?,
        }
        Ok(())
    }

    async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
        let _ = self.0.send(closed);
    }
}

struct BlackBox {
    server: TestServer,
    ended: UnboundedReceiver<Closed>,
}

impl BlackBox {
    async fn new(config: Config) -> Self {
        let (sender, ended) = unbounded_channel();
        let router = Router::new()
            .path("ws/", move |_| Ok(Echo(sender.clone())))
            .config(config);
        Self {
            server: TestServer::spawn(router).await.unwrap(),
            ended,
        }
    }

    async fn client(&self) -> Client {
        let mut client = Client::connect(self.server.local_addr(), "/ws/").await;
        client.stream.set_nodelay(true).unwrap();
        client.patience = Some(PATIENCE);
        client
    }

    /// How the connection ended that ended next.
    async fn ended(&mut self) -> Closed {
        within(self.ended.recv()).await.unwrap()
    }
}

impl Client {
    /// Sends in two writes that arrive apart.
    async fn send_cut(&mut self, bytes: &[u8], cut: usize) {
        self.write(&bytes[..cut]).await;
        apart().await;
        self.write(&bytes[cut..]).await;
    }

    /// The stream must end now, and not by a reset.
    async fn end(&mut self) {
        let read = self.read().await.unwrap();
        assert_eq!(read, 0, "no end: {:?}", self.unread);
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// Less than any limit by which a server would end a connection by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Long enough for what was written to be read by itself; nothing depends on it but how often two
/// reads are one.
async fn apart() {
    sleep(Duration::from_millis(1)).await;
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(CLOSE, close_payload(code, reason))
}

/// The bytes to send, and the expected answer.
struct Row {
    name: &'static str,
    sends: Vec<u8>,
    gets: Vec<Frame>,
}

fn row(name: &'static str, sends: &[Vec<u8>], gets: &[(u8, &[u8])]) -> Row {
    Row {
        name,
        sends: sends.concat(),
        gets: gets
            .iter()
            .map(|(opcode, payload)| Frame::new(*opcode, *payload))
            .collect(),
    }
}

fn good_rows() -> Vec<Row> {
    let long = [b'x'; 125];
    vec![
        row("text", &[frame(TEXT, "hello")], &[(TEXT, b"hello")]),
        row("empty text", &[frame(TEXT, "")], &[(TEXT, b"")]),
        row("binary", &[frame(BINARY, [0, 255])], &[(BINARY, &[0, 255])]),
        row("empty binary", &[frame(BINARY, "")], &[(BINARY, b"")]),
        row(
            "text of three scripts",
            &[frame(TEXT, "aé水😀")],
            &[(TEXT, "aé水😀".as_bytes())],
        ),
        row("125 bytes", &[frame(TEXT, long)], &[(TEXT, &long)]),
        row(
            "126 bytes",
            &[frame(TEXT, [b'x'; 126])],
            &[(TEXT, &[b'x'; 126])],
        ),
        row(
            "several frames in one write",
            &[frame(TEXT, "1"), frame(BINARY, "2"), frame(TEXT, "3")],
            &[(TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3")],
        ),
        row(
            "two fragments",
            &[fragment(TEXT, "hel"), frame(CONTINUATION, "lo")],
            &[(TEXT, b"hello")],
        ),
        row(
            "three fragments",
            &[
                fragment(BINARY, "a"),
                fragment(CONTINUATION, "b"),
                frame(CONTINUATION, "c"),
            ],
            &[(BINARY, b"abc")],
        ),
        row(
            "empty fragments",
            &[
                fragment(TEXT, ""),
                fragment(CONTINUATION, ""),
                frame(CONTINUATION, ""),
            ],
            &[(TEXT, b"")],
        ),
        row(
            "a character over three fragments",
            &[
                fragment(TEXT, [0xf0, 0x9f]),
                fragment(CONTINUATION, [0x98]),
                frame(CONTINUATION, [0x80]),
            ],
            &[(TEXT, "😀".as_bytes())],
        ),
        row(
            "a ping between fragments",
            &[
                fragment(TEXT, "a"),
                frame(PING, "1"),
                fragment(CONTINUATION, "b"),
                frame(PONG, "unasked"),
                frame(CONTINUATION, "c"),
            ],
            &[(PONG, b"1"), (TEXT, b"abc")],
        ),
        row("ping", &[frame(PING, "p")], &[(PONG, b"p")]),
        row("empty ping", &[frame(PING, "")], &[(PONG, b"")]),
        row("long ping", &[frame(PING, long)], &[(PONG, &long)]),
        row(
            "unasked pong",
            &[frame(PONG, "x"), frame(TEXT, "y")],
            &[(TEXT, b"y")],
        ),
    ]
}

#[tokio::test]
async fn good_frames_come_back_however_they_are_cut() {
    let tested = BlackBox::new(Config::new()).await;
    for Row { name, sends, gets } in good_rows() {
        let mut client = tested.client().await;
        // Of the long ones the middle is left out.
        let (near, far) = (sends.len().min(48), sends.len().max(58) - 10);
        for cut in (0..near).chain(far..sends.len()) {
            client.send_cut(&sends, cut).await;
            for expected in &gets {
                assert_eq!(
                    client.frame().await.unwrap(),
                    *expected,
                    "{name}, cut at {cut}"
                );
            }
        }
        for byte in &sends {
            client.write([*byte]).await;
        }
        for expected in &gets {
            assert_eq!(
                client.frame().await.unwrap(),
                *expected,
                "{name}, byte by byte"
            );
        }
    }
}

#[tokio::test]
async fn of_pings_that_come_together_the_last_at_least_is_answered() {
    let tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    let pings: Vec<u8> = (0..9).flat_map(|n| frame(PING, [n])).collect();
    let begun = fragment(TEXT, "a");
    client
        .write([begun, pings, frame(CONTINUATION, "b")].concat())
        .await;
    let mut answered = Vec::new();
    loop {
        match client.frame().await.unwrap() {
            Frame {
                opcode: PONG,
                payload,
            } => answered.extend(payload),
            message => break assert_eq!(message, Frame::text("ab")),
        }
    }
    assert!(answered.is_sorted(), "{answered:?}");
    assert_eq!(answered.last(), Some(&8));
}

#[tokio::test]
async fn frames_of_every_length_form_come_back() {
    let tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        client.write(frame(BINARY, &payload)).await;
        let Frame {
            opcode,
            payload: got,
        } = client.frame().await.unwrap();
        assert_eq!((opcode, got == payload), (BINARY, true), "{length} bytes");
    }
}

#[tokio::test]
async fn a_thousand_frames_in_one_write_keep_their_order() {
    let tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    let all: Vec<u8> = (0..1000).flat_map(|n| frame(TEXT, n.to_string())).collect();
    client.write(all).await;
    for n in 0..1000 {
        let expected = Frame::text(&n.to_string());
        assert_eq!(client.frame().await.unwrap(), expected);
    }
}

/// A violation of the protocol, and its code. The message before it is `good`.
fn bad_rows() -> Vec<(&'static str, Vec<u8>, u16)> {
    let many = [b'x'; 126];
    vec![
        ("an unmasked text", vec![0x81, 0x02, b'h', b'i'], 1002),
        ("an unmasked close", vec![0x88, 0x00], 1002),
        ("reserved bit 1", frame(TEXT | 0x40, "x"), 1002),
        ("reserved bit 2", frame(TEXT | 0x20, "x"), 1002),
        ("reserved bit 3", frame(TEXT | 0x10, "x"), 1002),
        ("a reserved bit on a ping", frame(PING | 0x40, "x"), 1002),
        ("reserved opcode 3", frame(0x83, "x"), 1002),
        ("reserved opcode 7", frame(0x87, "x"), 1002),
        ("reserved opcode b", frame(0x8b, "x"), 1002),
        ("reserved opcode f", frame(0x8f, "x"), 1002),
        ("a fragmented ping", fragment(PING, "x"), 1002),
        ("a fragmented close", fragment(CLOSE, ""), 1002),
        ("a ping of 126 bytes", frame(PING, many), 1002),
        ("a close of 126 bytes", frame(CLOSE, many), 1002),
        ("a continuation of nothing", frame(CONTINUATION, "x"), 1002),
        (
            "a message within a message",
            [fragment(TEXT, "a"), frame(TEXT, "b")].concat(),
            1002,
        ),
        (
            "a length of 5 in 16 bits",
            [&[FIN | TEXT, 0xfe, 0, 5][..], &MASK, b"xxxxx"].concat(),
            1002,
        ),
        (
            "a length of 5 in 64 bits",
            [
                &[FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 5][..],
                &MASK,
                b"xxxxx",
            ]
            .concat(),
            1002,
        ),
        (
            "a length with its highest bit",
            [&[FIN | TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat(),
            1002,
        ),
        ("text that is not UTF-8", frame(TEXT, [b'a', 0xff]), 1007),
        ("an overlong encoding", frame(TEXT, [0xc0, 0xaf]), 1007),
        ("a surrogate", frame(TEXT, [0xed, 0xa0, 0x80]), 1007),
        ("a character cut off", frame(TEXT, [0xe6, 0xb0]), 1007),
        (
            "a character cut off by the last fragment",
            [fragment(TEXT, [0xe6]), frame(CONTINUATION, [0xb0])].concat(),
            1007,
        ),
        (
            "a message of 64 KiB and one byte",
            frame(BINARY, [0; 65_537]),
            1009,
        ),
        (
            "a declared length of 64 KiB and one byte",
            header(FIN | TEXT, 65_537),
            1009,
        ),
        (
            "a declared length of 2^62",
            header(FIN | TEXT, 1 << 62),
            1009,
        ),
        (
            "fragments of 64 KiB and one byte",
            [fragment(BINARY, [0; 65_536]), header(FIN | CONTINUATION, 1)].concat(),
            1009,
        ),
        ("half a close code", frame(CLOSE, [0x03]), 1002),
        ("close code 0", close(0, ""), 1002),
        ("close code 999", close(999, ""), 1002),
        ("close code 1004", close(1004, ""), 1002),
        ("close code 1005", close(1005, ""), 1002),
        ("close code 1006", close(1006, ""), 1002),
        ("close code 1015", close(1015, ""), 1002),
        ("close code 1016", close(1016, ""), 1002),
        ("close code 2999", close(2999, ""), 1002),
        ("close code 5000", close(5000, ""), 1002),
        ("close code 65535", close(65_535, ""), 1002),
        (
            "a close reason that is not UTF-8",
            frame(CLOSE, [0x03, 0xe8, 0xff]),
            1007,
        ),
    ]
}

#[tokio::test]
async fn violations_of_the_protocol_close_with_their_code_and_end_the_stream() {
    // A server that waited for it would fail the test.
    let mut tested = BlackBox::new(Config::new().close_timeout(Duration::from_secs(60))).await;
    for (name, bad, code) in bad_rows() {
        let mut client = tested.client().await;
        client.write([frame(TEXT, "good"), bad].concat()).await;
        let good = Frame::text("good");
        assert_eq!(client.frame().await.unwrap(), good, "{name}");
        let Frame { opcode, payload } = client.frame().await.unwrap();
        assert_eq!(opcode, CLOSE, "{name}");
        assert_eq!(payload[..2], code.to_be_bytes(), "{name}");
        assert!(payload.len() > 2, "{name}: a reason");
        let closed = tested.ended().await;
        assert_eq!(closed.code(), code, "{name}");
        assert_eq!(closed.reason().as_bytes(), &payload[2..], "{name}");
        assert_eq!(closed.cause(), Cause::Protocol, "{name}");
        client.write(close(code, "")).await;
        client.end().await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_become_valid_is_refused_before_it_is_whole() {
    let tested = BlackBox::new(Config::new()).await;
    let begun = |first: u8, payload: &[u8]| {
        let mut bytes = header(first, 1000);
        bytes.extend(masked(payload));
        bytes
    };
    let rows = [
        (
            "bad UTF-8 early in a long frame",
            begun(FIN | TEXT, b"ab\xff"),
            1007_u16,
        ),
        (
            "bad UTF-8 early in a fragment",
            begun(TEXT, b"\xed\xa0"),
            1007,
        ),
        (
            "a character that the next fragment breaks",
            [fragment(TEXT, [0xe6]), begun(CONTINUATION, b"a")].concat(),
            1007,
        ),
        ("a reserved bit in the first byte", vec![0xc1], 1002),
        ("a reserved opcode in the first byte", vec![0x85], 1002),
        ("no mask in the second byte", vec![0x81, 0x05], 1002),
        ("a long ping in the second byte", vec![0x89, 0xfe], 1002),
        (
            "a length over the limit",
            header(FIN | BINARY, 65_537),
            1009,
        ),
    ];
    for (name, begun, code) in rows {
        let mut client = tested.client().await;
        client.write(begun).await;
        let Frame { opcode, payload } = client.frame().await.unwrap();
        assert_eq!(opcode, CLOSE, "{name}");
        assert_eq!(payload[..2], code.to_be_bytes(), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_while_it_sends_much_still_gets_the_code() {
    let mut tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    client.write(frame(BINARY, vec![0; 300_000])).await;
    let Frame { opcode, payload } = client.frame().await.unwrap();
    assert_eq!(
        (opcode, &payload[..2]),
        (CLOSE, &1009_u16.to_be_bytes()[..])
    );
    assert_eq!(tested.ended().await.code(), 1009);
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_the_stream_ends() {
    let mut tested = BlackBox::new(Config::new()).await;
    let longest = "r".repeat(123);
    let rows: [(Option<u16>, &str); 12] = [
        (None, ""),
        (Some(1000), ""),
        (Some(1000), "bye"),
        (Some(1001), "page left \u{1F44B}"),
        (Some(1001), &longest),
        (Some(1003), ""),
        (Some(1007), ""),
        (Some(1011), ""),
        (Some(1014), ""),
        (Some(3000), ""),
        (Some(4000), "mine"),
        (Some(4999), ""),
    ];
    for (code, reason) in rows {
        let mut client = tested.client().await;
        let payload = code.map_or_else(Vec::new, |code| close_payload(code, reason));
        client.write(frame(CLOSE, payload)).await;
        let answer = code.map_or_else(Vec::new, |code| close_payload(code, ""));
        assert_eq!(
            client.frame().await.unwrap(),
            Frame::new(CLOSE, answer),
            "{code:?}"
        );
        client.end().await;
        let closed = tested.ended().await;
        assert_eq!(closed.code(), code.unwrap_or(1005), "{code:?}");
        assert_eq!(closed.reason(), reason, "{code:?}");
        assert_eq!(closed.cause(), Cause::Client, "{code:?}");
        assert!(closed.by_client(), "{code:?}");
    }
}

#[tokio::test]
async fn messages_before_a_close_are_answered_and_later_ones_are_not() {
    let mut tested = BlackBox::new(Config::new()).await;
    let before = frame(TEXT, "before");
    let after = [frame(TEXT, "after"), frame(PING, "?"), vec![0xff; 20]].concat();
    let whole = [before.clone(), close(1000, ""), after].concat();
    for cut in [
        whole.len(),
        before.len(),
        before.len() + 8,
        before.len() + 3,
    ] {
        let mut client = tested.client().await;
        client.send_cut(&whole, cut).await;
        let expected = Frame::text("before");
        assert_eq!(client.frame().await.unwrap(), expected, "cut at {cut}");
        let expected = Frame::new(CLOSE, close_payload(1000, ""));
        assert_eq!(client.frame().await.unwrap(), expected, "cut at {cut}");
        let _ = within(client.stream.read_buf(&mut client.unread)).await;
        assert!(client.unread.is_empty(), "cut at {cut}");
        assert_eq!(tested.ended().await.code(), 1000, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_close_of_the_server_waits_for_the_answer_and_ends_the_stream() {
    // A server that waited for it would fail the test.
    let mut tested = BlackBox::new(Config::new().close_timeout(Duration::from_secs(60))).await;
    for answer in [close(4001, ""), close(1000, "other"), frame(CLOSE, "")] {
        let mut client = tested.client().await;
        client.write(frame(TEXT, "close 4001 enough")).await;
        let expected = Frame::new(CLOSE, close_payload(4001, "enough"));
        assert_eq!(client.frame().await.unwrap(), expected);
        // A message under way is no longer answered.
        client
            .write([frame(TEXT, "late"), frame(PING, "late")].concat())
            .await;
        let early = timeout(Duration::from_millis(50), client.stream.readable());
        assert!(early.await.is_err(), "the answer was not waited for");
        client.write(answer).await;
        client.end().await;
        let closed = tested.ended().await;
        assert_eq!((closed.code().as_u16(), closed.reason()), (4001, "enough"));
        assert_eq!(closed.cause(), Cause::Server);
        assert!(!closed.by_client());
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_given_up() {
    let mut tested = BlackBox::new(Config::new().close_timeout(Duration::from_millis(100))).await;
    let mut client = tested.client().await;
    client.write(frame(TEXT, "close 1000 bye")).await;
    assert_eq!(client.frame().await.unwrap().opcode, CLOSE);
    let end = within(client.stream.read_buf(&mut client.unread)).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert_eq!(tested.ended().await.code(), 1000);
    assert_eq!(within(tested.server.stop()).await.abandoned, 0);
}

#[tokio::test]
async fn exactly_64_kib_are_accepted_by_default_whole_or_in_fragments() {
    let tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    let most = vec![b'x'; 65_536];
    let (head, tail) = most.split_at(65_000);
    let rows = [
        frame(TEXT, &most),
        [fragment(TEXT, head), frame(CONTINUATION, tail)].concat(),
        [fragment(TEXT, &most), frame(CONTINUATION, "")].concat(),
    ];
    for sends in rows {
        client.write(sends).await;
        let Frame { opcode, payload } = client.frame().await.unwrap();
        assert_eq!((opcode, payload.len()), (TEXT, 65_536));
    }
}

#[tokio::test]
async fn the_limit_is_the_configurations() {
    const MIB: usize = 1 << 20;
    let mut tested = BlackBox::new(Config::new().max_message(MIB)).await;
    let mut client = tested.client().await;
    let payload: Vec<u8> = (0..MIB).map(|n| (n % 253) as u8).collect();
    client.write(frame(BINARY, &payload)).await;
    let Frame {
        opcode,
        payload: echoed,
    } = client.frame().await.unwrap();
    assert_eq!((opcode, echoed == payload), (BINARY, true));
    client.write(header(FIN | BINARY, MIB as u64 + 1)).await;
    let Frame {
        opcode,
        payload: refused,
    } = client.frame().await.unwrap();
    assert_eq!(
        (opcode, &refused[..2]),
        (CLOSE, &1009_u16.to_be_bytes()[..])
    );
    assert!(String::from_utf8_lossy(&refused).contains("1048576"));
    assert_eq!(tested.ended().await.code(), 1009);
}

#[tokio::test]
async fn a_servers_message_of_any_length_arrives_whole() {
    let tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    for size in [65_535, 65_536, 65_537, 500_000, 3_000_000] {
        client.write(frame(TEXT, format!("big {size}"))).await;
        let Frame { opcode, payload } = client.frame().await.unwrap();
        assert_eq!((opcode, payload.len()), (TEXT, size));
        assert!(payload.iter().all(|byte| *byte == b'x'));
    }
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_close_is_1006() {
    let mut tested = BlackBox::new(Config::new()).await;
    let text = frame(TEXT, "hello");
    let rows = [
        ("between frames", text.clone()),
        (
            "within a header",
            [text.clone(), text[..1].to_vec()].concat(),
        ),
        ("within a mask", [text.clone(), text[..4].to_vec()].concat()),
        (
            "within a payload",
            [text.clone(), text[..8].to_vec()].concat(),
        ),
        (
            "between fragments",
            [text.clone(), fragment(TEXT, "x")].concat(),
        ),
        (
            "within a close",
            [text.clone(), close(1000, "")[..7].to_vec()].concat(),
        ),
    ];
    for reset in [false, true] {
        for (name, sends) in &rows {
            let mut client = tested.client().await;
            client.write(sends).await;
            let expected = Frame::text("hello");
            assert_eq!(client.frame().await.unwrap(), expected, "{name}");
            if reset {
                client.stream.set_zero_linger().unwrap();
            }
            drop(client);
            let closed = tested.ended().await;
            assert_eq!(closed.code(), 1006, "{name}, reset: {reset}");
            assert_eq!(closed.cause(), Cause::Lost, "{name}, reset: {reset}");
            assert!(closed.by_client(), "{name}, reset: {reset}");
        }
    }
}

#[tokio::test]
async fn a_client_that_only_stops_writing_is_gone_too() {
    let mut tested = BlackBox::new(Config::new()).await;
    let mut client = tested.client().await;
    client.write(frame(TEXT, "last")).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(tested.ended().await.code(), 1006);
    assert_eq!(client.frame().await.unwrap(), Frame::text("last"));
    client.end().await;
}
