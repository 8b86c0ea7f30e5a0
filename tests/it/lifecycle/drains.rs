//! A server that stops: 1012 for everybody, hooks first, and a deadline.

use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use strait::close::Cause;
use strait::service::Drain;
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Reject, Router};

use super::raw::Raw;
use super::stage::{Stage, seconds};
use crate::support::client::{CLOSE, TEXT, frame};

/// One connection when the drain begins.
struct Row {
    name: &'static str,
    query: &'static str,
    /// The hook that runs at that time.
    orders: &'static str,
    /// Events that wait behind it.
    events: &'static [&'static str],
    /// Seconds until the close frame, and until the drain is over.
    closed: u64,
    over: u64,
    hooks: &'static [&'static str],
}

#[tokio::test(start_paused = true)]
async fn a_drain_closes_with_1012_once_the_hook_is_over_or_at_the_deadline() {
    let rows = [
        Row {
            name: "idle",
            query: "",
            orders: "hello",
            events: &[],
            closed: 0,
            over: 0,
            hooks: &["connect", "receive hello", "disconnect"],
        },
        Row {
            name: "a hook that ends",
            query: "",
            orders: "sleep 3;send done",
            events: &[],
            closed: 3,
            over: 3,
            hooks: &["connect", "receive sleep 3;send done", "disconnect"],
        },
        Row {
            name: "a hook that does not",
            query: "",
            orders: "hang",
            events: &[],
            closed: 10,
            over: 10,
            hooks: &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
            ],
        },
        Row {
            name: "a hook that does not, and a long disconnect",
            query: "disconnect=sleep 4",
            orders: "hang",
            events: &[],
            closed: 10,
            over: 14,
            hooks: &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
            ],
        },
        Row {
            name: "neither ends",
            query: "disconnect=hang",
            orders: "hang",
            events: &[],
            closed: 10,
            over: 15,
            hooks: &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
                "disconnect: dropped",
            ],
        },
        Row {
            name: "events that wait for a hook that ends",
            query: "",
            orders: "sleep 3",
            events: &["first", "second"],
            closed: 3,
            over: 3,
            hooks: &[
                "connect",
                "receive sleep 3",
                "event first",
                "event second",
                "disconnect",
            ],
        },
        Row {
            name: "events that wait for a hook that does not end",
            query: "",
            orders: "hang",
            events: &["first", "second"],
            closed: 10,
            over: 10,
            hooks: &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
            ],
        },
    ];
    for row in rows {
        play(row).await;
    }
}

async fn play(row: Row) {
    let stage = Stage::new();
    let mut client = stage.enter(row.query).await;
    client.send_text(row.orders).await;
    sleep(Duration::from_millis(1)).await;
    for event in row.events {
        stage.event(event).await;
        sleep(Duration::from_millis(1)).await;
    }
    let start = Instant::now();
    let drain = async {
        let drained = stage.sockets.drain(Drain::new()).await;
        (drained, seconds(start))
    };
    let look = async {
        let (reason, texts) = until_1012(&mut client).await;
        (reason, texts, seconds(start))
    };
    let ((drained, over), (reason, texts, closed)) = tokio::join!(drain, look);
    assert_eq!((closed, over), (row.closed, row.over), "{}", row.name);
    assert_eq!((drained.closed, drained.abandoned), (1, 0), "{}", row.name);
    let expected = usize::from(row.orders.contains("send"));
    assert_eq!(
        texts, expected,
        "{}: the hook's message comes first",
        row.name
    );
    stage
        .assert_disconnected(row.name, (1012, &reason, Cause::Drain))
        .await;
    assert_eq!(stage.log.lines(), row.hooks, "{}", row.name);
}

/// Reads to the close frame and answers it: its reason, and how many messages came before.
async fn until_1012(client: &mut Raw) -> (String, usize) {
    let (reason, messages) = close_1012(client).await;
    assert!((100..=2100).contains(&retry_after(&reason)), "{reason}");
    (reason, messages)
}

