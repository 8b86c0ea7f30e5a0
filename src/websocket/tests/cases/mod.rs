//! RFC 6455 as a table: input from a peer, and the result of a decoder.

mod closing;
mod control;
#[cfg(feature = "deflate")]
mod deflate;
mod fragments;
mod framing;
mod lengths;
mod limits;
mod masking;
mod row;
mod run;
mod sequences;
mod text;
