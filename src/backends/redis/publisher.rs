//! [`pump`]: what many publish at the same time goes out together.

use std::convert::Infallible;
use std::future::pending;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::Cmd;
use redis::Pipeline;
use redis::RedisResult;
use redis::Value;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use super::commands::Commands;

/// A message on its way to the server.
pub(super) struct Publish {
    /// `PUBLISH` or `SPUBLISH`.
    command: Cmd,
    /// How many connections it was sent to. Dropped, the connection is lost.
    done: oneshot::Sender<RedisResult<usize>>,
}

impl Publish {
    /// A command, and where its answer comes.
    pub(super) fn new(command: Cmd) -> (Self, oneshot::Receiver<RedisResult<usize>>) {
        let (done, answer) = oneshot::channel();
        (Self { command, done }, answer)
    }

    fn answer(self, answer: RedisResult<usize>) {
        // Nobody may be waiting any more.
        let _ = self.done.send(answer);
    }
}

/// Where publishes of one connection wait; whoever has one more than there is room for waits.
pub(super) fn queue() -> (mpsc::Sender<Publish>, mpsc::Receiver<Publish>) {
    mpsc::channel(WAITING)
}

/// Sends what waits in one pipeline, and what has come meanwhile in the next. So one that is alone goes out at once, and of many
/// each costs a part of a write, of an answer, and of a turn of the task. Several are under way, so that the server has one while
/// this process sees to another.
pub(super) async fn pump(commands: Commands, queue: &mut mpsc::Receiver<Publish>) -> Infallible {
    let mut under_way = FuturesUnordered::new();
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            Some(()) = under_way.next() => {}
            count = queue.recv_many(&mut batch, AT_ONCE), if under_way.len() < UNDER_WAY => {
                if count == 0 {
                    // The link holds a sender for as long as it holds the connection.
                    pending::<()>().await;
                }
                under_way.push(send(commands.clone(), batch));
            }
        }
    }
}

async fn send(mut commands: Commands, mut batch: Vec<Publish>) {
    let mut pipeline = Pipeline::with_capacity(batch.len());
    for publish in &mut batch {
        pipeline.add_command(std::mem::take(&mut publish.command));
    }
    match commands.pipeline(&pipeline).await {
        Ok(answers) => {
            for (publish, answer) in batch.into_iter().zip(answers) {
                publish.answer(receivers(answer));
            }
        }
        Err(error) => {
            for publish in batch {
                publish.answer(Err(error.clone()));
            }
        }
    }
}

fn receivers(answer: Value) -> RedisResult<usize> {
    Ok(redis::from_redis_value(answer.extract_error()?)?)
}

const WAITING: usize = 1_024;
const AT_ONCE: usize = 256;
const UNDER_WAY: usize = 2;
