//! [`Fanout`]: the delivery of a group's messages to its members on this node.

use std::cell::OnceCell;
use std::sync::Arc;
use std::thread::panicking;

use tokio::task::yield_now;

use crate::broadcast::{Conflate, FrameBatch, PreparedMessage};
use crate::config::Bound;

#[cfg(feature = "deflate")]
use super::compressed_batches::CompressedBatches;
use super::group::{Full, Group, NewFanout};
use super::members::Member;
use super::pending::Pending;
use super::run_queue::{Job, RunQueue, STEP_UNITS};

/// Appends a message to its group, and starts a fan-out if none runs. Returns how many members it
/// is for.
///
/// # Errors
///
/// Returns [`Full`] if more is pending than the bound allows.
pub(super) fn publish(group: &Arc<Group>, message: Pending, bound: Bound) -> Result<usize, Full> {
    let appended = group.append(message, bound)?;
    if let Some(new) = appended.fanout {
        Fanout::new(group.clone()).start(new);
    }
    Ok(appended.receivers)
}

/// A group has one fan-out at a time, so that the order is the same for every member. It takes all
/// pending messages, delivers them to each member in one piece, and looks again, until nothing is
/// pending.
#[derive(Debug)]
struct Fanout {
    group: Arc<Group>,
    cursor: Option<FanoutCursor>,
    /// Members of the current chunk; kept for its memory.
    chunk: Vec<Member>,
    is_finished: bool,
}

/// Messages on their way through the members.
#[derive(Debug)]
struct FanoutCursor {
    messages: Vec<Pending>,
    /// The position of the next chunk of members.
    next: usize,
    /// The bytes that each member receives, roughly.
    bytes: usize,
    /// All messages joined, for members that relay. Made for the first of them.
    relayed: OnceCell<FrameBatch>,
    /// The ready messages joined, for members whose hook receives the events.
    ready: OnceCell<FrameBatch>,
    /// The same for members whose messages are compressed.
    #[cfg(feature = "deflate")]
    compressed: CompressedBatches,
}

impl Fanout {
    fn new(group: Arc<Group>) -> Self {
        Self {
            group,
            cursor: None,
            chunk: Vec::new(),
            is_finished: false,
        }
    }

    /// Delivers short messages in the run queue, behind those of other groups, and long ones in a
    /// task of their own. Without any runtime, delivers them before it returns.
    fn start(mut self, new: NewFanout) {
        match new.run_queue.or_else(RunQueue::current) {
            Some(queue) if new.bytes <= QUEUED_MAX_BYTES => queue.push(Box::new(self)),
            Some(queue) => drop(queue.runtime().spawn(self.run())),
            None => while self.step().is_some() {},
        }
    }

    /// Yields after each chunk, so that the sessions it has woken may run, and after each batch, so
    /// that messages published together are delivered together.
    async fn run(mut self) {
        while self.step().is_some() {
            yield_now().await;
        }
    }
}

impl Job for Fanout {
    /// Delivers to one chunk of members.
    fn step(&mut self) -> Option<usize> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            none => {
                let Some(messages) = self.group.take_pending() else {
                    self.is_finished = true;
                    return None;
                };
                none.insert(FanoutCursor::new(messages))
            }
        };
        let most = (CHUNK_BYTES / cursor.bytes.max(1)).clamp(1, CHUNK_MEMBERS);
        let next = self.group.chunk(cursor.next, most, &mut self.chunk);
        // A short chunk of long frames takes as long as a whole one of short frames.
        let units = self.chunk.len() * STEP_UNITS / most;
        for member in self.chunk.drain(..) {
            cursor.deliver_to(&member, &self.group);
        }
        match next {
            Some(next) => cursor.next = next,
            None => self.cursor = None,
        }
        Some(units)
    }

    /// The pending messages are lost.
    fn abandon(&mut self) {
        self.is_finished = true;
        self.group.abandon_fanout();
    }
}

/// A fan-out is dropped with its runtime, which is not necessarily that of all members. The rest is
/// delivered at once, since nothing in it waits. After a panic the rest is given up.
impl Drop for Fanout {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if panicking() {
            return self.abandon();
        }
        self.group.forget_run_queue();
        while self.step().is_some() {}
    }
}

impl FanoutCursor {
    fn new(messages: Vec<Pending>) -> Self {
        Self {
            bytes: messages.iter().map(Conflate::len).sum(),
            messages,
            next: 0,
            relayed: OnceCell::new(),
            ready: OnceCell::new(),
            #[cfg(feature = "deflate")]
            compressed: CompressedBatches::default(),
        }
    }

    fn deliver_to(&self, member: &Member, group: &Group) {
        let (id, overflow) = (member.mailbox.id(), group.overflow());
        if !member.relay {
            let messages = self.messages_for(id, member.since);
            for event in messages.filter(|message| message.is_event) {
                member.mailbox.deliver_event(&event.message, overflow);
            }
        }
        #[cfg(feature = "deflate")]
        if let Some(compression) = member.mailbox.compression() {
            let messages = frames(self.messages_for(id, member.since), member.relay);
            let is_shared = self.is_for_all(id, member.since);
            let deliver = |batch: &FrameBatch| member.mailbox.deliver(batch, overflow);
            let compressed = &self.compressed;
            return compressed.deliver(messages, compression, member.relay, is_shared, deliver);
        }
        let own;
        let batch = if self.is_for_all(id, member.since) {
            let shared = if member.relay {
                &self.relayed
            } else {
                &self.ready
            };
            shared.get_or_init(|| join(self.messages.iter(), member.relay))
        } else {
            own = join(self.messages_for(id, member.since), member.relay);
            &own
        };
        if !batch.is_empty() {
            member.mailbox.deliver(batch, overflow);
        }
    }

    /// Whether this member receives all of the messages, as nearly every member does.
    fn is_for_all(&self, id: u64, since: u64) -> bool {
        self.messages
            .iter()
            .all(|message| message.is_for(id, since))
    }

    fn messages_for(&self, id: u64, since: u64) -> impl Iterator<Item = &Pending> + Clone {
        self.messages
            .iter()
            .filter(move |message| message.is_for(id, since))
    }
}

fn join<'a>(messages: impl Iterator<Item = &'a Pending> + Clone, relay: bool) -> FrameBatch {
    FrameBatch::join(frames(messages, relay))
}

/// The messages that go to the socket as frames.
fn frames<'a>(
    messages: impl Iterator<Item = &'a Pending> + Clone,
    relay: bool,
) -> impl Iterator<Item = &'a PreparedMessage> + Clone {
    let frames = messages.filter(move |message| relay || !message.is_event);
    frames.map(|message| &message.message)
}

/// Messages of up to this many bytes are delivered in the run queue, behind those of other groups,
/// all of which are in memory meanwhile. A task of its own runs next, and frees a long message
/// soon.
pub(super) const QUEUED_MAX_BYTES: usize = 2048;

/// How many members are served before other tasks may run: about two milliseconds of writing.
pub(super) const CHUNK_MEMBERS: usize = STEP_UNITS;

/// How many bytes are handed over before other tasks may run: about as long, if frames are so long
/// that their bytes count.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
