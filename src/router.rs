//! [`Router`]: which consumer a URL leads to, behind which checks, with which state.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::consumer::{Consumer, DynConsumer};
use crate::error::Error;
use crate::handshake::{Check, Limits, Origins, Reject, check};
use crate::layer::ChannelLayer;
use crate::mailbox::ConnectionSettings;
use crate::route::{Endpoint, Options};
use crate::scope::{Mount, Scope};
use crate::urls::{Converters, Params, Pattern, Table};

pub use crate::route::{Route, path, re_path};
pub use crate::urls::Converter;

/// Maps URLs to consumers, as Django's `websocket_urlpatterns` do.
///
/// Routes are tried in the order of their declaration, of both kinds alike, and the first that
/// matches the whole path wins; a converter that refuses a value goes on to the next route. Then
/// the checks run, then the factory makes the consumer, then its [`connect`](Consumer::connect).
///
/// A factory is any `Fn(&Scope) -> Result<C, Reject>`; shared values of the application go into
/// [`state`](Self::state).
///
/// ```
/// use strait::Consumer;
/// use strait::Reject;
/// use strait::Router;
/// use strait::Scope;
///
/// struct Order { id: u64 }
/// impl Consumer for Order {}
///
/// struct Courier;
/// impl Courier {
///     fn new(scope: &Scope) -> Result<Self, Reject> { Ok(Courier) }
/// }
/// impl Consumer for Courier {}
///
/// let router = Router::new()
///     .re_path(r"ws/order-tracking/(?P<order_id>\d+)/$", |scope| Ok(Order { id: scope.param("order_id")? }))
///     .path("ws/couriers/<int:courier_id>/", Courier::new);
/// ```
///
/// # Patterns
///
/// [`path`](Self::path) takes text with `<converter:name>`: `int` (digits, up to `u64`), `str` (no
/// slash; also plain `<name>` and `{name}`), `slug`, `uuid` (lower case), `path` (with slashes),
/// and your own [`converter`](Self::converter)s. [`re_path`](Self::re_path) takes a regular
/// expression with named groups; it always matches the whole path, a leading `/` or `^` and a
/// closing `$` may be there or not, and `\d` is an ASCII digit. Leading slashes of the request's
/// path are ignored. There is no redirect that adds a slash.
#[must_use]
pub struct Router {
    routes: Vec<Placed>,
    converters: Converters,
    options: Options,
    limits: Option<Limits>,
}

