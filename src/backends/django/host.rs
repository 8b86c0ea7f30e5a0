//! [`Host`]: one of a layer's Redis servers; and [`Links`], the layer as it hears of them.

use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures::future::BoxFuture;
use redis::{FromRedisValue, RedisError, Value};
use tokio::time::{Instant, sleep};

use crate::backends::backoff::pause;
use crate::backends::redis::{Commands, Find, Link, LinkOptions, Listener};
use crate::error::Error;

use super::health::Health;
use super::script::Script;

/// A server, once it is connected to.
#[derive(Debug, Default)]
pub(super) struct Host {
    link: OnceLock<Link>,
}

impl Host {
    /// Connects, once; the link looks after the connection from then on, and tells the layer, whose
    /// part it is.
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
    ) -> Result<T, Failure> {
        let link = self.link()?;
        let result = script.run(&mut link.commands()?, keys, args).await;
        let value: Value = result.map_err(|error| Failure {
            is_refusal: is_refusal(&error),
            error: link.failed("a script", &error),
        })?;
        redis::from_redis_value(value).map_err(|error| {
            Error::unavailable(format!("redis gave an unexpected answer: {error}")).into()
        })
    }
}

/// Why a script did not run.
#[derive(Debug)]
pub(super) struct Failure {
    /// The server is connected, and does not serve for the time being.
    pub(super) is_refusal: bool,
    pub(super) error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            is_refusal: false,
            error,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// Whether an answer is about the state of the server, and not about the command. Redis 6 has no
/// code for an error within a script, but quotes it.
fn is_refusal(error: &RedisError) -> bool {
    let text = error.detail().unwrap_or_default();
    REFUSALS.iter().any(|code| {
        error.code() == Some(code)
            || text
                .split_whitespace()
                .any(|word| word.strip_prefix('-') == Some(code))
    })
}

const REFUSALS: &[&str] = &[
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
];

/// A layer, as its links see it.
pub(super) trait Links: Send + Sync + 'static {
    fn health(&self) -> &Health;

    fn host(&self, part: usize) -> &Host;

    /// Something was published to a topic.
    fn arrived(&self, topic: &str, payload: &Bytes);

    /// The work on each new connection before the layer is up.
    fn prepare(self: Arc<Self>, part: usize) -> BoxFuture<'static, Result<(), Error>>;
}

/// The events of one link, which is one part of the layer's health. It does not keep the layer.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use super::is_refusal;

    #[test]
    fn an_answer_about_the_state_of_the_server_is_a_refusal() {
        let rows = [
            ("LOADING Redis is loading the dataset in memory", true),
            ("MISCONF Redis is configured to save RDB snapshots", true),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                true,
            ),
            (
                "READONLY You can't write against a read only replica.",
                true,
            ),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("MASTERDOWN Link with MASTER is down", true),
            ("BUSY Redis is busy running a script.", true),
            // As Redis 6 says it.
            (
                "ERR Error running script (call to f_0a): @user_script:3: @user_script: 3: -OOM command not allowed",
                true,
            ),
            (
                "ERR Error running script (call to f_0a): @user_script:3: @user_script: 3: -MISCONF Redis is",
                true,
            ),
            ("WRONGTYPE Operation against a key", false),
            ("NOPERM this user has no permissions", false),
            ("ERR unknown command 'OOM'", false),
        ];
        for (text, expected) in rows {
            let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes());
            let error = answer.unwrap().extract_error().unwrap_err();
            assert_eq!(is_refusal(&error), expected, "{text}");
        }
    }
}
