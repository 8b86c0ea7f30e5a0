//! The session's promises: every way for a connection to end, which hooks run in which order, what
//! `disconnect` and the client receive, and that nothing is left behind.
//!
//! Time is paused wherever a test waits: nothing sleeps on the wall clock.

mod deadlines;
mod drains;
mod ends;
mod groups;
mod order;
mod overflow;
mod rates;
mod raw;
mod recorder;
mod refusals;
mod stage;
