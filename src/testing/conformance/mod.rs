//! The requirements for a backend: one suite that memory, Redis, NATS and third-party backends pass
//! alike.
//!
//! [`run`] makes nodes over one bus, publishes, joins, leaves, and compares the arrivals with the
//! promises of the layer and with the backend's [`Guarantees`](crate::layer::Guarantees):
//! everything that they promise is asserted, and receivers are counted as they say. Nothing in it
//! is about outages, since those need the other end to be broken: see [the
//! book](crate::docs::backends), which has a backend that passes, too.
//!
//! ```
//! use strait::ChannelLayer;
//! use strait::backends::Memory;
//! use strait::testing::conformance;
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn my_backend_keeps_its_promises() {
//!     let bus = Memory::new();
//!     conformance::run(|| ChannelLayer::new(bus.clone())).await;
//! }
//! # let mut runtime = tokio::runtime::Builder::new_current_thread();
//! # let runtime = runtime.enable_all().start_paused(true).build().unwrap();
//! # runtime.block_on(my_backend_keeps_its_promises());
//! ```

mod checks;
mod direct;
mod groups;
mod load;
mod membership;
mod names;
mod nodes;
mod order;
mod payloads;
mod sockets;
mod suite;

pub use suite::run;
