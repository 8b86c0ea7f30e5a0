//! Redis goes and comes back: sockets stay open, publishing fails loudly, `gap` runs once for each
//! member, and Django is reached again.

use std::time::Duration;

use serde_json::{Value, json};
use strait::{ChannelLayer, Event};
use tokio::time::{Instant, sleep};

use super::cell::{Cell, Layer, World, eventually, socket};
use crate::support::servers::{Proxy, Redis};

#[tokio::test]
#[ignore = "needs redis"]
async fn redis_is_killed_and_started_again() {
    for layer in [Layer::PubSub, Layer::Core] {
        for hosts in [1, 2] {
            let cell = Cell {
                hosts,
                ..Cell::plain(layer)
            };
            eprintln!("{cell:?}");
            kill_and_start(cell.start().await).await;
        }
    }
}

async fn kill_and_start(mut world: World) {
    let groups: Vec<_> = (0..6).map(|number| format!("order_{number}")).collect();
    let mut sockets = Vec::new();
    for group in &groups {
        sockets.push(socket(&world.layer, group).await);
    }
    world.redis[0].kill();
    let event = Event::new("order.updated");
    let fails = async || {
        let mut failed = 0;
        for group in &groups {
            let published = world.layer.group_send(group.as_str(), &event).await;
            failed += usize::from(published.is_err_and(|error| error.is_unavailable()));
        }
        failed > 0
    };
    eventually(fails).await;
    let joined = world.layer.new_channel().group_add("other").await;
    assert!(joined.unwrap_err().is_unavailable());
    sleep(Duration::from_secs(2)).await;
    world.redis[0].restart().await;
    let back = Instant::now();
    for (socket, group) in sockets.iter_mut().zip(&groups) {
        // Messages through the other host were delivered.
        while socket.receive_text().await.unwrap() != "gap" {}
        let event = json!({"type": "order.updated", "group": group});
        // Django's own connections have to come back, too.
        eventually(async || world.peer.group_send(group, &event).await.is_ok()).await;
        let got: Value = socket.receive_json().await.unwrap();
        assert_eq!(got, event, "one gap, and nothing twice");
    }
    eprintln!("all is well again after {:?}", back.elapsed());
}

/// The connection looks alive, but nothing arrives any longer.
#[tokio::test]
#[ignore = "needs redis"]
async fn a_silent_connection_is_found() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let url = format!("channels-redis-core://{}", proxy.address());
    let layer = ChannelLayer::from_url(&url).await.unwrap();
    let direct = format!("channels-redis-core://{}", redis.address());
    let direct = ChannelLayer::from_url(&direct).await.unwrap();
    let mut socket = socket(&layer, "room").await;
    let began = Instant::now();
    proxy.forget();
    while socket.receive_text().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(25));
    }
    eprintln!("found after {:?}", began.elapsed());
    let event = json!({"type": "order.updated"});
    direct.group_send("room", &event).await.unwrap();
    loop {
        let text = socket.receive_text().await.unwrap();
        if text != "gap" {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), event);
            return;
        }
    }
}
