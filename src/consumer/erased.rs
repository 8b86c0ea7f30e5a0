//! [`DynConsumer`]: a consumer of whatever type, as the session drives it. Consumers become `dyn`
//! here and nowhere else.

use std::any::type_name;
use std::marker::PhantomData;

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::broadcast::EncodedFrame;
use crate::close::Closed;
use crate::error::Result;
use crate::handshake::{Accept, Reject};
use crate::mailbox::Gap;
use crate::message::Message;
use crate::metrics::event_ignored;

use super::consumer::Consumer;
use super::context::Context;

/// The hooks with their types erased. Their futures do nothing before the first poll, so that a
/// panic anywhere in a hook is a panic of a poll.
pub(crate) trait DynConsumer: Send {
    /// The consumer's type, for logs.
    fn name(&self) -> &'static str;

    fn connect<'a>(&'a mut self, ctx: &'a Context) -> BoxFuture<'a, Result<Accept, Reject>>;

    /// `receive`, and `error` where it fails.
    fn receive<'a>(&'a mut self, ctx: &'a Context, message: Message) -> BoxFuture<'a, Result>;

    /// `event`, and `error` where it fails; nothing where the event is not one of this consumer's.
    fn event<'a>(&'a mut self, ctx: &'a Context, event: EncodedFrame) -> BoxFuture<'a, Result>;

    /// `gap`, and `error` where it fails; nothing where the group has been left meanwhile.
    fn gap<'a>(&'a mut self, ctx: &'a Context, gap: Gap) -> BoxFuture<'a, Result>;

    fn disconnect<'a>(&'a mut self, ctx: &'a Context, closed: Closed) -> BoxFuture<'a, Result>;
}

pub(crate) fn erase<C, E>(consumer: C) -> Box<dyn DynConsumer>
where
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    Box::new(Erased {
        consumer,
        events: PhantomData,
    })
}

struct Erased<C, E> {
    consumer: C,
    events: PhantomData<fn() -> E>,
}

impl<C, E> DynConsumer for Erased<C, E>
where
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    fn name(&self) -> &'static str {
        type_name::<C>()
    }

    fn connect<'a>(&'a mut self, ctx: &'a Context) -> BoxFuture<'a, Result<Accept, Reject>> {
        Box::pin(async move { self.consumer.connect(ctx).await })
    }

    fn receive<'a>(&'a mut self, ctx: &'a Context, message: Message) -> BoxFuture<'a, Result> {
        Box::pin(async move {
            match self.consumer.receive(ctx, message).await {
                Ok(()) => Ok(()),
                Err(error) => self.consumer.error(ctx, error).await,
            }
        })
    }

    fn event<'a>(&'a mut self, ctx: &'a Context, event: EncodedFrame) -> BoxFuture<'a, Result> {
        Box::pin(async move {
            // Within the future, since a `Deserialize` of the application's may panic, too. Of a
            // text each string in it is taken as it is; of bytes each would be looked at again.
            let decoded: E = match serde_json::from_str(event.text()) {
                Ok(decoded) => decoded,
                Err(error) => {
                    event_ignored();
                    let consumer = self.name();
                    tracing::debug!(consumer, %error, "ignored an event that is none of this consumer's");
                    return Ok(());
                }
            };
            ctx.set_event(Some(event));
            let result = match self.consumer.event(ctx, decoded).await {
                Ok(()) => Ok(()),
                Err(error) => self.consumer.error(ctx, error).await,
            };
            ctx.set_event(None);
            result
        })
    }

    fn gap<'a>(&'a mut self, ctx: &'a Context, gap: Gap) -> BoxFuture<'a, Result> {
        Box::pin(async move {
            let Gap { group, permit } = gap;
            let result = match ctx.is_in(&group) {
                true => self.consumer.gap(ctx, group).await,
                false => Ok(()),
            };
            let result = match result {
                Ok(()) => Ok(()),
                Err(error) => self.consumer.error(ctx, error).await,
            };
            // Only now may the hook of another consumer of this node begin.
            drop(permit);
            result
        })
    }

    fn disconnect<'a>(&'a mut self, ctx: &'a Context, closed: Closed) -> BoxFuture<'a, Result> {
        Box::pin(async move {
            self.consumer.disconnect(ctx, closed).await;
            Ok(())
        })
    }
}
