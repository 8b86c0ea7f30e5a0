//! [`Lane`]: the task in which turns of delivery run, those of many groups one after the other.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{fmt, mem};

use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::task::yield_now;

use super::delivery::{CHUNK, Delivery};

/// Where the deliveries of a group run: one of as many lanes as its runtime has workers, so that
/// different groups are delivered in parallel. A lane has a task while it has turns. Many groups
/// that are published to at once share it, where a task for each publish would cost more than the
/// delivery to a few members.
#[derive(Clone)]
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    place: usize,
}

/// The lanes of one runtime, for as long as a group has one of them.
struct Lanes {
    runtime: Handle,
    queues: Box<[Mutex<Queue>]>,
    /// Groups take them in turns.
    next: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    turns: VecDeque<Delivery>,
    /// A task will look at `turns` again before it ends.
    runs: bool,
}

impl Lane {
    /// A lane of the runtime that the caller is in.
    pub(super) fn here() -> Option<Self> {
        Handle::try_current().ok().map(Self::of)
    }

    /// As [`here`](Self::here), if the runtime has workers: they run whatever the caller does next.
    pub(super) fn of_workers() -> Option<Self> {
        let runtime = Handle::try_current().ok();
        runtime.filter(has_workers).map(Self::of)
    }

    fn of(runtime: Handle) -> Self {
        let lanes = Lanes::of(runtime);
        let place = lanes.next.fetch_add(1, Ordering::Relaxed) % lanes.queues.len();
        Self { lanes, place }
    }

    /// Whether it goes on by itself. A runtime of the current thread stands still whenever that
    /// thread is not in it.
    pub(super) fn has_workers(&self) -> bool {
        has_workers(self.runtime())
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.lanes.runtime
    }

    /// Lets the turn run behind those that wait.
    pub(super) fn push(&self, turn: Delivery) {
        let mut queue = self.queue();
        queue.turns.push_back(turn);
        if mem::replace(&mut queue.runs, true) {
            return;
        }
        drop(queue);
        let running = Running(self.clone());
        self.runtime().spawn(running.run());
    }

    /// The turns that wait; where there are none, the task that asks is to end.
    fn round(&self) -> Option<VecDeque<Delivery>> {
        let mut queue = self.queue();
        queue.runs = !queue.turns.is_empty();
        queue.runs.then(|| mem::take(&mut queue.turns))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        let queue = &self.lanes.queues[self.place];
        queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a lane.
struct Running(Lane);

impl Running {
    /// Each turn that waits has one chunk of members, then the sessions woken by it may run, and
    /// what they publish is delivered together. A round of many turns pauses after as many members
    /// as one chunk has.
    async fn run(self) {
        while let Some(round) = self.0.round() {
            let mut handed = 0;
            for turn in round {
                if handed >= CHUNK {
                    yield_now().await;
                    handed = 0;
                }
                handed += self.step(turn);
            }
            if !self.0.queue().turns.is_empty() {
                yield_now().await;
            }
        }
    }

    /// One chunk of a turn, which then waits for its next one, if it has any. How many members that
    /// were.
    fn step(&self, mut turn: Delivery) -> usize {
        // Payloads and wakers are of the application's making. A panic of theirs ends this turn and
        // no other.
        let step = catch_unwind(AssertUnwindSafe(|| turn.step())).inspect_err(|_| turn.abandon());
        let Ok(Some(handed)) = step else {
            return 0;
        };
        self.0.queue().turns.push_back(turn);
        handed
    }
}

/// Where the task is dropped with its runtime, or never began since that is gone: who waits is
/// dropped, too, and thereby delivered here and now.
impl Drop for Running {
    fn drop(&mut self) {
        while let Some(turns) = self.0.round() {
            drop(turns);
        }
    }
}

impl Lanes {
    fn of(runtime: Handle) -> Arc<Self> {
        let mut known = LANES.lock().unwrap_or_else(PoisonError::into_inner);
        let id = runtime.id();
        let place = known.iter().position(|(known, _)| *known == id);
        if let Some(lanes) = place.and_then(|place| known[place].1.upgrade()) {
            return lanes;
        }
        let workers = runtime.metrics().num_workers().max(1);
        let lanes = Arc::new(Self {
            runtime,
            queues: (0..workers).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        });
        known.retain(|(_, lanes)| lanes.strong_count() > 0);
        known.push((id, Arc::downgrade(&lanes)));
        lanes
    }
}

fn has_workers(runtime: &Handle) -> bool {
    runtime.runtime_flavor() != RuntimeFlavor::CurrentThread
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.place).finish()
    }
}

/// The lanes of each runtime in which groups have members.
static LANES: Mutex<Vec<(Id, Weak<Lanes>)>> = Mutex::new(Vec::new());
