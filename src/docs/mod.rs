//! The book: chapters on subjects that belong to no single type.
//!
//! - [`from_channels`]: for developers who know Django Channels.
//! - [`backends`]: which one to choose, what happens while it is away, and how to write another.
//! - [`django`]: strait holds the sockets of a Django project, which stays as it is.
//! - [`close_codes`]: when each code is sent, and what a client should do.
//! - [`deflate`]: whether compression pays, what it costs, how it is switched on.
//! - [`defaults`]: the reason for every default, and the memory a limit implies.
//! - [`metrics`]: the names and meanings of all counters.
//! - [`architecture`]: how the source is laid out, and what must hold in it.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("backends.md")]
pub mod backends {}

#[doc = include_str!("close_codes.md")]
pub mod close_codes {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("deflate.md")]
pub mod deflate {}

#[doc = include_str!("django.md")]
pub mod django {}

#[doc = include_str!("from_channels.md")]
pub mod from_channels {}

#[doc = include_str!("metrics.md")]
pub mod metrics {}
