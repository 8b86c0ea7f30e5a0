//! [`Envelope`]: a message on its way from the publishing node to the nodes with receivers.

use bytes::Bytes;

use crate::message::Message;
use crate::name::{ChannelName, GroupName, Key};

/// A published event or message and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// The group or the channel it is for.
    pub to: Address,
    /// The event or message.
    pub payload: Payload,
    /// A channel that is left out of the group: usually the sender's.
    pub except: Option<ChannelName>,
    /// The key by which this value replaces an older one of the group that still waits at a member:
    /// [`Publish::latest`](super::Publish::latest). A backend that cannot carry it leaves it out;
    /// then every value is kept.
    pub latest: Option<Key>,
}

impl Envelope {
    /// An envelope that leaves nobody out and replaces no other.
    #[must_use]
    pub fn new(to: Address, payload: Payload) -> Self {
        Self {
            to,
            payload,
            except: None,
            latest: None,
        }
    }
}

/// The address of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// All members of a group, on all nodes.
    Group(GroupName),
    /// One channel, on the node that made it.
    Channel(ChannelName),
}

/// The content of an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// An event for hooks and relays: a JSON object with a string `"type"`, encoded.
    Event(Bytes),
    /// A message that goes to the sockets as it is.
    Message(Message),
}
