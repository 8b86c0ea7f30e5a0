//! Groups and channels: the promises of a layer to publishers and members, on one node and on two.
//!
//! The rows are those that Django Channels' own tests assert of its layers. The differences: there
//! is no expiry and no cache of layers, so neither is tested; names are types, refused when they
//! are made; a full channel is an error with `is_full`; the capacity is 1,024 events or 1 MiB
//! instead of 100 messages; publishing returns how many it addressed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::IntoFuture;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strait::backends::Memory;
use strait::layer::{
    Address, Backend, Channel, Envelope, GroupName, Guarantees, Overflow, Payload, Published, Sink,
};
use strait::service::WebSocketService;
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Error, Event, Message, Reject, Router};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "note")]
struct Note {
    n: u64,
}

/// The nodes of the publisher and of the members: the same one, or two that share a backend.
struct Nodes {
    kind: &'static str,
    publisher: ChannelLayer,
    members: ChannelLayer,
}

async fn one_node_and_two() -> [Nodes; 2] {
    let layer = ChannelLayer::memory();
    let memory = Memory::new();
    [
        Nodes {
            kind: "one node",
            publisher: layer.clone(),
            members: layer,
        },
        Nodes {
            kind: "two nodes",
            publisher: ChannelLayer::new(memory.clone()).await.unwrap(),
            members: ChannelLayer::new(memory).await.unwrap(),
        },
    ]
}

// ---- direct channels ----

#[tokio::test]
async fn an_event_sent_to_a_channel_is_received() {
    for nodes in one_node_and_two().await {
        let mut channel = nodes.members.new_channel();
        let sent = nodes.publisher.send(channel.name(), &Note { n: 1 }).await;
        assert_eq!(sent.unwrap().receivers, 1, "{}", nodes.kind);
        assert_eq!(next(&mut channel).await, 1, "{}", nodes.kind);
    }
}

#[tokio::test]
async fn a_receive_may_begin_before_the_send() {
    for nodes in one_node_and_two().await {
        let mut channel = nodes.members.new_channel();
        let name = channel.name().clone();
        {
            let mut receiving = pin!(channel.recv::<Note>());
            assert!(receiving.as_mut().now_or_never().is_none());
            nodes.publisher.send(name, &Note { n: 2 }).await.unwrap();
            assert_eq!(receiving.await.unwrap(), Note { n: 2 }, "{}", nodes.kind);
        }
        // A receive that was given up has taken nothing.
        assert!(channel.recv::<Note>().now_or_never().is_none());
        nodes
            .publisher
            .send(channel.name(), &Note { n: 3 })
            .await
            .unwrap();
        assert_eq!(next(&mut channel).await, 3, "{}", nodes.kind);
    }
}

#[tokio::test]
async fn messages_keep_their_order() {
    for nodes in one_node_and_two().await {
        let mut channel = nodes.members.new_channel();
        channel.group_add("room").await.unwrap();
        for n in [1, 2, 3] {
            nodes
                .publisher
                .send(channel.name(), &Note { n })
                .await
                .unwrap();
        }
        assert_eq!(take(&mut channel, 3).await, [1, 2, 3], "{}", nodes.kind);
        for n in [1, 2, 3] {
            nodes
                .publisher
                .group_send("room", &Note { n })
                .await
                .unwrap();
        }
        assert_eq!(take(&mut channel, 3).await, [1, 2, 3], "{}", nodes.kind);
    }
}

#[tokio::test]
async fn a_full_channel_refuses_and_has_room_after_a_receive() {
    struct Row {
        what: &'static str,
        event_bytes: usize,
        fit: usize,
    }
    let rows = [
        Row {
            what: "1,024 events",
            event_bytes: 40,
            fit: 1024,
        },
        Row {
            what: "1 MiB of events",
            event_bytes: 8192,
            fit: 128,
        },
        Row {
            what: "the last one may overshoot",
            event_bytes: 8191,
            fit: 129,
        },
        Row {
            what: "one event above the bound",
            event_bytes: 2 << 20,
            fit: 1,
        },
    ];
    for row in rows {
        for nodes in one_node_and_two().await {
            let row_of = format!("{}, {}", row.what, nodes.kind);
            let mut channel = nodes.members.new_channel();
            let event = padded(row.event_bytes);
            for _ in 0..row.fit {
                let sent = nodes.publisher.send(channel.name(), &event).await;
                assert_eq!(sent.unwrap().receivers, 1, "{row_of}");
            }
            let full = nodes
                .publisher
                .send(channel.name(), &event)
                .await
                .unwrap_err();
            assert!(full.is_full() && !full.is_unavailable(), "{row_of}: {full}");
            let text = full.to_string();
            assert!(text.contains(channel.name().as_str()), "{row_of}: {text}");
            assert!(text.contains("1024"), "{row_of}: {text}");

            let _: Event = channel.recv().await.unwrap();
            nodes
                .publisher
                .send(channel.name(), &event)
                .await
                .expect(&row_of);
            assert_eq!(
                channel.dropped(),
                0,
                "{row_of}: the sender got the error, not the channel"
            );
        }
    }
}

#[tokio::test]
async fn a_full_consumer_refuses_and_stays_open() {
    let layer = ChannelLayer::memory();
    let (gate, started) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let consumer = gated(&gate, &started);
    let service = Router::new()
        .path("ws/", consumer)
        .channel_layer(layer.clone())
        .into_service()
        .0;
    let mut socket = connect(&service, "/ws/").await;
    let name = ask(&mut socket, "name").await;
    layer.send(name.as_str(), &Note { n: 0 }).await.unwrap();
    started.acquire().await.unwrap().forget();
    for n in 1..=1024 {
        layer.send(name.as_str(), &Note { n }).await.unwrap();
    }
    let full = layer
        .send(name.as_str(), &Note { n: 1025 })
        .await
        .unwrap_err();
    assert!(full.is_full(), "{full}");
    gate.add_permits(2000);
    for n in 0..=1024 {
        assert_eq!(socket.receive_json::<Note>().await.unwrap(), Note { n });
    }
    layer.send(name.as_str(), &Note { n: 2000 }).await.unwrap();
    assert_eq!(
        socket.receive_json::<Note>().await.unwrap(),
        Note { n: 2000 }
    );
}

