//! The suite that all backends pass, with the formats of channels_redis.

use strait::ChannelLayer;
use strait::testing::conformance;

use crate::support::servers::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn pub_sub_keeps_its_promises() {
    let redis = [Redis::start().await, Redis::start().await];
    for query in ["", "?serializer=json&key=secret", "?host=SECOND"] {
        run("pubsub", &redis, query).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn core_keeps_its_promises() {
    let redis = [Redis::start().await, Redis::start().await];
    for query in ["", "?serializer=json&key=secret", "?host=SECOND"] {
        run("core", &redis, query).await;
    }
}

async fn run(layer: &str, redis: &[Redis; 2], query: &str) {
    let query = query.replace("SECOND", &redis[1].address());
    let url = format!("channels-redis-{layer}://{}{query}", redis[0].address());
    eprintln!("{url}");
    conformance::run(|| ChannelLayer::from_url(&url)).await;
}
