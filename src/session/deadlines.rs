//! [`Deadlines`]: all deadlines of one connection on a single timer.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Config;

pin_project_lite::pin_project! {
    /// The deadlines, and one timer for the nearest. It is moved forward only when it fires, so
    /// that traffic costs a note of the time and nothing more.
    pub(super) struct Deadlines {
        #[pin]
        sleep: Sleep,
        // Whether the timer knows the task and fires no later than the nearest deadline.
        armed: bool,
        // When the peer was last heard, or asked for a sign of life.
        since: Instant,
        // It was asked and has not answered yet.
        asked: bool,
        // Nothing is read because the hook is behind: then silence proves nothing.
        paused: bool,
        // By how much this connection's pings differ from others'.
        spread: u32,
        // Deadlines that an idle connection does not have.
        rare: Option<Box<Rare>>,
    }
}

/// Deadlines of moments that most connections are not in.
#[derive(Debug, Default)]
struct Rare {
    /// Since when writing stands still.
    stalled: Option<Instant>,
    /// The end of an orderly close: until the queued frames are written and the client's close
    /// frame has come.
    close_by: Option<Instant>,
    /// When the running hook is dropped because its connection has ended.
    hook_by: Option<Instant>,
    /// When the running hook is dropped because it runs for too long.
    limit_by: Option<Instant>,
}

/// A deadline that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    Ping,
    /// The ping was not answered.
    Silence,
    /// Nothing could be written for too long.
    Stall,
    /// The peer did not take what waited, or did not answer the close frame.
    Close,
    /// The hook's time after the connection's end is up.
    Hook,
    /// The hook has run for too long.
    Limit,
}

impl Deadlines {
    pub(super) fn new(config: &Config, id: u64) -> Pin<Box<Self>> {
        let now = Instant::now();
        // Neighbours in number are far from each other here.
        let spread = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
        Box::pin(Self {
            sleep: sleep_until(after(now, vary(config.ping_interval, spread))),
            armed: false,
            since: now,
            asked: false,
            paused: false,
            spread,
            rare: None,
        })
    }

    /// The peer was heard.
    pub(super) fn heard(self: Pin<&mut Self>) {
        let this = self.project();
        *this.since = Instant::now();
        if *this.asked {
            *this.asked = false;
            // The next ping may be nearer than the end of the wait for this answer was.
            *this.armed = false;
        }
    }

    /// Whether reading rests.
    pub(super) fn pause(self: Pin<&mut Self>, paused: bool) {
        let this = self.project();
        if *this.paused && !paused {
            // The peer may have answered long ago, unread.
            *this.since = Instant::now();
            *this.asked = false;
            // The next ping is a deadline again.
            *this.armed = false;
        }
        *this.paused = paused;
    }

    /// Writing made progress, or has nothing left to do.
    pub(super) fn wrote(self: Pin<&mut Self>) {
        if let Some(rare) = self.project().rare {
            rare.stalled = None;
        }
    }

    /// Writing stands still; the first call counts.
    pub(super) fn stalls(self: Pin<&mut Self>) {
        let this = self.project();
        let rare = this.rare.get_or_insert_default();
        if rare.stalled.is_none() {
            rare.stalled = Some(Instant::now());
            *this.armed = false;
        }
    }

    /// The connection has so much time left to close; of several calls the nearest end counts.
    pub(super) fn closes_within(self: Pin<&mut Self>, timeout: Duration) {
        let this = self.project();
        let rare = this.rare.get_or_insert_default();
        let end = after(Instant::now(), timeout);
        if rare.close_by.is_none_or(|at| end < at) {
            rare.close_by = Some(end);
            *this.armed = false;
        }
    }

    /// The running hook has so much time left; the first call counts until
    /// [`hook_over`](Self::hook_over).
    pub(super) fn hook_within(self: Pin<&mut Self>, timeout: Duration) {
        let this = self.project();
        let rare = this.rare.get_or_insert_default();
        if rare.hook_by.is_none() {
            rare.hook_by = Some(after(Instant::now(), timeout));
            *this.armed = false;
        }
    }

