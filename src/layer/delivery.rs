//! [`Delivery`]: one turn of delivering to the members of a group.

use std::cell::OnceCell;
use std::sync::Arc;
use std::thread::panicking;

use tokio::task::yield_now;

use crate::mailbox::{Batch, Parcel};

#[cfg(feature = "deflate")]
use super::compressed::CompressedBatches;
use super::group::{Group, Pending, Taken};
use super::lane::Lane;
use super::members::Member;

/// The turn: there is one per group at a time, so that the order is the same for every member. It
/// takes all that is pending, hands it to each member in one piece, and looks again, until nothing
/// is pending.
#[derive(Debug)]
pub(super) struct Delivery {
    group: Arc<Group>,
    current: Option<Current>,
    /// Members of the chunk in hand; kept for its room.
    chunk: Vec<Member>,
    finished: bool,
}

/// A batch on its way through the members.
#[derive(Debug)]
struct Current {
    taken: Taken,
    /// The position of the next chunk of members.
    next: usize,
    /// The bytes that each member is handed, roughly.
    bytes: usize,
    /// All messages joined, for members that relay. Made when the first of them is met.
    relayed: OnceCell<Batch>,
    /// The ready messages joined, for members whose hook gets the events.
    ready: OnceCell<Batch>,
    /// Likewise, for members whose messages are compressed.
    #[cfg(feature = "deflate")]
    compressed: CompressedBatches,
}

impl Delivery {
    /// The caller has just set the group to "delivering".
    pub(super) fn new(group: Arc<Group>) -> Self {
        Self {
            group,
            current: None,
            chunk: Vec::new(),
            finished: false,
        }
    }

    /// Delivers what begins with a small message in the lane, behind other groups', and the rest in
    /// a task of its own; without any runtime, here and now.
    pub(super) fn start(mut self, lane: Option<Lane>, bytes: usize) {
        match lane.or_else(Lane::here) {
            Some(lane) if bytes <= SHARED => lane.push(self),
            Some(lane) => drop(lane.runtime().spawn(self.run())),
            None => while self.step().is_some() {},
        }
    }

    /// Yields after each chunk, so that the sessions woken by it may run, and after each batch, so
    /// that what comes together is delivered together.
    async fn run(mut self) {
        while self.step().is_some() {
            yield_now().await;
        }
    }

    /// Serves one chunk of members and returns how many of [`CHUNK`] they stand for; `None` when
    /// the turn is over.
    pub(super) fn step(&mut self) -> Option<usize> {
        let current = match &mut self.current {
            Some(current) => current,
            none => {
                let Some(taken) = self.group.take_pending() else {
                    self.finished = true;
                    return None;
                };
                none.insert(Current::new(taken))
            }
        };
        let most = (CHUNK_BYTES / current.bytes.max(1)).clamp(1, CHUNK);
        let next = self.group.chunk(current.next, most, &mut self.chunk);
        // A short chunk of large frames takes as long as a whole one of small frames.
        let handed = self.chunk.len() * CHUNK / most;
        for member in self.chunk.drain(..) {
            current.hand_to(&member, &self.group);
        }
        match next {
            Some(next) => current.next = next,
            None => self.current = None,
        }
        Some(handed)
    }

    /// Gives the turn up after a panic in it. What was pending is lost.
    pub(super) fn abandon(&mut self) {
        self.finished = true;
        self.group.forget_lane();
        self.group.abandon_turn();
    }
}

/// A turn is dropped when its runtime ends, which need not be that of all members: the rest is
/// delivered here and now, since nothing in it waits. After a panic the rest is given up.
impl Drop for Delivery {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if panicking() {
            return self.abandon();
        }
        self.group.forget_lane();
        while self.step().is_some() {}
    }
}

impl Current {
    fn new(taken: Taken) -> Self {
        let payloads = taken
            .messages
            .iter()
            .map(|message| message.parcel.encoded.wire().len());
        Self {
            bytes: payloads.sum(),
            taken,
            next: 0,
            relayed: OnceCell::new(),
            ready: OnceCell::new(),
            #[cfg(feature = "deflate")]
            compressed: CompressedBatches::default(),
        }
    }

    fn hand_to(&self, member: &Member, group: &Group) {
        let (id, overflow) = (member.mailbox.id(), group.overflow());
        if !member.relay {
            for event in self
                .messages_for(id, member.since)
                .filter(|message| message.is_event)
            {
                member.mailbox.deliver_event(&event.parcel, overflow);
            }
        }
        #[cfg(feature = "deflate")]
        if let Some(compression) = member.mailbox.compression() {
            let messages = wanted(self.messages_for(id, member.since), member.relay);
            let is_shared = self.is_for_everyone(id, member.since);
            let deliver = |batch: &Batch| member.mailbox.deliver(batch, overflow);
            let compressed = &self.compressed;
            return compressed.deliver(messages, compression, member.relay, is_shared, deliver);
        }
        let own;
        let batch = if self.is_for_everyone(id, member.since) {
            let shared = if member.relay {
                &self.relayed
            } else {
                &self.ready
            };
            shared.get_or_init(|| join(self.taken.messages.iter(), member.relay))
        } else {
            own = join(self.messages_for(id, member.since), member.relay);
            &own
        };
        if !batch.is_empty() {
            member.mailbox.deliver(batch, overflow);
        }
    }

    /// Whether this member gets all that was taken, as nearly every member does.
    fn is_for_everyone(&self, id: u64, since: u64) -> bool {
        since <= self.taken.first
            && self
                .taken
                .messages
                .iter()
                .all(|message| message.except != Some(id))
    }

    /// What was published after the member joined, and not by itself with `except`.
    fn messages_for(&self, id: u64, since: u64) -> impl Iterator<Item = &Pending> + Clone {
        let is_for =
            move |message: &&Pending| message.sequence >= since && message.except != Some(id);
        self.taken.messages.iter().filter(is_for)
    }
}

fn join<'a>(messages: impl Iterator<Item = &'a Pending> + Clone, relay: bool) -> Batch {
    Batch::join(wanted(messages, relay))
}

/// The frames among the messages that go to the socket.
fn wanted<'a>(
    messages: impl Iterator<Item = &'a Pending> + Clone,
    relay: bool,
) -> impl Iterator<Item = &'a Parcel> + Clone {
    let wanted = messages.filter(move |message| relay || !message.is_event);
    wanted.map(|message| &message.parcel)
}

/// Up to how many bytes of a message its delivery waits in a lane: behind those of other groups,
/// all of which are in memory meanwhile. A task of its own runs next, and lets a large message go
/// soon.
pub(super) const SHARED: usize = 2048;

/// How many members are served before others may run: about two milliseconds of writing.
pub(super) const CHUNK: usize = 256;

/// How many bytes they are handed: about as long, if a member's frames are so large that their
/// bytes count.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;
