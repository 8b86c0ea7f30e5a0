//! Real-time features in the manner of Django Channels: write a [`Consumer`], route URLs to it, and
//! talk to many sockets through groups.
//!
//! - **One value per connection.** A consumer is a struct; its hooks are plain `async fn`s that run
//!   one at a time.
//! - **`connect` and `disconnect` are a pair.** After a `connect` that accepted, `disconnect` runs
//!   exactly once, however the connection ends, a panic and a shutdown included. Group memberships
//!   end with the connection.
//! - **No queue is unbounded.** Every queue has a limit, and [the table below](#what-happens-when)
//!   says what happens at it.
//! - **Events are typed.** They decode into your enum. An event that does not decode is ignored and
//!   closes no connection.
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
//! /// An event of an order: `{"type": "order.updated", "order_id": 5, "status": "shipped"}`.
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
//!     /// The order as it is now; `None` if there is no such order.
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
//!         // Join first, then read: a change in between arrives twice. In the other order it would be lost.
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
//! its messages, `event` gets the events of groups and channels, `gap` runs if a group may have
//! missed something, `error` decides about a hook that failed, `disconnect` runs last. Each has a
//! default, so `impl Consumer for Echo {}` is a consumer that accepts and ignores. The hooks of one
//! connection never run at the same time; messages keep their order, events keep theirs. While a
//! hook waits, the connection still writes, answers pings and notices a close. → [`Consumer`]
//!
//! # Context
//!
//! Every hook is given the connection: `ctx.send(…)`, `send_json`, `forward`, `close`, `group_add`,
//! `state`, `scope`. A verb that can wait, such as sending or joining, does nothing until it is
//! awaited, and the compiler warns if the `.await` is missing; `close` and `group_discard` take
//! effect at the call. → [`Context`]
//!
//! # Scope
//!
//! The request of a connection: path, query, headers (cookies too: `scope.header("cookie")`),
//! offered subprotocols, the route's parameters, and typed extensions that a check or the
//! middleware in front has added. `scope.param("order_id")?` parses; a value that does not fit the
//! type answers 404. [`optional_param`](Scope::optional_param) is for a group that may be absent. →
//! [`Scope`]
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
//! | verb | for members that | hook | result |
//! | --- | --- | --- | --- |
//! | [`group_send`](ChannelLayer::group_send) | joined with `ctx.group_add(g)` | their `event` hook | decides per connection what to send |
//! | [`group_send`](ChannelLayer::group_send) | joined with `ctx.group_add(g).relay()` | nothing | the event's JSON goes to the socket |
//! | [`group_broadcast`](ChannelLayer::group_broadcast) | joined in either way | nothing | the given message goes to the socket |
//!
//! The last two are encoded once and share their bytes. Within one of the three ways the order is
//! the same for every member; between hooks and ready frames no order is promised, so use one kind
//! per group if order matters. An event is a JSON object with a string `"type"`: an enum with
//! `#[serde(tag = "type")]`, or the untyped [`Event`]. Each consumer also has a channel of its own,
//! [`Context::channel_name`], and [`ChannelLayer::new_channel`] makes one without a socket. strait
//! does not track who is online; [keep your own list](Consumer#keeping-your-own-list). →
//! [`ChannelLayer`], [`layer`]
//!
//! # Closing and errors
//!
//! A hook returns [`Result`], so `?` takes any error. An error from `receive` or `event` goes to
//! the `error` hook. If that returns an error too, the connection is closed and the error is logged
//! once; its text is never sent to the client. [`Error::close`] closes with a code and reason of
//! your choice. `disconnect` receives [the cause of the end](Closed). → [`close`], [the close
//! codes](docs::close_codes)
//!
//! # Limits and back-pressure
//!
//! A slow client or a slow hook affects its own connection, never another one, and never a
//! publisher. → [`Config`](config::Config), [the reason for every default](docs::defaults)
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
//! | messages of a group that are not delivered yet | 256 or 256 KiB in memory; 1,024 or 1 MiB over a network | in memory the publisher waits for delivery, never for a reader; over a network they are dropped, and [`gap`](Consumer::gap) runs |
//! | groups of a connection | 128 | `group_add` fails |
//! | silence of the client | 25 s, then 10 s after a ping | presumed gone |
//! | a standstill in writing | 10 s | presumed gone |
//! | `connect` | 10 s | 503 |
//! | a hook that still runs when the connection ends | 10 s | dropped |
//! | `disconnect` | 5 s | dropped |
//!
//! # Serving
//!
//! [`Server`] binds, serves and stops in good order at SIGTERM or Ctrl-C, with an axum router as
//! [`fallback`](Server::fallback) for plain HTTP on the same port. In a program that already has a
//! server, [`Router::into_service`] makes a `tower` service, with a handle that counts and drains
//! its sockets; there, wait for [`shutdown_signal`](server::shutdown_signal) and drain. →
//! [`service`], [`server`]
//!
//! strait logs through `tracing`: errors at ERROR, refused origins at WARN, other refusals at
//! DEBUG. Lines that clients can cause are [sampled](docs::metrics#what-the-log-samples). Without a
//! subscriber nothing is logged: begin `main` with `tracing_subscriber::fmt::init()`, and set
//! `RUST_LOG=strait=debug` if something does not arrive: it shows refusals and the end of every
//! connection. With `tracing-subscriber`'s feature `env-filter`, start with `RUST_LOG=info`, since
//! the default there is errors only.
//!
//! # Testing
//!
//! A [`Communicator`](testing::Communicator) connects to a router in memory, without a port, and
//! works under [tokio's paused clock](testing#time), so that a test of a heartbeat takes no time.
//! [`TestServer`](testing::TestServer) is a real server on a free port. → [`testing`]
//!
//! # What happens when
//!
//! | when | then | `disconnect` receives |
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
//! | the client vanishes | messages that it sent before are still handled | [`Lost`](close::Cause::Lost), 1006 |
//! | the client is silent, or takes no bytes | the connection is reset | [`TimeOut`](close::Cause::TimeOut) |
//! | the client breaks the protocol | closed with 1002, 1007 or 1009 | [`Protocol`](close::Cause::Protocol) |
//! | the client sends faster than [it may](config::Config::inbound_rate) | closed with 1008 | [`RateLimit`](close::Cause::RateLimit) |
//! | the hook calls `ctx.close` | the queued frames are written, then the close frame | [`Server`](close::Cause::Server) |
//! | a hook fails | closed with 1011, or as the error says | [`Error`](close::Cause::Error) |
//! | a hook panics | closed with 1011; no other connection is touched | [`Panic`](close::Cause::Panic) |
//! | the client reads too slowly for its groups | closed with 4008 | [`SlowReader`](close::Cause::SlowReader) |
//! | the `event` hook is too slow for its groups | closed with 1013 | [`SlowHook`](close::Cause::SlowHook) |
//! | the server stops | closed with 1012, a time to come back in the reason | [`Drain`](close::Cause::Drain) |
//! | [the backend](docs::backends) is disconnected | sockets stay open; publishing and joining fail: in `connect` 503 with `Retry-After`, in other hooks 1013 if they do not handle it | [`Error`](close::Cause::Error), if it was closed |
//! | the backend is back | groups are joined again, and [`gap`](Consumer::gap) runs for each member and group | – |
//! | an event does not decode | it is ignored, and logged at debug level | – |
//!
//! # Promises
//!
//! - Delivery is **at most once**. A member receives everything published after its `group_add`
//!   returned, once and in the order of the group. If a message is lost, the connection is closed,
//!   [`Context::dropped`] counts it, or [`gap`](Consumer::gap) runs; a consumer that keeps the
//!   default `gap` does not notice the last. Messages published while a client was away are gone:
//!   let `connect` send the current state, as above.
//! - `Published::receivers` counts the members that were addressed, not those that read it.
//! - After a panic, or a hook cut off by its time limit, `self` may be half-changed when
//!   `disconnect` runs. A program built with `panic = "abort"` has no isolation between
//!   connections.
//! - The wording of errors and log lines is no promise, and a default may change with a minor
//!   version.
//! - Several processes need a backend: Redis, also beside a Django on the same Redis, or NATS: see
//!   [the chapter](docs::backends). The [`Backend`](layer::Backend) trait still grows. Missing so
//!   far: history and resume, presence, TLS, the client's address behind a proxy.
//!
//! # Cargo features
//!
//! - `deflate` (off by default): [compression](docs::deflate), permessage-deflate.
//! - `metrics` (off by default): [counters](docs::metrics) through the `metrics` facade.
//! - `nats` (off by default): the [backend](docs::backends) over NATS.
//! - `redis` (off by default): the [backends](docs::backends) over Redis, those beside Django, too.
//!
//! # The book
//!
//! - [From Django Channels](docs::from_channels): the same consumer in both, a table of names,
//!   every difference.
//! - [Backends](docs::backends): how to choose one for several processes, the behaviour during an
//!   outage, how to write another.
//! - [Beside Django](docs::django): Django keeps its pages, strait holds the sockets, on the same
//!   Redis.
//! - [Close codes](docs::close_codes): the cause of each, and the reaction of a client.
//! - [Compression](docs::deflate): when it pays, and its cost.
//! - [Defaults](docs::defaults): the reason for each, the memory a limit implies, a list for the
//!   day you go live, and the mechanisms after a restart.
//! - [Metrics](docs::metrics): the names and meanings of all counters.
//! - [Architecture](docs::architecture): the layers of the source, the way of a message, owners and
//!   invariants.
//! - [Contributing](docs::contributing) and the [changelog](docs::changelog).
//!
//! The examples: `echo`, `chat`, `order_tracking`, `beside_django`, `inside_axum`, and `hub`, the
//! server of the benchmarks.

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
mod random;
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
