//! How long things took.

use std::time::Duration;

#[derive(Clone, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn add(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Half of them, 99 of 100, and all took no longer.
    pub(crate) fn percentiles(&mut self) -> [Duration; 3] {
        self.0.sort_unstable();
        [0.5, 0.99, 1.0].map(|share| {
            let place = (self.0.len() as f64 * share).ceil() as usize;
            let latency = self.0.get(place.saturating_sub(1));
            latency.copied().unwrap_or_default()
        })
    }
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
