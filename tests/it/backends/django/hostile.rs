//! A writer on the same Redis that means harm, or has a bug: its data is skipped, bounded or
//! replaced.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;
use strait::Event;
use strait::layer::Channel;

use super::cell::{Cell, Layer, SOON, World, eventually, next, soon};
use super::core::members;

#[tokio::test]
#[ignore = "needs redis"]
async fn a_publish_passes_over_members_that_are_no_channels() {
    let world = core().start().await;
    let (mut ours, theirs) = in_room(&world).await;
    // No longer, since an argument of a process has at most 128 KiB.
    let long = vec![b'a'; 100_000];
    let nested = [&b"s.0123456789ab.0!"[..], &[0xff; 9]].concat();
    let odd: [&[u8]; 6] = [b"\xff\xfe", b"", &long, &nested, b"\xed\xa0\x80!x", b"\0"];
    for member in odd {
        for score in ["-inf", "0", "9e99", "+inf"] {
            let mut client = world.redis[0].client();
            client.args(["ZADD", "shop:group:room", score]);
            let done = client.arg(OsStr::from_bytes(member)).output().await;
            // A NUL cannot be an argument of a process.
            assert!(done.is_ok() || member == b"\0", "{done:?}");
        }
        let published = world.layer.group_send("room", &event()).await.unwrap();
        assert_eq!(published.receivers, 2, "beside {} bytes", member.len());
        assert_eq!(next(&mut ours).await, event());
        let got = world.peer.receive(&theirs, SOON).await;
        assert_eq!(got, Some(json!({"type": "order.updated"})));
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_group_of_very_many_members_can_be_published_to() {
    let world = core().start().await;
    let (mut ours, theirs) = in_room(&world).await;
    // Of one process, and of as many processes.
    let fill = "local now = redis.call('TIME')[1] + 9
        for i = 1, 150000 do
          redis.call('ZADD', KEYS[1], now, ARGV[1] .. i)
          if i <= 10000 then redis.call('ZADD', KEYS[1], now, 'process.' .. i .. '!x') end
        end";
    world.redis[0]
        .command(&["EVAL", fill, "1", "shop:group:room", "crowd.0!"])
        .await;
    let published = world.layer.group_send("room", &event()).await.unwrap();
    assert!((2..=4_097).contains(&published.receivers), "{published:?}");
    assert_eq!(next(&mut ours).await, event());
    assert!(world.peer.receive(&theirs, SOON).await.is_some());
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_key_of_another_type_is_passed_over_or_replaced() {
    let world = core().start().await;
    let (mut ours, theirs) = in_room(&world).await;
    let member = members(&world, "room").await;
    let member = member
        .iter()
        .find(|member| member.starts_with("s."))
        .unwrap();
    let (lane, _) = member.split_once('!').unwrap();
    let node = lane.split('.').nth(1).unwrap();
    let (process, _) = theirs.split_once('!').unwrap();
    let message = json!({"type": "order.updated"});
    let keys = [
        format!("shop{lane}!"),
        "shop:strait:nodes".to_owned(),
        format!("shop:strait:groups:{node}"),
        format!("shop{process}!"),
        "shop:group:room".to_owned(),
    ];
    for key in &keys {
        eprintln!("{key}");
        world.redis[0].command(&["SET", key, "x"]).await;
        // An event that Django cannot receive still reaches the nodes.
        world.layer.group_send("room", &event()).await.unwrap();
        hears(&mut ours).await;
        let mut channel = world.layer.new_channel();
        channel.group_add("room").await.unwrap();
        channel.group_add("other").await.unwrap();
    }
    let error = world
        .layer
        .send(theirs.as_str(), &event())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another type"), "{error}");
    // Django cannot write to its own queue either.
    world.redis[0].command(&["DEL", &keys[3]]).await;
    eventually(async || {
        let sent = world.peer.group_send("room", &message).await.is_ok();
        sent && soon(&mut ours).await.is_some_and(|event| event.is_ok())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_group_key_of_another_type_does_not_keep_a_node_out() {
    let world = core().start().await;
    world.redis[0]
        .command(&["SET", "shop:group:room", "x"])
        .await;
    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let message = json!({"type": "order.updated"});
    world.peer.group_send("room", &message).await.unwrap();
    assert_eq!(next(&mut ours).await, event());
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_node_of_another_type_can_be_buried() {
    let world = core().start().await;
    let redis = &world.redis[0];
    for node in ["dead", "dead too"] {
        redis
            .command(&["ZADD", "shop:strait:nodes", "1", node])
            .await;
    }
    redis
        .command(&["SET", "shop:strait:groups:dead", "x"])
        .await;
    redis.command(&["SET", "shop:group:room", "x"]).await;
    let groups =
        "for i = 1, 30000 do redis.call('HSET', KEYS[1], i == 1 and 'room' or 'g' .. i, 'm') end";
    redis
        .command(&["EVAL", groups, "1", "shop:strait:groups:dead too"])
        .await;
    let nodes = async || redis.command(&["ZCARD", "shop:strait:nodes"]).await;
    eventually(async || nodes().await.trim() == "1").await;
    let left = redis.command(&["KEYS", "shop:strait:groups:dead*"]).await;
    assert_eq!(left.trim(), "");
}

/// Twenty of 9 MiB, of which one at most is fetched.
#[tokio::test]
#[ignore = "needs redis"]
async fn entries_that_are_too_long_are_not_fetched() {
    let world = json_core().start().await;
    let (mut ours, _) = in_room(&world).await;
    let queue = queue_of(&world, 0).await;
    let before = sent_by(&world).await;
    let put = "for i = 1, 20 do
          redis.call('ZADD', KEYS[1], i, i .. string.rep('x', 9 * 1024 * 1024))
        end
        redis.call('ZADD', KEYS[1], 21, ARGV[1])";
    let good = format!(
        r#"............{{"type":"order.updated","__asgi_channel__":"{}"}}"#,
        member_of(&world).await
    );
    world.redis[0]
        .command(&["EVAL", put, "1", &queue, &good])
        .await;
    assert_eq!(next(&mut ours).await, event());
    let fetched = sent_by(&world).await - before;
    eprintln!("fetched {fetched} bytes of {}", 20 * 9 * 1024 * 1024);
    assert!(fetched < 10 * 1024 * 1024, "{fetched} bytes");
    let left = world.redis[0].command(&["ZCARD", &queue]).await;
    assert_eq!(left.trim(), "0");
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_member_that_is_named_many_times_gets_an_event_once() {
    let world = json_core().start().await;
    let (mut ours, _) = in_room(&world).await;
    let queue = queue_of(&world, 0).await;
    let member = member_of(&world).await;
    let (lane, number) = member.split_once('!').unwrap();
    let put = r#"local names = string.rep('"' .. ARGV[1] .. '","' .. ARGV[2] .. '","",', 50000)
        local entry = '............{"type":"order.updated","__asgi_channel__":[' .. names .. '"' .. ARGV[1] .. '"]}'
        redis.call('ZADD', KEYS[1], '+inf', entry)"#;
    let aliases = [
        format!("{lane}!0{number}"),
        format!("{lane}!+{number}"),
        format!("{lane}0!{number}"),
    ];
    for alias in &aliases {
        world.redis[0]
            .command(&["EVAL", put, "1", &queue, &member, alias])
            .await;
        assert_eq!(next(&mut ours).await, event(), "{alias}");
        assert!(soon(&mut ours).await.is_none(), "{alias}");
    }
    let channel = ours.name().to_string();
    let (process, local) = channel.split_once('!').unwrap();
    let alias = format!("{process}!0{local}");
    world.redis[0]
        .command(&["EVAL", put, "1", &queue, &channel, &alias])
        .await;
    assert_eq!(next(&mut ours).await, event());
    assert!(soon(&mut ours).await.is_none());
}

/// A channel of ours and one of Django's.
async fn in_room(world: &World) -> (Channel, String) {
    let mut ours = world.layer.new_channel();
    ours.group_add("room").await.unwrap();
    let theirs = world.peer.new_channel().await;
    world.peer.group_add("room", &theirs).await;
    (ours, theirs)
}

/// The event, perhaps after a gap.
async fn hears(channel: &mut Channel) {
    loop {
        match soon(channel).await.expect("an event") {
            Ok(got) => return assert_eq!(got, event()),
            Err(error) => assert!(error.is_gap(), "{error}"),
        }
    }
}

async fn member_of(world: &World) -> String {
    let members = members(world, "room").await;
    let mut ours = members
        .into_iter()
        .filter(|member| member.starts_with("s."));
    ours.next().unwrap()
}

/// One of the lanes of the node.
async fn queue_of(world: &World, lane: usize) -> String {
    let member = member_of(world).await;
    let node = member.split('.').nth(1).unwrap();
    format!("shops.{node}.{lane}!")
}

/// In bytes.
async fn sent_by(world: &World) -> usize {
    let stats = world.redis[0].command(&["INFO", "stats"]).await;
    let mut lines = stats.lines();
    let sent = lines.find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    sent.unwrap().trim().parse().unwrap()
}

fn event() -> Event {
    Event::new("order.updated")
}

const fn core() -> Cell {
    Cell::plain(Layer::Core)
}

fn json_core() -> Cell {
    Cell {
        format: "json",
        ..core()
    }
}
