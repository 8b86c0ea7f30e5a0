//! [`ChannelLayer`]: groups and channels, from anywhere in a program.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::budget::Budget;
use crate::config::{Config, Overflow};
use crate::error::Error;
use crate::event::encode;
use crate::mailbox::{ConnectionSettings, Mailbox};
use crate::message::Message;
use crate::name::{ChannelName, GroupName};

use super::backend::{Backend, Published};
use super::channel::Channel;
use super::envelope::{Address, Envelope, Payload};
use super::group::{Group, Subscription};
use super::publish::Publish;
use super::registry::Registry;
use super::resubscription::Resubscription;
use super::sink::Sink;

/// Talks to many sockets through groups, and to one through its channel.
///
/// A clone is cheap and the same layer; publish from any task. Names are 1 to 99 ASCII letters,
/// digits, `-`, `_`, `.`. Delivery is at most once: a client that is not a member at publish time
/// does not receive the message. In a group the order of one kind of message is the same for every
/// member.
///
/// # Runtimes
///
/// A group is delivered by a task, one at a time, in the runtime of its first member; of a
/// `current_thread` runtime only until somebody on a runtime with workers joins or publishes. While
/// that runtime stands still, so does the group: its publishers find its pending list full after
/// 256 messages, and wait. So keep the members of a layer on one runtime with workers, tokio's
/// default, and block none of its threads. A thread that is sometimes within `block_on` and
/// sometimes elsewhere may publish, but should not be the only one with members.
///
/// ```
/// use strait::ChannelLayer;
/// use strait::Event;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let layer = ChannelLayer::memory();
/// let mut channel = layer.new_channel();
/// channel.group_add("order_5").await?;
///
/// let published = layer.group_send("order_5", &Event::new("order.updated")).await?;
/// assert_eq!(published.receivers, 1);
/// assert_eq!(channel.recv::<Event>().await?.kind(), "order.updated");
/// # Ok::<(), strait::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct ChannelLayer(Arc<Node>);

struct Node {
    backend: Arc<dyn Backend>,
    registry: Arc<Registry>,
    resubscription: Arc<Resubscription>,
    budget: Arc<Budget>,
    /// Of channels without a socket.
    settings: Arc<ConnectionSettings>,
}

impl ChannelLayer {
    /// A layer over this backend, started.
    ///
    /// # Errors
    ///
    /// When the backend does not start.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, there is no layer; the backend may have been started.
    pub async fn new(backend: impl Backend) -> Result<Self, Error> {
        let (layer, sink) = Self::unstarted(Arc::new(backend));
        layer.0.backend.start(sink).await?;
        Ok(layer)
    }

    /// A layer whose backend still has to be given the sink.
    pub(crate) fn unstarted(backend: Arc<dyn Backend>) -> (Self, Sink) {
        let registry = Arc::new(Registry::new());
        let resubscription = Resubscription::new(registry.clone(), Arc::downgrade(&backend));
        let sink = Sink::new(registry.clone(), resubscription.clone());
        let budget = Budget::of_machine();
        let node = Node {
            backend,
            registry,
            resubscription,
            settings: ConnectionSettings::new(Config::new(), budget.clone()),
            budget,
        };
        (Self(Arc::new(node)), sink)
    }

    /// Sets what happens to members whose queue is full, for groups whose name matches the pattern
    /// (`*` for any text, `?` for one character). The first pattern that matches decides; it is
    /// looked up when a group gets its first member here. It holds for this layer and all its
    /// clones. Default: [`Overflow::Close`] for all.
    #[must_use]
    pub fn overflow(self, pattern: &str, overflow: Overflow) -> Self {
        self.0.registry.set_overflow(pattern, overflow);
        self
    }

    /// Sets the window over which the [`gap`](crate::Consumer::gap) hooks of many members are
    /// spread; small groups finish sooner, at 1,000 per second. It holds for this layer and all its
    /// clones. Default: 5 s.
    #[must_use]
    pub fn gap_window(self, window: Duration) -> Self {
        self.0.resubscription.set_window(window);
        self
    }

