//! [`ReadAhead`]: messages that were read while a hook ran.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{QueueKind, Reservation};
use crate::config::Bound;
use crate::mailbox::Mailbox;
use crate::message::Message;

/// Messages in order, until the hook takes them.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    queue: VecDeque<Message>,
    bytes: usize,
    reservation: Reservation,
    /// The connection is closed because of it, and no hook takes further messages.
    is_given_up: bool,
}

impl ReadAhead {
    /// Appends a message. If this exceeds the budget of the node, memory is freed at once.
    pub(super) fn push(&mut self, message: Message, mailbox: &Arc<Mailbox>) {
        self.bytes += message.len();
        self.queue.push_back(message);
        let own = self.own();
        if self
            .reservation
            .grow(self.bytes, own, mailbox, QueueKind::Messages)
        {
            mailbox.settings().budget().evict_largest();
        }
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.len();
        self.reservation.shrink(self.bytes, self.own());
        Some(message)
    }

    /// Whether reading must rest for now.
    pub(super) fn is_full(&self, bound: Bound) -> bool {
        self.is_given_up || bound.is_reached(self.queue.len(), self.bytes)
    }

    /// Drops the messages if this was the slowest queue of the node. Then its connection is being
    /// closed.
    pub(super) fn drop_if_evicted(&mut self) {
        if self.reservation.is_evicted() {
            *self = Self {
                is_given_up: true,
                ..Self::default()
            };
        }
    }

    fn own(&self) -> usize {
        self.bytes + self.queue.len() * size_of::<Message>()
    }
}

#[cfg(test)]
mod tests {
    use crate::budget::Budget;
    use crate::config::Config;
    use crate::mailbox::{ConnectionSettings, Mailbox};
    use crate::message::Message;
    use crate::websocket::Extensions;

    use super::ReadAhead;

    #[test]
    fn the_slowest_queue_is_dropped_and_reads_no_more() {
        let budget = Budget::new(40_000);
        let mailbox = Mailbox::connection(
            ConnectionSettings::new(Config::new(), budget.clone()),
            Extensions::default(),
        );
        let bound = Config::new().messages;
        let mut read_ahead = ReadAhead::default();
        let message = || Message::from("x".repeat(10_000));
        for n in 1..=7 {
            read_ahead.drop_if_evicted();
            assert!(!read_ahead.is_full(bound), "{n}");
            read_ahead.push(message(), &mailbox);
        }
        assert!(mailbox.flags().is_closed());
        read_ahead.drop_if_evicted();
        assert!(read_ahead.is_full(bound));
        assert_eq!(read_ahead.pop(), None);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn messages_taken_are_given_back_to_the_budget() {
        let budget = Budget::new(usize::MAX);
        let mailbox = Mailbox::connection(
            ConnectionSettings::new(Config::new(), budget.clone()),
            Extensions::default(),
        );
        let mut read_ahead = ReadAhead::default();
        for n in 0..30 {
            read_ahead.push(Message::from("x".repeat(n * 500)), &mailbox);
        }
        assert!(budget.used() > 150_000);
        while read_ahead.pop().is_some() {}
        assert_eq!(budget.used(), 0);
    }
}
