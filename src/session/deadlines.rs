//! [`Deadlines`]: all deadlines of one connection on a single timer.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Config;

pin_project_lite::pin_project! {
    /// The deadlines of a connection, and one timer for the nearest.
    ///
    /// The timer is moved forward only when it fires, so that traffic costs a note of the time and
    /// nothing more.
    pub(super) struct Deadlines {
        #[pin]
        timer: Sleep,
        // The timer holds the task's waker and fires no later than the nearest deadline.
        is_armed: bool,
        heartbeat: Heartbeat,
        // When the heartbeat's present state began, or the peer was last heard.
        since: Instant,
        // By how much this connection's pings differ from those of others.
        spread: u32,
        // The deadlines that an idle connection does not have.
        rare: Option<Box<Rare>>,
    }
}

/// Whether the peer is alive, and how that is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heartbeat {
    /// The peer was heard. If it is silent for an interval, a ping is due.
    Listening,
    /// A ping was sent, and nothing was read since.
    AwaitingPong,
    /// Nothing is read, because a hook is behind or the connection closes. Silence proves nothing.
    Paused,
}

/// One deadline of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// The peer takes some of the bytes that are being written.
    Write,
    /// The closing handshake ends: the queued data is written and the peer's close frame read.
    Close,
    /// The running hook ends, because its connection has ended or because it is `disconnect`.
    Hook,
    /// The running hook ends, by [`Config::hook_limit`].
    HookLimit,
    /// The peer sends something, or else is sent a ping.
    Ping,
    /// The peer answers the ping.
    Pong,
}

/// When each of [`RARE`] passes, if it is set.
type Rare = [Option<Instant>; RARE.len()];

/// The deadlines that are set and cleared, each at the place of its discriminant. The other two
/// follow from the heartbeat.
const RARE: [Deadline; 4] = [
    Deadline::Write,
    Deadline::Close,
    Deadline::Hook,
    Deadline::HookLimit,
];

impl Deadlines {
    pub(super) fn new(config: &Config, id: u64) -> Pin<Box<Self>> {
        let now = Instant::now();
        // Connections with consecutive numbers get spreads that are far apart.
        let spread = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        Box::pin(Self {
            timer: sleep_until(after(now, vary(config.ping_interval, spread))),
            is_armed: false,
            heartbeat: Heartbeat::Listening,
            since: now,
            spread,
            rare: None,
        })
    }

    /// Notes that the peer was heard.
    pub(super) fn heard(self: Pin<&mut Self>) {
        let this = self.project();
        *this.since = Instant::now();
        if *this.heartbeat == Heartbeat::AwaitingPong {
            *this.heartbeat = Heartbeat::Listening;
            // The next ping may be nearer than the end of the wait for this answer was.
            *this.is_armed = false;
        }
    }

    /// Stops the heartbeat while nothing is read.
    pub(super) fn pause_heartbeat(self: Pin<&mut Self>) {
        *self.project().heartbeat = Heartbeat::Paused;
    }

    /// Starts the heartbeat again, if it was stopped.
    pub(super) fn resume_heartbeat(self: Pin<&mut Self>) {
        let this = self.project();
        if *this.heartbeat == Heartbeat::Paused {
            *this.heartbeat = Heartbeat::Listening;
            // The peer may have answered long ago, unread.
            *this.since = Instant::now();
            // The next ping is a deadline again.
            *this.is_armed = false;
        }
    }

    /// Sets a deadline, unless it is set already: the first call counts until it is cleared.
    pub(super) fn set(self: Pin<&mut Self>, deadline: Deadline, timeout: Duration) {
        let this = self.project();
        if let Some(at) = slot(this.rare.get_or_insert_default(), deadline)
            && at.is_none()
        {
            *at = Some(after(Instant::now(), timeout));
            *this.is_armed = false;
        }
    }

    /// Sets a deadline, or moves it forward: of several calls the nearest end counts.
    pub(super) fn shorten(self: Pin<&mut Self>, deadline: Deadline, timeout: Duration) {
        let this = self.project();
        let end = after(Instant::now(), timeout);
        if let Some(at) = slot(this.rare.get_or_insert_default(), deadline)
            && at.is_none_or(|at| end < at)
        {
            *at = Some(end);
            *this.is_armed = false;
        }
    }

    /// Clears a deadline.
    pub(super) fn clear(self: Pin<&mut Self>, deadline: Deadline) {
        if let Some(rare) = self.project().rare
            && let Some(at) = slot(rare, deadline)
        {
            *at = None;
        }
    }

    /// Returns the next deadline that has passed. Each is returned once.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        config: &Config,
        cx: &mut Context<'_>,
    ) -> Poll<Deadline> {
        // This is so nearly always when something was read or written.
        if self.is_armed && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            let Some((deadline, at)) = self.nearest(config) else {
                return Poll::Pending;
            };
            let mut this = self.as_mut().project();
            if at < this.timer.deadline() {
                this.timer.as_mut().reset(at);
            }
            *this.is_armed = true;
            // Without tokio's budget: if that were spent, the timer would return `Pending` without
            // taking the waker, and would count as armed.
            ready!(pin!(unconstrained(this.timer.as_mut())).poll(cx));
            if at <= Instant::now() {
                self.as_mut().pass(deadline);
                return Poll::Ready(deadline);
            }
            this.timer.as_mut().reset(at);
        }
    }

    fn nearest(&self, config: &Config) -> Option<(Deadline, Instant)> {
        let heartbeat = match self.heartbeat {
            Heartbeat::Listening => {
                let interval = vary(config.ping_interval, self.spread);
                Some((Deadline::Ping, after(self.since, interval)))
            }
            Heartbeat::AwaitingPong => {
                Some((Deadline::Pong, after(self.since, config.pong_timeout)))
            }
            Heartbeat::Paused => None,
        };
        let Some(rare) = self.rare.as_deref() else {
            return heartbeat;
        };
        let set = RARE.into_iter().zip(rare);
        let set = set.filter_map(|(deadline, &at)| Some((deadline, at?)));
        heartbeat.into_iter().chain(set).min_by_key(|&(_, at)| at)
    }

    fn pass(self: Pin<&mut Self>, deadline: Deadline) {
        let this = self.project();
        match deadline {
            Deadline::Ping => {
                *this.since = Instant::now();
                *this.heartbeat = Heartbeat::AwaitingPong;
            }
            Deadline::Pong => *this.heartbeat = Heartbeat::Listening,
            Deadline::Write | Deadline::Close | Deadline::Hook | Deadline::HookLimit => {
                if let Some(at) = this.rare.as_mut().and_then(|rare| slot(rare, deadline)) {
                    *at = None;
                }
            }
        }
        if this.rare.as_deref() == Some(&Rare::default()) {
            *this.rare = None;
        }
    }
}

/// Returns the place of a rare deadline.
fn slot(rare: &mut Rare, deadline: Deadline) -> Option<&mut Option<Instant>> {
    rare.get_mut(deadline as usize)
}

/// Returns the interval ±20 %, so that connections that began together do not ping together.
fn vary(interval: Duration, spread: u32) -> Duration {
    let thousandths = 800 + spread % 401;
    (interval / 1000).saturating_mul(thousandths)
}

/// Returns the moment that much later. A time that no clock can represent, such as
/// [`Duration::MAX`], is replaced by one far in the future.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or_else(|| start + FAR)
}

/// Thirty years, as in tokio.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
