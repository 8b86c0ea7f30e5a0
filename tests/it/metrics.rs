//! The counters, seen by a recorder of the test's own.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::bus::Bus;
use crate::support::log::Log;
use futures::future::join_all;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, LocalRecorderGuard, Metadata,
    Recorder, SharedString, Unit, set_default_local_recorder,
};
use tokio::time::sleep;

use strait::config::{Config, Overflow};
use strait::handshake::Limits;
use strait::layer::{Address, Envelope, Payload};
use strait::service::{Drain, Sockets, WebSocketService};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Closed, Consumer, Context, Event, Message, Reject, Router};

/// Adds up by name and labels, written as Prometheus does.
#[derive(Clone, Default)]
struct Sums(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sums: Mutex<BTreeMap<String, i64>>,
    described: Mutex<BTreeMap<String, Option<Unit>>>,
}

impl Sums {
    fn install(&self) -> LocalRecorderGuard<'_> {
        set_default_local_recorder(self)
    }

    fn of(&self, name: &str) -> i64 {
        let sums = self.0.sums.lock().unwrap();
        sums.get(name).copied().unwrap_or_default()
    }

    fn all(&self) -> BTreeMap<String, i64> {
        self.0.sums.lock().unwrap().clone()
    }

    fn describe(&self, name: &KeyName, unit: Option<Unit>) {
        let mut described = self.0.described.lock().unwrap();
        described.insert(name.as_str().to_owned(), unit);
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.describe(&name, unit);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("there is no histogram: {name:?}");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Sum::new(self, key)))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Sum::new(self, key)))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("there is no histogram: {key:?}");
    }
}

/// One name with its labels.
struct Sum {
    sums: Sums,
    name: String,
}

impl Sum {
    fn new(sums: &Sums, key: &Key) -> Self {
        let labels = key.labels();
        let labels: Vec<_> = labels
            .map(|label| format!("{}={:?}", label.key(), label.value()))
            .collect();
        let name = match &labels[..] {
            [] => key.name().to_owned(),
            labels => format!("{}{{{}}}", key.name(), labels.join(",")),
        };
        Self {
            sums: sums.clone(),
            name,
        }
    }

    fn add(&self, value: i64) {
        let mut sums = self.sums.0.sums.lock().unwrap();
        *sums.entry(self.name.clone()).or_default() += value;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value.try_into().unwrap());
    }

    fn absolute(&self, _: u64) {
        panic!("a counter is counted up: {}", self.name);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.add(value as i64);
    }

    fn decrement(&self, value: f64) {
        self.add(-(value as i64));
    }

    fn set(&self, _: f64) {
        panic!("several services share the gauge: {}", self.name);
    }
}

/// Joins the group of its query, and obeys its messages.
struct Member;

