//! [`Context`]: the connection as its hooks see it.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::broadcast::EncodedFrame;
use crate::close::{Cause, CloseCode};
use crate::error::Error;
use crate::layer::{ChannelLayer, Group};
use crate::mailbox::{Close, CloseRequest, Mailbox, Outbound};
use crate::message::Message;
use crate::name::{ChannelName, GroupName};
use crate::scope::Scope;

use super::group_add::GroupAdd;
use super::memberships::Memberships;
use super::sending::Sending;

/// The connection, as a hook sees it: its socket, its groups, its scope.
///
/// Every verb takes `&self` and is awaited. A message is encoded when the verb is called, not when
/// it is awaited, so that the future borrows neither the context nor the value. It is not an error
/// if the client has left: the message is then dropped.
pub struct Context(Arc<Inner>);

struct Inner {
    mailbox: Arc<Mailbox>,
    scope: Scope,
    layer: ChannelLayer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The memberships; after the release, what they were.
    groups: Memberships,
    /// Set once, at the connection's end. No group is joined afterwards.
    released: bool,
    /// Whether somebody may know this consumer's channel name.
    named: bool,
    /// The event whose hook runs, for `forward`.
    event: Option<EncodedFrame>,
}

/// The socket.
impl Context {
    /// Sends a message to the client.
    ///
    /// It is queued, and written when the hook waits or returns; several together in one write. If
    /// 1,024 messages or 1 MiB wait already
    /// ([`Config::outgoing`](crate::config::Config::outgoing)), this waits for room as long as the
    /// client reads at all; a client that reads nothing for
    /// [`Config::write_timeout`](crate::config::Config::write_timeout) is closed. A message that
    /// `connect` sends before [`group_add`](Self::group_add) is written before the group's frames.
    ///
    /// # Errors
    ///
    /// In `connect`, where nobody writes yet, [`Error::is_full`] when there is no room.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message is not sent.
    pub fn send(&self, message: impl Into<Message>) -> Sending {
        self.queue(Ok(Outbound::Message(message.into())))
    }

    /// Sends a text message. See [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_text(&self, text: impl Into<String>) -> Sending {
        self.send(Message::Text(text.into()))
    }

    /// Sends a binary message. See [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_binary(&self, bytes: impl Into<bytes::Bytes>) -> Sending {
        self.send(Message::Binary(bytes.into()))
    }

    /// Sends a value as JSON text. See [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// When the value does not encode as JSON; else as [`send`](Self::send).
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Sending {
        self.queue(Message::from_json(value).map(Outbound::Message))
    }

    /// Sends the event whose hook runs to the client, as the JSON it was published as; it was
    /// encoded once for all members here.
    ///
    /// # Errors
    ///
    /// Outside of the `event` hook; else as [`send`](Self::send).
    pub fn forward(&self) -> Sending {
        let event = self.lock().event.clone();
        let missing =
            || Error::handshake("forward() is for the event hook: no event is in hand here");
        self.queue(event.map(Outbound::Frame).ok_or_else(missing))
    }

    /// Closes the connection: the queued frames are still written, then the close frame. It takes
    /// effect with the call, awaited or not. Messages sent afterwards are dropped.
    ///
    /// The hook that calls this continues for at most
    /// [`Config::grace`](crate::config::Config::grace). After it only `disconnect` runs. The reason
    /// is for the client; 123 bytes of it fit, the rest is cut. A second close changes nothing.
    ///
    /// # Errors
    ///
    /// When the code may not be sent: see [`CloseCode`].
    pub fn close<C>(&self, code: C, reason: impl Into<String>) -> Ready<Result<(), Error>>
    where
        C: TryInto<CloseCode>,
        C::Error: Into<Error>,
    {
        ready(code.try_into().map_err(Into::into).map(|code| {
            self.0.mailbox.close(Close::AfterQueue(CloseRequest {
                code,
                reason: reason.into(),
                cause: Cause::Server,
            }));
        }))
    }

    /// How many frames and events of groups with [`Overflow::Drop`](crate::layer::Overflow::Drop)
    /// were dropped for lack of room since the last call.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.0.mailbox.take_dropped()
    }

    fn queue(&self, message: Result<Outbound, Error>) -> Sending {
        #[cfg(feature = "deflate")]
        let message = message.map(|message| self.0.mailbox.prepare(message));
        Sending::new(self.0.mailbox.clone(), message)
    }
}

