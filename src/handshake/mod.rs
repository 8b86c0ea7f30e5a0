//! The opening handshake: the rules for a request, the checks of its origin and limits, and the two
//! answers.

mod accept;
mod check;
mod extensions;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod limits;
mod origin;
mod reject;
mod request;

pub use accept::Accept;
pub use limits::Limits;
pub use origin::Origins;
pub use reject::Reject;

pub use crate::scope::Peer;

pub(crate) use check::{Check, check};
pub(crate) use extensions::agree_on_extensions;
pub(crate) use limits::{Client, Limiter};
pub(crate) use reject::{LATER, Refusal, jitter};
pub(crate) use request::{Opening, switching_protocols};
