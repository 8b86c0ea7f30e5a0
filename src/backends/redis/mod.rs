//! Redis: what carries envelopes, and the link to a server that everything on Redis is built on.

mod cluster;
mod commands;
mod find;
mod link;
mod redis;
mod seats;
mod server;
mod shard;
mod single;
mod slots;
mod tls;
mod topics;
mod url;

pub use redis::Redis;
