//! How the core layer receives: this node's queues on each host are emptied over a connection of
//! their own, many entries at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::backends::django::codec::{Entry, MAX_ENTRY};
use crate::backends::django::fields::Reserved;
use crate::backends::django::output::Unreadable;
use crate::backends::redis::Commands;
use crate::error::Error;
use crate::layer::{Address, Envelope, Payload};
use crate::name::ChannelName;

use super::node::Node;
use super::scripts::{REPAIR, TAKE};

/// Empties the queues on one host. Never ends.
///
/// Messages that wait in Redis while there is no connection are not lost, but may be over capacity,
/// or too old.
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
        loop {
            // The first that is not empty is emptied: none may always be the first.
            queues.rotate_left(1);
            if let Err(error) = self.empty_next(&mut commands, &queues).await {
                return error;
            }
        }
    }

    /// Waits for an entry, and takes it and those that wait behind it.
    ///
    /// Only a script can take entries by their size, and no script can wait. So it is one entry
    /// alone that is fetched whatever its size.
    async fn empty_next(&self, commands: &mut Commands, queues: &[String]) -> RedisResult<()> {
        let (queue, first) = match take_one(commands, queues, WAIT).await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(()),
            Err(error) if error.code() == Some("WRONGTYPE") => {
                let _: u64 = REPAIR.run(commands, queues, NO_ARGS).await?;
                self.sink
                    .skipped("a queue of this node was a key of another type");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.take(&first).await;
        drop(first);
        let (waiting, dropped, entries) = take_more(commands, &queue).await?;
        for _ in 0..dropped {
            self.sink.skipped(Unreadable::LARGE.0);
        }
        for entry in &entries {
            self.take(entry).await;
        }
        // With the first.
        if waiting + 1 >= self.limits.capacity {
            // The process that found it full says so in its own log, if at all.
            let lane = queue.strip_prefix(&self.names.prefix).unwrap_or_default();
            self.tell_full(1, lane);
            for group in self.members.groups_of(lane) {
                self.sink.gap(&group);
            }
        }
        Ok(())
    }

    /// For the first time, when nothing can be in them: tells whether this node may do so, since
    /// later an event that does not come is missed by nobody.
    pub(super) async fn try_to_empty(&self, host: usize) -> Result<(), Error> {
        let link = self.drains[host].link()?;
        let (mut commands, queues) = (link.commands()?, self.queues());
        let took = take_one(&mut commands, &queues, AT_ONCE).await;
        took.map(drop)
            .map_err(|error| link.failed("to empty a queue", &error))
    }

    fn queues(&self) -> Vec<String> {
        let own = format!("{}!", self.sink.node());
        let queues = self.members.lanes().chain([own]);
        queues.map(|queue| self.names.queue_key(&queue)).collect()
    }

    async fn take(&self, entry: &[u8]) {
        match self.codec.open(entry) {
            Ok(entry) => self.deliver(&entry).await,
            Err(why) => self.sink.skipped(why.0),
        }
    }

    async fn deliver(&self, entry: &Entry) {
        let Reserved {
            channels,
            has_odd_channels,
            ..
        } = &entry.reserved;
        if *has_odd_channels {
            self.sink.skipped("it names something that is no channel");
        } else if channels.is_empty() {
            self.sink.skipped("it names no channel");
        }
        // A channel can be written in several ways.
        let mut seen = HashSet::new();
        for (count, channel) in channels.iter().enumerate() {
            if count % IN_A_ROW == IN_A_ROW - 1 {
                yield_now().await;
            }
            let Some(to) = self.address(channel) else {
                continue;
            };
            if let Address::Channel(channel) = &to
                && !seen.insert(channel.address())
            {
                continue;
            }
            let envelope = Envelope::new(to, Payload::Event(entry.event.clone()));
            // If there is no room, the sink itself tells the group.
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

/// Waits for an entry, and returns the queue and the first entry of it.
async fn take_one(
    commands: &mut Commands,
    queues: &[String],
    wait: Duration,
) -> RedisResult<Option<(String, Vec<u8>)>> {
    let command = redis::cmd("BZPOPMIN")
        .arg(queues)
        .arg(wait.as_secs_f64())
        .take();
    let answer: Option<(String, Vec<u8>, f64)> = commands.query(&command).await?;
    Ok(answer.map(|(queue, entry, _score)| (queue, entry)))
}

/// How many entries waited, how many of them were too long, and the first of the others: 16 MiB in
/// all at most.
async fn take_more(commands: &mut Commands, queue: &str) -> RedisResult<(u64, u64, Vec<Vec<u8>>)> {
    let args = [MAX_TAKEN, ENOUGH_BYTES, MAX_ENTRY].map(|number| number.to_string());
    TAKE.run(commands, &[queue.to_owned()], &args).await
}

/// How long Redis waits for an entry, before it says that there is none.
pub(super) const WAIT: Duration = Duration::from_secs(5);
/// The shortest that it can wait; none would be for ever.
const AT_ONCE: Duration = Duration::from_millis(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How many entries are taken at once.
const MAX_TAKEN: usize = 1_000;
/// The last entry may go beyond it by its own length.
const ENOUGH_BYTES: usize = 8 * 1024 * 1024;
/// How many channels an event is delivered to before other tasks have their turn.
const IN_A_ROW: usize = 256;
const NO_ARGS: &[&str] = &[];
