//! Tests of consumers and routers: in memory with a [`Communicator`], over a real port with a
//! [`TestServer`]; and of backends, by their [`conformance`].
//!
//! A communicator drives the same session as a socket does, over an in-memory stream: handshake,
//! checks, hooks, limits, heartbeat and closing are the real ones. To see why a hook failed,
//! install `tracing_subscriber::fmt().with_test_writer()`.
//!
//! ```
//! use strait::{Consumer, Context, Message, Router};
//! use strait::testing::Communicator;
//!
//! struct Echo;
//! impl Consumer for Echo {
//!     async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
//!         Ok(ctx.send(message).await?)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let router = Router::new().path("ws/echo/", |_| Ok(Echo));
//! let mut client = Communicator::new(router, "/ws/echo/");
//! client.connect().await.unwrap();
//! client.send_text("hello").await.unwrap();
//! assert_eq!(client.receive_text().await.unwrap(), "hello");
//! client.disconnect().await.unwrap();
//! # });
//! ```
//!
//! # Several clients
//!
//! They share one service, and with it one channel layer:
//!
//! ```
//! use strait::{Accept, Consumer, Context, Message, Reject, Result, Router};
//! use strait::testing::Communicator;
//!
//! struct Room;
//! impl Consumer for Room {
//!     async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
//!         ctx.group_add("room").await?;
//!         Ok(Accept::new())
//!     }
//!
//!     async fn receive(&mut self, ctx: &Context, message: Message) -> Result {
//!         ctx.layer().group_broadcast("room", message).except(ctx).await?;
//!         Ok(())
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let router = Router::new().path("ws/room/", |_| Ok(Room));
//! let (service, _) = router.into_service();
//! let mut anna = Communicator::new(&service, "ws/room/");
//! let mut ben = Communicator::new(&service, "ws/room/");
//! anna.connect().await.unwrap();
//! ben.connect().await.unwrap();
//!
//! anna.send_text("hello").await.unwrap();
//! assert_eq!(ben.receive_text().await.unwrap(), "hello");
//! anna.expect_nothing().await.unwrap();
//! ben.disconnect_with(4100, "good night").await.unwrap();
//! # });
//! ```
//!
//! # Time
//!
//! Under tokio's paused clock waiting costs no time. It needs, beside `strait`'s own:
//!
//! ```toml
//! [dev-dependencies]
//! tokio = { version = "1", features = ["test-util"] }
//! ```
//!
//! **Let the client wait, not the test.** A client that does not receive answers no pings, so under
//! a `sleep` of the test's it is taken for gone after about 40 s. Here a client that says nothing
//! is closed after five minutes:
//!
//! ```
//! use std::time::Duration;
//!
//! use strait::{Accept, Consumer, Context, Event, Message, Reject, Result};
//! use strait::testing::Communicator;
//! use tokio::task::AbortHandle;
//!
//! #[derive(Default)]
//! struct Desk {
//!     timer: Option<AbortHandle>,
//! }
//!
//! impl Desk {
//!     fn wait(&mut self, ctx: &Context) {
//!         let (layer, me) = (ctx.layer().clone(), ctx.channel_name());
//!         let timer = tokio::spawn(async move {
//!             tokio::time::sleep(Duration::from_secs(300)).await;
//!             layer.send(me, &Event::new("idle")).await
//!         });
//!         self.stop();
//!         self.timer = Some(timer.abort_handle());
//!     }
//!
//!     fn stop(&self) {
//!         if let Some(timer) = &self.timer {
//!             timer.abort();
//!         }
//!     }
//! }
//!
//! impl Consumer for Desk {
//!     async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
//!         self.wait(ctx);
//!         Ok(Accept::new())
//!     }
//!
//!     async fn receive(&mut self, ctx: &Context, _message: Message) -> Result {
//!         self.wait(ctx);
//!         Ok(())
//!     }
//!
//!     async fn event(&mut self, ctx: &Context, _idle: Event) -> Result {
//!         Ok(ctx.close(4100, "idle").await?)
//!     }
//! }
//!
//! impl Drop for Desk {
//!     fn drop(&mut self) {
//!         self.stop();
//!     }
//! }
//!
//! # /*
//! #[tokio::test(start_paused = true)]
//! # */
//! async fn who_says_nothing_is_closed_after_five_minutes() {
//!     let mut client = Communicator::consumer(|_| Ok(Desk::default())).timeout(Duration::from_secs(600));
//!     client.connect().await.unwrap();
//!     client.send_text("hello").await.unwrap();
//!     let (code, reason) = client.expect_close().await.unwrap();
//!     assert_eq!(code, 4100);
//!     assert_eq!(reason, "idle");
//! }
//! # let mut runtime = tokio::runtime::Builder::new_current_thread();
//! # let runtime = runtime.enable_time().start_paused(true).build().unwrap();
//! # runtime.block_on(async {
//! #     let start = tokio::time::Instant::now();
//! #     who_says_nothing_is_closed_after_five_minutes().await;
//! #     assert_eq!(start.elapsed().as_secs(), 300);
//! # });
//! ```

mod answers;
mod client;
mod communicator;
pub mod conformance;
mod test_server;

pub use answers::{Accepted, Rejected, Unexpected};
pub use communicator::Communicator;
pub use test_server::TestServer;
