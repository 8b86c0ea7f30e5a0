//! [`Health`]: one outage for the layer, of however many connections it has.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    parts: Vec<Part>,
    /// How often a part was lost.
    losses: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Up,
    /// There is a connection, but the server refuses to serve: it is loading, has no memory left,
    /// cannot save, or is a replica.
    Refuses,
    /// There is no connection, or it is not prepared.
    Away,
}

impl Health {
    /// This many parts, which are all up.
    pub(super) fn new(sink: Sink, parts: usize) -> Self {
        Self {
            sink,
            state: Mutex::new(State {
                parts: vec![Part::Up; parts],
                losses: 0,
            }),
        }
    }

    pub(super) fn down(&self, part: usize, reason: &str) {
        self.lose(&mut self.lock(), part, Part::Away, reason);
    }

    /// The part is prepared, if its connection is still there. That is checked last, so that a
    /// later loss is reported after this.
    pub(super) fn up(&self, part: usize, is_there: impl Fn() -> bool) {
        let mut state = self.lock();
        state.parts[part] = if is_there() { Part::Up } else { Part::Away };
        if state.is_up() {
            self.sink.up();
        }
    }

    /// The server of a part that is up refuses to serve. It is an outage until the server
    /// [serves](Self::serves) again.
    pub(super) fn refuses(&self, part: usize, reason: &str) {
        let mut state = self.lock();
        if state.parts[part] == Part::Up {
            self.lose(&mut state, part, Part::Refuses, reason);
        }
    }

    /// The server of a part has served. Returns whether it refused to before.
    pub(super) fn serves(&self, part: usize) -> bool {
        let mut state = self.lock();
        if state.parts[part] != Part::Refuses {
            return false;
        }
        state.parts[part] = Part::Up;
        if state.is_up() {
            self.sink.up();
        }
        true
    }

    /// Fails while the server of a part refuses to serve: before a publish that would succeed in
    /// part only.
    pub(super) fn check_serves(&self, part: usize) -> Result<(), Error> {
        match self.lock().parts[part] {
            Part::Refuses => Err(Error::unavailable(
                "redis is connected, but refuses to serve",
            )),
            Part::Up | Part::Away => Ok(()),
        }
    }

    /// Within the lock: the sink hears of each change in the order in which it happened.
    fn lose(&self, state: &mut State, part: usize, now: Part, reason: &str) {
        state.parts[part] = now;
        state.losses += 1;
        self.sink.down(reason);
    }

    /// The subscriptions of this node were deleted by somebody else: subscribes again, as after an
    /// outage.
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
    /// While a part is away nobody may subscribe at another: if that is lost, too, within the same
    /// outage, nobody would know that the subscription is gone.
    pub(super) fn losses(&self) -> Result<u64, Error> {
        let state = self.lock();
        match state.is_up() {
            true => Ok(state.losses),
            false => Err(Error::unavailable(
                "a Redis host is away, or refuses to serve",
            )),
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
        self.parts.iter().all(|part| *part == Part::Up)
    }
}
