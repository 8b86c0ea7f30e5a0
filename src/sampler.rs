//! [`LogSampler`]: rate-limited logging, for whatever a client can cause without bound.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::log_event;
use crate::rate::Bucket;

/// Decides which occurrences of an event are logged: a burst at once, then one in each
/// [`INTERVAL`]. The metric counts all.
///
/// Each owner (a route, a service, a layer) has its own, so that a flood on one route does not hide
/// the errors of another. Events are named by literals, so it holds a few entries at most. It is
/// used through [`sampled!`].
#[derive(Debug)]
pub(crate) struct LogSampler {
    burst: u32,
    events: Mutex<BTreeMap<&'static str, Lines>>,
}

/// The lines of one event.
#[derive(Debug)]
struct Lines {
    bucket: Bucket,
    /// Since the last line.
    suppressed: u64,
}

impl LogSampler {
    /// For lines that differ, such as those of clients' mistakes: [`BURST`] at once.
    pub(crate) const fn new() -> Self {
        Self::of(BURST)
    }

    /// For a condition that lasts, whose lines are all alike: one at once.
    pub(crate) const fn of_condition() -> Self {
        Self::of(1)
    }

    const fn of(burst: u32) -> Self {
        Self {
            burst,
            events: Mutex::new(BTreeMap::new()),
        }
    }

    /// Counts an event. If it is to be logged, returns how many were suppressed before it.
    pub(crate) fn admit(&self, event: &'static str) -> Option<u64> {
        log_event(event);
        let now = Instant::now();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = events.entry(event).or_insert_with(|| Lines {
            bucket: Bucket::every(INTERVAL, self.burst, now),
            suppressed: 0,
        });
        if lines.bucket.take(now).is_err() {
            lines.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut lines.suppressed))
    }
}

/// Logs as the macros of `tracing` do, if the sampler admits it:
/// `sampled!(log, warn, "bad_message", path, "a message …")`.
///
/// The line has the event's name, by which the metric counts it, and how many were suppressed since
/// the last line. The values of the line are evaluated only if it is logged.
macro_rules! sampled {
    ($log:expr, $level:ident, $event:literal, $($line:tt)+) => {
        if let Some(suppressed) = $log.admit($event) {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::$level!(event = $event, suppressed, $($line)+);
        }
    };
}
pub(crate) use sampled;

const BURST: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::{BURST, INTERVAL, LogSampler};

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_logged_then_one_per_interval_with_the_number_suppressed() {
        for (log, burst) in [(LogSampler::new(), BURST), (LogSampler::of_condition(), 1)] {
            let flood = || -> Vec<_> { (0..1_000).filter_map(|_| log.admit("flood")).collect() };
            assert_eq!(flood(), vec![0; burst as usize]);
            for suppressed in [1_000 - u64::from(burst), 999, 999] {
                advance(INTERVAL).await;
                assert_eq!(flood(), [suppressed]);
            }
            advance(INTERVAL * burst).await;
            let lines = flood();
            assert_eq!((lines[0], lines.len()), (999, burst as usize));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_one_event_suppresses_no_other() {
        let log = LogSampler::new();
        for _ in 0..1_000 {
            let _ = log.admit("flood");
        }
        assert_eq!(log.admit("flood"), None);
        assert_eq!(log.admit("rare"), Some(0));
    }
}
