//! Features of the core layer alone: bounded queues, memberships that expire, and nodes that end
//! without notice.

use std::thread;
use std::time::Duration;

use serde_json::json;
use strait::{ChannelLayer, Event};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::cell::{A_WHILE, Cell, Layer, SOON, World, eventually, next, socket, soon};
use crate::support::servers::{Peer, PeerConfig, Proxy, Redis};

#[tokio::test]
#[ignore = "needs redis"]
async fn a_full_queue_of_djangos_is_told() {
    let world = core()
        .start_with(|peer| peer.capacity(3), "&capacity=3")
        .await;
    let theirs = world.peer.new_channel().await;
    world.peer.group_add("room", &theirs).await;
    let event = Event::new("order.updated");
    for _ in 0..3 {
        let published = world.layer.group_send("room", &event).await.unwrap();
        assert_eq!((published.receivers, published.full), (1, 0));
    }
    let error = world.layer.group_send("room", &event).await.unwrap_err();
    assert!(error.is_full(), "nobody got it: {error}");
    assert!(error.to_string().contains("room"), "{error}");
    let error = world.layer.send(theirs.as_str(), &event).await.unwrap_err();
    assert!(error.is_full(), "{error}");

    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let published = world.layer.group_send("room", &event).await.unwrap();
    assert_eq!(
        (published.receivers, published.full),
        (1, 1),
        "only this node got it"
    );
    assert_eq!(next(&mut ours).await, event);
    for _ in 0..3 {
        assert!(world.peer.receive(&theirs, SOON).await.is_some());
    }
    assert_eq!(world.peer.receive(&theirs, A_WHILE).await, None);
    let published = world.layer.group_send("room", &event).await.unwrap();
    assert_eq!(
        (published.receivers, published.full),
        (2, 0),
        "there is room again"
    );
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_message_that_django_dropped_at_our_full_queue_is_a_gap() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let url = format!(
        "channels-redis-core://{}?capacity=20&lanes=2",
        proxy.address()
    );
    let layer = ChannelLayer::from_url(&url).await.unwrap();
    let peer = Peer::start(&PeerConfig::core(&[redis.url()]).capacity(20)).await;
    let mut slow = socket(&layer, "slow").await;
    let mut other = socket(&layer, "other").await;
    proxy.stall();
    let events: Vec<_> = (0..50)
        .map(|number| json!({"type": "t", "number": number}))
        .collect();
    peer.group_sends("slow", &events).await.unwrap();
    let logs = peer.logs().await.join("\n");
    assert!(logs.contains("over capacity"), "{logs}");
    proxy.resume();

    let mut numbers = Vec::new();
    let mut gaps = 0;
    while let Ok(text) = tokio::time::timeout(Duration::from_secs(2), slow.receive_text()).await {
        match serde_json::from_str::<Event>(&text.unwrap()) {
            Ok(event) => numbers.push(event.field("number").unwrap().as_u64().unwrap()),
            Err(_) => gaps += 1,
        }
    }
    assert!((20..50).contains(&numbers.len()), "{numbers:?}");
    assert!(
        numbers.is_sorted(),
        "in the order in which they were sent: {numbers:?}"
    );
    assert_eq!(gaps, 1);
    other.expect_nothing().await.unwrap();
}

