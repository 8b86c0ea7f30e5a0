//! `.latest(key)`: a member that does not keep up misses what is out of date, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use strait::backends::Memory;
use strait::config::Config;
use strait::layer::{Overflow, Published};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router};
use tokio::sync::Semaphore;

use crate::support::client::{Client, KERNEL, PATIENCE, serve};

/// How values are published and reach the sockets.
#[derive(Clone, Copy, Debug)]
enum Way {
    Broadcast,
    /// Events, to members that relay.
    Relay,
}

#[derive(Debug)]
struct Row {
    way: Way,
    payload: usize,
    overflow: Overflow,
}

const ROWS: [Row; 5] = [
    Row {
        way: Way::Broadcast,
        payload: 100,
        overflow: Overflow::Close,
    },
    Row {
        way: Way::Broadcast,
        payload: 8000,
        overflow: Overflow::Drop,
    },
    Row {
        way: Way::Broadcast,
        payload: 60_000,
        overflow: Overflow::Close,
    },
    Row {
        way: Way::Relay,
        payload: 1000,
        overflow: Overflow::Close,
    },
    Row {
        way: Way::Relay,
        payload: 3000,
        overflow: Overflow::Drop,
    },
];

#[tokio::test]
async fn a_reader_that_stops_gets_the_newest_of_each_key_when_it_reads_again() {
    for row in ROWS {
        let layer = ChannelLayer::memory().overflow("map", row.overflow);
        let server = serve(router(&layer)).await;
        let mut slow = Client::connect_narrow(server.local_addr(), "/ws/").await;
        let mut quick = Client::connect_narrow(server.local_addr(), "/ws/").await;
        // Twice, so that it is seen to go on.
        for begin in [0, 100_000] {
            // More than the kernel and a queue take.
            let end = begin + 1300.min(2_000_000 / row.payload);
            for n in begin..end {
                assert_eq!(publish(&layer, n, &row).await.receivers, 2, "{row:?}");
                // A member that keeps up gets all of them.
                assert_eq!(number(&quick.receive_text().await), n, "{row:?}");
            }
            slow.send_text("dropped").await;
            let mut got = Vec::new();
            loop {
                let text = slow.receive_text().await;
                if let Some(dropped) = text.strip_prefix("dropped ") {
                    assert_eq!(dropped, "0", "{row:?}");
                    break;
                }
                got.push(number(&text));
            }
            check(&got, begin..end);
            let queued = 6 * KERNEL / row.payload + KEYS + 1;
            assert!(got.len() <= queued, "{row:?}: {} waited", got.len());
        }
    }
}

/// Ascending, within the range, and ending with the newest of each key and of none.
fn check(got: &[usize], published: std::ops::Range<usize>) {
    assert!(got.is_sorted_by(|one, next| one < next), "{got:?}");
    assert!(got.iter().all(|n| published.contains(n)), "{got:?}");
    let newest: BTreeMap<_, _> = published.map(|n| (key(n), n)).collect();
    for (key, n) in newest {
        assert!(
            got.contains(&n),
            "the newest of {key}, {n}, is missing: {got:?}"
        );
    }
}

