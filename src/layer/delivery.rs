//! [`Delivery`]: one turn of delivering to the members of a group.

use std::cell::OnceCell;
use std::sync::Arc;
use std::thread::panicking;

use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::mailbox::Batch;

use super::group::Group;
use super::group::Pending;
use super::group::Taken;
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
    /// All messages joined, for members that relay. Made when the first of them is met.
    relayed: OnceCell<Batch>,
    /// The ready messages joined, for members whose hook gets the events.
    ready: OnceCell<Batch>,
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

    /// Delivers in a task of its own; without any runtime, here and now.
    pub(super) fn start(mut self, runtime: Option<Handle>) {
        match runtime.or_else(|| Handle::try_current().ok()) {
            Some(runtime) => drop(runtime.spawn(self.run())),
            None => while self.step() {},
        }
    }

    /// Yields after each chunk, so that the sessions woken by it may run, and after each batch, so
    /// that what comes together is delivered together.
    async fn run(mut self) {
        while self.step() {
            yield_now().await;
        }
    }

    /// One chunk of members; `false` when the turn is over.
    fn step(&mut self) -> bool {
        if self.current.is_none() {
            let Some(taken) = self.group.take_pending() else {
                self.finished = true;
                return false;
            };
            self.current = Some(Current::new(taken));
        }
        let Some(current) = &mut self.current else {
            return true;
        };
        let next = self.group.chunk(current.next, CHUNK, &mut self.chunk);
        for member in self.chunk.drain(..) {
            current.hand_to(&member, &self.group);
        }
        match next {
            Some(next) => current.next = next,
            None => self.current = None,
        }
        true
    }
}

/// A turn is dropped when its runtime ends, which need not be that of all members: the rest is
/// delivered here and now, since nothing in it waits. After a panic the rest is given up.
impl Drop for Delivery {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.group.forget_runtime();
        if panicking() {
            self.group.abandon_turn();
        } else {
            while self.step() {}
        }
    }
}

impl Current {
    fn new(taken: Taken) -> Self {
        Self {
            taken,
            next: 0,
            relayed: OnceCell::new(),
            ready: OnceCell::new(),
        }
    }

    fn hand_to(&self, member: &Member, group: &Group) {
        let (id, overflow) = (member.mailbox.id(), group.overflow());
        if !member.relay {
            for event in self
                .messages_for(id, member.since)
                .filter(|message| message.is_event)
            {
                member.mailbox.deliver_event(&event.encoded, overflow);
            }
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
        let skipped = since.saturating_sub(self.taken.first);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let messages = self.taken.messages.iter().skip(skipped);
        messages.filter(move |message| message.except != Some(id))
    }
}

fn join<'a>(messages: impl Iterator<Item = &'a Pending> + Clone, relay: bool) -> Batch {
    let wanted = messages.filter(move |message| relay || !message.is_event);
    Batch::join(wanted.map(|message| &message.encoded))
}

/// How many members are served before others may run: about two milliseconds of writing.
const CHUNK: usize = 256;
