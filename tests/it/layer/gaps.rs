//! A layer after an outage of its backend: it subscribes again and runs the `gap` hook of each
//! member.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::bus::Bus;
use crate::support::log::Log;
use futures::FutureExt;
use serde::{Deserialize, Serialize};
use strait::close::CloseCode;
use strait::layer::{Address, Channel, Envelope, GroupName, Payload};
use strait::service::WebSocketService;
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "note")]
struct Note {
    n: u64,
}

// ---- which members ----

#[tokio::test(start_paused = true)]
async fn every_member_is_told_once_for_each_of_its_groups_and_receives_again() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let (service, _) = gapped(&layer);
    let mut plain = socket(&service, "ws/plain/").await;
    let mut relay = socket(&service, "ws/relay/").await;
    let mut channel = layer.new_channel();
    for group in ["a", "b"] {
        channel.group_add(group).await.unwrap();
    }
    bus.down();
    // To say it twice is to say it once.
    bus.down();
    bus.up();
    for socket in [&mut plain, &mut relay] {
        let mut told = [
            socket.receive_text().await.unwrap(),
            socket.receive_text().await.unwrap(),
        ];
        told.sort();
        assert_eq!(told, ["gap a", "gap b"]);
    }
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(gap(&mut channel).await);
    }
    told.sort();
    assert!(
        told[0].contains("\"a\"") && told[1].contains("\"b\""),
        "{told:?}"
    );
    for group in ["a", "b"] {
        layer.group_send(group, &Note { n: 1 }).await.unwrap();
        assert_eq!(plain.receive_text().await.unwrap(), "event");
        assert_eq!(relay.receive_json::<Note>().await.unwrap(), Note { n: 1 });
        assert_eq!(channel.recv::<Note>().await.unwrap(), Note { n: 1 });
    }
    plain.expect_nothing().await.unwrap();
    relay.expect_nothing().await.unwrap();
    sleep(LONG).await;
    assert!(channel.recv::<Note>().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn members_that_have_left_get_no_gap() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut stays = member(&layer, "a").await;
    let mut leaves = member(&layer, "a").await;
    let mut leaves_last = member(&layer, "b").await;
    let goes = member(&layer, "a").await;
    bus.asked();
    bus.down();
    leaves.group_discard("a").unwrap();
    leaves_last.group_discard("b").unwrap();
    drop(goes);
    bus.up();
    gap(&mut stays).await;
    sleep(LONG).await;
    for channel in [&mut stays, &mut leaves, &mut leaves_last] {
        assert!(channel.recv::<Note>().now_or_never().is_none());
    }
    assert_eq!(bus.asked(), [1], "of two groups one is empty");
}

/// A second gap of a group whose first one is not delivered yet is the same to the member.
#[tokio::test(start_paused = true)]
async fn a_member_that_is_behind_is_told_once_of_two_outages() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channel = member(&layer, "a").await;
    for _ in 0..2 {
        bus.down();
        bus.up();
        sleep(LONG).await;
    }
    gap(&mut channel).await;
    assert!(channel.recv::<Note>().now_or_never().is_none());
    bus.down();
    bus.up();
    gap(&mut channel).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_of_one_group_is_told_to_that_alone_without_subscribing() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut of_a = member(&layer, "a").await;
    let mut of_b = member(&layer, "b").await;
    bus.asked();
    bus.sinks()[0].gap(&"a".try_into().unwrap());
    gap(&mut of_a).await;
    sleep(LONG).await;
    assert!(of_b.recv::<Note>().now_or_never().is_none());
    assert!(bus.asked().is_empty());
}

// ---- joining and publishing ----

