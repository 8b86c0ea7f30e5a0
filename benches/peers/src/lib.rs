//! The parts that the peers share: the frames of the benchmark, the listener, and the hub that two
//! of them need.

pub mod hub;
pub mod listen;
pub mod wire;
