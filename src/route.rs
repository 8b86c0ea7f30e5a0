//! [`Route`]: one pattern, its factory, and the options that are its own.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::consumer::{Consumer, DynConsumer, erase};
use crate::handshake::{Check, Origins, Reject, check};
use crate::layer::ChannelLayer;
use crate::scope::{Scope, State};
use crate::urls::{Converters, Pattern, PatternError};

/// A route that is not on a router yet: [`path`] and [`re_path`] make one,
/// [`Router::route`](crate::Router::route) takes it.
///
/// Each option holds for this route alone and goes before the router's own; checks run after the
/// router's.
#[must_use = "a route leads nowhere until a router has it"]
pub struct Route {
    spec: Spec,
    pub(crate) endpoint: Arc<dyn Endpoint>,
    pub(crate) options: Options,
}

/// A pattern as it was written. It is read when a router takes it, since the converters are the
/// router's.
#[derive(Debug)]
enum Spec {
    Path(String),
    RePath(String),
}

/// Options for one route, for a nested router or for all routes; the inner one wins.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) checks: Vec<Check>,
    pub(crate) state: State,
    pub(crate) origins: Option<Origins>,
    pub(crate) config: Option<Config>,
    pub(crate) layer: Option<ChannelLayer>,
}

/// A route for paths of this form, as [`Router::path`](crate::Router::path) declares one, with
/// options of its own.
///
/// ```
/// use strait::{Consumer, Reject, Router};
/// use strait::config::Config;
/// use strait::router::path;
///
/// struct Chat;
/// impl Consumer for Chat {}
/// struct Upload { id: u64 }
/// impl Consumer for Upload {}
///
/// let upload = path("ws/upload/<int:id>/", |scope| Ok(Upload { id: scope.param("id")? }))
///     .config(Config::new().max_message(4 * 1024 * 1024))
///     .check(|scope| async move {
///         scope.header("authorization").map(drop).ok_or_else(Reject::unauthorized)
///     });
/// let router = Router::new().path("ws/chat/", |_| Ok(Chat)).route(upload);
/// ```
pub fn path<F, C, E>(pattern: &str, factory: F) -> Route
where
    F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    Route::new(Spec::Path(pattern.to_owned()), factory)
}

/// A route for paths that match this regular expression, as
/// [`Router::re_path`](crate::Router::re_path) declares one, with options of its own. See [`path`].
pub fn re_path<F, C, E>(pattern: &str, factory: F) -> Route
where
    F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    Route::new(Spec::RePath(pattern.to_owned()), factory)
}

impl Route {
    fn new<F, C, E>(spec: Spec, factory: F) -> Self
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        Self {
            spec,
            endpoint: Arc::new(Factory {
                factory,
                events: PhantomData,
            }),
            options: Options::default(),
        }
    }

    /// A value for `ctx.state::<T>()`, in place of the router's of the same type. See
    /// [`Router::state`](crate::Router::state).
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.options.state.insert(value);
        self
    }

    /// The channel layer of this route. See
    /// [`Router::channel_layer`](crate::Router::channel_layer).
    pub fn channel_layer(mut self, layer: ChannelLayer) -> Self {
        self.options.layer = Some(layer);
        self
    }

    /// Limits and deadlines of this route's connections, in place of the router's, all together.
    /// See [`Router::config`](crate::Router::config).
    pub fn config(mut self, config: Config) -> Self {
        self.options.config = Some(config);
        self
    }

    /// Which web pages may connect here. See [`Router::origins`](crate::Router::origins).
    pub fn origins(mut self, origins: Origins) -> Self {
        self.options.origins = Some(origins);
        self
    }

    /// Adds a check for this route; it runs after the router's. See
    /// [`Router::check`](crate::Router::check).
    pub fn check<F, Fut>(mut self, function: F) -> Self
    where
        F: Fn(Scope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Reject>> + Send + 'static,
    {
        self.options.checks.push(check(function));
        self
    }

    /// The pattern, read.
    pub(crate) fn pattern(&self, converters: &Converters) -> Result<Pattern, PatternError> {
        match &self.spec {
            Spec::Path(source) => Pattern::path(source, converters),
            Spec::RePath(source) => Pattern::re_path(source),
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl Options {
    pub(crate) fn inherit(&mut self, outer: &Self) {
        self.checks.splice(..0, outer.checks.iter().cloned());
        self.state.inherit(&outer.state);
        self.origins = self.origins.take().or_else(|| outer.origins.clone());
        self.config = self.config.take().or_else(|| outer.config.clone());
        self.layer = self.layer.take().or_else(|| outer.layer.clone());
    }
}

/// A factory with its types erased.
pub(crate) trait Endpoint: Send + Sync {
    fn make(&self, scope: &Scope) -> Result<Box<dyn DynConsumer>, Reject>;
}

struct Factory<F, C, E> {
    factory: F,
    events: PhantomData<fn() -> (C, E)>,
}

impl<F, C, E> Endpoint for Factory<F, C, E>
where
    F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
    C: Consumer<E>,
    E: DeserializeOwned + Send + 'static,
{
    fn make(&self, scope: &Scope) -> Result<Box<dyn DynConsumer>, Reject> {
        (self.factory)(scope).map(erase)
    }
}
