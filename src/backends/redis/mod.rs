//! Redis: the backend, and the link to a server, on which everything for Redis is built.

mod cluster;
mod commands;
mod find;
mod link;
mod publisher;
mod redis;
mod seats;
mod server;
mod shard;
mod single;
mod slots;
mod topics;
mod url;

pub(crate) use commands::Commands;
pub(crate) use find::Find;
pub(crate) use link::{Link, LinkOptions, Listener};
pub use redis::Redis;
pub(crate) use url::RedisUrl;
