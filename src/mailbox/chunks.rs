//! [`Chunks`]: bytes that wait to be written, in as few buffers as possible.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::shared::Shared;

/// Small pieces are copied one behind the other, large ones shared. Frames are the queue's affair,
/// not known here.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk is written.
    offset: usize,
    /// What is left to write.
    left: usize,
    /// The bytes of those buffers that are counted elsewhere.
    counted: usize,
    /// A drained buffer, for the next small piece.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Chunk {
    Own(Vec<u8>),
    Shared(Shared),
}

impl Chunks {
    /// How many bytes are left to write.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether it holds so little that nobody needs to count it, as nearly always: one buffer of
    /// its own.
    #[inline]
    pub(super) fn is_small(&self) -> bool {
        self.chunks.len() == 1 && self.left + self.offset < OWN / 2
    }

    /// What is held in memory for this queue alone, about.
    pub(super) fn own(&self) -> usize {
        self.left + self.offset - self.counted + self.chunks.len() * size_of::<Chunk>()
    }

    /// Bytes of the heap in its buffers, shared ones included.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
        let capacities = self.chunks.iter().map(|chunk| match chunk {
            Chunk::Own(bytes) => bytes.capacity(),
            Chunk::Shared(shared) => shared.bytes().len(),
        });
        capacities.sum::<usize>() + self.spare.capacity()
    }

    /// Appends bytes: a copy of few, a share in many.
    pub(super) fn push(&mut self, shared: &Shared) {
        let bytes = shared.bytes();
        if bytes.len() <= COPIED {
            self.copy(bytes.len(), |own| own.extend_from_slice(bytes));
        } else {
            self.share(shared.clone());
        }
    }

    /// Has so many bytes appended to a buffer of this queue's own.
    pub(super) fn copy(&mut self, length: usize, append: impl FnOnce(&mut Vec<u8>)) {
        append(self.own_chunk(length));
        self.left += length;
    }

    /// Appends bytes as they are.
    pub(super) fn share(&mut self, shared: Shared) {
        self.left += shared.bytes().len();
        let chunk = Chunk::Shared(shared);
        self.counted += chunk.counted();
        self.chunks.push_back(chunk);
    }

    /// What is left, where it stands in one buffer.
    pub(super) fn only(&self) -> Option<&[u8]> {
        match self.chunks.len() {
            1 => Some(&self.chunks[0].as_slice()[self.offset..]),
            _ => None,
        }
    }

    /// A copy of the last bytes, which were appended as one; none of many, which may stand in two
    /// buffers.
    pub(super) fn last(&self, length: usize) -> Vec<u8> {
        let length = if length <= COPIED { length } else { 0 };
        let last = self.chunks.back().map_or(&[][..], Chunk::as_slice);
        last[last.len().saturating_sub(length)..].to_vec()
    }

    /// Fills `slices` with what to write next, up to so many bytes, and says how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], most: usize) -> usize {
        let mut left = most;
        let mut skip = self.offset;
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            let bytes = &chunk.as_slice()[skip..];
            let bytes = &bytes[..bytes.len().min(left)];
            if bytes.is_empty() {
                break;
            }
            *slice = IoSlice::new(bytes);
            left -= bytes.len();
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Takes away what was written.
    pub(super) fn advance(&mut self, written: usize) {
        self.left -= written;
        self.offset += written;
        while let Some(first) = self.chunks.front()
            && self.offset >= first.len()
        {
            self.offset -= first.len();
            self.drop_first();
        }
    }

    /// Keeps so many bytes, and drops what is behind them. The beginning of a buffer is copied, so
    /// that the rest is not held.
    pub(super) fn keep(&mut self, bytes: usize) {
        let chunks = std::mem::take(&mut self.chunks);
        let mut written = std::mem::take(&mut self.offset);
        self.left = 0;
        self.counted = 0;
        for chunk in chunks {
            let missing = bytes - self.left;
            let rest = chunk.len() - written;
            if missing == 0 {
                break;
            }
            if rest <= missing {
                // Only the first has something written, and is the first again.
                self.offset += written;
                self.left += rest;
                self.counted += chunk.counted();
                self.chunks.push_back(chunk);
            } else {
                let beginning = &chunk.as_slice()[written..written + missing];
                self.copy(missing, |own| own.extend_from_slice(beginning));
            }
            written = 0;
        }
    }

    /// Takes out `length` bytes, `at` bytes behind the next to be written: part of a buffer of its
    /// own, or all of a shared one.
    ///
    /// What becomes small is joined, so that many remains hold little more memory than their bytes.
    pub(super) fn cut(&mut self, at: usize, length: usize) {
        let mut at = at + self.offset;
        let holds = |chunk: &Chunk| {
            let is_here = at < chunk.len();
            at -= if is_here { 0 } else { chunk.len() };
            is_here
        };
        let Some(place) = self.chunks.iter().position(holds) else {
            return;
        };
        self.left -= length;
        self.counted -= self.chunks[place].counted();
        let rest = match &mut self.chunks[place] {
            Chunk::Own(own) => {
                own.drain(at..at + length);
                own.len()
            }
            Chunk::Shared(_) => 0,
        };
        let written = if place == 0 { self.offset } else { 0 };
        if rest > written {
            self.join_with_next(place);
        } else {
            self.offset -= written;
            self.chunks.remove(place);
        }
        if let Some(previous) = place.checked_sub(1) {
            self.join_with_next(previous);
        }
    }

    pub(super) fn clear(&mut self) {
        while !self.chunks.is_empty() {
            self.drop_first();
        }
        self.offset = 0;
        self.left = 0;
        self.counted = 0;
    }

    /// Gives back room that a long queue took.
    pub(super) fn shrink(&mut self) {
        if self.chunks.capacity() > 8 {
            self.chunks.shrink_to(8);
        }
    }

    /// The buffer behind all others that takes this many bytes more.
    fn own_chunk(&mut self, more: usize) -> &mut Vec<u8> {
        let takes = |chunk: &Chunk| matches!(chunk, Chunk::Own(own) if own.len() + more <= OWN);
        if !self.chunks.back().is_some_and(takes) {
            self.chunks
                .push_back(Chunk::Own(std::mem::take(&mut self.spare)));
        }
        match self.chunks.back_mut() {
            Some(Chunk::Own(own)) => own,
            _ => unreachable!("an own chunk was just found or pushed"),
        }
    }

    fn drop_first(&mut self) {
        let first = self.chunks.pop_front();
        self.counted -= first.as_ref().map_or(0, Chunk::counted);
        if let Some(Chunk::Own(mut own)) = first
            && own.capacity() > self.spare.capacity()
            && own.capacity() <= OWN
        {
            own.clear();
            self.spare = own;
        }
    }

    fn join_with_next(&mut self, place: usize) {
        if let (Some(Chunk::Own(one)), Some(Chunk::Own(next))) =
            (self.chunks.get(place), self.chunks.get(place + 1))
            && one.len() + next.len() <= OWN
            && let Some(Chunk::Own(next)) = self.chunks.remove(place + 1)
            && let Some(Chunk::Own(one)) = self.chunks.get_mut(place)
        {
            one.extend_from_slice(&next);
        }
    }
}

