//! [`Shard`]: one server of a Cluster, as this node is connected to it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::error::Error;
use crate::layer::Sink;
use crate::metrics::outage_began;

use super::find::Find;
use super::link::Link;
use super::link::LinkOptions;
use super::link::Listener;
use super::seats::Place;
use super::seats::Seats;
use super::server::Server;
use super::topics::Topics;
use super::url::Host;

/// A server that is the master of some slots.
///
/// It has two links. When a slot moves to another server, this one ends the subscriptions to its topics without having been asked,
/// and the redis crate takes that for the answer to whatever was sent last: so nothing that is waited for may go by that link,
/// but other subscriptions, whose answers are recognised by their topic.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) host: Host,
    /// No two shards of this process have the same.
    number: u64,
    pub(super) listening: Link,
    pub(super) publishing: Link,
}

/// Where what a shard tells goes. It holds no link.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    pub(super) topics: Arc<Topics>,
    pub(super) seats: Arc<Seats>,
    pub(super) sink: Sink,
}

impl Shard {
    /// Connects, once.
    ///
    /// # Errors
    ///
    /// As of [`Link::connect`].
    pub(super) async fn connect(
        host: Host,
        server: Server,
        options: LinkOptions,
        arrivals: &Arrivals,
    ) -> Result<Self, Error> {
        let find = Find::Fixed(server);
        let ears = Ears::new(arrivals, 0);
        let listening = Link::connect(find.clone(), options.clone(), ears.clone()).await?;
        let publishing = Link::connect(find, options, ears).await?;
        Ok(Self::new(host, listening, publishing))
    }

    /// Connects as soon as may be.
    pub(super) fn begin(
        host: Host,
        server: Server,
        options: LinkOptions,
        arrivals: &Arrivals,
    ) -> Self {
        let find = Find::Fixed(server);
        let ears = Ears::new(arrivals, LINKS);
        let listening = Link::begin(find.clone(), options.clone(), ears.clone());
        let publishing = Link::begin(find, options, ears);
        Self::new(host, listening, publishing)
    }

    fn new(host: Host, listening: Link, publishing: Link) -> Self {
        Self {
            host,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            listening,
            publishing,
        }
    }

    /// The connection that subscriptions are on, while there is one.
    pub(super) fn place(&self) -> Option<Place> {
        Some((self.number, self.listening.epoch()?))
    }

    pub(super) fn is_up(&self) -> bool {
        self.listening.epoch().is_some() && self.publishing.epoch().is_some()
    }
}

/// What one shard's links tell.
struct Ears {
    arrivals: Arrivals,
    /// How many of the links have no connection: the first that loses it begins an outage.
    away: AtomicUsize,
}

impl Ears {
    fn new(arrivals: &Arrivals, away: usize) -> Arc<Self> {
        Arc::new(Self {
            arrivals: arrivals.clone(),
            away: AtomicUsize::new(away),
        })
    }
}

impl Listener for Ears {
    fn message(&self, topic: &str, payload: Bytes) {
        let Arrivals { topics, sink, .. } = &self.arrivals;
        topics.deliver(topic, payload, sink);
    }

    fn down(&self, reason: &str) {
        if self.away.fetch_add(1, Ordering::Relaxed) == 0 {
            outage_began();
            tracing::warn!(
                reason,
                "a shard of the channel layer's backend is away: its groups miss what is published, others go on"
            );
        }
        self.arrivals.seats.changed.notify_one();
    }

    fn up(&self) {
        self.away.fetch_sub(1, Ordering::Relaxed);
        self.arrivals.seats.changed.notify_one();
    }

    fn unsubscribed(&self, topic: &str) {
        self.arrivals.seats.lose(topic);
    }
}

/// Of each shard.
const LINKS: usize = 2;
static NUMBERS: AtomicU64 = AtomicU64::new(0);