#[tokio::test]
async fn an_event_sent_to_a_channel_that_is_gone_or_unknown_reaches_nobody() {
    for nodes in one_node_and_two().await {
        let channel = nodes.members.new_channel();
        let gone = channel.name().to_string();
        drop(channel);
        for name in [
            gone.as_str(),
            "worker-1",
            "specific.0!1",
            "specific.xyz!1",
            "a!b",
        ] {
            let sent = nodes.publisher.send(name, &Note { n: 1 }).await.unwrap();
            assert_eq!(sent.receivers, 0, "{name}, {}", nodes.kind);
        }
    }
}

/// The name of one channel tells nothing of another's.
#[tokio::test]
async fn a_channel_name_cannot_be_derived_from_another() {
    let layer = ChannelLayer::memory();
    let mut channels: Vec<_> = (0..100).map(|_| layer.new_channel()).collect();
    for channel in &mut channels {
        channel.group_add("room").await.unwrap();
    }
    let parts = |name: &str| {
        let (node, local) = name.split_once('!').unwrap();
        let (number, secret) = local.split_once('-').unwrap();
        assert_eq!(secret.len(), 16, "{name}");
        (node.to_owned(), number.to_owned(), secret.to_owned())
    };
    let names: Vec<_> = channels
        .iter()
        .map(|channel| parts(channel.name().as_str()))
        .collect();
    let secrets: HashSet<_> = names.iter().map(|(_, _, secret)| secret).collect();
    assert_eq!(secrets.len(), names.len());
    let (_, _, known) = &names[0];
    for (node, number, _) in &names[1..] {
        for guess in [
            format!("{node}!{number}"),
            format!("{node}!{number}-"),
            format!("{node}!{number}-{known}"),
            format!("{node}!{number}-0"),
        ] {
            // One that is no name at all is as good.
            if let Ok(sent) = layer.send(guess.as_str(), &Note { n: 1 }).await {
                assert_eq!(sent.receivers, 0, "{guess}");
            }
        }
    }
    // Nor does a guess leave somebody out of a group.
    let (node, number, _) = &names[1];
    let guess = format!("{node}!{number}-{known}");
    let published = layer
        .group_send("room", &Note { n: 2 })
        .except(guess.as_str());
    assert_eq!(published.await.unwrap().receivers, 100);
    let published = layer
        .group_send("room", &Note { n: 3 })
        .except(channels[1].name());
    assert_eq!(published.await.unwrap().receivers, 99);
}

#[tokio::test]
async fn an_event_that_does_not_decode_is_an_error_and_gone() {
    let layer = ChannelLayer::memory();
    let mut channel = layer.new_channel();
    layer
        .send(channel.name(), &json!({"type": "note", "n": "many"}))
        .await
        .unwrap();
    layer.send(channel.name(), &Note { n: 2 }).await.unwrap();
    let error = channel.recv::<Note>().await.unwrap_err();
    assert!(error.is_bad_message(), "{error}");
    assert!(error.to_string().contains("Note"), "{error}");
    assert_eq!(next(&mut channel).await, 2);
}

// ---- groups ----

#[tokio::test]
async fn a_member_that_left_gets_nothing_and_the_others_do() {
    for nodes in one_node_and_two().await {
        let mut channels = members(&nodes.members, "room", 3).await;
        channels[1].group_discard("room").unwrap();
        let published = nodes
            .publisher
            .group_send("room", &Note { n: 1 })
            .await
            .unwrap();
        assert_eq!(published.receivers, 2, "{}", nodes.kind);
        assert_eq!(next(&mut channels[0]).await, 1, "{}", nodes.kind);
        assert_eq!(next(&mut channels[2]).await, 1, "{}", nodes.kind);
        nothing_waits(&nodes, &mut channels[1]).await;
    }
}

#[tokio::test]
async fn a_group_send_over_capacity_is_no_error_and_the_member_can_count_its_loss() {
    for nodes in one_node_and_two().await {
        let mut channel = nodes.members.new_channel();
        channel.group_add("room").await.unwrap();
        for n in 0..1034 {
            let published = nodes
                .publisher
                .group_send("room", &Note { n })
                .await
                .unwrap();
            assert_eq!(published.receivers, 1, "{}", nodes.kind);
        }
        let mut dropped = 0;
        settle(|| {
            dropped += channel.dropped();
            dropped == 10
        })
        .await;
        let kept: Vec<u64> = (0..1024).collect();
        assert_eq!(take(&mut channel, 1024).await, kept, "{}", nodes.kind);
        nothing_waits(&nodes, &mut channel).await;
        assert_eq!(channel.dropped(), 0, "{}", nodes.kind);
    }
}

#[tokio::test]
async fn receivers_are_counted_exactly() {
    for nodes in one_node_and_two().await {
        let here = members(&nodes.publisher, "room", 3).await;
        let mut there = members(&nodes.members, "room", 2).await;
        let outsider = nodes.members.new_channel();
        let rows = [
            ("nobody left out", None, 5),
            ("a member here left out", Some(here[1].name()), 4),
            ("a member there left out", Some(there[0].name()), 4),
            ("one that is no member", Some(outsider.name()), 5),
        ];
        for (what, except, receivers) in rows {
            let mut publishes = [
                nodes.publisher.group_send("room", &Note { n: 1 }),
                nodes.publisher.group_broadcast("room", "ready"),
            ];
            if let Some(name) = except {
                publishes = publishes.map(|publish| publish.except(name));
            }
            for publish in publishes {
                let published = publish.await.unwrap();
                assert_eq!(published.receivers, receivers, "{what}, {}", nodes.kind);
            }
        }
        there.pop();
        assert_eq!(count(&nodes.publisher, "room").await, 4, "{}", nodes.kind);
        drop(there);
        assert_eq!(count(&nodes.publisher, "room").await, 3, "{}", nodes.kind);
        drop(here);
        assert_eq!(count(&nodes.publisher, "room").await, 0, "{}", nodes.kind);
        assert_eq!(
            count(&nodes.publisher, "never_joined").await,
            0,
            "{}",
            nodes.kind
        );
    }
}

#[tokio::test]
async fn except_leaves_out_that_channel_and_no_other() {
    for nodes in one_node_and_two().await {
        let mut channels = members(&nodes.members, "room", 3).await;
        let names: Vec<_> = channels
            .iter()
            .map(|channel| channel.name().clone())
            .collect();
        // Without a pause, so that they are delivered in one batch that differs from member to
        // member.
        for (n, name) in (0..).zip(&names) {
            let publish = nodes.publisher.group_send("room", &Note { n });
            publish.except(name).await.unwrap();
        }
        for (channel, expected) in channels.iter_mut().zip([[1, 2], [0, 2], [0, 1]]) {
            assert_eq!(take(channel, 2).await, expected, "{}", nodes.kind);
            nothing_waits(&nodes, channel).await;
        }
    }
}

