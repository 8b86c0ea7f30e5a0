//! [`Consumer`]: the trait that applications implement, one value per connection.

use std::future::{Future, ready};

use crate::close::Closed;
use crate::error::{BoxError, Result};
use crate::event::Event;
use crate::handshake::{Accept, Reject};
use crate::message::Message;
use crate::name::GroupName;

use super::context::Context;

/// One connection's logic. There is one value per connection, made by the factory that the route
/// names; its state is `self`.
///
/// Every hook has a default, and users write them as `async fn`. They run one at a time: messages
/// in their order, events in theirs; between the two no order is promised, and neither starves the
/// other. A running hook delays this connection only, and while it waits the connection goes on
/// writing, answering pings and noticing a close.
///
/// The parameter `E` is the type of the consumer's events, any that serde decodes: usually an enum
/// with `#[serde(tag = "type")]`. Without one it is the untyped [`Event`], and
/// `impl Consumer for Echo` says nothing about events. An event that does not decode into `E` is
/// logged at debug level and ignored: one bad publish closes nobody.
///
/// **`connect` and `disconnect` are a pair.** After a `connect` that returned [`Accept`],
/// `disconnect` runs exactly once, however the connection ends: closed by either side, error, panic
/// in a hook, time-out, shutdown of the server, or a client that was gone before the handshake's
/// answer reached it. After a `connect` that refused, failed or panicked it does not run. Group
/// memberships are released in both cases.
///
/// After a panic, or a hook cut off by its time limit, `self` may be half-changed when `disconnect`
/// runs. A program built with `panic = "abort"` has no isolation between connections.
///
/// ```
/// use strait::Consumer;
/// use strait::Context;
/// use strait::Message;
///
/// struct Echo;
///
/// impl Consumer for Echo {
///     async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
///         ctx.send(message).await?;
///         Ok(())
///     }
/// }
/// ```
///
/// # Keeping your own list
///
/// If state outside of the consumer lists the connected users, add the entry in `connect` after the
/// last `.await`, right before `Ok(Accept::new())`: from there on `disconnect` is certain to run.
/// Made earlier, the entry of a client that was refused after all, or whose `connect` was dropped
/// at an `.await`, would stay. Or hold a guard in `self` that removes it in `Drop`; then it may be
/// made anywhere.
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::{Arc, Mutex};
///
/// use strait::{Accept, Closed, Consumer, Context, Reject};
///
/// /// Who is online: [`Router::state`](strait::Router::state).
/// #[derive(Clone, Default)]
/// struct Online(Arc<Mutex<HashSet<String>>>);
///
/// struct Member {
///     name: String,
/// }
///
/// impl Consumer for Member {
///     async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
///         ctx.group_add("members").await?;
///         ctx.state::<Online>().0.lock().unwrap().insert(self.name.clone());
///         Ok(Accept::new())
///     }
///
///     async fn disconnect(&mut self, ctx: &Context, _closed: Closed) {
///         ctx.state::<Online>().0.lock().unwrap().remove(&self.name);
///     }
/// }
/// ```
///
/// If a user can connect more than once, keep a count.
///
/// # What the compiler means
///
/// - "expected `strait::Event`, found `Ev`": write `impl Consumer<Ev> for …`.
/// - "expected `Box<dyn Error …>`, found `Error`" at the end of a hook: `?` converts, so end with
///   `Ok(ctx.send(message).await?)`, or with `?;` and `Ok(())`.
/// - "future cannot be sent between threads" at a method of your own with `&self` that awaits: it
///   needs a `Self` that is `Sync`; take `&mut self`. At a `MutexGuard`: let go of it before the
///   `.await`.
/// - A [`Context`] is lent and goes into no spawned task: [`Context::channel_name`] shows what
///   does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer of `{E}` events",
    label = "a factory must return `Result<C, Reject>` where `C: Consumer<E>`",
    note = "write `impl Consumer for {Self}` (untyped events) or `impl Consumer<MyEvent> for {Self}`"
)]
pub trait Consumer<E = Event>: Send + 'static {
    /// A client wants to connect. The handshake is answered when this returns: the client is let
    /// in, or refused with an HTTP status. Messages sent here go out after acceptance. Default:
    /// accepts.
    ///
    /// # Errors
    ///
    /// A [`Reject`] refuses. `?` makes one of any error: 500, or 503 where the channel layer is
    /// unavailable.
    ///
    /// # Cancel safety
    ///
    /// Dropped at an `.await` when it takes longer than
    /// [`Config::connect_timeout`](crate::config::Config::connect_timeout), or longer than its
    /// grace after the client has gone.
    fn connect(&mut self, ctx: &Context) -> impl Future<Output = Result<Accept, Reject>> + Send {
        let _ = ctx;
        ready(Ok(Accept::new()))
    }

    /// A message came from the client. Its content is chosen by the client: check it before use.
    /// Default: ignores it.
    ///
    /// # Errors
    ///
    /// Any error goes to [`error`](Self::error).
    ///
    /// # Cancel safety
    ///
    /// Dropped at an `.await` when the client has gone and the grace is over, or when it takes
    /// longer than [`Config::hook_limit`](crate::config::Config::hook_limit), where one is set.
    fn receive(&mut self, ctx: &Context, message: Message) -> impl Future<Output = Result> + Send {
        let _ = (ctx, message);
        ready(Ok(()))
    }

    /// An event came from a group or to this consumer's channel. Events of groups that were joined
    /// with [`relay`](crate::consumer::GroupAdd::relay) do not come here. Default: ignores it.
    ///
    /// # Errors
    ///
    /// Any error goes to [`error`](Self::error).
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    fn event(&mut self, ctx: &Context, event: E) -> impl Future<Output = Result> + Send {
        let _ = (ctx, event);
        ready(Ok(()))
    }

    /// This group may have missed something: the backend was away and is back, or more came than
    /// could be delivered. If the client displays state, reload it here and send it. Default:
    /// nothing.
    ///
    /// It runs once for each such group that this consumer is in, however it joined, after the
    /// group receives again, and before the events that wait. The hooks of a node's members are
    /// spread over some seconds ([`ChannelLayer::gap_window`](crate::ChannelLayer::gap_window)),
    /// and at most 64 of them run at once, so that a database is not overrun by requests for
    /// snapshots. A hook that takes longer than a second no longer counts. With the memory backend
    /// there is no gap, except that of [`Memory::interrupt`](crate::backends::Memory::interrupt) in
    /// tests.
    ///
    /// ```
    /// # use strait::{Consumer, Context, Result, layer::GroupName};
    /// # struct Board;
    /// # impl Board { async fn snapshot(&self) -> String { String::new() } }
    /// impl Consumer for Board {
    ///     async fn gap(&mut self, ctx: &Context, _group: GroupName) -> Result {
    ///         Ok(ctx.send_text(self.snapshot().await).await?)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Any error goes to [`error`](Self::error).
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    fn gap(&mut self, ctx: &Context, group: GroupName) -> impl Future<Output = Result> + Send {
        let _ = (ctx, group);
        ready(Ok(()))
    }

    /// A `receive`, `event` or `gap` failed. Default: returns the error, which closes the
    /// connection.
    ///
    /// # Errors
    ///
    /// `Ok(())` keeps the connection. An error that remains closes it and is logged once; its text
    /// is never sent to the client. [`Error::close`](crate::Error::close) closes as it says, a
    /// message that did not decode with 1007 or 1003, an unavailable layer with 1013, anything else
    /// with 1011.
    ///
    /// This one answers what is the client's mistake, keeps the connection, and leaves the rest to
    /// the default. Do not send `error.to_string()`: of an error that you did not write yourself it
    /// may tell a client too much.
    ///
    /// ```
    /// # use std::fmt;
    /// use strait::{BoxError, Consumer, Context, Message, Result};
    ///
    /// /// What a player does wrong; its text is for the player.
    /// #[derive(Debug)]
    /// struct BadMove(&'static str);
    /// # impl fmt::Display for BadMove {
    /// #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.0) }
    /// # }
    /// # impl std::error::Error for BadMove {}
    ///
    /// struct Game;
    ///
    /// impl Consumer for Game {
    ///     async fn receive(&mut self, _ctx: &Context, message: Message) -> Result {
    ///         let square: u8 = message.json()?;
    ///         if square > 8 {
    ///             return Err(BadMove("no such square").into());
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn error(&mut self, ctx: &Context, error: BoxError) -> Result {
    ///         if error.downcast_ref::<strait::Error>().is_some_and(strait::Error::is_bad_message) {
    ///             return Ok(ctx.send_text("say it in JSON").await?);
    ///         }
    ///         if let Some(BadMove(text)) = error.downcast_ref() {
    ///             return Ok(ctx.send_text(*text).await?);
    ///         }
    ///         Err(error)
    ///     }
    /// }
    /// # use strait::testing::Communicator;
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # let mut client = Communicator::consumer(|_| Ok(Game));
    /// # client.connect().await.unwrap();
    /// # for (sent, answer) in [("{", "say it in JSON"), ("9", "no such square")] {
    /// #     client.send_text(sent).await.unwrap();
    /// #     assert_eq!(client.receive_text().await.unwrap(), answer);
    /// # }
    /// # });
    /// ```
    fn error(&mut self, ctx: &Context, error: BoxError) -> impl Future<Output = Result> + Send {
        let _ = ctx;
        ready(Err(error))
    }

    /// The connection has ended. Memberships are released already, [`Context::groups`] tells what
    /// they were, and what is sent to the own socket is dropped. Default: nothing.
    ///
    /// # Cancel safety
    ///
    /// Dropped at an `.await` when it takes longer than
    /// [`Config::disconnect_timeout`](crate::config::Config::disconnect_timeout).
    fn disconnect(&mut self, ctx: &Context, closed: Closed) -> impl Future<Output = ()> + Send {
        let _ = (ctx, closed);
        ready(())
    }
}
