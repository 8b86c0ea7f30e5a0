//! RFC 6455 as a table: what a peer sends, and what a decoder makes of it.

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