#[tokio::test]
async fn joining_twice_is_one_membership() {
    for nodes in one_node_and_two().await {
        let mut channel = nodes.members.new_channel();
        channel.group_add("room").await.unwrap();
        channel.group_add("room").await.unwrap();
        let published = nodes
            .publisher
            .group_send("room", &Note { n: 1 })
            .await
            .unwrap();
        assert_eq!(published.receivers, 1, "{}", nodes.kind);
        assert_eq!(next(&mut channel).await, 1);
        nothing_waits(&nodes, &mut channel).await;
        channel.group_discard("room").unwrap();
        assert_eq!(count(&nodes.publisher, "room").await, 0, "{}", nodes.kind);
    }
}

#[tokio::test]
async fn leaving_a_group_that_one_is_not_in_is_silent() {
    for nodes in one_node_and_two().await {
        let mut channels = members(&nodes.members, "room", 1).await;
        let mut outsider = nodes.members.new_channel();
        outsider.group_discard("room").unwrap();
        outsider.group_discard("never_joined").unwrap();
        channels[0].group_discard("never_joined").unwrap();
        assert_eq!(count(&nodes.publisher, "room").await, 1, "{}", nodes.kind);
    }
}

#[tokio::test]
async fn a_member_that_joins_after_a_publish_does_not_get_it() {
    for nodes in one_node_and_two().await {
        let mut early = members(&nodes.members, "room", 1).await;
        // Nothing yields in between on this one thread: the first is published and not delivered
        // yet when the second joins.
        nodes
            .publisher
            .group_send("room", &Note { n: 1 })
            .await
            .unwrap();
        let mut late = members(&nodes.members, "room", 1).await;
        nodes
            .publisher
            .group_send("room", &Note { n: 2 })
            .await
            .unwrap();
        assert_eq!(take(&mut early[0], 2).await, [1, 2], "{}", nodes.kind);
        assert_eq!(next(&mut late[0]).await, 2, "{}", nodes.kind);
    }
}

/// The members are more than a delivery serves in one go, so that it is met at every stage.
#[tokio::test]
async fn leaving_and_rejoining_during_a_delivery_neither_skips_nor_doubles() {
    for pauses in 0..6 {
        let layer = ChannelLayer::memory();
        let mut channels = members(&layer, "room", 600).await;
        publish_notes(&layer, 0..10).await;
        for _ in 0..pauses {
            yield_now().await;
        }
        let (rejoining, leaving) = ([3, 100, 255, 256, 400, 599], [5, 300, 598]);
        for place in rejoining {
            channels[place].group_discard("room").unwrap();
            channels[place].group_add("room").await.unwrap();
        }
        for place in leaving {
            channels[place].group_discard("room").unwrap();
        }
        publish_notes(&layer, 10..20).await;
        for (place, channel) in channels.iter_mut().enumerate() {
            let what = format!("{pauses} pauses, member {place}");
            if leaving.contains(&place) {
                layer
                    .send(channel.name(), &Note { n: 99 })
                    .await
                    .expect(&what);
                let got = take_until(channel, 99).await;
                let whole: Vec<u64> = (0..10).collect();
                assert!(got.is_empty() || got == whole, "{what}: {got:?}");
                continue;
            }
            let got = take_until(channel, 19).await;
            // Messages published while it was away may be missing as a whole; nothing else may.
            let whole: Vec<u64> = (0..19).collect();
            let since_then: Vec<u64> = (10..19).collect();
            let may_miss = rejoining.contains(&place) && got == since_then;
            assert!(got == whole || may_miss, "{what}: {got:?}");
        }
    }
}

#[tokio::test]
async fn a_publish_that_is_not_awaited_publishes_nothing() {
    let layer = ChannelLayer::memory();
    let mut channels = members(&layer, "room", 1).await;
    drop(layer.group_send("room", &Note { n: 1 }));
    drop(layer.group_send("room", &Note { n: 2 }).into_future());
    drop(layer.send(channels[0].name(), &Note { n: 3 }));
    publish_notes(&layer, 4..5).await;
    assert_eq!(next(&mut channels[0]).await, 4);
}

// ---- names and events that are refused ----

