//! Beside an unmodified Django: strait and a process with channels_redis share groups and channels
//! on the same Redis, both ways.

mod cell;
mod conformance;
mod core;
mod hostile;
mod matrix;
mod outages;
mod reached;
mod refusals;
mod urls;
