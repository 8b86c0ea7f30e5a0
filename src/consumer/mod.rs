//! The interface to applications: the [`Consumer`] trait and the [`Context`] of its hooks.

mod consumer;
mod context;
mod erased;
mod group_add;
mod memberships;
mod sending;

pub use consumer::Consumer;
pub use context::Context;
pub use group_add::GroupAdd;
pub use sending::Sending;

pub(crate) use erased::{DynConsumer, erase};
