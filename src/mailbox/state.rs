//! [`State`]: the part of a mailbox under its lock: the output, the inbox, and the decision to close.

use std::task::Waker;

use crate::broadcast::EncodedFrame;
use crate::budget::QueueKind;
use crate::close::{Cause, CloseCode};
use crate::websocket::{OpCode, close_payload};

use super::event_queue::EventQueue;
use super::flags::Flags;
use super::gap::Gap;
use super::write_queue::WriteQueue;

/// Everything in a mailbox that changes. Small fields are not nested, since padding would make an
/// idle connection larger.
#[derive(Debug)]
pub(super) struct State {
    pub(super) output: Output,
    pub(super) inbox: Inbox,
    /// The first decision of this side to close. The session takes it.
    pub(super) close_request: Option<Box<CloseRequest>>,
    /// The running hook must end now, because a drain has reached its deadline.
    pub(super) hook_is_cancelled: bool,
    pub(super) phase: WritePhase,
    /// The task of the session, or the one that awaits a channel's next event. `None` while that
    /// task runs, or has been woken.
    pub(super) waker: Option<Waker>,
    /// Frames and events that were dropped since the consumer last asked.
    pub(super) dropped: u32,
}

/// The frames for the socket.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// `None` while no frame waits.
    pub(super) queue: Option<Box<WriteQueue>>,
    /// Tasks within the hook that wait for room. Woken when something was written, and at the end.
    #[expect(
        clippy::box_collection,
        reason = "hardly ever present, and a mailbox is small"
    )]
    pub(super) senders: Option<Box<Vec<Waker>>>,
}

/// How far the output of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WritePhase {
    /// There is no socket: this is a channel's mailbox, which takes events only.
    NoSocket,
    /// Frames wait for the end of the handshake.
    Opening,
    /// Frames are written.
    Open,
    /// No more frames are accepted. The last one, usually a close frame, is queued or written.
    Closed,
}

impl WritePhase {
    /// Whether frames are accepted.
    pub(super) fn accepts_frames(self) -> bool {
        matches!(self, Self::Opening | Self::Open)
    }
}

/// The events for the hook.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// `None` while nothing waits.
    pub(super) queue: Option<Box<EventQueue>>,
}

/// A decision of this side to close.
#[derive(Clone, Debug)]
pub(crate) struct CloseRequest {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

impl State {
    pub(super) fn new(phase: WritePhase) -> Self {
        Self {
            output: Output::default(),
            inbox: Inbox::default(),
            close_request: None,
            hook_is_cancelled: false,
            phase,
            waker: None,
            dropped: 0,
        }
    }

    /// The summary that the session reads without the lock.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        let is_open = self.phase == WritePhase::Open;
        flags.set(Flags::UNREGISTERED, self.waker.is_none() || !is_open);
        flags.set(Flags::OUTPUT, self.output.queue.is_some());
        flags.set(Flags::INBOX, self.inbox.queue.is_some());
        flags.set(Flags::CLOSED, !self.phase.accepts_frames());
        flags.set(Flags::CLOSE_REQUEST, self.close_request.is_some());
        flags.set(Flags::HOOK_CANCELLED, self.hook_is_cancelled);
        flags
    }

    /// Whether events and gaps are accepted: not once the end is decided.
    pub(super) fn accepts_events(&self) -> bool {
        self.phase != WritePhase::Closed && self.close_request.is_none() && !self.hook_is_cancelled
    }

