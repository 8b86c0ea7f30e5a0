//! [`Sockets`]: the connections of one service, counted and drained.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use crate::close::{Cause, CloseCode};
use crate::handshake::{Client, Limiter, Limits, Reject};
use crate::layer::ChannelLayer;
use crate::mailbox::{Close, CloseRequest, Mailbox};
use crate::random;
use crate::sampler::LogSampler;

use super::deadlines::after;

/// The open connections of a service. A clone is the same service's.
#[derive(Clone)]
pub struct Sockets(Arc<Inner>);

struct Inner {
    limits: Limits,
    state: Mutex<State>,
    /// Notified when the last connection has ended.
    empty: Notify,
    /// A warning that clients have no address was logged.
    is_blind: AtomicBool,
    log: LogSampler,
}

struct State {
    /// Sessions from the beginning of `connect` to the end of `disconnect`.
    live: HashMap<u64, Arc<Mailbox>>,
    /// The places of the sessions, and of handshakes under way.
    limiter: Limiter,
    /// The layers of all sessions so far, each once. Most services have one.
    layers: Vec<ChannelLayer>,
    draining: bool,
}

/// How to end all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    window: Duration,
    deadline: Duration,
}

/// The outcome of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were open when it began, and have ended.
    pub closed: usize,
    /// Connections that had not ended, hooks and all, when it gave up.
    pub abandoned: usize,
}

impl Sockets {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner {
            limits,
            state: Mutex::new(State {
                live: HashMap::new(),
                layers: Vec::new(),
                limiter: Limiter::new(limits),
                draining: false,
            }),
            empty: Notify::new(),
            is_blind: AtomicBool::new(false),
            log: LogSampler::of_condition(),
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the number of connections, from the beginning of `connect` to the end of
    /// `disconnect`.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().live.len()
    }

    /// Whether [`drain`](Self::drain) was called: new handshakes are answered 503.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Ends all connections: new handshakes are answered 503; the open ones are closed with 1012,
    /// in random order spread over the window, with a reason such as `retry_after_ms=1500` that
    /// spreads the clients' return. Messages that were published before go out first, if that takes
    /// no more than a quarter of the deadline. A running hook ends first, and queued messages go
    /// out. At the deadline running hooks are dropped. Every `disconnect` runs.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, new handshakes stay refused, and connections
    /// that were not closed yet stay open. Call it again.
    pub async fn drain(&self, drain: Drain) -> Drained {
        let (mailboxes, layers) = self.begin_drain();
        let total = mailboxes.len();
        let deadline = after(Instant::now(), drain.deadline);
        // A fan-out that is under way goes from member to member. The clients that are closed first
        // would miss its messages.
        let fanned_out = async {
            for layer in &layers {
                layer.settle().await;
            }
        };
        // A fan-out stands still if its runtime does. So hooks and queues keep their part of the
        // time.
        let _ = timeout(drain.deadline / FANOUT_SHARE, fanned_out).await;
        let start = Instant::now();
        for (place, mailbox) in mailboxes.into_iter().enumerate() {
            let share = drain.window.mul_f64(place as f64 / total.max(1) as f64);
            let due = after(start, share);
            if due > Instant::now() {
                // If nobody is left, there is nothing to wait for.
                let _ = timeout_at(due.min(deadline), self.emptied()).await;
            }
            mailbox.close(Close::BetweenHooks(drain.request()));
        }
        if timeout_at(deadline, self.emptied()).await.is_err() {
            let late: Vec<_> = self.lock().live.values().cloned().collect();
            let last = late
                .iter()
                .map(|mailbox| mailbox.settings().config())
                .map(|config| {
                    config
                        .disconnect_timeout
                        .saturating_add(config.close_timeout)
                });
            let last = last.max().unwrap_or_default();
            for mailbox in &late {
                mailbox.close(Close::CancellingHook(drain.request()));
            }
            let _ = timeout_at(after(Instant::now(), last), self.emptied()).await;
        }
        let abandoned = self.count();
        Drained {
            closed: total.saturating_sub(abandoned),
            abandoned,
        }
    }

