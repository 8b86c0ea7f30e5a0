//! HTTP connections over pipes, with paused time.

mod floods;
mod holds;
mod places;
mod stage;
