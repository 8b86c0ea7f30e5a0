//! The channel layer in one process: groups, bursts, gaps, and members that do not keep up.

mod burst;
mod conformance;
mod gaps;
mod groups;
mod slow_reader;
mod waiting;
