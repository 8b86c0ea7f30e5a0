//! [`Pending`]: a published message that waits for its fan-out.

use crate::broadcast::{Conflate, PreparedMessage};
use crate::config::Bound;

/// One message in the order of its group.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) message: PreparedMessage,
    /// An event, which hooks receive; otherwise a ready message for all sockets.
    pub(super) is_event: bool,
    /// The mailbox that is left out.
    pub(super) except: Option<u64>,
    /// How many messages were published before it. Set when it is appended.
    pub(super) sequence: u64,
}

impl Pending {
    pub(super) fn new(message: PreparedMessage, is_event: bool, except: Option<u64>) -> Self {
        Self {
            message,
            is_event,
            except,
            sequence: 0,
        }
    }

    /// Whether a member that joined before message `since` was published receives it.
    pub(super) fn is_for(&self, id: u64, since: u64) -> bool {
        self.sequence >= since && self.except != Some(id)
    }
}

impl Conflate for Pending {
    fn len(&self) -> usize {
        self.message.frame.bytes().len()
    }

    fn has_key(&self) -> bool {
        self.message.latest.is_some()
    }

    /// Only if the newer one is for every member that the older one is for.
    fn is_replaced_by(&self, newer: &Self) -> bool {
        self.message.latest == newer.message.latest
            && (newer.except.is_none() || newer.except == self.except)
    }
}

/// How much may be pending in one group, for publishers that wait for room.
pub(super) const PENDING: Bound = Bound {
    count: 256,
    bytes: 256 * 1024,
};
/// How much may be pending in one group, for a backend that must not wait. Messages go from here
/// to the members' queues in one order, so this is as much as fits into such a queue.
pub(super) const ARRIVING: Bound = Bound {
    count: 1024,
    bytes: 1024 * 1024,
};