    pub(super) fn register(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn count_dropped(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Closes from this side: the queued frames are still written, then the close frame. An
    /// earlier decision stays.
    pub(super) fn close(&mut self, request: CloseRequest) {
        if self.phase == WritePhase::Closed {
            // The cause of the end is decided already. The session must still learn that a hook
            // wants it.
            self.close_request.get_or_insert_with(|| Box::new(request));
            return;
        }
        self.close_with_frame(request.code, &request.reason);
        self.close_request = Some(Box::new(request));
    }

    /// Requests a close between two hooks. Events are no longer accepted; those that wait are
    /// handled first.
    pub(super) fn close_between_hooks(&mut self, request: CloseRequest) {
        if self.close_request.is_none() && self.phase != WritePhase::Closed {
            self.close_request = Some(Box::new(request));
        }
    }

    /// Closes a client that reads too slowly. A frame that has begun is finished; all others make
    /// room for the close frame.
    pub(super) fn close_slow_reader(&mut self, reason: &str) {
        if let Some(queue) = &mut self.output.queue {
            queue.discard();
        }
        self.close(CloseRequest {
            code: CloseCode::SLOW_READER,
            reason: reason.to_owned(),
            cause: Cause::SlowReader,
        });
    }

    /// Closes a connection whose hook is too slow.
    pub(super) fn close_slow_hook(&mut self, reason: &str) {
        self.close(CloseRequest {
            code: CloseCode::TRY_AGAIN_LATER,
            reason: reason.to_owned(),
            cause: Cause::SlowHook,
        });
    }

    /// Queues a close frame as the last frame, and drops the events.
    pub(super) fn close_with_frame(&mut self, code: CloseCode, reason: &str) {
        let payload = close_payload(code.as_u16(), reason);
        self.output.queue().push(OpCode::Close, payload.to_vec());
        self.close_without_frame();
    }

    /// Accepts nothing any longer. The queued frames are still written.
    pub(super) fn close_without_frame(&mut self) {
        self.phase = WritePhase::Closed;
        self.inbox.queue = None;
    }

    /// Ends the running hook, and drops the events.
    pub(super) fn cancel_hook(&mut self) {
        self.hook_is_cancelled = true;
        self.inbox.queue = None;
    }

    /// Whether the budget has chosen this queue to be evicted, and it has not caught up since.
    pub(super) fn is_evicted(&self, kind: QueueKind) -> bool {
        match kind {
            QueueKind::Frames => {
                let queue = self.output.queue.as_deref();
                queue.is_some_and(WriteQueue::is_evicted)
            }
            QueueKind::Events => {
                let queue = self.inbox.queue.as_deref();
                queue.is_some_and(EventQueue::is_evicted)
            }
            // They wait at the session, not here.
            QueueKind::Messages => true,
        }
    }
}

impl Output {
    /// The queue of frames, made for the first frame that waits.
    pub(super) fn queue(&mut self) -> &mut WriteQueue {
        self.queue.get_or_insert_with(WriteQueue::pooled)
    }

    pub(super) fn drop_queue(&mut self) {
        if let Some(queue) = self.queue.take() {
            WriteQueue::recycle(queue);
        }
    }

    /// Wakes this task when there may be room again.
    pub(super) fn wait_for_room(&mut self, waker: &Waker) {
        let senders = self.senders.get_or_insert_default();
        if !senders.iter().any(|known| known.will_wake(waker)) {
            senders.push(waker.clone());
        }
    }
}

impl Inbox {
    /// The queue of events, made for the first event that waits.
    pub(super) fn queue(&mut self) -> &mut EventQueue {
        self.queue.get_or_insert_default()
    }

    pub(super) fn pop_event(&mut self) -> Option<EncodedFrame> {
        self.pop(EventQueue::pop)
    }

    pub(super) fn pop_gap(&mut self) -> Option<Gap> {
        self.pop(EventQueue::pop_gap)
    }

    /// Drops the events but keeps the gaps. Returns the number of dropped events.
    pub(super) fn drop_events(&mut self) -> usize {
        let Some(queue) = &mut self.queue else {
            return 0;
        };
        let dropped = queue.drop_events();
        if queue.is_empty() {
            self.queue = None;
        }
        dropped
    }

    fn pop<T>(&mut self, pop: impl Fn(&mut EventQueue) -> Option<T>) -> Option<T> {
        let queue = self.queue.as_mut()?;
        let popped = pop(queue);
        if queue.is_empty() {
            self.queue = None;
        }
        popped
    }
}