impl Chunk {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(shared) => shared.bytes(),
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// How many of its bytes are counted elsewhere.
    fn counted(&self) -> usize {
        match self {
            Self::Shared(shared) if shared.is_counted() => shared.bytes().len(),
            Self::Own(_) | Self::Shared(_) => 0,
        }
    }
}

/// Up to this many bytes a copy is cheaper than one more slice to write.
pub(super) const COPIED: usize = 2048;
/// The most that small pieces are copied behind each other.
const OWN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{Just, ProptestConfig, any};
    use proptest::sample::Index;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use crate::mailbox::budget::Budget;

    use super::{Chunk, Chunks, OWN, Shared};

    #[test]
    fn what_is_left_of_many_buffers_is_joined() {
        let mut chunks = Chunks::default();
        let piece = Shared::new(Bytes::from_static(&[7; 100]));
        (0..500).for_each(|_| chunks.push(&piece));
        // All but the first ones move on in each round, so that a buffer is left behind with little
        // in it.
        for round in 0..500 {
            for _ in round..500 {
                chunks.cut(round * 100, 100);
                chunks.push(&piece);
            }
        }
        assert_eq!(chunks.left(), 500 * 100);
        let most = 2 * chunks.left() / OWN + 1;
        assert!(chunks.chunks.len() <= most, "{:?}", chunks.chunks.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// As one row of bytes would do it.
        #[test]
        fn many_buffers_behave_as_one(steps in vec((any::<Index>(), prop_oneof![0..4000_usize, Just(20_000)], 0..6_u8), 0..80)) {
            let mut chunks = Chunks::default();
            let budget = Budget::new(usize::MAX);
            let mut model: VecDeque<u8> = VecDeque::new();
            // What was pushed as one and is not begun: where it begins in the model, and how long
            // it is.
            let mut pieces: Vec<(usize, usize)> = Vec::new();
            for (n, (index, size, what)) in (0_u8..).zip(steps) {
                match what {
                    0 if !pieces.is_empty() => {
                        let (at, length) = pieces.remove(index.index(pieces.len()));
                        chunks.cut(at, length);
                        model.drain(at..at + length);
                        pieces.iter_mut().filter(|(start, _)| *start > at).for_each(|(start, _)| *start -= length);
                    }
                    1 => {
                        let written = size.min(model.len());
                        chunks.advance(written);
                        model.drain(..written);
                        pieces.retain(|&(start, _)| start >= written);
                        pieces.iter_mut().for_each(|(start, _)| *start -= written);
                    }
                    2 => {
                        let kept = size.min(model.len());
                        chunks.keep(kept);
                        model.truncate(kept);
                        pieces.retain(|&(start, length)| start + length <= kept);
                    }
                    what => {
                        let shared = Shared::new(vec![n; size].into());
                        chunks.push(&if what == 4 { shared.counted(&budget) } else { shared });
                        if size > 0 {
                            pieces.push((model.len(), size));
                        }
                        model.extend(vec![n; size]);
                    }
                }
                let bytes: Vec<u8> = chunks.chunks.iter().flat_map(|chunk| chunk.as_slice()).copied().collect();
                prop_assert!(model.iter().eq(&bytes[chunks.offset..]), "other bytes");
                prop_assert_eq!(chunks.left(), model.len());
                let counted: usize = chunks.chunks.iter().map(Chunk::counted).sum();
                prop_assert_eq!(chunks.counted, counted);
            }
            drop(chunks);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
