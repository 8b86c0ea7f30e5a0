//! [`pause`]: how long a lost connection waits for its next try.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

/// Drawn anew for each try, from the whole range, so that many nodes that lost one server do not
/// come back to it together.
pub(crate) fn pause(outage: Duration) -> Duration {
    pause_at(outage, RandomState::new().hash_one(outage))
}

fn pause_at(outage: Duration, random: u64) -> Duration {
    let longest = if outage < YOUNG {
        LONGEST_OF_YOUNG
    } else {
        LONGEST
    };
    let part = random as f64 / u64::MAX as f64;
    SHORTEST + (longest - SHORTEST).mul_f64(part)
}

const SHORTEST: Duration = Duration::from_millis(100);
/// Most outages are restarts, and those who wait for them are people.
const YOUNG: Duration = Duration::from_secs(30);
const LONGEST_OF_YOUNG: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{pause, pause_at};

    #[test]
    fn an_old_outage_is_looked_at_less_often() {
        let rows = [
            (0, 0, 100),
            (0, u64::MAX, 1_000),
            (0, u64::MAX / 2, 550),
            (29_999, u64::MAX, 1_000),
            (30_000, 0, 100),
            (30_000, u64::MAX, 5_000),
            (86_400_000, u64::MAX, 5_000),
        ];
        for (outage, random, expected) in rows {
            let pause = pause_at(Duration::from_millis(outage), random);
            assert_eq!(pause.as_millis(), expected, "{outage} ms, {random}");
        }
    }

    #[test]
    fn no_two_nodes_come_back_in_step() {
        let pauses: Vec<_> = (0..100).map(|_| pause(Duration::ZERO)).collect();
        let early = pauses
            .iter()
            .filter(|pause| **pause < Duration::from_millis(550))
            .count();
        assert!((20..80).contains(&early), "{early} of 100: {pauses:?}");
    }
}
