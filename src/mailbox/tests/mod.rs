//! The queues of a connection, alone and with the budget of their node.

#[cfg(test)]
mod budget;
#[cfg(all(test, feature = "deflate"))]
mod compressed;
#[cfg(test)]
mod control_frames;
pub(crate) mod fuzz;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod waking;
#[cfg(test)]
mod write_queue;
