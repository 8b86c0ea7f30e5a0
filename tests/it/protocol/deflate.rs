//! permessage-deflate as a client sees it: the answer to its offer, frames both ways, groups with
//! members of every kind, bombs.

use std::fs;
use std::future::poll_fn;
use std::pin::pin;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde_json::json;
use strait::config::{Config, Deflate};
use strait::service::WebSocketService;
use strait::testing::{Communicator, TestServer};
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use crate::support::client::{
    BINARY, CLOSE, CONTINUATION, Client, FIN, Frame, PING, PONG, RSV1, TEXT, fragment, frame,
    request,
};

const EXTENSIONS: &str = "sec-websocket-extensions";
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const ANSWER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        Ok(ctx.send(message).await?)
    }
}

/// Joins the group "all"; its events are forwarded by the hook, or relayed.
struct Member {
    relay: bool,
}

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        if self.relay {
            ctx.group_add("all").relay().await?;
        } else {
            ctx.group_add("all").await?;
        }
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        Ok(ctx.forward().await?)
    }
}

fn deflating() -> Config {
    Config::new().deflate(Deflate::new())
}

fn service(config: Config) -> WebSocketService {
    Router::new()
        .path("", |_| Ok(Echo))
        .config(config)
        .into_service()
        .0
}

#[tokio::test]
async fn the_answer_is_in_the_101() {
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10";
    let rows = [
        (None, Ok(None)),
        (Some(OFFER), Ok(Some(ANSWER))),
        (
            Some("permessage-deflate; server_max_window_bits=10"),
            Ok(Some(both)),
        ),
        (
            Some("permessage-deflate; server_max_window_bits=8"),
            Ok(None),
        ),
        (Some("x-webkit-deflate-frame"), Ok(None)),
        (Some("permessage-deflate; ="), Err(400)),
    ];
    for (offer, expected) in rows {
        // Without compression nothing is negotiated, so that nothing is read of the header either.
        for (config, expected) in [(deflating(), expected), (Config::new(), Ok(None))] {
            let mut client = Communicator::new(service(config), "/");
            if let Some(offer) = offer {
                client = client.header(EXTENSIONS, offer);
            }
            let answer = client.connect().await;
            let answer = answer
                .as_ref()
                .map(|accepted| accepted.headers.get(EXTENSIONS));
            let answer = answer.map(|value| value.map(|value| value.to_str().unwrap()));
            let answer = answer.map_err(|rejected| rejected.status.as_u16());
            assert_eq!(answer, expected, "{offer:?}");
        }
    }
}

#[tokio::test]
async fn a_malformed_offer_is_told_what_is_wrong() {
    let mut client = Communicator::new(service(deflating()), "/").header(EXTENSIONS, "a; b=");
    let rejected = client.connect().await.unwrap_err();
    assert!(
        rejected.body.contains("byte 5: no value behind '='"),
        "{rejected}"
    );
}

#[tokio::test]
async fn echoes_of_256_bytes_and_more_are_compressed() {
    let service = service(deflating());
    for offer in [OFFER, "permessage-deflate; server_max_window_bits=9"] {
        let mut client = Client::in_memory(&service, "/", Some(offer)).await;
        for len in [0, 1, 10, 255, 256, 257, 1000, 5000, 60_000, 65_536] {
            for opcode in [TEXT, BINARY] {
                let message = json_of(len);
                for fragments in [1, 2, 5] {
                    client.send_compressed(opcode, &message, fragments).await;
                    let frame = client.frame().await.unwrap();
                    assert_eq!(frame.is_compressed(), len >= 256, "{len} bytes, {offer}");
                    assert_eq!(frame.opcode & !RSV1, opcode);
                    assert_eq!(frame.message(), message, "{len} bytes, {offer}");
                    assert!(len < 1000 || frame.payload.len() < len / 2);
                }
                client.send(opcode, &message).await;
                assert_eq!(client.frame().await.unwrap().message(), message);
            }
        }
    }
}

#[tokio::test]
async fn incompressible_messages_are_sent_as_they_are() {
    let mut client = Client::in_memory(&service(deflating()), "/", Some(OFFER)).await;
    let noise = noise(65_536);
    client.send_compressed(BINARY, &noise, 1).await;
    let frame = client.frame().await.unwrap();
    assert!(!frame.is_compressed());
    assert_eq!(frame.payload, noise);
}

#[tokio::test]
async fn the_options_are_the_routes() {
    let options = Deflate::new().min_len(0).max_window_bits(9).level(9);
    let service = service(Config::new().deflate(options));
    let mut client = Client::in_memory(&service, "/", Some(OFFER)).await;
    client.send(TEXT, &[b'a'; 20]).await;
    let frame = client.frame().await.unwrap();
    assert!(frame.is_compressed());
    assert_eq!(frame.message(), [b'a'; 20]);
}