impl Consumer<Wanted> for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        match ctx.scope().query("connect").as_deref() {
            Some("refuse") => return Err(Reject::forbidden()),
            Some("after") => return Err(Reject::after_accept(4401, "")),
            Some("unoffered") => return Ok(Accept::new().subprotocol("unoffered")),
            _ => {}
        }
        if let Some(group) = ctx.scope().query("group") {
            ctx.group_add(group).await?;
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        match message.as_text() {
            Some("close") => ctx.close(4100, "").await?,
            Some("fail") => return Err("on purpose".into()),
            Some("panic") => panic!("on purpose"),
            Some("hang") => pending().await,
            _ => {}
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Wanted {
    #[expect(dead_code, reason = "only whether it decodes matters")]
    number: u64,
}

struct Stage {
    service: WebSocketService,
    sockets: Sockets,
    layer: ChannelLayer,
}

fn stage(layer: ChannelLayer) -> Stage {
    let config = Config::new()
        .max_message(1000)
        .outgoing(4, 100_000)
        .events(2, 100_000)
        .inbound_rate(100, 10);
    let router = Router::new()
        .path("ws/", |_| Ok(Member))
        .config(config)
        .channel_layer(layer.clone());
    let (service, sockets) = router.into_service();
    Stage {
        service,
        sockets,
        layer,
    }
}

impl Stage {
    fn client(&self, query: &str) -> Communicator {
        let path = format!("/ws/?{query}");
        Communicator::new(&self.service, &path).timeout(Duration::from_secs(60))
    }

    async fn enter(&self, query: &str) -> Communicator {
        let mut client = self.client(query);
        client.connect().await.unwrap();
        client
    }

    async fn over(&self) {
        while self.sockets.count() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn logged(event: &str) -> String {
    format!("strait_log_events_total{{event=\"{event}\"}}")
}

fn closed(code: u16, cause: &str) -> String {
    format!("strait_connections_closed_total{{code=\"{code}\",cause=\"{cause}\"}}")
}

#[tokio::test(start_paused = true)]
async fn each_end_is_counted_by_code_and_cause() {
    let rows: [(&[&str], u16, &str); 6] = [
        (&["close"], 4100, "server"),
        (&["fail"], 1011, "error"),
        (&["panic"], 1011, "panic"),
        (&["x"; 11], 1008, "rate_limit"),
        (&["hang", "gone"], 1006, "lost"),
        (&["bye"], 1000, "client"),
    ];
    for (messages, code, cause) in rows {
        let sums = Sums::default();
        let _installed = sums.install();
        let stage = stage(ChannelLayer::memory());
        let mut client = stage.enter("").await;
        assert_eq!(sums.of("strait_connections_open"), 1, "{cause}");
        for message in messages {
            client.send_text(message).await.unwrap();
        }
        match cause {
            "lost" => drop(client),
            "client" => client.disconnect().await.unwrap(),
            _ => drop(client.expect_close().await.unwrap()),
        }
        stage.over().await;
        let mut expected = BTreeMap::from([
            ("strait_connections_open".to_owned(), 0),
            ("strait_connections_opened_total".to_owned(), 1),
            (closed(code, cause), 1),
        ]);
        match cause {
            "error" => drop(expected.insert(logged("hook_failed"), 1)),
            "panic" => drop(expected.insert(logged("hook_panicked"), 1)),
            "lost" => drop(expected.insert(logged("hook_dropped"), 1)),
            _ => {}
        }
        assert_eq!(sums.all(), expected, "{cause}");
    }
}

/// A client chooses its code; it must not be able to choose the names of new series.
#[tokio::test(start_paused = true)]
async fn a_clients_own_code_is_no_series_of_its_own() {
    for (code, label) in [
        (1000, "1000"),
        (1001, "1001"),
        (3000, "3xxx"),
        (3999, "3xxx"),
        (4100, "4xxx"),
        (4999, "4xxx"),
    ] {
        let sums = Sums::default();
        let _installed = sums.install();
        let stage = stage(ChannelLayer::memory());
        let mut client = stage.enter("").await;
        client.disconnect_with(code, "").await.unwrap();
        stage.over().await;
        let name = format!("strait_connections_closed_total{{code=\"{label}\",cause=\"client\"}}");
        assert_eq!(sums.of(&name), 1, "{:?}", sums.all());
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_came_to_nothing_leaves_the_gauge_even() {
    let sums = Sums::default();
    let _installed = sums.install();
    let stage = stage(ChannelLayer::memory());
    stage.client("").abandon().await.unwrap();
    for query in ["connect=unoffered", "connect=refuse"] {
        stage.client(query).connect().await.unwrap_err();
    }
    stage.client("connect=after").connect().await.unwrap();
    let nowhere = Communicator::new(&stage.service, "/nowhere/")
        .connect()
        .await;
    nowhere.unwrap_err();
    stage.over().await;
    let refused = |status: u16| {
        let name = format!("strait_handshakes_refused_total{{status=\"{status}\"}}");
        (name, 1)
    };
    let expected = BTreeMap::from([
        ("strait_connections_open".to_owned(), 0),
        ("strait_connections_opened_total".to_owned(), 2),
        (closed(1006, "abandoned_handshake"), 1),
        (closed(1011, "error"), 1),
        (logged("connect_failed"), 1),
        refused(101),
        refused(403),
        refused(404),
        refused(500),
    ]);
    assert_eq!(sums.all(), expected);
}

#[tokio::test(start_paused = true)]
async fn slow_ones_are_closed_or_what_they_miss_is_counted() {
    let sums = Sums::default();
    let _installed = sums.install();
    let layer = ChannelLayer::memory().overflow("news.*", Overflow::Drop);
    let stage = stage(layer);
    let full = "x".repeat(60_000);
    let moment = Duration::from_millis(1);
    for group in ["news.frames", "frames"] {
        let _reader = stage.enter(&format!("group={group}")).await;
        for _ in 0..8 {
            let message = full.clone();
            stage.layer.group_broadcast(group, message).await.unwrap();
            sleep(moment).await;
        }
    }
    let dropped = sums.of("strait_frames_dropped_total");
    assert!(dropped >= 1, "{:?}", sums.all());
    for group in ["news.events", "events"] {
        let mut busy = stage.enter(&format!("group={group}")).await;
        busy.send_text("hang").await.unwrap();
        sleep(moment).await;
        for number in 0..3_u64 {
            let event = Event::new("x").with("number", number);
            stage.layer.group_send(group, &event).await.unwrap();
            sleep(moment).await;
        }
    }
    stage.over().await;
    assert_eq!(sums.of("strait_events_dropped_total"), 1);
    for (code, cause) in [(4008, "slow_reader"), (1013, "slow_hook")] {
        assert_eq!(sums.of(&closed(code, cause)), 1, "{:?}", sums.all());
    }
    assert_eq!(sums.of("strait_connections_open"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_decode_and_a_drain_are_counted() {
    let sums = Sums::default();
    let _installed = sums.install();
    let stage = stage(ChannelLayer::memory());
    let mut client = stage.enter("group=events").await;
    let unknown = Event::new("unknown");
    stage.layer.group_send("events", &unknown).await.unwrap();
    client.expect_nothing().await.unwrap();
    assert_eq!(sums.of("strait_events_ignored_total"), 1);
    let drained = stage.sockets.drain(Drain::new());
    let (drained, _) = tokio::join!(drained, client.expect_close());
    assert_eq!(drained.closed, 1);
    assert_eq!(sums.of(&closed(1012, "drain")), 1);
    assert_eq!(sums.of("strait_connections_open"), 0);
}

#[tokio::test(start_paused = true)]
async fn losses_of_a_backend_are_counted() {
    let sums = Sums::default();
    let _guard = sums.install();
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    let mut channels = [layer.new_channel(), layer.new_channel()];
    for channel in &mut channels {
        channel.group_add("room").await.unwrap();
    }
    bus.down();
    bus.down();
    assert_eq!(sums.of("strait_backends_away"), 1);
    assert!(!layer.is_available());
    bus.up();
    assert_eq!(sums.of("strait_backends_away"), 0);
    assert!(layer.is_available());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(sums.of("strait_backend_outages_total"), 1);
    assert_eq!(sums.of("strait_gaps_total"), 2);
    let sink = bus.sinks().remove(0);
    let to = Address::Group("room".try_into().unwrap());
    let event = Envelope::new(to.clone(), Payload::Event(r#"{"type":"x"}"#.into()));
    for _ in 0..1_024 + 3 {
        let _ = sink.try_deliver(&event);
    }
    assert_eq!(sums.of("strait_backend_messages_dropped_total"), 3);
    let broken = Envelope::new(to, Payload::Event(vec![0xff].into()));
    sink.try_deliver(&broken).unwrap_err();
    sink.skipped("undecodable");
    for reason in ["not an event", "undecodable"] {
        let name = format!("strait_backend_messages_skipped_total{{reason=\"{reason}\"}}");
        assert_eq!(sums.of(&name), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_layer_that_ends_is_not_away_any_more() {
    let sums = Sums::default();
    let _guard = sums.install();
    let bus = Bus::default();
    let layer = bus.layer().await.unwrap();
    bus.down();
    assert_eq!(sums.of("strait_backends_away"), 1);
    drop((layer, bus));
    assert_eq!(sums.of("strait_backends_away"), 0);
}

/// Of some groups, while others go on.
#[cfg(feature = "redis")]
#[tokio::test]
#[ignore = "needs redis"]
async fn a_server_of_a_cluster_that_is_lost_is_an_outage() {
    let sums = Sums::default();
    let _guard = sums.install();
    let outages = || sums.of("strait_backend_outages_total");
    let mut cluster = crate::support::servers::Cluster::start().await;
    let layer = ChannelLayer::from_url(&cluster.url()).await.unwrap();
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    assert_eq!(outages(), 0);
    let place = cluster.place_of("strait:g:room").await;
    for lost in 1..=2 {
        cluster.nodes[place].kill();
        for _ in 0..1_000 {
            if outages() == lost {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(outages(), lost);
        cluster.nodes[place].restart().await;
        let told = channel.recv::<Event>().await.unwrap_err();
        assert!(told.is_gap(), "{told}");
        // Both connections of the server count as one.
        sleep(Duration::from_secs(1)).await;
        assert_eq!(outages(), lost);
        assert_eq!(sums.of("strait_gaps_total"), lost);
    }
}

/// Does what its path says, as a hostile client has it done.
struct Flooded {
    order: String,
}

impl Consumer<Wanted> for Flooded {
    async fn connect(&mut self, _ctx: &Context) -> Result<Accept, Reject> {
        match self.order.as_str() {
            "connect_failed" => Err("on purpose")?,
            "connect_panicked" => panic!("on purpose"),
            "connect_timed_out" => pending().await,
            _ => {}
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, _ctx: &Context, message: Message) -> strait::Result {
        match self.order.as_str() {
            "bad_message" => message.json::<Wanted>().map(|_| ())?,
            "hook_failed" => return Err("on purpose".into()),
            "hook_panicked" => panic!("on purpose"),
            "hook_limit" | "hook_dropped" => pending().await,
            "dropped_hook_panicked" => {
                let _bomb = Bomb;
                pending().await
            }
            "error_panicked" => return Err(Grudge(Bomb).into()),
            _ => {}
        }
        Ok(())
    }

    async fn disconnect(&mut self, _ctx: &Context, _closed: Closed) {
        match self.order.as_str() {
            "disconnect_panicked" => panic!("on purpose"),
            "disconnect_timed_out" => pending().await,
            _ => {}
        }
    }
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Grudge(Bomb);

impl fmt::Display for Grudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for Grudge {}

fn flooded(event: &str) -> WebSocketService {
    let config = match event {
        "hook_limit" | "dropped_hook_panicked" => Config::new().hook_limit(Duration::from_secs(1)),
        _ => Config::new(),
    };
    let limits = match event {
        "limit_reached" => Limits::new().connections(0),
        _ => Limits::new(),
    };
    let check = event.to_owned();
    let router = Router::new()
        .re_path("(?s).*", |scope| {
            let order = scope.query("order").unwrap_or_default();
            Ok(Flooded { order })
        })
        .config(config)
        .limits(limits)
        .check(move |_| {
            let check = check.clone();
            async move {
                match check.as_str() {
                    "check_failed" => Err("on purpose")?,
                    "check_panicked" => panic!("on purpose"),
                    "check_timed_out" => pending().await,
                    _ => {}
                }
                Ok(())
            }
        });
    router.into_service().0
}

/// One of many that make the service log this event.
async fn flood(service: &WebSocketService, event: &str) {
    // A client may choose a long path.
    let path = format!("/{}?order={event}", "x".repeat(4_000));
    let mut client = Communicator::new(service, &path).timeout(Duration::from_secs(60));
    if event == "origin_refused" {
        client = client.header("origin", "http://evil.example");
    }
    if client.connect().await.is_ok() {
        client.send_text("\"no number\"").await.unwrap();
        // A client that leaves while its hook hangs, or at once.
        if !matches!(
            event,
            "hook_dropped" | "disconnect_panicked" | "disconnect_timed_out"
        ) {
            client.expect_close().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_event_that_clients_cause_fills_the_log_and_all_are_counted() {
    const CLIENTS: usize = 100;
    for event in [
        "bad_message",
        "hook_failed",
        "hook_panicked",
        "hook_limit",
        "hook_dropped",
        "dropped_hook_panicked",
        "error_panicked",
        "disconnect_panicked",
        "disconnect_timed_out",
        "connect_failed",
        "connect_panicked",
        "connect_timed_out",
        "check_failed",
        "check_panicked",
        "check_timed_out",
        "origin_refused",
        "limit_reached",
    ] {
        let sums = Sums::default();
        let _installed = sums.install();
        let (log, _guard) = Log::start();
        let service = flooded(event);
        join_all((0..CLIENTS).map(|_| flood(&service, event))).await;
        sleep(Duration::from_secs(60)).await;
        flood(&service, event).await;
        sleep(Duration::from_secs(60)).await;
        let text = log.text();
        let name = format!("event=\"{event}\"");
        let lines: Vec<_> = text.lines().filter(|line| line.contains(&name)).collect();
        assert_eq!(sums.of(&logged(event)), CLIENTS as i64 + 1, "{text}");
        let burst = if event == "limit_reached" { 1 } else { 5 };
        assert_eq!(lines.len(), burst + 1, "{text}");
        let suppressed = format!(" suppressed={} ", CLIENTS - burst);
        assert!(lines[burst].contains(&suppressed), "{text}");
        for line in lines {
            assert!(line.len() < 1_000, "{line}");
        }
    }
}

/// The table of the book, which is the only other place where the names stand.
#[test]
fn each_name_is_described_and_stands_in_the_book() {
    let sums = Sums::default();
    let _installed = sums.install();
    drop(stage(ChannelLayer::memory()));
    let described = sums.0.described.lock().unwrap().clone();
    let book = include_str!("../../src/docs/metrics.md");
    let rows = book
        .lines()
        .filter_map(|line| line.strip_prefix("| `strait_"));
    let mut in_book: Vec<_> = rows
        .map(|row| format!("strait_{}", row.split('`').next().unwrap()))
        .collect();
    in_book.sort();
    let names: Vec<_> = described.keys().cloned().collect();
    assert_eq!(in_book, names);
    assert!(described.values().all(|unit| *unit == Some(Unit::Count)));
}
