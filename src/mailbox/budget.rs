//! [`Budget`]: how many bytes may wait in all the queues of one node together.

use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bytes::Bytes;

use crate::sampler::{LogSampler, sampled};

use super::machine::memory;
use super::mailbox::Mailbox;

/// Counts what waits, and closes the slowest where that is too much.
///
/// Only queues that lag are known here, so that it costs nothing where everybody keeps up: see
/// [`Account`](super::account::Account). Bytes that many queues share are counted by themselves,
/// once.
///
/// No lock of a mailbox is taken while one of these is held; the other way round is fine.
pub(crate) struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// By address.
    laggards: Mutex<HashMap<usize, Arc<Laggard>>>,
    /// Held by the one who closes the slowest; nobody waits for it.
    relief: Mutex<()>,
    log: LogSampler,
}

/// A queue that lags.
#[derive(Debug)]
pub(super) struct Laggard {
    mailbox: Weak<Mailbox>,
    queue: Queue,
    /// How many bytes wait in it, shared ones in full: who has most is the slowest.
    pub(super) waiting: AtomicUsize,
    /// What the budget counts for it.
    counted: AtomicUsize,
    /// It was chosen: its mailbox is closed for it.
    pub(super) chosen: AtomicBool,
}

/// One of a connection's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Frames,
    Events,
    Messages,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            laggards: Mutex::default(),
            relief: Mutex::default(),
            log: LogSampler::of_condition(),
        })
    }

    /// A quarter of the machine's memory, or of what it leaves to this process.
    pub(crate) fn of_machine() -> Arc<Self> {
        Self::new(memory().map_or(ELSEWHERE, |bytes| bytes / 4))
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many bytes are counted now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.used() > self.limit()
    }

    #[cfg(test)]
    pub(super) fn knows_nobody(&self) -> bool {
        self.laggards().is_empty()
    }

    /// The same bytes, counted from now until the last share of them is dropped.
    pub(super) fn share(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.take(bytes.len());
        Bytes::from_owner(Counted {
            bytes,
            budget: self.clone(),
        })
    }

    /// Notes a queue that begins to lag.
    pub(super) fn enter(&self, mailbox: Weak<Mailbox>, queue: Queue) -> Arc<Laggard> {
        let laggard = Arc::new(Laggard {
            mailbox,
            queue,
            waiting: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            chosen: AtomicBool::new(false),
        });
        self.laggards().insert(address(&laggard), laggard.clone());
        laggard
    }

    /// Forgets a queue, and all that was counted for it.
    pub(super) fn leave(&self, laggard: &Arc<Laggard>) {
        self.laggards().remove(&address(laggard));
        self.write_off(laggard);
    }

    /// Counts so many bytes for a queue; in steps, so that small changes touch nothing that others
    /// touch.
    pub(super) fn count(&self, laggard: &Laggard, bytes: usize) {
        let counted = laggard.counted.load(Ordering::Relaxed);
        let more = bytes.saturating_sub(counted) / STEP * STEP;
        let less = counted.saturating_sub(bytes) / STEP * STEP;
        if more == 0 && less == 0 {
            return;
        }
        // Whoever relieves may write it off meanwhile. In this order the sum is too large for a
        // moment, never too small.
        self.take(more);
        let new = counted + more - less;
        let changed =
            laggard
                .counted
                .compare_exchange(counted, new, Ordering::Relaxed, Ordering::Relaxed);
        self.give_back(if changed.is_ok() { less } else { more });
    }

    /// Closes the slowest, one after the other, until a sixteenth of the budget is free: so the
    /// next look at all that lag is not due at once.
    ///
    /// To be called without a lock. Where somebody is at it already, this does nothing.
    pub(super) fn relieve(&self) {
        let relief = match self.relief.try_lock() {
            Ok(relief) => relief,
            Err(TryLockError::Poisoned(relief)) => relief.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.is_exceeded() {
            return;
        }
        let (used, budget) = (self.used(), self.limit());
        let mut closed = 0_usize;
        let laggards = self.unchosen();
        let rank = |(place, laggard): (usize, &Arc<Laggard>)| {
            (laggard.waiting.load(Ordering::Relaxed), place)
        };
        let mut by_slowness: BinaryHeap<_> = laggards.iter().enumerate().map(rank).collect();
        while self.used() > budget - budget / 16
            && let Some((_, place)) = by_slowness.pop()
        {
            closed += usize::from(self.end(&laggards[place]));
        }
        drop(relief);
        if closed > 0 {
            sampled!(
                self.log,
                warn,
                "budget_exceeded",
                used,
                budget,
                closed,
                "closed the slowest connections: what is queued for slow clients and hooks exceeds the node's budget. Find out \
                 why they are slow, lower Config::outgoing and Config::events, or raise ChannelLayer::budget"
            );
        }
    }

    /// Ends what a queue belongs to, and gives back what it holds.
    fn end(&self, laggard: &Laggard) -> bool {
        laggard.chosen.store(true, Ordering::Relaxed);
        let Some(mailbox) = laggard.mailbox.upgrade() else {
            return false;
        };
        let is_ended = mailbox.end_slowest(laggard.queue);
        if laggard.queue == Queue::Messages {
            // Its session drops them as soon as it runs.
            self.write_off(laggard);
        }
        is_ended
    }

    fn unchosen(&self) -> Vec<Arc<Laggard>> {
        let laggards = self.laggards();
        let unchosen = laggards
            .values()
            .filter(|laggard| !laggard.chosen.load(Ordering::Relaxed));
        unchosen.cloned().collect()
    }

    fn write_off(&self, laggard: &Laggard) {
        self.give_back(laggard.counted.swap(0, Ordering::Relaxed));
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn laggards(&self) -> MutexGuard<'_, HashMap<usize, Arc<Laggard>>> {
        self.laggards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.used())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}

/// Bytes that give back what was counted for them when nobody holds them any more.
struct Counted {
    bytes: Bytes,
    budget: Arc<Budget>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes.len());
    }
}

fn address(laggard: &Arc<Laggard>) -> usize {
    Arc::as_ptr(laggard).addr()
}

/// What a queue holds in memory of its own is counted in these steps.
pub(super) const STEP: usize = 16 * 1024;
/// Where the machine does not say how much memory it has.
const ELSEWHERE: usize = 256 * 1024 * 1024;
