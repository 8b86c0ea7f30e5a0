//! Outages under 1,000 sockets and a steady publisher: a server killed, a failover, a node lost, a
//! connection that goes silent.
//!
//! In each, no socket may be closed, the `gap` hook must run once for each member and group that
//! could not receive, and for no other; publishes meanwhile must fail loudly and at once;
//! deliveries must continue within two seconds of the end. Nothing may arrive twice or out of
//! order, and an accepted message that did not arrive must have been published before its member's
//! `gap` hook ran. [`stage`] makes it happen, [`verdict`] counts, prints and judges.

#![allow(clippy::print_stdout, reason = "the counts are what was measured")]

mod killed_node;
mod reshard;
mod socket;
mod stage;
mod verdict;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use strait::ChannelLayer;

use crate::support::servers::{Cluster, Nats, Proxy, Redis, Sentinels};
use stage::{GROUPS, Stage};
use verdict::{AT_ONCE, Outage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn redis_is_killed_and_started_again() {
    let _turn = TURN.lock().await;
    let mut redis = Redis::start().await;
    let stage = stage(&redis.url()).await;
    let struck = Instant::now();
    redis.kill();
    let down = Instant::now();
    sleep(AWAY).await;
    assert_eq!(stage.join_now().await, "unavailable");
    let back = Instant::now();
    redis.restart().await;
    let outage = everywhere("Redis killed and started again", struck, down, back);
    outage.judge(&stage.close(outage.gaps()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn sentinels_replace_the_master() {
    let _turn = TURN.lock().await;
    let mut set = Sentinels::start(1).await;
    let stage = stage(&set.url()).await;
    let struck = Instant::now();
    let old = set.kill_master().await;
    let down = Instant::now();
    assert_eq!(stage.join_now().await, "unavailable");
    let (_, away) = set.master_instead_of(old).await;
    let outage = Outage {
        away,
        ..everywhere("a failover by Sentinel", struck, down, Instant::now())
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_cluster_node_is_killed_and_started_again() {
    let _turn = TURN.lock().await;
    let mut cluster = Cluster::start().await;
    let stage = stage(&cluster.url()).await;
    let groups = on_node(&cluster.nodes[0]).await;
    let struck = Instant::now();
    cluster.nodes[0].kill();
    let down = Instant::now();
    sleep(AWAY).await;
    let back = Instant::now();
    cluster.nodes[0].restart().await;
    let outage = Outage {
        groups,
        ..everywhere(
            "a Cluster node killed and started again",
            struck,
            down,
            back,
        )
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_replica_replaces_a_cluster_node() {
    let _turn = TURN.lock().await;
    let mut cluster = Cluster::start_with_replica().await;
    let stage = stage(&cluster.url()).await;
    let groups = on_node(&cluster.nodes[0]).await;
    let struck = Instant::now();
    cluster.nodes[0].kill();
    let down = Instant::now();
    let away = cluster.replica_took_over().await;
    let outage = Outage {
        groups,
        away,
        ..everywhere(
            "a Cluster node replaced by its replica",
            struck,
            down,
            Instant::now(),
        )
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn nats_is_killed_and_started_again() {
    let _turn = TURN.lock().await;
    let mut nats = Nats::start().await;
    let stage = stage(&nats.url()).await;
    let struck = Instant::now();
    nats.kill();
    let down = Instant::now();
    sleep(AWAY).await;
    assert_eq!(stage.join_now().await, "unavailable");
    let back = Instant::now();
    nats.restart().await;
    let outage = Outage {
        notice: Duration::from_millis(50),
        ..everywhere("NATS killed and started again", struck, down, back)
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_connection_to_redis_goes_silent() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let through = format!("redis://{}/0", proxy.address());
    goes_silent(
        "the connection to Redis silent",
        &redis.url(),
        &through,
        &proxy,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nats"]
async fn a_connection_to_nats_goes_silent() {
    let nats = Nats::start().await;
    let proxy = Proxy::to(nats.address()).await;
    let through = format!("nats://{}", proxy.address());
    goes_silent(
        "the connection to NATS silent",
        &nats.url(),
        &through,
        &proxy,
    )
    .await;
}

/// The publisher finds out by a publish that is not answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_connection_of_each_node_to_redis_goes_silent() {
    let redis = Redis::start().await;
    let proxies = [
        Proxy::to(redis.address()).await,
        Proxy::to(redis.address()).await,
    ];
    let [members, publisher] = proxies.each_ref().map(|proxy| {
        let url = format!("redis://{}/0", proxy.address());
        async move { ChannelLayer::from_url(&url).await.unwrap() }
    });
    let stage = Stage::open(members.await, publisher.await).await;
    let opened = proxies.each_ref().map(Proxy::opened);
    let struck = Instant::now();
    for proxy in &proxies {
        proxy.stall();
    }
    let down = Instant::now();
    for (node, (proxy, opened)) in proxies.iter().zip(opened).enumerate().rev() {
        until_found(proxy, opened, down).await;
        println!("node {node} of 2: found after {:.2?}", down.elapsed());
    }
    for proxy in &proxies {
        proxy.resume();
    }
    let outage = Outage {
        patience: ANSWER,
        ..everywhere(
            "both connections to Redis silent",
            struck,
            down,
            Instant::now(),
        )
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

/// Only the members' node is behind the proxy. Messages published meanwhile are accepted, and their
/// members get a gap.
async fn goes_silent(what: &'static str, url: &str, through: &str, proxy: &Proxy) {
    let members = ChannelLayer::from_url(through).await.unwrap();
    let publisher = ChannelLayer::from_url(url).await.unwrap();
    let stage = Stage::open(members, publisher).await;
    let opened = proxy.opened();
    let struck = Instant::now();
    proxy.stall();
    let down = Instant::now();
    // Nothing is asked of the node meanwhile, so that it must find out by itself.
    until_found(proxy, opened, down).await;
    println!("{what}: found after {:.2?}", down.elapsed());
    let publish = stage.members.group_send("nobody", &json!({"type": "tick"}));
    let at_once = timeout(AT_ONCE, publish.into_future()).await;
    assert!(at_once.unwrap().unwrap_err().is_unavailable());
    proxy.resume();
    let outage = Outage {
        publishing: false,
        ..everywhere(what, struck, down, Instant::now())
    };
    outage.judge(&stage.close(outage.gaps()).await);
}

/// A node that finds that nothing passes connects again.
async fn until_found(proxy: &Proxy, opened: usize, down: Instant) {
    while proxy.opened() <= opened {
        assert!(down.elapsed() < PROBE, "not found");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn stage(url: &str) -> Stage {
    let members = ChannelLayer::from_url(url).await.unwrap();
    let publisher = ChannelLayer::from_url(url).await.unwrap();
    Stage::open(members, publisher).await
}

/// No group could receive, and nothing be published.
fn everywhere(what: &'static str, struck: Instant, down: Instant, back: Instant) -> Outage {
    Outage {
        what,
        struck,
        down,
        notice: Duration::ZERO,
        patience: AT_ONCE,
        away: back,
        back,
        groups: (0..GROUPS).collect(),
        publishing: true,
    }
}

/// The groups that this node of a Cluster carries.
async fn on_node(node: &Redis) -> Vec<usize> {
    let channels = node.command(&["pubsub", "shardchannels"]).await;
    let groups = (0..GROUPS).filter(|group| channels.contains(&stage::name(*group)));
    let groups: Vec<_> = groups.collect();
    assert!(!groups.is_empty() && groups.len() < GROUPS, "{channels}");
    groups
}

/// Two seconds are short where several such tests share few cores, so they take turns. In silence
/// there is little to do.
static TURN: Mutex<()> = Mutex::const_new(());
const AWAY: Duration = Duration::from_secs(5);
/// A command that has no answer within 5 s is lost, and its connection with it.
const ANSWER: Duration = Duration::from_secs(7);
/// A probe after 30 s of silence, and the time that its answer has.
const PROBE: Duration = Duration::from_secs(40);
