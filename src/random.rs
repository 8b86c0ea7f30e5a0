//! Random numbers: every draw of the crate, so that a test can seed them.
//!
//! They come from a generator of the thread that the operating system has seeded. They spread load
//! and make ids unique, but they are no secrets: a key that nobody may guess is
//! [`secret_hasher`]'s.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::ops::RangeInclusive;

use fastrand::Rng;

/// Returns a number of this range.
pub(crate) fn in_range(range: RangeInclusive<u64>) -> u64 {
    draw(|generator| generator.u64(range))
}

/// Returns a number from 0 to 1.
#[cfg(any(test, feature = "nats", feature = "redis"))]
pub(crate) fn fraction() -> f64 {
    draw(Rng::f64)
}

/// Returns 128 random bits.
pub(crate) fn bits() -> u128 {
    draw(|generator| generator.u128(..))
}

/// Puts the items into random order.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    draw(|generator| generator.shuffle(items));
}

/// Returns a hasher with a secret key from the operating system. It cannot be seeded: the names of
/// channels are its only results that leave the process.
pub(crate) fn secret_hasher() -> RandomState {
    RandomState::new()
}

/// Makes all later draws of this thread follow from the seed.
#[cfg(test)]
pub(crate) fn seed(seed: u64) {
    draw(|generator| generator.seed(seed));
}

fn draw<T>(from: impl FnOnce(&mut Rng) -> T) -> T {
    // Taken out for the draw. A thread that ends has lost its generator already.
    let own = GENERATOR.try_with(Cell::take).ok().flatten();
    let mut generator = own.unwrap_or_else(generator);
    let drawn = from(&mut generator);
    let _ = GENERATOR.try_with(|own| own.set(Some(generator)));
    drawn
}

/// `RandomState` has its key from the operating system; the seed of fastrand itself is the time.
fn generator() -> Rng {
    Rng::with_seed(RandomState::new().hash_one(0))
}

thread_local! {
    static GENERATOR: Cell<Option<Rng>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::{bits, fraction, in_range, seed, shuffle};

    fn draw() -> (Vec<u64>, f64, u128, [u8; 20]) {
        let numbers = (0..20).map(|_| in_range(5..=30)).collect();
        let mut items = std::array::from_fn(|at| at as u8);
        shuffle(&mut items);
        (numbers, fraction(), bits(), items)
    }

    #[test]
    fn equal_seeds_give_equal_draws_and_others_do_not() {
        seed(7);
        let first = draw();
        assert_ne!(draw(), first);
        seed(7);
        assert_eq!(draw(), first);
        assert!(first.0.iter().all(|number| (5..=30).contains(number)));
    }
}
