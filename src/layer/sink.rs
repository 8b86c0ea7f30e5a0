//! [`Sink`]: where a backend puts what arrives for its node, and tells of outages.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;
use crate::metrics::arrival_dropped;
use crate::metrics::arrival_skipped;
use crate::name::ChannelName;
use crate::name::GroupName;

use super::envelope::Address;
use super::envelope::Envelope;
use super::recovery::Recovery;
use super::registry::Registry;

/// Where a backend puts what arrives for a node. A clone is the same node's. It does not keep the layer.
#[derive(Clone, Debug)]
pub struct Sink {
    registry: Arc<Registry>,
    recovery: Arc<Recovery>,
    /// When the log was last warned of what cannot be read.
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Sink {
    pub(super) fn new(registry: Arc<Registry>, recovery: Arc<Recovery>) -> Self {
        Self {
            registry,
            recovery,
            warned: Arc::default(),
        }
    }

    /// Delivers to the members here, and returns how many are addressed: counted when the envelope
    /// takes its place in the group's order.
    ///
    /// Where more is published than can be delivered, it waits for delivery, never for a reader: at
    /// the most 256 messages or 256 KiB of a group are pending. Messages of one group keep the
    /// order in which this is awaited.
    ///
    /// # Errors
    ///
    /// When the envelope is for a channel that has no room ([`Error::is_full`]), or holds an event that is not UTF-8.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has delivered nothing.
    pub async fn deliver(&self, envelope: &Envelope) -> Result<usize, Error> {
        self.registry.deliver(envelope).await
    }

    /// As [`deliver`](Self::deliver), for a backend whose connection must be read on: it never waits.
    ///
    /// Where 1,024 messages or 1 MiB of the group wait for delivery, so that there is no room, the envelope is dropped and
    /// counted, and the [`gap`](crate::Consumer::gap) hook of the group's members runs. What a full channel does not take is
    /// counted by its owner's [`dropped`](crate::Context::dropped).
    ///
    /// # Errors
    ///
    /// As of [`deliver`](Self::deliver), and [`Error::is_full`] for a group without room. There is nothing that the backend has
    /// to do about it.
    pub fn try_deliver(&self, envelope: &Envelope) -> Result<usize, Error> {
        let result = self.registry.try_deliver(envelope);
        match &result {
            Err(error) if error.is_full() => match &envelope.to {
                Address::Group(group) => {
                    arrival_dropped();
                    self.gap(group);
                }
                Address::Channel(channel) => self.registry.note_dropped(channel),
            },
            Err(_) => self.skipped("not an event"),
            Ok(_) => {}
        }
        result
    }

    /// Whether an envelope for this channel is for this node.
    #[must_use]
    pub fn owns(&self, channel: &ChannelName) -> bool {
        self.registry.owns(channel)
    }

    /// What the names of this node's channels begin with: `specific.` and 32 hexadecimal digits. Behind it they have a `!` and a
    /// hexadecimal number.
    #[must_use]
    pub fn node(&self) -> String {
        self.registry.node()
    }

    /// The groups that have members here now, in no order.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupName> {
        let groups = self.registry.groups();
        groups.iter().map(|group| group.name().clone()).collect()
    }

    /// The connection is lost, and with it all subscriptions. Sockets stay open. To say it twice is to say it once.
    pub fn down(&self, reason: &str) {
        self.recovery.down(reason);
    }

    /// The connection is there again, and can be subscribed on: the layer subscribes to all groups that have members, and then
    /// tells those that they may have missed something. To be called in a runtime.
    pub fn up(&self) {
        self.recovery.up();
    }

    /// This group alone may have missed something; its subscription is as good as before. To be called in a runtime.
    pub fn gap(&self, group: &GroupName) {
        self.recovery.gap(group);
    }

    /// Something arrived that no envelope could be made of: it is counted by this reason, one of few, and skipped. The log warns of
    /// it once a minute.
    pub fn skipped(&self, why: &'static str) {
        arrival_skipped(why);
        if self.may_warn() {
            tracing::warn!(
                why,
                "skipped what came from the backend, and perhaps more: does everybody who publishes there have the same settings (serializer, keys, version)?"
            );
        } else {
            tracing::debug!(why, "skipped what came from the backend");
        }
    }

    /// What may happen with every message is told once in a while.
    fn may_warn(&self) -> bool {
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|before| now - before < BETWEEN_WARNINGS) {
            return false;
        }
        *warned = Some(now);
        true
    }
}

const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);
