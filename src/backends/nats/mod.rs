//! [`Nats`]: several nodes over core NATS.

mod link;
mod nats;
mod settings;
mod subjects;

pub use nats::Nats;