#[tokio::test]
async fn violations_of_compression_close_with_their_code() {
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let bad_text = compressed(b"\xFF\xFE");
    let too_long = compressed(&[b'a'; 65_537]);
    let later = [
        fragment(RSV1 | TEXT, &hello[..3]),
        frame(RSV1 | CONTINUATION, &hello[3..]),
    ];
    let rows = [
        ("not agreed", None, frame(RSV1 | TEXT, hello), 1002),
        ("a ping", Some(OFFER), frame(RSV1 | PING, ""), 1002),
        ("a pong", Some(OFFER), frame(RSV1 | PONG, ""), 1002),
        ("a close frame", Some(OFFER), frame(RSV1 | CLOSE, ""), 1002),
        ("a later fragment", Some(OFFER), later.concat(), 1002),
        (
            "another reserved bit",
            Some(OFFER),
            frame(0xE1, hello),
            1002,
        ),
        ("no DEFLATE", Some(OFFER), frame(RSV1 | TEXT, b"\x07"), 1007),
        ("no text", Some(OFFER), frame(RSV1 | TEXT, bad_text), 1007),
        (
            "too long",
            Some(OFFER),
            frame(RSV1 | BINARY, too_long),
            1009,
        ),
    ];
    let service = service(deflating());
    for (name, offer, frames, code) in rows {
        let mut client = Client::in_memory(&service, "/", offer).await;
        client.write(frames).await;
        let close = client.frame().await.unwrap();
        assert_eq!(close.opcode, CLOSE, "{name}");
        assert_eq!(close.payload[..2], u16::to_be_bytes(code), "{name}");
    }
}

#[tokio::test]
async fn members_of_every_kind_get_the_same_by_every_way() {
    let layer = ChannelLayer::memory();
    let router = Router::new()
        .path("hook/", |_| Ok(Member { relay: false }))
        .path("relay/", |_| Ok(Member { relay: true }))
        .config(deflating())
        .channel_layer(layer.clone());
    let server = TestServer::spawn(router).await.unwrap();
    let offers = [
        None,
        Some("permessage-deflate".to_owned()),
        Some("permessage-deflate; server_max_window_bits=12".to_owned()),
        Some("permessage-deflate; server_max_window_bits=9".to_owned()),
        None,
        Some("permessage-deflate".to_owned()),
    ];
    let mut members = Vec::new();
    for path in ["/hook/", "/relay/"] {
        for offer in &offers {
            let member = over_tcp(&server, path, offer.as_deref()).await;
            members.push((offer.is_some(), member));
        }
    }
    let lens = [10, 300, 5000, 200, 40_000, 256, 70];
    for (number, len) in lens.into_iter().enumerate() {
        let event = json!({"type": "a", "number": number, "filler": "é".repeat(len / 2)});
        layer.group_send("all", &event).await.unwrap();
        layer.group_broadcast("all", "x".repeat(len)).await.unwrap();
    }
    for (compresses, member) in &mut members {
        let (mut events, mut ready) = (0, 0);
        while events + ready < 2 * lens.len() {
            let frame = member.frame().await.unwrap();
            let message = frame.message();
            assert_eq!(frame.is_compressed(), *compresses && message.len() >= 256);
            if message[0] == b'{' {
                let event: serde_json::Value = serde_json::from_slice(&message).unwrap();
                assert_eq!(event["number"], events);
                assert_eq!(event["filler"], "é".repeat(lens[events] / 2));
                events += 1;
            } else {
                assert_eq!(message, "x".repeat(lens[ready]).as_bytes());
                ready += 1;
            }
        }
    }
    drop(members);
    server.stop().await;
}

#[tokio::test]
async fn the_queue_counts_what_is_really_queued() {
    struct Talkative;
    impl Consumer for Talkative {
        async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
            for _ in 0..50 {
                ctx.send_text("a".repeat(1000)).await?;
            }
            Ok(Accept::new())
        }
    }
    let config = deflating().outgoing(1000, 4096);
    let service = Router::new()
        .path("", |_| Ok(Talkative))
        .config(config)
        .into_service()
        .0;
    let plain = Communicator::new(&service, "/").connect().await;
    assert_eq!(plain.unwrap_err().status, 500, "50,000 bytes do not fit");
    let mut client = Communicator::new(&service, "/").header(EXTENSIONS, OFFER);
    client.connect().await.unwrap();
    for _ in 0..50 {
        assert_eq!(client.receive_text().await.unwrap(), "a".repeat(1000));
    }
}

