//! The inbound rate: messages that count, messages that do not, and the close of a client that
//! exceeds it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use strait::ChannelLayer;
use strait::close::Cause;
use strait::config::Config;

use super::raw::Raw;
use super::stage::{Stage, seconds};
use crate::support::client::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, fragment, frame};

fn stage(per_second: u32, burst: u32) -> Stage {
    let config = Config::new().inbound_rate(per_second, burst);
    Stage::with(config, ChannelLayer::memory())
}

/// The next frame that is no pong.
async fn close_frame(client: &mut Raw) -> (u16, String) {
    loop {
        let frame = client.frame().await.expect("a close frame, not the end");
        if frame.opcode == CLOSE {
            return frame.close().expect("a code");
        }
        assert_eq!(frame.opcode, PONG);
    }
}

const REASON: &str = "more than 10 messages a second, 5 at once";

#[tokio::test(start_paused = true)]
async fn messages_pings_and_pongs_over_the_rate_close_with_1008() {
    for opcode in [TEXT, BINARY, PING, PONG] {
        let stage = stage(10, 5);
        // The recorder takes no binary messages, but keeps who sends them.
        let mut client = stage.enter("error=keep").await;
        for _ in 0..5 {
            client.send(opcode, "x").await;
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(stage.log.farewells().len(), 0, "{opcode}");
        client.send(opcode, "x").await;
        let closed = close_frame(&mut client).await;
        assert_eq!(closed, (1008, REASON.to_owned()), "{opcode}");
        let row = opcode.to_string();
        stage
            .assert_disconnected(&row, (1008, REASON, Cause::RateLimit))
            .await;
        let received = stage
            .log
            .lines()
            .iter()
            .filter(|line| line.starts_with("receive"))
            .count();
        assert_eq!(received, if opcode < CLOSE { 5 } else { 0 }, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_within_the_rate_stays_and_a_pause_allows_a_burst() {
    let stage = stage(10, 5);
    let mut client = stage.enter("").await;
    for _ in 0..200 {
        client.send_text("x").await;
        sleep(Duration::from_millis(100)).await;
    }
    for _ in 0..5 {
        sleep(Duration::from_secs(1)).await;
        for _ in 0..5 {
            client.send_text("x").await;
        }
    }
    sleep(Duration::from_millis(10)).await;
    assert_eq!(stage.log.lines().len(), 1 + 200 + 25);
    client.send_text("x").await;
    assert_eq!(close_frame(&mut client).await.0, 1008);
}

#[tokio::test(start_paused = true)]
async fn fragments_are_one_message_and_a_close_frame_is_none() {
    let stage = stage(10, 5);
    let mut client = stage.enter("").await;
    let mut message = fragment(TEXT, [b'x'; 1024]);
    message.extend(fragment(CONTINUATION, [b'x'; 1024]).repeat(50));
    message.extend(frame(CONTINUATION, b"end"));
    client.write(&message).await;
    for _ in 0..4 {
        client.send_text("x").await;
    }
    client.send_close(1000, "enough").await;
    assert_eq!(close_frame(&mut client).await.0, 1000);
    stage
        .assert_disconnected("close", (1000, "enough", Cause::Client))
        .await;
}

/// A flood is not read on and on: two seconds after the close frame its connection is over.
#[tokio::test(start_paused = true)]
async fn a_flood_is_over_soon() {
    let stage = stage(10, 5);
    let mut client = stage.enter("").await;
    let start = Instant::now();
    let flood = frame(PING, b"x").repeat(100);
    while client.try_write(&flood).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
        assert!(start.elapsed() < Duration::from_secs(10));
    }
    stage.over().await;
    assert_eq!(seconds(start), 2);
}

/// A slow hook stops the reading; messages that the client sent meanwhile at the agreed rate are
/// then found all at once.
#[tokio::test(start_paused = true)]
async fn a_peer_is_not_blamed_for_a_slow_hook() {
    let stage = stage(10, 5);
    let mut client = stage.enter("").await;
    client.send_text("sleep 60").await;
    for _ in 0..590 {
        sleep(Duration::from_millis(100)).await;
        client.send_text("x").await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.log.lines().len(), 1 + 1 + 590);
    assert_eq!(stage.log.farewells().len(), 0);
    for _ in 0..6 {
        client.send_text("x").await;
    }
    assert_eq!(close_frame(&mut client).await.0, 1008);
}

/// Without a limit nothing is counted.
#[tokio::test(start_paused = true)]
async fn there_is_no_limit_by_default() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    for _ in 0..2000 {
        client.send_text("x").await;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.log.lines().len(), 1 + 2000);
}
