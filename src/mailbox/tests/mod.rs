//! What holds for the queues of a node together.

mod budget;
#[cfg(feature = "deflate")]
mod compressed;
mod controls;
mod waking;
