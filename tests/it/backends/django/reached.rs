//! How a Redis is reached: over TLS, by way of Sentinels, and as a user who may do no more than the
//! chapter on Django says.

use std::time::Duration;

use serde_json::{Value, json};
use strait::backends::{ChannelsRedisCore, ChannelsRedisPubSub};
use strait::testing::Communicator;
use strait::{ChannelLayer, Error, Event};
use tokio::time::Instant;

use super::cell::{Layer, SOON, eventually, next, socket};
use crate::support::servers::{Authority, Peer, PeerConfig, RedisOptions, Sentinels, free_port};

#[tokio::test]
#[ignore = "needs redis"]
async fn over_tls() {
    let authority = Authority::new();
    let ports = [free_port(), free_port()];
    let servers = ports.map(|port| authority.server(port).start());
    let _servers = futures::future::join_all(servers).await;
    let [first, second] = ports.map(|port| format!("localhost:{port}"));
    let hosts = [&first, &second].map(|host| format!("rediss://{host}/0"));
    let ca = authority.file();
    for layer in LAYERS {
        let config = layer.config(&hosts).prefix("shop");
        let peer = Peer::start(&config.of_hosts("ssl_ca_certs", &json!(ca))).await;
        // The rules for the first host hold for the others.
        let url = format!(
            "channels-rediss-{}://{first}/0?host={second}&prefix=shop&ca={ca}",
            layer.name()
        );
        let ours = ChannelLayer::from_url(&url).await.unwrap();
        both_ways(&ours, &peer).await;
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn an_untrusted_authority_is_an_error_at_the_start() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let port = free_port();
    let redis = authority.server(port).start().await;
    let ca = authority.file();
    let rows = [
        (
            format!("localhost:{port}?ca={}", stranger.file()),
            "certificate",
        ),
        (format!("localhost:{port}"), "certificate"),
        // The certificate is of localhost.
        (format!("127.0.0.1:{port}?ca={ca}"), "certificate"),
        (
            format!(":x@localhost:{port}?ca=/does/not/exist"),
            "/does/not/exist",
        ),
        // Without a login, a port may be the beginning of a password.
        (
            format!("localhost:{port}?ca=/does/not/exist"),
            "the file that ?ca= names",
        ),
    ];
    for layer in LAYERS {
        for (rest, why) in &rows {
            let url = format!("channels-rediss-{}://{rest}", layer.name());
            let error = ChannelLayer::from_url(&url).await.unwrap_err();
            let text = error.to_string();
            assert!(error.is_misconfigured(), "{url}: {text}");
            assert!(text.contains(why), "{url}: {text}");
            assert_eq!(text.lines().count(), 1, "{url}: {text}");
            eprintln!("{text}");
        }
        let url = format!(
            "channels-redis-{}://{}?ca={ca}",
            layer.name(),
            redis.address()
        );
        let text = ChannelLayer::from_url(&url).await.unwrap_err().to_string();
        assert!(text.contains("of no use without rediss"), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn by_way_of_sentinels() {
    for layer in LAYERS {
        eprintln!("{layer:?}");
        fails_over(layer).await;
    }
}

async fn fails_over(layer: Layer) {
    let mut set = Sentinels::start(1).await;
    let addresses = set
        .sentinels
        .iter()
        .map(|sentinel| ("127.0.0.1", sentinel.port));
    let host = json!({
        "sentinels": addresses.collect::<Vec<_>>(),
        "master_name": set.name(),
        "socket_timeout": null,
    });
    let config = layer.config(&[]).prefix("shop");
    let peer = Peer::start(&config.option("hosts", json!([host]))).await;
    let scheme = format!("channels-redis+sentinel-{}", layer.name());
    let url = set.url().replace("redis+sentinel", &scheme) + "?prefix=shop";
    let ours = ChannelLayer::from_url(&url).await.unwrap();
    let wrong = url.replace(set.name(), "nobody");
    let error = ChannelLayer::from_url(&wrong).await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    assert!(
        error.to_string().contains("knows no master \"nobody\""),
        "{error}"
    );
    // The same as a host of the builder's.
    let other = layer.by_builder(&set.url()).await.unwrap();
    both_ways(&other, &peer).await;
    drop(other);
    both_ways(&ours, &peer).await;

    let groups: Vec<_> = (0..6).map(|number| format!("order_{number}")).collect();
    let mut sockets = Vec::new();
    for group in &groups {
        sockets.push(socket(&ours, group).await);
    }
    let theirs = peer.new_channel().await;
    peer.group_add("order_0", &theirs).await;
    let old = set.kill_master().await;
    let event = Event::new("order.updated");
    let lost = async || ours.group_send("elsewhere", &event).await.is_err();
    eventually(lost).await;
    let error = ours.group_send("elsewhere", &event).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    set.master_instead_of(old).await;
    let began = Instant::now();
    for (socket, group) in sockets.iter_mut().zip(&groups) {
        assert_eq!(socket.receive_text().await.unwrap(), "gap", "{group}");
        let event = json!({"type": "order.updated", "group": group});
        eventually(async || peer.group_send(group, &event).await.is_ok()).await;
        assert_eq!(socket.receive_json::<Value>().await.unwrap(), event);
    }
    eprintln!("all is well again after {:?}", began.elapsed());
    hears_again(&ours, &peer, &theirs, &mut sockets[0]).await;
    for socket in &mut sockets {
        socket.expect_nothing().await.unwrap();
        socket.disconnect().await.unwrap();
    }
}

/// Django's own connections have to come back, too; the call that it was waiting on has failed.
async fn hears_again(ours: &ChannelLayer, peer: &Peer, theirs: &str, socket: &mut Communicator) {
    let began = Instant::now();
    for number in 0.. {
        let event = json!({"type": "order.updated", "number": number});
        ours.group_send("order_0", &event).await.unwrap();
        assert_eq!(socket.receive_json::<Value>().await.unwrap(), event);
        // It may now take the messages sent before this.
        let mut got = Ok(Some(Value::Null));
        while matches!(&got, Ok(Some(got)) if *got != event) {
            got = peer.try_receive(theirs, Duration::from_millis(500)).await;
        }
        if matches!(got, Ok(Some(_))) {
            break;
        }
        assert!(began.elapsed() < SOON * 2, "{got:?}");
    }
    let event = json!({"type": "order.updated", "number": "last"});
    ours.group_send("order_0", &event).await.unwrap();
    assert_eq!(peer.receive(theirs, SOON).await, Some(event.clone()));
    assert_eq!(socket.receive_json::<Value>().await.unwrap(), event);
}

#[tokio::test]
#[ignore = "needs redis"]
async fn as_a_user_who_may_do_no_more_than_needed() {
    for layer in LAYERS {
        let rights = layer.rights("shop");
        let redis = RedisOptions::new()
            .user("strait", "s3cret", &rights)
            .start()
            .await;
        let peer = Peer::start(&layer.config(&[redis.admin_url()]).prefix("shop")).await;
        let url = format!(
            "channels-redis-{}://strait:s3cret@{}?prefix=shop",
            layer.name(),
            redis.address()
        );
        let ours = ChannelLayer::from_url(&url).await.unwrap();
        both_ways(&ours, &peer).await;
        drop(ours);
        for right in rights.split(' ') {
            let others: Vec<_> = rights.split(' ').filter(|other| *other != right).collect();
            let words = ["ACL", "SETUSER", "strait", "reset", "on", ">s3cret"];
            redis.command(&[&words, &*others].concat()).await;
            // As a server that was restarted: it knows no script.
            redis.command(&["SCRIPT", "FLUSH"]).await;
            let Err(error) = ChannelLayer::from_url(&url).await else {
                panic!("{layer:?} does not need {right}");
            };
            let text = error.to_string();
            assert!(error.is_misconfigured(), "without {right}: {text}");
            assert!(text.contains(&rights), "without {right}: {text}");
            assert!(!text.contains("s3cret"), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
            eprintln!("without {right}: {text}");
        }
        let other_database = url.replace('?', "/1?");
        for (more, may) in [("", false), ("+select", true)] {
            let words = ["ACL", "SETUSER", "strait", "reset", "on", ">s3cret"];
            let rights = rights.split(' ').chain((!more.is_empty()).then_some(more));
            let rights: Vec<_> = rights.collect();
            redis.command(&[&words, &*rights].concat()).await;
            let layer = ChannelLayer::from_url(&other_database).await;
            let error = layer.err();
            assert_eq!(error.is_none(), may, "{error:?}");
            assert!(error.is_none_or(|error| error.is_misconfigured()));
        }
    }
}

/// In a group and to a channel, from Django to strait and back, and between two nodes of strait.
async fn both_ways(ours: &ChannelLayer, peer: &Peer) {
    let theirs = peer.new_channel().await;
    let mut channel = ours.new_channel();
    for number in 0..8 {
        let group = format!("both_{number}");
        peer.group_add(&group, &theirs).await;
        channel.group_add(group.as_str()).await.unwrap();
        let event = json!({"type": "order.updated", "number": number});
        peer.group_send(&group, &event).await.unwrap();
        assert_eq!(
            next(&mut channel).await.field("number"),
            Some(&json!(number))
        );
        assert_eq!(peer.receive(&theirs, SOON).await, Some(event.clone()));
        let published = ours.group_send(group.as_str(), &event).await.unwrap();
        assert_eq!(published.receivers, 2);
        assert_eq!(
            next(&mut channel).await.field("number"),
            Some(&json!(number))
        );
        assert_eq!(peer.receive(&theirs, SOON).await, Some(event));
        channel.group_discard(group.as_str()).unwrap();
        peer.group_discard(&group, &theirs).await;
    }
    let event = json!({"type": "order.updated"});
    peer.send(channel.name().as_str(), &event).await.unwrap();
    next(&mut channel).await;
    ours.send(theirs.as_str(), &event).await.unwrap();
    assert_eq!(peer.receive(&theirs, SOON).await, Some(event));
    peer.leave(&theirs).await;
}

impl Layer {
    const fn name(self) -> &'static str {
        match self {
            Self::PubSub => "pubsub",
            Self::Core => "core",
        }
    }

    fn config(self, hosts: &[String]) -> PeerConfig {
        match self {
            Self::PubSub => PeerConfig::pubsub(hosts),
            Self::Core => PeerConfig::core(hosts),
        }
    }

    async fn by_builder(self, host: &str) -> Result<ChannelLayer, Error> {
        match self {
            Self::PubSub => {
                ChannelLayer::new(ChannelsRedisPubSub::new([host]).prefix("shop")).await
            }
            Self::Core => ChannelLayer::new(ChannelsRedisCore::new([host]).prefix("shop")).await,
        }
    }

    /// As the chapter has them.
    fn rights(self, prefix: &str) -> String {
        match self {
            Self::PubSub => "+@pubsub &*".to_owned(),
            Self::Core => format!(
                "+@pubsub +@sortedset +@hash +eval +evalsha +time +expire +del &* ~{prefix}*"
            ),
        }
    }
}

const LAYERS: [Layer; 2] = [Layer::PubSub, Layer::Core];
