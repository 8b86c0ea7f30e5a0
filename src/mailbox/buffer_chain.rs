//! [`BufferChain`]: bytes that wait to be written, in as few buffers as possible.

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::broadcast::COPY_MAX_BYTES;
use crate::budget::AccountedBytes;

/// Short pieces are copied one behind the other, long ones are shared. The chain knows nothing of
/// frames.
#[derive(Debug, Default)]
pub(super) struct BufferChain {
    buffers: VecDeque<Buffer>,
    /// How much of the first buffer is written.
    offset: usize,
    /// The bytes that are left to write.
    left: usize,
    /// The bytes of the buffers that the budget counts once for several queues.
    counted: usize,
    /// A written buffer, kept for the next short piece.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Buffer {
    Own(Vec<u8>),
    Shared(AccountedBytes),
}

impl BufferChain {
    /// How many bytes are left to write.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether it holds too little to be counted, as it nearly always does: one buffer of its own.
    #[inline]
    pub(super) fn is_small(&self) -> bool {
        self.buffers.len() == 1 && self.left + self.offset < OWN_MAX_BYTES / 2
    }

    /// About how much memory this chain holds alone, in bytes.
    pub(super) fn own(&self) -> usize {
        self.left + self.offset - self.counted + self.buffers.len() * size_of::<Buffer>()
    }

    /// The heap bytes of its buffers, shared ones included.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
        let capacities = self.buffers.iter().map(|buffer| match buffer {
            Buffer::Own(bytes) => bytes.capacity(),
            Buffer::Shared(shared) => shared.bytes().len(),
        });
        capacities.sum::<usize>() + self.spare.capacity()
    }

    /// Appends bytes: copies few, shares many.
    pub(super) fn push(&mut self, shared: &AccountedBytes) {
        let bytes = shared.bytes();
        if bytes.len() <= COPY_MAX_BYTES {
            self.copy(bytes.len(), |own| own.extend_from_slice(bytes));
        } else {
            self.share(shared.clone());
        }
    }

    /// Calls `append` to write this many bytes to a buffer of the chain's own.
    pub(super) fn copy(&mut self, length: usize, append: impl FnOnce(&mut Vec<u8>)) {
        append(self.own_buffer(length));
        self.left += length;
    }

    /// Appends bytes without copying them.
    pub(super) fn share(&mut self, shared: AccountedBytes) {
        self.left += shared.bytes().len();
        let buffer = Buffer::Shared(shared);
        self.counted += buffer.counted();
        self.buffers.push_back(buffer);
    }

    /// The bytes that are left, if they are in one buffer.
    pub(super) fn only(&self) -> Option<&[u8]> {
        match self.buffers.len() {
            1 => Some(&self.buffers[0].as_slice()[self.offset..]),
            _ => None,
        }
    }

    /// A copy of the last bytes, which were appended as one piece. Empty if they are many, since
    /// they may then be in two buffers.
    pub(super) fn last(&self, length: usize) -> Vec<u8> {
        let length = if length <= COPY_MAX_BYTES { length } else { 0 };
        let last = self.buffers.back().map_or(&[][..], Buffer::as_slice);
        last[last.len().saturating_sub(length)..].to_vec()
    }

    /// Fills `slices` with the next bytes to write, at most `most`, and returns how many slices it
    /// filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], most: usize) -> usize {
        let mut left = most;
        let mut skip = self.offset;
        let mut filled = 0;
        for (slice, buffer) in slices.iter_mut().zip(&self.buffers) {
            let bytes = &buffer.as_slice()[skip..];
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

    /// Removes bytes that were written.
    pub(super) fn advance(&mut self, written: usize) {
        self.left -= written;
        self.offset += written;
        while let Some(first) = self.buffers.front()
            && self.offset >= first.len()
        {
            self.offset -= first.len();
            self.drop_first();
        }
    }

    /// Keeps this many bytes and drops all others. The beginning of a buffer is copied, so that its
    /// rest is not held in memory.
    pub(super) fn truncate(&mut self, bytes: usize) {
        let buffers = std::mem::take(&mut self.buffers);
        let mut written = std::mem::take(&mut self.offset);
        self.left = 0;
        self.counted = 0;
        for buffer in buffers {
            let missing = bytes - self.left;
            let rest = buffer.len() - written;
            if missing == 0 {
                break;
            }
            if rest <= missing {
                // Only the first buffer can be written in part, and it stays the first.
                self.offset += written;
                self.left += rest;
                self.counted += buffer.counted();
                self.buffers.push_back(buffer);
            } else {
                let beginning = &buffer.as_slice()[written..written + missing];
                self.copy(missing, |own| own.extend_from_slice(beginning));
            }
            written = 0;
        }
    }

    /// Removes `length` bytes, `at` bytes behind the next one to be written. They are part of a
    /// buffer of the chain's own, or all of a shared one.
    ///
    /// Short remains are joined, so that many of them hold little more memory than their bytes.
    pub(super) fn cut(&mut self, at: usize, length: usize) {
        let mut at = at + self.offset;
        let holds = |buffer: &Buffer| {
            let is_here = at < buffer.len();
            at -= if is_here { 0 } else { buffer.len() };
            is_here
        };
        let Some(place) = self.buffers.iter().position(holds) else {
            return;
        };
        self.left -= length;
        self.counted -= self.buffers[place].counted();
        let rest = match &mut self.buffers[place] {
            Buffer::Own(own) => {
                own.drain(at..at + length);
                own.len()
            }
            Buffer::Shared(_) => 0,
        };
        let written = if place == 0 { self.offset } else { 0 };
        if rest > written {
            self.join_with_next(place);
        } else {
            self.offset -= written;
            self.buffers.remove(place);
        }
        if let Some(previous) = place.checked_sub(1) {
            self.join_with_next(previous);
        }
    }

    pub(super) fn clear(&mut self) {
        while !self.buffers.is_empty() {
            self.drop_first();
        }
        self.offset = 0;
        self.left = 0;
        self.counted = 0;
    }

    /// Frees room that a long chain has used.
    pub(super) fn shrink(&mut self) {
        if self.buffers.capacity() > 8 {
            self.buffers.shrink_to(8);
        }
    }

    /// The last buffer, if this many more bytes fit into it; otherwise a new one.
    fn own_buffer(&mut self, more: usize) -> &mut Vec<u8> {
        let takes = |buffer: &Buffer| matches!(buffer, Buffer::Own(own) if own.len() + more <= OWN_MAX_BYTES);
        if !self.buffers.back().is_some_and(takes) {
            self.buffers
                .push_back(Buffer::Own(std::mem::take(&mut self.spare)));
        }
        match self.buffers.back_mut() {
            Some(Buffer::Own(own)) => own,
            _ => unreachable!("a buffer of its own was just found or pushed"),
        }
    }

    fn drop_first(&mut self) {
        let first = self.buffers.pop_front();
        self.counted -= first.as_ref().map_or(0, Buffer::counted);
        if let Some(Buffer::Own(mut own)) = first
            && own.capacity() > self.spare.capacity()
            && own.capacity() <= OWN_MAX_BYTES
        {
            own.clear();
            self.spare = own;
        }
    }

    fn join_with_next(&mut self, place: usize) {
        if let (Some(Buffer::Own(one)), Some(Buffer::Own(next))) =
            (self.buffers.get(place), self.buffers.get(place + 1))
            && one.len() + next.len() <= OWN_MAX_BYTES
            && let Some(Buffer::Own(next)) = self.buffers.remove(place + 1)
            && let Some(Buffer::Own(one)) = self.buffers.get_mut(place)
        {
            one.extend_from_slice(&next);
        }
    }
}

