//! Each combination of layer, format, encryption and hosts: the same exchange in all of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strait::{ChannelLayer, Event, Message};

use super::cell::{A_WHILE, Cell, Keys, Layer, SOON, World, eventually, next, socket, soon};

#[tokio::test]
#[ignore = "needs redis"]
async fn pub_sub_in_all_combinations() {
    all(Layer::PubSub).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn core_in_all_combinations() {
    all(Layer::Core).await;
}

async fn all(layer: Layer) {
    for format in ["msgpack", "json"] {
        for keys in [Keys::None, Keys::Same, Keys::Rotated] {
            for hosts in [1, 2] {
                let cell = Cell {
                    layer,
                    format,
                    keys,
                    hosts,
                };
                eprintln!("{cell:?}");
                let world = cell.start().await;
                values_from_django(&world, cell).await;
                values_from_strait(&world).await;
                groups_on_all_hosts(&world).await;
                direct(&world, cell).await;
                discard(&world).await;
                sender_left_out(&world, cell).await;
                broadcast(&world, cell).await;
                many_members(&world, cell).await;
            }
        }
    }
}

/// Of every type that the wire knows.
async fn values_from_django(world: &World, cell: Cell) {
    let mut channel = world.layer.new_channel();
    channel.group_add("values").await.unwrap();
    let mut event = values();
    let mut expected = event.clone();
    event["nan"] = json!({"$float": "nan"});
    event["infinite"] = json!([{"$float": "inf"}, {"$float": "-inf"}]);
    expected["nan"] = Value::Null;
    expected["infinite"] = json!([null, null]);
    if cell.format == "msgpack" {
        event["bytes"] = json!({"$bytes": "AP8Qdf+/"});
        expected["bytes"] = json!("AP8Qdf+/");
    }
    world.peer.group_send("values", &event).await.unwrap();
    let got = serde_json::to_value(next(&mut channel).await).unwrap();
    assert_eq!(got, expected, "{cell:?}");
}

async fn values_from_strait(world: &World) {
    let channel = world.peer.new_channel().await;
    world.peer.group_add("values_back", &channel).await;
    let published = world
        .layer
        .group_send("values_back", &values())
        .await
        .unwrap();
    assert_eq!(published.receivers, 1);
    let got = world.peer.receive(&channel, SOON).await;
    assert_eq!(got, Some(values()));
    world.peer.group_discard("values_back", &channel).await;
}

fn values() -> Value {
    json!({
        "type": "order.updated",
        "small": 42,
        "large": u64::MAX,
        "negative": [-1, -33, -40_000, i64::MIN],
        "float": [1.5, -0.25, 1e300],
        "yes": true,
        "no": false,
        "none": null,
        "text": "é \u{1f600} \"quoted\" \\ \n\u{0}",
        "uuid": "123e4567-e89b-12d3-a456-426614174000",
        "nested": {"list": [1, [2, {"deep": []}]], "empty": {}},
        "long": "x".repeat(70_000),
        "many": (0..300).collect::<Vec<_>>(),
    })
}

/// Groups whose keys, and whose members' queues, lie on either host.
async fn groups_on_all_hosts(world: &World) {
    let theirs = world.peer.new_channel().await;
    let mut ours = world.layer.new_channel();
    for number in 0..12 {
        let group = format!("order_{number}");
        world.peer.group_add(&group, &theirs).await;
        ours.group_add(group.as_str()).await.unwrap();
        let event = json!({"type": "order.updated", "number": number});
        world.peer.group_send(&group, &event).await.unwrap();
        assert_eq!(next(&mut ours).await.field("number"), Some(&json!(number)));
        assert_eq!(world.peer.receive(&theirs, SOON).await, Some(event.clone()));

        let published = world
            .layer
            .group_send(group.as_str(), &event)
            .await
            .unwrap();
        assert_eq!(published.receivers, 2, "two processes");
        assert_eq!(next(&mut ours).await.field("number"), Some(&json!(number)));
        assert_eq!(world.peer.receive(&theirs, SOON).await, Some(event));
        world.peer.group_discard(&group, &theirs).await;
        ours.group_discard(group.as_str()).unwrap();
    }
    assert!(soon(&mut ours).await.is_none());
}

async fn direct(world: &World, cell: Cell) {
    for number in 0..8 {
        let event = json!({"type": "order.updated", "number": number});
        let mut ours = world.layer.new_channel();
        let name = ours.name().to_string();
        world.peer.send(&name, &event).await.unwrap();
        assert_eq!(next(&mut ours).await.field("number"), Some(&json!(number)));

        let theirs = world.peer.new_channel().await;
        let published = world.layer.send(theirs.as_str(), &event).await.unwrap();
        assert_eq!(published.receivers, 1);
        assert_eq!(world.peer.receive(&theirs, SOON).await, Some(event.clone()));

        // Django puts any channel into a group, where a group is a list of names.
        if cell.layer == Layer::Core {
            world.peer.group_add("theirs", &name).await;
            world.peer.group_send("theirs", &event).await.unwrap();
            assert_eq!(next(&mut ours).await.field("number"), Some(&json!(number)));
            world.peer.group_discard("theirs", &name).await;
        }
        world.peer.leave(&theirs).await;
    }
}

async fn discard(world: &World) {
    let theirs = world.peer.new_channel().await;
    let mut ours = world.layer.new_channel();
    world.peer.group_add("left", &theirs).await;
    ours.group_add("left").await.unwrap();
    world.peer.group_discard("left", &theirs).await;
    ours.group_discard("left").unwrap();
    // Leaving is done behind the call.
    let event = Event::new("order.updated");
    let nobody = async || {
        world
            .layer
            .group_send("left", &event)
            .await
            .unwrap()
            .receivers
            == 0
    };
    eventually(nobody).await;
    let event = json!({"type": "order.updated"});
    world.peer.group_send("left", &event).await.unwrap();
    while let Some(Ok(_)) = soon(&mut ours).await {
        assert!(nobody().await);
    }
}

async fn sender_left_out(world: &World, cell: Cell) {
    let other_node = ChannelLayer::from_url(&world.url).await.unwrap();
    let theirs = world.peer.new_channel().await;
    let (mut sender, mut here) = (world.layer.new_channel(), world.layer.new_channel());
    let mut there = other_node.new_channel();
    world.peer.group_add("room", &theirs).await;
    for channel in [&mut sender, &mut here, &mut there] {
        channel.group_add("room").await.unwrap();
    }
    let event = Event::new("chat.said").with("text", "hello");
    let publish = world.layer.group_send("room", &event);
    let published = publish.except(sender.name()).latest("said").await.unwrap();
    assert_eq!(published.receivers, 3);
    assert_eq!(
        next(&mut here).await,
        event,
        "nothing of strait's own is left in it"
    );
    assert_eq!(next(&mut there).await, event);
    assert!(soon(&mut sender).await.is_none());
    let got = world.peer.receive(&theirs, SOON).await.unwrap();
    let keys: Vec<_> = got
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    match cell.layer {
        Layer::Core => assert_eq!(keys, ["text", "type"]),
        Layer::PubSub => assert_eq!(
            keys,
            ["__strait_except__", "__strait_latest__", "text", "type"]
        ),
    }
    if cell.layer == Layer::Core {
        let publish = world.layer.group_send("room", &event);
        publish.except(theirs.as_str()).await.unwrap();
        assert_eq!(next(&mut here).await, event);
        let got = world.peer.receive(&theirs, A_WHILE).await;
        assert_eq!(got, None, "Django's channel is left out, too");
    }
    world.peer.leave(&theirs).await;
    world.peer.group_discard("room", &theirs).await;
}

/// Ready messages are among strait's nodes, and Django does not see them.
async fn broadcast(world: &World, cell: Cell) {
    let other_node = ChannelLayer::from_url(&world.url).await.unwrap();
    let theirs = world.peer.new_channel().await;
    world.peer.group_add("board", &theirs).await;
    let mut there = socket(&other_node, "board").await;
    let publish = world.layer.group_broadcast("board", Message::from("ready"));
    assert_eq!(publish.await.unwrap().receivers, 1, "{cell:?}");
    assert_eq!(there.receive_text().await.unwrap(), "ready");
    assert_eq!(world.peer.receive(&theirs, A_WHILE).await, None);
    world.peer.leave(&theirs).await;
    world.peer.group_discard("board", &theirs).await;
}

async fn many_members(world: &World, cell: Cell) {
    let mut ours = Vec::new();
    for _ in 0..1_000 {
        let mut channel = world.layer.new_channel();
        channel.group_add("crowd").await.unwrap();
        ours.push(channel);
    }
    let theirs = world.peer.crowd("crowd", 1_000).await;
    if cell.layer == Layer::PubSub {
        // channels_redis does not wait until Redis has confirmed a subscription, and publishes by
        // another connection: behind the thousand subscriptions of a crowd's channels the group's
        // may come second.
        eventually(async || subscribers(world, "crowd").await == 2).await;
    }
    let event = json!({"type": "order.updated", "from": "django"});
    world.peer.group_send("crowd", &event).await.unwrap();
    let event = json!({"type": "order.updated", "from": "strait"});
    let published = world.layer.group_send("crowd", &event).await.unwrap();
    // The pub/sub layer of channels_redis, too, subscribes once for each process.
    assert_eq!(published.receivers, 2);
    for channel in &mut ours {
        let mut from = [next(channel).await, next(channel).await]
            .map(|event| event.fields()["from"].to_string());
        from.sort();
        assert_eq!(from, ["\"django\"", "\"strait\""]);
    }
    let got = world.peer.crowd_received("crowd", 2_000, SOON).await;
    assert_eq!(got.len(), theirs.len());
    if got.iter().any(|events| events.len() != 2) {
        let logs = world.peer.logs().await.join("\n");
        panic!("{}; channels_redis's log:\n{logs}", heard(&got));
    }
}

/// How many processes Redis sends the group's messages to.
async fn subscribers(world: &World, group: &str) -> usize {
    let topic = format!("shop__group__{group}");
    let mut subscribers = 0;
    for redis in &world.redis {
        let answer = redis.command(&["PUBSUB", "NUMSUB", &topic]).await;
        let count = answer.lines().last().unwrap();
        subscribers += count.parse::<usize>().unwrap();
    }
    subscribers
}

/// How many members have how many events, and how many of them miss which.
fn heard(got: &[Vec<Value>]) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for events in got {
        *counts.entry(events.len()).or_default() += 1;
    }
    let without = |from: &str| {
        let lacks = |events: &&Vec<Value>| events.iter().all(|event| event["from"] != from);
        got.iter().filter(lacks).count()
    };
    let (django, strait) = (without("django"), without("strait"));
    format!(
        "members by the events that they have: {counts:?}; {django} lack Django's, {strait} strait's"
    )
}