/// A route whose pattern is read.
struct Placed {
    pattern: Pattern,
    endpoint: Arc<dyn Endpoint>,
    options: Options,
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            converters: Converters::new(),
            options: Options::default(),
            limits: None,
        }
    }

    /// Routes paths of this form to a consumer.
    ///
    /// # Panics
    ///
    /// On a bad pattern, at the caller's line. See [`try_path`](Self::try_path).
    #[track_caller]
    pub fn path<F, C, E>(self, pattern: &str, factory: F) -> Self
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        self.route(path(pattern, factory))
    }

    /// [`path`](Self::path) for patterns that are not the program's own.
    ///
    /// # Errors
    ///
    /// Names the pattern, the place in it, and what to do.
    pub fn try_path<F, C, E>(self, pattern: &str, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        self.try_route(path(pattern, factory))
    }

    /// Routes paths that match this regular expression to a consumer.
    ///
    /// # Panics
    ///
    /// On a bad expression, at the caller's line. See [`try_re_path`](Self::try_re_path).
    #[track_caller]
    pub fn re_path<F, C, E>(self, pattern: &str, factory: F) -> Self
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        self.route(re_path(pattern, factory))
    }

    /// [`re_path`](Self::re_path) for expressions that are not the program's own.
    ///
    /// # Errors
    ///
    /// Names the expression, the place in it, and what to do.
    pub fn try_re_path<F, C, E>(self, pattern: &str, factory: F) -> Result<Self, Error>
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        self.try_route(re_path(pattern, factory))
    }

    /// Adds a route that [`path`] or [`re_path`] has made, for options that
    /// are this route's alone.
    ///
    /// ```
    /// # use strait::{Consumer, Router};
    /// # struct Upload; impl Consumer for Upload {}
    /// use strait::config::Config;
    /// use strait::router::path;
    ///
    /// let router = Router::new().route(
    ///     path("ws/upload/", |_| Ok(Upload)).config(Config::new().max_message(4 * 1024 * 1024)),
    /// );
    /// ```
    ///
    /// # Panics
    ///
    /// On a bad pattern, at the caller's line. See [`try_route`](Self::try_route).
    #[track_caller]
    pub fn route(self, route: Route) -> Self {
        or_panic(self.try_route(route))
    }

    /// [`route`](Self::route) for patterns that are not the program's own.
    ///
    /// # Errors
    ///
    /// Names the pattern, the place in it, and what to do.
    pub fn try_route(mut self, route: Route) -> Result<Self, Error> {
        self.routes.push(Placed {
            pattern: route.pattern(&self.converters).map_err(Error::route)?,
            endpoint: route.endpoint,
            options: route.options,
        });
        Ok(self)
    }

    /// Puts a router's routes under a prefix, which is a [`path`](Self::path) pattern and may have
    /// parameters; they are merged, the inner one of equal names wins. State, checks, configuration
    /// and layer of the inner router stay with its routes and go before this router's; checks run
    /// from the outside in. An empty prefix only groups routes.
    ///
    /// # Panics
    ///
    /// On a bad prefix, or a router with [`limits`](Self::limits), at the caller's line. See
    /// [`try_nest`](Self::try_nest).
    #[track_caller]
    pub fn nest(self, prefix: &str, router: Self) -> Self {
        or_panic(self.try_nest(prefix, router))
    }

    /// [`nest`](Self::nest) for prefixes that are not the program's own.
    ///
    /// # Errors
    ///
    /// Names the prefix, the place in it, and what to do; also where the nested router has
    /// [`limits`](Self::limits).
    pub fn try_nest(mut self, prefix: &str, router: Self) -> Result<Self, Error> {
        if router.limits.is_some() {
            return Err(Error::route(format!(
                "the router nested under `{prefix}` has limits, which count all connections of a service: set them on the outermost router"
            )));
        }
        let prefix = Pattern::path(prefix, &self.converters).map_err(Error::route)?;
        for mut route in router.into_routes() {
            route.pattern = route.pattern.nested_in(&prefix).map_err(Error::route)?;
            self.routes.push(route);
        }
        Ok(self)
    }

    /// Registers a converter for `<name:parameter>` in the `path` patterns that are declared after
    /// it on this router; a nested router has converters of its own.
    ///
    /// # Panics
    ///
    /// When the name is taken or its expression is bad, at the caller's line. See
    /// [`try_converter`](Self::try_converter).
    #[track_caller]
    pub fn converter(self, name: &str, converter: impl Converter) -> Self {
        or_panic(self.try_converter(name, converter))
    }

    /// [`converter`](Self::converter) for expressions that are not the program's own.
    ///
    /// # Errors
    ///
    /// Names the converter, the place in its expression, and what to do.
    pub fn try_converter(mut self, name: &str, converter: impl Converter) -> Result<Self, Error> {
        let registered = self.converters.register(name, converter);
        registered.map_err(Error::route)?;
        Ok(self)
    }

    /// Shares a value with all consumers: `ctx.state::<T>()`. One of each type; a later one
    /// replaces an earlier. A type that is cheap to clone, such as a pool, goes in as it is.
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.options.state.insert(value);
        self
    }

    /// The channel layer of all consumers. To publish from elsewhere, keep a clone of the same
    /// layer. Default: a [memory](ChannelLayer::memory) layer of the router's own, which only its
    /// consumers reach.
    ///
    /// If a publish reaches 0 [`receivers`](crate::layer::Published::receivers) although the group
    /// has members, it went to another layer.
    pub fn channel_layer(mut self, layer: ChannelLayer) -> Self {
        self.options.layer = Some(layer);
        self
    }

    /// Limits and deadlines of the connections. A nested router's take the place of these, all
    /// together. Default: [`Config::new`].
    pub fn config(mut self, config: Config) -> Self {
        self.options.config = Some(config);
        self
    }

    /// Limits on the connections of the whole service that this router becomes. Default: none.
    ///
    /// They hold wherever the router goes: in a [`Server`](crate::Server), a
    /// [service](Self::into_service), a [`Communicator`](crate::testing::Communicator). Only the
    /// outermost router may have them, since a limit that counts a part of the connections protects
    /// nothing: [`nest`](Self::nest) refuses a router that has some.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    pub(crate) fn service_limits(&self) -> Limits {
        self.limits.unwrap_or_default()
    }

    /// Which web pages may connect. Default: those of the same host and port.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.options.origins = Some(origins);
        self
    }

    /// Adds a check that runs before a consumer is made: an asynchronous function of the scope that
    /// may reject. It stores its result, such as a user, on the scope with
    /// [`Scope::insert_extension`]; [the chapter on
    /// Channels](crate::docs::from_channels#authentication) has an example.
    ///
    /// It holds for every route of this router and of those nested in it, wherever they were
    /// declared. For a check on one route only, give it to that [`route`](Self::route); on some,
    /// [`nest`](Self::nest) a router of theirs, with an empty prefix if need be. Checks run in the
    /// order they were added.
    ///
    /// ```
    /// # use strait::{Consumer, Reject, Router};
    /// # struct Board; impl Consumer for Board {}
    /// let router = Router::new()
    ///     .path("ws/board/", |_| Ok(Board))
    ///     .check(|scope| async move {
    ///         match scope.header("authorization") {
    ///             Some("Bearer secret") => Ok(()),
    ///             _ => Err(Reject::unauthorized()),
    ///         }
    ///     });
    /// ```
    pub fn check<F, Fut>(mut self, function: F) -> Self
    where
        F: Fn(Scope) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Reject>> + Send + 'static,
    {
        self.options.checks.push(check(function));
        self
    }

    /// The table of all routes, their options settled.
    pub(crate) fn build(mut self) -> Result<Routes, Error> {
        self.options.layer.get_or_insert_with(ChannelLayer::memory);
        let routes: Vec<_> = self.into_routes().collect();
        let patterns = routes.iter().map(|route| route.pattern.clone()).collect();
        let table = Table::new(patterns).map_err(Error::route)?;
        Ok(Routes {
            table,
            endpoints: routes.into_iter().map(Settled::new).map(Arc::new).collect(),
        })
    }

    /// The routes, with the router's options handed down.
    fn into_routes(self) -> impl Iterator<Item = Placed> {
        let outer = self.options;
        self.routes.into_iter().map(move |mut route| {
            route.options.inherit(&outer);
            route
        })
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.routes.iter().map(|route| route.pattern.source());
        f.debug_list().entries(patterns).finish()
    }
}

