//! [`Health`]: one outage for the layer, of however many connections it has.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::error::Error;
use crate::layer::Sink;

/// The layer is up while all parts are: the connections to each host.
#[derive(Debug)]
pub(super) struct Health {
    sink: Sink,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    parts: Vec<bool>,
    /// How often a part was lost.
    losses: u64,
}

impl Health {
    /// All of so many parts are up.
    pub(super) fn new(sink: Sink, parts: usize) -> Self {
        Self {
            sink,
            state: Mutex::new(State {
                parts: vec![true; parts],
                losses: 0,
            }),
        }
    }

    pub(super) fn down(&self, part: usize, reason: &str) {
        let mut state = self.lock();
        state.parts[part] = false;
        state.losses += 1;
        // Within the lock, as below: the sink hears of it in the order in which it happened.
        self.sink.down(reason);
    }

    /// The part is prepared, if its connection is still there: what is asked last, so that its loss is heard of after this.
    pub(super) fn up(&self, part: usize, is_there: impl Fn() -> bool) {
        let mut state = self.lock();
        state.parts[part] = is_there();
        if state.is_up() {
            self.sink.up();
        }
    }

    /// What this node is subscribed to was deleted behind its back: subscribes again, as after an outage.
    pub(super) fn forgotten(&self, reason: &str) {
        let mut state = self.lock();
        state.losses += 1;
        if state.is_up() {
            self.sink.down(reason);
            self.sink.up();
        }
    }

    /// To be asked before subscribing, and [compared](Self::check) after it.
    ///
    /// While a part is away nobody may subscribe at another: if that is lost, too, within the same outage, nobody would know that the
    /// subscription is gone.
    pub(super) fn losses(&self) -> Result<u64, Error> {
        let state = self.lock();
        match state.is_up() {
            true => Ok(state.losses),
            false => Err(Error::unavailable("a Redis host is away")),
        }
    }

    pub(super) fn check(&self, before: u64) -> Result<(), Error> {
        match self.losses()? {
            losses if losses == before => Ok(()),
            _ => Err(Error::unavailable("a Redis host was lost meanwhile")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_up(&self) -> bool {
        self.parts.iter().all(|part| *part)
    }
}
