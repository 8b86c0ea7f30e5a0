//! [`Backend`]: the plug that carries envelopes between nodes.

use async_trait::async_trait;

use crate::error::Error;
use crate::name::GroupName;

use super::envelope::Envelope;
use super::sink::Sink;

/// Carries envelopes between the nodes that share it. It knows no sockets and keeps no members:
/// delivering to the members of a node is the node's own business.
///
/// It is owned by its layer and dropped with the last clone of that: its `Drop` ends the tasks that
/// it has begun.
///
/// # Outages
///
/// A backend that loses its connection calls [`Sink::down`], and publishing and subscribing fail at
/// once ([`Error::unavailable`]) until it is back; then it calls [`Sink::up`]. It need not remember
/// groups: the layer subscribes to all of them again, in batches, and then runs the
/// [`gap`](crate::Consumer::gap) hook of their members.
///
/// The trait is still growing: history, presence and queues for workers will be separate small
/// traits beside it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Returns the promises of this backend.
    fn guarantees(&self) -> Guarantees;

    /// Connects, and puts every envelope for this node into the sink from now on: those for a group
    /// it has subscribed to, and those for a channel whose [name](Sink::owns) is this node's.
    ///
    /// # Errors
    ///
    /// When it cannot start, after one try; the layer is then not made. [`Error::misconfigured`] if
    /// another try would not help.
    async fn start(&self, sink: Sink) -> Result<(), Error>;

    /// Carries an envelope to every node that has receivers, this one included: a node's own
    /// publish comes back through its sink, so that the order is the backend's and the same for
    /// all.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] when the envelope was not, or perhaps not, taken;
    /// [`Error::misconfigured`] when the server refuses it; a full channel's error.
    async fn publish(&self, envelope: Envelope) -> Result<Published, Error>;

    /// Begins to receive for these groups. Messages published after this has returned are received,
    /// whichever node publishes them.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] when the subscription is not confirmed. [`Error::misconfigured`] when
    /// the server refuses one of the groups: the others may be subscribed to. After an outage the
    /// layer then finds out which it is.
    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error>;

    /// Stops receiving for these groups.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`]; the layer logs it and goes on.
    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error>;
}

/// The promises of a backend beyond "at most once".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Guarantees {
    /// The order within a group is the same on every node.
    pub ordered: bool,
    /// The meaning of [`Published::receivers`].
    pub receivers: Receivers,
}

/// How much a backend knows of the receivers of a publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receivers {
    /// Nothing: the count is 0.
    #[default]
    Unknown,
    /// How many nodes have members or the channel.
    Nodes,
    /// How many members there are on all nodes together.
    Members,
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

    /// Says what is counted in [`Published::receivers`].
    #[must_use]
    pub fn receivers(mut self, receivers: Receivers) -> Self {
        self.receivers = receivers;
        self
    }
}

/// The result of a publish.
///
/// Not `Copy`, so that it can grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// How many members or nodes were addressed, as far as the backend knows; 0 if it does not
    /// ([`Guarantees::receivers`]). This is not a delivery guarantee: a member may be full or just
    /// leaving.
    pub receivers: usize,
    /// How many more had no room and do not receive it. Only channels_redis's core layer bounds the
    /// queues of other processes: there it counts the processes whose queue is over capacity. 0
    /// with all other backends.
    pub full: usize,
}

impl Published {
    /// A publish that addressed this many.
    #[must_use]
    pub fn new(receivers: usize) -> Self {
        Self { receivers, full: 0 }
    }

    /// Says how many more had no room.
    #[must_use]
    pub fn full(mut self, full: usize) -> Self {
        self.full = full;
        self
    }
}