#[tokio::test]
async fn names_are_refused_by_every_verb_with_a_text_that_names_the_offender() {
    let layer = ChannelLayer::memory();
    let mut channel = layer.new_channel();
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    let long = "x".repeat(100);
    for (name, why) in [
        ("chat room", "' '"),
        ("général", "'é'"),
        ("a/b", "'/'"),
        (long.as_str(), "fewer than 100"),
        ("", "empty"),
    ] {
        let note = Note { n: 1 };
        let mut refusals = vec![
            layer.group_send(name, &note).await.map(drop),
            layer.group_broadcast(name, "ready").await.map(drop),
            layer.group_send("room", &note).except(name).await.map(drop),
            layer.send(name, &note).await.map(drop),
            channel.group_add(name).await,
            channel.group_discard(name),
        ];
        for (verb, refusal) in refusals.drain(..).enumerate() {
            let error = refusal.expect_err(name);
            let text = error.to_string();
            assert!(error.is_invalid_name(), "verb {verb}, {name:?}: {text}");
            assert!(
                text.contains(name) && text.contains(why),
                "verb {verb}, {name:?}: {text}"
            );
        }
        for verb in ["join", "leave"] {
            let answer = ask(&mut socket, &format!("{verb} {name}")).await;
            assert!(
                answer.starts_with("error") && answer.contains(name) && answer.contains(why),
                "{verb} {name:?}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn any_text_makes_a_group_by_encoding_it() {
    for nodes in one_node_and_two().await {
        let room = GroupName::encode("général, salle n° 5");
        let mut channels = members(&nodes.members, room.as_str(), 1).await;
        let mut other = members(&nodes.members, "g-n-ral", 1).await;
        let published = nodes.publisher.group_send(&room, &Note { n: 1 }).await;
        assert_eq!(published.unwrap().receivers, 1, "{}", nodes.kind);
        assert_eq!(next(&mut channels[0]).await, 1, "{}", nodes.kind);
        nothing_waits(&nodes, &mut other[0]).await;
    }
}

#[tokio::test]
async fn an_event_without_a_type_is_refused_and_named() {
    let layer = ChannelLayer::memory();
    let mut channels = members(&layer, "room", 1).await;
    for value in [
        json!({"order_id": 5}),
        json!({"type": 5}),
        json!(["type"]),
        json!("note"),
        json!(null),
    ] {
        let refusals = [
            layer.group_send("room", &value).await.map(drop),
            layer.send(channels[0].name(), &value).await.map(drop),
        ];
        for refusal in refusals {
            let text = refusal.unwrap_err().to_string();
            assert!(text.contains(r#""type""#), "{value}: {text}");
            assert!(text.contains(&value.to_string()), "{value}: {text}");
        }
    }
    let keys = BTreeMap::from([((1, 2), 3)]);
    assert!(layer.group_send("room", &keys).await.is_err());
    publish_notes(&layer, 1..2).await;
    assert_eq!(next(&mut channels[0]).await, 1);
}

// ---- three ways to a socket ----

#[tokio::test]
async fn hook_relay_and_broadcast_each_take_their_way_and_keep_their_order() {
    for nodes in one_node_and_two().await {
        let service = puppets(&nodes.members);
        let mut hooked = connect(&service, "/ws/").await;
        let mut relayed = connect(&service, "/ws/").await;
        ask(&mut hooked, "join room").await;
        ask(&mut relayed, "relay room").await;
        for n in 0..50 {
            nodes
                .publisher
                .group_send("room", &Note { n })
                .await
                .unwrap();
            let ready = nodes
                .publisher
                .group_broadcast("room", format!("ready {n}"));
            assert_eq!(ready.await.unwrap().receivers, 2, "{}", nodes.kind);
        }
        let (mut events, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..100 {
            let text = hooked.receive_text().await.unwrap();
            if text.starts_with("ready") {
                ready.push(text);
            } else {
                events.push(text);
            }
        }
        let expected =
            |prefix: &str, end: &str| (0..50).map(|n| format!("{prefix}{n}{end}")).collect();
        let expected_ready: Vec<String> = expected("ready ", "");
        let expected_events: Vec<String> = expected(r#"hook {"type":"note","n":"#, "}");
        assert_eq!(ready, expected_ready, "{}", nodes.kind);
        assert_eq!(events, expected_events, "{}", nodes.kind);
        // Relayed events and ready messages are one kind: they share one order.
        for n in 0..50 {
            let event = format!(r#"{{"type":"note","n":{n}}}"#);
            assert_eq!(relayed.receive_text().await.unwrap(), event);
            let text = relayed.receive_text().await.unwrap();
            assert_eq!(text, format!("ready {n}"));
        }
    }
}

#[tokio::test]
async fn a_relayed_or_forwarded_event_is_byte_for_byte_what_was_published() {
    let layer = ChannelLayer::memory();
    let service = Router::new()
        .path("ws/", |_| Ok(Forwarder))
        .path("relay/", |_| Ok(Puppet))
        .channel_layer(layer.clone())
        .into_service()
        .0;
    let mut forwarded = connect(&service, "/ws/").await;
    let mut relayed = connect(&service, "/relay/").await;
    ask(&mut relayed, "relay room").await;
    for value in [
        json!({"type": "plain"}),
        json!({"z": 1, "a": [1.5, 1e300, -0.0, null, true], "type": "order of keys"}),
        json!({"type": "quoted \" \\ \n \u{0} and é, 中, 🚚"}),
        json!({"type": "nested", "type2": {"type": {"type": []}}}),
        json!({"type": "big", "n": u64::MAX, "m": i64::MIN}),
        json!({"type": "long", "pad": "x".repeat(70_000)}),
    ] {
        let published = serde_json::to_string(&value).unwrap();
        let sent = layer.group_send("room", &value).await.unwrap();
        assert_eq!(sent.receivers, 2);
        assert_eq!(relayed.receive_text().await.unwrap(), published);
        assert_eq!(forwarded.receive_text().await.unwrap(), published);
    }
}

#[tokio::test]
async fn binary_and_empty_broadcasts_arrive_as_they_are() {
    let layer = ChannelLayer::memory();
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    ask(&mut socket, "join room").await;
    for message in [
        Message::Binary(vec![0, 255, 7].into()),
        Message::Text(String::new()),
        Message::Binary(Vec::new().into()),
        Message::Text("é".repeat(40_000)),
    ] {
        layer
            .group_broadcast("room", message.clone())
            .await
            .unwrap();
        assert_eq!(socket.receive().await.unwrap(), message);
    }
}

#[tokio::test]
async fn joining_again_changes_how_events_come_and_nothing_else() {
    let layer = ChannelLayer::memory();
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    for (command, expected) in [
        ("join room", r#"hook {"type":"note","n":1}"#),
        ("relay room", r#"{"type":"note","n":1}"#),
        ("join room", r#"hook {"type":"note","n":1}"#),
    ] {
        assert_eq!(ask(&mut socket, command).await, "ok");
        assert_eq!(ask(&mut socket, "groups").await, "room");
        assert_eq!(count_and_note(&layer).await, 1, "{command}");
        assert_eq!(socket.receive_text().await.unwrap(), expected, "{command}");
    }
    socket.expect_nothing().await.unwrap();
}

#[tokio::test]
async fn forward_outside_of_the_event_hook_is_an_error_that_says_so() {
    let service = puppets(&ChannelLayer::memory());
    let mut socket = connect(&service, "/ws/").await;
    let answer = ask(&mut socket, "forward").await;
    assert!(answer.starts_with("error"), "{answer}");
    assert!(answer.contains("event hook"), "{answer}");
}

#[tokio::test]
async fn a_sender_that_excepts_itself_hears_the_others_only() {
    let layer = ChannelLayer::memory();
    let service = puppets(&layer);
    let mut sockets = Vec::new();
    for _ in 0..3 {
        let mut socket = connect(&service, "/ws/").await;
        ask(&mut socket, "relay room").await;
        sockets.push(socket);
    }
    for place in [0, 2] {
        let saying = ask(&mut sockets[place], &format!("say from {place}")).await;
        assert_eq!(saying, "2", "{place}");
        for (other, socket) in sockets.iter_mut().enumerate() {
            if other != place {
                let heard = socket.receive_text().await.unwrap();
                assert_eq!(heard, format!("from {place}"));
            }
        }
    }
    for socket in &mut sockets {
        layer.group_broadcast("room", "fence").await.unwrap();
        assert_eq!(socket.receive_text().await.unwrap(), "fence");
        socket.disconnect().await.unwrap();
    }
}

#[tokio::test]
async fn ready_messages_are_for_sockets_and_pass_channels_by() {
    for nodes in one_node_and_two().await {
        let mut channels = members(&nodes.members, "room", 1).await;
        nodes
            .publisher
            .group_broadcast("room", "ready")
            .await
            .unwrap();
        nodes
            .publisher
            .group_send("room", &Note { n: 1 })
            .await
            .unwrap();
        assert_eq!(next(&mut channels[0]).await, 1, "{}", nodes.kind);
        assert_eq!(channels[0].dropped(), 0, "{}", nodes.kind);
    }
}

// ---- overflow ----

#[tokio::test]
async fn the_first_pattern_that_matches_a_group_decides_what_overflow_does() {
    struct Row {
        group: &'static str,
        drops: bool,
    }
    let rows = [
        Row {
            group: "ticker_eur",
            drops: true,
        },
        Row {
            group: "ticker_must",
            drops: false,
        },
        Row {
            group: "orders",
            drops: false,
        },
    ];
    for row in rows {
        let layer = ChannelLayer::memory()
            .overflow("ticker_m*", Overflow::Close)
            .overflow("ticker_*", Overflow::Drop);
        let (gate, started) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let service = Router::new()
            .path("ws/", gated(&gate, &started))
            .channel_layer(layer.clone())
            .into_service()
            .0;
        let mut socket = connect(&service, "/ws/").await;
        ask(&mut socket, &format!("join {}", row.group)).await;
        layer.group_send(row.group, &Note { n: 0 }).await.unwrap();
        started.acquire().await.unwrap().forget();
        // One is in the hook; 1,024 more have room.
        for n in 1..=1500 {
            layer.group_send(row.group, &Note { n }).await.unwrap();
        }
        if row.drops {
            // The gate stays shut until the last message was delivered: the fence of the member
            // that joined later has come.
            let mut fence = members(&layer, row.group, 1).await;
            layer
                .group_send(row.group, &Note { n: 1501 })
                .await
                .unwrap();
            assert_eq!(next(&mut fence[0]).await, 1501);
            gate.add_permits(2000);
            for n in 0..=1024 {
                let got = socket.receive_json::<Note>().await.unwrap();
                assert_eq!(got, Note { n }, "{}", row.group);
            }
            assert_eq!(ask(&mut socket, "dropped").await, "477", "{}", row.group);
            assert_eq!(ask(&mut socket, "dropped").await, "0", "{}", row.group);
        } else {
            gate.add_permits(1);
            let (code, reason) = socket.expect_close_after_messages().await;
            assert_eq!(code, 1013, "{}: {reason}", row.group);
            assert!(reason.contains("too slow"), "{}: {reason}", row.group);
            settle_count(&layer, row.group, 0).await;
        }
    }
}

// ---- without a runtime ----

#[test]
fn a_plain_thread_publishes_to_members_that_live_in_a_runtime() {
    for workers in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let layer = ChannelLayer::memory();
            let service = puppets(&layer);
            let mut channels = members(&layer, "room", 3).await;
            let mut socket = connect(&service, "/ws/").await;
            ask(&mut socket, "relay room").await;
            let publisher = thread::spawn(move || {
                assert!(tokio::runtime::Handle::try_current().is_err());
                // More than may be pending: it waits for the deliverer, without a runtime to wait
                // in.
                for n in 0..900 {
                    let published = block_on(layer.group_send("room", &Note { n }).into_future());
                    assert_eq!(published.unwrap().receivers, 4);
                }
            });
            let expected: Vec<u64> = (0..900).collect();
            for channel in &mut channels {
                assert_eq!(take(channel, 900).await, expected);
            }
            for n in 0..900 {
                assert_eq!(socket.receive_json::<Note>().await.unwrap(), Note { n });
            }
            publisher.join().unwrap();
        });
    }
}

#[test]
fn without_any_runtime_groups_and_channels_work_all_the_same() {
    let layer = ChannelLayer::memory();
    let mut channel = layer.new_channel();
    block_on(channel.group_add("room")).unwrap();
    for n in 0..600 {
        let published = block_on(layer.group_send("room", &Note { n }).into_future());
        assert_eq!(published.unwrap().receivers, 1);
    }
    block_on(layer.send(channel.name(), &Note { n: 600 })).unwrap();
    let got: Vec<u64> = (0..=600)
        .map(|_| block_on(channel.recv::<Note>()).unwrap().n)
        .collect();
    assert_eq!(got, (0..=600).collect::<Vec<_>>());
    drop(channel);
    let published = block_on(layer.group_send("room", &Note { n: 1 }).into_future());
    assert_eq!(published.unwrap().receivers, 0);
}

#[test]
fn a_group_outlives_the_runtime_of_its_first_member() {
    let layer = ChannelLayer::memory();
    let first = runtime();
    let second = runtime();
    let early = first.block_on(members(&layer, "room", 1));
    let mut late = second.block_on(members(&layer, "room", 1));
    // Published and not delivered: that runtime does not run again.
    first.block_on(publish_notes(&layer, 0..3));
    drop(first);
    second.block_on(async {
        publish_notes(&layer, 3..6).await;
        assert_eq!(take(&mut late[0], 6).await, [0, 1, 2, 3, 4, 5]);
    });
    let publisher = layer;
    thread::spawn(move || block_on(publish_notes(&publisher, 6..9)))
        .join()
        .unwrap();
    second.block_on(async { assert_eq!(take(&mut late[0], 3).await, [6, 7, 8]) });
    drop(early);
}

// ---- backends ----

#[tokio::test]
async fn a_group_is_subscribed_once_per_node_and_unsubscribed_after_the_last_member_left() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let service = puppets(&layer);
    let mut sockets = Vec::new();
    for command in ["join room", "relay room", "join room"] {
        let mut socket = connect(&service, "/ws/").await;
        assert_eq!(ask(&mut socket, command).await, "ok");
        sockets.push(socket);
    }
    let mut channels = members(&layer, "room", 20).await;
    let mut other = members(&layer, "other", 1).await;
    other[0].group_add("other").await.unwrap();
    assert_eq!(backend.calls(), ["+room", "+other"]);
    assert_eq!(count_and_note(&layer).await, 23);

    // One by one, by every way to leave; the last one ends it.
    ask(&mut sockets[0], "leave room").await;
    sockets[1].disconnect().await.unwrap();
    drop(sockets.pop());
    channels[0].group_discard("room").unwrap();
    settle_count(&layer, "room", 19).await;
    assert_eq!(backend.calls(), ["+room", "+other"]);
    drop(channels);
    settle(|| backend.calls().len() == 3).await;
    assert_eq!(backend.calls(), ["+room", "+other", "-room"]);

    ask(&mut sockets[0], "join room").await;
    drop(other);
    settle(|| backend.subscribed() == BTreeSet::from(["room".to_owned()])).await;
    assert_eq!(backend.calls()[3..], ["+room", "-other"]);
}

#[tokio::test]
async fn two_nodes_subscribe_each_for_itself() {
    let backends = [Recording::default(), Recording::default()];
    for backend in &backends {
        let layer = ChannelLayer::new(backend.clone()).await.unwrap();
        let channels = members(&layer, "room", 5).await;
        assert_eq!(backend.calls(), ["+room"]);
        drop(channels);
        settle(|| backend.calls() == ["+room", "-room"]).await;
    }
}

#[tokio::test]
async fn a_join_while_the_last_leave_is_under_way_is_subscribed_when_it_returns() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let leaving = members(&layer, "room", 1).await;
    backend.hold_unsubscribe();
    drop(leaving);
    settle(|| backend.calls() == ["+room", "-room"]).await;
    let mut joining = layer.new_channel();
    {
        let mut join = pin!(joining.group_add("room"));
        for _ in 0..10 {
            assert!(join.as_mut().now_or_never().is_none(), "joined too early");
            yield_now().await;
        }
        backend.let_unsubscribe();
        join.await.unwrap();
    }
    assert_eq!(backend.calls(), ["+room", "-room", "+room"]);
    publish_notes(&layer, 1..2).await;
    assert_eq!(next(&mut joining).await, 1);
    // And it stays so: the leave that was under way does not come after it.
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(backend.subscribed(), BTreeSet::from(["room".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_that_race_with_last_leaves_always_end_up_subscribed() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let (mut tasks, nobody) = (JoinSet::new(), Arc::new(Barrier::new(4)));
    for task in 0..4 {
        let (layer, nobody) = (layer.clone(), nobody.clone());
        tasks.spawn(async move {
            for round in 0..300 {
                let n = task * 1000 + round;
                let mut channel = layer.new_channel();
                channel.group_add("room").await.unwrap();
                layer.group_send("room", &Note { n }).await.unwrap();
                let own = timeout(PATIENCE, take_until(&mut channel, n)).await;
                assert!(own.is_ok(), "task {task}, round {round}: not subscribed");
                drop(channel);
                // From time to time nobody is in the group, and all come back at once.
                if round % 5 == 0 {
                    nobody.wait().await;
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    settle(|| backend.subscribed().is_empty()).await;
    let calls = backend.calls();
    for pair in calls.chunks(2) {
        assert_eq!(pair, ["+room", "-room"], "in turn, never twice");
    }
    assert!(calls.len() > 2, "nobody ever was the last to leave");
}

#[tokio::test]
async fn a_join_that_was_given_up_leaves_no_subscription_behind() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let mut channel = layer.new_channel();
    backend.hold_subscribe();
    assert!(channel.group_add("room").now_or_never().is_none());
    // The server has heard of it, and nobody waits for its answer.
    assert_eq!(backend.subscribed().len(), 1);
    backend.let_subscribe();
    drop(channel);
    settle(|| backend.subscribed().is_empty()).await;
    assert_eq!(backend.calls(), ["+room", "-room"]);
}

#[tokio::test]
async fn a_join_after_one_that_was_given_up_is_confirmed_anew() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let mut given_up = layer.new_channel();
    backend.hold_subscribe();
    assert!(given_up.group_add("room").now_or_never().is_none());
    backend.let_subscribe();
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    assert_eq!(backend.calls(), ["+room", "+room"]);
}

#[test]
fn a_channel_dropped_outside_of_the_runtime_still_unsubscribes() {
    let backend = Recording::default();
    let runtime = runtime();
    let (layer, channels) = runtime.block_on(async {
        let layer = ChannelLayer::new(backend.clone()).await.unwrap();
        let channels = members(&layer, "room", 1).await;
        (layer, channels)
    });
    drop(channels);
    runtime.block_on(settle(|| backend.subscribed().is_empty()));
    assert_eq!(backend.calls(), ["+room", "-room"]);
    drop(layer);
}

#[tokio::test]
async fn a_subscribe_that_fails_reaches_who_joins_and_leaves_no_membership() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    let mut channel = layer.new_channel();
    backend.set_down(true);

    let error = channel.group_add("room").await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().contains("no route to the sea"), "{error}");
    let answer = ask(&mut socket, "join room").await;
    assert!(answer.starts_with("error unavailable"), "{answer}");
    assert_eq!(ask(&mut socket, "groups").await, "");
    // A consumer that joins in `connect` is refused, and the client told to come back.
    let mut refused = Communicator::new(service.clone(), "/joining/");
    let refusal = refused.connect().await.unwrap_err();
    assert_eq!(refusal.status, 503);
    assert!(refusal.headers.contains_key("retry-after"), "{refusal}");
    assert!(!refusal.body.contains("sea"), "{refusal}");

    backend.set_down(false);
    let mut fence = members(&layer, "room", 1).await;
    assert_eq!(count_and_note(&layer).await, 1, "somebody is a member yet");
    assert_eq!(next(&mut fence[0]).await, 1);
    channel.group_add("room").await.unwrap();
    assert_eq!(ask(&mut socket, "join room").await, "ok");
    assert_eq!(count_and_note(&layer).await, 3);
    assert_eq!(next(&mut channel).await, 1);
}

#[tokio::test]
async fn of_two_joins_at_once_the_one_that_succeeds_counts() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    backend.0.fails_once.store(true, Ordering::SeqCst);
    assert_eq!(ask(&mut socket, "join-twice room").await, "false true");
    assert_eq!(ask(&mut socket, "groups").await, "room");
    settle(|| backend.subscribed().contains("room")).await;
    assert_eq!(count_and_note(&layer).await, 1);
}

#[tokio::test]
async fn a_failed_join_does_not_disturb_who_is_a_member() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let mut channels = members(&layer, "room", 1).await;
    backend.set_down(true);
    // Subscribed already: nothing to ask the backend for.
    channels[0].group_add("room").await.unwrap();
    let mut second = layer.new_channel();
    second.group_add("room").await.unwrap();
    assert!(second.group_add("elsewhere").await.is_err());
    backend.set_down(false);
    assert_eq!(count_and_note(&layer).await, 2);
    assert_eq!(next(&mut channels[0]).await, 1);
    assert_eq!(next(&mut second).await, 1);
}

#[tokio::test]
async fn a_publish_that_fails_reaches_the_caller() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let mut channels = members(&layer, "room", 1).await;
    let elsewhere = ChannelLayer::memory().new_channel().name().to_string();
    backend.set_down(true);
    let failures = [
        layer.group_send("room", &Note { n: 1 }).await,
        layer.group_broadcast("room", "ready").await,
        layer.send(elsewhere.as_str(), &Note { n: 1 }).await,
    ];
    for failure in failures {
        let error = failure.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains("no route to the sea"), "{error}");
    }
    // A channel of this node needs no backend.
    let name = channels[0].name().clone();
    layer.send(name, &Note { n: 7 }).await.unwrap();
    assert_eq!(next(&mut channels[0]).await, 7);
    // In a hook it travels through `?` and closes with 1013, which says: come back.
    let service = puppets(&layer);
    let mut socket = connect(&service, "/ws/").await;
    socket.send_text("say or fail").await.unwrap();
    let (code, reason) = socket.expect_close().await.unwrap();
    assert_eq!(code, 1013);
    assert!(!reason.contains("sea"), "{reason}");
}

#[tokio::test]
async fn a_backend_that_does_not_start_makes_no_layer() {
    let backend = Recording::default();
    backend.set_down(true);
    let error = ChannelLayer::new(backend).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

/// As text it would break every connection that relays.
#[tokio::test]
async fn an_event_from_a_backend_that_is_not_utf_8_is_delivered_to_nobody() {
    let backend = Recording::default();
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let _channels = members(&layer, "room", 1).await;
    let to = || Address::Group("room".try_into().unwrap());
    let sink = backend.0.sink.get().unwrap();
    let rubbish = Envelope::new(to(), Payload::Event(b"\xff\xfe"[..].into()));
    let sound = Envelope::new(to(), Payload::Event(br#"{"type":"note"}"#[..].into()));
    assert!(sink.deliver(&rubbish).await.is_err());
    assert_eq!(sink.deliver(&sound).await.unwrap(), 1);
}

#[tokio::test]
async fn the_guarantees_of_a_backend_are_reported() {
    assert!(ChannelLayer::memory().guarantees().ordered);
    let layer = ChannelLayer::new(Recording::default()).await.unwrap();
    assert_eq!(layer.guarantees(), Guarantees::new());
}

/// Delivers, as a server would, only for what is subscribed; notes every call, and can be slow or
/// down.
#[derive(Clone)]
struct Recording(Arc<Record>);

struct Record {
    sink: OnceLock<Sink>,
    calls: Mutex<Vec<String>>,
    subscribed: Mutex<BTreeSet<String>>,
    /// Groups with a call under way: there must never be two for one group.
    under_way: Mutex<BTreeSet<String>>,
    subscribe_gate: Semaphore,
    unsubscribe_gate: Semaphore,
    down: AtomicBool,
    /// The next subscribe alone fails.
    fails_once: AtomicBool,
}

impl Default for Recording {
    fn default() -> Self {
        Self(Arc::new(Record {
            sink: OnceLock::new(),
            calls: Mutex::default(),
            subscribed: Mutex::default(),
            under_way: Mutex::default(),
            subscribe_gate: Semaphore::new(1),
            unsubscribe_gate: Semaphore::new(1),
            down: AtomicBool::new(false),
            fails_once: AtomicBool::new(false),
        }))
    }
}

impl Recording {
    fn calls(&self) -> Vec<String> {
        self.0.calls.lock().unwrap().clone()
    }

    fn subscribed(&self) -> BTreeSet<String> {
        self.0.subscribed.lock().unwrap().clone()
    }

    fn set_down(&self, down: bool) {
        self.0.down.store(down, Ordering::SeqCst);
    }

    fn hold_subscribe(&self) {
        self.0.subscribe_gate.try_acquire().unwrap().forget();
    }

    fn let_subscribe(&self) {
        self.0.subscribe_gate.add_permits(1);
    }

    fn hold_unsubscribe(&self) {
        self.0.unsubscribe_gate.try_acquire().unwrap().forget();
    }

    fn let_unsubscribe(&self) {
        self.0.unsubscribe_gate.add_permits(1);
    }

    fn check(&self) -> Result<(), Error> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(Error::unavailable("no route to the sea"));
        }
        Ok(())
    }

    fn begin(&self, sign: char, group: &GroupName) -> UnderWay {
        let begun = self.0.under_way.lock().unwrap().insert(group.to_string());
        assert!(begun, "two calls for {group} at once");
        self.0.calls.lock().unwrap().push(format!("{sign}{group}"));
        UnderWay(self.0.clone(), group.to_string())
    }
}

struct UnderWay(Arc<Record>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().remove(&self.1);
    }
}

#[async_trait]
impl Backend for Recording {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        self.check()?;
        assert!(self.0.sink.set(sink).is_ok(), "started twice");
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.check()?;
        if let Address::Group(group) = &envelope.to
            && !self.subscribed().contains(group.as_str())
        {
            return Ok(Published::new(0));
        }
        let sink = self.0.sink.get().unwrap();
        sink.deliver(&envelope).await.map(Published::new)
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.check()?;
        if self.0.fails_once.swap(false, Ordering::SeqCst) {
            yield_now().await;
            return Err(Error::unavailable("no route to the sea"));
        }
        for group in groups {
            let _under_way = self.begin('+', group);
            self.0.subscribed.lock().unwrap().insert(group.to_string());
            yield_now().await;
            let _pass = self.0.subscribe_gate.acquire().await.unwrap();
        }
        Ok(())
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        for group in groups {
            let _under_way = self.begin('-', group);
            yield_now().await;
            let _pass = self.0.unsubscribe_gate.acquire().await.unwrap();
            yield_now().await;
            self.0.subscribed.lock().unwrap().remove(group.as_str());
        }
        self.check()
    }
}

// ---- consumers ----

/// Does what its client tells it.
struct Puppet;

impl Puppet {
    async fn obey(ctx: &Context, command: &str) -> Result<String, Error> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "join" => ctx.group_add(rest).await?,
            "relay" => ctx.group_add(rest).relay().await?,
            "leave" => ctx.group_discard(rest).await?,
            "join-twice" => {
                let joins = tokio::join!(
                    ctx.group_add(rest).into_future(),
                    ctx.group_add(rest).into_future()
                );
                return Ok(format!("{} {}", joins.0.is_ok(), joins.1.is_ok()));
            }
            "forward" => ctx.forward().await?,
            "name" => return Ok(ctx.channel_name().to_string()),
            "dropped" => return Ok(ctx.dropped().to_string()),
            "groups" => {
                let groups = ctx.groups();
                let names: Vec<_> = groups.iter().map(GroupName::as_str).collect();
                return Ok(names.join(" "));
            }
            "say" => {
                let broadcast = ctx.layer().group_broadcast("room", rest);
                let published = broadcast.except(ctx.channel_name()).await?;
                return Ok(published.receivers.to_string());
            }
            other => panic!("the puppet knows no {other:?}"),
        }
        Ok("ok".to_owned())
    }
}

impl Consumer for Puppet {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let command = message.into_text()?;
        let answer = match Self::obey(ctx, &command).await {
            Ok(answer) => answer,
            Err(error) if command == "say or fail" => return Err(error.into()),
            Err(error) if error.is_unavailable() => format!("error unavailable: {error}"),
            Err(error) => format!("error: {error}"),
        };
        ctx.send_text(format!("{ANSWER}{answer}")).await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        let n = event.field("n").cloned().unwrap_or_default();
        let text = format!(r#"hook {{"type":"{}","n":{n}}}"#, event.kind());
        ctx.send_text(text).await?;
        Ok(())
    }
}

/// Joins in `connect`.
struct Joining;

impl Consumer for Joining {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("room").await?;
        Ok(Accept::new())
    }
}

/// Joins in `connect`, and hands events on as they are.
struct Forwarder;

impl Consumer for Forwarder {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("room").await?;
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        ctx.forward().await?;
        Ok(())
    }
}

/// A puppet whose event hook says that it has begun, then waits at a gate.
struct Gated {
    gate: Arc<Semaphore>,
    started: Arc<Semaphore>,
}

impl Consumer for Gated {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        Puppet.receive(ctx, message).await
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        self.started.add_permits(1);
        self.gate.acquire().await?.forget();
        ctx.forward().await?;
        Ok(())
    }
}

