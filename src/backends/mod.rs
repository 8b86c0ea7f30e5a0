//! What carries envelopes between nodes: the backends that come with strait, and the constructors
//! that name them.

#[cfg(any(feature = "nats", feature = "redis"))]
mod backoff;
mod from_url;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
pub(crate) mod redis;

pub use memory::Memory;
#[cfg(feature = "nats")]
pub use nats::Nats;
#[cfg(feature = "redis")]
pub use redis::Redis;
