//! What waits at members that do not keep up: what newer values replace, and what the node's budget
//! ends.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

mod budget;
#[path = "../client/mod.rs"]
mod client;
mod latest;
