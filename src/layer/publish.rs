//! [`Publish`]: a message on its way to a group; options hang on it, and `.await` sends it.

use std::future::IntoFuture;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::name::{ChannelName, Key};

use super::backend::Published;
use super::channel_layer::ChannelLayer;
use super::envelope::Envelope;

/// What `group_send` and `group_broadcast` return: await it to publish.
///
/// The event was encoded when the verb was called, so that this borrows nothing; what was wrong
/// with it, or with the name, is the error of the `.await`.
///
/// # Cancel safety
///
/// Dropped before it is ready, the message may have been published or not.
#[derive(Debug)]
#[must_use = "nothing is published until it is awaited"]
pub struct Publish {
    layer: ChannelLayer,
    envelope: Result<Envelope, Error>,
}

impl Publish {
    pub(super) fn new(layer: ChannelLayer, envelope: Result<Envelope, Error>) -> Self {
        Self { layer, envelope }
    }

    /// Leaves one channel out: with `.except(ctx)` the sender's own.
    ///
    /// # Errors
    ///
    /// Of the `.await`: a bad name.
    pub fn except<N>(mut self, channel: N) -> Self
    where
        N: TryInto<ChannelName>,
        N::Error: Into<Error>,
    {
        self.envelope = self.envelope.and_then(|mut envelope| {
            envelope.except = Some(channel.try_into().map_err(Into::into)?);
            Ok(envelope)
        });
        self
    }

    /// Keeps only the newest value of this key where it would have to wait: for positions, prices,
    /// progress, whatever is out of date once the next is there.
    ///
    /// Where a member's queue still holds a value of this group with the same key, that one is
    /// taken out, and this one is appended. So what a member gets is some of what was published, in
    /// order, and of each key the newest; one that keeps up gets all. Only a publisher that outruns
    /// delivery itself replaces values for all members at once. A frame of which a byte is written
    /// is finished.
    ///
    /// ```
    /// # async fn publish(layer: strait::ChannelLayer) -> Result<(), strait::Error> {
    /// layer.group_broadcast("map", r#"{"courier":7,"at":[52.5,13.4]}"#).latest("courier_7").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A slow reader of a thousand keys holds a thousand values at the most: with the default
    /// bounds it is not closed for them. For more keys raise
    /// [`Config::outgoing`](crate::config::Config::outgoing). One that takes not a byte for
    /// [`Config::write_timeout`](crate::config::Config::write_timeout) is still taken for gone. A
    /// replaced value is not counted in [`Context::dropped`](crate::Context::dropped);
    /// [`Published::receivers`] is as ever.
    ///
    /// Events replace events and ready messages messages. An event that waits for a hook is
    /// replaced like a frame. What a consumer sends of its own,
    /// [`forward`](crate::Context::forward) too, is always sent: so join by
    /// [`relay`](crate::consumer::GroupAdd::relay) what is to be thinned for slow readers, or
    /// publish it by `group_broadcast`.
    ///
    /// The key is 1 to 99 bytes of any text.
    ///
    /// # Errors
    ///
    /// Of the `.await`: an empty or too long key ([`Error::is_invalid_name`]).
    pub fn latest<K>(mut self, key: K) -> Self
    where
        K: TryInto<Key>,
        K::Error: Into<Error>,
    {
        self.envelope = self.envelope.and_then(|mut envelope| {
            envelope.latest = Some(key.try_into().map_err(Into::into)?);
            Ok(envelope)
        });
        self
    }
}

impl IntoFuture for Publish {
    type Output = Result<Published, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.layer.publish(self.envelope?).await })
    }
}