/// Groups and channels.
impl Context {
    /// Joins a group: its events arrive at [`event`](crate::Consumer::event), from those published
    /// after this returned on; with [`relay`](GroupAdd::relay), at the socket. Joining a group
    /// again changes only how its events are delivered. (Channels' `group_add`.)
    ///
    /// # Errors
    ///
    /// Of the `.await`: a bad name; more groups than
    /// [`Config::max_groups`](crate::config::Config::max_groups); [`Error::is_unavailable`].
    pub fn group_add<N>(&self, group: N) -> GroupAdd
    where
        N: TryInto<GroupName>,
        N::Error: Into<Error>,
    {
        GroupAdd::new(self.handle(), group.try_into().map_err(Into::into))
    }

    /// Leaves a group. Leaving one that the consumer is not in does nothing. At the connection's
    /// end all groups are left by themselves. It takes effect with the call.
    ///
    /// # Errors
    ///
    /// For a bad name.
    pub fn group_discard<N>(&self, group: N) -> Ready<Result<(), Error>>
    where
        N: TryInto<GroupName>,
        N::Error: Into<Error>,
    {
        ready(
            group
                .try_into()
                .map_err(Into::into)
                .map(|group| self.discard(&group)),
        )
    }

    /// The groups this consumer is in; in `disconnect`, those it was in.
    #[must_use]
    pub fn groups(&self) -> Vec<GroupName> {
        self.lock()
            .groups
            .iter()
            .map(|group| group.name().clone())
            .collect()
    }

    /// The name of this consumer's own channel, for [`ChannelLayer::send`] and
    /// [`except`](crate::layer::Publish::except). Events sent to it arrive at `event`.
    ///
    /// A task that works for this connection, and outlives the hook that started it, takes this
    /// name and a clone of the [`layer`](Self::layer) with it, and sends what it finds as an event.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use strait::{Accept, Consumer, Context, Event, Reject, Result};
    /// use tokio::task::AbortHandle;
    ///
    /// /// Says every second that it is there.
    /// #[derive(Default)]
    /// struct Clock {
    ///     task: Option<AbortHandle>,
    /// }
    ///
    /// impl Consumer for Clock {
    ///     async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
    ///         let (layer, me) = (ctx.layer().clone(), ctx.channel_name());
    ///         let task = tokio::spawn(async move {
    ///             let mut seconds = tokio::time::interval(Duration::from_secs(1));
    ///             loop {
    ///                 seconds.tick().await;
    ///                 // Full or unavailable: the next second tries again.
    ///                 let _ = layer.send(&me, &Event::new("tick")).await;
    ///             }
    ///         });
    ///         self.task = Some(task.abort_handle());
    ///         Ok(Accept::new())
    ///     }
    ///
    ///     async fn event(&mut self, ctx: &Context, _tick: Event) -> Result {
    ///         Ok(ctx.forward().await?)
    ///     }
    /// }
    ///
    /// /// However the connection ends, after a refusal too.
    /// impl Drop for Clock {
    ///     fn drop(&mut self) {
    ///         if let Some(task) = &self.task {
    ///             task.abort();
    ///         }
    ///     }
    /// }
    /// # use strait::testing::Communicator;
    /// # let mut runtime = tokio::runtime::Builder::new_current_thread();
    /// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
    /// # let mut client = Communicator::consumer(|_| Ok(Clock::default())).timeout(Duration::from_secs(2));
    /// # client.connect().await.unwrap();
    /// # for _ in 0..3 {
    /// #     assert_eq!(client.receive_text().await.unwrap(), r#"{"type":"tick"}"#);
    /// # }
    /// # client.disconnect().await.unwrap();
    /// # tokio::task::yield_now().await;
    /// # assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    /// # });
    /// ```
    #[must_use]
    pub fn channel_name(&self) -> ChannelName {
        let mut state = self.lock();
        if state.released {
            return self.0.layer.name_of(&self.0.mailbox);
        }
        state.named = true;
        self.0.layer.register(&self.0.mailbox)
    }

