//! permessage-deflate (RFC 7692): messages that are compressed, each by itself.
//!
//! Both ends are bound to forget a message before the next (`no_context_takeover`), so that
//! compressors and inflaters belong to the thread: an idle connection owns neither, and one
//! compressed form serves all connections with the same window.

mod compressor;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inflater;
mod offer;
mod syntax;
mod window_bits;

#[cfg(test)]
mod tests;

pub(crate) use compressor::{Compressing, Compression};

pub(crate) use compressor::compressed_frame;
pub(crate) use offer::agree;
pub(crate) use window_bits::WindowBits;

pub(super) use inflater::{Inflater, most_compressed};

#[cfg(test)]
pub(crate) use compressor::compressions;
#[cfg(test)]
use compressor::kept;