fn gated(
    gate: &Arc<Semaphore>,
    started: &Arc<Semaphore>,
) -> impl Fn(&strait::Scope) -> Result<Gated, Reject> + Send + Sync + 'static {
    let (gate, started) = (gate.clone(), started.clone());
    move |_| {
        Ok(Gated {
            gate: gate.clone(),
            started: started.clone(),
        })
    }
}

fn puppets(layer: &ChannelLayer) -> WebSocketService {
    Router::new()
        .path("ws/", |_| Ok(Puppet))
        .path("joining/", |_| Ok(Joining))
        .channel_layer(layer.clone())
        .into_service()
        .0
}

async fn connect(service: &WebSocketService, path: &str) -> Communicator {
    let mut socket = Communicator::new(service.clone(), path).timeout(PATIENCE);
    socket.connect().await.unwrap();
    socket
}

/// Sends a command and receives its answer. Events of groups before it are skipped.
async fn ask(socket: &mut Communicator, command: &str) -> String {
    socket.send_text(command).await.unwrap();
    loop {
        let text = socket.receive_text().await.unwrap();
        if let Some(answer) = text.strip_prefix(ANSWER) {
            return answer.to_owned();
        }
    }
}

/// Begins every answer of a puppet, and no message of a group.
const ANSWER: &str = "answer: ";

