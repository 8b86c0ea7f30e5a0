//! Tests of consumers and routers: in memory with a [`Communicator`], over a real port with a [`TestServer`].
//!
//! A communicator drives the same session as a socket does, over an in-memory stream: handshake,
//! checks, hooks, limits, heartbeat and closing are the real ones. It works under tokio's paused
//! clock, where waiting costs no time.
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

mod answers;
mod client;
mod communicator;
mod test_server;

pub use answers::Accepted;
pub use answers::Rejected;
pub use answers::Unexpected;
pub use communicator::Communicator;
pub use test_server::TestServer;
