//! [`Mailbox`]: the block that a session shares with everybody who sends to its connection.

use std::io::IoSlice;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, io};

use tokio::net::TcpStream;

use crate::close::CloseCode;
use crate::config::{Config, Overflow};
use crate::metrics::{events_dropped, frames_dropped};
use crate::sampler::LogSampler;
use crate::websocket::{ControlPayload, Extensions};

use super::batch::Batch;
use super::budget::{Budget, Queue};
use super::controls::Controls;
use super::encoded::Encoded;
use super::gap::Gap;
use super::outbound::{Outbound, QueueFull};
use super::parcel::Parcel;
use super::state::{ATTENTION, CloseRequest, Door, OUTPUT, State};
use super::terms::Terms;
use super::transmit::transmit;

/// What waits at one connection, or at one channel without a socket.
///
/// Whoever delivers to it writes to the socket directly while nothing waits, under the lock; else
/// the frames join the queue and the session is woken. So: bytes reach a socket only under its
/// lock, directly only when its queue is empty; and where a queue is not empty, its session runs,
/// has been woken, or waits for the socket to take more.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// What the session would find under the lock: [`State::waiting`]. Written under it.
    waiting: AtomicU8,
    /// Set when the handshake is over, for plain TCP only; other streams belong to the session,
    /// which is woken instead.
    stream: OnceLock<TcpStream>,
    id: u64,
    terms: Arc<Terms>,
    /// Agreed on in the handshake.
    extensions: Extensions,
}

/// What a session finds at its mailbox.
#[derive(Debug)]
pub(crate) enum Taken {
    Event(Encoded),
    Gap(Gap),
    Close(Box<CloseRequest>),
}

impl Mailbox {
    /// The mailbox of a connection whose handshake has begun.
    pub(crate) fn connection(terms: Arc<Terms>, extensions: Extensions) -> Arc<Self> {
        #[cfg(feature = "deflate")]
        Encoded::expect_compression(&terms.config, extensions);
        Self::new(terms, extensions, Door::Opening)
    }

    /// A mailbox for events only: a channel's.
    pub(crate) fn channel(terms: Arc<Terms>) -> Arc<Self> {
        Self::new(terms, Extensions::default(), Door::Shut)
    }

    fn new(terms: Arc<Terms>, extensions: Extensions, door: Door) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::new(door)),
            waiting: AtomicU8::new(ATTENTION),
            stream: OnceLock::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            terms,
            extensions,
        })
    }

    /// Unique in this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn config(&self) -> &Config {
        &self.terms.config
    }

    /// For the lines that this client can cause.
    pub(crate) fn log(&self) -> &LogSampler {
        self.terms.log()
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.terms.budget
    }

    /// Closes the slowest of the node, where so much waits that its budget is used up. Takes their
    /// locks: to be called without one.
    pub(crate) fn relieve(&self) {
        self.budget().relieve();
    }

    pub(crate) fn extensions(&self) -> Extensions {
        self.extensions
    }

    /// The TCP stream, which others may write to as well.
    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.get()
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
            waiting: &self.waiting,
            changed: false,
        }
    }

    /// Whether the session has something of this kind to look at under the lock: a question that
    /// costs no lock, for a session that asks it after every message.
    ///
    /// Only the session's own task may rely on a no. Who changes the state after this look wakes
    /// the session, and with the wake-up the session sees the change.
    fn has(&self, kind: u8) -> bool {
        self.waiting.load(Ordering::Acquire) & kind != 0
    }
}

/// The state under its lock. Before that is given back, it notes what waits.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    waiting: &'a AtomicU8,
    changed: bool,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.changed = true;
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.changed {
            self.waiting.store(self.state.waiting(), Ordering::Release);
        }
    }
}

