//! What carries envelopes between nodes: the backends that come with strait, and the constructors
//! that name them.

mod from_url;
mod memory;

pub use memory::Memory;
