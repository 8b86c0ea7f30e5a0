//! [`ConflationIndex`]: which of the waiting frames a newer value may replace.

use std::collections::VecDeque;
use std::ops::Range;

use crate::broadcast::ConflationKey;

/// The keys of frames, in order. A frame is identified by its place among those that wait.
#[derive(Debug, Default)]
pub(super) struct ConflationIndex {
    /// Each with the number of its frame. Numbers increase and wrap around.
    keys: VecDeque<(u64, ConflationKey)>,
    /// The number of the first frame.
    first: u64,
}

impl ConflationIndex {
    /// Adds the key of the frame at this place, which is behind all frames with a key.
    pub(super) fn push(&mut self, place: usize, key: ConflationKey) {
        let number = self.first.wrapping_add(place as u64);
        self.keys.push_back((number, key));
    }

    pub(super) fn place(&self, key: &ConflationKey) -> Option<usize> {
        let (number, _) = self.keys.iter().find(|(_, known)| known == key)?;
        Some(self.place_of(*number))
    }

    /// Removes the frame at this place; the frames behind it move up.
    pub(super) fn remove(&mut self, place: usize) {
        let number = self.first.wrapping_add(place as u64);
        self.keys.retain_mut(|(known, _)| {
            let is_it = *known == number;
            // Compared as distances, since numbers wrap around.
            if known.wrapping_sub(self.first) > place as u64 {
                *known = known.wrapping_sub(1);
            }
            !is_it
        });
    }

    /// Removes this many frames from the front. Of the others, only those of this range may still be
    /// replaced.
    pub(super) fn advance(&mut self, gone: usize, unbegun: Range<usize>) {
        self.first = self.first.wrapping_add(gone as u64);
        while let Some(&(oldest, _)) = self.keys.front()
            && !unbegun.contains(&self.place_of(oldest))
        {
            self.keys.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
    }

    /// Frees its memory; hardly any queue ever needs it.
    pub(super) fn shrink(&mut self) {
        if self.keys.capacity() > 0 {
            self.keys = VecDeque::new();
        }
    }

    /// The place of a frame; beyond all places if the frame has been removed.
    fn place_of(&self, number: u64) -> usize {
        let place = number.wrapping_sub(self.first);
        usize::try_from(place).unwrap_or(usize::MAX)
    }
}
