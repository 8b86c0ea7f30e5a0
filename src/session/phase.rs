//! [`Phase`]: how far a connection is on its way from open to closed.

use crate::close::Closed;

/// The phase of a connection after its handshake. It goes from one to the next and never back.
///
/// A connection is closed, in the words of RFC 6455, when the [reader](super::reader) has ended
/// and `disconnect` has returned; there is no value for that, since nothing of it is left.
#[derive(Debug)]
pub(super) enum Phase {
    /// Hooks run, for messages and for what the mailbox holds.
    Open {
        /// The source that is asked first for the next hook.
        first: Source,
    },
    /// The connection has ended, and this is how. Nothing more is read, but hooks still run for
    /// messages that were read before.
    Ended(Box<Closed>),
    /// `disconnect` runs or has run. Meanwhile queued data and the close frames are exchanged.
    Closing {
        /// The connection was closed because the client reads slowly.
        is_slow_reader: bool,
    },
}

/// Where a hook's cause comes from. The two take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Messages of the client.
    Messages,
    /// Events, gaps, and a decision to close.
    Mailbox,
}
