//! The session against a model of what its documentation promises: every sequence of up to three things that can happen, for each hook
//! that may be running, enumerated and not sampled.
//!
//! [`act`] is the table of what can happen. [`model`] says what must come of it: it is written from the chapters on the consumer, the close
//! codes and the defaults, and knows nothing of the source. [`world`] makes it happen to a real session over a pipe, in paused time, and
//! [`verdict`] compares the two.
//!
//! A sequence that fails is printed. `STRAIT_SEQUENCE="Receive PeerCloses GatePanics" cargo test --test session replay -- --nocapture`
//! runs that one alone.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

mod act;
mod actor;
mod enumerated;
mod half_closed;
mod hook_limit;
mod hooks;
mod line;
mod model;
mod peer;
mod pings;
mod slow_peers;
mod split;
mod verdict;
mod wire;
mod world;
