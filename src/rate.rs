//! [`Rate`] and [`Bucket`]: how often something may happen, counted with one moment in time.

use std::time::Duration;

use tokio::time::Instant;

/// So many a second on average, and so many at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// At least one of each: a rate of none would be another word for "never".
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second: per_second.max(1),
            burst: burst.max(1),
        }
    }

    pub(crate) fn per_second(self) -> u32 {
        self.per_second
    }

    pub(crate) fn burst(self) -> u32 {
        self.burst
    }

    /// The time that one takes.
    pub(crate) fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second
    }
}

/// A token bucket, kept as the moment at which it is full again. Each token taken moves that moment
/// by one interval; no token is left if it is more than a whole burst away. Nothing has to be
/// refilled.
#[derive(Debug)]
pub(crate) struct Bucket {
    interval: Duration,
    /// How far away the moment may be for one more token to be there.
    reach: Duration,
    full_at: Instant,
    /// Time passes that the bucket is not to forget: see [`rest`](Self::rest).
    rests: bool,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self::every(rate.interval(), rate.burst, now)
    }

    /// A full one of a token in each interval, and of a burst of at least 1.
    pub(crate) fn every(interval: Duration, burst: u32, now: Instant) -> Self {
        Self {
            interval,
            reach: interval.saturating_mul(burst.saturating_sub(1)),
            full_at: now,
            rests: false,
        }
    }

    /// Takes a token, or says how long it is until there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.full_at >= now {
            self.rests = false;
        } else if !self.rests {
            self.full_at = now;
        }
        let wait = self.full_at.saturating_duration_since(now);
        if wait > self.reach {
            return Err(wait - self.reach);
        }
        self.full_at += self.interval;
        Ok(())
    }

    /// From now until [`caught_up`](Self::caught_up), tokens are kept beyond the burst: messages
    /// that arrive at the agreed rate while nobody reads are found all at once.
    pub(crate) fn rest(&mut self, now: Instant) {
        if !self.rests {
            self.full_at = self.full_at.max(now);
            self.rests = true;
        }
    }

    /// All that arrived during a rest has been looked at.
    pub(crate) fn caught_up(&mut self) {
        self.rests = false;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use std::time::Duration;

    use proptest::prelude::any;
    use proptest::prop_assert;
    use proptest::test_runner::{Config, TestRunner};
    use tokio::time::Instant;

    use super::{Bucket, Rate};

    /// How many tokens there are at this moment.
    fn taken(bucket: &mut Bucket, now: Instant) -> usize {
        (0..10_000).take_while(|_| bucket.take(now).is_ok()).count()
    }

    #[test]
    fn a_burst_at_once_then_the_rate() {
        for (per_second, burst) in [(1, 1), (10, 1), (10, 30), (1000, 5), (3, 7)] {
            let start = Instant::now();
            let mut bucket = Bucket::new(Rate::new(per_second, burst), start);
            assert_eq!(taken(&mut bucket, start), burst as usize);
            let wait = bucket.take(start).unwrap_err();
            assert_eq!(taken(&mut bucket, start + wait), 1, "{per_second} {burst}");
            let mut total = 0;
            for tenth in 1..=100 {
                let now = start + wait + Duration::from_millis(100 * tenth);
                total += taken(&mut bucket, now);
            }
            let expected = 10 * per_second.min(10 * burst) as usize;
            assert!(
                total.abs_diff(expected) <= 1,
                "{per_second} {burst}: {total}"
            );
        }
    }

    #[test]
    fn a_long_pause_is_worth_one_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::new(10, 5), start);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(3600)), 5);
    }

    #[test]
    fn a_rest_is_worth_all_that_could_have_come_meanwhile() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::new(10, 5), start);
        bucket.rest(start);
        bucket.rest(start + Duration::from_secs(50));
        let end = start + Duration::from_secs(60);
        assert_eq!(taken(&mut bucket, end), 600 + 5);
        assert_eq!(taken(&mut bucket, end + Duration::from_secs(60)), 5);
        bucket.rest(end + Duration::from_secs(60));
        bucket.caught_up();
        assert_eq!(taken(&mut bucket, end + Duration::from_secs(120)), 5);
    }

    /// An hour at exactly the rate, each a little early or late as networks are: within the burst
    /// nobody is over.
    #[test]
    fn an_hour_at_the_rate_is_never_over_it() {
        let mut runner = TestRunner::new(Config::with_cases(64));
        let cases = (1..500_u32, 1..50_u32, any::<u64>());
        let result = runner.run(&cases, |(per_second, burst, seed)| {
            let start = Instant::now();
            let mut bucket = Bucket::new(Rate::new(per_second, burst), start);
            let second = 1_000_000_000_u64;
            // Late by at most this much, so that no more than the burst come at once.
            let latest = u64::from(burst - 1) * second / u64::from(per_second);
            let (mut random, mut last) = (seed, 0);
            for number in 0..(u64::from(per_second) * 3600).min(100_000) {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let late = (random >> 33) % (latest + 1);
                let due = (number * second).div_ceil(u64::from(per_second));
                last = (due + late).max(last);
                let now = start + Duration::from_nanos(last);
                prop_assert!(bucket.take(now).is_ok(), "number {number}");
            }
            Ok(())
        });
        result.unwrap();
    }

    #[test]
    fn no_number_is_too_small_or_too_large() {
        let start = Instant::now();
        for (per_second, burst) in [(0, 0), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX)] {
            let mut bucket = Bucket::new(Rate::new(per_second, burst), start);
            assert!(bucket.take(start).is_ok());
        }
    }
}
