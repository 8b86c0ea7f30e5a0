//! [`Mailbox`]: the block that a session shares with all tasks that send to its connection.

use std::io::IoSlice;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::{fmt, io};

use tokio::net::TcpStream;

use crate::broadcast::{EncodedFrame, FrameBatch, PreparedMessage};
#[cfg(feature = "deflate")]
use crate::broadcast::{agreed_compression, expect_compression};
use crate::budget::{Budget, Eviction, QueueKind, QueueOwner};
use crate::close::CloseCode;
use crate::config::Overflow;
use crate::metrics::{events_dropped, frames_dropped};
#[cfg(feature = "deflate")]
use crate::websocket::deflate::Compression;
use crate::websocket::{ControlPayload, Extensions};

use super::flags::Flags;
use super::gap::Gap;
use super::outbound::{Outbound, QueueFull};
use super::settings::ConnectionSettings;
use super::state::{CloseRequest, State, WritePhase};
use super::try_send::try_send;

/// The queues of one connection, or of one channel without a socket.
///
/// A task that delivers to it writes to the socket directly, under the lock, while no frame waits;
/// otherwise the frames join the queue and the session is woken. So bytes reach a socket only
/// under the lock of its mailbox, and directly only while its queue is empty. While a queue is not
/// empty, its session runs, has been woken, or waits for the socket to take more.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    /// [`State::flags`], stored before the lock is released.
    flags: AtomicU8,
    /// Set after the handshake, for plain TCP only. Other streams belong to the session, which is
    /// woken instead.
    stream: OnceLock<TcpStream>,
    id: u64,
    settings: Arc<ConnectionSettings>,
    /// The handshake agreed on these.
    extensions: Extensions,
}

/// An item from a mailbox for its session or channel.
#[derive(Debug)]
pub(crate) enum Arrival {
    Event(EncodedFrame),
    Gap(Gap),
    Close(Box<CloseRequest>),
}

/// A control frame other than the close frame.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    Ping,
    Pong(ControlPayload),
}

/// The ways to close a mailbox. After each of them but [`BetweenHooks`](Self::BetweenHooks), no
/// frame and no event is accepted any longer.
#[derive(Debug)]
pub(crate) enum Close {
    /// The queued frames are still written, then the close frame. An earlier decision stays.
    AfterQueue(CloseRequest),
    /// As [`AfterQueue`](Self::AfterQueue), once the session is between two hooks and the events
    /// that wait are handled. An earlier decision stays.
    BetweenHooks(CloseRequest),
    /// As [`BetweenHooks`](Self::BetweenHooks), but the running hook is cancelled and the events
    /// that wait are dropped.
    CancellingHook(CloseRequest),
    /// Refuses a client after the handshake: only this close frame is written. Frames of groups
    /// that were joined in the meantime are not for a client that is refused.
    Refusal(CloseCode, String),
    /// The answer to the client's close frame. The queued frames are written before it.
    Answer(CloseCode),
    /// The queued frames are still written, but no close frame: the client has ended its half of
    /// the stream.
    WithoutFrame,
    /// Everything that waits is dropped.
    Abort,
}

impl Mailbox {
    /// The mailbox of a connection whose handshake has begun.
    pub(crate) fn connection(
        settings: Arc<ConnectionSettings>,
        extensions: Extensions,
    ) -> Arc<Self> {
        #[cfg(feature = "deflate")]
        expect_compression(settings.config(), extensions);
        Self::new(settings, extensions, WritePhase::Opening)
    }

    /// The mailbox of a channel, for events only.
    pub(crate) fn channel(settings: Arc<ConnectionSettings>) -> Arc<Self> {
        Self::new(settings, Extensions::default(), WritePhase::NoSocket)
    }

    fn new(
        settings: Arc<ConnectionSettings>,
        extensions: Extensions,
        phase: WritePhase,
    ) -> Arc<Self> {
        let state = State::new(phase);
        Arc::new(Self {
            flags: AtomicU8::new(state.flags().bits()),
            state: Mutex::new(state),
            stream: OnceLock::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            settings,
            extensions,
        })
    }

