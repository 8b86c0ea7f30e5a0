//! RFC 6455 and RFC 7692, seen from the wire.

#[cfg(feature = "deflate")]
mod deflate;
mod frames;
