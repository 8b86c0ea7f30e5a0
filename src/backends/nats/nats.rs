//! [`Nats`]: the backend, which replaces a lost connection.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::RwLock;

use async_nats::rustls::crypto::CryptoProvider;
use async_nats::rustls::crypto::ring::default_provider;
use async_trait::async_trait;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio::time::sleep;

use crate::backends::backoff::pause;
use crate::error::Error;
use crate::layer::Backend;
use crate::layer::Envelope;
use crate::layer::Guarantees;
use crate::layer::Published;
use crate::layer::Sink;
use crate::name::GroupName;

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
/// `nats://[user:password@|token@]host[:port][,host[:port]…][?prefix=…&tls=true&ca=FILE]`. Several hosts are one cluster. The port
/// is 4222 by default, the prefix, which begins all subjects, `strait`. With `tls=true` a server without TLS is refused; one
/// that asks for TLS gets it in any case. `ca` is a PEM file with the authorities to trust, instead of the system's. What has a
/// meaning in a URL is percent-encoded. Logins by NKey, JWT or a client's certificate are not supported.
///
/// A user with permissions needs those to publish and to subscribe below the prefix: `strait.>`.
///
/// # What it promises
///
/// At most once. What one node publishes to a group, one after the other, arrives in that order; several nodes' may arrive in
/// different orders at different nodes. How many receivers there are, NATS does not tell: [`Published::receivers`] is 0. A
/// publish and a join return when the server has confirmed that it has them. In a cluster, the other servers hear of a
/// subscription a moment later, so what is published there just after a join may be missed.
///
/// A node has one connection, one subscription for each group with members here (about 6 KB of memory), and two of its own.
/// The largest message is the server's `max_payload`, by default 1 MiB: more is an error ([`Error::is_too_large`]).
///
/// # Outages
///
/// Publishing and joining fail at once while the connection is lost. It is tried again after 0.1 to 1 s, and after 30 s
/// every 0.1 to 5 s, without end. A connection that has become silent is found within 25 s, and within 5 s by whoever publishes.
#[must_use = "a backend does nothing until it is given to ChannelLayer::new"]
pub struct Nats {
    url: String,
    prefix: Option<String>,
    running: OnceLock<Running>,
}

struct Running {
    servers: String,
    link: Current,
    supervisor: AbortHandle,
}

/// `None` while there is no connection.
type Current = Arc<RwLock<Option<Arc<Link>>>>;

impl Nats {
    /// A backend that will connect to this [URL](Self#url). A mistake in it is an error of [`ChannelLayer::new`](crate::ChannelLayer::new).
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: None,
            running: OnceLock::new(),
        }
    }

    /// What all subjects begin with, whatever the URL says: nodes with the same prefix share their groups. ASCII letters, digits,
    /// `-` and `_`, in parts that a `.` divides. Default: `strait`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    fn link(&self) -> Result<Arc<Link>, Error> {
        let running = self.running.get();
        let running = running.ok_or_else(|| Error::unavailable("NATS has not been started"))?;
        current(&running.link).ok_or_else(|| {
            Error::unavailable(format!("not connected to NATS at {}", running.servers))
        })
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
        // rustls panics where it has to choose among several; a program that has chosen is left alone.
        if CryptoProvider::get_default().is_none() {
            let _ = default_provider().install_default();
        }
        let servers = settings.to_string();
        let first = Arc::new(Link::connect(&settings, &sink).await?);
        let link = Arc::new(RwLock::new(Some(first.clone())));
        let supervisor = tokio::spawn(supervise(settings, sink, link.clone(), first));
        let running = Running {
            servers,
            link,
            supervisor: supervisor.abort_handle(),
        };
        self.running
            .set(running)
            .map_err(|_| Error::misconfigured("this Nats serves a layer already: make another"))
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
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

fn current(link: &Current) -> Option<Arc<Link>> {
    link.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn replace(link: &Current, by: Option<Arc<Link>>) {
    *link.write().unwrap_or_else(PoisonError::into_inner) = by;
}

/// Watches one link after the other, until it is aborted.
async fn supervise(settings: Settings, sink: Sink, current: Current, mut link: Arc<Link>) {
    loop {
        let why = watch(&link, &sink).await;
        replace(&current, None);
        sink.down(&why);
        drop(link);
        link = reconnect(&settings, &sink).await;
        replace(&current, Some(link.clone()));
        sink.up();
    }
}

/// Until the link is lost.
async fn watch(link: &Link, sink: &Sink) -> String {
    loop {
        tokio::select! {
            why = link.lost() => return why,
            () = link.slow() => {
                // Which group it was, the library does not tell.
                for group in sink.groups() {
                    sink.gap(&group);
                }
            }
        }
    }
}

async fn reconnect(settings: &Settings, sink: &Sink) -> Arc<Link> {
    let begin = Instant::now();
    loop {
        sleep(pause(begin.elapsed())).await;
        match Link::connect(settings, sink).await {
            Ok(link) => return Arc::new(link),
            Err(error) => tracing::debug!(%error, "NATS is still away"),
        }
    }
}
