//! [`Group`]: the local members of one group, what is pending for them, and whose turn it is to
//! deliver.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::config::{Bound, Overflow};
use crate::mailbox::{Mailbox, Parcel};
use crate::name::GroupName;

use super::delivery::Delivery;
use super::lane::Lane;
use super::members::{Member, Members};

/// One group on this node. Owned by the registry while it has members, and by those for as long.
pub(crate) struct Group {
    name: GroupName,
    overflow: Overflow,
    state: Mutex<State>,
    /// Publishers that found the pending list full wait here for the deliverer.
    room: Notify,
    /// Whether the backend delivers for this group. Held across the backend's answer, so that
    /// joining and leaving take turns.
    pub(super) subscription: tokio::sync::Mutex<Subscription>,
}

/// What is known of a group's subscription at the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subscription {
    #[default]
    None,
    /// Asked for and not confirmed: that failed, or nobody waited for the answer. The next to join
    /// asks again, the last to leave ends it.
    Unsure,
    /// Since so many outages of the backend; see [`Recovery`](super::recovery::Recovery).
    Confirmed(u64),
}

#[derive(Default)]
struct State {
    members: Members,
    pending: Vec<Pending>,
    pending_bytes: usize,
    /// Somebody delivers and will look at `pending` again before it stops.
    delivering: bool,
    /// How many messages were appended so far.
    sequence: u64,
    /// How many of them every member was handed, as of the last look at `pending`.
    handed: u64,
    /// Of a member's runtime, until that ends: deliveries run there, so that threads without one
    /// can publish. Of one of the current thread only until somebody on one with workers joins or
    /// publishes.
    lane: Option<Lane>,
}

/// One message in the group's order.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) parcel: Parcel,
    /// An event, which hooks get; else a ready message for all sockets.
    pub(super) is_event: bool,
    /// The mailbox that is left out.
    pub(super) except: Option<u64>,
    /// How many were published before it. Given when it is appended.
    pub(super) sequence: u64,
}

/// All that was pending at once, in order.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) messages: Vec<Pending>,
    /// The sequence number of the first.
    pub(super) first: u64,
}

