//! Queues of members that do not keep up: values that newer ones replace, and connections that the
//! node's budget ends.

mod budget;
mod latest;
