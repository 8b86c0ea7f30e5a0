//! [`Backlog`]: messages that were read while a hook ran.

use std::collections::VecDeque;

use crate::config::Bound;
use crate::message::Message;

/// Messages in order, until the hook takes them.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: VecDeque<Message>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.len();
        self.queue.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.len();
        Some(message)
    }

    /// Whether no more is to be read for now.
    pub(super) fn is_full(&self, bound: Bound) -> bool {
        bound.is_reached(self.queue.len(), self.bytes)
    }
}