/// For whoever delivers.
impl Mailbox {
    /// Hands over frames of a group: written at once, or queued, or treated as the group's policy
    /// says. Never waits.
    pub(crate) fn deliver(self: &Arc<Self>, batch: &Batch, policy: Overflow) {
        let mut state = self.lock();
        if state.door == Door::Shut {
            return;
        }
        let written = match self.stream.get() {
            Some(stream) if state.outgoing.is_none() && state.door == Door::Open => {
                match transmit(stream, batch.wire()) {
                    Ok(written) if written == batch.wire().len() => return,
                    Ok(written) => written,
                    // The session finds the same error when it writes what is queued.
                    Err(_) => 0,
                }
            }
            _ => 0,
        };
        let before = state.dropped;
        self.queue(&mut state, batch, written, policy);
        let dropped = state.dropped - before;
        let is_exceeded = self.grown(&mut state);
        wake(state);
        frames_dropped(dropped);
        if is_exceeded {
            self.relieve();
        }
    }

    /// Hands over an event of a group for the hook. Never waits.
    pub(crate) fn deliver_event(self: &Arc<Self>, event: &Parcel, policy: Overflow) {
        let mut state = self.lock();
        if !state.takes_events {
            return;
        }
        let events = state.events.get_or_insert_default();
        let lags = events.lags_with(event.encoded.wire().len());
        let waiting = event.waiting(lags, self.budget());
        if events.offer(waiting, event.latest.as_ref(), self.config().events) {
            let is_exceeded = events.grown(self);
            wake(state);
            if is_exceeded {
                self.relieve();
            }
            return;
        }
        // A channel without a socket cannot be closed for being slow; its owner is told by the
        // count.
        if policy == Overflow::Drop || state.door == Door::Shut {
            state.count_dropped(1);
            drop(state);
            return events_dropped(1);
        }
        state.close_slow_hook("too slow for the events sent to it");
        wake(state);
    }

    /// Hands over an event sent to this channel alone; `false` where there is no room for it.
    pub(crate) fn offer_event(self: &Arc<Self>, event: Encoded) -> bool {
        let mut state = self.lock();
        if !state.takes_events {
            return true;
        }
        let events = state.events.get_or_insert_default();
        let accepted = events.offer(event, None, self.config().events);
        let is_exceeded = events.grown(self);
        wake(state);
        if is_exceeded {
            self.relieve();
        }
        accepted
    }

    /// One of its queues is the slowest of the node, whose budget is used up: what waits is
    /// dropped, and the connection closed, whatever the policy of its groups; `false` where it has
    /// caught up meanwhile. To be called without a lock of another mailbox.
    pub(super) fn end_slowest(&self, queue: Queue) -> bool {
        let mut state = self.lock();
        if !state.is_chosen(queue) {
            return false;
        }
        let before = state.dropped;
        match queue {
            // It closes already, or its peer has; what was to go out before does not any more.
            Queue::Frames if state.door == Door::Shut => {
                if let Some(queue) = &mut state.outgoing {
                    queue.discard_all_but_close();
                }
            }
            Queue::Frames => state.close_slow_reader(SLOWEST),
            // A channel without a socket.
            Queue::Events if state.door == Door::Shut => {
                let dropped = state.drop_events();
                state.count_dropped(dropped);
            }
            Queue::Events | Queue::Messages => state.close_slow_hook(SLOWEST),
        }
        let dropped = state.dropped - before;
        wake(state);
        events_dropped(dropped);
        true
    }

    /// Asks the session to close once it is between two hooks; an earlier request stays.
    pub(crate) fn request_close(&self, request: CloseRequest) {
        let mut state = self.lock();
        state.request(request);
        wake(state);
    }

    /// Ends the running hook, if any; what waits for others is dropped.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.cut = true;
        state.takes_events = false;
        state.events = None;
        wake(state);
    }

    fn queue(&self, state: &mut State, batch: &Batch, written: usize, policy: Overflow) {
        let bound = self.config().outgoing;
        let (wire, lengths) = (batch.wire(), batch.lengths());
        let queue = state.outgoing();
        let lags = queue.lags_with(wire.len());
        if written == 0 && !batch.has_tags() && queue.fits(lengths.len(), wire.len(), bound) {
            return queue.push_batch(batch.waiting(lags, self.budget()), lengths);
        }
        let mut start = 0;
        for (at, &length) in lengths.iter().enumerate() {
            let end = start + length as usize;
            let (frame, tag) = batch.frame(at, start, lags, self.budget());
            let queue = state.outgoing();
            if start < written {
                // All of it is on the wire already, or its rest must follow.
                if end > written {
                    queue.push_begun(&frame, written - start);
                }
            } else if !queue.offer(&frame, tag, bound) {
                if policy != Overflow::Drop {
                    return state.close_slow_reader("too slow for the messages sent to it");
                }
                state.count_dropped(1);
            }
            start = end;
        }
    }

    /// Counts the frames that wait; see [`Outgoing::grown`](super::outgoing::Outgoing::grown).
    fn grown(self: &Arc<Self>, state: &mut State) -> bool {
        let queue = state.outgoing.as_mut();
        queue.is_some_and(|queue| queue.grown(self))
    }
}

