//! [`Sink`]: the face of a node to its backend, which delivers envelopes and reports outages.

use std::sync::Arc;

use crate::error::Error;
use crate::metrics::{arrival_dropped, arrival_skipped};
use crate::name::{ChannelName, GroupName};
use crate::sampler::{LogSampler, sampled};

use super::envelope::{Address, Envelope};
use super::registry::Registry;
use super::resubscription::Resubscription;

/// Takes the envelopes that arrive for a node. A clone belongs to the same node. It does not keep
/// the layer alive.
#[derive(Clone, Debug)]
pub struct Sink {
    registry: Arc<Registry>,
    resubscription: Arc<Resubscription>,
    log: Arc<LogSampler>,
}

impl Sink {
    pub(super) fn new(registry: Arc<Registry>, resubscription: Arc<Resubscription>) -> Self {
        Self {
            registry,
            resubscription,
            log: Arc::new(LogSampler::of_condition()),
        }
    }

    /// Delivers to the members here, and returns how many are addressed: counted when the envelope
    /// takes its place in the group's order.
    ///
    /// If more is published than can be delivered, it waits for delivery, never for a reader: at
    /// most 256 messages or 256 KiB of a group are pending. Messages of one group keep the order in
    /// which this is awaited.
    ///
    /// # Errors
    ///
    /// When the envelope is for a channel that has no room ([`Error::is_full`]), or holds an event
    /// that is not UTF-8.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returned, it has delivered nothing.
    pub async fn deliver(&self, envelope: &Envelope) -> Result<usize, Error> {
        self.registry.deliver(envelope).await
    }

    /// As [`deliver`](Self::deliver), but never waits: for a backend that must go on reading its
    /// connection.
    ///
    /// If 1,024 messages or 1 MiB of the group are pending already, the envelope is dropped and
    /// counted, and the [`gap`](crate::Consumer::gap) hook of the group's members runs. An event
    /// that finds a channel full is counted by its owner's [`dropped`](crate::Context::dropped).
    ///
    /// # Errors
    ///
    /// As of [`deliver`](Self::deliver), and [`Error::is_full`] for a group without room. The
    /// backend need not do anything about it.
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

    /// The beginning of the names of this node's channels: `specific.` and 32 hexadecimal digits.
    /// Behind it they have a `!`, a hexadecimal number, a `-` and 16 hexadecimal digits.
    #[must_use]
    pub fn node(&self) -> String {
        self.registry.node()
    }

    /// The groups that have members here now, in the order of their names.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupName> {
        let groups = self.registry.groups();
        groups.iter().map(|group| group.name().clone()).collect()
    }

    /// The connection is lost, and with it all subscriptions. Sockets stay open. Calling this again
    /// has no effect.
    pub fn down(&self, reason: &str) {
        self.resubscription.down(reason);
    }

    /// The connection is back and takes subscriptions. The layer subscribes to all groups that have
    /// members, and then runs their `gap` hooks. Call it in a runtime.
    pub fn up(&self) {
        self.resubscription.up();
    }

    /// This group alone may have missed something; its subscription is still valid. Call it in a
    /// runtime.
    pub fn gap(&self, group: &GroupName) {
        self.resubscription.gap(group);
    }

    /// Counts malformed data from the backend by this reason, which is one of few. A warning is
    /// logged at most every 10 s.
    pub fn skipped(&self, why: &'static str) {
        arrival_skipped(why);
        sampled!(
            self.log,
            warn,
            "message_skipped",
            why,
            "skipped a malformed message from the backend; check that all publishers use the same serializer, keys and version"
        );
    }
}
