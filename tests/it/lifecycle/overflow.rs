//! Full queues: the connections that are closed, the errors, and the messages that are dropped.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use strait::close::Cause;
use strait::config::{Config, Overflow};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Reject};

use super::stage::{Stage, seconds};
use crate::support::client::{CLOSE, TEXT};

const SLOW_HOOK: &str = "too slow for the events sent to it";
const SLOW_READER: &str = "too slow for the messages sent to it";

#[tokio::test(start_paused = true)]
async fn a_hook_may_be_1024_events_behind() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    sleep(Duration::from_millis(1)).await;
    for _ in 0..1024 {
        stage.event("x").await;
    }
    let quiet = timeout(Duration::from_secs(1), client.frame()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    stage.log.open_gate();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.log.lines().len(), 2 + 1024);
    client.send_text("send still here").await;
    client.expect_text("still here").await;
}

#[tokio::test(start_paused = true)]
async fn one_event_more_closes_with_1013() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    sleep(Duration::from_millis(1)).await;
    for _ in 0..1025 {
        stage.event("x").await;
    }
    let frame = client.frame().await.unwrap();
    assert_eq!(frame.opcode, CLOSE);
    let told = frame.close();
    assert_eq!(told, Some((1013, SLOW_HOOK.to_owned())));
    client.send(CLOSE, &frame.payload[..2]).await;
    stage.log.open_gate();
    stage
        .assert_disconnected("slow hook", (1013, SLOW_HOOK, Cause::SlowHook))
        .await;
    assert_eq!(stage.log.lines(), ["connect", "event wait", "disconnect"]);
}

