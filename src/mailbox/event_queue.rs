//! [`EventQueue`]: the events that wait for a consumer's `event` hook or for a channel's `recv`.

use std::sync::Arc;

use crate::broadcast::{COPY_MAX_BYTES, Conflate, ConflatingQueue, ConflationKey, EncodedFrame};
use crate::budget::{FREE_BYTES, QueueKind, QueueOwner, Reservation};
use crate::config::Bound;

use super::gap::Gap;

/// A bounded queue of events, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    events: ConflatingQueue<WaitingEvent>,
    /// Groups that may have missed something, each once. They go before the events.
    gaps: Vec<Gap>,
    /// The bytes of events that the budget counts once for several queues.
    counted: usize,
    reservation: Reservation,
}

#[derive(Debug)]
struct WaitingEvent {
    event: EncodedFrame,
    latest: Option<ConflationKey>,
}

impl Conflate for WaitingEvent {
    fn len(&self) -> usize {
        self.event.payload().len()
    }

    fn has_key(&self) -> bool {
        self.latest.is_some()
    }

    fn is_replaced_by(&self, newer: &Self) -> bool {
        self.latest == newer.latest
    }
}

impl EventQueue {
    /// Appends an event and removes an older one with the same key. Returns `false` if there is no
    /// room; the older one then stays.
    pub(super) fn offer(
        &mut self,
        event: EncodedFrame,
        latest: Option<ConflationKey>,
        bound: Bound,
    ) -> bool {
        let added = counted(&event);
        let Ok(replaced) = self.events.offer(WaitingEvent { event, latest }, bound) else {
            return false;
        };
        self.counted += added;
        self.counted -= replaced.map_or(0, |older| counted(&older.event));
        true
    }

    pub(super) fn pop(&mut self) -> Option<EncodedFrame> {
        let event = self.events.pop()?.event;
        self.counted -= counted(&event);
        let own = self.own();
        self.reservation.shrink(self.events.bytes(), own);
        Some(event)
    }

    /// Adds a gap. A second one of the same group would say nothing new.
    pub(super) fn push_gap(&mut self, gap: Gap) {
        if !self.gaps.iter().any(|known| known.group == gap.group) {
            self.gaps.push(gap);
        }
    }

    pub(super) fn pop_gap(&mut self) -> Option<Gap> {
        self.gaps.pop()
    }

    /// Drops the events but keeps the gaps. Returns the number of dropped events.
    pub(super) fn drop_events(&mut self) -> usize {
        let dropped = self.events.take().len();
        self.counted = 0;
        self.reservation = Reservation::default();
        dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.gaps.is_empty()
    }

    /// Whether the queue lags with this many more bytes. Bytes that other queues hold, too, are
    /// then counted once for all of them. A long event is counted so from the beginning: a hook may
    /// forward it, and then it waits among the frames.
    pub(super) fn lags_with(&self, more: usize) -> bool {
        more > COPY_MAX_BYTES || self.events.bytes() + more > FREE_BYTES
    }

    /// Counts the bytes that wait after something was added. Returns `true` if the node's budget
    /// is exceeded.
    pub(super) fn reserve<O: QueueOwner + 'static>(&mut self, owner: &Arc<O>) -> bool {
        let own = self.own();
        self.reservation
            .grow(self.events.bytes(), own, owner, QueueKind::Events)
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.reservation.is_evicted()
    }

    /// The bytes that this queue holds alone.
    fn own(&self) -> usize {
        self.events.bytes() - self.counted + self.events.len() * size_of::<WaitingEvent>()
    }
}

fn counted(event: &EncodedFrame) -> usize {
    match event.accounted().is_counted() {
        true => event.payload().len(),
        false => 0,
    }
}
