//! [`Publish`]: a message on its way to a group; options hang on it, and `.await` sends it.

use std::future::IntoFuture;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::name::ChannelName;

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
}

impl IntoFuture for Publish {
    type Output = Result<Published, Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.layer.publish(self.envelope?).await })
    }
}
