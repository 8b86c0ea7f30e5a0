//! The backends that come with strait, which carry envelopes between nodes, and the constructors
//! that name them.

#[cfg(any(feature = "nats", feature = "redis"))]
mod backoff;
#[cfg(feature = "redis")]
mod django;
mod from_url;
mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "nats", feature = "redis"))]
mod tls;
#[cfg(any(feature = "nats", feature = "redis"))]
mod url;

#[cfg(feature = "redis")]
pub use django::ChannelsRedisCore;
#[cfg(feature = "redis")]
pub use django::ChannelsRedisPubSub;
#[cfg(feature = "redis")]
pub use django::SerializerFormat;
pub use memory::Memory;
#[cfg(feature = "nats")]
pub use nats::Nats;
#[cfg(feature = "redis")]
pub use redis::Redis;
