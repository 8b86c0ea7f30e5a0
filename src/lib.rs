//! Real-time features in the manner of Django Channels.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backends;
pub mod close;
pub mod config;
pub mod consumer;
mod error;
mod event;
pub mod handshake;
pub mod layer;
mod mailbox;
mod message;
mod name;
pub mod router;
mod scope;
pub mod server;
pub mod service;
mod session;
pub mod testing;
mod urls;
mod websocket;

pub use close::Closed;
pub use consumer::Consumer;
pub use consumer::Context;
pub use error::BoxError;
pub use error::Error;
pub use error::Result;
pub use event::Event;
pub use handshake::Accept;
pub use handshake::Reject;
pub use layer::ChannelLayer;
pub use message::Message;
pub use router::Router;
pub use scope::Scope;
pub use server::Server;
