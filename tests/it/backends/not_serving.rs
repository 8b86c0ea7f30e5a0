//! Servers that answer, but do not serve: demoted ones, and those that refuse what is asked of
//! them.
//!
//! The node must notice, say so once in the log and by [`ChannelLayer::is_available`], fail what is
//! published meanwhile, and come back with a gap.

#![allow(clippy::print_stdout, reason = "measurements are printed")]

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strait::layer::{Channel, Published};
use strait::{ChannelLayer, Error};
use tokio::time::{sleep, timeout};

use crate::support::log::Log;
use crate::support::servers::{Cluster, Fake, Proxy, Redis, Sentinels, as_redis};

/// The layers over one Redis, and within which time each must notice that it was demoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Redis,
    PubSub,
    Core,
}

impl Layer {
    fn url(self, address: &str) -> String {
        match self {
            Self::Redis => format!("redis://{address}?probe=1&timeout=2"),
            Self::PubSub => format!("channels-redis-pubsub://{address}"),
            Self::Core => format!("channels-redis-core://{address}"),
        }
    }

    async fn at(self, address: &str) -> ChannelLayer {
        layer(&self.url(address)).await
    }

    /// The probe's time and its limit; a write is refused at once.
    fn notices_within(self) -> Duration {
        match self {
            Self::Redis => Duration::from_secs(1 + 2),
            Self::PubSub => Duration::from_secs(30 + 5),
            Self::Core => Duration::from_secs(1),
        }
    }
}

/// How a master becomes a replica.
#[derive(Clone, Copy, Debug)]
enum Demotion {
    Failover,
    ReplicaOf,
}

impl Demotion {
    async fn hand_over(self, old: &Redis, new: &Redis) {
        match self {
            Self::Failover => {
                // The master counts a replica as online a moment after the replica has its data.
                replication_of(old, "state=online").await;
                let port = new.port.to_string();
                let words = ["failover", "to", "127.0.0.1", &port];
                old.command(&words).await;
                while !old.command(&["role"]).await.starts_with("slave") {
                    sleep(Duration::from_millis(5)).await;
                }
            }
            Self::ReplicaOf => {
                new.command(&["replicaof", "no", "one"]).await;
                let port = new.port.to_string();
                old.command(&["replicaof", "127.0.0.1", &port]).await;
            }
        }
    }
}

#[test]
#[ignore = "needs redis"]
fn a_demoted_redis_is_noticed_by_the_redis_backend() {
    each_demotion(Layer::Redis);
}

#[test]
#[ignore = "needs redis"]
fn a_demoted_redis_is_noticed_by_the_pubsub_layer_of_django() {
    each_demotion(Layer::PubSub);
}

#[test]
#[ignore = "needs redis"]
fn a_demoted_redis_is_noticed_by_the_core_layer_of_django() {
    each_demotion(Layer::Core);
}

/// Each on a thread of its own, since they wait, and since the log is the thread's.
fn each_demotion(layer: Layer) {
    thread::scope(|scope| {
        for demotion in [Demotion::Failover, Demotion::ReplicaOf] {
            for is_proxied in [false, true] {
                scope.spawn(move || block_on(demote(layer, demotion, is_proxied)));
            }
        }
    });
}

async fn demote(kind: Layer, demotion: Demotion, is_proxied: bool) {
    let cell = format!("{kind:?}, {demotion:?}, proxied: {is_proxied}");
    let [old, new] = [Redis::start().await, Redis::start().await];
    new.follow(&old).await;
    let proxy = Proxy::to(old.address()).await;
    let address = if is_proxied {
        proxy.address()
    } else {
        old.address()
    };
    let here = kind.at(&address).await;
    let mut channel = here.new_channel();
    channel.group_add("room").await.unwrap();
    send(&here, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);

    let (log, guard) = Log::start();
    demotion.hand_over(&old, &new).await;
    let demoted = Instant::now();
    // It is not silent meanwhile: messages published there come back.
    while here.is_available() {
        let _ = send(&here, 2).await;
        assert!(
            demoted.elapsed() < kind.notices_within() + SLOW_MACHINE,
            "{cell}"
        );
        sleep(Duration::from_millis(20)).await;
    }
    println!("{cell}: noticed after {:.2?}", demoted.elapsed());
    let error = send(&here, 3).await.unwrap_err();
    assert!(error.is_unavailable(), "{cell}: {error}");
    // Long enough for several tries.
    sleep(Duration::from_secs(2)).await;
    assert!(!here.is_available(), "{cell}");

    let master = if is_proxied {
        proxy.lead_to(new.address());
        &new
    } else {
        if let Demotion::Failover = demotion {
            // A failover back needs a replica that is up to date.
            replication_of(&old, "master_link_status:up").await;
        }
        demotion.hand_over(&new, &old).await;
        &old
    };
    gap(&mut channel).await;
    assert!(here.is_available(), "{cell}");
    assert_eq!(log.lines("WARN"), 1, "{cell}: {}", log.text());
    assert_eq!(log.lines("INFO"), 1, "{cell}: {}", log.text());
    assert_eq!(log.lines(""), 2, "{cell}: {}", log.text());
    drop(guard);

    let there = kind.at(&master.address()).await;
    until_ok(|| send(&there, 7)).await;
    assert_eq!(number(&mut channel).await, 7, "{cell}");
}

