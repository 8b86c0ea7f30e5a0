//! [`GroupAdd`]: a consumer on its way into a group; options hang on it, and `.await` joins.

use std::future::IntoFuture;

use futures::future::BoxFuture;

use crate::error::Error;
use crate::name::GroupName;

use super::context::Context;

/// The future of [`Context::group_add`]. Await it to join.
///
/// # Cancel safety
///
/// Dropped before it is ready, the consumer may be a member or not; a membership ends with the
/// connection at the latest.
#[derive(Debug)]
#[must_use = "nobody joins until it is awaited"]
pub struct GroupAdd {
    ctx: Context,
    group: Result<GroupName, Error>,
    relay: bool,
}

impl GroupAdd {
    pub(super) fn new(ctx: Context, group: Result<GroupName, Error>) -> Self {
        Self {
            ctx,
            group,
            relay: false,
        }
    }

    /// Events of this group go to the socket as they are, as JSON text, and run no hook: the
    /// cheapest way to show one event to many.
    pub fn relay(mut self) -> Self {
        self.relay = true;
        self
    }
}

impl IntoFuture for GroupAdd {
    type Output = Result<(), Error>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.ctx.join(self.group?, self.relay).await })
    }
}
