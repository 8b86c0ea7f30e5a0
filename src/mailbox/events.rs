//! [`Events`]: what waits for a consumer's `event` hook, or for a channel's `recv`.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::Bound;

use super::account::{Account, FREE};
use super::budget::Queue;
use super::chunks::COPIED;
use super::encoded::Encoded;
use super::gap::Gap;
use super::mailbox::Mailbox;
use super::tag::Tag;

/// A bounded queue of events, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Waiting>,
    /// What is to be told before them, once for each group.
    pub(super) gaps: Vec<Gap>,
    bytes: usize,
    /// Those of the bytes that are counted elsewhere.
    counted: usize,
    account: Account,
}

#[derive(Debug)]
struct Waiting {
    event: Encoded,
    tag: Option<Tag>,
}

impl Events {
    /// Appends the event, in the place of an older one with the same tag; `false` where there is no
    /// room for it.
    ///
    /// The older one stays where the newer finds no room. Where it is no larger, it always does.
    pub(super) fn offer(&mut self, event: Encoded, tag: Option<&Tag>, bound: Bound) -> bool {
        let length = event.payload().len();
        let older = tag.and_then(|tag| self.position(tag));
        let freed = older.map_or(0, |place| self.queue[place].event.payload().len());
        let count = self.queue.len() - usize::from(older.is_some());
        if bound.is_reached(count, self.bytes - freed) && (older.is_none() || length > freed) {
            return false;
        }
        if let Some(older) = older.and_then(|place| self.queue.remove(place)) {
            self.bytes -= freed;
            self.counted -= counted(&older.event);
        }
        self.bytes += length;
        self.counted += counted(&event);
        let tag = tag.cloned();
        self.queue.push_back(Waiting { event, tag });
        true
    }

    pub(super) fn pop(&mut self) -> Option<Encoded> {
        let event = self.queue.pop_front()?.event;
        self.bytes -= event.payload().len();
        self.counted -= counted(&event);
        self.account.shrunk(self.bytes, self.own());
        Some(event)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether the queue lags with so many bytes more: then what others hold, too, is to be counted
    /// once for all. As is, from the beginning, what is large: a hook may forward it, and then it
    /// waits among the frames.
    pub(super) fn lags_with(&self, more: usize) -> bool {
        more > COPIED || self.bytes + more > FREE
    }

    /// Counts what waits, after something was added; `true` where that is more than the node may
    /// hold.
    pub(super) fn grown(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        let own = self.own();
        self.account.grown(self.bytes, own, mailbox, Queue::Events)
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    fn own(&self) -> usize {
        self.bytes - self.counted + self.queue.len() * size_of::<Waiting>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.gaps.is_empty()
    }

    fn position(&self, tag: &Tag) -> Option<usize> {
        let has_it = |waiting: &Waiting| waiting.tag.as_ref() == Some(tag);
        self.queue.iter().position(has_it)
    }
}

fn counted(event: &Encoded) -> usize {
    match event.shared().is_counted() {
        true => event.payload().len(),
        false => 0,
    }
}
