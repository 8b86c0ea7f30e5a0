//! The session against a model of what its documentation promises: every sequence of things that
//! can happen, for each hook that may be running, enumerated and not sampled.
//!
//! [`act`] is the table of what can happen. [`model`] with [`hooks`] and [`wire`] says what must
//! come of it: it is written from the chapters on the consumer, the close codes and the defaults.
//! [`world`] makes it happen to a real session over a pipe, in paused time, and [`verdict`]
//! compares the two: the hooks that ran and their arguments, the end that `disconnect` received,
//! every frame, the time, and leftovers.
//!
//! [`enumerated`] plays all sequences of up to three acts, each over before the next, in six
//! stages; all pairs that happen at once, behind one act or none; and sequences of four in
//! `receive`, of a dozen acts that hinge on each other (`event` is the same to the session). A
//! sequence is left out only where the model says that it cannot happen ([`model::Model::can`]),
//! and the counts are asserted.
//!
//! A sequence that fails is printed.
//! `STRAIT_SEQUENCE="Receive PeerCloses GatePanics" cargo test --test it session::enumerated::replay` runs that one
//! alone; `PeerCloses+GatePanics` are at once. The other files are tables of their own.

mod act;
mod actor;
mod enumerated;
mod floods;
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

use crate::support::client;
