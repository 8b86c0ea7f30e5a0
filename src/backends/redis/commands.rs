//! [`Commands`]: the commands of a link while it is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::mpsc;

use crate::error::Error;

/// The connection as it is now. When it is lost, this fails for good: ask the link for another.
///
/// Concurrent commands go out in one write.
///
/// # Cancel safety
///
/// A call that is dropped may have been carried out or not; those of others are not disturbed.
#[derive(Clone)]
pub(crate) struct Commands {
    connection: MultiplexedConnection,
    traffic: Arc<Traffic>,
}

/// The traffic of one connection, by which the link sees whether the server still answers, sends,
/// and serves. Nothing else is synchronised by these numbers.
#[derive(Debug)]
pub(super) struct Traffic {
    /// Commands without an answer as yet.
    waiting: AtomicUsize,
    answered: AtomicU64,
    pushed: AtomicU64,
    /// Takes the first answer by which the server refuses to serve. The link holds the other end
    /// until it has announced the outage.
    refused: mpsc::Sender<RedisError>,
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
        let answer = self.connection.send_packed_command(command).await;
        waiting.answered();
        let answer = answer.and_then(Value::extract_error);
        // Other refusals may concern a script's writes alone. A new connection would pass its test,
        // and be given up again.
        let answer = self.traffic.announced(answer, is_read_only).await?;
        Ok(redis::from_redis_value(answer)?)
    }

    /// Sends several commands at once, each of which publishes or subscribes. An answer may be a
    /// [`Value::ServerError`].
    pub(crate) async fn pipeline(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let waiting = self.traffic.begin();
        let count = commands.len();
        let answers = self.connection.send_packed_commands(commands, 0, count);
        let answers = answers.await;
        waiting.answered();
        let answers = self.traffic.announced(answers, refuses).await?;
        let refusal = answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) => Some(error.clone().into()).filter(refuses),
            _ => None,
        });
        if let Some(error) = refusal {
            self.traffic.refuse(&error).await;
        }
        Ok(answers)
    }

    /// Returns when the server has confirmed all.
    pub(crate) async fn subscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        for topics in topics.chunks(AT_ONCE) {
            let waiting = self.traffic.begin();
            let subscribed = self.connection.subscribe(topics).await;
            waiting.answered();
            self.traffic.announced(subscribed, refuses).await?;
        }
        Ok(())
    }

    /// Returns when the server has confirmed all.
    pub(crate) async fn unsubscribe(&mut self, topics: &[String]) -> RedisResult<()> {
        for topics in topics.chunks(AT_ONCE) {
            let waiting = self.traffic.begin();
            let unsubscribed = self.connection.unsubscribe(topics).await;
            waiting.answered();
            self.traffic.announced(unsubscribed, refuses).await?;
        }
        Ok(())
    }

    /// To all topics of this pattern.
    pub(crate) async fn subscribe_pattern(&mut self, pattern: &str) -> RedisResult<()> {
        let waiting = self.traffic.begin();
        let subscribed = self.connection.psubscribe(pattern).await;
        waiting.answered();
        self.traffic.announced(subscribed, refuses).await
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

/// The error of a publish whose command failed.
pub(crate) fn failed(what: &str, error: &RedisError) -> Error {
    Error::unavailable(match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => format!("redis refused {what}: {error}"),
        _ => format!("the answer to {what} was lost, it may have been delivered: {error}"),
    })
}

/// Whether the server accepts no writes since it is a replica. Up to Redis 6 the error of a script
/// has no code of its own.
fn is_read_only(error: &RedisError) -> bool {
    error.code() == Some("READONLY")
        || error
            .detail()
            .is_some_and(|text| text.contains("-READONLY"))
}

/// Whether the server as a whole refuses to serve at present. Redis itself publishes in most of
/// these states; compatible servers may not.
pub(super) fn refuses(error: &RedisError) -> bool {
    is_read_only(error) || error.code().is_some_and(|code| REFUSALS.contains(&code))
}

impl Traffic {
    /// Nothing has been carried yet. The receiver yields the error by which the server refuses to
    /// serve.
    pub(super) fn new() -> (Self, mpsc::Receiver<RedisError>) {
        let (refused, refusal) = mpsc::channel(1);
        let traffic = Self {
            waiting: AtomicUsize::new(0),
            answered: AtomicU64::new(0),
            pushed: AtomicU64::new(0),
            refused,
        };
        (traffic, refusal)
    }

    /// Returns the answer. If it means that the connection is lost, waits until the link has
    /// announced the outage.
    async fn announced<T>(
        &self,
        answer: RedisResult<T>,
        is_refusal: impl Fn(&RedisError) -> bool,
    ) -> RedisResult<T> {
        match &answer {
            Err(error) if is_refusal(error) => self.refuse(error).await,
            Err(error) if error.is_io_error() => self.refused.closed().await,
            _ => {}
        }
        answer
    }

    /// The server refuses to serve. Returns when the link has given the connection up.
    async fn refuse(&self, error: &RedisError) {
        // The first is enough.
        let _ = self.refused.try_send(error.clone());
        self.refused.closed().await;
    }

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
        answered.wrapping_add(self.pushes())
    }

    /// Something came by itself, or as the confirmation of a subscription.
    pub(super) fn pushed(&self) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the calls of [`pushed`](Self::pushed).
    pub(super) fn pushes(&self) -> u64 {
        self.pushed.load(Ordering::Relaxed)
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

/// The codes of errors that concern the server's state, not the command. `READONLY` is judged by
/// itself.
const REFUSALS: &[&str] = &[
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
];
/// How many topics go into one command: other clients wait while a server executes it.
const AT_ONCE: usize = 1_000;
