//! [`Flags`]: a summary of a mailbox that its session reads without the lock.

/// A session asks these after every message, so that it takes the lock only if there is a reason.
///
/// Only the session's own task may rely on a flag that is not set. A task that changes the state
/// after that look wakes the session, and with the wake-up the session sees the change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// The task must register itself again: none is registered, or the mailbox is not open, so that
    /// different tasks may look at it.
    pub(super) const UNREGISTERED: u8 = 1;
    /// Frames wait.
    pub(super) const OUTPUT: u8 = 2;
    /// Events or gaps wait.
    pub(super) const INBOX: u8 = 4;
    /// No more frames are accepted.
    pub(super) const CLOSED: u8 = 8;
    /// This side has decided to close, and the session has not taken the decision yet.
    pub(super) const CLOSE_REQUEST: u8 = 16;
    /// The running hook must end now.
    pub(super) const HOOK_CANCELLED: u8 = 32;

    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn set(&mut self, flag: u8, is_set: bool) {
        // Without a branch: this runs with each change of a mailbox.
        self.0 |= flag * u8::from(is_set);
    }

    /// Whether the session has anything to take, or must register its task.
    pub(super) fn needs_attention(self) -> bool {
        self.0 & !Self::OUTPUT != 0
    }

    /// Whether something waits to be written.
    pub(crate) fn has_output(self) -> bool {
        self.0 & Self::OUTPUT != 0
    }

    /// Whether no more frames are accepted, also in the middle of a hook.
    pub(crate) fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    /// Whether this side has decided to close, be it too late to matter.
    pub(crate) fn has_close_request(self) -> bool {
        self.0 & Self::CLOSE_REQUEST != 0
    }

    /// Whether the running hook must end now.
    pub(crate) fn is_hook_cancelled(self) -> bool {
        self.0 & Self::HOOK_CANCELLED != 0
    }
}
