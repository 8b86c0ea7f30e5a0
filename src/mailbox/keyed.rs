//! [`Keyed`]: which of the waiting frames a newer value may take the place of.

use std::collections::VecDeque;
use std::ops::Range;

use super::tag::Tag;

/// The tags of frames, in order; each frame is known by its place among those that wait.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    /// With the number of its frame. Numbers go up, and around.
    tags: VecDeque<(u64, Tag)>,
    /// The number of the frame in the first place.
    first: u64,
}

impl Keyed {
    /// The frame at this place, behind all that are known, has this tag.
    pub(super) fn push(&mut self, place: usize, tag: Tag) {
        let number = self.first.wrapping_add(place as u64);
        self.tags.push_back((number, tag));
    }

    pub(super) fn place(&self, tag: &Tag) -> Option<usize> {
        let (number, _) = self.tags.iter().find(|(_, known)| known == tag)?;
        Some(self.place_of(*number))
    }

    /// The frame at this place is taken out, and those behind it move up.
    pub(super) fn remove(&mut self, place: usize) {
        let number = self.first.wrapping_add(place as u64);
        self.tags.retain_mut(|(known, _)| {
            let is_it = *known == number;
            // As distances, since numbers go around.
            if known.wrapping_sub(self.first) > place as u64 {
                *known = known.wrapping_sub(1);
            }
            !is_it
        });
    }

    /// So many frames at the front have gone, and of what is left only these may be taken out.
    pub(super) fn advance(&mut self, gone: usize, unbegun: Range<usize>) {
        self.first = self.first.wrapping_add(gone as u64);
        while let Some(&(oldest, _)) = self.tags.front()
            && !unbegun.contains(&self.place_of(oldest))
        {
            self.tags.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.tags.clear();
    }

    /// Gives back its room; hardly any queue ever needs it.
    pub(super) fn shrink(&mut self) {
        if self.tags.capacity() > 0 {
            self.tags = VecDeque::new();
        }
    }

    /// Beyond all places where the frame has gone.
    fn place_of(&self, number: u64) -> usize {
        let place = number.wrapping_sub(self.first);
        usize::try_from(place).unwrap_or(usize::MAX)
    }
}
