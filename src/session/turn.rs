//! [`Turn`]: how much a session may do before other tasks run.

/// The rest of a session's turn. A peer that never stops sending is served until the turn is over;
/// then the session [yields](crate::yield_now::yield_now).
///
/// A turn is measured by what it costs, with a read of a few bytes as the unit: no clock is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    left: u16,
}

impl Turn {
    pub(super) const fn new() -> Self {
        Self { left: TURN }
    }

    pub(super) const fn is_over(self) -> bool {
        self.left == 0
    }

    /// Bytes were read. Those of a connection that agreed on compression are inflated, too.
    pub(super) fn read(&mut self, bytes: usize, is_compressed: bool) {
        self.spend(bytes / UNIT_BYTES + 1, is_compressed);
    }

    /// A message was decoded, and maybe inflated to this length.
    pub(super) fn decoded(&mut self, bytes: usize, is_compressed: bool) {
        let inflated = if is_compressed { bytes } else { 0 };
        self.spend(inflated / UNIT_BYTES + MESSAGE, is_compressed);
    }

    /// A control frame was read, and maybe answered.
    pub(super) fn controlled(&mut self) {
        self.spend(CONTROL, false);
    }

    /// This many small fragments were read.
    pub(super) fn fragmented(&mut self, fragments: u16) {
        self.spend(usize::from(fragments) * FRAGMENT, false);
    }

    /// A hook ran that did not wait.
    pub(super) fn ran_hook(&mut self) {
        self.spend(HOOK, false);
    }

    fn spend(&mut self, units: usize, is_compressed: bool) {
        let factor = if is_compressed { INFLATING } else { 1 };
        let units = u16::try_from(units.saturating_mul(factor)).unwrap_or(u16::MAX);
        self.left = self.left.saturating_sub(units);
    }
}

/// The unit of all that follows is the cost of reading this many bytes: some 50 ns.
const UNIT_BYTES: usize = 64;
/// A turn: half a megabyte of plain messages, 64 KiB of inflated ones.
const TURN: u16 = 8192;
/// 64 hooks a turn. Their own work comes on top.
const HOOK: usize = 128;
/// 256 control frames a turn.
const CONTROL: usize = 32;
/// An allocation, beside the bytes.
const MESSAGE: usize = 2;
/// A header, beside the bytes.
const FRAGMENT: usize = 1;
/// How many times more it costs to inflate a byte than to read it.
const INFLATING: usize = 8;

#[cfg(test)]
mod tests {
    use super::Turn;

    /// How often this can be done in a turn.
    fn times(mut spend: impl FnMut(&mut Turn)) -> usize {
        let (mut turn, mut times) = (Turn::new(), 0);
        while !turn.is_over() {
            spend(&mut turn);
            times += 1;
        }
        times
    }

    #[test]
    fn everything_that_a_peer_can_cause_ends_the_turn() {
        const KIB: usize = 1024;
        let rows = [
            (times(Turn::ran_hook), 64),
            (times(Turn::controlled), 256),
            (times(|turn| turn.read(32 * KIB, false)), 16),
            (times(|turn| turn.read(32 * KIB, true)), 2),
            (times(|turn| turn.decoded(KIB, true)), 57),
            (times(|turn| turn.decoded(64 * KIB, true)), 1),
            (times(|turn| turn.decoded(usize::MAX, true)), 1),
            (times(|turn| turn.decoded(usize::MAX, false)), 4096),
            (times(|turn| turn.fragmented(5000)), 2),
            (times(|turn| turn.fragmented(u16::MAX)), 1),
        ];
        for (at, (got, expected)) in rows.into_iter().enumerate() {
            assert_eq!(got, expected, "row {at}");
        }
    }
}
