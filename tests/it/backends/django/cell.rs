//! [`Cell`]: one combination of settings; and [`World`], in which Django and strait have them both.

use std::time::Duration;

use strait::layer::{Channel, GroupName};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Consumer, Context, Error, Event, Reject, Router};
use tokio::time::{Instant, sleep, timeout};

use crate::support::servers::{Peer, PeerConfig, Redis};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    PubSub,
    Core,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    None,
    Same,
    /// Each encrypts with another, and both know both.
    Rotated,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) layer: Layer,
    pub(crate) format: &'static str,
    pub(crate) keys: Keys,
    pub(crate) hosts: usize,
}

pub(crate) struct World {
    pub(crate) redis: Vec<Redis>,
    pub(crate) peer: Peer,
    pub(crate) url: String,
    pub(crate) layer: ChannelLayer,
}

impl Cell {
    pub(crate) const fn plain(layer: Layer) -> Self {
        Self {
            layer,
            format: "msgpack",
            keys: Keys::None,
            hosts: 1,
        }
    }

    pub(crate) async fn start(self) -> World {
        self.start_with(|peer| peer, "").await
    }

    /// With further settings, of Django and of strait.
    pub(crate) async fn start_with(
        self,
        peer: impl FnOnce(PeerConfig) -> PeerConfig,
        query: &str,
    ) -> World {
        let mut redis = Vec::new();
        for _ in 0..self.hosts {
            redis.push(Redis::start().await);
        }
        let hosts: Vec<_> = redis.iter().map(Redis::url).collect();
        let config = match self.layer {
            Layer::PubSub => PeerConfig::pubsub(&hosts),
            Layer::Core => PeerConfig::core(&hosts),
        };
        let (theirs, ours): (&[_], &[_]) = match self.keys {
            Keys::None => (&[], &[]),
            Keys::Same => (&["order-secret"], &["order-secret"]),
            Keys::Rotated => (&["new/secret", "old"], &["old", "new/secret"]),
        };
        let config = config.prefix("shop").serializer(self.format);
        let config = match theirs {
            [] => config,
            keys => config.keys(keys),
        };
        let mut url = self.url(&redis, query);
        for key in ours {
            url += &format!("&key={}", key.replace('/', "%2F"));
        }
        World {
            peer: Peer::start(&peer(config)).await,
            layer: ChannelLayer::from_url(&url).await.unwrap(),
            url,
            redis,
        }
    }

    fn url(self, redis: &[Redis], query: &str) -> String {
        let layer = match self.layer {
            Layer::PubSub => "pubsub",
            Layer::Core => "core",
        };
        let mut hosts = redis.iter().map(Redis::address);
        let first = hosts.next().unwrap();
        let others: String = hosts.map(|host| format!("&host={host}")).collect();
        let format = self.format;
        format!("channels-redis-{layer}://{first}/0?prefix=shop&serializer={format}{others}{query}")
    }
}

/// The next event, which must come.
pub(crate) async fn next(channel: &mut Channel) -> Event {
    match timeout(SOON, channel.recv()).await {
        Ok(event) => event.unwrap(),
        Err(_) => panic!("no event within {SOON:?}"),
    }
}

/// The events within a time that is long enough for all of them; `None` for none.
pub(crate) async fn soon(channel: &mut Channel) -> Option<Result<Event, Error>> {
    timeout(A_WHILE, channel.recv()).await.ok()
}

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);

/// A socket in one group, which is sent all that comes, and `gap` where something may be missing.
pub(crate) async fn socket(layer: &ChannelLayer, group: &str) -> Communicator {
    let mut socket = watching(layer, group);
    socket.connect().await.unwrap();
    socket
}

/// Such a socket, before it connects.
pub(crate) fn watching(layer: &ChannelLayer, group: &str) -> Communicator {
    let router = Router::new()
        .path("<str:group>/", |scope| {
            Ok(Watcher {
                group: scope.param("group")?,
            })
        })
        .channel_layer(layer.clone());
    let path = format!("/{group}/");
    Communicator::new(router.into_service().0, &path).timeout(SOON)
}

struct Watcher {
    group: String,
}

impl Consumer for Watcher {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add(self.group.as_str()).relay().await?;
        Ok(Accept::new())
    }

    async fn gap(&mut self, ctx: &Context, _group: GroupName) -> strait::Result {
        Ok(ctx.send_text("gap").await?)
    }
}

pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A node that was killed is found after 15 to 20 s.
const PATIENCE: Duration = Duration::from_secs(30);