#[tokio::test]
#[ignore = "needs redis"]
async fn nothing_is_left_of_a_layer_that_has_ended() {
    let world = core().start().await;
    let other = ChannelLayer::from_url(&world.url).await.unwrap();
    let mut channel = other.new_channel();
    channel.group_add("room").await.unwrap();
    assert_eq!(members(&world, "room").await.len(), 1);
    assert!(members(&world, "room").await[0].len() < 32, "a short name");
    drop((channel, other));
    eventually(async || members(&world, "room").await.is_empty()).await;
    let nodes = world.redis[0]
        .command(&["ZCARD", "shop:strait:nodes"])
        .await;
    assert_eq!(nodes.trim(), "1", "this one");
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_node_that_was_killed_is_taken_out_of_its_groups() {
    let world = core().start().await;
    let url = world.url.clone();
    let (joined, has_joined) = oneshot::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    // Its runtime ends, and with it all that it would do: as with a process that was killed.
    let killed = thread::spawn(move || {
        let runtime = Runtime::new().unwrap();
        let (layer, channels) = runtime.block_on(async {
            let layer = ChannelLayer::from_url(&url).await.unwrap();
            let mut channels = Vec::new();
            for number in 0..50 {
                let mut channel = layer.new_channel();
                channel.group_add(format!("room_{number}")).await.unwrap();
                channels.push(channel);
            }
            (layer, channels)
        });
        joined.send(()).unwrap();
        ends.recv().unwrap();
        runtime.shutdown_background();
        std::mem::forget((layer, channels));
    });
    has_joined.await.unwrap();
    let before = typical_send(&world, "room_9").await;
    end.send(()).unwrap();
    killed.join().unwrap();
    let after = typical_send(&world, "room_9").await;
    eprintln!("a send of Django's took {before:?} before, and then {after:?}");
    assert!(after < before * 3 / 2);
    let mut ours = world.layer.new_channel();
    ours.group_add("room_7").await.unwrap();
    assert_eq!(members(&world, "room_7").await.len(), 2);
    // Until then it is in nobody's way.
    let event = json!({"type": "order.updated"});
    world.peer.group_send("room_7", &event).await.unwrap();
    next(&mut ours).await;
    eventually(async || members(&world, "room_7").await.len() == 1).await;
    assert_eq!(members(&world, "room_8").await.len(), 0);
    let left = world.redis[0]
        .command(&["KEYS", "shop:strait:groups:*"])
        .await;
    assert_eq!(left.lines().count(), 1, "{left}");
    world.peer.group_send("room_7", &event).await.unwrap();
    next(&mut ours).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_membership_is_renewed_before_it_expires() {
    let peer = |peer: PeerConfig| peer.group_expiry(4);
    let world = core().start_with(peer, "&group_expiry=4").await;
    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let event = json!({"type": "order.updated"});
    for _ in 0..7 {
        sleep(Duration::from_secs(1)).await;
        world.peer.group_send("room", &event).await.unwrap();
        next(&mut ours).await;
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_flush_by_django_is_a_gap() {
    let world = core().start().await;
    let mut ours = socket(&world.layer, "room").await;
    world.peer.flush().await;
    assert_eq!(members(&world, "room").await.len(), 0);
    assert_eq!(ours.receive_text().await.unwrap(), "gap");
    let event = json!({"type": "order.updated"});
    world.peer.group_send("room", &event).await.unwrap();
    assert_eq!(
        ours.receive_json::<serde_json::Value>().await.unwrap(),
        event
    );
}

/// Evicted, say, or deleted by hand.
#[tokio::test]
#[ignore = "needs redis"]
async fn a_group_that_is_deleted_is_joined_again_and_told_of_a_gap() {
    let peer = |peer: PeerConfig| peer.group_expiry(8);
    let world = core().start_with(peer, "&group_expiry=8").await;
    let mut ours = socket(&world.layer, "room").await;
    let mut other = socket(&world.layer, "other").await;
    let event = json!({"type": "order.updated"});
    // The membership has been renewed once before, which is no gap.
    for _ in 0..2 {
        sleep(Duration::from_secs(5)).await;
        world.redis[0].command(&["DEL", "shop:group:room"]).await;
        assert_eq!(ours.receive_text().await.unwrap(), "gap");
        world.peer.group_send("room", &event).await.unwrap();
        let got: serde_json::Value = ours.receive_json().await.unwrap();
        assert_eq!(got, event);
    }
    other.expect_nothing().await.unwrap();
    drop((ours, other));
    eventually(async || members(&world, "room").await.is_empty()).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn messages_that_nobody_takes_expire() {
    let peer = |peer: PeerConfig| peer.expiry(1);
    let world = core().start_with(peer, "&expiry=1&capacity=1").await;
    let theirs = world.peer.new_channel().await;
    world.peer.group_add("room", &theirs).await;
    for number in 0..2 {
        let event = json!({"type": "order.updated", "number": number});
        world.layer.group_send("room", &event).await.unwrap();
        sleep(Duration::from_millis(2_100)).await;
    }
    assert_eq!(world.peer.receive(&theirs, A_WHILE).await, None);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn entries_that_cannot_be_read_are_passed_over() {
    let world = core().start().await;
    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let member = members(&world, "room").await.remove(0);
    let (lane, _) = member.split_once('!').unwrap();
    let queue = format!("shop{lane}!");
    let prefix = "............";
    let rows = [
        "",
        "short",
        &format!("{prefix}no msgpack"),
        &format!("{prefix}\u{1}"),
    ];
    for entry in rows {
        world.redis[0].command(&["ZADD", &queue, "1", entry]).await;
    }
    let json = Cell {
        format: "json",
        ..core()
    };
    let plain = json.start().await;
    let mut channel = plain.layer.new_channel();
    channel.group_add("room").await.unwrap();
    let member = members(&plain, "room").await.remove(0);
    let (lane, _) = member.split_once('!').unwrap();
    for body in [
        r#"{"type":"t"}"#,
        r#"{"__asgi_channel__":["a!b"]}"#,
        r#"{"type":"t","__asgi_channel__":7}"#,
        r#"{"type":"t","__asgi_channel__":"foreign!b"}"#,
        &format!(r#"{{"type":"t","__asgi_channel__":["{lane}!ffff","{lane}!","","é"]}}"#),
        &"[".repeat(100_000),
    ] {
        let entry = format!("{prefix}{body}");
        let queue = format!("shop{lane}!");
        plain.redis[0].command(&["ZADD", &queue, "1", &entry]).await;
    }
    let event = json!({"type": "order.updated"});
    for (world, channel) in [(&world, &mut ours), (&plain, &mut channel)] {
        world.peer.group_send("room", &event).await.unwrap();
        assert_eq!(next(channel).await.kind(), "order.updated");
        assert!(soon(channel).await.is_none());
    }
}

/// A string, as Django's `send` writes it, or a list for one channel.
#[tokio::test]
#[ignore = "needs redis"]
async fn both_forms_of_the_reserved_key_are_read() {
    let world = Cell {
        format: "json",
        ..core()
    }
    .start()
    .await;
    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let member = members(&world, "room").await.remove(0);
    let (lane, _) = member.split_once('!').unwrap();
    for channels in [format!("{member:?}"), format!("[{member:?}]")] {
        let entry = format!(r#"............{{"type":"t","__asgi_channel__":{channels}}}"#);
        let queue = format!("shop{lane}!");
        world.redis[0].command(&["ZADD", &queue, "1", &entry]).await;
        assert_eq!(next(&mut ours).await, Event::new("t"), "{channels}");
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_burst_is_delivered_in_order() {
    let world = core().start().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(socket(&world.layer, "room").await);
    }
    let events: Vec<_> = (0..300)
        .map(|number| json!({"type": "t", "number": number}))
        .collect();
    world.peer.group_sends("room", &events).await.unwrap();
    for socket in &mut sockets {
        for event in &events {
            let got: serde_json::Value = socket.receive_json().await.unwrap();
            assert_eq!(&got, event);
        }
    }
    let keys = world.redis[0].command(&["KEYS", "*inflight*"]).await;
    assert_eq!(keys.trim(), "", "nothing is kept that would come twice");
}

/// The median of many.
async fn typical_send(world: &World, group: &str) -> Duration {
    let events = vec![json!({"type": "order.updated"}); 501];
    let mut took = world.peer.group_sends(group, &events).await.unwrap();
    took.sort();
    took[took.len() / 2]
}

fn core() -> Cell {
    Cell::plain(Layer::Core)
}

/// Of strait's nodes and of Django's processes.
pub(crate) async fn members(world: &World, group: &str) -> Vec<String> {
    let key = format!("shop:group:{group}");
    let members = world.redis[0].command(&["ZRANGE", &key, "0", "-1"]).await;
    members
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}
