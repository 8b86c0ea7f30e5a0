//! [`pause`]: how long a lost connection waits for its next try.

use std::time::Duration;

use crate::random;

/// Draws a new pause for each try, from the whole range, so that many nodes that lost one server do
/// not come back to it together.
pub(crate) fn pause(outage: Duration) -> Duration {
    pause_at(outage, random::fraction())
}

fn pause_at(outage: Duration, part: f64) -> Duration {
    let longest = if outage < YOUNG {
        LONGEST_OF_YOUNG
    } else {
        LONGEST
    };
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
            (0, 0.0, 100),
            (0, 1.0, 1_000),
            (0, 0.5, 550),
            (29_999, 1.0, 1_000),
            (30_000, 0.0, 100),
            (30_000, 1.0, 5_000),
            (86_400_000, 1.0, 5_000),
        ];
        for (outage, part, expected) in rows {
            let pause = pause_at(Duration::from_millis(outage), part);
            assert_eq!(pause.as_millis(), expected, "{outage} ms, {part}");
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
