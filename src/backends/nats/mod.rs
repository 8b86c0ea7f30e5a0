//! [`Nats`]: several nodes over core NATS.

mod connection;
mod driver;
mod link;
mod nats;
mod protocol;
mod settings;
mod subjects;

pub use nats::Nats;
