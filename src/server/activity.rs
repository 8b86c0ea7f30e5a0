//! [`Activity`]: the state of an HTTP connection, and the deadline that follows from it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

/// How long an HTTP connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the first byte of a head to its last; for the first head, from accepting.
    pub(super) header: Duration,
    /// For the first byte of the next head.
    pub(super) keep_alive: Duration,
    /// Without a byte of a request's body, or without one of an answer taken.
    pub(super) transfer: Duration,
}

/// The reason why a connection waits, if it is its client's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Head,
    NextRequest,
    RequestBody,
    Write,
    /// Everything is sent, and the client may still be sending.
    Goodbye,
}

impl Timeouts {
    fn of(&self, wait: Wait) -> Duration {
        match wait {
            Wait::Head => self.header,
            Wait::NextRequest => self.keep_alive,
            Wait::RequestBody | Wait::Write => self.transfer,
            Wait::Goodbye => GOODBYE,
        }
    }
}

/// A fraction of a millisecond, beside the program's own time.
const TURN_REQUESTS: u8 = 64;

/// How long a client may still send after its last answer.
const GOODBYE: Duration = Duration::from_secs(1);

/// The stream, the service and the bodies each note their part; the
/// [`Places`](super::places::Places) look for the longest wait.
///
/// While the program works on a request the connection waits for no client, so a handler may take
/// as long as it likes.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// When the head began, or the wait for it.
    head_since: Instant,
    has_head_begun: bool,
    /// Answers and request bodies that the program has not finished with.
    in_hand: usize,
    /// Requests that began in this turn of the connection's task.
    requests: u8,
    /// Since when a read has waited for bytes.
    read_since: Option<Instant>,
    /// Since when a write has waited, without a byte taken.
    write_since: Option<Instant>,
    /// Since when the program has waited for more of a request's body.
    body_since: Option<Instant>,
    goodbye_since: Option<Instant>,
    is_evicted: bool,
    /// The connection's task is running, and will look at all this before it sleeps.
    is_polled: bool,
    task: Option<Waker>,
    /// Its index among the places, while it holds one.
    place: Option<usize>,
}

impl Activity {
    /// Of a connection that was accepted just now.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            head_since: Instant::now(),
            has_head_begun: true,
            in_hand: 0,
            requests: 0,
            read_since: None,
            write_since: None,
            body_since: None,
            goodbye_since: None,
            is_evicted: false,
            is_polled: false,
            task: None,
            place: None,
        })))
    }

    /// A request has arrived, and is the program's until all clones of the result are dropped.
    pub(super) fn begin_request(&self) -> InHand {
        let mut state = self.lock();
        state.in_hand += 1;
        state.requests = state.requests.saturating_add(1);
        drop(state);
        InHand(self.clone())
    }

    /// Whether this many requests are enough for one turn; then the next turn begins.
    pub(super) fn is_turn_over(&self) -> bool {
        let mut state = self.lock();
        let is_over = state.requests >= TURN_REQUESTS;
        if is_over {
            state.requests = 0;
        }
        is_over
    }

    pub(super) fn read(&self, bytes: usize) {
        let mut state = self.lock();
        state.read_since = None;
        if bytes > 0 && state.in_hand == 0 && !state.has_head_begun {
            state.head_since = Instant::now();
            state.has_head_begun = true;
        }
    }

    pub(super) fn read_waits(&self) {
        self.lock().read_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn wrote(&self) {
        let mut state = self.lock();
        state.write_since = None;
        if state.in_hand == 0 {
            // The next head has its whole time from the end of this answer on.
            state.head_since = Instant::now();
        }
    }

    pub(super) fn write_waits(&self) {
        self.lock().write_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn body_waits(&self) {
        let mut state = self.lock();
        state.body_since.get_or_insert_with(Instant::now);
        state.wake();
    }

    pub(super) fn body_goes_on(&self) {
        self.lock().body_since = None;
    }

    /// Since when the connection has waited for its client.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.lock().wait().map(|(_, since)| since)
    }

    /// Ends the connection as soon as it waits for its client.
    pub(super) fn evict(&self) {
        let mut state = self.lock();
        state.is_evicted = true;
        state.wake();
    }

    pub(super) fn place(&self) -> Option<usize> {
        self.lock().place
    }

    pub(super) fn set_place(&self, place: Option<usize>) {
        self.lock().place = place;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wait(&self) -> Option<(Wait, Instant)> {
        if let Some(since) = self.goodbye_since {
            return Some((Wait::Goodbye, since));
        }
        if let Some(since) = self.write_since {
            return Some((Wait::Write, since));
        }
        let read = self.read_since?;
        if let Some(body) = self.body_since {
            return Some((Wait::RequestBody, body.max(read)));
        }
        match (self.in_hand, self.has_head_begun) {
            (0, true) => Some((Wait::Head, self.head_since)),
            (0, false) => Some((Wait::NextRequest, self.head_since)),
            _ => None,
        }
    }

    fn wake(&mut self) {
        if !self.is_polled
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }
}

/// A request that the program works on: its answer, or its body.
#[derive(Debug)]
pub(super) struct InHand(Activity);

impl InHand {
    pub(super) fn activity(&self) -> &Activity {
        &self.0
    }
}

impl Clone for InHand {
    fn clone(&self) -> Self {
        self.0.lock().in_hand += 1;
        Self(self.0.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_hand -= 1;
        if state.in_hand == 0 {
            // The first bytes of the next head may have come with this request, unseen here; it
            // then has the keep-alive time.
            state.head_since = Instant::now();
            state.has_head_begun = false;
            state.wake();
        }
    }
}

/// Ends a connection that waits for its client for too long.
pub(super) struct Deadline<'a> {
    activity: &'a Activity,
    timeouts: Timeouts,
    sleep: Pin<&'a mut Sleep>,
}

/// Why a connection was ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    /// It has waited for its client for too long.
    TimedOut(Wait),
    /// Its place was needed.
    Evicted(Wait),
}

impl<'a> Deadline<'a> {
    pub(super) fn new(
        activity: &'a Activity,
        timeouts: Timeouts,
        sleep: Pin<&'a mut Sleep>,
    ) -> Self {
        Self {
            activity,
            timeouts,
            sleep,
        }
    }

    /// Runs the future as long as what the connection waits for is not overdue.
    pub(super) async fn within<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Cut> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.activity.lock().is_polled = true;
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => self.poll_cut(cx).map(Err),
            }
        })
        .await
    }

    /// From now on the connection waits for the client's end, for a moment.
    pub(super) fn say_goodbye(&self) {
        self.activity.lock().goodbye_since = Some(Instant::now());
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let (wait, since) = {
            let mut state = self.activity.lock();
            state.is_polled = false;
            match &mut state.task {
                Some(task) => task.clone_from(cx.waker()),
                task => *task = Some(cx.waker().clone()),
            }
            let Some((wait, since)) = state.wait() else {
                return Poll::Pending;
            };
            if state.is_evicted {
                return Poll::Ready(Cut::Evicted(wait));
            }
            (wait, since)
        };
        let at = since + self.timeouts.of(wait);
        // The timer is moved forward only when it fires, so that progress costs nothing but a note
        // of the time.
        loop {
            if at < self.sleep.deadline() {
                self.sleep.as_mut().reset(at);
            }
            // Past tokio's budget: if that is spent, the timer would not know the task.
            ready!(pin!(unconstrained(self.sleep.as_mut())).poll(cx));
            if at <= Instant::now() {
                return Poll::Ready(Cut::TimedOut(wait));
            }
            self.sleep.as_mut().reset(at);
        }
    }
}