impl Buffer {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(shared) => shared.bytes(),
        }
    }

    fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// How many of its bytes the budget counts once for several queues.
    fn counted(&self) -> usize {
        match self {
            Self::Shared(shared) if shared.is_counted() => shared.bytes().len(),
            Self::Own(_) | Self::Shared(_) => 0,
        }
    }
}

/// Short pieces are copied into one buffer up to this size.
const OWN_MAX_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::{Just, ProptestConfig, any};
    use proptest::sample::Index;
    use proptest::strategy::Strategy;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use crate::budget::{AccountedBytes, Budget};

    use super::{Buffer, BufferChain, OWN_MAX_BYTES};

    #[test]
    fn remains_of_many_buffers_are_joined() {
        let mut chain = BufferChain::default();
        let piece = AccountedBytes::new(Bytes::from_static(&[7; 100]));
        (0..500).for_each(|_| chain.push(&piece));
        // In each round all pieces but the first ones move to the end, so that a buffer is left
        // behind with little in it.
        for round in 0..500 {
            for _ in round..500 {
                chain.cut(round * 100, 100);
                chain.push(&piece);
            }
        }
        assert_eq!(chain.left(), 500 * 100);
        let most = 2 * chain.left() / OWN_MAX_BYTES + 1;
        assert!(chain.buffers.len() <= most, "{:?}", chain.buffers.len());
    }

    fn steps() -> impl Strategy<Value = Vec<(Index, usize, u8)>> {
        let size = prop_oneof![0..4000_usize, Just(20_000)];
        vec((any::<Index>(), size, 0..6_u8), 0..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The chain behaves as one buffer would.
        #[test]
        fn many_buffers_behave_as_one(steps in steps()) {
            let mut chain = BufferChain::default();
            let budget = Budget::new(usize::MAX);
            let mut model: VecDeque<u8> = VecDeque::new();
            // The pieces of which nothing is written: the place in the model, and the length.
            let mut pieces: Vec<(usize, usize)> = Vec::new();
            for (n, (index, size, what)) in (0_u8..).zip(steps) {
                match what {
                    0 if !pieces.is_empty() => {
                        let (at, length) = pieces.remove(index.index(pieces.len()));
                        chain.cut(at, length);
                        model.drain(at..at + length);
                        let behind = pieces.iter_mut().filter(|(start, _)| *start > at);
                        behind.for_each(|(start, _)| *start -= length);
                    }
                    1 => {
                        let written = size.min(model.len());
                        chain.advance(written);
                        model.drain(..written);
                        pieces.retain(|&(start, _)| start >= written);
                        pieces.iter_mut().for_each(|(start, _)| *start -= written);
                    }
                    2 => {
                        let kept = size.min(model.len());
                        chain.truncate(kept);
                        model.truncate(kept);
                        pieces.retain(|&(start, length)| start + length <= kept);
                    }
                    what => {
                        let shared = AccountedBytes::new(vec![n; size].into());
                        chain.push(&if what == 4 { shared.counted(&budget) } else { shared });
                        if size > 0 {
                            pieces.push((model.len(), size));
                        }
                        model.extend(vec![n; size]);
                    }
                }
                let slices = chain.buffers.iter().map(Buffer::as_slice);
                let bytes: Vec<u8> = slices.flatten().copied().collect();
                prop_assert!(model.iter().eq(&bytes[chain.offset..]), "other bytes");
                prop_assert_eq!(chain.left(), model.len());
                let counted: usize = chain.buffers.iter().map(Buffer::counted).sum();
                prop_assert_eq!(chain.counted, counted);
            }
            drop(chain);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
