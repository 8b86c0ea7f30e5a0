//! Beside an unmodified Django: the two layers of channels_redis 4.3, on the same Redis.

mod codec;
mod core;
mod fernet;
mod fields;
mod guard;
mod health;
mod host;
mod json;
mod msgpack;
mod names;
mod options;
mod output;
mod own;
mod pubsub;
mod script;
#[cfg(test)]
mod tests;

pub use codec::SerializerFormat;
pub use core::ChannelsRedisCore;
pub use pubsub::ChannelsRedisPubSub;