    /// Unique in this process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn settings(&self) -> &ConnectionSettings {
        &self.settings
    }

    pub(crate) fn extensions(&self) -> Extensions {
        self.extensions
    }

    /// How messages to this connection are compressed, if the handshake agreed on it.
    #[cfg(feature = "deflate")]
    pub(crate) fn compression(&self) -> Option<Compression> {
        agreed_compression(self.settings.config(), self.extensions)
    }

    /// The TCP stream, which tasks that deliver write to as well.
    pub(crate) fn stream(&self) -> Option<&TcpStream> {
        self.stream.get()
    }

    /// Delivers frames of a group: writes them at once, or queues them, or does what the group's
    /// policy says if the queue is full. Never waits.
    pub(crate) fn deliver(self: &Arc<Self>, batch: &FrameBatch, policy: Overflow) {
        let mut state = self.lock();
        if !state.phase.accepts_frames() {
            return;
        }
        let written = match self.stream.get() {
            Some(stream) if state.output.queue.is_none() && state.phase == WritePhase::Open => {
                match try_send(stream, batch.bytes()) {
                    Ok(written) if written == batch.bytes().len() => return,
                    Ok(written) => written,
                    // The session gets the same error when it writes the queue.
                    Err(_) => 0,
                }
            }
            _ => 0,
        };
        let bound = self.settings.config().outgoing;
        let queue = state.output.queue();
        let refused = queue.offer_batch(batch, written, bound, self.settings.budget());
        let mut dropped = 0;
        if refused > 0 && policy == Overflow::Drop {
            dropped = refused;
            state.count_dropped(refused);
        } else if refused > 0 {
            state.close_slow_reader("too slow for the messages sent to it");
        }
        let is_exceeded = self.reserve_output(&mut state);
        wake(state);
        frames_dropped(dropped);
        self.evict_if(is_exceeded);
    }

    /// Delivers an event of a group to the hook. Never waits.
    pub(crate) fn deliver_event(self: &Arc<Self>, event: &PreparedMessage, policy: Overflow) {
        let mut state = self.lock();
        if !state.accepts_events() {
            return;
        }
        let queue = state.inbox.queue();
        let lags = queue.lags_with(event.frame.bytes().len());
        let frame = event.frame_for_queue(lags, self.settings.budget());
        if queue.offer(frame, event.latest.clone(), self.settings.config().events) {
            let is_exceeded = queue.reserve(self);
            wake(state);
            return self.evict_if(is_exceeded);
        }
        // A channel without a socket cannot be closed for being slow. Its owner reads the count.
        if policy == Overflow::Drop || state.phase == WritePhase::NoSocket {
            state.count_dropped(1);
            drop(state);
            return events_dropped(1);
        }
        state.close_slow_hook("too slow for the events sent to it");
        wake(state);
    }

    /// Delivers an event that was sent to this channel alone. Returns `false` if there is no room
    /// for it. Never waits.
    pub(crate) fn send_event(self: &Arc<Self>, event: EncodedFrame) -> bool {
        let mut state = self.lock();
        if !state.accepts_events() {
            return true;
        }
        let queue = state.inbox.queue();
        let is_accepted = queue.offer(event, None, self.settings.config().events);
        let is_exceeded = queue.reserve(self);
        wake(state);
        self.evict_if(is_exceeded);
        is_accepted
    }

    /// Delivers the news of a gap, which goes before the events that wait. It needs no room: there
    /// is at most one for each group.
    pub(crate) fn deliver_gap(&self, mut gap: Gap) {
        let mut state = self.lock();
        if state.phase == WritePhase::NoSocket {
            // No hook runs for a channel, and its owner may never look at it.
            gap.permit = None;
        }
        if state.accepts_events() {
            state.inbox.queue().push_gap(gap);
            wake(state);
        }
    }

    /// Counts an event for this channel alone that came over a backend and found no room. Its
    /// sender gets no error, so the owner is informed by the count.
    pub(crate) fn count_dropped_event(&self) {
        self.lock().count_dropped(1);
        events_dropped(1);
    }

    /// How many frames and events were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u32 {
        std::mem::take(&mut self.lock().dropped)
    }

    /// The message as it goes to this connection. Compresses it without holding the lock.
    #[cfg(feature = "deflate")]
    pub(crate) fn prepare(&self, message: Outbound) -> Outbound {
        match self.compression() {
            Some(compression) => message.compressed(compression, self.settings.budget()),
            None => message,
        }
    }

    /// Queues a message of the consumer's own. The session writes it when the hook suspends or
    /// ends.
    ///
    /// Waits for room as long as the client reads at all: the session ends a connection on which
    /// writing stands still. Before the handshake ends nothing is written, so a full queue is an
    /// error. If the connection is closed, the message is dropped.
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        message: &mut Option<Outbound>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), QueueFull>> {
        let mut state = self.lock();
        if !state.phase.accepts_frames() {
            return Poll::Ready(Ok(()));
        }
        if let Some(queue) = &state.output.queue
            && queue.is_full(self.settings.config().outgoing)
        {
            if state.phase == WritePhase::Opening {
                return Poll::Ready(Err(QueueFull));
            }
            state.output.wait_for_room(cx.waker());
            return Poll::Pending;
        }
        let queue = state.output.queue();
        match message.take() {
            Some(Outbound::Message(message)) => queue.push_message(message),
            Some(Outbound::Frame(frame)) => queue.push_frame(frame.accounted()),
            #[cfg(feature = "deflate")]
            Some(Outbound::Long(message)) => queue.push_message(message.into_plain()),
            None => {}
        }
        let is_exceeded = self.reserve_output(&mut state);
        // If this is not the session's own task, the session must be woken to write the frame.
        let is_foreign = |session: &Waker| !session.will_wake(cx.waker());
        if state.waker.as_ref().is_some_and(is_foreign) {
            wake(state);
        } else {
            drop(state);
        }
        self.evict_if(is_exceeded);
        Poll::Ready(Ok(()))
    }

    /// Accepts no more frames and events; see [`Close`].
    pub(crate) fn close(&self, how: Close) {
        let mut state = self.lock();
        match how {
            Close::AfterQueue(request) => {
                state.close(request);
                wake(state);
            }
            Close::BetweenHooks(request) => {
                state.close_between_hooks(request);
                wake(state);
            }
            Close::CancellingHook(request) => {
                state.close_between_hooks(request);
                state.cancel_hook();
                wake(state);
            }
            Close::Refusal(code, reason) => {
                state.output.drop_queue();
                state.close_with_frame(code, &reason);
            }
            Close::Answer(code) => {
                if state.phase.accepts_frames() {
                    state.close_with_frame(code, "");
                }
                wake_senders(state);
            }
            Close::WithoutFrame => {
                state.close_without_frame();
                wake_senders(state);
            }
            Close::Abort => {
                state.close_without_frame();
                state.output.drop_queue();
                wake_senders(state);
            }
        }
    }

    /// The handshake is over: frames may be written. A TCP stream is shared with tasks that
    /// deliver; another kind stays with the session.
    pub(crate) fn open(&self, stream: Option<TcpStream>) {
        if let Some(stream) = stream {
            let _ = self.stream.set(stream);
        }
        let mut state = self.lock();
        if state.phase == WritePhase::Opening {
            state.phase = WritePhase::Open;
        }
    }

    /// Takes the next gap, event or decision to close. If there is none, wakes the task when there
    /// is one.
    pub(crate) fn poll_receive(&self, cx: &Context<'_>) -> Poll<Arrival> {
        if !self.flags().needs_attention() {
            return Poll::Pending;
        }
        let mut state = self.lock();
        if let Some(gap) = state.inbox.pop_gap() {
            return Poll::Ready(Arrival::Gap(gap));
        }
        if let Some(event) = state.inbox.pop_event() {
            return Poll::Ready(Arrival::Event(event));
        }
        if let Some(request) = state.close_request.take() {
            if state.phase.accepts_frames() {
                state.close_with_frame(request.code, &request.reason);
            }
            wake_senders(state);
            return Poll::Ready(Arrival::Close(request));
        }
        state.register(cx.waker());
        Poll::Pending
    }

    /// Registers the task that is woken when something arrives. Called before the last look at
    /// what waits.
    pub(crate) fn register(&self, waker: &Waker) {
        if self.flags().needs_attention() {
            self.lock().register(waker);
        }
    }

    /// A summary of the state, without the lock; see [`Flags`].
    pub(crate) fn flags(&self) -> Flags {
        Flags::from_bits(self.flags.load(Ordering::Acquire))
    }

    /// Queues a ping or a pong, unless no more frames are accepted.
    pub(crate) fn push_control(&self, control: Control) {
        let mut state = self.lock();
        if !state.phase.accepts_frames() {
            return;
        }
        let controls = state.output.queue().controls();
        match control {
            Control::Ping => controls.push_ping(),
            Control::Pong(payload) => controls.push_pong(payload),
        }
    }

    /// Writes the queue by calling `write`, until it is empty (ready) or `write` takes no more
    /// (pending). Also returns the number of bytes written.
    pub(crate) fn poll_flush<W>(&self, mut write: W) -> (usize, Poll<io::Result<()>>)
    where
        W: FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
    {
        if !self.flags().has_output() {
            return (0, Poll::Ready(Ok(())));
        }
        let mut state = self.lock();
        let mut total = 0;
        let result = loop {
            let Some(queue) = &mut state.output.queue else {
                break Poll::Ready(Ok(()));
            };
            if queue.is_empty() {
                state.output.drop_queue();
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

    /// Drops all frames that wait; tasks that wait for room continue.
    pub(crate) fn discard_output(&self) {
        let mut state = self.lock();
        state.output.drop_queue();
        wake_senders(state);
    }

    /// Counts the frames that wait. Returns `true` if the node's budget is exceeded.
    fn reserve_output(self: &Arc<Self>, state: &mut State) -> bool {
        let queue = state.output.queue.as_mut();
        queue.is_some_and(|queue| queue.reserve(self))
    }

    /// Called without a lock, since it takes those of other mailboxes.
    fn evict_if(&self, is_exceeded: bool) {
        if is_exceeded {
            self.settings.budget().evict_largest();
        }
    }

    fn lock(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner),
            flags: &self.flags,
            is_changed: false,
        }
    }
}

