//! [`Budget`]: how many bytes may wait in all queues of one node together.

use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bytes::Bytes;

use crate::sampler::{LogSampler, sampled};

use super::memory_limit::memory_limit;

/// Counts the bytes that wait, and evicts the largest queues if there are too many.
///
/// Only queues that lag are registered here, so that the budget costs nothing while all clients
/// keep up; see [`Reservation`](super::Reservation). Bytes that many queues share are counted by
/// themselves, once.
///
/// Locks: code that holds the lock of a queue's owner may take the one of this list, never the
/// other way round.
pub(crate) struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    /// By their numbers, so that queues of equal size are evicted in the same order every time.
    lagging: Mutex<BTreeMap<u64, Arc<LaggingQueue>>>,
    /// The number of the next queue.
    next: AtomicU64,
    /// Held by the thread that evicts. No other thread waits for it.
    evicting: Mutex<()>,
    log: LogSampler,
}

/// The owner of queues that a budget counts: a connection.
pub(crate) trait QueueOwner: Send + Sync {
    /// The budget of the owner's node.
    fn budget(&self) -> &Arc<Budget>;

    /// Drops the content of this queue and ends what it belongs to, because it is the largest of
    /// the node and the budget is exceeded. Called without any lock.
    fn evict(&self, kind: QueueKind) -> Eviction;
}

/// One of a connection's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueKind {
    /// Frames that wait for the socket.
    Frames,
    /// Events that wait for the hook.
    Events,
    /// Messages that were read ahead of the hook.
    Messages,
}

/// The result of an eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// The queue has caught up in the meantime; nothing was dropped.
    CaughtUp,
    /// The content was dropped.
    Dropped,
    /// The session drops the content as soon as it runs. The budget stops counting it now.
    Deferred,
}

/// A queue that lags.
pub(super) struct LaggingQueue {
    number: u64,
    owner: Weak<dyn QueueOwner>,
    kind: QueueKind,
    /// The bytes that wait in it, shared ones in full. The largest queue is evicted first.
    waiting: AtomicUsize,
    /// The bytes that the budget counts for it.
    counted: AtomicUsize,
    is_evicted: AtomicBool,
}

impl LaggingQueue {
    pub(super) fn set_waiting(&self, bytes: usize) {
        self.waiting.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            used: AtomicUsize::new(0),
            lagging: Mutex::default(),
            next: AtomicU64::new(0),
            evicting: Mutex::default(),
            log: LogSampler::of_condition(),
        })
    }

    /// A quarter of the memory that this process may use.
    pub(crate) fn of_machine() -> Arc<Self> {
        Self::new(memory_limit().map_or(UNKNOWN_MACHINE_BYTES, |bytes| bytes / 4))
    }

    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
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
    pub(crate) fn has_no_lagging_queue(&self) -> bool {
        self.lagging().is_empty()
    }

    /// The same bytes, counted from now until the last clone is dropped.
    pub(super) fn count_shared(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        self.add(bytes.len());
        Bytes::from_owner(CountedBytes {
            bytes,
            budget: self.clone(),
        })
    }

    /// Registers a queue that begins to lag.
    pub(super) fn enter(&self, owner: Weak<dyn QueueOwner>, kind: QueueKind) -> Arc<LaggingQueue> {
        let queue = Arc::new(LaggingQueue {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            owner,
            kind,
            waiting: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            is_evicted: AtomicBool::new(false),
        });
        self.lagging().insert(queue.number, queue.clone());
        queue
    }

    /// Removes a queue and gives back all bytes that were counted for it.
    pub(super) fn leave(&self, queue: &LaggingQueue) {
        self.lagging().remove(&queue.number);
        self.write_off(queue);
    }

    /// Counts this many bytes for a queue, in steps of [`STEP_BYTES`], so that small changes touch
    /// nothing that other connections touch.
    pub(super) fn count(&self, queue: &LaggingQueue, bytes: usize) {
        let counted = queue.counted.load(Ordering::Relaxed);
        let more = bytes.saturating_sub(counted) / STEP_BYTES * STEP_BYTES;
        let less = counted.saturating_sub(bytes) / STEP_BYTES * STEP_BYTES;
        if more == 0 && less == 0 {
            return;
        }
        // An eviction may write the queue off at the same time. In this order the sum is too large
        // for a moment, never too small.
        self.add(more);
        let new = counted + more - less;
        let changed =
            queue
                .counted
                .compare_exchange(counted, new, Ordering::Relaxed, Ordering::Relaxed);
        self.subtract(if changed.is_ok() { less } else { more });
    }

    /// Evicts queues, the largest first, until a sixteenth of the budget is free. With that much
    /// room the list is not searched again for the next frame.
    ///
    /// The caller holds no lock. Does nothing while another thread is evicting.
    pub(crate) fn evict_largest(&self) {
        let evicting = match self.evicting.try_lock() {
            Ok(evicting) => evicting,
            Err(TryLockError::Poisoned(evicting)) => evicting.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if !self.is_exceeded() {
            return;
        }
        let (used, budget) = (self.used(), self.limit());
        let mut closed = 0_usize;
        let queues = self.candidates();
        let rank = |(place, queue): (usize, &Arc<LaggingQueue>)| {
            (queue.waiting.load(Ordering::Relaxed), place)
        };
        let mut by_size: BinaryHeap<_> = queues.iter().enumerate().map(rank).collect();
        while self.used() > budget - budget / 16
            && let Some((_, place)) = by_size.pop()
        {
            closed += usize::from(self.evict(&queues[place]));
        }
        drop(evicting);
        if closed > 0 {
            sampled!(
                self.log,
                warn,
                "budget_exceeded",
                used,
                budget,
                closed,
                "closed the slowest connections: data queued for slow clients and hooks exceeds the node's budget. Find out \
                 why they are slow, lower Config::outgoing and Config::events, or raise ChannelLayer::budget"
            );
        }
    }

    /// Whether the queue's connection was closed.
    fn evict(&self, queue: &LaggingQueue) -> bool {
        queue.is_evicted.store(true, Ordering::Relaxed);
        let Some(owner) = queue.owner.upgrade() else {
            return false;
        };
        match owner.evict(queue.kind) {
            Eviction::CaughtUp => false,
            Eviction::Dropped => true,
            Eviction::Deferred => {
                self.write_off(queue);
                true
            }
        }
    }

    fn candidates(&self) -> Vec<Arc<LaggingQueue>> {
        let lagging = self.lagging();
        let queues = lagging.values().filter(|queue| !queue.is_evicted());
        queues.cloned().collect()
    }

    fn write_off(&self, queue: &LaggingQueue) {
        self.subtract(queue.counted.swap(0, Ordering::Relaxed));
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn lagging(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<LaggingQueue>>> {
        self.lagging.lock().unwrap_or_else(PoisonError::into_inner)
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

impl fmt::Debug for LaggingQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaggingQueue")
            .field("kind", &self.kind)
            .field("waiting", &self.waiting)
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}

/// Bytes that are subtracted from the budget when the last holder drops them.
struct CountedBytes {
    bytes: Bytes,
    budget: Arc<Budget>,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes.len());
    }
}

/// The memory that a queue holds alone is counted in steps of this size.
pub(crate) const STEP_BYTES: usize = 16 * 1024;
/// The budget on a machine that does not report its memory.
const UNKNOWN_MACHINE_BYTES: usize = 256 * 1024 * 1024;
