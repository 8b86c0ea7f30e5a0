//! [`Events`]: what waits for a consumer's `event` hook, or for a channel's `recv`.

use std::collections::VecDeque;

use crate::config::Bound;

use super::encoded::Encoded;

/// A bounded queue of events, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Encoded>,
    bytes: usize,
}

impl Events {
    /// Appends the event, or hands it back where the bound is reached.
    pub(super) fn push(&mut self, event: Encoded, bound: Bound) -> Result<(), Encoded> {
        if bound.is_reached(self.queue.len(), self.bytes) {
            return Err(event);
        }
        self.bytes += event.payload().len();
        self.queue.push_back(event);
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Encoded> {
        let event = self.queue.pop_front()?;
        self.bytes -= event.payload().len();
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