/// For the consumer and its context.
impl Mailbox {
    /// Queues a message of the consumer's own, which the session writes when the hook suspends or
    /// ends.
    ///
    /// Waits for room, as long as the peer reads at all: the session ends a connection on which
    /// writing stands still. In `connect`, where nobody writes yet, a full queue is an error. To a
    /// connection that ends, a message is dropped.
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        message: &mut Option<Outbound>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), QueueFull>> {
        let mut state = self.lock();
        if state.door == Door::Shut {
            return Poll::Ready(Ok(()));
        }
        if let Some(queue) = &state.outgoing
            && queue.is_full(self.config().outgoing)
        {
            if state.door == Door::Opening {
                return Poll::Ready(Err(QueueFull));
            }
            state.wait_for_room(cx.waker());
            return Poll::Pending;
        }
        let queue = state.outgoing();
        match message.take() {
            Some(Outbound::Message(message)) => queue.push_message(message),
            Some(Outbound::Ready(frame)) => queue.push_wire(frame.shared()),
            #[cfg(feature = "deflate")]
            Some(Outbound::Long(message)) => queue.push_message(message.into_plain()),
            None => {}
        }
        let is_exceeded = self.grown(&mut state);
        // Outside of the session's task nobody else sees to it that the frame is written.
        if state
            .waker
            .as_ref()
            .is_some_and(|session| !session.will_wake(cx.waker()))
        {
            wake(state);
        } else {
            drop(state);
        }
        if is_exceeded {
            self.relieve();
        }
        Poll::Ready(Ok(()))
    }

    /// Closes from this side: what is queued still goes out, then the close frame; later messages
    /// are dropped. An earlier decision stays.
    pub(crate) fn close(&self, request: CloseRequest) {
        let mut state = self.lock();
        state.close(request);
        wake(state);
    }

    /// Refuses the client once the handshake is over: nothing but this close frame goes out. Frames
    /// of groups that were joined meanwhile are not for somebody who is refused.
    pub(crate) fn refuse(&self, code: CloseCode, reason: &str) {
        let mut state = self.lock();
        state.drop_outgoing();
        state.shut(code, reason);
    }

    /// An event for this channel alone came over a backend and found no room: who sent it is not
    /// told, so the owner is.
    pub(crate) fn note_dropped(&self) {
        self.lock().count_dropped(1);
        events_dropped(1);
    }

    /// How many frames and events were dropped since this was last asked.
    pub(crate) fn take_dropped(&self) -> u32 {
        std::mem::take(&mut self.lock().dropped)
    }
}

/// For the session.
impl Mailbox {
    /// The handshake is over: frames may go out. A TCP stream is shared with whoever delivers;
    /// another kind stays with the session.
    pub(crate) fn open(&self, stream: Option<TcpStream>) {
        if let Some(stream) = stream {
            let _ = self.stream.set(stream);
        }
        let mut state = self.lock();
        if state.door == Door::Opening {
            state.door = Door::Open;
        }
    }

    /// The next event or the decision to close; else the task is woken when there is one.
    pub(crate) fn poll_take(&self, cx: &Context<'_>) -> Poll<Taken> {
        if !self.has(ATTENTION) {
            return Poll::Pending;
        }
        let mut state = self.lock();
        if let Some(gap) = state.pop_gap() {
            return Poll::Ready(Taken::Gap(gap));
        }
        if let Some(event) = state.pop_event() {
            return Poll::Ready(Taken::Event(event));
        }
        if let Some(request) = state.request.take() {
            if state.door != Door::Shut {
                state.shut(request.code, &request.reason);
            }
            wake_senders(state);
            return Poll::Ready(Taken::Close(request));
        }
        state.register(cx.waker());
        Poll::Pending
    }

