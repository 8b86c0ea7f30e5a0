//! HTTP connections over pipes, with paused time.

mod holds;
mod places;
mod stage;
