//! The Redis backend with servers of its own: payloads, costs, outages and refusals.

#![allow(clippy::print_stdout, reason = "measurements are printed")]

use std::future::Future;
use std::time::{Duration, Instant};

use strait::layer::{Channel, Published, Receivers};
use strait::testing::conformance;
use strait::{ChannelLayer, Error, Event, backends};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{sleep, timeout};

use crate::support::servers::{Cluster, Fake, Proxy, Redis, RedisOptions, Sentinels};

#[tokio::test]
#[ignore = "needs redis"]
async fn nodes_share_groups_channels_and_one_order() {
    let redis = Redis::start().await;
    let [here, there] = [layer(&redis.url()).await, layer(&redis.url()).await];
    shares(&here, &there).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn one_server_keeps_the_promises_of_a_backend() {
    let redis = Redis::start().await;
    conformance::run(|| ChannelLayer::new(backends::Redis::new(redis.url()))).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_cluster_keeps_the_promises_of_a_backend() {
    let cluster = Cluster::start().await;
    conformance::run(|| ChannelLayer::new(backends::Redis::new(cluster.url()))).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn nodes_of_another_prefix_are_strangers() {
    let redis = Redis::start().await;
    let here = layer(&redis.url()).await;
    let other = layer(&format!("{}?prefix=other", redis.url())).await;
    let mut channel = other.new_channel();
    channel.group_add("room").await.unwrap();
    assert_eq!(send(&here, 1).await.unwrap().receivers, 0);
    assert_eq!(send(&other, 2).await.unwrap().receivers, 1);
    assert_eq!(number(&mut channel).await, 2);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_send_to_ten_thousand_members_is_one_small_message() {
    let redis = Redis::start().await;
    let layer = layer(&redis.url()).await;
    let mut channels = Vec::new();
    for _ in 0..10_000 {
        let mut channel = layer.new_channel();
        channel.group_add("room").await.unwrap();
        channels.push(channel);
    }
    let mut monitor = redis.client();
    monitor.arg("MONITOR").stdout(std::process::Stdio::piped());
    let mut monitor = monitor.spawn().unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("OK"));

    let event = Event::new("order.updated");
    let bytes = serde_json::to_vec(&event).unwrap().len();
    let published = layer.group_send("room", &event).await.unwrap();
    assert_eq!(published.receivers, 1, "nodes");
    for channel in &mut channels {
        channel.recv::<Event>().await.unwrap();
    }
    redis.command(&["ECHO", "the end"]).await;
    let mut sent = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("the end") {
            break;
        }
        sent.extend(line.contains("PUBLISH").then_some(line));
    }
    assert_eq!(sent.len(), 1, "{sent:#?}");
    // `PUBLISH` "strait:g:room" "payload", the payload's quotes escaped.
    let overhead = "*3\r\n$7\r\nPUBLISH\r\n$13\r\nstrait:g:room\r\n$28\r\n\r\n".len() + 2;
    println!(
        "10,000 members: 1 message, {} bytes, {overhead} of them overhead: {}",
        bytes + overhead,
        sent[0]
    );
    assert!(sent[0].contains("strait:g:room"), "{sent:?}");
    assert!(overhead < 200);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_restart_is_survived_and_told() {
    let mut redis = Redis::start().await;
    let layer = layer(&redis.url()).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    assert_eq!(send(&layer, 1).await.unwrap().receivers, 1);
    assert_eq!(number(&mut channel).await, 1);

    redis.kill();
    let error = until_err(|| send(&layer, 0)).await;
    assert!(error.is_unavailable(), "{error}");
    // At once from now on, also for members that join.
    let began = Instant::now();
    let error = send(&layer, 0).await.unwrap_err().to_string();
    assert!(error.contains("there is no connection to redis"), "{error}");
    let mut late = layer.new_channel();
    assert!(late.group_add("late").await.unwrap_err().is_unavailable());
    assert!(
        began.elapsed() < Duration::from_millis(50),
        "{:?}",
        began.elapsed()
    );

    redis.restart().await;
    let began = Instant::now();
    until_ok(|| send(&layer, 0)).await;
    println!("published {:?} after the restart", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2));
    // Messages published as soon as the group was subscribed to again may arrive before the gap.
    let error = loop {
        if let Err(error) = next(&mut channel).await {
            break error;
        }
    };
    assert!(error.is_gap(), "{error}");
    assert_eq!(send(&layer, 2).await.unwrap().receivers, 1);
    while number(&mut channel).await != 2 {}
    late.group_add("late").await.unwrap();
    // The gap came once.
    send(&layer, 3).await.unwrap();
    assert_eq!(number(&mut channel).await, 3);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_connection_that_is_cut_is_noticed_at_once() {
    let redis = Redis::start().await;
    let layer = layer(&redis.url()).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    let began = Instant::now();
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    gap(&mut channel).await;
    println!("cut, and told {:?} later", began.elapsed());
    send(&layer, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_connection_that_has_gone_silent_is_found_by_the_probe() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let url = format!("redis://{}?probe=0.3&timeout=0.5", proxy.address());
    let layer = layer(&url).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    // A probe that comes back changes nothing.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(proxy.opened(), 1);
    let began = Instant::now();
    proxy.forget();
    gap(&mut channel).await;
    println!("silent, and told {:?} later", began.elapsed());
    // Silence, time-out, the pause before the next try; and a machine that does more than this.
    assert!(began.elapsed() < Duration::from_millis(300 + 500 + 1_000 + 2_000));
    send(&layer, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_publish_into_silence_fails_and_says_that_it_may_have_arrived() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let url = format!("redis://{}?timeout=0.5", proxy.address());
    let layer = layer(&url).await;
    proxy.stall();
    let began = Instant::now();
    let error = send(&layer, 1).await.unwrap_err();
    assert!(error.is_unavailable());
    assert!(
        error.to_string().contains("may have been delivered"),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    proxy.resume();
    until_ok(|| send(&layer, 2)).await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn malformed_envelopes_are_skipped() {
    let redis = Redis::start().await;
    let layer = layer(&redis.url()).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    let node = channel
        .name()
        .as_str()
        .split_once('!')
        .unwrap()
        .0
        .to_owned();
    let own = format!("strait:n:{node}");
    for (topic, payload) in [
        ("strait:g:room", "\"\""),
        ("strait:g:room", "nonsense"),
        ("strait:g:room", "\"\\x10\\x00{}\""),
        (&own, "\"\\x05abc\""),
        (&own, "\"\\x03a!b\\x10\\x00{\\\"type\\\":\\\"x\\\"}\""),
    ] {
        // By way of standard input, where redis-cli knows escapes.
        let published = redis.command(&["PUBLISH", topic, payload]).await;
        assert_eq!(published, "1", "{topic}");
    }
    send(&layer, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn acl_users_log_in_and_what_is_missing_is_named() {
    let rules = "+@pubsub &strait:*";
    let redis = RedisOptions::new()
        .user("ada", "s3cret", rules)
        .start()
        .await;
    layer(&redis.url()).await;
    let at = redis.address();
    let rows = [
        (format!("redis://{at}"), "wants a login"),
        (
            format!("redis://:s3cret@{at}"),
            "refused the login of the default user",
        ),
        (
            format!("redis://ada:wr0ng@{at}"),
            "refused the login of user \"ada\"",
        ),
        (
            format!("redis://ada:s3cret@{at}?prefix=other"),
            "lets user \"ada\" do too little",
        ),
    ];
    for (url, why) in rows {
        let error = ChannelLayer::from_url(&url).await.err().unwrap();
        let text = error.to_string();
        assert!(error.is_misconfigured(), "{url}: {text}");
        assert!(text.contains(why), "{url}: {text}");
        assert!(
            !text.contains("s3cret") && !text.contains("wr0ng"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let open = Redis::start().await;
    let url = format!("redis://{}/99", open.address());
    let text = ChannelLayer::from_url(&url)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(text.contains("has no database 99"), "{text}");
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_server_that_will_not_do_fails_at_the_start() {
    let port = crate::support::servers::free_port();
    let url = format!("redis://127.0.0.1:{port}");
    let error = ChannelLayer::from_url(&url).await.err().unwrap();
    assert!(error.is_unavailable(), "{error}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");

    let redis = Redis::start().await;
    let error = ChannelLayer::from_url(&format!("redis+cluster://{}", redis.address())).await;
    let error = error.err().unwrap();
    assert!(error.is_misconfigured(), "{error}");
    assert!(
        error.to_string().contains("not part of a Cluster"),
        "{error}"
    );
    let url = format!("redis+sentinel://{}/mymaster", redis.address());
    let error = ChannelLayer::from_url(&url).await.err().unwrap();
    assert!(error.to_string().contains("is no Sentinel"), "{error}");

    let master = redis.port.to_string();
    let replica = Redis::start().await;
    replica.command(&["REPLICAOF", "127.0.0.1", &master]).await;
    let error = ChannelLayer::from_url(&replica.url()).await.err().unwrap();
    assert!(error.to_string().contains("is a replica"), "{error}");

    // It accepts, and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}?timeout=0.3", listener.local_addr().unwrap());
    let error = ChannelLayer::from_url(&url).await.err().unwrap();
    assert!(
        error.to_string().contains("did not answer within 300ms"),
        "{error}"
    );
}

/// Redis 5, one whose `HELLO` was renamed, a proxy without RESP3, and two that answer by something
/// else.
#[tokio::test]
async fn a_server_without_resp3_is_misconfigured_and_the_error_names_redis_6() {
    let answers = [
        "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n",
        "-ERR unknown command 'HELLO', with args beginning with: '3' \r\n",
        "-NOPROTO unsupported protocol version\r\n",
        "+OK\r\n",
        "*2\r\n+server\r\n+redis\r\n",
    ];
    for answer in answers {
        let server = Fake::start(move |_| answer.to_owned()).await;
        for scheme in ["redis", "channels-redis-pubsub", "channels-redis-core"] {
            let url = format!("{scheme}://{}", server.address());
            let error = ChannelLayer::from_url(&url).await.err().unwrap();
            let text = error.to_string();
            assert!(error.is_misconfigured(), "{answer}: {text}");
            assert!(text.contains("RESP3"), "{answer}: {text}");
            assert!(text.contains("Redis 6"), "{answer}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn nothing_is_left_of_a_layer_that_was_dropped() {
    let redis = Redis::start().await;
    let layer = layer(&redis.url()).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    let topics = async || redis.command(&["PUBSUB", "CHANNELS"]).await;
    assert!(topics().await.contains("strait:g:room"));
    drop((layer, channel));
    for _ in 0..100 {
        if topics().await.is_empty() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it is still connected");
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_unix_socket_will_do() {
    let socket = std::env::temp_dir().join(format!("strait-redis-{}.sock", std::process::id()));
    let line = format!("unixsocket {}", socket.display());
    let redis = RedisOptions::new().line(&line).start().await;
    let layer = layer(&format!("unix://{}", socket.display())).await;
    assert_eq!(send(&layer, 1).await.unwrap().receivers, 0);
    drop(redis);
    let _ = std::fs::remove_file(socket);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn tls_trusts_whom_it_is_told_to() {
    let folder = std::env::temp_dir().join(format!("strait-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let [key, certificate] = ["key.pem", "certificate.pem"].map(|name| folder.join(name));
    let made = std::process::Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(' '))
        .args("-subj /CN=strait -addext subjectAltName=DNS:localhost".split(' '))
        // An authority cannot be a server at the same time, as rustls sees it.
        .args("-addext basicConstraints=critical,CA:FALSE".split(' '))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    let port = crate::support::servers::free_port();
    let (key, certificate) = (key.display(), certificate.display());
    let redis = RedisOptions::new()
        .line(&format!("tls-port {port}\ntls-auth-clients no"))
        .line(&format!("tls-key-file {key}\ntls-cert-file {certificate}"))
        .start()
        .await;
    let url = format!("rediss://localhost:{port}?ca={certificate}");
    let layer = layer(&url).await;
    let mut channel = layer.new_channel();
    channel.group_add("room").await.unwrap();
    send(&layer, 1).await.unwrap();
    assert_eq!(number(&mut channel).await, 1);

    let rows = [
        (
            format!("rediss://127.0.0.1:{port}?ca={certificate}"),
            "certificate",
        ),
        (format!("rediss://localhost:{port}"), "certificate"),
        (format!("redis://localhost:{port}"), ""),
        (
            format!("redis://localhost:{port}?ca={certificate}"),
            "of no use without rediss",
        ),
    ];
    for (url, why) in rows {
        let error = ChannelLayer::from_url(&url).await.err().unwrap();
        assert!(error.to_string().contains(why), "{url}: {error}");
        let is_by_tls = url.starts_with("rediss");
        assert!(error.is_misconfigured() || !is_by_tls, "{url}: {error}");
    }
    let plain = redis.url().replace("redis://", "rediss://");
    let error = ChannelLayer::from_url(&format!("{plain}?ca={certificate}")).await;
    let error = error.err().unwrap();
    assert!(
        error.is_misconfigured() || error.is_unavailable(),
        "{error}"
    );
    drop(redis);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "needs redis"]
async fn the_master_that_sentinels_name_is_followed() {
    let mut set = Sentinels::start(1).await;
    let [here, there] = [layer(&set.url()).await, layer(&set.url()).await];
    shares(&here, &there).await;
    let wrong = set.url().replace(set.name(), "nobody");
    let error = ChannelLayer::from_url(&wrong).await.err().unwrap();
    assert!(error.is_misconfigured(), "{error}");
    assert!(
        error.to_string().contains("knows no master \"nobody\""),
        "{error}"
    );
    let url = format!("redis://{}", set.sentinels[0].address());
    let error = ChannelLayer::from_url(&url).await.err().unwrap();
    assert!(error.to_string().contains("is a Sentinel"), "{error}");

    let mut channel = there.new_channel();
    channel.group_add("room").await.unwrap();
    let old = set.kill_master().await;
    let error = until_err(|| send(&here, 0)).await;
    assert!(error.is_unavailable(), "{error}");
    set.master_instead_of(old).await;
    let began = Instant::now();
    gap(&mut channel).await;
    println!("told {:?} after the failover", began.elapsed());
    until_ok(|| send(&here, 7)).await;
    assert_eq!(number(&mut channel).await, 7);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_cluster_carries_each_group_in_its_shard() {
    let cluster = Cluster::start().await;
    let [here, there] = [layer(&cluster.url()).await, layer(&cluster.url()).await];
    shares(&here, &there).await;
    for place in 0..3 {
        let group = group_at(&cluster, place).await;
        let mut channel = there.new_channel();
        channel.group_add(&group).await.unwrap();
        let published = send_to(&here, &group, 1).await.unwrap();
        assert_eq!(published.receivers, 1, "shard {place}");
        assert_eq!(number(&mut channel).await, 1);
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_cluster_that_loses_a_server_goes_on_with_the_others() {
    let mut cluster = Cluster::start().await;
    let layer = layer(&cluster.url()).await;
    let mut lost = layer.new_channel();
    let mut kept = layer.new_channel();
    let [at_lost, at_kept] = [group_at(&cluster, 1).await, group_at(&cluster, 2).await];
    lost.group_add(&at_lost).await.unwrap();
    kept.group_add(&at_kept).await.unwrap();
    cluster.nodes[1].kill();
    let error = until_err(|| send_to(&layer, &at_lost, 0)).await;
    assert!(error.is_unavailable(), "{error}");
    for number_sent in 1..20 {
        send_to(&layer, &at_kept, number_sent).await.unwrap();
        assert_eq!(number(&mut kept).await, number_sent);
    }
    cluster.nodes[1].restart().await;
    gap(&mut lost).await;
    until_ok(|| send_to(&layer, &at_lost, 7)).await;
    assert_eq!(number(&mut lost).await, 7);
    // Nobody told the others of a gap.
    send_to(&layer, &at_kept, 20).await.unwrap();
    assert_eq!(number(&mut kept).await, 20);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_replica_that_takes_over_in_a_cluster_is_found() {
    let mut cluster = Cluster::start_with_replica().await;
    let layer = layer(&cluster.url()).await;
    let mut channel = layer.new_channel();
    let group = group_at(&cluster, 0).await;
    channel.group_add(&group).await.unwrap();
    cluster.nodes[0].kill();
    cluster.replica_took_over().await;
    let began = Instant::now();
    gap(&mut channel).await;
    println!("told {:?} after the replica took over", began.elapsed());
    until_ok(|| send_to(&layer, &group, 7)).await;
    assert_eq!(number(&mut channel).await, 7);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_slot_that_moves_takes_its_groups_with_it() {
    let cluster = Cluster::start().await;
    let layer = layer(&cluster.url()).await;
    let mut channel = layer.new_channel();
    let group = group_at(&cluster, 0).await;
    channel.group_add(&group).await.unwrap();
    let slot = cluster.nodes[0]
        .command(&["cluster", "keyslot", &format!("strait:g:{group}")])
        .await;
    let to = cluster.nodes[2].command(&["cluster", "myid"]).await;
    // The receiver first, as the manual says.
    for place in [2, 0, 1] {
        cluster.nodes[place]
            .command(&["cluster", "setslot", &slot, "node", &to])
            .await;
    }
    gap(&mut channel).await;
    let published = send_to(&layer, &group, 7).await.unwrap();
    assert_eq!(published.receivers, 1);
    assert_eq!(number(&mut channel).await, 7);
}

/// The rules between two nodes over any kind of server.
async fn shares(here: &ChannelLayer, there: &ChannelLayer) {
    assert!(here.guarantees().ordered);
    assert_eq!(here.guarantees().receivers, Receivers::Nodes);
    let mut channels = [here.new_channel(), here.new_channel(), there.new_channel()];
    for channel in &mut channels {
        channel.group_add("shared").await.unwrap();
    }
    let (mut from_here, mut from_there) = (Vec::new(), Vec::new());
    for number in 0..200 {
        from_here.push(send_to(here, "shared", number));
        from_there.push(send_to(there, "shared", 1_000 + number));
    }
    let sent = futures::future::join(
        futures::future::join_all(from_here),
        futures::future::join_all(from_there),
    );
    let (from_here, from_there) = sent.await;
    for published in from_here.into_iter().chain(from_there) {
        assert_eq!(published.unwrap().receivers, 2, "nodes");
    }
    let mut orders = Vec::new();
    for channel in &mut channels {
        let mut order = Vec::new();
        for _ in 0..400 {
            order.push(number(channel).await);
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1], "one node");
    assert_eq!(orders[0], orders[2], "another node");

    let name = channels[2].name().clone();
    let event = numbered(7);
    assert_eq!(here.send(&name, &event).await.unwrap().receivers, 1);
    assert_eq!(number(&mut channels[2]).await, 7);
    let except = here.group_send("shared", &numbered(8)).except(&name);
    except.await.unwrap();
    assert_eq!(number(&mut channels[0]).await, 8);
    here.group_send("shared", &numbered(9)).await.unwrap();
    assert_eq!(number(&mut channels[2]).await, 9, "8 was not for it");
    channels[2].group_discard("shared").unwrap();
    // The last member of a node takes the subscription with it.
    for _ in 0..200 {
        if send_to(here, "shared", 10).await.unwrap().receivers == 1 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the other node is still subscribed");
}

async fn layer(url: &str) -> ChannelLayer {
    let redis = backends::Redis::new(url);
    let layer = ChannelLayer::new(redis).await;
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

fn numbered(number: u64) -> Event {
    serde_json::from_value(serde_json::json!({"type": "number", "number": number})).unwrap()
}

async fn send(layer: &ChannelLayer, number: u64) -> Result<Published, Error> {
    send_to(layer, "room", number).await
}

async fn send_to(layer: &ChannelLayer, group: &str, number: u64) -> Result<Published, Error> {
    layer.group_send(group, &numbered(number)).await
}

async fn next(channel: &mut Channel) -> Result<Event, Error> {
    let next = timeout(Duration::from_secs(20), channel.recv::<Event>()).await;
    next.expect("something comes")
}

async fn number(channel: &mut Channel) -> u64 {
    let event = next(channel).await.unwrap();
    let event = serde_json::to_value(event).unwrap();
    event["number"].as_u64().unwrap()
}

/// The next thing is that the group may have missed something.
async fn gap(channel: &mut Channel) {
    let error = next(channel).await.unwrap_err();
    assert!(error.is_gap(), "{error}");
}

async fn until_err<T, F: Future<Output = Result<T, Error>>>(attempt: impl Fn() -> F) -> Error {
    for _ in 0..1_000 {
        if let Err(error) = attempt().await {
            return error;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not fail");
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
