//! What the peers share: the frames of the benchmark, where to listen, and the hub that two of them
//! need.

pub mod hub;
pub mod listen;
pub mod wire;
