//! The options of a URL, and the errors for one that makes no sense.

use std::time::Duration;

use strait::backends::{ChannelsRedisCore, ChannelsRedisPubSub, SerializerFormat};
use strait::layer::Receivers;
use strait::{ChannelLayer, Event};

use crate::support::servers::{Redis, RedisOptions};

#[tokio::test]
async fn a_senseless_url_is_one_sentence() {
    let rows = [
        ("channels-redis-pubsub:", "needs a host"),
        ("channels-redis-pubsub://", "no host"),
        (
            "channels-redis-core://localhost:0",
            "port of host \"localhost\"",
        ),
        ("channels-redis-core://localhost/x", "database"),
        ("channels-redis-core://localhost?colour=red", "\"colour\""),
        (
            "channels-redis-core://localhost?serializer=pickle",
            "\"pickle\"",
        ),
        ("channels-redis-core://localhost?capacity=0", "capacity"),
        ("channels-redis-core://localhost?capacity=many", "\"many\""),
        ("channels-redis-core://localhost?expiry=1.5", "\"1.5\""),
        ("channels-redis-core://localhost?group_expiry=-1", "\"-1\""),
        ("channels-redis-core://localhost?lanes=none", "\"none\""),
        (
            "channels-redis-pubsub://localhost?capacity=5",
            "\"capacity\"",
        ),
        (
            "channels-redis-pubsub://localhost?host=other:x",
            "port of host \"other\"",
        ),
        (
            "channels-redis-pubsub://localhost?host=redis%2Bcluster://other",
            "Cluster",
        ),
        (
            "channels-redis-pubsub://:secret@localhost:x",
            "port of host \"localhost\"",
        ),
        ("channels-redis-pubsub://localhost?key=", "?key= is empty"),
        (
            "channels-redis-core://localhost?key=secret&key=",
            "?key= is empty",
        ),
        (
            "channels-redis-pubsub://localhost?key=secret&colour=red",
            "\"colour\"",
        ),
    ];
    for (url, why) in rows {
        let error = ChannelLayer::from_url(url).await.unwrap_err();
        assert!(error.is_misconfigured(), "{url}: {error}");
        let text = error.to_string();
        assert!(text.contains(why), "{url}: {text}");
        assert!(!text.contains("secret"), "{url}: {text}");
    }
    let builders = [
        ChannelLayer::new(ChannelsRedisCore::new(["localhost:6379"])).await,
        ChannelLayer::new(ChannelsRedisPubSub::new(["redis+cluster://localhost"])).await,
    ];
    for layer in builders {
        let error = layer.unwrap_err();
        assert!(error.is_misconfigured(), "{error}");
    }
}

#[tokio::test]
async fn an_empty_key_is_an_error_that_names_its_setting() {
    let keys = ["secret", ""];
    let core = ChannelsRedisCore::new([HOST]).symmetric_encryption_keys(keys);
    let pubsub = ChannelsRedisPubSub::new([HOST]).symmetric_encryption_keys(keys);
    for layer in [
        ChannelLayer::new(core).await,
        ChannelLayer::new(pubsub).await,
    ] {
        let error = layer.unwrap_err();
        assert!(error.is_misconfigured(), "{error}");
        let text = error.to_string();
        assert!(text.contains("symmetric_encryption_keys"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_server_that_does_not_do_is_told_at_the_start() {
    let locked = RedisOptions::new().password("secret").start().await;
    let mut gone = Redis::start().await;
    gone.kill();
    for layer in ["core", "pubsub"] {
        let url = |userinfo: &str, redis: &Redis| {
            format!("channels-redis-{layer}://{userinfo}{}", redis.address())
        };
        for userinfo in ["", ":wrong@"] {
            let error = ChannelLayer::from_url(&url(userinfo, &locked))
                .await
                .unwrap_err();
            assert!(error.is_misconfigured(), "{error}");
            assert!(!error.to_string().contains(":wrong"), "{error}");
        }
        ChannelLayer::from_url(&url(":secret@", &locked))
            .await
            .unwrap();
        let error = ChannelLayer::from_url(&url("", &gone)).await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        assert!(error.to_string().contains(&gone.address()), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs redis"]
async fn builders_say_what_urls_say() {
    let redis = Redis::start().await;
    let core = ChannelsRedisCore::new([redis.url()])
        .prefix("shop")
        .serializer_format(SerializerFormat::Json)
        .symmetric_encryption_keys(["secret"])
        .capacity(50)
        .expiry(Duration::from_secs(30))
        .group_expiry(Duration::from_secs(3_600))
        .random_prefix_length(12)
        .lanes(2)
        .allow("order_*", ["order.updated"]);
    let pubsub = ChannelsRedisPubSub::new([redis.url()]).allow("order_*", ["order.updated"]);
    let layers = [
        (ChannelLayer::new(core).await.unwrap(), false),
        (ChannelLayer::new(pubsub).await.unwrap(), true),
    ];
    for (layer, ordered) in layers {
        assert_eq!(layer.guarantees().ordered, ordered);
        assert_eq!(layer.guarantees().receivers, Receivers::Nodes);
        for (group, kind, passes) in [
            ("order_5", "order.updated", true),
            ("order_5", "order.shipped", false),
            ("chat", "order.shipped", true),
            ("chat", "close", false),
            ("chat", "_private", false),
            ("chat", "websocket.disconnect", false),
        ] {
            let published = layer.group_send(group, &Event::new(kind)).await;
            assert_eq!(published.is_ok(), passes, "{group} {kind}: {published:?}");
            if let Err(error) = published {
                assert!(error.is_refused(), "{error}");
                assert!(error.to_string().contains(kind), "{error}");
            }
        }
        let huge = Event::new("chat.said").with("text", "x".repeat(1024 * 1024));
        let error = layer.group_send("chat", &huge).await.unwrap_err();
        assert!(error.is_refused(), "{error}");
    }
}

/// Nothing listens there.
const HOST: &str = "redis://127.0.0.1:1";
