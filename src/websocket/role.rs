//! Which end of the connection we are.

/// Our end. It decides who masks: a client masks every frame, a server none (RFC 6455, 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads masked frames only.
    Server,
    /// Reads unmasked frames only.
    Client,
}
