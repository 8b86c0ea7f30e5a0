//! [`Account`]: what one queue has in the node's [`Budget`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::budget::{Budget, Laggard, Queue};
use super::mailbox::Mailbox;

/// Open while its queue lags. Dropped, it gives everything back.
///
/// The first [`FREE`] bytes of a queue are not counted, so that a connection that keeps up touches
/// nothing that others touch.
#[derive(Debug, Default)]
pub(crate) struct Account(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    budget: Arc<Budget>,
    laggard: Arc<Laggard>,
}

impl Account {
    /// Tells how many bytes wait in the queue, and how many of them it alone holds. `true` where
    /// the budget is exceeded: then [`Mailbox::relieve`] is due, without a lock.
    pub(crate) fn grown(
        &mut self,
        waiting: usize,
        own: usize,
        mailbox: &Arc<Mailbox>,
        queue: Queue,
    ) -> bool {
        if waiting <= FREE && own <= FREE {
            return false;
        }
        let entry = self.0.get_or_insert_with(|| {
            let budget = mailbox.budget().clone();
            let laggard = budget.enter(Arc::downgrade(mailbox), queue);
            Box::new(Entry { budget, laggard })
        });
        entry.tell(waiting, own);
        entry.budget.is_exceeded()
    }

    /// Likewise, where the queue has become shorter.
    pub(crate) fn shrunk(&mut self, waiting: usize, own: usize) {
        let Some(entry) = &self.0 else {
            return;
        };
        if waiting <= FREE / 2 && own <= FREE / 2 {
            self.0 = None;
        } else {
            entry.tell(waiting, own);
        }
    }

    /// Whether the queue was found to be the slowest.
    pub(crate) fn is_chosen(&self) -> bool {
        let is_chosen = |entry: &Entry| entry.laggard.chosen.load(Ordering::Relaxed);
        self.0.as_deref().is_some_and(is_chosen)
    }
}

impl Entry {
    fn tell(&self, waiting: usize, own: usize) {
        self.laggard.waiting.store(waiting, Ordering::Relaxed);
        self.budget.count(&self.laggard, own.saturating_sub(FREE));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.budget.leave(&self.laggard);
    }
}

/// With this much waiting, a queue lags.
pub(super) const FREE: usize = 16 * 1024;