#[tokio::test]
async fn a_bomb_over_tcp_is_refused_with_1009_in_bounded_memory() {
    let server = TestServer::spawn(Router::new().path("", |_| Ok(Echo)).config(deflating()));
    let server = server.await.unwrap();
    // As long as a frame's header may declare it, 132 KB, of 130 MB: a megabyte of nothing, again
    // and again.
    let mut megabyte = compressed(&vec![0; 1 << 20]);
    megabyte.extend([0, 0, 0xFF, 0xFF]);
    let bomb = megabyte.repeat(132_000 / megabyte.len());
    assert!(bomb.len() > 120_000, "{}", bomb.len());
    // The peak from here on.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_of_memory();
    for _ in 0..20 {
        let mut client = over_tcp(&server, "/", Some(OFFER)).await;
        client.send(RSV1 | BINARY, &bomb).await;
        let close = client.frame().await.unwrap();
        assert_eq!(
            (close.opcode, &close.payload[..2]),
            (CLOSE, &1009_u16.to_be_bytes()[..])
        );
    }
    let grown = peak_of_memory() - before;
    assert!(grown < 16 << 20, "grew by {grown} bytes");
    server.stop().await;
}

/// The most that this process had resident, in bytes.
fn peak_of_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

impl Frame {
    fn is_compressed(&self) -> bool {
        self.opcode & RSV1 != 0
    }

    /// The payload, inflated if it is compressed.
    fn message(&self) -> Vec<u8> {
        if !self.is_compressed() {
            return self.payload.clone();
        }
        let mut message = Vec::with_capacity(1 << 20);
        let input = [&self.payload[..], &[0, 0, 0xFF, 0xFF]].concat();
        let mut state = Decompress::new(false);
        state
            .decompress_vec(&input, &mut message, FlushDecompress::None)
            .unwrap();
        message
    }
}

impl Client<DuplexStream> {
    async fn in_memory(service: &WebSocketService, path: &str, offer: Option<&str>) -> Self {
        let mut client = Communicator::new(service, path);
        if let Some(offer) = offer {
            client = client.header(EXTENSIONS, offer);
        }
        client.connect().await.unwrap();
        Self::over(client.into_stream().unwrap())
    }

    /// A compressed message in this many frames.
    async fn send_compressed(&mut self, opcode: u8, message: &[u8], fragments: usize) {
        let payload = compressed(message);
        let size = payload.len().div_ceil(fragments).max(1);
        let parts: Vec<_> = payload.chunks(size).collect();
        for (at, part) in parts.iter().enumerate() {
            let first = if at == 0 { RSV1 | opcode } else { CONTINUATION };
            let fin = if at == parts.len() - 1 { FIN } else { 0 };
            self.write(fragment(fin | first, part)).await;
        }
    }
}

async fn over_tcp(server: &TestServer, path: &str, offer: Option<&str>) -> Client {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let offer = offer.map_or(String::new(), |offer| format!("{EXTENSIONS}: {offer}\r\n"));
    Client::open(stream, &request(path, &offer)).await
}

/// As a client compresses it.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 100);
    let mut state = Compress::new(Compression::new(6), false);
    state
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .unwrap();
    out.truncate(out.len() - 4);
    out
}

/// The beginning of a list of records.
fn json_of(len: usize) -> Vec<u8> {
    let records = (0..len / 20 + 1).map(|n| format!("{{\"id\":{n},\"status\":\"shipped\"}},"));
    let mut bytes = records.collect::<String>().into_bytes();
    bytes.truncate(len);
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

/// Sends a mebibyte for any message, then how often the send had to wait.
struct Sender;

impl Consumer for Sender {
    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        let mut sending = pin!(ctx.send(LONG.repeat(1 << 17)));
        let mut waits = 0;
        poll_fn(|cx| {
            let poll = sending.as_mut().poll(cx);
            waits += usize::from(poll.is_pending());
            poll
        })
        .await?;
        Ok(ctx.send(waits.to_string()).await?)
    }
}

const LONG: &str = "shipped ";

#[tokio::test]
async fn a_long_message_leaves_others_their_turn_while_it_is_compressed() {
    let config = deflating().outgoing(100, 1 << 24);
    let router = Router::new().path("", |_| Ok(Sender)).config(config);
    let mut client = Communicator::new(router, "/").header(EXTENSIONS, OFFER);
    client.connect().await.unwrap();
    client.send_text("now").await.unwrap();
    let message = client.receive_text().await.unwrap();
    assert!(message == LONG.repeat(1 << 17), "{} bytes", message.len());
    let waits: u32 = client.receive_text().await.unwrap().parse().unwrap();
    // Sixteen steps of 64 KiB: the first at the call, the last with the frame.
    assert_eq!(waits, 14);
}
