//! [`Nats`]: the backend, which replaces a lost connection.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::{fmt, mem};

use async_trait::async_trait;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::backends::backoff::pause;
use crate::error::Error;
use crate::layer::{Backend, Envelope, Guarantees, Published, Sink};
use crate::name::GroupName;

use super::driver::Driver;
use super::link::Link;
use super::settings::Settings;

/// Carries envelopes between nodes over core NATS.
///
/// ```no_run
/// use strait::ChannelLayer;
/// use strait::backends::Nats;
///
/// # async fn start() -> Result<(), strait::Error> {
/// let layer = ChannelLayer::new(Nats::new("nats://user:password@localhost:4222").prefix("shop")).await?;
/// # Ok(()) }
/// ```
///
/// # URL
///
/// `nats://[user:password@|token@]host[:port][,host[:port]…][?prefix=…&tls=true&ca=FILE]`. Several
/// hosts are one cluster. The port is 4222 by default, the prefix, which begins all subjects,
/// `strait`. With `tls=true` a server without TLS is refused; one that asks for TLS gets it in any
/// case. `ca` is a PEM file with the authorities to trust, instead of the system's. Characters with
/// a meaning in a URL are percent-encoded. Logins by NKey, JWT or a client's certificate are not
/// supported.
///
/// A user with permissions needs those to publish and to subscribe below the prefix: `strait.>`.
/// The server's `max_subscriptions`, and the limit of the account, must allow one subscription for
/// each group with members on this node, and one more.
///
/// # Refusals
///
/// - If it does not let the node publish and subscribe to the node's own subjects, or does not
///   deliver what the node publishes to itself, [`ChannelLayer::new`](crate::ChannelLayer::new)
///   fails.
/// - A join or a publish that the server denies, or a join beyond its limits, fails with
///   [`Error::is_misconfigured`]. The text names the subject, and what to change. The group is not
///   subscribed to, and the next join asks for it again. The log has one warning a minute for each
///   kind of refusal.
/// - After an outage a group that is denied now stays without messages until the server lets it: it
///   is asked for again every minute, and by each join. Then its members'
///   [`gap`](crate::Consumer::gap) hooks run. All other groups are subscribed to meanwhile.
/// - A reload of the server's configuration that takes a subscription or the login away is an
///   outage.
/// - A server that has no room for another client, that is about to shut down (lame duck mode) or
///   does not answer is an outage, too. In lame duck mode it is used until it closes the
///   connection.
///
/// A server that is cut off from the rest of its cluster, or a leaf node without its upstream, does
/// not tell its clients. Nodes on either side reach those on the same side, and their publishes
/// succeed.
///
/// # Promises
///
/// At most once. Messages that one node publishes to a group, one after the other, arrive in that
/// order; those of several nodes may arrive in different orders at different nodes. How many
/// receivers there are, NATS does not tell: [`Published::receivers`] is 0. A publish and a join
/// return when the server has confirmed that it has them. In a cluster, the other servers hear of a
/// subscription a moment later, so what is published there just after a join may be missed.
///
/// A node has one connection, one subscription for each group with members here, and one of its
/// own. The connection holds at most about 256 KiB of publishes that are not written yet, or the
/// largest of them. The largest message is the server's `max_payload`, by default 1 MiB, and 16 MiB
/// at most: more is an error ([`Error::is_too_large`]).
///
/// # Outages
///
/// Publishing and joining fail at once while the connection is lost. The node tries again every 0.1
/// to 1 s, and after 30 s every 0.1 to 5 s, without end. A connection that has become silent is
/// found within 25 s, or within 5 s if something is published.
#[must_use = "a backend does nothing until it is given to ChannelLayer::new"]
pub struct Nats {
    url: String,
    prefix: Option<String>,
    running: OnceLock<Running>,
}

struct Running {
    link: Current,
    supervisor: AbortHandle,
}

/// The link, or why there is none.
type Current = Arc<RwLock<Result<Arc<Link>, String>>>;

impl Nats {
    /// A backend that will connect to this [URL](Self#url). A mistake in it is an error of
    /// [`ChannelLayer::new`](crate::ChannelLayer::new).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: None,
            running: OnceLock::new(),
        }
    }

    /// Sets the beginning of all subjects, overriding the URL: nodes with the same prefix share
    /// their groups. ASCII letters, digits, `-` and `_`, in parts that a `.` divides. Default:
    /// `strait`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    fn link(&self) -> Result<Arc<Link>, Error> {
        let running = self.running.get();
        let running = running.ok_or_else(|| Error::unavailable("NATS has not been started"))?;
        let link = running.link.read().unwrap_or_else(PoisonError::into_inner);
        let away = |why| Error::unavailable(format!("there is no connection to NATS: {why}"));
        link.clone().map_err(away)
    }
}

#[async_trait]
impl Backend for Nats {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        let mut settings = Settings::parse(&self.url)?;
        if let Some(prefix) = &self.prefix {
            settings = settings.with_prefix(prefix)?;
        }
        let (first, driver) = Link::connect(&settings, &sink).await?;
        let link = Arc::new(RwLock::new(Ok(first)));
        let supervisor = tokio::spawn(supervise(settings, sink, link.clone(), driver));
        let running = Running {
            link,
            supervisor: supervisor.abort_handle(),
        };
        self.running
            .set(running)
            .map_err(|_| Error::misconfigured("this Nats serves a layer already: make another"))
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        envelope.check_len()?;
        self.link()?.publish(&envelope).await?;
        Ok(Published::default())
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.link()?.subscribe(groups).await
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.link()?.unsubscribe(groups).await
    }
}

/// Owned by the backend: the layer's end is the end of the supervisor, and of its link.
impl Drop for Running {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

/// The URL holds a password.
impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats").finish_non_exhaustive()
    }
}

fn replace(link: &Current, by: Result<Arc<Link>, String>) {
    *link.write().unwrap_or_else(PoisonError::into_inner) = by;
}

/// Drives one link after the other, until it is aborted.
async fn supervise(settings: Settings, sink: Sink, current: Current, mut driver: Driver) {
    loop {
        let why = driver.run().await;
        replace(&current, Err(why.clone()));
        sink.down(&why);
        let link;
        (link, driver) = reconnect(&settings, &sink, &current).await;
        replace(&current, Ok(link));
        sink.up();
    }
}

async fn reconnect(settings: &Settings, sink: &Sink, current: &Current) -> (Arc<Link>, Driver) {
    let begin = Instant::now();
    let mut has_warned = false;
    loop {
        sleep(pause(begin.elapsed())).await;
        let error = match Link::connect(settings, sink).await {
            Ok(connected) => return connected,
            Err(error) => error,
        };
        // The loss has been logged; but it may be more than an outage.
        if error.is_misconfigured() && !mem::replace(&mut has_warned, true) {
            tracing::warn!(%error, "cannot reconnect to NATS as it is configured; trying again");
        } else {
            tracing::debug!(%error, "cannot reconnect to NATS yet");
        }
        replace(current, Err(error.reason()));
    }
}
