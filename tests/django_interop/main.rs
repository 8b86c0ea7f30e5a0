//! Beside an unmodified Django: strait and a process with channels_redis share groups and channels
//! on the same Redis, both ways.

#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

#[path = "../log/mod.rs"]
mod log;
#[path = "../servers/mod.rs"]
mod servers;

mod cell;
mod conformance;
mod core;
mod hostile;
mod matrix;
mod outages;
mod reached;
mod refusals;
mod urls;
