//! [`Publisher`]: sends concurrent publishes together.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::{Notify, Semaphore, oneshot};

use super::commands::Commands;

/// Takes publishes from all threads, and has them sent while there is a connection.
#[derive(Debug)]
pub(super) struct Publisher {
    /// Publishes that are not under way yet. `None` while there is no connection.
    waiting: Mutex<Option<Waiting>>,
    /// One for each that may wait. A publisher that finds no room waits, so that a connection that
    /// takes nothing holds no more.
    room: Semaphore,
    /// There is something to send.
    arrived: Notify,
}

/// To how many connections something was sent. Its other end dropped, the connection is lost.
pub(super) type Answer = oneshot::Receiver<RedisResult<usize>>;

impl Publisher {
    /// Without a connection.
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            room: Semaphore::new(WAITING),
            arrived: Notify::new(),
        }
    }

    /// There is a connection now.
    pub(super) fn open(&self) {
        *self.waiting() = Some(Waiting::default());
    }

    /// The connection is lost, and what waited for it.
    pub(super) fn close(&self) {
        let lost = self.waiting().take();
        self.room.add_permits(lost.map_or(0, |lost| lost.len()));
    }

    /// Publishes by this verb. `write` appends the topic and what is published to it, and returns
    /// the length of the topic. `None` while there is no connection.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is published.
    pub(super) async fn push(
        &self,
        verb: &'static str,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> Option<Answer> {
        let room = self.room.acquire().await.ok()?;
        let (answer, is_first) = {
            let mut waiting = self.waiting();
            let waiting = waiting.as_mut()?;
            let is_first = waiting.is_empty();
            (waiting.last().push(verb, write), is_first)
        };
        // It comes back when this is sent, or lost.
        room.forget();
        if is_first {
            self.arrived.notify_one();
        }
        Some(answer)
    }

    /// Sends what waits in one pipeline, and what has come meanwhile in the next. So one that is
    /// alone goes out at once, and of many each costs a part of a write, of an answer, and of a
    /// turn of the task. Several are under way, so that the server has one while this process sees
    /// to another.
    pub(super) async fn pump(&self, commands: &Commands) -> Infallible {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                batch = self.next(), if under_way.len() < UNDER_WAY => {
                    under_way.push(batch.send(commands.clone()));
                }
            }
        }
    }

    /// Cancel safe: nothing is taken before it returns.
    async fn next(&self) -> Batch {
        loop {
            let next = self.waiting().as_mut().and_then(Waiting::pop);
            if let Some(batch) = next {
                self.room.add_permits(batch.publishes.len());
                return batch;
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the order in which they came. All but the last are full; the last may be empty, if writing to
/// it panicked.
#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    /// The length of the batch that was sent last: the next will need as much.
    usual: usize,
}

impl Waiting {
    /// The one to add to.
    fn last(&mut self) -> &mut Batch {
        let is_full = |batch: &Batch| batch.publishes.len() >= AT_ONCE;
        if self.batches.back().is_none_or(is_full) {
            self.batches.push_back(Batch::with_capacity(self.usual));
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }

    fn pop(&mut self) -> Option<Batch> {
        if self.is_empty() {
            return None;
        }
        let batch = self.batches.pop_front()?;
        self.usual = batch.bytes.len().min(MOST_AHEAD);
        Some(batch)
    }

    fn is_empty(&self) -> bool {
        let first = self.batches.front();
        first.is_none_or(|batch| batch.publishes.is_empty())
    }

    fn len(&self) -> usize {
        let each = self.batches.iter().map(|batch| batch.publishes.len());
        each.sum()
    }
}

/// Publishes that go out together.
///
/// All bytes lie in one buffer, so that a publisher allocates nothing that the link's task would
/// have to free: between two threads that costs more than the copy, since they wait for each
/// other's allocator.
#[derive(Debug)]
struct Batch {
    /// A topic and a payload for each of them. A publish that panicked while it was written leaves
    /// bytes that belong to none.
    bytes: Vec<u8>,
    publishes: Vec<Publish>,
}

#[derive(Debug)]
struct Publish {
    /// `PUBLISH` or `SPUBLISH`.
    verb: &'static str,
    /// In the batch's bytes.
    topic: Range<usize>,
    payload: Range<usize>,
    done: oneshot::Sender<RedisResult<usize>>,
}

impl Batch {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            publishes: Vec::new(),
        }
    }

    fn push(&mut self, verb: &'static str, write: impl FnOnce(&mut Vec<u8>) -> usize) -> Answer {
        let (done, answer) = oneshot::channel();
        let start = self.bytes.len();
        let topic = start..start + write(&mut self.bytes);
        self.publishes.push(Publish {
            verb,
            payload: topic.end..self.bytes.len(),
            topic,
            done,
        });
        answer
    }

    async fn send(self, mut commands: Commands) {
        let answers = commands.pipeline(&self.pipeline()).await;
        self.answer(answers);
    }

    fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(self.publishes.len());
        for publish in &self.publishes {
            let topic = &self.bytes[publish.topic.clone()];
            let payload = &self.bytes[publish.payload.clone()];
            let len = publish.verb.len() + topic.len() + payload.len();
            let mut command = Cmd::with_capacity(3, len);
            command.arg(publish.verb).arg(topic).arg(payload);
            pipeline.add_command(command);
        }
        pipeline
    }

    /// To each its own, or to all the same error.
    fn answer(self, answers: RedisResult<Vec<Value>>) {
        let publishes = self.publishes.into_iter();
        // If sending fails, nobody waits any longer.
        match answers {
            Ok(answers) => publishes.zip(answers).for_each(|(publish, answer)| {
                let _ = publish.done.send(receivers(answer));
            }),
            Err(error) => publishes.for_each(|publish| {
                let _ = publish.done.send(Err(error.clone()));
            }),
        }
    }
}

