//! [`Group`]: the members of one group on this node, and the messages that are pending for them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::broadcast::ConflatingQueue;
use crate::config::{Bound, Overflow};
use crate::mailbox::Mailbox;
use crate::name::GroupName;

use super::members::{Member, Members};
use super::pending::Pending;
use super::run_queue::RunQueue;

/// One group on this node. The registry owns it while it has members, and the members do as well.
pub(crate) struct Group {
    name: GroupName,
    overflow: Overflow,
    state: Mutex<GroupState>,
    /// Publishers that found no room for a pending message wait here for the fan-out.
    room: Notify,
    /// Whether the backend delivers for this group. Locked until the backend answers, so that
    /// joining and leaving take turns.
    pub(super) subscription: tokio::sync::Mutex<Subscription>,
}

/// The state of a group's subscription at the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscription {
    #[default]
    None,
    /// Requested but not confirmed: the request failed, or its future was dropped. The next member
    /// to join requests it again, the last one to leave ends it.
    Unsure,
    /// Confirmed after this many outages of the backend; see
    /// [`Resubscription`](super::resubscription::Resubscription).
    Confirmed(u64),
}

#[derive(Default)]
struct GroupState {
    members: Members,
    pending: ConflatingQueue<Pending>,
    /// A fan-out runs. It looks at `pending` again before it ends.
    has_fanout: bool,
    /// How many messages have been appended so far.
    sequence: u64,
    /// How many of them every member has received, as of the fan-out's last look at `pending`.
    delivered: u64,
    /// The place of fan-outs, in the runtime of a member, so that threads without a runtime can
    /// publish. A current-thread runtime is replaced as soon as a task of a runtime with workers
    /// joins or publishes.
    run_queue: Option<RunQueue>,
}

/// The outcome of [`Group::append`].
pub(super) struct Appended {
    /// How many members the message is for.
    pub(super) receivers: usize,
    /// The caller must start a fan-out, since none runs.
    pub(super) fanout: Option<NewFanout>,
}

/// How a new fan-out begins.
pub(super) struct NewFanout {
    pub(super) run_queue: Option<RunQueue>,
    /// The bytes that are pending.
    pub(super) bytes: usize,
}

/// There is no room for a pending message. A fan-out makes room.
pub(super) struct Full;

impl Group {
    pub(super) fn new(name: GroupName, overflow: Overflow) -> Self {
        Self {
            name,
            overflow,
            state: Mutex::default(),
            room: Notify::new(),
            subscription: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &GroupName {
        &self.name
    }

    pub(super) fn overflow(&self) -> Overflow {
        self.overflow
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().members.is_empty()
    }

    /// The runtime in which fan-outs run, unless it has ended.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let state = self.lock();
        let run_queue = state.run_queue.as_ref();
        run_queue.map(|queue| queue.runtime().clone())
    }

    pub(super) fn join(&self, mailbox: Arc<Mailbox>, relay: bool) {
        let mut state = self.lock();
        let since = state.sequence;
        state.prefer_workers();
        if state.run_queue.is_none() {
            state.run_queue = RunQueue::current();
        }
        state.members.insert(Member {
            mailbox,
            relay,
            since,
        });
    }

    /// Returns whether it was a member, and whether it was the last one.
    pub(super) fn leave(&self, id: u64) -> (bool, bool) {
        let mut state = self.lock();
        let has_fanout = state.has_fanout;
        let was_member = state.members.remove(id, has_fanout);
        (was_member, state.members.is_empty())
    }

    /// Gives a message its place in the order.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] if more is pending than the bound allows.
    pub(super) fn append(&self, message: Pending, bound: Bound) -> Result<Appended, Full> {
        let mut state = self.lock();
        let is_left_out = message.except.is_some_and(|id| state.members.contains(id));
        let receivers = state.members.len() - usize::from(is_left_out);
        if receivers == 0 {
            return Ok(Appended {
                receivers,
                fanout: None,
            });
        }
        state.pending.offer(message, bound).map_err(|_| Full)?;
        state.number_last();
        if std::mem::replace(&mut state.has_fanout, true) {
            return Ok(Appended {
                receivers,
                fanout: None,
            });
        }
        state.prefer_workers();
        let fanout = NewFanout {
            run_queue: state.run_queue.clone(),
            bytes: state.pending.bytes(),
        };
        Ok(Appended {
            receivers,
            fanout: Some(fanout),
        })
    }

    /// All members, without keeping them alive.
    pub(super) fn mailboxes(&self) -> Vec<Weak<Mailbox>> {
        let mut members = Vec::new();
        self.lock().members.chunk(0, usize::MAX, &mut members);
        let mailboxes = members.iter().map(|member| Arc::downgrade(&member.mailbox));
        mailboxes.collect()
    }

    #[cfg(test)]
    pub(super) fn has_fanout(&self) -> bool {
        self.lock().has_fanout
    }

    /// Completes when the fan-out takes the pending messages, counted from this call on.
    pub(super) fn room(&self) -> impl Future<Output = ()> {
        self.room.notified()
    }

    /// While a fan-out runs: how many messages have been appended so far.
    pub(super) fn undelivered(&self) -> Option<u64> {
        let state = self.lock();
        state.has_fanout.then_some(state.sequence)
    }

    /// Whether every member has received the first `messages` messages.
    pub(super) fn has_delivered(&self, messages: u64) -> bool {
        let state = self.lock();
        !state.has_fanout || state.delivered >= messages
    }

    /// Takes all pending messages for the fan-out; `None` ends it. No message is missed in between:
    /// both happen under the lock under which publishers append.
    pub(super) fn take_pending(&self) -> Option<Vec<Pending>> {
        let mut state = self.lock();
        state.members.compact();
        // The messages taken before are delivered.
        let next = state.pending.front();
        state.delivered = next.map_or(state.sequence, |message| message.sequence);
        if state.pending.is_empty() {
            state.has_fanout = false;
            return None;
        }
        let messages = state.pending.take();
        drop(state);
        self.room.notify_waiters();
        Some(messages)
    }

    /// The next members for the fan-out; see [`Members::chunk`].
    pub(super) fn chunk(&self, from: usize, most: usize, chunk: &mut Vec<Member>) -> Option<usize> {
        self.lock().members.chunk(from, most, chunk)
    }

    /// Forgets where fan-outs run, because that runtime takes no more tasks. The next member to
    /// join brings another one.
    pub(super) fn forget_run_queue(&self) {
        self.lock().run_queue = None;
    }

    /// Ends a fan-out that panicked. The pending messages are lost with it, but no publisher waits
    /// for ever.
    pub(super) fn abandon_fanout(&self) {
        let mut state = self.lock();
        state.run_queue = None;
        state.has_fanout = false;
        state.pending.take();
        state.members.compact();
        drop(state);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, GroupState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupState {
    /// Moves fan-outs to a runtime with workers as soon as one is known, so that no single thread
    /// can hold them up.
    fn prefer_workers(&mut self) {
        if !self.run_queue.as_ref().is_some_and(RunQueue::has_workers)
            && let Some(run_queue) = RunQueue::of_workers()
        {
            self.run_queue = Some(run_queue);
        }
    }

    /// Numbers the message that was just appended.
    fn number_last(&mut self) {
        if let Some(message) = self.pending.back_mut() {
            message.sequence = self.sequence;
            self.sequence += 1;
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("members", &self.lock().members.len())
            .finish_non_exhaustive()
    }
}