impl QueueOwner for Mailbox {
    fn budget(&self) -> &Arc<Budget> {
        self.settings.budget()
    }

    /// Drops what waits and closes the connection, whatever the policy of its groups.
    fn evict(&self, kind: QueueKind) -> Eviction {
        let mut state = self.lock();
        if !state.is_evicted(kind) {
            return Eviction::CaughtUp;
        }
        let mut dropped = 0;
        match (kind, state.phase) {
            // It is closing already, or its client has. The frames before the close frame are not
            // written any longer.
            (QueueKind::Frames, WritePhase::Closed) => {
                if let Some(queue) = &mut state.output.queue {
                    queue.discard_all_but_close();
                }
            }
            (QueueKind::Frames, _) => state.close_slow_reader(NO_ROOM),
            (QueueKind::Events, WritePhase::NoSocket) => {
                dropped = state.inbox.drop_events();
                state.count_dropped(dropped);
            }
            (QueueKind::Events | QueueKind::Messages, _) => state.close_slow_hook(NO_ROOM),
        }
        wake(state);
        events_dropped(dropped);
        match kind {
            QueueKind::Frames | QueueKind::Events => Eviction::Dropped,
            QueueKind::Messages => Eviction::Deferred,
        }
    }
}

/// The state under its lock. Stores the flags before the lock is released.
struct Locked<'a> {
    state: MutexGuard<'a, State>,
    flags: &'a AtomicU8,
    is_changed: bool,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.is_changed = true;
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.is_changed {
            let flags = self.state.flags();
            self.flags.store(flags.bits(), Ordering::Release);
        }
    }
}

/// Wakes the task once, after the lock is released, so that it does not run into the lock. The task
/// registers again when it has looked at everything.
fn wake(mut state: Locked<'_>) {
    let waker = state.waker.take();
    if state.phase.accepts_frames() {
        drop(state);
    } else {
        wake_senders(state);
    }
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Wakes the tasks that wait for room, after the lock is released: a waker may poll at once.
fn wake_senders(mut state: Locked<'_>) {
    if state.output.senders.is_none() {
        return;
    }
    let senders = state.output.senders.take();
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

/// The reason that the client and the consumer get.
const NO_ROOM: &str = "too slow: there is no more room for what waits";
