//! [`Events`]: what waits for a consumer's `event` hook, or for a channel's `recv`.

use std::collections::VecDeque;

use crate::config::Bound;

use super::encoded::Encoded;
use super::tag::Tag;

/// A bounded queue of events, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Events {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    event: Encoded,
    tag: Option<Tag>,
}

impl Events {
    /// Appends the event, in the place of an older one with the same tag; `false` where there is no room for it.
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
        if let Some(place) = older {
            self.queue.remove(place);
        }
        self.bytes = self.bytes - freed + length;
        let tag = tag.cloned();
        self.queue.push_back(Waiting { event, tag });
        true
    }

    pub(super) fn pop(&mut self) -> Option<Encoded> {
        let event = self.queue.pop_front()?.event;
        self.bytes -= event.payload().len();
        Some(event)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn position(&self, tag: &Tag) -> Option<usize> {
        let has_it = |waiting: &Waiting| waiting.tag.as_ref() == Some(tag);
        self.queue.iter().position(has_it)
    }
}