#[tokio::test(start_paused = true)]
async fn publishing_and_joining_fail_during_an_outage_and_work_afterwards() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut old = member(&layer, "old").await;
    let mut channel = layer.new_channel();
    bus.down();
    for group in ["old", "new"] {
        let error = channel.group_add(group).await.unwrap_err();
        assert!(error.is_unavailable(), "{group}: {error}");
        let error = layer.group_send(group, &Note { n: 1 }).await.unwrap_err();
        assert!(error.is_unavailable(), "{group}: {error}");
    }
    layer.send(channel.name(), &Note { n: 2 }).await.unwrap();
    assert_eq!(
        channel.recv::<Note>().await.unwrap(),
        Note { n: 2 },
        "of this node"
    );
    bus.up();
    for group in ["old", "new"] {
        channel.group_add(group).await.unwrap();
        layer.group_send(group, &Note { n: 3 }).await.unwrap();
        next_note(&mut channel, 3).await;
    }
    // Messages published afterwards may arrive before the gap.
    let mut told = Vec::new();
    for _ in 0..2 {
        told.push(old.recv::<Note>().await.map_err(|error| error.is_gap()));
    }
    assert!(
        told.contains(&Err(true)) && told.contains(&Ok(Note { n: 3 })),
        "{told:?}"
    );
}

/// The connection is back, and the layer has not subscribed again yet: a member that joins then
/// does it.
#[tokio::test(start_paused = true)]
async fn a_join_does_not_trust_a_subscription_from_before_the_outage() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let _old = member(&layer, "a").await;
    bus.down();
    bus.hold_subscribes(true);
    bus.up();
    let mut channel = layer.new_channel();
    {
        let mut join = Box::pin(channel.group_add("a"));
        assert!(
            join.as_mut().now_or_never().is_none(),
            "it is not confirmed"
        );
        bus.hold_subscribes(false);
        join.await.unwrap();
    }
    layer.group_send("a", &Note { n: 1 }).await.unwrap();
    next_note(&mut channel, 1).await;
}

// ---- subscribing again ----

