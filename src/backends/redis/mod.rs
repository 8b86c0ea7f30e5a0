//! Redis: what carries envelopes, and the link to a server that everything on Redis is built on.

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