async fn close_1012(client: &mut Raw) -> (String, usize) {
    let mut messages = 0;
    loop {
        let frame = client.answering().await.unwrap();
        if frame.opcode != CLOSE {
            messages += 1;
            continue;
        }
        let (code, reason) = frame.close().unwrap();
        assert_eq!(code, 1012);
        client.send(CLOSE, &frame.payload[..2]).await;
        return (reason, messages);
    }
}

fn retry_after(reason: &str) -> u64 {
    let number = reason.strip_prefix("retry_after_ms=").unwrap();
    number.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn messages_that_wait_when_the_deadline_comes_are_not_received() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    stage.event("hang").await;
    sleep(Duration::from_millis(1)).await;
    // More than are decoded while the hook hangs.
    client.write(&frame(TEXT, b"waiting").repeat(100)).await;
    let drain = stage.sockets.drain(Drain::new());
    let (drained, _) = tokio::join!(drain, until_1012(&mut client));
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    let hooks = ["connect", "event hang", "event hang: dropped", "disconnect"];
    assert_eq!(stage.log.lines(), hooks);
}

#[tokio::test(start_paused = true)]
async fn handshakes_during_a_drain_are_answered_503() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("sleep 3").await;
    sleep(Duration::from_secs(1)).await;
    let late = async {
        sleep(Duration::from_secs(1)).await;
        assert!(stage.sockets.is_draining());
        stage.client("").connect().await.unwrap_err()
    };
    let drain = stage.sockets.drain(Drain::new());
    let (drained, refused, _) = tokio::join!(drain, late, until_1012(&mut client));
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    assert_eq!(
        stage.log.lines(),
        ["connect", "receive sleep 3", "disconnect"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_was_in_its_check_when_the_drain_began_is_answered_503() {
    let stage = Stage::new();
    let mut client = stage.client("check=slow");
    let drain = async {
        sleep(Duration::from_secs(1)).await;
        stage.sockets.drain(Drain::new()).await
    };
    let (answer, drained) = tokio::join!(client.connect(), drain);
    assert_eq!(answer.unwrap_err().status, 503);
    assert_eq!((drained.closed, drained.abandoned), (0, 0));
    assert_eq!(stage.log.lines(), [""; 0]);
    stage.assert_never_connected("in its check").await;
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_ends_during_the_drain_is_accepted_and_closed() {
    let stage = Stage::new();
    let mut client = stage.client("connect=send welcome;sleep 3");
    let drain = async {
        sleep(Duration::from_secs(1)).await;
        stage.sockets.drain(Drain::new()).await
    };
    let look = async {
        client.connect().await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), "welcome");
        client.expect_close().await.unwrap()
    };
    let (drained, (code, reason)) = tokio::join!(drain, look);
    assert_eq!(code, 1012);
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    stage
        .assert_disconnected("in connect", (1012, &reason, Cause::Drain))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_hangs_is_dropped_at_the_deadline_of_the_drain() {
    let stage = Stage::new();
    let mut client = stage.client("connect=hang");
    let start = Instant::now();
    let drain = stage
        .sockets
        .drain(Drain::new().deadline(Duration::from_secs(1)));
    let begun = async {
        // The handshake is there before the drain.
        sleep(Duration::from_millis(1)).await;
        drain.await
    };
    let (answer, drained) = tokio::join!(client.connect(), begun);
    assert_eq!(answer.unwrap_err().status, 503);
    assert_eq!(seconds(start), 1);
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    stage.assert_never_connected("hanging connect").await;
    assert_eq!(stage.log.lines(), ["connect", "connect: dropped"]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_abandoned_when_the_time_of_disconnect_is_over() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("flood 500").await;
    sleep(Duration::from_millis(1)).await;
    let start = Instant::now();
    let deadline = Drain::new().deadline(Duration::from_secs(1));
    let drained = stage.sockets.drain(deadline).await;
    assert_eq!(seconds(start), 8);
    assert_eq!((drained.closed, drained.abandoned), (0, 1));
    // The hooks have run all the same, and the stream goes when writing has stood still for long
    // enough.
    assert_eq!(
        stage.log.lines(),
        ["connect", "receive flood 500", "disconnect"]
    );
    let reason = stage.log.farewell().closed.reason().to_owned();
    stage
        .assert_disconnected("no reader", (1012, &reason, Cause::Drain))
        .await;
    assert_eq!(seconds(start), 10);
}

#[tokio::test(start_paused = true)]
async fn a_window_spreads_the_closings() {
    let stage = Stage::new();
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(stage.enter("").await);
    }
    assert_eq!(stage.sockets.count(), 10);
    let start = Instant::now();
    let looks = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            // Until then it sees the probes of those that were closed before it.
            let reason = close_1012(&mut client).await.0;
            assert!((100..=10_100).contains(&retry_after(&reason)), "{reason}");
            seconds(start)
        })
    });
    let looks: Vec<_> = looks.collect();
    let drain = Drain::new()
        .window(Duration::from_secs(10))
        .deadline(Duration::from_secs(20));
    let drained = stage.sockets.drain(drain).await;
    assert_eq!((drained.closed, drained.abandoned), (10, 0));
    let mut seconds = Vec::new();
    for look in looks {
        seconds.push(look.await.unwrap());
    }
    let in_order_of_connection = seconds.clone();
    seconds.sort_unstable();
    assert_eq!(seconds, (0..10).collect::<Vec<_>>());
    assert_ne!(seconds, in_order_of_connection, "the order is random");
    assert_eq!(stage.log.farewells().len(), 10);
}