#[tokio::test]
async fn messages_without_a_key_are_kept_between_those_with_one() {
    let layer = ChannelLayer::memory();
    let server = serve(router(&layer)).await;
    let mut slow = Client::connect_narrow(server.local_addr(), "/ws/").await;
    let mut quick = Client::connect_narrow(server.local_addr(), "/ws/").await;
    for n in 0..4000 {
        let text = format!("{n:<1000}");
        let broadcast = layer.group_broadcast("map", text);
        // One in ten has no key.
        let published = match n % 10 {
            0 => broadcast.await,
            _ => broadcast.latest(key(n)).await,
        };
        assert_eq!(published.unwrap().receivers, 2);
        quick.receive_text().await;
    }
    let mut got = Vec::new();
    while got.last() != Some(&3999) {
        got.push(number(&slow.receive_text().await));
    }
    assert!(got.is_sorted());
    let kept = got.iter().filter(|&n| n % 10 == 0);
    assert!(kept.copied().eq((0..4000).step_by(10)));
    assert!(got.len() < 400 + KEYS + 6 * KERNEL / 1000);
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_gets_the_newest_event_of_each_key() {
    let layer = ChannelLayer::memory();
    let gate = Arc::new(Semaphore::new(0));
    let hook = gate.clone();
    let router = Router::new()
        .path("slow/", move |_| Ok(Slow(hook.clone())))
        .channel_layer(layer.clone());
    let mut client = Communicator::new(router, "/slow/");
    client.connect().await.unwrap();
    for n in 0..5000 {
        let position = Event::new("position").with("n", n);
        let published = layer.group_send("map", &position).latest(key(n)).await;
        assert_eq!(published.unwrap().receivers, 1);
    }
    gate.add_permits(5000);
    let mut got = Vec::new();
    while got.last() != Some(&4999) {
        got.push(number(&client.receive_text().await.unwrap()));
    }
    check(&got, 0..5000);
    assert!(got.len() <= KEYS + 1, "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_travels_between_nodes_and_is_one_within_its_group_and_kind() {
    let memory = Memory::new();
    let here = ChannelLayer::new(memory.clone()).await.unwrap();
    let there = ChannelLayer::new(memory).await.unwrap();
    let mut channel = there.new_channel();
    channel.group_add("map").await.unwrap();
    channel.group_add("map2").await.unwrap();
    let send = |group: &str, n: usize| {
        let sent = here.group_send(group, &Event::new("position").with("n", n));
        sent.latest("courier_7").into_future()
    };
    for n in 0..10 {
        send("map", n).await.unwrap();
        // A ready message does not stand for an event, nor does another group's.
        let ready = here.group_broadcast("map", "ready").latest("courier_7");
        ready.await.unwrap();
        tokio::task::yield_now().await;
    }
    send("map2", 10).await.unwrap();
    send("map", 11).await.unwrap();
    // Whom the newer leaves out keeps the older.
    let elsewhere = here.group_send("map", &Event::new("position").with("n", 12));
    let left_out = elsewhere.latest("courier_7").except(channel.name()).await;
    assert_eq!(left_out.unwrap().receivers, 0);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut got = Vec::new();
    for _ in 0..2 {
        let event: Event = channel.recv().await.unwrap();
        got.push(event.field("n").and_then(Value::as_u64).unwrap());
    }
    // Between groups there is no order.
    got.sort_unstable();
    assert_eq!(got, [10, 11]);
    assert_eq!(channel.dropped(), 0);
}

#[tokio::test]
async fn a_bad_key_is_an_error_of_the_await() {
    let layer = ChannelLayer::memory();
    for key in [String::new(), "k".repeat(100)] {
        let error = layer.group_broadcast("map", "x").latest(&key).await;
        let error = error.unwrap_err();
        assert!(error.is_invalid_name(), "{error}");
        assert!(error.to_string().contains("latest()'s key"), "{error}");
    }
}

fn router(layer: &ChannelLayer) -> Router {
    Router::new()
        .path("ws/", |_| Ok(Viewer))
        .config(Config::new().write_timeout(4 * PATIENCE))
        .channel_layer(layer.clone())
}

struct Viewer;

impl Consumer for Viewer {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("map").relay().await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        ctx.send_text(format!("dropped {}", ctx.dropped())).await?;
        Ok(())
    }
}

struct Slow(Arc<Semaphore>);

impl Consumer for Slow {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("map").await?;
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        self.0.acquire().await?.forget();
        ctx.send_json(&event.field("n")).await?;
        Ok(())
    }
}

async fn publish(layer: &ChannelLayer, n: usize, row: &Row) -> Published {
    let text = format!("{n:<width$}", width = row.payload);
    let publish = match row.way {
        Way::Broadcast => layer.group_broadcast("map", text),
        Way::Relay => layer.group_send("map", &Event::new("position").with("n", text)),
    };
    publish.latest(key(n)).await.unwrap()
}

fn key(n: usize) -> String {
    format!("courier {}", n % KEYS)
}

/// Of a message, or of an event's JSON.
fn number(text: &str) -> usize {
    if let Ok(event) = serde_json::from_str::<Value>(text)
        && let Some(n) = event["n"].as_str()
    {
        return n.trim_end().parse().unwrap();
    }
    text.trim_end().parse().unwrap()
}

const KEYS: usize = 15;
