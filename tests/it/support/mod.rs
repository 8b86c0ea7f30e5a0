//! Code that tests of several topics share.

pub(crate) mod bus;
pub(crate) mod client;
pub(crate) mod log;
pub(crate) mod servers;
