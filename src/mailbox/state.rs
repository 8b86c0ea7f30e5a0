//! [`State`]: what a mailbox holds under its lock, and the ways it changes.

use std::task::Waker;

use crate::close::{Cause, CloseCode};
use crate::websocket::{OpCode, close_payload};

use super::account::Account;
use super::budget::Queue;
use super::encoded::Encoded;
use super::events::Events;
use super::gap::Gap;
use super::outgoing::Outgoing;

/// All that changes in a mailbox.
pub(super) struct State {
    /// `None` while nothing waits.
    pub(super) outgoing: Option<Box<Outgoing>>,
    /// `None` while nothing waits.
    pub(super) events: Option<Box<Events>>,
    /// The task that looks after this mailbox: a session, or who awaits a channel's next event.
    pub(super) waker: Option<Waker>,
    /// Why this side closes, from the first who decided it; taken by the session.
    pub(super) request: Option<Box<CloseRequest>>,
    /// Tasks within the hook that wait for room to send. Woken when something was written, and at
    /// the end.
    #[expect(
        clippy::box_collection,
        reason = "hardly ever there, and a mailbox is small"
    )]
    pub(super) senders: Option<Box<Vec<Waker>>>,
    pub(super) door: Door,
    pub(super) takes_events: bool,
    /// The running hook must end now: the drain's deadline has passed.
    pub(super) cut: bool,
    /// What was dropped since the consumer last asked.
    pub(super) dropped: u32,
}

/// Whether frames are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// They wait for the handshake's end.
    Opening,
    Open,
    /// The close frame is queued, or there is no socket.
    Shut,
}

/// A decision of this side to close.
#[derive(Clone, Debug)]
pub(crate) struct CloseRequest {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

impl State {
    pub(super) fn new(door: Door) -> Self {
        Self {
            outgoing: None,
            events: None,
            waker: None,
            request: None,
            senders: None,
            door,
            takes_events: true,
            cut: false,
            dropped: 0,
        }
    }

    /// What a session that looks would find. No [`ATTENTION`] also says that its waker is known: it
    /// will be woken when there is something.
    pub(super) fn waiting(&self) -> u8 {
        let calm = self.events.is_none()
            && self.request.is_none()
            && self.door == Door::Open
            && !self.cut
            && self.waker.is_some();
        let attention = if calm { 0 } else { ATTENTION };
        let output = if self.outgoing.is_none() { 0 } else { OUTPUT };
        attention | output
    }

    /// The queue of frames, made where nothing waits yet.
    pub(super) fn outgoing(&mut self) -> &mut Outgoing {
        self.outgoing.get_or_insert_with(Outgoing::pooled)
    }

    /// What waits is dropped, but not the word that something was missed. How many events that
    /// were.
    pub(super) fn drop_events(&mut self) -> usize {
        let Some(mut events) = self.events.take() else {
            return 0;
        };
        let gaps = std::mem::take(&mut events.gaps);
        if !gaps.is_empty() {
            self.events.get_or_insert_default().gaps = gaps;
        }
        events.len()
    }

    pub(super) fn pop_event(&mut self) -> Option<Encoded> {
        self.pop(Events::pop)
    }

    pub(super) fn pop_gap(&mut self) -> Option<Gap> {
        self.pop(|events| events.gaps.pop())
    }

    fn pop<T>(&mut self, pop: impl Fn(&mut Events) -> Option<T>) -> Option<T> {
        let events = self.events.as_mut()?;
        let popped = pop(events);
        if events.is_empty() {
            self.events = None;
        }
        popped
    }

    pub(super) fn drop_outgoing(&mut self) {
        if let Some(queue) = self.outgoing.take() {
            Outgoing::recycle(queue);
        }
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn close(&mut self, request: CloseRequest) {
        if self.door == Door::Shut {
            // Too late to say how the connection ends, but not that it does.
            self.request.get_or_insert_with(|| Box::new(request));
            return;
        }
        self.shut(request.code, &request.reason);
        self.request = Some(Box::new(request));
    }

    /// The frame already begun is finished, the rest makes room for the close frame.
    pub(super) fn close_slow_reader(&mut self, reason: &str) {
        if let Some(queue) = &mut self.outgoing {
            queue.discard();
        }
        self.close(CloseRequest {
            code: CloseCode::SLOW_READER,
            reason: reason.to_owned(),
            cause: Cause::SlowReader,
        });
    }

    /// Whether this queue is still the one that was found to be the slowest. Messages wait
    /// elsewhere.
    pub(super) fn is_chosen(&self, queue: Queue) -> bool {
        let account = match queue {
            Queue::Frames => self.outgoing.as_deref().map(Outgoing::account),
            Queue::Events => self.events.as_deref().map(Events::account),
            Queue::Messages => return true,
        };
        account.is_some_and(Account::is_chosen)
    }

    pub(super) fn close_slow_hook(&mut self, reason: &str) {
        self.close(CloseRequest {
            code: CloseCode::TRY_AGAIN_LATER,
            reason: reason.to_owned(),
            cause: Cause::SlowHook,
        });
    }

    pub(super) fn count_dropped(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Queues the last frame.
    pub(super) fn shut(&mut self, code: CloseCode, reason: &str) {
        let payload = close_payload(code.as_u16(), reason);
        self.outgoing().push(OpCode::Close, payload.to_vec());
        self.door = Door::Shut;
        self.takes_events = false;
        self.events = None;
    }

    /// Has this task woken when there may be room again.
    pub(super) fn wait_for_room(&mut self, waker: &Waker) {
        let senders = self.senders.get_or_insert_default();
        if !senders.iter().any(|known| known.will_wake(waker)) {
            senders.push(waker.clone());
        }
    }

    /// Takes no more events, and closes once those that wait are dealt with.
    pub(super) fn request(&mut self, request: CloseRequest) {
        if self.request.is_none() && self.door != Door::Shut {
            self.takes_events = false;
            self.request = Some(Box::new(request));
        }
    }
}

/// An event, a decision, or a session that is to be noted before it sleeps.
pub(super) const ATTENTION: u8 = 1;
/// Something to write.
pub(super) const OUTPUT: u8 = 2;
