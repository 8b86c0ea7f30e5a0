//! [`Reservation`]: the bytes that the node's [`Budget`] counts for one queue.

use std::sync::Arc;

use super::budget::{Budget, LaggingQueue, QueueKind, QueueOwner};

/// Exists while its queue lags. Dropping it gives all bytes back.
///
/// The first [`FREE_BYTES`] of a queue are not counted, so that a connection that keeps up touches
/// nothing that other connections touch.
#[derive(Debug, Default)]
pub(crate) struct Reservation(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    budget: Arc<Budget>,
    queue: Arc<LaggingQueue>,
}

impl Reservation {
    /// Updates the reservation after the queue has grown: `waiting` bytes are in it, and it alone
    /// holds `own` of them.
    ///
    /// Returns `true` if the budget is exceeded. The caller then calls [`Budget::evict_largest`]
    /// as soon as it holds no lock.
    pub(crate) fn grow<O: QueueOwner + 'static>(
        &mut self,
        waiting: usize,
        own: usize,
        owner: &Arc<O>,
        kind: QueueKind,
    ) -> bool {
        if waiting <= FREE_BYTES && own <= FREE_BYTES {
            return false;
        }
        let entry = self.0.get_or_insert_with(|| {
            let budget = owner.budget().clone();
            let owner = Arc::downgrade(owner);
            let queue = budget.enter(owner, kind);
            Box::new(Entry { budget, queue })
        });
        entry.update(waiting, own);
        entry.budget.is_exceeded()
    }

    /// Updates the reservation after the queue has become shorter.
    pub(crate) fn shrink(&mut self, waiting: usize, own: usize) {
        let Some(entry) = &self.0 else {
            return;
        };
        if waiting <= FREE_BYTES / 2 && own <= FREE_BYTES / 2 {
            self.0 = None;
        } else {
            entry.update(waiting, own);
        }
    }

    /// Whether the budget has chosen this queue to be evicted.
    pub(crate) fn is_evicted(&self) -> bool {
        self.0
            .as_deref()
            .is_some_and(|entry| entry.queue.is_evicted())
    }
}

impl Entry {
    fn update(&self, waiting: usize, own: usize) {
        self.queue.set_waiting(waiting);
        self.budget
            .count(&self.queue, own.saturating_sub(FREE_BYTES));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.budget.leave(&self.queue);
    }
}

/// A queue with more than this many bytes lags.
pub(crate) const FREE_BYTES: usize = 16 * 1024;