/// Waits until the server says this of its replication.
async fn replication_of(redis: &Redis, state: &str) {
    while !redis
        .command(&["info", "replication"])
        .await
        .contains(state)
    {
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_planned_failover_by_sentinels_is_followed() {
    let set = Sentinels::start(1).await;
    let here = layer(&format!("{}?probe=1&timeout=2", set.url())).await;
    let mut channel = here.new_channel();
    channel.group_add("room").await.unwrap();
    let old = set.master().await;
    set.sentinels[0]
        .command(&["sentinel", "failover", set.name()])
        .await;
    set.master_instead_of(old).await;
    gap(&mut channel).await;
    let there = layer(&set.url()).await;
    until_ok(|| send(&there, 7)).await;
    assert_eq!(number(&mut channel).await, 7);
}

/// The master that was replaced is cut off from all but this node, which goes on publishing to
/// itself.
#[tokio::test]
#[ignore = "needs redis"]
async fn a_master_that_sentinels_have_replaced_is_left_though_it_is_not_silent() {
    let [old, new] = [Redis::start().await, Redis::start().await];
    let master = Arc::new(Mutex::new(old.port));
    let named = master.clone();
    let sentinel = Fake::start(move |words| match &*words[0] {
        "SENTINEL" => {
            let port = named.lock().unwrap().to_string();
            format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
        }
        _ => as_redis(words),
    })
    .await;
    let url = format!(
        "redis+sentinel://{}/mymaster?probe=1&timeout=2",
        sentinel.address()
    );
    let here = layer(&url).await;
    let mut channel = here.new_channel();
    channel.group_add("room").await.unwrap();
    *master.lock().unwrap() = new.port;
    let replaced = Instant::now();
    loop {
        until_ok(|| send(&here, 2)).await;
        if next(&mut channel).await.is_err_and(|error| error.is_gap()) {
            break;
        }
        assert!(replaced.elapsed() < Duration::from_secs(1 + 2 + 1) + SLOW_MACHINE);
        sleep(Duration::from_millis(20)).await;
    }
    println!("left after {:.2?}", replaced.elapsed());
    let there = layer(&format!("redis://{}", new.address())).await;
    assert_eq!(send(&there, 7).await.unwrap().receivers, 1);
}

/// Redis itself publishes in most of these states; compatible servers may not.
#[test]
fn a_server_that_refuses_to_serve_is_an_outage_of_two_lines() {
    let refusals = [
        "LOADING Redis is loading the dataset in memory",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
    ];
    thread::scope(|scope| {
        for refusal in refusals {
            for layer in [Layer::Redis, Layer::PubSub] {
                for joins in [false, true] {
                    scope.spawn(move || block_on(refuse(layer, refusal, joins)));
                }
            }
        }
    });
}

/// The first refusal is that of a join or of a publish. When it returns, the outage is known.
async fn refuse(kind: Layer, refusal: &'static str, joins: bool) {
    let cell = format!("{kind:?}, joins: {joins}, {refusal}");
    let refuses = Arc::new(Mutex::new(false));
    let state = refuses.clone();
    let server = Fake::start(move |words| match &*words[0] {
        "PUBLISH" | "SUBSCRIBE" | "PSUBSCRIBE" if *state.lock().unwrap() => {
            format!("-{refusal}\r\n")
        }
        _ => as_redis(words),
    })
    .await;
    let here = kind.at(&server.address()).await;
    let mut channel = here.new_channel();
    channel.group_add("room").await.unwrap();
    let (log, _guard) = Log::start();

    *refuses.lock().unwrap() = true;
    let first = match joins {
        true => here.new_channel().group_add("other").await.map(drop),
        false => send(&here, 1).await.map(drop),
    };
    assert!(!here.is_available(), "{cell}");
    let error = first.unwrap_err();
    assert!(error.is_unavailable(), "{cell}: {error}");
    let (_, why) = refusal.split_once(' ').unwrap();
    assert!(error.to_string().contains(why), "{cell}: {error}");
    sleep(Duration::from_secs(2)).await;
    assert!(send(&here, 2).await.unwrap_err().is_unavailable(), "{cell}");
    assert!(!here.is_available(), "{cell}");

    *refuses.lock().unwrap() = false;
    gap(&mut channel).await;
    assert!(here.is_available(), "{cell}");
    send(&here, 3).await.unwrap();
    assert_eq!(log.lines("WARN"), 1, "{cell}: {}", log.text());
    assert_eq!(log.lines("INFO"), 1, "{cell}: {}", log.text());
    assert_eq!(log.lines(""), 2, "{cell}: {}", log.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_connection_is_announced_before_anything_fails_with_it() {
    for _outage in 0..10 {
        let server = Fake::start(as_redis).await;
        let here = Layer::Redis.at(&server.address()).await;
        let use_it = |number: u64| {
            let here = here.clone();
            tokio::spawn(async move {
                loop {
                    let used = match number % 2 {
                        0 => send(&here, number).await.map(drop),
                        _ => here.new_channel().group_add("other").await.map(drop),
                    };
                    if used.is_err() {
                        return here.is_available();
                    }
                }
            })
        };
        let users: Vec<_> = (0..64).map(use_it).collect();
        sleep(Duration::from_millis(50)).await;
        drop(server);
        for user in users {
            assert!(!user.await.unwrap(), "it failed first");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_cluster_node_that_cannot_save_carries_its_groups() {
    let cluster = Cluster::start().await;
    let here = layer(&format!("{}?probe=0.2&timeout=1", cluster.url())).await;
    let node = &cluster.nodes[1];
    let group = group_at(&cluster, 1).await;
    let mut channel = here.new_channel();
    channel.group_add(&group).await.unwrap();
    let (log, _guard) = Log::start();
    node.fail_to_save().await;
    // Long enough for several probes.
    sleep(Duration::from_secs(1)).await;
    send_to(&here, &group, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);
    assert_eq!(log.text(), "");

    // It comes back as it is, too.
    node.command(&["client", "kill", "type", "normal", "skipme", "yes"])
        .await;
    node.command(&["client", "kill", "type", "pubsub"]).await;
    gap(&mut channel).await;
    until_ok(|| send_to(&here, &group, 2)).await;
    assert_eq!(number(&mut channel).await, 2);
    assert_eq!(log.lines("WARN"), 1, "{}", log.text());
    assert_eq!(log.lines("INFO"), 1, "{}", log.text());
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_planned_failover_in_a_cluster_loses_nobody() {
    let cluster = Cluster::start_with_replica().await;
    let [here, there] = [layer(&cluster.url()).await, layer(&cluster.url()).await];
    let group = group_at(&cluster, 0).await;
    let mut channel = here.new_channel();
    channel.group_add(&group).await.unwrap();
    cluster.nodes[3].command(&["cluster", "failover"]).await;
    cluster.replica_took_over().await;
    let mut heard = Vec::new();
    for number in 0..50 {
        until_ok(|| send_to(&there, &group, number)).await;
        match next(&mut channel).await {
            Ok(event) => heard.push(event["number"].as_u64().unwrap()),
            Err(error) => assert!(error.is_gap(), "{error}"),
        }
    }
    assert!(heard.contains(&40), "{heard:?}");
}

fn block_on(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test);
}

async fn layer(url: &str) -> ChannelLayer {
    let layer = ChannelLayer::from_url(url).await;
    layer.unwrap_or_else(|error| panic!("{url}: {error}"))
}

async fn group_at(cluster: &Cluster, place: usize) -> String {
    for number in 0.. {
        let group = format!("group_{number}");
        if cluster.place_of(&format!("strait:g:{group}")).await == place {
            return group;
        }
    }
    unreachable!("a third of all groups is there");
}

async fn send(layer: &ChannelLayer, number: u64) -> Result<Published, Error> {
    send_to(layer, "room", number).await
}

async fn send_to(layer: &ChannelLayer, group: &str, number: u64) -> Result<Published, Error> {
    let event = json!({"type": "number", "number": number});
    layer.group_send(group, &event).await
}

async fn next(channel: &mut Channel) -> Result<Value, Error> {
    let next = timeout(Duration::from_secs(20), channel.recv::<Value>()).await;
    next.expect("something comes")
}

async fn number(channel: &mut Channel) -> u64 {
    let event = next(channel).await.unwrap();
    event["number"].as_u64().unwrap()
}

/// Skips what was published before.
async fn gap(channel: &mut Channel) {
    loop {
        if let Err(error) = next(channel).await {
            return assert!(error.is_gap(), "{error}");
        }
    }
}

async fn until_ok<T, F: Future<Output = Result<T, Error>>>(attempt: impl Fn() -> F) -> T {
    let mut last = None;
    for _ in 0..2_000 {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not come back: {last:?}");
}

/// Added to the promised time, for a machine that has other work.
const SLOW_MACHINE: Duration = Duration::from_secs(2);