#[tokio::test(start_paused = true)]
async fn groups_are_subscribed_to_in_batches() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channel = layer.new_channel();
    for n in 0..1_100 {
        channel.group_add(format!("g{n}")).await.unwrap();
    }
    bus.asked();
    bus.down();
    bus.up();
    for _ in 0..1_100 {
        gap(&mut channel).await;
    }
    assert_eq!(bus.asked(), [512, 512, 76]);
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_fails_is_tried_again_until_it_works() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channel = member(&layer, "a").await;
    bus.asked();
    bus.down();
    bus.fail_subscribes(6);
    bus.up();
    let begin = Instant::now();
    gap(&mut channel).await;
    // 50 ms, and twice as much each time, up to 1 s.
    let took = begin.elapsed().as_millis();
    assert!((2_550..2_700).contains(&took), "{took}");
    assert_eq!(bus.asked().len(), 7);
    layer.group_send("a", &Note { n: 1 }).await.unwrap();
    assert_eq!(channel.recv::<Note>().await.unwrap(), Note { n: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_refused_group_keeps_no_other_deaf_and_is_asked_for_again() {
    let (log, _guard) = Log::start();
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut others = layer.new_channel();
    for n in 0..600 {
        others.group_add(format!("g{n}")).await.unwrap();
    }
    let mut channel = member(&layer, "refused").await;
    bus.asked();
    bus.down();
    bus.refuse(Some("refused"));
    bus.up();
    for _ in 0..600 {
        gap(&mut others).await;
    }
    // Halving 512 groups to one takes 9 steps of two.
    assert!(bus.asked().len() <= 2 + 2 * 9);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(bus.asked(), [1; 5]);
    assert_eq!(log.lines("could not subscribe again"), 1, "{}", log.text());
    let mut joined = layer.new_channel();
    let error = joined.group_add("refused").await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    bus.refuse(None);
    gap(&mut channel).await;
    layer.group_send("refused", &Note { n: 1 }).await.unwrap();
    assert_eq!(channel.recv::<Note>().await.unwrap(), Note { n: 1 });
}

/// In the middle of subscribing, and of telling.
#[tokio::test(start_paused = true)]
async fn a_second_outage_in_the_middle_is_recovered_from_as_well() {
    for (what, pause) in [("subscribing", 0), ("waiting", 75), ("telling", 3_000)] {
        let bus = Bus::default();
        let layer = bus.layer().await.unwrap();
        let mut members = Vec::new();
        for n in 0..2_000 {
            members.push(member(&layer, &format!("g{n}")).await);
        }
        bus.down();
        bus.fail_subscribes(usize::from(what == "waiting"));
        bus.hold_subscribes(what == "subscribing");
        bus.up();
        sleep(Duration::from_millis(pause)).await;
        bus.down();
        bus.hold_subscribes(false);
        sleep(Duration::from_millis(100)).await;
        bus.up();
        sleep(LONG).await;
        for (n, member) in members.iter_mut().enumerate() {
            gap(member).await;
            let group = format!("g{n}");
            layer.group_send(group, &Note { n: 1 }).await.unwrap();
            assert_eq!(
                member.recv::<Note>().await.unwrap(),
                Note { n: 1 },
                "{what}, {n}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_dropped_during_an_outage_ends_its_recovery() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let channel = member(&layer, "a").await;
    bus.down();
    bus.fail_subscribes(usize::MAX);
    bus.up();
    sleep(LONG).await;
    drop((channel, layer));
    sleep(LONG).await;
    bus.asked();
    sleep(LONG).await;
    assert!(bus.asked().is_empty());
}

// ---- when ----

#[tokio::test(start_paused = true)]
async fn many_members_are_told_evenly_over_the_window_and_not_in_their_order() {
    const MEMBERS: usize = 10_000;
    for (window, expected) in [(None, 5_000), (Some(20), 20_000), (Some(1), 1_000)] {
        let bus = Bus::default();
        let mut layer = bus.layer().await.unwrap();
        if let Some(seconds) = window {
            layer = layer.gap_window(Duration::from_secs(seconds));
        }
        let begin = Arc::new(Mutex::new(Instant::now()));
        let mut told = JoinSet::new();
        for n in 0..MEMBERS {
            let mut channel = member(&layer, &format!("g{}", n % 100)).await;
            let begin = begin.clone();
            told.spawn(async move {
                gap(&mut channel).await;
                (begin.lock().unwrap().elapsed(), n)
            });
        }
        bus.down();
        *begin.lock().unwrap() = Instant::now();
        bus.up();
        let mut told = told.join_all().await;
        told.sort();
        // At least 1,000 hooks a second run in any case.
        let expected = Duration::from_millis(expected.min(MEMBERS as u64));
        let last = told[MEMBERS - 1].0;
        assert!(
            last > expected * 9 / 10 && last < expected * 11 / 10,
            "{last:?}"
        );
        for (tenth, part) in told.chunks(MEMBERS / 10).enumerate() {
            let middle = part[part.len() / 2].0.as_secs_f64() / expected.as_secs_f64();
            let even = tenth as f64 / 10.0 + 0.05;
            assert!((middle - even).abs() < 0.02, "tenth {tenth} at {middle}");
            let early = part.iter().filter(|(_, n)| *n < MEMBERS / 2).count();
            assert!(
                (400..600).contains(&early),
                "tenth {tenth}: {early} of the first half"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_members_are_told_at_once() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut members = Vec::new();
    for _ in 0..50 {
        members.push(member(&layer, "a").await);
    }
    bus.down();
    let begin = Instant::now();
    bus.up();
    for member in &mut members {
        gap(member).await;
    }
    assert!(
        begin.elapsed() < Duration::from_millis(100),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn at_most_64_hooks_run_at_once() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let counts = Arc::new(Counts::default());
    let hook = counts.clone();
    let service = Router::new()
        .path("ws/", move |_| Ok(Slow(hook.clone())))
        .channel_layer(layer.clone())
        .into_service()
        .0;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        sockets.push(socket(&service, "ws/").await);
    }
    bus.down();
    bus.up();
    // Told at 1 ms each, and each hook takes 500: without a limit 300 would run.
    sleep(LONG).await;
    assert_eq!(counts.ended.load(Ordering::SeqCst), 300);
    assert_eq!(counts.most.load(Ordering::SeqCst), 64);
}

/// After a second it no longer counts.
#[tokio::test(start_paused = true)]
async fn hooks_that_hang_hold_up_others_for_a_second() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let hanging = Arc::new(AtomicUsize::new(0));
    let counter = hanging.clone();
    let service = Router::new()
        .path("ws/", move |_| Ok(Hanging(counter.clone())))
        .channel_layer(layer.clone())
        .into_service()
        .0;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(socket(&service, "ws/").await);
    }
    bus.down();
    bus.up();
    let begin = Instant::now();
    for (seconds, expected) in [(0, 64), (1, 128), (2, 192), (3, 200)] {
        sleep_until(begin + Duration::from_millis(seconds * 1_100 + 800)).await;
        assert_eq!(
            hanging.load(Ordering::SeqCst),
            expected,
            "after {seconds} s"
        );
    }
}

/// Nobody looks at them, and no hook runs.
#[tokio::test(start_paused = true)]
async fn channels_take_no_turn() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channels = Vec::new();
    for _ in 0..500 {
        channels.push(member(&layer, "a").await);
    }
    bus.down();
    bus.up();
    sleep(Duration::from_millis(600)).await;
    for channel in &mut channels {
        assert!(
            channel
                .recv::<Note>()
                .now_or_never()
                .unwrap()
                .unwrap_err()
                .is_gap()
        );
    }
}

// ---- more than can be delivered ----

/// Of one group, while nobody delivers: the runtime of this test does nothing else.
#[tokio::test(start_paused = true)]
async fn a_message_without_room_is_an_error_for_the_backend_and_a_gap_for_the_members() {
    for (what, bytes, fit) in [("1,024 messages", 40, 1_024), ("1 MiB", 10_000, 105)] {
        let bus = Bus::default();
        let layer = bus.layer().await.unwrap();
        let mut full = member(&layer, "full").await;
        let mut other = member(&layer, "other").await;
        let sink = bus.sinks().remove(0);
        let event = format!(r#"{{"type":"note","n":1,"pad":"{}"}}"#, "x".repeat(bytes));
        let envelope = |group: &str| {
            let to = Address::Group(GroupName::try_from(group).unwrap());
            Envelope::new(to, Payload::Event(event.clone().into()))
        };
        for n in 0..fit {
            assert_eq!(
                sink.try_deliver(&envelope("full")).unwrap(),
                1,
                "{what}, {n}"
            );
        }
        for _ in 0..3 {
            let error = sink.try_deliver(&envelope("full")).unwrap_err();
            assert!(
                error.is_full() && error.to_string().contains("\"full\""),
                "{what}: {error}"
            );
        }
        assert_eq!(sink.try_deliver(&envelope("other")).unwrap(), 1, "{what}");
        // The gap comes before the events that wait, and once.
        sleep(LONG).await;
        gap(&mut full).await;
        let mut received = 0;
        while let Some(event) = full.recv::<Note>().now_or_never() {
            assert_eq!(event.unwrap(), Note { n: 1 });
            received += 1;
        }
        assert_eq!(received + full.dropped() as usize, fit, "{what}");
        assert_eq!(other.recv::<Note>().await.unwrap(), Note { n: 1 });
        assert!(other.recv::<Note>().now_or_never().is_none(), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_a_full_channel_refuses_are_counted_for_its_owner() {
    let bus = Bus::default();
    let here = bus.layer().await.unwrap();
    let there = bus.layer().await.unwrap();
    let mut channel = there.new_channel();
    for n in 0..1_030 {
        here.send(channel.name(), &Note { n }).await.unwrap();
    }
    assert_eq!(channel.dropped(), 6);
    // A sender on this node gets the error itself.
    let error = there
        .send(channel.name(), &Note { n: 0 })
        .await
        .unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(channel.dropped(), 0);
    next_note(&mut channel, 0).await;
}

#[tokio::test(start_paused = true)]
async fn malformed_events_are_skipped_without_a_gap() {
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channel = member(&layer, "a").await;
    let sink = bus.sinks().remove(0);
    let to = Address::Group("a".try_into().unwrap());
    let envelope = Envelope::new(to, Payload::Event(vec![b'{', 0xff].into()));
    let error = sink.try_deliver(&envelope).unwrap_err();
    assert!(!error.is_full(), "{error}");
    sleep(LONG).await;
    assert!(channel.recv::<Note>().now_or_never().is_none());
}

// ---- members ----

/// Says `gap <group>` for each gap, and `event` for each event of a hook.
struct Gapped {
    relay: bool,
}

impl Consumer for Gapped {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        for group in ["a", "b"] {
            if self.relay {
                ctx.group_add(group).relay().await?;
            } else {
                ctx.group_add(group).await?;
            }
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        ctx.layer().group_send("a", &Note { n: 1 }).await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        Ok(ctx.send_text("event").await?)
    }

    async fn gap(&mut self, ctx: &Context, group: GroupName) -> strait::Result {
        Ok(ctx.send_text(format!("gap {group}")).await?)
    }
}

#[derive(Default)]
struct Counts {
    running: AtomicUsize,
    most: AtomicUsize,
    ended: AtomicUsize,
}

struct Slow(Arc<Counts>);

impl Consumer for Slow {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("a").await?;
        Ok(Accept::new())
    }

    async fn gap(&mut self, _ctx: &Context, _group: GroupName) -> strait::Result {
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        sleep(Duration::from_millis(500)).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Counts how many of it have begun.
struct Hanging(Arc<AtomicUsize>);

impl Consumer for Hanging {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("a").await?;
        Ok(Accept::new())
    }

    async fn gap(&mut self, _ctx: &Context, _group: GroupName) -> strait::Result {
        self.0.fetch_add(1, Ordering::SeqCst);
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_once_and_not_for_each_that_it_concerns() {
    let (log, _guard) = Log::start();
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let (service, _sockets) = gapped(&layer);
    let mut members = Vec::new();
    for _ in 0..10 {
        members.push(socket(&service, "/ws/plain/").await);
    }
    bus.down();
    for _ in 0..10 {
        let refused = Communicator::new(service.clone(), "/ws/plain/")
            .connect()
            .await;
        assert_eq!(refused.unwrap_err().status, 503);
    }
    for member in &mut members[..5] {
        member.send_text("publish").await.unwrap();
        let (code, _) = member.expect_close().await.unwrap();
        assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
    }
    bus.up();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(log.lines("WARN"), 1, "{}", log.text());
    assert_eq!(log.lines("disconnected"), 1, "{}", log.text());
    assert_eq!(log.lines("ERROR"), 0, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn malformed_messages_of_the_backend_do_not_fill_the_log() {
    let (log, _guard) = Log::start();
    let bus = Bus::default();
    let _layer = bus.layer().await.unwrap();
    let sink = bus.sinks().remove(0);
    for lines in [1, 2] {
        for _ in 0..1_000 {
            sink.skipped("encrypted with another key");
        }
        assert_eq!(log.lines("WARN"), lines, "{}", log.text());
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(log.lines("encrypted with another key"), 2);
    assert_eq!(log.lines("suppressed=999"), 1, "{}", log.text());
}

fn gapped(layer: &ChannelLayer) -> (WebSocketService, strait::service::Sockets) {
    Router::new()
        .path("ws/plain/", |_| Ok(Gapped { relay: false }))
        .path("ws/relay/", |_| Ok(Gapped { relay: true }))
        .channel_layer(layer.clone())
        .into_service()
}

async fn socket(service: &WebSocketService, path: &str) -> Communicator {
    let mut socket = Communicator::new(service.clone(), path).timeout(LONG);
    socket.connect().await.unwrap();
    socket
}

async fn member(layer: &ChannelLayer, group: &str) -> Channel {
    let mut channel = layer.new_channel();
    channel.group_add(group).await.unwrap();
    channel
}

/// The next item of the channel, which is a gap.
async fn gap(channel: &mut Channel) -> String {
    let told = timeout(PATIENCE, channel.recv::<Note>()).await;
    let error = told.expect("nothing came").unwrap_err();
    assert!(error.is_gap(), "{error}");
    error.to_string()
}

/// The event of this number; gaps are passed over.
async fn next_note(channel: &mut Channel, n: u64) {
    loop {
        match timeout(PATIENCE, channel.recv::<Note>())
            .await
            .expect("nothing came")
        {
            Ok(note) => return assert_eq!(note, Note { n }),
            Err(error) => assert!(error.is_gap(), "{error}"),
        }
    }
}

/// Longer than everything that a layer does by itself, but than a socket may be without a pong.
const LONG: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(600);
