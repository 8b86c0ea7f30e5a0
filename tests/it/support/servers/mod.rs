//! Private servers for tests: each on free ports of the loopback, in a temporary folder, ended with
//! the value that stands for it.
//!
//! A test target takes them with `mod servers;`, or with a `#[path]` from a folder of its own.
//! Starting waits until the server answers; a failure panics with the server's last output.
//! [`process`] says how nothing is left behind, not even by a test that was killed. Needed are
//! Debian's `redis-server` and `nats-server`, and for [`Peer`] a Python with Django:
//! `tests/run-all.sh` installs them.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test target uses some of the servers"
)]

mod authority;
mod cluster;
mod django;
mod fake;
mod nats;
mod port;
mod process;
mod proxy;
mod redis;
mod sentinel;
mod server;
mod tests;

pub(crate) use authority::Authority;
pub(crate) use cluster::Cluster;
pub(crate) use django::{Exception, Peer, PeerConfig, python};
pub(crate) use fake::{Fake, as_redis};
pub(crate) use nats::{Nats, NatsOptions};
pub(crate) use port::free_port;
pub(crate) use proxy::Proxy;
pub(crate) use redis::{Redis, RedisOptions};
pub(crate) use sentinel::Sentinels;