    /// Asks to be woken when something arrives. To be called before the last look at what waits.
    pub(crate) fn register(&self, waker: &Waker) {
        if self.has(ATTENTION) {
            self.lock().register(waker);
        }
    }

    /// Whether this side has decided that the connection ends at once, also in the middle of a
    /// hook.
    pub(crate) fn is_shut(&self) -> bool {
        self.has(ATTENTION) && self.lock().door == Door::Shut
    }

    /// Whether this side has decided to close, in time or too late.
    pub(crate) fn has_request(&self) -> bool {
        self.has(ATTENTION) && self.lock().request.is_some()
    }

    /// Whether the running hook must end now.
    pub(crate) fn is_cut(&self) -> bool {
        self.has(ATTENTION) && self.lock().cut
    }

    /// Whether something waits to be written.
    pub(crate) fn has_output(&self) -> bool {
        self.has(OUTPUT)
    }

    /// Queues the answer to a ping.
    pub(crate) fn pong(&self, payload: ControlPayload) {
        self.control(|controls| controls.push_pong(payload));
    }

    /// Queues a ping.
    pub(crate) fn ping(&self) {
        self.control(Controls::push_ping);
    }

    fn control(&self, push: impl FnOnce(&mut Controls)) {
        let mut state = self.lock();
        if state.door != Door::Shut {
            push(state.outgoing().controls());
        }
    }

    /// Queues the answer to the peer's close frame, after which nothing goes out.
    pub(crate) fn close_answer(&self, code: CloseCode) {
        let mut state = self.lock();
        if state.door != Door::Shut {
            state.shut(code, "");
        }
        wake_senders(state);
    }

    /// Accepts nothing any more; what is queued still goes out, without a close frame.
    pub(crate) fn close_door(&self) {
        let mut state = self.lock();
        state.door = Door::Shut;
        state.takes_events = false;
        state.events = None;
        wake_senders(state);
    }

    /// Writes what waits by means of `write`, until there is nothing left (ready) or `write` takes
    /// no more (pending). Returns what was written as well.
    pub(crate) fn poll_flush<W>(&self, mut write: W) -> (usize, Poll<io::Result<()>>)
    where
        W: FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        if !self.has(OUTPUT) {
            return (0, Poll::Ready(Ok(())));
        }
        let mut state = self.lock();
        let mut total = 0;
        let result = loop {
            let Some(queue) = &mut state.outgoing else {
                break Poll::Ready(Ok(()));
            };
            if queue.is_empty() {
                state.drop_outgoing();
                break Poll::Ready(Ok(()));
            }
            match queue.write(&mut write) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => total += written,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if total > 0 || result.is_ready() {
            wake_senders(state);
        }
        (total, result)
    }

    /// Drops what waits to be written; who waits for room goes on.
    pub(crate) fn discard_outgoing(&self) {
        let mut state = self.lock();
        state.drop_outgoing();
        wake_senders(state);
    }

    /// The end: what waits is dropped, and nothing is accepted any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.door = Door::Shut;
        state.takes_events = false;
        state.events = None;
        state.drop_outgoing();
        wake_senders(state);
    }
}

/// Wakes the task once, after the lock is given back, so that it does not run into it. It leaves
/// its waker again when it has looked at everything.
pub(super) fn wake(mut state: Locked<'_>) {
    let waker = state.waker.take();
    if state.door == Door::Shut {
        wake_senders(state);
    } else {
        drop(state);
    }
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Wakes who waits for room, likewise after the lock is given back: a waker may poll at once.
fn wake_senders(mut state: Locked<'_>) {
    if state.senders.is_none() {
        return;
    }
    let senders = state.senders.take();
    drop(state);
    let senders = senders.into_iter().flat_map(|senders| *senders);
    senders.for_each(Waker::wake);
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Said to the peer and to the consumer.
const SLOWEST: &str = "too slow: there is no more room for what waits";
