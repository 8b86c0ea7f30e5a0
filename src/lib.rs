//! Real-time features in the manner of Django Channels: write a [`Consumer`], route URLs to it, and
//! talk to many sockets through groups.
//!
//! - **One value per connection.** A consumer is a struct; its hooks are plain `async fn`s that run
//!   one at a time.
//! - **`connect` and `disconnect` are a pair.** After a `connect` that accepted, `disconnect` runs
//!   exactly once, however the connection ends, a panic and a shutdown included. Group memberships
//!   end with the connection.
//! - **Nothing is unbounded.** Every queue has a limit, and what happens at it is written down: see
//!   [the table below](#what-happens-when).
//! - **Events are typed.** They decode into your enum; one that does not is ignored and closes
//!   nobody.
//! - **Tests need no socket.** A [`Communicator`](testing::Communicator) drives the same session in
//!   memory.
//!
//! # A whole program
//!
//! A page follows an order: it gets the status when it connects, and each change after that.
//!
//! ```no_run
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use strait::{Accept, ChannelLayer, Closed, Consumer, Context, Message};
//! use strait::{Reject, Result, Router, Server};
//!
//! /// What is published about orders: `{"type": "order.updated", "order_id": 5, "status": "shipped"}`.
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type")]
//! enum OrderEvent {
//!     #[serde(rename = "order.updated")]
//!     Updated { order_id: u64, status: String },
//! }
//!
//! /// In place of a database.
//! #[derive(Clone, Default)]
//! struct Orders(Arc<Mutex<HashMap<u64, String>>>);
//!
//! impl Orders {
//!     fn set(&self, order_id: u64, status: &str) {
//!         self.0.lock().unwrap().insert(order_id, status.to_owned());
//!     }
//!
//!     /// The order as it is now, or `None` where there is no such order.
//!     fn find(&self, order_id: u64) -> Option<OrderEvent> {
//!         let status = self.0.lock().unwrap().get(&order_id)?.clone();
//!         Some(OrderEvent::Updated { order_id, status })
//!     }
//! }
//!
//! /// One connection of a page that follows one order.
//! struct OrderConsumer {
//!     order_id: u64,
//! }
//!
//! impl Consumer<OrderEvent> for OrderConsumer {
//!     async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
//!         // First join, then look: a change in between is seen twice instead of never.
//!         ctx.group_add(format!("order_{}", self.order_id)).await?;
//!         let Some(order) = ctx.state::<Orders>().find(self.order_id) else {
//!             return Err(Reject::not_found());
//!         };
//!         ctx.send_json(&order).await?;
//!         Ok(Accept::new())
//!     }
//!
//!     async fn receive(&mut self, ctx: &Context, message: Message) -> Result {
//!         if message.as_text() == Some("status") {
//!             ctx.send_json(&ctx.state::<Orders>().find(self.order_id)).await?;
//!         }
//!         Ok(())
//!     }
//!
//!     async fn event(&mut self, ctx: &Context, _event: OrderEvent) -> Result {
//!         ctx.forward().await?; // the event itself, as JSON
//!         Ok(())
//!     }
//!
//!     async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
//!         println!("order {}: a page left with {}", self.order_id, closed.code());
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result {
//!     let orders = Orders::default();
//!     orders.set(5, "paid");
//!     let layer = ChannelLayer::memory();
//!     let router = Router::new()
//!         .re_path(r"ws/order-tracking/(?P<order_id>\d+)/$", |scope| {
//!             Ok(OrderConsumer { order_id: scope.param("order_id")? })
//!         })
//!         .state(orders.clone())
//!         .channel_layer(layer.clone());
//!
//!     // From anywhere: a request handler, a queue, a timer.
//!     tokio::spawn(async move {
//!         tokio::time::sleep(Duration::from_secs(30)).await;
//!         orders.set(5, "shipped");
//!         let event = OrderEvent::Updated { order_id: 5, status: "shipped".to_owned() };
//!         layer.group_send("order_5", &event).await
//!     });
//!
//!     Server::bind("127.0.0.1:8000").router(router).serve().await?;
//!     Ok(())
//! }
//! ```
//!
//! It needs `strait`, `serde` with `derive`, and `tokio` with `macros` and `rt-multi-thread`. To
//! try it, connect any WebSocket client to `ws://127.0.0.1:8000/ws/order-tracking/5/`. A browser
//! may connect from a page of the same host and port only, until [`Router::origins`] says
//! otherwise; the example `order_tracking` serves the pages, too.
//!
//! # Consumers
//!
//! A consumer implements up to six hooks: `connect` lets a client in or refuses it, `receive` gets
//! its messages, `event` gets what groups and channels send, `gap` hears that a group may have
//! missed something, `error` decides about a hook that failed, `disconnect` is the end. Each has a
//! default, so `impl Consumer for Echo {}` is a consumer that accepts and ignores. The hooks of one
//! connection never run at the same time; messages keep their order, events keep theirs. While a
//! hook waits, the connection goes on writing, answering pings and noticing a close. → [`Consumer`]
//!
//! # Context
//!
//! Every hook is given the connection: `ctx.send(…)`, `send_json`, `forward`, `close`, `group_add`,
//! `state`, `scope`. A verb that can wait, such as sending or joining, does nothing until it is
//! awaited, and the compiler warns where the `.await` is missing; `close` and `group_discard` take
//! effect at the call. → [`Context`]
//!
//! # Scope
//!
//! What is known of a connection before it is one: path, query, headers, offered subprotocols, the
//! route's parameters, and typed extensions that a check or the middleware in front added.
//! `scope.param("order_id")?` parses; a value that does not fit the type answers 404.
//! [`optional_param`](Scope::optional_param) is for a group that may be absent. → [`Scope`]
//!
//! # Router
//!
//! [`path`](Router::path) takes Django's `"ws/couriers/<int:id>/"`, [`re_path`](Router::re_path) a
//! regular expression with named groups. The first declared route that matches the whole path wins.
//! A route names a factory, `Fn(&Scope) -> Result<C, Reject>`: a closure, or a `new` of that form.
//! Routers [`nest`](Router::nest), and checks, state, `Config` and allowed origins belong to a
//! router and all below it, or to [one route](router::path). → [`Router`]
//!
//! # Groups and channels
//!
//! A group is a name that many sockets join. An event sent to it reaches them in one of three ways:
//!
//! | by | for members that | what runs | and so |
//! | --- | --- | --- | --- |
//! | [`group_send`](ChannelLayer::group_send) | joined with `ctx.group_add(g)` | their `event` hook | decides per connection what to send |
//! | [`group_send`](ChannelLayer::group_send) | joined with `ctx.group_add(g).relay()` | nothing | the event's JSON goes to the socket |
//! | [`group_broadcast`](ChannelLayer::group_broadcast) | joined in either way | nothing | the given message goes to the socket |
//!
//! The last two are encoded once and share their bytes. Within one of the three ways the order is
//! the same for every member; between hooks and ready frames none is promised, so use one kind per
//! group where order matters. An event is a JSON object with a string `"type"`: an enum with
//! `#[serde(tag = "type")]`, or the untyped [`Event`]. Each consumer also has a channel of its own,
//! [`Context::channel_name`], and [`ChannelLayer::new_channel`] makes one without a socket. Who is
//! online is a list of yours: see [how to keep it](Consumer#keeping-your-own-list). →
//! [`ChannelLayer`], [`layer`]
//!
//! # Closing and errors
//!
//! A hook returns [`Result`], so `?` takes any error. What `receive` or `event` fails with goes to
//! the `error` hook; what remains closes the connection and is logged once, its text never sent to
//! the client. [`Error::close`] closes with a code and reason of your choice. `disconnect` is told
//! [how it ended](Closed). → [`close`], [the close codes](docs::close_codes)
//!
//! # Limits and back-pressure
//!
//! A slow peer or a slow hook costs its own connection, never another's, and never a publisher. →
//! [`Config`](config::Config), [the reason for every default](docs::defaults)
//!
//! | what | limit | at the limit |
//! | --- | --- | --- |
//! | a message from the client | 64 KiB | closed with 1009 |
//! | messages from the client in a second | none until [set](config::Config::inbound_rate) | closed with 1008 |
//! | connections, of all or of one address | none until [set](handshake::Limits) | 503, 429, with `Retry-After` |
//! | handshakes in a second | none until [set](handshake::Limits::handshake_rate) | 503 with `Retry-After` |
//! | frames that wait to be written | 1,024 or 1 MiB | a group's frame: closed with 4008, or [dropped](config::Overflow::Drop); the consumer's own: waits |
//! | events that wait for the hook | 1,024 or 1 MiB | a group's: closed with 1013, or dropped; a direct one: the sender gets [`Error::is_full`] |
//! | messages that wait for the hook | 64 or 256 KiB | the socket is not read until there is room |
//! | what is published to a group and not delivered yet | 256 or 256 KiB | the publisher waits for delivery, never for a reader |
//! | groups of a connection | 128 | `group_add` fails |
//! | silence of the peer | 25 s, then 10 s after a ping | taken for gone |
//! | a standstill in writing | 10 s | taken for gone |
//! | `connect` | 10 s | 503 |
//! | a hook that still runs when the connection ends | 10 s | dropped |
//! | `disconnect` | 5 s | dropped |
//!
//! # Serving
//!
//! [`Server`] binds, serves and stops in good order at SIGTERM or Ctrl-C, with an axum router as
//! [`fallback`](Server::fallback) for plain HTTP on the same port. In a program that has a server
//! already, [`Router::into_service`] makes a `tower` service, with a handle that counts and drains
//! its sockets; there, wait for [`shutdown_signal`](server::shutdown_signal) and drain. →
//! [`service`], [`server`]
//!
//! strait logs through `tracing`: errors at ERROR, refused origins at WARN, other refusals at
//! DEBUG. Lines that clients can cause are [sampled](docs::metrics#what-the-log-samples). Without a
//! subscriber nothing is logged: begin `main` with `tracing_subscriber::fmt::init()`, and look with
//! `RUST_LOG=strait=debug` when something does not arrive. With `tracing-subscriber`'s feature
//! `env-filter`, start with `RUST_LOG=info`, since the default there is errors only.
//!
//! # Testing
//!
//! A [`Communicator`](testing::Communicator) connects to a router in memory, without a port, and
//! works under [tokio's paused clock](testing#time), so that a test of a heartbeat takes no time.
//! [`TestServer`](testing::TestServer) is a real server on a free port. → [`testing`]
//!
//! # What happens when
//!
//! | when | then | `disconnect` is told |
//! | --- | --- | --- |
//! | no route matches the path | 404 | it does not run |
//! | a plain HTTP request comes to a route | 426 (405, 400 for a broken handshake) | it does not run |
//! | a page of another origin connects | 403, and a warning that says how to allow it | it does not run |
//! | one of the [limits](handshake::Limits) is reached | 503 or 429, with `Retry-After`; nothing of the program runs | it does not run |
//! | a check, a factory or `connect` answers a [`Reject`] | that status | it does not run |
//! | a check, a factory or `connect` panics | 500 | it does not run |
//! | `connect` takes too long | 503 with `Retry-After` | it does not run |
//! | `connect` accepts with a subprotocol that was not offered | 500, and an error in the log | [`Error`](close::Cause::Error): it had accepted |
//! | the client leaves during `connect` | the hook has 10 s more; if it accepts after all → | [`AbandonedHandshake`](close::Cause::AbandonedHandshake) |
//! | the client closes | its code is answered | [`Client`](close::Cause::Client), with code and reason |
//! | the client vanishes | what it sent before is still heard | [`Lost`](close::Cause::Lost), 1006 |
//! | the client is silent, or takes no bytes | the connection is reset | [`TimeOut`](close::Cause::TimeOut) |
//! | the client breaks the protocol | closed with 1002, 1007 or 1009 | [`Protocol`](close::Cause::Protocol) |
//! | the client sends faster than [it may](config::Config::inbound_rate) | closed with 1008 | [`RateLimit`](close::Cause::RateLimit) |
//! | the hook calls `ctx.close` | what is queued goes out, then the close frame | [`Server`](close::Cause::Server) |
//! | a hook fails | closed with 1011, or as the error says | [`Error`](close::Cause::Error) |
//! | a hook panics | closed with 1011; no other connection is touched | [`Panic`](close::Cause::Panic) |
//! | the client reads too slowly for its groups | closed with 4008 | [`SlowReader`](close::Cause::SlowReader) |
//! | the `event` hook is too slow for its groups | closed with 1013 | [`SlowHook`](close::Cause::SlowHook) |
//! | the server stops | closed with 1012, a time to come back in the reason | [`Drain`](close::Cause::Drain) |
//! | [the backend](docs::backends) is away | sockets stay; publishing and joining fail: in `connect` 503 with `Retry-After`, in other hooks 1013 if they do not handle it | [`Error`](close::Cause::Error), if it was closed |
//! | the backend is back | groups are joined again, and [`gap`](Consumer::gap) runs for each member and group | – |
//! | an event does not decode | it is ignored, and logged at debug level | – |
//!
//! # What is promised, and what is not
//!
//! - Delivery is **at most once**. A member gets what is published after its `group_add` returned,
//!   once and in the order of the group, or is closed, or is told by [`Context::dropped`]: nothing
//!   goes missing in silence. What was published while a client was away is gone; let `connect`
//!   send the state as it is, as above.
//! - `Published::receivers` says how many were addressed, not how many read it.
//! - After a panic, or a hook cut off by its time limit, `self` may be half-changed when
//!   `disconnect` runs. A program built with `panic = "abort"` has no isolation between
//!   connections.
//! - The wording of errors and log lines is no promise, and a default may change with a minor
//!   version.
//! - Several processes need a backend: Redis, also beside a Django on the same Redis, or NATS: see
//!   [the chapter](docs::backends). The [`Backend`](layer::Backend) trait still grows. Not there
//!   yet: history and resume, presence, TLS, the client's address behind a proxy.
//!
//! # Cargo features
//!
//! - `deflate` (off by default): [compression](docs::deflate), permessage-deflate.
//! - `metrics` (off by default): what happens to connections is [counted](docs::metrics) through
//!   the `metrics` facade.
//! - `nats` (off by default): the [backend](docs::backends) over NATS.
//! - `redis` (off by default): the [backends](docs::backends) over Redis, those beside Django, too.
//!
//! # The book
//!
//! - [From Django Channels](docs::from_channels): the same consumer in both, a table of names,
//!   every difference.
//! - [Backends](docs::backends): which one for several processes, what happens while it is away,
//!   how to write another.
//! - [Beside Django](docs::django): Django keeps its pages, strait holds the sockets, on the same
//!   Redis.
//! - [Close codes](docs::close_codes): when each is sent, and what a client should do.
//! - [Compression](docs::deflate): whether it pays, what it costs.
//! - [Defaults](docs::defaults): the reason for each, the memory a limit implies, what to look at
//!   before you go live, and what meets all clients after a restart.
//! - [Metrics](docs::metrics): what is counted, and by which names.
//! - [Architecture](docs::architecture): the floors of the source, the way of a message, who owns
//!   what.
//!
//! The examples: `echo`, `chat`, `order_tracking`, `beside_django`, `inside_axum`, and `hub`, which
//! the benchmarks measure.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backends;
mod broadcast;
mod budget;
pub mod close;
pub mod config;
pub mod consumer;
pub mod docs;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod layer;
mod mailbox;
mod message;
mod metrics;
mod name;
mod rate;
mod route;
pub mod router;
mod sampler;
mod scope;
pub mod server;
pub mod service;
mod session;
pub mod testing;
mod urls;
mod websocket;
mod yield_now;

pub use close::Closed;
pub use consumer::{Consumer, Context};
pub use error::{BoxError, Error, Result};
pub use event::Event;
pub use handshake::{Accept, Reject};
pub use layer::ChannelLayer;
pub use message::Message;
pub use router::Router;
pub use scope::Scope;
pub use server::Server;

/// The programs of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