    /// The router's channel layer.
    #[must_use]
    pub fn layer(&self) -> &ChannelLayer {
        &self.0.layer
    }

    pub(super) async fn join(&self, name: GroupName, relay: bool) -> Result<(), Error> {
        loop {
            let Some(group) = self.become_member(&name, relay)? else {
                return Ok(());
            };
            if let Err(error) = self.0.layer.subscribe(&group).await {
                self.discard(&name);
                return Err(error);
            }
            // Another `group_add` of this group that failed meanwhile has taken the membership with
            // it.
            if self
                .lock()
                .groups
                .iter()
                .any(|known| Arc::ptr_eq(known, &group))
            {
                return Ok(());
            }
        }
    }

    /// Makes and notes the membership; `None` where the connection has ended.
    fn become_member(&self, name: &GroupName, relay: bool) -> Result<Option<Arc<Group>>, Error> {
        let mut state = self.lock();
        if state.released {
            return Ok(None);
        }
        let known = state.groups.position(name).is_some();
        let limit = self.0.mailbox.settings().config().max_groups;
        if !known && state.groups.len() >= limit {
            return Err(Error::too_many_groups(name.as_str(), limit));
        }
        let group = self
            .0
            .layer
            .join(name.clone(), self.0.mailbox.clone(), relay);
        if !known {
            state.groups.push(group.clone());
        }
        Ok(Some(group))
    }

    fn discard(&self, name: &GroupName) {
        let left = {
            let mut state = self.lock();
            let place = state.groups.position(name);
            // After the release the list only tells what was.
            place
                .filter(|_| !state.released)
                .map(|place| state.groups.remove(place))
        };
        if let Some(group) = left {
            self.0.layer.leave(&group, self.0.mailbox.id());
        }
    }
}

/// The scope of the connection.
impl Context {
    /// The request, the route's parameters, extensions. (Channels' `self.scope`.)
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.0.scope
    }

    /// The state that the application shares: [`Router::state`](crate::Router::state).
    ///
    /// # Panics
    ///
    /// When the router has no state of this type.
    #[must_use]
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        self.0.scope.state()
    }
}

/// For the session.
impl Context {
    pub(crate) fn new(mailbox: Arc<Mailbox>, scope: Scope, layer: ChannelLayer) -> Self {
        Self(Arc::new(Inner {
            mailbox,
            scope,
            layer,
            state: Mutex::default(),
        }))
    }

    pub(crate) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.0.mailbox
    }

    pub(crate) fn is_in(&self, group: &GroupName) -> bool {
        self.lock().groups.position(group).is_some()
    }

    /// Notes the event whose hook runs.
    pub(crate) fn set_event(&self, event: Option<EncodedFrame>) {
        self.lock().event = event;
    }

    /// Leaves all groups and gives up the channel's name, for good.
    pub(crate) fn release(&self) {
        self.0.release();
    }

    /// Another handle on the same connection, for a builder.
    fn handle(&self) -> Self {
        Self(self.0.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Inner {
    fn release(&self) {
        let (groups, named) = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.released, true) {
                return;
            }
            (state.groups.clone(), state.named)
        };
        // Without the lock: leaving may call the backend.
        for group in groups.iter() {
            self.layer.leave(group, self.mailbox.id());
        }
        if named {
            self.layer.unregister(&self.mailbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The consumer's own channel: `.except(ctx)` leaves the sender out.
impl From<&Context> for ChannelName {
    fn from(ctx: &Context) -> Self {
        ctx.channel_name()
    }
}

/// However the session ends: also with its runtime.
impl Drop for Inner {
    fn drop(&mut self) {
        self.release();
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("scope", &self.0.scope)
            .finish_non_exhaustive()
    }
}
