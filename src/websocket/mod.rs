//! RFC 6455 without I/O: bytes in, messages out, and the other way round.
//!
//! [`Decoder`] turns what was read into messages and control frames, [`header`], [`frame`] and
//! their companions turn payloads into bytes. Nothing here reads, writes, waits or answers:
//! replying to a ping, echoing a close and hanging up are the session's.

mod close;
mod control;
mod decoder;
#[cfg(feature = "deflate")]
pub(crate) mod deflate;
mod encoder;
mod extensions;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod header;
mod incoming;
mod mask;
mod message;
mod opcode;
mod role;
mod utf8;
mod violation;

#[cfg(test)]
mod tests;

pub(crate) use close::close_payload;
pub(crate) use control::ControlPayload;
pub(crate) use decoder::Decoder;
pub(crate) use encoder::{encode_into, encode_masked_into, frame, header};
pub(crate) use extensions::Extensions;
pub(crate) use incoming::Incoming;
pub(crate) use opcode::OpCode;
pub(crate) use role::Role;
pub(crate) use violation::Violation;
