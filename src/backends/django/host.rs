//! [`Host`]: one of a layer's Redis servers; and [`Links`], the layer as it hears of them.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::Weak;

use bytes::Bytes;
use futures::future::BoxFuture;
use redis::FromRedisValue;
use redis::Value;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::backends::backoff::pause;
use crate::backends::redis::Commands;
use crate::backends::redis::Find;
use crate::backends::redis::Link;
use crate::backends::redis::LinkOptions;
use crate::backends::redis::Listener;
use crate::error::Error;

use super::health::Health;
use super::script::Script;

/// A server, once it is connected to.
#[derive(Debug, Default)]
pub(super) struct Host {
    link: OnceLock<Link>,
}

impl Host {
    /// Connects, once; the link looks after the connection from then on, and tells the layer, whose part it is.
    pub(super) async fn connect<L: Links>(
        &self,
        find: &Find,
        options: LinkOptions,
        layer: &Arc<L>,
        part: usize,
    ) -> Result<(), Error> {
        let layer = Arc::downgrade(layer);
        let ears = Arc::new(Ears { layer, part });
        let link = Link::connect(find.clone(), options, ears).await?;
        // Only the start of a layer connects.
        let _ = self.link.set(link);
        Ok(())
    }

    pub(super) fn commands(&self) -> Result<Commands, Error> {
        self.link()?.commands()
    }

    pub(super) fn link(&self) -> Result<&Link, Error> {
        let not_yet = || Error::unavailable("there is no connection to redis yet");
        self.link.get().ok_or_else(not_yet)
    }

    /// How many connections there were; none while there is none.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.link.get()?.epoch()
    }

    pub(super) async fn publish(&self, topic: &str, payload: &[u8]) -> Result<usize, Error> {
        self.link()?.publish(topic, payload).await
    }

    /// Returns when the server has confirmed all.
    pub(super) async fn subscribe(&self, topics: &[String]) -> Result<(), Error> {
        let link = self.link()?;
        let subscribed = link.commands()?.subscribe(topics).await;
        subscribed.map_err(|error| link.failed("a subscription", &error))
    }

    pub(super) async fn unsubscribe(&self, topics: &[String]) -> Result<(), Error> {
        let link = self.link()?;
        let unsubscribed = link.commands()?.unsubscribe(topics).await;
        unsubscribed.map_err(|error| link.failed("the end of a subscription", &error))
    }

    pub(super) async fn subscribe_pattern(&self, pattern: &str) -> Result<(), Error> {
        let link = self.link()?;
        let subscribed = link.commands()?.subscribe_pattern(pattern).await;
        subscribed.map_err(|error| link.failed("a subscription to a pattern", &error))
    }

    pub(super) async fn run<T: FromRedisValue, A: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[String],
        args: &[A],
    ) -> Result<T, Error> {
        let link = self.link()?;
        let mut commands = link.commands()?;
        let result = match commands.query(&script.by_hash(keys, args)).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                commands.query(&script.by_text(keys, args)).await
            }
            result => result,
        };
        let value: Value = result.map_err(|error| link.failed("a script", &error))?;
        redis::from_redis_value(value).map_err(|error| {
            Error::unavailable(format!("redis gave an unexpected answer: {error}"))
        })
    }
}

/// A layer, as its links see it.
pub(super) trait Links: Send + Sync + 'static {
    fn health(&self) -> &Health;

    fn host(&self, part: usize) -> &Host;

    /// Something was published to a topic.
    fn arrived(&self, topic: &str, payload: &Bytes);

    /// What has to be done on each new connection before the layer is up.
    fn prepare(self: Arc<Self>, part: usize) -> BoxFuture<'static, Result<(), Error>>;
}

/// What one link tells, which is one part of the layer's health. It does not keep the layer.
struct Ears<L> {
    layer: Weak<L>,
    part: usize,
}

impl<L: Links> Listener for Ears<L> {
    fn message(&self, topic: &str, payload: Bytes) {
        if let Some(layer) = self.layer.upgrade() {
            layer.arrived(topic, &payload);
        }
    }

    fn down(&self, reason: &str) {
        if let Some(layer) = self.layer.upgrade() {
            layer.health().down(self.part, reason);
        }
    }

    fn up(&self) {
        tokio::spawn(resume(self.layer.clone(), self.part));
    }
}

/// Prepares the connection that there is now, for as long as it is there.
async fn resume<L: Links>(layer: Weak<L>, part: usize) {
    let epoch = |layer: &L| layer.host(part).epoch();
    let Some(prepared) = layer.upgrade().and_then(|layer| epoch(&layer)) else {
        return;
    };
    let began = Instant::now();
    loop {
        let Some(layer) = layer.upgrade() else {
            return;
        };
        let is_there = || epoch(&layer) == Some(prepared);
        match layer.clone().prepare(part).await {
            Ok(()) => return layer.health().up(part, is_there),
            Err(_) if !is_there() => return,
            Err(error) => tracing::debug!(%error, "redis reconnected, but still refuses to serve"),
        }
        drop(layer);
        sleep(pause(began.elapsed())).await;
    }
}
