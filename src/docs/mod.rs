//! The book: chapters on subjects that belong to no single type.
//!
//! - [`from_channels`]: for developers who know Django Channels.
//! - [`backends`]: how to choose one, the behaviour during an outage, how to write another.
//! - [`django`]: strait holds the sockets of a Django project, which stays as it is.
//! - [`close_codes`]: the cause of each code, and the reaction of a client.
//! - [`deflate`]: when compression pays, its cost, and how to enable it.
//! - [`defaults`]: the reason for every default, and the memory a limit implies.
//! - [`metrics`]: the names and meanings of all counters.
//! - [`architecture`]: the layers of the source, the way of a message, owners and invariants.
//! - [`contributing`]: how to build, where a test goes, how we write.
//! - [`changelog`]: the versions.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("backends.md")]
pub mod backends {}

#[doc = include_str!("changelog.md")]
pub mod changelog {}

#[doc = include_str!("close_codes.md")]
pub mod close_codes {}

#[doc = include_str!("contributing.md")]
pub mod contributing {}

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