    /// Takes a place for a handshake from this address, until the guard is dropped. Returns `None`
    /// during a drain.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Option<Result<Guard, Reject>> {
        self.warn_if_blind(address);
        let client = address.filter(|_| self.limits().needs_client());
        let client = client.map(Client::from);
        let mut state = self.lock();
        if state.draining {
            return None;
        }
        let taken = state.limiter.take(client, Instant::now());
        drop(state);
        if let Err(refused) = taken {
            return Some(Err(refused.into_reject(
                self.limits(),
                address,
                &self.0.log,
            )));
        }
        Some(Ok(Guard {
            sockets: self.clone(),
            client,
            id: None,
        }))
    }

    /// Warns that clients without an address cannot be limited. Otherwise an attack would be the
    /// first sign of it.
    fn warn_if_blind(&self, address: Option<IpAddr>) {
        let is_blind = address.is_none() && self.limits().needs_client();
        if is_blind && !self.0.is_blind.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "Limits::per_ip is NOT in force: requests come without the client's address. Inside axum, serve with \
                 into_make_service_with_connect_info::<SocketAddr>() and have a middleware insert \
                 strait::handshake::Peer(address) into the request's extensions"
            );
        }
    }

    /// Refuses new handshakes from now on. Returns the open connections in random order, and their
    /// layers.
    fn begin_drain(&self) -> (Vec<Arc<Mailbox>>, Vec<ChannelLayer>) {
        let mut state = self.lock();
        state.draining = true;
        let mut mailboxes: Vec<_> = state.live.values().cloned().collect();
        let layers = state.layers.clone();
        drop(state);
        // First in an order that does not depend on the map, so that a seed decides.
        mailboxes.sort_unstable_by_key(|mailbox| mailbox.id());
        random::shuffle(&mut mailboxes);
        (mailboxes, layers)
    }

    async fn emptied(&self) {
        loop {
            let empty = self.0.empty.notified();
            if self.count() == 0 {
                return;
            }
            empty.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl Drain {
    /// Returns a drain with no window, and ten seconds for hooks and queues.
    pub fn new() -> Self {
        Self {
            window: Duration::ZERO,
            deadline: Duration::from_secs(10),
        }
    }

    /// Spreads the closings over this time. A connection that is not closed by the
    /// [deadline](Self::deadline) is closed then, so let that be some seconds later. Default: none.
    ///
    /// The drain lasts as long, and about half of the clients are asked to come back before it has
    /// ended. If no other process accepts them yet, they are refused, which a page sees as 1006,
    /// and wait again.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Sets when running hooks are dropped, counted from the beginning. Default: 10 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Asks a client to come back at a time of its own, within the window or within two seconds,
    /// whichever is longer.
    fn request(&self) -> CloseRequest {
        let spread = self.window.max(Duration::from_secs(2)).as_millis();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX).max(1);
        let retry_after = 100 + random::in_range(0..=spread - 1);
        CloseRequest {
            code: CloseCode::SERVICE_RESTART,
            reason: format!("retry_after_ms={retry_after}"),
            cause: Cause::Drain,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

/// A handshake or a session that is counted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    sockets: Sockets,
    client: Option<Client>,
    /// The session's, once there is one.
    id: Option<NonZeroU64>,
}

impl Guard {
    /// Registers the session that the handshake has become. Returns `None` during a drain, which
    /// would not close it.
    pub(super) fn register(mut self, mailbox: Arc<Mailbox>, layer: &ChannelLayer) -> Option<Self> {
        self.id = NonZeroU64::new(mailbox.id());
        let mut state = self.sockets.lock();
        if state.draining {
            return None;
        }
        if !state.layers.iter().any(|known| known.is(layer)) {
            state.layers.push(layer.clone());
        }
        state.live.insert(mailbox.id(), mailbox);
        drop(state);
        Some(self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut state = self.sockets.lock();
        state.limiter.give_back(self.client);
        let mailbox = self.id.and_then(|id| state.live.remove(&id.get()));
        let was_last = mailbox.is_some() && state.live.is_empty();
        // The queues of the mailbox are dropped without the lock, since a payload may have a `Drop`
        // of the application's.
        drop(state);
        drop(mailbox);
        if was_last {
            self.sockets.0.empty.notify_waiters();
        }
    }
}

/// The divisor of a drain's deadline that gives the time for fan-outs under way when it begins.
const FANOUT_SHARE: u32 = 4;
