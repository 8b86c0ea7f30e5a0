//! [`Backend`]: the plug that carries envelopes between nodes, and the [`Sink`] it puts them into.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;
use crate::name::GroupName;

use super::envelope::Envelope;
use super::registry::Registry;

/// Carries envelopes between the nodes that share it. It knows no sockets and keeps no members:
/// delivering to the members of a node is the node's own business.
///
/// The trait is still growing: history, presence and queues for workers will be separate small
/// traits beside it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// What it promises.
    fn guarantees(&self) -> Guarantees;

    /// Connects, and puts every envelope for this node into the sink from now on: those for a group it has
    /// subscribed to, and those for a channel whose [name](Sink::owns) is this node's.
    ///
    /// # Errors
    ///
    /// When it cannot start; the layer is then not made.
    async fn start(&self, sink: Sink) -> Result<(), Error>;

    /// Carries an envelope to every node that has receivers, this one included: a node's own
    /// publish comes back through its sink, so that the order is the backend's and the same for
    /// all.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] when the envelope was not, or perhaps not, taken; a full channel's error.
    async fn publish(&self, envelope: Envelope) -> Result<Published, Error>;

    /// Begins to receive for these groups. What anybody publishes after this returned is received.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] when the subscription is not confirmed.
    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error>;

    /// Ceases to receive for these groups.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`]; the layer logs it and goes on.
    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error>;
}

/// What a backend promises beyond "at most once".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// The order within a group is the same on every node.
    pub ordered: bool,
}

impl Guarantees {
    /// Promises nothing more.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Promises one order per group, on every node.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }
}

/// What is known of a publish when it returns.
///
/// Not `Copy`, so that it can grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// How many were addressed, as far as the backend knows: with the memory backend, members. That
    /// each of them takes it is not meant: a member may be full or just leaving.
    pub receivers: usize,
}

impl Published {
    /// A publish that addressed this many.
    #[must_use]
    pub fn new(receivers: usize) -> Self {
        Self { receivers }
    }
}

/// Where a backend puts what arrives for a node. A clone is the same node's.
#[derive(Clone, Debug)]
pub struct Sink {
    registry: Arc<Registry>,
}

impl Sink {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
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

    /// Whether an envelope for this channel is for this node.
    #[must_use]
    pub fn owns(&self, channel: &crate::name::ChannelName) -> bool {
        self.registry.owns(channel)
    }
}