#[tokio::test(start_paused = true)]
async fn a_mebibyte_of_events_is_the_bound_as_well() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    sleep(Duration::from_millis(1)).await;
    let large = "x".repeat(100_000);
    let mut sent = 0;
    while timeout(Duration::from_millis(10), client.frame())
        .await
        .is_err()
    {
        stage.event(&large).await;
        sent += 1;
    }
    // The eleventh overshoots, the twelfth is too many.
    assert_eq!(sent, 12);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_group_that_may_drop_are_dropped_and_counted() {
    let layer = ChannelLayer::memory().overflow("ro*", Overflow::Drop);
    let stage = Stage::with(Config::new(), layer);
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    sleep(Duration::from_millis(1)).await;
    for number in 0..1024 + 7 {
        stage.event(&format!("x{number}")).await;
    }
    stage.log.open_gate();
    sleep(Duration::from_secs(1)).await;
    client.send_text("dropped").await;
    client.expect_text("7").await;
    client.send_text("dropped").await;
    client.expect_text("0").await;
    let lines = stage.log.lines();
    let newest = lines.iter().rfind(|line| line.starts_with("event"));
    assert_eq!(newest.unwrap(), "event x1023", "the newest are dropped");
    client.send_close(1000, "").await;
    stage
        .assert_disconnected("drop", (1000, "", Cause::Client))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_direct_event_to_a_full_channel_is_an_error_and_closes_nobody() {
    let stage = Stage::with(Config::new().events(3, 1 << 20), ChannelLayer::memory());
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    sleep(Duration::from_millis(1)).await;
    let name = stage.log.names().remove(0);
    for _ in 0..3 {
        let published = stage.layer.send(name.clone(), &Event::new("x")).await;
        assert_eq!(published.unwrap().receivers, 1);
    }
    let full = stage.layer.send(name.clone(), &Event::new("x")).await;
    assert!(full.unwrap_err().is_full());
    stage.log.open_gate();
    client.send_text("send still here").await;
    client.expect_text("still here").await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_too_far_behind_is_closed_with_4008_and_reset_if_it_takes_no_byte() {
    for reads_on in [true, false] {
        let stage = Stage::new();
        let mut client = stage.enter("").await;
        let start = Instant::now();
        let mut published = 0;
        while stage.sockets.count() == 1 && stage.log.farewells().is_empty() {
            let text = format!("{published:01000}");
            stage.layer.group_broadcast("room", text).await.unwrap();
            published += 1;
            // Let it be delivered.
            tokio::task::yield_now().await;
            assert!(published < 2000);
        }
        assert!(published > 1024, "{published}");
        if reads_on {
            let mut number = 0;
            let last = loop {
                let frame = client.frame().await.unwrap();
                if frame.opcode != TEXT {
                    break frame;
                }
                let text = String::from_utf8(frame.payload).unwrap();
                assert_eq!(text, format!("{number:01000}"));
                number += 1;
            };
            // The frames in the pipe, without the queue.
            assert!((60..100).contains(&number), "{number}");
            let told = last.close();
            assert_eq!(told, Some((4008, SLOW_READER.to_owned())));
            client.send(CLOSE, &last.payload[..2]).await;
        }
        stage
            .assert_disconnected("4008", (4008, SLOW_READER, Cause::SlowReader))
            .await;
        // `write_timeout`.
        assert_eq!(seconds(start), if reads_on { 0 } else { 10 });
        assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_a_group_that_may_drop_are_dropped_and_counted() {
    let layer = ChannelLayer::memory().overflow("room", Overflow::Drop);
    let config = Config::new().outgoing(10, 1 << 20);
    let stage = Stage::with(config, layer);
    let mut client = stage.enter("connect=wait").now_or_later(&stage, 25).await;
    for number in 0..10 {
        client.expect_text(&number.to_string()).await;
    }
    client.send_text("dropped").await;
    client.expect_text("15").await;
}

#[tokio::test(start_paused = true)]
async fn group_frames_that_do_not_fit_during_connect_let_it_finish_and_close_with_4008() {
    let stage = Stage::new();
    let mut client = stage
        .enter("connect=send welcome;wait;send late")
        .now_or_later(&stage, 1025)
        .await;
    assert_eq!(client.expect_close().await, (4008, SLOW_READER.to_owned()));
    stage
        .assert_disconnected("in connect", (4008, SLOW_READER, Cause::SlowReader))
        .await;
    assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
}

#[tokio::test(start_paused = true)]
async fn events_that_do_not_fit_during_connect_let_it_finish_and_close_with_1013() {
    let stage = Stage::with(Config::new().events(3, 1 << 20), ChannelLayer::memory());
    let entering = stage.enter("connect=wait;send hello");
    let events = async {
        sleep(Duration::from_millis(1)).await;
        for _ in 0..4 {
            stage.event("x").await;
        }
        sleep(Duration::from_millis(1)).await;
        stage.log.open_gate();
    };
    let (mut client, ()) = tokio::join!(entering, events);
    assert_eq!(client.expect_close().await, (1013, SLOW_HOOK.to_owned()));
    stage
        .assert_disconnected("in connect", (1013, SLOW_HOOK, Cause::SlowHook))
        .await;
    assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
}

/// While a handshake waits in its `connect`: this many frames for its group.
trait Meanwhile: Future<Output = super::raw::Raw> + Sized {
    async fn now_or_later(self, stage: &Stage, frames: usize) -> super::raw::Raw {
        let publish = async {
            sleep(Duration::from_millis(1)).await;
            for number in 0..frames {
                let text = number.to_string();
                let published = stage.layer.group_broadcast("room", text).await;
                assert_eq!(published.unwrap().receivers, 1);
            }
            sleep(Duration::from_millis(1)).await;
            stage.log.open_gate();
        };
        tokio::join!(self, publish).0
    }
}

impl<F: Future<Output = super::raw::Raw>> Meanwhile for F {}

/// Sends in `connect` until there is no room.
struct Eager {
    size: usize,
    sent: Arc<Mutex<usize>>,
}

impl Consumer for Eager {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        loop {
            match ctx.send_text("x".repeat(self.size)).await {
                Ok(()) => *self.sent.lock().unwrap() += 1,
                Err(error) if error.is_full() => return Ok(Accept::new()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_in_connect_that_does_not_fit_is_an_error() {
    for (size, expected) in [(1, 1024), (1000, 1024), (100_000, 11)] {
        let sent = Arc::new(Mutex::new(0));
        let shared = sent.clone();
        let mut client = Communicator::consumer(move |_| {
            Ok(Eager {
                size,
                sent: shared.clone(),
            })
        });
        client.connect().await.unwrap();
        assert_eq!(*sent.lock().unwrap(), expected, "{size}");
        for _ in 0..expected {
            assert_eq!(client.receive_text().await.unwrap().len(), size);
        }
        client.expect_nothing().await.unwrap();
    }
}