    /// The running hook may take so long; the first call counts until
    /// [`limit_over`](Self::limit_over).
    pub(super) fn limit_within(self: Pin<&mut Self>, timeout: Duration) {
        let this = self.project();
        let rare = this.rare.get_or_insert_default();
        if rare.limit_by.is_none() {
            rare.limit_by = Some(after(Instant::now(), timeout));
            *this.armed = false;
        }
    }

    /// The hook is over.
    pub(super) fn hook_over(self: Pin<&mut Self>) {
        if let Some(rare) = self.project().rare {
            rare.hook_by = None;
        }
    }

    /// The hook is over, and the next has a limit of its own.
    pub(super) fn limit_over(self: Pin<&mut Self>) {
        if let Some(rare) = self.project().rare {
            rare.limit_by = None;
        }
    }

    /// The next deadline that has passed.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        config: &Config,
        cx: &mut Context<'_>,
    ) -> Poll<Deadline> {
        // As nearly always, whenever something was read or written.
        if self.armed && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            let Some((due, at)) = self.next(config) else {
                return Poll::Pending;
            };
            let mut this = self.as_mut().project();
            if at < this.sleep.deadline() {
                this.sleep.as_mut().reset(at);
            }
            *this.armed = true;
            // Past tokio's budget: where that is spent, the timer would be taken for armed and know
            // nobody.
            ready!(pin!(unconstrained(this.sleep.as_mut())).poll(cx));
            if at <= Instant::now() {
                self.as_mut().settle(due);
                return Poll::Ready(due);
            }
            this.sleep.as_mut().reset(at);
        }
    }

    /// The nearest deadline.
    fn next(&self, config: &Config) -> Option<(Deadline, Instant)> {
        let life = match (self.paused, self.asked) {
            // While reading rests, the peer is not asked either.
            (true, _) => None,
            (false, true) => Some((Deadline::Silence, after(self.since, config.pong_timeout))),
            (false, false) => {
                let silence = vary(config.ping_interval, self.spread);
                Some((Deadline::Ping, after(self.since, silence)))
            }
        };
        let Some(rare) = &self.rare else {
            return life;
        };
        let stall = rare
            .stalled
            .map(|since| (Deadline::Stall, after(since, config.write_timeout)));
        let close = rare.close_by.map(|at| (Deadline::Close, at));
        let hook = rare.hook_by.map(|at| (Deadline::Hook, at));
        let limit = rare.limit_by.map(|at| (Deadline::Limit, at));
        [life, stall, close, hook, limit]
            .into_iter()
            .flatten()
            .min_by_key(|&(_, at)| at)
    }

    /// A deadline counts once.
    fn settle(self: Pin<&mut Self>, due: Deadline) {
        let this = self.project();
        let rare = this.rare.get_or_insert_default();
        match due {
            Deadline::Ping => {
                *this.since = Instant::now();
                *this.asked = true;
            }
            Deadline::Silence => *this.asked = false,
            Deadline::Stall => rare.stalled = None,
            Deadline::Close => rare.close_by = None,
            Deadline::Hook => rare.hook_by = None,
            Deadline::Limit => rare.limit_by = None,
        }
        let deadlines = [rare.stalled, rare.close_by, rare.hook_by, rare.limit_by];
        if deadlines == [None; 4] {
            *this.rare = None;
        }
    }
}

/// ±20 %, so that connections which began together do not ping together.
fn vary(interval: Duration, spread: u32) -> Duration {
    let thousandths = 800 + spread % 401;
    (interval / 1000).saturating_mul(thousandths)
}

/// The moment after this duration; a duration that no deadlines can represent, such as
/// [`Duration::MAX`], ends far in the future.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or_else(|| start + FAR)
}

/// Thirty years, as tokio has it.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