trait ExpectClose {
    /// Skips messages until the close.
    async fn expect_close_after_messages(&mut self) -> (strait::close::CloseCode, String);
}

impl ExpectClose for Communicator {
    async fn expect_close_after_messages(&mut self) -> (strait::close::CloseCode, String) {
        loop {
            match self.receive().await {
                Ok(_) => {}
                Err(strait::testing::Unexpected::Closed(code, reason)) => return (code, reason),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

// ---- channels ----

async fn members(layer: &ChannelLayer, group: &str, count: usize) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..count {
        let mut channel = layer.new_channel();
        channel.group_add(group).await.unwrap();
        channels.push(channel);
    }
    channels
}

async fn next(channel: &mut Channel) -> u64 {
    let note = timeout(PATIENCE, channel.recv::<Note>()).await;
    note.expect("nothing came").unwrap().n
}

async fn take(channel: &mut Channel, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(channel).await);
    }
    taken
}

/// The events before `last`.
async fn take_until(channel: &mut Channel, last: u64) -> Vec<u64> {
    let mut taken = Vec::new();
    loop {
        match next(channel).await {
            n if n == last => return taken,
            n => taken.push(n),
        }
    }
}

/// An event sent to the channel now is the next one that it receives.
async fn nothing_waits(nodes: &Nodes, channel: &mut Channel) {
    let fence = Note { n: 1_000_000 };
    nodes.publisher.send(channel.name(), &fence).await.unwrap();
    assert_eq!(next(channel).await, fence.n, "{}", nodes.kind);
}

async fn publish_notes(layer: &ChannelLayer, range: std::ops::Range<u64>) {
    for n in range {
        layer.group_send("room", &Note { n }).await.unwrap();
    }
}

/// How many are in the group, counted by a message that only sockets would get.
async fn count(layer: &ChannelLayer, group: &str) -> usize {
    let published = layer.group_broadcast(group, "count").await;
    published.unwrap().receivers
}

async fn count_and_note(layer: &ChannelLayer) -> usize {
    let published = layer.group_send("room", &Note { n: 1 }).await;
    published.unwrap().receivers
}

async fn settle_count(layer: &ChannelLayer, group: &str, expected: usize) {
    timeout(PATIENCE, async {
        while count(layer, group).await != expected {
            yield_now().await;
        }
    })
    .await
    .expect("the members did not become as many as expected");
}

/// Lets others run until it is so.
async fn settle(mut is_so: impl FnMut() -> bool) {
    timeout(PATIENCE, async {
        while !is_so() {
            yield_now().await;
        }
    })
    .await
    .expect("it did not become so");
}

/// An event whose JSON has this many bytes.
fn padded(bytes: usize) -> Event {
    let event = |pad: usize| Event::new("pad").with("pad", "x".repeat(pad));
    let around = serde_json::to_string(&event(0)).unwrap().len();
    event(bytes - around)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs a future on this thread, which has no runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = TaskContext::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        thread::park();
    }
}

/// How long to wait for what must come; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(20);
