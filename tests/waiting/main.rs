//! Queues of members that do not keep up: values that newer ones replace, and connections that the
//! node's budget ends.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

mod budget;
#[path = "../client/mod.rs"]
mod client;
mod latest;
