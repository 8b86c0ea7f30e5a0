//! The bytes that wait in all queues of a node: how many there may be, and whose queue is evicted
//! when there are more.
//!
//! A queue holds a [`Reservation`] while it lags. Bytes that several queues share are
//! [`AccountedBytes`], counted once for all of them.

mod accounted_bytes;
mod budget;
mod memory_limit;
mod reservation;

pub(crate) use accounted_bytes::AccountedBytes;
pub(crate) use budget::{Budget, Eviction, QueueKind, QueueOwner};
pub(crate) use reservation::{FREE_BYTES, Reservation};

#[cfg(test)]
pub(crate) use budget::STEP_BYTES;