/// A router that is ready to serve.
#[derive(Debug)]
pub(crate) struct Routes {
    table: Table,
    /// In the table's order.
    endpoints: Vec<Arc<Settled>>,
}

impl Routes {
    /// The route of a decoded path, and what its parameters are.
    pub(crate) fn find(&self, path: &str) -> Option<(&Arc<Settled>, Params)> {
        let found = self.table.find(path)?;
        Some((self.endpoints.get(found.route)?, found.params))
    }
}

/// One route with everything that belongs to it.
pub(crate) struct Settled {
    endpoint: Arc<dyn Endpoint>,
    checks: Vec<Check>,
    pub(crate) origins: Origins,
    pub(crate) mount: Arc<Mount>,
    pub(crate) terms: Arc<ConnectionSettings>,
    pub(crate) layer: ChannelLayer,
}

impl Settled {
    fn new(route: Placed) -> Self {
        let mount = Mount {
            pattern: route.pattern.source().to_owned(),
            parameters: route.pattern.parameters().map(str::to_owned).collect(),
            state: route.options.state,
        };
        let layer = route.options.layer.unwrap_or_else(ChannelLayer::memory);
        Self {
            endpoint: route.endpoint,
            checks: route.options.checks,
            origins: route.options.origins.unwrap_or_default(),
            mount: Arc::new(mount),
            terms: layer.settings(route.options.config.unwrap_or_default()),
            layer,
        }
    }

    /// Runs the checks, then makes the consumer.
    pub(crate) async fn admit(&self, scope: &Scope) -> Result<Box<dyn DynConsumer>, Reject> {
        for check in &self.checks {
            check(scope.clone()).await?;
        }
        self.endpoint.make(scope)
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled")
            .field("pattern", &self.mount.pattern)
            .finish_non_exhaustive()
    }
}

/// A mistake in the program's own routes stops it at the line of the mistake.
#[track_caller]
fn or_panic<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
