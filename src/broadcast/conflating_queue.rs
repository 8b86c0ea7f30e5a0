//! [`ConflatingQueue`]: a bounded queue in which a newer value replaces an older one.

use std::collections::VecDeque;

use crate::config::Bound;

/// A value that waits in a [`ConflatingQueue`].
pub(crate) trait Conflate {
    /// The bytes that count against the bound.
    fn len(&self) -> usize;

    /// Whether this value can replace an older one. If not, the queue is not searched.
    fn has_key(&self) -> bool;

    /// Whether nobody needs this value once the newer one is in the queue.
    fn is_replaced_by(&self, newer: &Self) -> bool;
}

/// Values in the order of their arrival. A replaced value is removed and the newer one goes to the
/// end: in the older one's place it would overtake values that were published between the two.
#[derive(Debug)]
pub(crate) struct ConflatingQueue<T> {
    values: VecDeque<T>,
    bytes: usize,
}

impl<T: Conflate> ConflatingQueue<T> {
    /// Appends a value and returns the one that it replaces.
    ///
    /// # Errors
    ///
    /// Returns the value if it does not fit; see [`Bound::admits`]. The older one then stays.
    pub(crate) fn offer(&mut self, value: T, bound: Bound) -> Result<Option<T>, T> {
        let place = match value.has_key() {
            true => self
                .values
                .iter()
                .position(|old| old.is_replaced_by(&value)),
            false => None,
        };
        let replaced = place.map(|place| self.values[place].len());
        if !bound.admits(self.values.len(), self.bytes, value.len(), replaced) {
            return Err(value);
        }
        let older = place.and_then(|place| self.values.remove(place));
        self.bytes -= replaced.unwrap_or(0);
        self.bytes += value.len();
        self.values.push_back(value);
        Ok(older)
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let value = self.values.pop_front()?;
        self.bytes -= value.len();
        Some(value)
    }

    /// Removes and returns all values.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.bytes = 0;
        std::mem::take(&mut self.values).into()
    }
}

impl<T> ConflatingQueue<T> {
    pub(crate) fn front(&self) -> Option<&T> {
        self.values.front()
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.values.back_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<T> Default for ConflatingQueue<T> {
    fn default() -> Self {
        Self {
            values: VecDeque::new(),
            bytes: 0,
        }
    }
}
