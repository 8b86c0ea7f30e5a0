//! [`Commands`]: what is sent over a link while it is up.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use redis::Cmd;
use redis::ErrorKind;
use redis::FromRedisValue;
use redis::Pipeline;
use redis::RedisError;
use redis::RedisResult;
use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::error::Error;

/// The connection as it is now. When it is lost, this fails for good: ask the link for another.
///
/// What is sent at the same time, by whomever, goes out in one write.
///
/// # Cancel safety
///
/// A call that is dropped may have been carried out or not; those of others are not disturbed.
#[derive(Clone)]
pub(crate) struct Commands {
    connection: MultiplexedConnection,
    traffic: Arc<Traffic>,
}

/// How the link sees whether the server still answers, and still sends. Nothing else is synchronised by these numbers.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Commands without an answer as yet.
    waiting: AtomicUsize,
    answered: AtomicU64,
    pub(super) pushed: AtomicU64,
}

impl Commands {
    pub(super) fn new(connection: MultiplexedConnection, traffic: Arc<Traffic>) -> Self {
        Self {
            connection,
            traffic,
        }
    }

    /// Sends a command, and reads its answer.
    pub(crate) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        let waiting = self.traffic.begin();
        let answer = self.connection.send_packed_command(command).await?;
        waiting.answered();
        Ok(redis::from_redis_value(answer.extract_error()?)?)
    }

    /// Sends several commands at once. An answer may be a [`Value::ServerError`].
    pub(crate) async fn pipeline(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let waiting = self.traffic.begin();
        let count = commands.len();
        let answers = self
            .connection
            .send_packed_commands(commands, 0, count)
            .await?;
        waiting.answered();
        Ok(answers)
    }

    /// Returns when the server has confirmed all.
    pub(crate) async fn subscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        for topics in topics.chunks(AT_ONCE) {
            let waiting = self.traffic.begin();
            self.connection.subscribe(topics).await?;
            waiting.answered();
        }
        Ok(())
    }

    /// Returns when the server has confirmed all.
    pub(crate) async fn unsubscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        for topics in topics.chunks(AT_ONCE) {
            let waiting = self.traffic.begin();
            self.connection.unsubscribe(topics).await?;
            waiting.answered();
        }
        Ok(())
    }

    /// To all topics of this pattern.
    pub(crate) async fn subscribe_pattern(&mut self, pattern: &str) -> RedisResult<()> {
        let waiting = self.traffic.begin();
        self.connection.psubscribe(pattern).await?;
        waiting.answered();
        Ok(())
    }

    /// Subscribes to topics in the shards that they belong to; one answer for each, in their order.
    pub(crate) async fn shard_subscribe(
        &mut self,
        topics: &[String],
    ) -> RedisResult<Vec<RedisResult<()>>> {
        self.each("SSUBSCRIBE", topics).await
    }

    /// The reverse.
    pub(crate) async fn shard_unsubscribe(
        &mut self,
        topics: &[String],
    ) -> RedisResult<Vec<RedisResult<()>>> {
        self.each("SUNSUBSCRIBE", topics).await
    }

    /// A command for each topic, since those of one command must be of one slot.
    async fn each(
        &mut self,
        verb: &'static str,
        topics: &[String],
    ) -> RedisResult<Vec<RedisResult<()>>> {
        let mut results = Vec::with_capacity(topics.len());
        for topics in topics.chunks(AT_ONCE) {
            let mut pipeline = Pipeline::with_capacity(topics.len());
            for topic in topics {
                pipeline.cmd(verb).arg(topic);
            }
            let answers = self.pipeline(&pipeline).await?;
            let answers = answers.into_iter().zip(topics);
            results.extend(answers.map(|(answer, topic)| confirmation(answer, topic)));
        }
        Ok(results)
    }
}

/// The answer to a subscription names its topic.
fn confirmation(answer: Value, topic: &str) -> RedisResult<()> {
    match answer.extract_error()? {
        Value::Push { data, .. } if matches!(data.first(), Some(Value::BulkString(name)) if name == topic.as_bytes()) => {
            Ok(())
        }
        _ => Err((ErrorKind::Client, "the answers are out of step").into()),
    }
}

/// For whoever published: a command that failed.
pub(crate) fn failed(what: &str, error: &RedisError) -> Error {
    Error::unavailable(match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => format!("redis refused {what}: {error}"),
        _ => format!("the answer to {what} was lost, it may have been delivered: {error}"),
    })
}

impl Traffic {
    fn begin(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Somebody waits for an answer.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Changes with whatever the server says.
    pub(super) fn heard(&self) -> u64 {
        let answered = self.answered.load(Ordering::Relaxed);
        answered.wrapping_add(self.pushed.load(Ordering::Relaxed))
    }
}

/// A command without an answer, until it is dropped.
struct Waiting<'a>(&'a Traffic);

impl Waiting<'_> {
    fn answered(self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many topics go into one command: what a server does at once, others wait for.
const AT_ONCE: usize = 1_000;
