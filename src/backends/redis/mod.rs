//! Redis: what carries envelopes, and the link to a server that everything on Redis is built on.

mod commands;
mod find;
mod link;
mod server;
mod tls;
mod url;

pub(crate) use commands::Commands;
pub(crate) use commands::failed;
pub(crate) use find::Find;
pub(crate) use link::Link;
pub(crate) use link::LinkOptions;
pub(crate) use link::Listener;
pub(crate) use link::Probe;
pub(crate) use url::Host;
pub(crate) use url::RedisUrl;
pub(crate) use url::parse_hosts;
