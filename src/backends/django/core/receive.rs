//! How the core layer receives: this node's queues on each host are emptied over a connection of their own, many entries at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::RedisError;
use tokio::time::sleep;

use crate::backends::django::codec::Entry;
use crate::backends::redis::Commands;
use crate::error::Error;
use crate::layer::Address;
use crate::layer::Envelope;
use crate::layer::Payload;
use crate::name::ChannelName;

use super::node::Node;

/// Empties the queues on one host. Never ends.
///
/// What waits in Redis while there is no connection is not lost, but may be over capacity, or too old.
pub(super) async fn drain(node: Arc<Node>, host: usize) {
    let host = &node.drains[host];
    loop {
        if let Ok(commands) = host.commands() {
            let error = node.empty(commands).await;
            tracing::debug!(%error, "the queues are not emptied");
        }
        // Its link sees to it that there is a connection again.
        sleep(LOOK_AGAIN).await;
    }
}

impl Node {
    /// Until it fails.
    async fn empty(&self, mut commands: Commands) -> RedisError {
        let mut queues = self.queues();
        let mut takes_many = true;
        loop {
            // The first that is not empty is emptied: none may always be the first.
            queues.rotate_left(1);
            let took = match takes_many {
                true => take_many(&mut commands, &queues, self.limits.capacity, WAIT).await,
                false => take_one(&mut commands, &queues, self.limits.capacity, WAIT).await,
            };
            match took {
                Ok(Some((queue, entries))) => self.took(&queue, &entries),
                Ok(None) => {}
                Err(error) if takes_many && is_unknown(&error) => takes_many = false,
                Err(error) => return error,
            }
        }
    }

    /// For the first time, when nothing can be in them: tells whether this node may do so, since later an event that does not come is
    /// missed by nobody.
    pub(super) async fn try_to_empty(&self, host: usize) -> Result<(), Error> {
        let link = self.drains[host].link()?;
        let (mut commands, queues) = (link.commands()?, self.queues());
        let took = match take_many(&mut commands, &queues, 1, AT_ONCE).await {
            Err(error) if is_unknown(&error) => take_one(&mut commands, &queues, 1, AT_ONCE).await,
            took => took,
        };
        took.map(drop)
            .map_err(|error| link.failed("to empty a queue", &error))
    }

    fn queues(&self) -> Vec<String> {
        let own = format!("{}!", self.sink.node());
        let queues = self.members.lanes().chain([own]);
        queues.map(|queue| self.names.queue_key(&queue)).collect()
    }

    fn took(&self, queue: &str, entries: &[Vec<u8>]) {
        for entry in entries {
            match self.codec.open(entry) {
                Ok(entry) => self.deliver(&entry),
                Err(why) => self.sink.skipped(why.0),
            }
        }
        if entries.len() as u64 >= self.limits.capacity {
            // Whoever found it full has said so in its own log, if at all.
            let lane = queue.strip_prefix(&self.names.prefix).unwrap_or_default();
            self.tell_full(1, lane);
            for group in self.members.groups_of(lane) {
                self.sink.gap(&group);
            }
        }
    }

    fn deliver(&self, entry: &Entry) {
        if entry.reserved.channels.is_empty() {
            self.sink.skipped("it names no channel");
        }
        for channel in &entry.reserved.channels {
            let Some(to) = self.address(channel) else {
                continue;
            };
            let envelope = Envelope::new(to, Payload::Event(entry.event.clone()));
            // Where there is no room the sink itself tells the group.
            let _ = self.sink.try_deliver(&envelope);
        }
    }

    /// None for a group that was left meanwhile.
    fn address(&self, channel: &str) -> Option<Address> {
        if let Some(group) = self.members.group(channel) {
            return Some(Address::Group(group));
        }
        let channel = ChannelName::try_from(channel).ok()?;
        self.sink
            .owns(&channel)
            .then_some(Address::Channel(channel))
    }
}

/// A queue, and what was in it.
type Taken = Result<Option<(String, Vec<Vec<u8>>)>, RedisError>;

/// Entries, each with the time at which it was sent.
type Scored = Vec<(Vec<u8>, f64)>;

/// From Redis 7 on.
async fn take_many(
    commands: &mut Commands,
    queues: &[String],
    entries: u64,
    wait: Duration,
) -> Taken {
    let command = redis::cmd("BZMPOP")
        .arg(wait.as_secs_f64())
        .arg(queues.len())
        .arg(queues)
        .arg("MIN")
        .arg("COUNT")
        .arg(entries)
        .take();
    let answer: Option<(String, Scored)> = commands.query(&command).await?;
    Ok(answer.map(|(queue, entries)| (queue, without_scores(entries))))
}

/// One as soon as there is one, and then all that wait behind it.
async fn take_one(
    commands: &mut Commands,
    queues: &[String],
    entries: u64,
    wait: Duration,
) -> Taken {
    let command = redis::cmd("BZPOPMIN")
        .arg(queues)
        .arg(wait.as_secs_f64())
        .take();
    let answer: Option<(String, Vec<u8>, f64)> = commands.query(&command).await?;
    let Some((queue, first, _)) = answer else {
        return Ok(None);
    };
    let command = redis::cmd("ZPOPMIN").arg(&queue).arg(entries).take();
    let more: Scored = commands.query(&command).await?;
    let all = [first].into_iter().chain(without_scores(more));
    Ok(Some((queue, all.collect())))
}

fn without_scores(entries: Scored) -> Vec<Vec<u8>> {
    entries.into_iter().map(|(entry, _)| entry).collect()
}

fn is_unknown(error: &RedisError) -> bool {
    error.to_string().contains("unknown command")
}

/// How long Redis waits for an entry, before it says that there is none.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// The shortest that it can wait; none would be for ever.
const AT_ONCE: Duration = Duration::from_millis(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
