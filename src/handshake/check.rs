//! Checks: functions of the application's own that run before a consumer is made.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::scope::Scope;

use super::reject::Reject;

/// A check as a router keeps it.
pub(crate) type Check =
    Arc<dyn Fn(Scope) -> BoxFuture<'static, Result<(), Reject>> + Send + Sync + 'static>;

/// Erases an asynchronous function to a [`Check`].
pub(crate) fn check<F, Fut>(function: F) -> Check
where
    F: Fn(Scope) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Reject>> + Send + 'static,
{
    Arc::new(move |scope| Box::pin(function(scope)))
}