    /// How many bytes may wait in all queues of this node together: frames to be written, events
    /// and messages for hooks, of every connection whose router has this layer. It holds for this
    /// layer and all its clones. Default: a quarter of the machine's memory, or of the lowest limit
    /// of the control groups that the process runs in; 256 MiB if the system does not report it
    /// (other than Linux).
    ///
    /// If more bytes wait, connections are closed, most queued bytes first, until 1/16 of the
    /// budget is free: with 4008 for a slow reader and 1013 for a slow hook, whatever the
    /// [`overflow`](Self::overflow) of their groups. A [`Channel`](super::Channel) loses its
    /// waiting events and [counts](super::Channel::dropped) them. Each [`Closed`](crate::Closed)
    /// names the cause, and a warning is logged at most every 10 s.
    ///
    /// The first 16 KiB of a queue are not counted; beyond that it is counted in steps of 16 KiB.
    /// Memory: that many bytes, and up to 32 KiB for each queue that is not empty. Bytes that many
    /// queues share, such as a broadcast, count once. Copies, and messages that a consumer sends
    /// itself, count at each queue. `usize::MAX` means no budget.
    #[must_use]
    pub fn budget(self, bytes: usize) -> Self {
        self.0.budget.set_limit(bytes);
        self
    }

    /// How many bytes of the [budget](Self::budget) are used now: for a metric, or a look at a
    /// server that is in trouble.
    #[must_use]
    pub fn budget_used(&self) -> usize {
        self.0.budget.used()
    }

    /// Sends an event to every member of a group: to the `event` hook of those that joined plainly,
    /// as JSON straight to the sockets of those that joined with
    /// [`relay`](crate::consumer::GroupAdd::relay). Encoded once.
    ///
    /// The event must be a JSON object with a string `"type"`: an enum with `#[serde(tag =
    /// "type")]`, or an [`Event`](crate::Event).
    ///
    /// # Errors
    ///
    /// Of the `.await`: a bad name; an event that does not encode; [`Error::is_unavailable`].
    pub fn group_send<N, E>(&self, group: N, event: &E) -> Publish
    where
        N: TryInto<GroupName>,
        N::Error: Into<Error>,
        E: Serialize + ?Sized,
    {
        let payload = encode(event).map(Payload::Event);
        self.publish_to(group, payload)
    }

    /// Puts a ready message into the outgoing queue of every member, however it joined; no hook
    /// runs. Encoded once.
    ///
    /// No order is promised between these and events that run a hook: use one kind per group if
    /// order matters.
    ///
    /// # Errors
    ///
    /// Of the `.await`: a bad name; [`Error::is_unavailable`].
    pub fn group_broadcast<N>(&self, group: N, message: impl Into<Message>) -> Publish
    where
        N: TryInto<GroupName>,
        N::Error: Into<Error>,
    {
        self.publish_to(group, Ok(Payload::Message(message.into())))
    }

    /// Sends an event to one channel: a consumer's
    /// ([`Context::channel_name`](crate::Context::channel_name)) or one of
    /// [`new_channel`](Self::new_channel). There is no expiry. A send to a channel that is gone
    /// reaches nobody and is not an error. A send to a channel of this node does not use the
    /// backend.
    ///
    /// # Errors
    ///
    /// A bad name; an event that does not encode; [`Error::is_full`] if the channel is on this node
    /// and has no room; [`Error::is_unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the event may have been sent or not.
    pub fn send<N, E>(&self, channel: N, event: &E) -> BoxFuture<'static, Result<Published, Error>>
    where
        N: TryInto<ChannelName>,
        N::Error: Into<Error>,
        E: Serialize + ?Sized,
    {
        let envelope = channel.try_into().map_err(Into::into).and_then(|channel| {
            let payload = Payload::Event(encode(event)?);
            Ok(Envelope::new(Address::Channel(channel), payload))
        });
        let layer = self.clone();
        Box::pin(async move { layer.publish(envelope?).await })
    }

    /// A channel without a socket.
    #[must_use]
    pub fn new_channel(&self) -> Channel {
        let mailbox = Mailbox::channel(self.0.settings.clone());
        let name = self.0.registry.register(&mailbox);
        Channel::new(self.clone(), mailbox, name)
    }

    /// Returns the promises of the backend.
    #[must_use]
    pub fn guarantees(&self) -> super::backend::Guarantees {
        self.0.backend.guarantees()
    }