struct Member;

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("all").await?;
        Ok(Accept::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closed_first_has_all_earlier_messages() {
    let layer = ChannelLayer::memory();
    let router = Router::new()
        .path("", |_| Ok(Member))
        .channel_layer(layer.clone());
    let (service, sockets) = router.into_service();
    let mut clients = Vec::new();
    // So many that a delivery pauses before it has come to all.
    for _ in 0..600 {
        let mut client = Communicator::new(&service, "/");
        client.connect().await.unwrap();
        clients.push(client);
    }
    for text in ["first", "second"] {
        layer.group_broadcast("all", text).await.unwrap();
    }
    let drain = tokio::spawn(async move { sockets.drain(Drain::new()).await });
    for (at, client) in clients.iter_mut().enumerate() {
        for text in ["first", "second"] {
            let received = client.receive_text().await;
            assert_eq!(received.ok().as_deref(), Some(text), "client {at}");
        }
        assert_eq!(client.expect_close().await.unwrap().0, 1012);
    }
    let drained = drain.await.unwrap();
    assert_eq!((drained.closed, drained.abandoned), (600, 0));
}

/// A delivery that stands still, since its runtime is not driven, leaves hooks and queues their
/// part of the deadline.
#[tokio::test(start_paused = true)]
async fn a_delivery_that_stands_still_does_not_use_up_the_deadline() {
    let stage = Stage::new();
    let layer = stage.layer.clone();
    // The first member's runtime delivers.
    let first = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        let channel = runtime.block_on(async {
            let mut channel = layer.new_channel();
            channel.group_add("room").await.unwrap();
            channel
        });
        (runtime, channel)
    });
    let (runtime, _channel) = first.join().unwrap();
    let mut client = stage.enter("").await;
    client.send_text("sleep 2").await;
    sleep(Duration::from_millis(10)).await;
    stage.layer.group_broadcast("room", "lost").await.unwrap();
    let start = Instant::now();
    let (drained, (code, _)) =
        tokio::join!(stage.sockets.drain(Drain::new()), client.expect_close());
    assert_eq!(code, 1012);
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    assert!(seconds(start) < 5, "{:?}", start.elapsed());
    runtime.shutdown_background();
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_nobody_is_over_at_once() {
    let stage = Stage::new();
    let drained = stage.sockets.drain(Drain::new()).await;
    assert_eq!((drained.closed, drained.abandoned), (0, 0));
}
