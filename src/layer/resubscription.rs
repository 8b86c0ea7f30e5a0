//! [`Resubscription`]: how a node handles outages of its backend. It subscribes again, and then
//! runs the `gap` hooks of the members.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{fmt, mem};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::Error;
use crate::mailbox::{Gap, GapPermit, Mailbox};
use crate::metrics::{backend_away, backend_back, gaps_told, outage_began};
use crate::name::GroupName;
use crate::random;

use super::backend::Backend;
use super::group::{Group, Subscription};
use super::registry::Registry;

/// Shared by the layer, which compares the outage counts of subscriptions, and the backend's sink,
/// which reports outages.
pub(super) struct Resubscription {
    registry: Arc<Registry>,
    /// The layer owns it.
    backend: Weak<dyn Backend>,
    /// The runtime in which the layer was made. Tasks run there if a thread without a runtime
    /// reports an outage or a gap.
    runtime: Option<Handle>,
    /// How many outages there were. A subscription confirmed before the last one is void. Written
    /// under the lock of `state`; read without it by every join.
    outages: AtomicU64,
    state: Mutex<State>,
    turns: Arc<Semaphore>,
}

struct State {
    is_down: bool,
    /// Groups whose members have not got their `gap` yet.
    due: BTreeSet<GroupName>,
    /// A task notifies members, and looks at `due` again before it ends.
    is_telling: bool,
    /// The permits in use, the oldest first, each with the end of its lease.
    leases: VecDeque<(Instant, Weak<GapPermit>)>,
    window: Duration,
}