fn receivers(answer: Value) -> RedisResult<usize> {
    Ok(redis::from_redis_value(answer.extract_error()?)?)
}

/// How many publishes wait at most.
const WAITING: usize = 1_024;
/// How many go into one pipeline, and how many pipelines are under way. One of more publishes is
/// not faster: the server then has nothing to do while this process makes the next.
const AT_ONCE: usize = 128;
const UNDER_WAY: usize = 2;
/// How many bytes are allocated for a batch before it needs them.
const MOST_AHEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;

    use futures::FutureExt;
    use redis::{Cmd, ErrorKind, Value};

    use super::{AT_ONCE, Answer, Publisher, WAITING};

    fn topic_of(command: &Cmd) -> String {
        let sent = String::from_utf8(command.get_packed_command()).unwrap();
        sent.split("\r\n").nth(4).unwrap().to_owned()
    }

    /// A publish of this number to a topic of its own.
    fn push(publisher: &Publisher, number: usize) -> Option<Option<Answer>> {
        let write = |bytes: &mut Vec<u8>| {
            let topic = format!("topic {number}");
            bytes.extend_from_slice(topic.as_bytes());
            bytes.extend_from_slice(format!("payload {number}").as_bytes());
            topic.len()
        };
        publisher.push("PUBLISH", write).now_or_never()
    }

    #[test]
    fn waiting_publishes_go_out_in_order_and_in_batches() {
        let publisher = Publisher::new();
        publisher.open();
        let mut answers = Vec::new();
        for number in 0..AT_ONCE + 2 {
            answers.push(push(&publisher, number).unwrap().unwrap());
        }
        let mut expected = 0;
        for len in [AT_ONCE, 2] {
            let batch = publisher.next().now_or_never().unwrap();
            let pipeline = batch.pipeline();
            assert_eq!(pipeline.len(), len);
            for command in pipeline.cmd_iter() {
                let sent = String::from_utf8(command.get_packed_command()).unwrap();
                let topic = format!("topic {expected}");
                let payload = format!("payload {expected}");
                let words: Vec<_> = sent.split("\r\n").collect();
                assert_eq!(
                    [words[2], words[4], words[6]],
                    ["PUBLISH", &topic, &payload]
                );
                expected += 1;
            }
            let count = i64::try_from(len).unwrap();
            batch.answer(Ok((0..count).map(Value::Int).collect()));
        }
        assert!(publisher.next().now_or_never().is_none());
        for (number, answer) in answers.into_iter().enumerate() {
            let receivers = answer.now_or_never().unwrap().unwrap().unwrap();
            assert_eq!(receivers, number % AT_ONCE, "each has its own");
        }
    }

    #[test]
    fn a_publish_that_panics_while_it_is_written_leaves_nothing_to_the_next() {
        let publisher = Publisher::new();
        publisher.open();
        for earlier in [None, Some(1)] {
            let answer = earlier.map(|number| push(&publisher, number).unwrap().unwrap());
            let half_written = publisher.push("PUBLISH", |bytes| {
                bytes.extend_from_slice(b"half a topic");
                panic!("no more of it")
            });
            let caught = catch_unwind(AssertUnwindSafe(|| half_written.now_or_never()));
            assert!(caught.is_err());
            let mut arriving = pin!(publisher.next());
            if earlier.is_none() {
                let arrived = arriving.as_mut().now_or_never();
                assert!(arrived.is_none(), "there is nothing to send");
            }
            let next = push(&publisher, 2).unwrap().unwrap();
            let arrived = arriving.now_or_never();
            let batch = arrived.expect("the link is woken for it");
            let sent: Vec<_> = batch.pipeline().cmd_iter().map(topic_of).collect();
            let expected = earlier.map(|_| "topic 1").into_iter().chain(["topic 2"]);
            assert_eq!(sent, expected.collect::<Vec<_>>());
            drop((answer, next));
        }
        assert_eq!(publisher.room.available_permits(), WAITING);
    }

    #[test]
    fn an_error_is_everyones() {
        let publisher = Publisher::new();
        publisher.open();
        let answers = [0, 1].map(|number| push(&publisher, number).unwrap().unwrap());
        let batch = publisher.next().now_or_never().unwrap();
        batch.answer(Err((ErrorKind::Io, "lost").into()));
        for answer in answers {
            assert!(answer.now_or_never().unwrap().unwrap().is_err());
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let publisher = Publisher::new();
        assert!(push(&publisher, 0).unwrap().is_none(), "not open");
        for _outage in 0..3 {
            publisher.open();
            let answers: Vec<_> = (0..WAITING)
                .map(|number| push(&publisher, number).unwrap().unwrap())
                .collect();
            assert!(push(&publisher, 0).is_none(), "it waits");
            drop(publisher.next().now_or_never().unwrap());
            assert!(push(&publisher, 0).unwrap().is_some(), "a batch was taken");
            publisher.close();
            assert!(push(&publisher, 0).unwrap().is_none(), "no longer open");
            for answer in answers {
                assert!(answer.now_or_never().unwrap().is_err(), "lost");
            }
        }
    }
}