/// The pending list has no room; who waits for it waits for the deliverer.
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

    /// Where deliveries run, unless that is gone.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let state = self.lock();
        state.lane.as_ref().map(|lane| lane.runtime().clone())
    }

    pub(super) fn join(&self, mailbox: Arc<Mailbox>, relay: bool) {
        let mut state = self.lock();
        let since = state.sequence;
        state.prefer_workers();
        if state.lane.is_none() {
            state.lane = Lane::here();
        }
        state.members.insert(Member {
            mailbox,
            relay,
            since,
        });
    }

    /// Whether it was a member, and whether it was the last.
    pub(super) fn leave(&self, id: u64) -> (bool, bool) {
        let mut state = self.lock();
        let delivering = state.delivering;
        let was_member = state.members.remove(id, delivering);
        (was_member, state.members.is_empty())
    }

    /// Gives a message its place in the order, and sees to it that somebody delivers. Returns how
    /// many members it addresses.
    pub(super) fn append(self: &Arc<Self>, message: Pending, bound: Bound) -> Result<usize, Full> {
        let mut state = self.lock();
        let older = state.older(&message);
        if !state.has_room(&message, older, bound) {
            return Err(Full);
        }
        let is_left_out = message.except.is_some_and(|id| state.members.contains(id));
        let receivers = state.members.len() - usize::from(is_left_out);
        if receivers == 0 {
            return Ok(0);
        }
        state.push(message, older);
        if std::mem::replace(&mut state.delivering, true) {
            return Ok(receivers);
        }
        state.prefer_workers();
        let (lane, bytes) = (state.lane.clone(), state.pending_bytes);
        drop(state);
        Delivery::new(self.clone()).start(lane, bytes);
        Ok(receivers)
    }

    /// All members, without keeping them.
    pub(super) fn mailboxes(&self) -> Vec<Weak<Mailbox>> {
        let mut members = Vec::new();
        self.lock().members.chunk(0, usize::MAX, &mut members);
        let mailboxes = members.iter().map(|member| Arc::downgrade(&member.mailbox));
        mailboxes.collect()
    }

    #[cfg(test)]
    pub(super) fn is_delivering(&self) -> bool {
        self.lock().delivering
    }

    /// Completes when the deliverer takes what is pending, counted from this call on.
    pub(super) fn room(&self) -> impl Future<Output = ()> {
        self.room.notified()
    }

    /// While somebody delivers: how many messages were appended so far.
    pub(super) fn under_way(&self) -> Option<u64> {
        let state = self.lock();
        state.delivering.then_some(state.sequence)
    }

    /// Whether nobody waits to be handed the first so many messages.
    pub(super) fn has_handed(&self, messages: u64) -> bool {
        let state = self.lock();
        !state.delivering || state.handed >= messages
    }

    /// For the deliverer: all that is pending, or the end of its turn. Nobody is missed in between,
    /// since both happen under the lock that a publisher appends under.
    pub(super) fn take_pending(&self) -> Option<Taken> {
        let mut state = self.lock();
        state.members.compact();
        // What was taken before is delivered.
        let next = state.pending.first();
        state.handed = next.map_or(state.sequence, |message| message.sequence);
        if state.pending.is_empty() {
            state.delivering = false;
            return None;
        }
        let messages = std::mem::take(&mut state.pending);
        state.pending_bytes = 0;
        let first = state.handed;
        drop(state);
        self.room.notify_waiters();
        Some(Taken { messages, first })
    }

    /// For the deliverer: the next members; see [`Members::chunk`].
    pub(super) fn chunk(&self, from: usize, most: usize, chunk: &mut Vec<Member>) -> Option<usize> {
        self.lock().members.chunk(from, most, chunk)
    }

    /// For a deliverer that is dropped within its turn: its runtime takes no more tasks. The next
    /// to join brings another.
    pub(super) fn forget_lane(&self) {
        self.lock().lane = None;
    }

    /// For a deliverer that panicked. What is pending is lost with it, but nobody waits for ever.
    pub(super) fn abandon_turn(&self) {
        let mut state = self.lock();
        state.delivering = false;
        state.pending.clear();
        state.pending_bytes = 0;
        state.members.compact();
        drop(state);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The pending message whose place this one takes: where it is for all that the older is for.
    fn older(&self, message: &Pending) -> Option<usize> {
        let tag = message.parcel.latest.as_ref()?;
        let is_older = |older: &Pending| {
            older.parcel.latest.as_ref() == Some(tag)
                && (message.except.is_none() || message.except == older.except)
        };
        self.pending.iter().position(is_older)
    }

    /// As in a member's queue: where it replaces one that is no smaller, there always is.
    fn has_room(&self, message: &Pending, older: Option<usize>, bound: Bound) -> bool {
        let freed = older.map_or(0, |place| self.pending[place].len());
        let count = self.pending.len() - usize::from(older.is_some());
        !bound.is_reached(count, self.pending_bytes - freed)
            || (older.is_some() && message.len() <= freed)
    }

    /// Has deliveries run on a runtime with workers, once one is known, so that no single thread
    /// can hold them up.
    fn prefer_workers(&mut self) {
        if !self.lane.as_ref().is_some_and(Lane::has_workers)
            && let Some(lane) = Lane::of_workers()
        {
            self.lane = Some(lane);
        }
    }

    fn push(&mut self, mut message: Pending, older: Option<usize>) {
        if let Some(place) = older {
            self.pending_bytes -= self.pending.remove(place).len();
        }
        message.sequence = self.sequence;
        self.sequence += 1;
        self.pending_bytes += message.len();
        self.pending.push(message);
    }
}

impl Pending {
    pub(super) fn new(parcel: Parcel, is_event: bool, except: Option<u64>) -> Self {
        Self {
            parcel,
            is_event,
            except,
            sequence: 0,
        }
    }

