//! Backends with servers of their own, and what becomes of them when these fail.

#[cfg(feature = "redis")]
mod django;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod not_serving;
#[cfg(all(feature = "redis", feature = "nats"))]
mod outage;
#[cfg(feature = "redis")]
mod redis;
