//! A Redis that is connected and refuses to serve: it is loading, has no memory left, cannot save,
//! or was made a replica.

use std::time::Duration;

use strait::testing::Communicator;
use strait::{ChannelLayer, Event};
use tokio::time::sleep;

use super::cell::{eventually, socket, watching};
use crate::support::log::Log;
use crate::support::servers::{Redis, RedisOptions, free_port};

#[tokio::test]
#[ignore = "needs redis"]
async fn a_redis_without_memory_is_one_outage() {
    let redis = Redis::start().await;
    let stage = Stage::begin(&redis).await;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let stage = stage.refused().await;
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    stage.serves_again().await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_redis_that_cannot_save_is_one_outage() {
    let redis = Redis::start().await;
    let stage = Stage::begin(&redis).await;
    redis.fail_to_save().await;
    let stage = stage.refused().await;
    let words = ["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"];
    redis.command(&words).await;
    stage.serves_again().await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_redis_that_became_a_replica_is_one_outage() {
    let redis = Redis::start().await;
    let stage = Stage::begin(&redis).await;
    let nobody = free_port().to_string();
    redis.command(&["REPLICAOF", "127.0.0.1", &nobody]).await;
    let stage = stage.refused().await;
    redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    stage.serves_again().await;
}

#[tokio::test]
#[ignore = "needs redis"]
async fn a_redis_that_loads_is_one_outage() {
    let mut redis = RedisOptions::new()
        .line("key-load-delay 2000")
        .line("loading-process-events-interval-bytes 1024")
        .start()
        .await;
    let keys = "for i = 1, 3000 do redis.call('SET', 'key' .. i, string.rep('x', 50)) end";
    redis.command(&["EVAL", keys, "0"]).await;
    redis.command(&["SAVE"]).await;
    let stage = Stage::begin(&redis).await;
    redis.kill();
    redis.restart().await;
    let info = redis.command(&["INFO", "persistence"]).await;
    assert!(info.contains("loading:1"), "{info}");
    let stage = stage.refused().await;
    stage.serves_again().await;
}

/// A socket in a group, and the log from then on.
struct Stage {
    layer: ChannelLayer,
    socket: Communicator,
    log: Log,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Stage {
    async fn begin(redis: &Redis) -> Self {
        let url = format!("channels-redis-core://{}", redis.address());
        let layer = ChannelLayer::from_url(&url).await.unwrap();
        let socket = socket(&layer, "room").await;
        let (log, _guard) = Log::start();
        Self {
            layer,
            socket,
            log,
            _guard,
        }
    }

    /// Clients that come meanwhile are refused, and the log has one line.
    async fn refused(self) -> Self {
        for _ in 0..20 {
            let mut client = watching(&self.layer, "other");
            assert!(client.connect().await.is_err());
            let published = self.layer.group_send("room", &Event::new("t")).await;
            let error = published.unwrap_err();
            assert!(error.is_unavailable(), "{error}");
            assert!(!self.layer.is_available());
            sleep(Duration::from_millis(100)).await;
        }
        // Long enough for what is said once a second, or with every beat.
        sleep(Duration::from_secs(1)).await;
        let text = self.log.text();
        assert!(!text.contains("ERROR"), "{text}");
        assert_eq!(self.log.lines("WARN"), 1, "{text}");
        self
    }

    /// Expects that the members get `gap`, and that the log has one line more.
    async fn serves_again(mut self) {
        eventually(async || self.layer.is_available()).await;
        let mut text = self.socket.receive_text().await.unwrap();
        if text != "gap" {
            // The publish that found it out reached this node, and failed on its way to Django.
            assert!(text.contains("\"t\""), "{text}");
            text = self.socket.receive_text().await.unwrap();
        }
        assert_eq!(text, "gap");
        let sent = async || {
            let sent = self.layer.group_send("room", &Event::new("t")).await;
            sent.is_ok_and(|published| published.receivers == 1)
        };
        eventually(sent).await;
        let text = self.socket.receive_text().await.unwrap();
        assert!(text.contains("\"t\""), "{text}");
        self.socket.expect_nothing().await.unwrap();
        let mut client = watching(&self.layer, "other");
        client.connect().await.unwrap();
        let text = self.log.text();
        assert_eq!(self.log.lines("WARN"), 1, "{text}");
        assert_eq!(self.log.lines("INFO"), 1, "{text}");
        assert!(!text.contains("ERROR"), "{text}");
    }
}
