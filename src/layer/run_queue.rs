//! [`RunQueue`]: a task that runs many short jobs, a step of each in turn.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::{fmt, mem};

use tokio::runtime::{Handle, Id, RuntimeFlavor};
use tokio::task::yield_now;

/// Work in steps. If a job is dropped before its end, with its runtime, its `Drop` finishes it.
pub(super) trait Job: Send {
    /// Works for a bounded time. Returns the cost in units, of which a step has about
    /// [`STEP_UNITS`] at most; `None` if the job is finished.
    fn step(&mut self) -> Option<usize>;

    /// Gives the job up because a step of it has panicked.
    fn abandon(&mut self);
}

/// One of the run queues of a runtime, of which there is one per worker, so that jobs run in
/// parallel. A queue has a task while it has jobs. Many jobs that begin at once share it: a task for
/// each would cost more than a short job.
#[derive(Clone)]
pub(super) struct RunQueue {
    queues: Arc<RunQueues>,
    place: usize,
}

/// The run queues of one runtime.
struct RunQueues {
    runtime: Handle,
    queues: Box<[Mutex<Jobs>]>,
    /// Which of them is given out next.
    next: AtomicUsize,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Box<dyn Job>>,
    /// A task runs. It looks at `waiting` again before it ends.
    has_task: bool,
}

impl RunQueue {
    /// A queue of the runtime that the caller runs in.
    pub(super) fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self::of)
    }

    /// A queue of the runtime that the caller runs in, if that has workers: they run whatever the
    /// caller does next.
    pub(super) fn of_workers() -> Option<Self> {
        let runtime = Handle::try_current().ok();
        runtime.filter(has_workers).map(Self::of)
    }

    fn of(runtime: Handle) -> Self {
        let queues = RunQueues::of(runtime);
        let place = queues.next.fetch_add(1, Ordering::Relaxed) % queues.queues.len();
        Self { queues, place }
    }

    /// Whether the runtime has workers. A current-thread runtime stands still whenever its thread
    /// does something else.
    pub(super) fn has_workers(&self) -> bool {
        has_workers(self.runtime())
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.queues.runtime
    }

    /// Runs the job after those that wait.
    pub(super) fn push(&self, job: Box<dyn Job>) {
        let mut jobs = self.jobs();
        jobs.waiting.push_back(job);
        if mem::replace(&mut jobs.has_task, true) {
            return;
        }
        drop(jobs);
        let task = RunQueueTask(self.clone());
        self.runtime().spawn(task.run());
    }

    /// Takes the jobs that wait. `None` ends the task.
    fn round(&self) -> Option<VecDeque<Box<dyn Job>>> {
        let mut jobs = self.jobs();
        jobs.has_task = !jobs.waiting.is_empty();
        jobs.has_task.then(|| mem::take(&mut jobs.waiting))
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        let jobs = &self.queues.queues[self.place];
        jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a run queue.
struct RunQueueTask(RunQueue);

impl RunQueueTask {
    /// Runs one step of each job that waits, then yields, so that the tasks it has woken may run. A
    /// round of many jobs also yields after as many units as one step has.
    async fn run(self) {
        while let Some(round) = self.0.round() {
            let mut units = 0;
            for job in round {
                if units >= STEP_UNITS {
                    yield_now().await;
                    units = 0;
                }
                units += self.step(job);
            }
            if !self.0.jobs().waiting.is_empty() {
                yield_now().await;
            }
        }
    }

    /// Runs one step of a job and queues it again for its next one. Returns the cost in units.
    fn step(&self, mut job: Box<dyn Job>) -> usize {
        // A job runs code of the application: payloads and wakers. A panic there ends this job and
        // no other.
        let step = catch_unwind(AssertUnwindSafe(|| job.step())).inspect_err(|_| job.abandon());
        let Ok(Some(units)) = step else {
            return 0;
        };
        self.0.jobs().waiting.push_back(job);
        units
    }
}

/// If the task is dropped with its runtime, or never began since the runtime has ended, the jobs
/// that wait are dropped and thereby finished.
impl Drop for RunQueueTask {
    fn drop(&mut self) {
        while let Some(jobs) = self.0.round() {
            drop(jobs);
        }
    }
}

impl RunQueues {
    fn of(runtime: Handle) -> Arc<Self> {
        let mut known = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
        let id = runtime.id();
        let place = known.iter().position(|(known, _)| *known == id);
        if let Some(queues) = place.and_then(|place| known[place].1.upgrade()) {
            return queues;
        }
        let workers = runtime.metrics().num_workers().max(1);
        let queues = Arc::new(Self {
            runtime,
            queues: (0..workers).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
        });
        known.retain(|(_, queues)| queues.strong_count() > 0);
        known.push((id, Arc::downgrade(&queues)));
        queues
    }
}

fn has_workers(runtime: &Handle) -> bool {
    runtime.runtime_flavor() != RuntimeFlavor::CurrentThread
}

impl fmt::Debug for RunQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunQueue").field(&self.place).finish()
    }
}

/// The run queues of each runtime, for as long as one of them is in use.
static RUNTIMES: Mutex<Vec<(Id, Weak<RunQueues>)>> = Mutex::new(Vec::new());

/// How many units of work are done before other tasks may run; one unit is about 8 µs.
pub(super) const STEP_UNITS: usize = 256;
