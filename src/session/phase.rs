//! [`Phase`]: how far a connection is on its way from open to closed.

use crate::close::{Cause, Closed};
use crate::message::Message;

use super::read_ahead::ReadAhead;

/// The phase of a connection after its handshake. It goes from one to the next and never back.
///
/// A connection is closed, in the words of RFC 6455, when the [reader](super::reader) has ended
/// and `disconnect` has returned. There is no value for that, since nothing of it is left.
#[derive(Debug)]
pub(super) enum Phase {
    /// Hooks run, for messages and for events and gaps of the mailbox.
    Open {
        /// The source that is asked first for the next hook.
        first: Source,
        /// The running hook was not ready at once, so it may have deadlines.
        hook_has_waited: bool,
        read_ahead: Option<Box<ReadAhead>>,
    },
    /// The connection has ended. Nothing more is read, but hooks still run for messages that were
    /// read before.
    Ended(Box<Ended>),
    /// `disconnect` runs or has run. Meanwhile queued data and the close frames are exchanged.
    Closing {
        /// The connection was closed because the client reads slowly.
        is_slow_reader: bool,
    },
}

/// How a connection has ended, and the messages before that.
#[derive(Debug)]
pub(super) struct Ended {
    closed: Closed,
    read_ahead: Option<Box<ReadAhead>>,
}

/// The source of the next hook. The two alternate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Messages of the client.
    Messages,
    /// Events, gaps, and a decision to close.
    Mailbox,
}

impl Phase {
    pub(super) const fn open() -> Self {
        Self::Open {
            first: Source::Messages,
            hook_has_waited: false,
            read_ahead: None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Ends an open connection. The first end stays.
    pub(super) fn end(&mut self, closed: Closed) {
        if let Self::Open { read_ahead, .. } = self {
            let read_ahead = read_ahead.take();
            *self = Self::Ended(Box::new(Ended { closed, read_ahead }));
        }
    }

    /// Begins to close with this end. Messages that were read ahead are dropped.
    pub(super) fn close(&mut self, closed: &Closed) {
        let is_slow_reader = closed.cause() == Cause::SlowReader;
        *self = Self::Closing { is_slow_reader };
    }

    /// Returns the end of a connection that has ended, and begins to close.
    pub(super) fn close_ended(&mut self) -> Option<Closed> {
        let Self::Ended(ended) = self else {
            return None;
        };
        let closed = ended.closed.clone();
        self.close(&closed);
        Some(closed)
    }

    /// Returns the place of the messages that were decoded while a hook ran.
    pub(super) fn read_ahead(&mut self) -> Option<&mut Option<Box<ReadAhead>>> {
        match self {
            Self::Open { read_ahead, .. } => Some(read_ahead),
            Self::Ended(ended) => Some(&mut ended.read_ahead),
            Self::Closing { .. } => None,
        }
    }

    /// Takes the next message that was read ahead.
    pub(super) fn pop_read_ahead(&mut self) -> Option<Message> {
        self.read_ahead()?.as_mut()?.pop()
    }

    /// Drops the messages that were read ahead. Returns whether there was a queue, empty or not.
    pub(super) fn discard_read_ahead(&mut self) -> bool {
        self.read_ahead().and_then(Option::take).is_some()
    }
}