    /// Whether the backend is connected, as far as this node can see. Use it in a health endpoint,
    /// or before work that depends on publishing. A backend that answers but refuses to serve
    /// counts as disconnected. Meanwhile publishing and joining fail at once
    /// ([`Error::is_unavailable`]). With a Redis Cluster, single servers may be down even if this
    /// is `true`. The memory backend is always connected, except during
    /// [`Memory::interrupt`](crate::backends::Memory::interrupt).
    ///
    /// Sockets are served either way, so do not let a liveness probe end the process because of it.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !self.0.resubscription.is_down()
    }

    /// The settings of connections of a route with these limits.
    pub(crate) fn settings(&self, config: Config) -> Arc<ConnectionSettings> {
        ConnectionSettings::new(config, self.0.budget.clone())
    }

    pub(super) async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        match &envelope.to {
            // The channel is on this node, and only its own queue knows whether there is room.
            Address::Channel(channel) if self.0.registry.owns(channel) => {
                self.0.registry.try_deliver(&envelope).map(Published::new)
            }
            Address::Channel(_) | Address::Group(_) => self.0.backend.publish(envelope).await,
        }
    }

    fn publish_to<N>(&self, group: N, payload: Result<Payload, Error>) -> Publish
    where
        N: TryInto<GroupName>,
        N::Error: Into<Error>,
    {
        let group = group.try_into().map_err(Into::into);
        let envelope = group.and_then(|group| Ok(Envelope::new(Address::Group(group), payload?)));
        Publish::new(self.clone(), envelope)
    }
}

/// Membership, for contexts and channels. Joining is two steps, so that the membership is noted
/// before anything is awaited.
impl ChannelLayer {
    /// Makes the mailbox a member here.
    pub(crate) fn join(&self, group: GroupName, mailbox: Arc<Mailbox>, relay: bool) -> Arc<Group> {
        self.0.registry.join(group, mailbox, relay)
    }

    /// Returns when the backend delivers for this group.
    pub(crate) async fn subscribe(&self, group: &Group) -> Result<(), Error> {
        let mut subscription = group.subscription.lock().await;
        let confirmed = Subscription::Confirmed(self.0.resubscription.outages());
        if *subscription != confirmed {
            *subscription = Subscription::Unsure;
            self.0
                .backend
                .subscribe(std::slice::from_ref(group.name()))
                .await?;
            *subscription = confirmed;
        }
        Ok(())
    }

    /// Removes the mailbox from a group. The last one to leave ends the subscription, in a task of
    /// its own if the backend takes time.
    pub(crate) fn leave(&self, group: &Arc<Group>, id: u64) {
        if let (true, true) = group.leave(id) {
            self.retire(group.clone());
        }
    }

    /// Completes when all messages published before this call are written or queued for all members
    /// on this node. For a drain.
    pub(crate) async fn settle(&self) {
        for (group, messages) in self.0.registry.undelivered() {
            while !group.has_delivered(messages) {
                sleep(POLL_INTERVAL).await;
            }
        }
    }

    /// Whether both are the same layer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Registers the mailbox and returns the name that it can be sent to.
    pub(crate) fn register(&self, mailbox: &Arc<Mailbox>) -> ChannelName {
        self.0.registry.register(mailbox)
    }

    /// The name of the mailbox, without registering it.
    pub(crate) fn name_of(&self, mailbox: &Mailbox) -> ChannelName {
        self.0.registry.name_of(mailbox.id())
    }

    pub(crate) fn unregister(&self, mailbox: &Mailbox) {
        self.0.registry.unregister(mailbox.id());
    }

    fn retire(&self, group: Arc<Group>) {
        let layer = self.clone();
        let runtime = Handle::try_current().ok().or_else(|| group.runtime());
        let mut task = Box::pin(async move { layer.unsubscribe(&group).await });
        // The memory backend answers at once, and the caller may be in `Drop`: no task is needed
        // then.
        let mut cx = Context::from_waker(Waker::noop());
        if task.as_mut().poll(&mut cx) == Poll::Pending
            && let Some(runtime) = runtime
        {
            runtime.spawn(task);
        }
    }

    /// Ends the subscription of a group that is still empty, then forgets the group. In this order,
    /// a member that joins in the meantime waits and subscribes again.
    async fn unsubscribe(&self, group: &Arc<Group>) {
        let mut subscription = group.subscription.lock().await;
        if group.is_empty() && std::mem::take(&mut *subscription) != Subscription::None {
            let result = self
                .0
                .backend
                .unsubscribe(std::slice::from_ref(group.name()))
                .await;
            if let Err(error) = result {
                tracing::debug!(%error, "could not unsubscribe from an empty group");
            }
        }
        self.0.registry.forget(group);
    }
}

impl fmt::Debug for ChannelLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelLayer")
            .field(&self.0.registry)
            .finish()
    }
}

/// The pause between two looks at fan-outs that are waited for; one takes some milliseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