impl Resubscription {
    pub(super) fn new(registry: Arc<Registry>, backend: Weak<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            registry,
            backend,
            runtime: Handle::try_current().ok(),
            outages: AtomicU64::new(0),
            state: Mutex::new(State {
                is_down: false,
                due: BTreeSet::new(),
                is_telling: false,
                leases: VecDeque::new(),
                window: WINDOW,
            }),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    pub(super) fn set_window(&self, window: Duration) {
        self.lock().window = window;
    }

    /// How many outages there were. A subscription made now lasts until there are more.
    pub(super) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Acquire)
    }

    pub(super) fn is_down(&self) -> bool {
        self.lock().is_down
    }

    pub(super) fn down(&self, reason: &str) {
        let mut state = self.lock();
        if mem::replace(&mut state.is_down, true) {
            return;
        }
        self.outages.fetch_add(1, Ordering::AcqRel);
        drop(state);
        outage_began();
        backend_away();
        tracing::warn!(
            reason,
            "channel layer backend disconnected; sockets stay open, publishing and joining fail"
        );
    }

    pub(super) fn up(self: &Arc<Self>) {
        let mut state = self.lock();
        if !mem::take(&mut state.is_down) {
            // At the start, or a connection that was replaced before its loss was noticed.
            self.outages.fetch_add(1, Ordering::AcqRel);
        } else {
            backend_back();
            tracing::info!("channel layer backend reconnected; subscribing again to all groups");
        }
        let outages = self.outages();
        drop(state);
        let groups = self.registry.groups();
        if groups.is_empty() {
            return;
        }
        self.spawn(self.clone().restore(groups, outages));
    }

    /// Runs the `gap` hooks of this group's members soon: the group may have missed something.
    pub(super) fn gap(self: &Arc<Self>, group: &GroupName) {
        self.tell_soon([group.clone()]);
    }

    /// Subscribes to all groups that were there when the backend came back, as long as it stays.
    ///
    /// A batch with a group that the backend refuses is halved until that group is alone, so that
    /// it keeps no other from being subscribed to. The refused ones are asked for again later, one
    /// by one.
    async fn restore(self: Arc<Self>, groups: Vec<Arc<Group>>, outages: u64) {
        let mut left: VecDeque<_> = groups.chunks(BATCH).map(<[_]>::to_vec).collect();
        let mut refused = VecDeque::new();
        let (mut pause, mut has_warned) = (FIRST_PAUSE, false);
        let is_over = || self.outages() != outages || self.backend.strong_count() == 0;
        while !is_over() {
            let Some(mut batch) = left.pop_front() else {
                if refused.is_empty() {
                    return;
                }
                sleep(REFUSED_PAUSE).await;
                left.append(&mut refused);
                continue;
            };
            let Err(error) = self.subscribe(&batch, outages).await else {
                self.tell_soon(batch.iter().map(|group| group.name().clone()));
                pause = FIRST_PAUSE;
                continue;
            };
            if is_over() {
                return;
            }
            if !mem::replace(&mut has_warned, true) {
                tracing::warn!(%error, "could not subscribe again to some groups; trying until it works");
            } else {
                tracing::debug!(groups = batch.len(), %error, "could not subscribe again");
            }
            if !error.is_misconfigured() {
                left.push_front(batch);
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            } else if batch.len() > 1 {
                let half = batch.split_off(batch.len() / 2);
                left.push_front(half);
                left.push_front(batch);
            } else {
                refused.push_back(batch);
            }
        }
    }

    async fn subscribe(&self, groups: &[Arc<Group>], outages: u64) -> Result<(), Error> {
        let gone = || Error::unavailable("the layer is gone");
        let backend = self.backend.upgrade().ok_or_else(gone)?;
        let mut stale = Vec::new();
        let mut names = Vec::new();
        for group in groups {
            // The task that holds this lock waits for the backend, which answers or fails.
            let subscription = group.subscription.lock().await;
            if *subscription != Subscription::Confirmed(outages) && !group.is_empty() {
                names.push(group.name().clone());
                stale.push(subscription);
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let result = backend.subscribe(&names).await;
        for subscription in &mut stale {
            **subscription = match result {
                Ok(()) => Subscription::Confirmed(outages),
                Err(_) => Subscription::Unsure,
            };
        }
        result
    }

    fn tell_soon(self: &Arc<Self>, groups: impl IntoIterator<Item = GroupName>) {
        let mut state = self.lock();
        state.due.extend(groups);
        if mem::replace(&mut state.is_telling, true) {
            return;
        }
        drop(state);
        self.spawn(self.clone().tell());
    }

    /// Notifies the members of the groups that are due, in random order, until no group is due.
    async fn tell(self: Arc<Self>) {
        while let Some((groups, window)) = self.due() {
            let mut members = Vec::new();
            for name in groups {
                if let Some(group) = self.registry.group(&name) {
                    members.extend(
                        group
                            .mailboxes()
                            .into_iter()
                            .map(|member| (name.clone(), member)),
                    );
                }
            }
            // The order of `gap` hooks must not follow the order in which the members joined.
            random::shuffle(&mut members);
            self.tell_each(members, window).await;
        }
    }

    fn due(&self) -> Option<(BTreeSet<GroupName>, Duration)> {
        let mut state = self.lock();
        state.is_telling = !state.due.is_empty();
        state
            .is_telling
            .then(|| (mem::take(&mut state.due), state.window))
    }

    async fn tell_each(&self, members: Vec<(GroupName, Weak<Mailbox>)>, window: Duration) {
        let begin = Instant::now();
        let each =
            u32::try_from(members.len()).map_or(Duration::ZERO, |count| window / count.max(1));
        let each = each.min(LONGEST_STEP);
        let mut at = begin;
        for (group, member) in members {
            sleep_until(at).await;
            at += each;
            let permit = self.permit().await;
            if let Some(member) = member.upgrade() {
                member.deliver_gap(Gap { group, permit });
                gaps_told();
            }
        }
    }

    /// Waits for the permit to run one more hook: until another one has ended, or has run for so
    /// long that it no longer counts.
    async fn permit(&self) -> Option<Arc<GapPermit>> {
        loop {
            let free = self.turns.clone().acquire_owned();
            let permit = match self.end_of_oldest_lease() {
                Some(end) => timeout_at(end, free).await,
                None => Ok(free.await),
            };
            if let Ok(permit) = permit {
                return permit.ok().map(|permit| self.lease(permit));
            }
        }
    }

    fn lease(&self, permit: OwnedSemaphorePermit) -> Arc<GapPermit> {
        let turn = GapPermit::new(permit);
        let lease = (Instant::now() + LEASE, Arc::downgrade(&turn));
        self.lock().leases.push_back(lease);
        turn
    }

    /// Revokes the leases that have ended, and returns the end of the oldest one that has not.
    fn end_of_oldest_lease(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some((end, turn)) = state.leases.front() {
            match turn.upgrade() {
                Some(_) if now < *end => return Some(*end),
                Some(turn) => turn.revoke(),
                None => {}
            }
            state.leases.pop_front();
        }
        None
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current().ok().or_else(|| self.runtime.clone()) {
            Some(runtime) => drop(runtime.spawn(task)),
            None => tracing::error!(
                "the backend reported an outage outside of any runtime; groups are not subscribed to again"
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Resubscription {
    fn drop(&mut self) {
        if self.is_down() {
            backend_back();
        }
    }
}

impl fmt::Debug for Resubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Resubscription")
            .field("is_down", &state.is_down)
            .field("outages", &self.outages())
            .finish_non_exhaustive()
    }
}

/// How long it takes to notify many members; see
/// [`ChannelLayer::gap_window`](super::ChannelLayer::gap_window).
const WINDOW: Duration = Duration::from_secs(5);
/// The pause between two members of a small group.
const LONGEST_STEP: Duration = Duration::from_millis(1);
/// How many `gap` hooks run at once at most.
const AT_ONCE: usize = 64;
/// A hook that runs for longer no longer counts: it may hang, and the others must still run.
const LEASE: Duration = Duration::from_secs(1);
/// How many groups are subscribed to at once.
const BATCH: usize = 512;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The pause before refused groups are requested again: an operator must change the backend's
/// configuration first.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
