//! The parts that the benchmarks share: the machine, the programs they start, the request that
//! opens a socket, numbers.

pub(crate) mod build;
pub(crate) mod machine;
pub(crate) mod poll;
pub(crate) mod request;
pub(crate) mod server;
pub(crate) mod spread;
#[path = "../peers/src/wire.rs"]
#[allow(unreachable_pub, reason = "the file is the peers' own")]
pub(crate) mod wire;
