//! `channels_redis.core`: queues in Redis, one for each process, and groups that are lists of
//! channels.

mod alive;
mod core;
mod members;
mod node;
mod receive;
mod scripts;
mod send;

pub use core::ChannelsRedisCore;
