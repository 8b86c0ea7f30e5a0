//! What holds for the queues of a node together.

mod budget;
