//! [`Publish`]: a message on its way to a group; options hang on it, and `.await` sends it.

use std::future::IntoFuture;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::name::{ChannelName, Key};

use super::backend::Published;
use super::channel_layer::ChannelLayer;
use super::envelope::Envelope;

/// The future of `group_send` and `group_broadcast`. Await it to publish.
///
/// The event was encoded when the verb was called, so that this borrows nothing; an error in it, or
/// in the name, is returned by the `.await`.
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

    /// Keeps only the newest value of this key in a queue: for positions, prices, progress, and
    /// other values that are superseded by the next one.
    ///
    /// If a member's queue still holds a value of this group with the same key, that one is removed
    /// and this one is appended. So a slow member receives a subsequence, in order, always with the
    /// newest value of each key; a member that keeps up receives all values. Only a publisher that
    /// outruns delivery itself replaces values for all members at once. A frame of which a byte is
    /// written is finished.
    ///
    /// ```
    /// # async fn publish(layer: strait::ChannelLayer) -> Result<(), strait::Error> {
    /// layer.group_broadcast("map", r#"{"courier":7,"at":[52.5,13.4]}"#).latest("courier_7").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// A slow reader of a thousand keys holds at most a thousand values; with the default bounds it
    /// is not closed because of them. For more keys raise
    /// [`Config::outgoing`](crate::config::Config::outgoing). One that takes not a byte for
    /// [`Config::write_timeout`](crate::config::Config::write_timeout) is still taken for gone. A
    /// replaced value is not counted in [`Context::dropped`](crate::Context::dropped);
    /// [`Published::receivers`] is as ever.
    ///
    /// Events replace events and ready messages messages. An event that waits for a hook is
    /// replaced like a frame. Messages that a consumer sends itself, with
    /// [`forward`](crate::Context::forward) too, are never replaced. To thin values for slow
    /// readers, join with [`relay`](crate::consumer::GroupAdd::relay) or publish with
    /// `group_broadcast`.
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