    fn len(&self) -> usize {
        self.parcel.encoded.wire().len()
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

/// How much may be pending for delivery in one group, for publishers that wait for room.
pub(super) const PENDING: Bound = Bound {
    count: 256,
    bytes: 256 * 1024,
};

/// Likewise, for a backend that must not wait. What is pending is in one order with what waits at
/// each member, so this is as much as fits there.
pub(super) const ARRIVING: Bound = Bound {
    count: 1024,
    bytes: 1024 * 1024,
};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use std::pin::pin;
    use std::sync::Arc;

    use futures::FutureExt;
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use crate::config::{Config, Overflow};
    use crate::mailbox::{Encoded, Mailbox, Parcel, Tag, Terms};
    use crate::name::GroupName;

    use super::{Group, PENDING, Pending};

    /// A group with one member, whose deliveries wait until its runtime runs.
    fn idle_group() -> (Runtime, Arc<Group>) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let name = GroupName::try_from("room").unwrap();
        let group = Arc::new(Group::new(name, Overflow::Close));
        let entered = runtime.enter();
        group.join(Mailbox::channel(Terms::of(Config::new())), false);
        drop(entered);
        (runtime, group)
    }

    fn event(bytes: usize) -> Pending {
        let encoded = Encoded::event(&vec![b' '; bytes]);
        Pending::new(Parcel::new(encoded, None), true, None)
    }

    #[test]
    fn the_pending_list_takes_256_messages_or_256_kib() {
        // The frame's header counts: 2 bytes, or 4 from 126 bytes on, or 10 from 64 KiB on.
        for (bytes, fit) in [(0, 256), (100, 256), (1020, 256), (1021, 256), (8188, 32)] {
            let (_runtime, group) = idle_group();
            for n in 0..fit {
                assert!(
                    group.append(event(bytes), PENDING).is_ok(),
                    "{bytes} bytes, {n}"
                );
            }
            assert!(
                group.append(event(bytes), PENDING).is_err(),
                "{bytes} bytes"
            );
        }
        let (_runtime, group) = idle_group();
        assert!(
            group.append(event(1 << 20), PENDING).is_ok(),
            "the last overshoots"
        );
        assert!(group.append(event(0), PENDING).is_err(), "and is the last");
    }

    #[test]
    fn a_newer_value_takes_the_place_of_a_pending_one_that_is_for_nobody_else() {
        let key = |key: usize| {
            let group = GroupName::try_from("room").unwrap();
            Tag::new(&group, &key.to_string().try_into().unwrap(), true)
        };
        let keyed = |n: u64, tag, except| {
            let encoded = Encoded::event(n.to_string().as_bytes());
            Pending::new(Parcel::new(encoded, Some(tag)), true, except)
        };
        let (_runtime, group) = idle_group();
        // More than the list takes.
        for n in 0..1000 {
            assert!(group.append(keyed(n, key(7), None), PENDING).is_ok(), "{n}");
        }
        assert!(group.append(keyed(1000, key(8), None), PENDING).is_ok());
        // Whom the newer leaves out keeps the older.
        assert!(
            group
                .append(keyed(1001, key(8), Some(u64::MAX)), PENDING)
                .is_ok()
        );
        assert!(
            group
                .append(keyed(1002, key(8), Some(u64::MAX)), PENDING)
                .is_ok()
        );
        assert!(group.append(keyed(1003, key(7), None), PENDING).is_ok());
        let taken = group.take_pending().unwrap();
        let sequences: Vec<_> = taken
            .messages
            .iter()
            .map(|message| message.sequence)
            .collect();
        assert_eq!(sequences, [1000, 1002, 1003]);
        assert_eq!(taken.first, 1000);
    }

    #[test]
    fn who_waits_for_room_is_woken_by_the_deliverer_and_by_nothing_else() {
        let (runtime, group) = idle_group();
        while group.append(event(8), PENDING).is_ok() {}
        let mut room = pin!(group.room());
        assert!(room.as_mut().now_or_never().is_none());
        // Members come and go, and none of them makes room.
        group.join(Mailbox::channel(Terms::of(Config::new())), false);
        assert!(room.as_mut().now_or_never().is_none());
        runtime.block_on(yield_now());
        assert!(room.as_mut().now_or_never().is_some());
        assert!(group.append(event(8), PENDING).is_ok());
    }
}
