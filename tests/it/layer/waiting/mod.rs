//! What waits at members that do not keep up: what newer values replace, and what the node's budget
//! ends.

mod budget;
mod latest;
