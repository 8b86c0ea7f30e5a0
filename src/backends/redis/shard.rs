//! [`Shard`]: one server of a Cluster, as this node is connected to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::error::Error;
use crate::layer::Sink;
use crate::metrics::outage_began;

use super::find::Find;
use super::link::{Link, LinkOptions, Listener, Probe};
use super::seats::{Place, Seats};
use super::server::Server;
use super::topics::Topics;
use super::url::Host;

/// A server that is the master of some slots.
///
/// It has two links. When a slot moves to another server, this one ends the subscriptions to its
/// topics without having been asked, and the redis crate takes that for the answer to whatever was
/// sent last: so nothing that is waited for may go by that link, but other subscriptions, whose
/// answers are recognised by their topic.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) host: Host,
    /// No two shards of this process have the same.
    number: u64,
    pub(super) listening: Link,
    pub(super) publishing: Link,
}

/// The listener of a shard's events. It holds no link.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    pub(super) topics: Arc<Topics>,
    pub(super) seats: Arc<Seats>,
    pub(super) sink: Sink,
}

impl Shard {
    /// Connects, once. The connections are tested by the topic, which is this node's alone and lies
    /// in one of the server's slots.
    ///
    /// # Errors
    ///
    /// As of [`Link::connect`].
    pub(super) async fn connect(
        host: Host,
        server: Server,
        topic: String,
        options: &LinkOptions,
        arrivals: &Arrivals,
    ) -> Result<Self, Error> {
        let ears = Ears::new(&server, arrivals, 0);
        let find = Find::Fixed(server);
        let [listening, publishing] = tested_by(topic, options);
        let listening = Link::connect(find.clone(), listening, ears.clone()).await?;
        let publishing = Link::connect(find, publishing, ears).await?;
        Ok(Self::new(host, listening, publishing))
    }

    /// The same, but connects as soon as may be.
    pub(super) fn begin(
        host: Host,
        server: Server,
        topic: String,
        options: &LinkOptions,
        arrivals: &Arrivals,
    ) -> Self {
        let ears = Ears::new(&server, arrivals, LINKS);
        let find = Find::Fixed(server);
        let [listening, publishing] = tested_by(topic, options);
        let listening = Link::begin(find.clone(), listening, ears.clone());
        let publishing = Link::begin(find, publishing, ears);
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

/// For the link that subscriptions are on, and for the one that publishes.
fn tested_by(topic: String, options: &LinkOptions) -> [LinkOptions; LINKS] {
    [
        Probe::ShardSubscribe(topic.clone()),
        Probe::ShardPublish(topic),
    ]
    .map(|probe| LinkOptions {
        probe,
        ..options.clone()
    })
}

/// The events of one shard's links.
struct Ears {
    /// For the log.
    server: String,
    arrivals: Arrivals,
    /// How many of the links have no connection: the first that loses it begins an outage.
    away: AtomicUsize,
}

impl Ears {
    fn new(server: &Server, arrivals: &Arrivals, away: usize) -> Arc<Self> {
        Arc::new(Self {
            server: server.to_string(),
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
                "a shard of the channel layer's backend disconnected; its groups miss events until it reconnects, others are not affected"
            );
        }
        self.arrivals.seats.changed.notify_one();
    }

    fn up(&self) {
        if self.away.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::info!(
                server = self.server,
                "a shard of the channel layer's backend is connected; its groups are subscribed again"
            );
        }
        self.arrivals.seats.changed.notify_one();
    }

    fn unsubscribed(&self, topic: &str) {
        self.arrivals.seats.lose(topic);
    }
}

/// Of each shard.
const LINKS: usize = 2;
static NUMBERS: AtomicU64 = AtomicU64::new(0);
