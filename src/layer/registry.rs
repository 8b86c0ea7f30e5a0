//! [`Registry`]: the groups and channels of one node.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use crate::broadcast::{ConflationKey, EncodedFrame, PreparedMessage};
use crate::config::Overflow;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::name::{ChannelAddress, ChannelName, GroupName};
use crate::random;

use super::envelope::{Address, Envelope, Payload};
use super::fanout::publish;
use super::glob::Glob;
use super::group::{Full, Group};
use super::pending::{ARRIVING, PENDING, Pending};

/// The groups with their members, and the channels with their mailboxes. In shards, so that
/// connections of different groups rarely wait for the same lock.
pub(crate) struct Registry {
    /// This node's part of channel names.
    node: u128,
    /// Derives the secret of a channel from its number, so that no connection has to keep one.
    secrets: RandomState,
    groups: Shards<GroupName, Arc<Group>>,
    /// Only channels whose name has been requested: nobody can send to the others.
    channels: Shards<u64, Weak<Mailbox>>,
    /// The first pattern that matches decides when a group gets its first member.
    overflow: RwLock<Vec<(Glob, Overflow)>>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            node: random::bits(),
            secrets: random::secret_hasher(),
            groups: Shards::default(),
            channels: Shards::default(),
            overflow: RwLock::default(),
        }
    }

    pub(super) fn set_overflow(&self, pattern: &str, overflow: Overflow) {
        let mut rules = self
            .overflow
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        rules.push((Glob::new(pattern), overflow));
    }

    /// Adds a member to the group, which is made for the first one.
    pub(super) fn join(&self, name: GroupName, mailbox: Arc<Mailbox>, relay: bool) -> Arc<Group> {
        let mut groups = self.groups.of(&name);
        let group = match groups.get(&name) {
            Some(group) => group.clone(),
            None => {
                let group = Arc::new(Group::new(name.clone(), self.overflow_of(&name)));
                groups.insert(name, group.clone());
                group
            }
        };
        // Under the shard's lock, so that an empty group is not removed at the same time.
        group.join(mailbox, relay);
        group
    }

    pub(super) fn group(&self, name: &GroupName) -> Option<Arc<Group>> {
        self.groups.of(name).get(name).cloned()
    }

    /// The groups with members, in the order of their names.
    pub(super) fn groups(&self) -> Vec<Arc<Group>> {
        let mut all = Vec::new();
        for groups in self.groups.all() {
            all.extend(groups.values().filter(|group| !group.is_empty()).cloned());
        }
        all.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// The beginning of the names of this node's channels, before the `!`.
    pub(super) fn node(&self) -> String {
        format!("specific.{:032x}", self.node)
    }

    /// The groups with a fan-out, each with how many messages have been appended so far.
    pub(super) fn undelivered(&self) -> Vec<(Arc<Group>, u64)> {
        let mut undelivered = Vec::new();
        for groups in self.groups.all() {
            let groups = groups.values();
            undelivered
                .extend(groups.filter_map(|group| Some((group.clone(), group.undelivered()?))));
        }
        undelivered
    }

    /// Removes an empty group, unless it has got a member in the meantime.
    pub(super) fn forget(&self, group: &Arc<Group>) {
        let mut groups = self.groups.of(group.name());
        let is_known = groups
            .get(group.name())
            .is_some_and(|known| Arc::ptr_eq(known, group));
        if is_known && group.is_empty() {
            groups.remove(group.name());
        }
    }

    /// The name under which this mailbox can be sent to, from now on.
    pub(super) fn register(&self, mailbox: &Arc<Mailbox>) -> ChannelName {
        let id = mailbox.id();
        self.channels.of(&id).insert(id, Arc::downgrade(mailbox));
        self.name_of(id)
    }

    pub(super) fn name_of(&self, id: u64) -> ChannelName {
        ChannelName::specific(ChannelAddress {
            node: self.node,
            id,
            secret: self.secrets.hash_one(id),
        })
    }

    pub(super) fn unregister(&self, id: u64) {
        self.channels.of(&id).remove(&id);
    }

    pub(super) fn owns(&self, channel: &ChannelName) -> bool {
        let address = channel.address();
        address.is_some_and(|address| address.node == self.node)
    }

    /// Counts an event from another node that found no room.
    pub(super) fn note_dropped(&self, channel: &ChannelName) {
        if let Some(mailbox) = self.channel(channel) {
            mailbox.count_dropped_event();
        }
    }

    /// The mailbox of a channel of this node, while it lives.
    pub(super) fn channel(&self, channel: &ChannelName) -> Option<Arc<Mailbox>> {
        let id = self.local_id(channel)?;
        self.channels.of(&id).get(&id)?.upgrade()
    }

    /// Delivers an envelope. Waits for room among the pending messages of its group.
    pub(super) async fn deliver(&self, envelope: &Envelope) -> Result<usize, Error> {
        let name = match &envelope.to {
            Address::Group(name) => name,
            Address::Channel(_) => return self.try_deliver(envelope),
        };
        let (Some(group), message) = (self.group(name), self.pending(name, envelope)?) else {
            return Ok(0);
        };
        loop {
            // Made before the try, so that a fan-out that takes the list in between is not missed.
            let room = pin!(group.room());
            match publish(&group, message.clone(), PENDING) {
                Ok(receivers) => return Ok(receivers),
                Err(Full) => room.await,
            }
        }
    }

    /// Delivers an envelope without waiting.
    pub(super) fn try_deliver(&self, envelope: &Envelope) -> Result<usize, Error> {
        let name = match &envelope.to {
            Address::Group(name) => name,
            Address::Channel(name) => return self.deliver_to_channel(name, &envelope.payload),
        };
        let (Some(group), message) = (self.group(name), self.pending(name, envelope)?) else {
            return Ok(0);
        };
        publish(&group, message, ARRIVING).map_err(|Full| {
            let (count, bytes) = (ARRIVING.count, ARRIVING.bytes);
            let limit = format!("{count} messages or {bytes} bytes wait for delivery");
            Error::full(format!("group {:?}", name.as_str()), limit)
        })
    }

    /// The envelope as the members of its group receive it.
    fn pending(&self, name: &GroupName, envelope: &Envelope) -> Result<Pending, Error> {
        check(&envelope.payload)?;
        let (encoded, is_event) = encode(&envelope.payload);
        let except = envelope.except.as_ref();
        let except = except.and_then(|channel| self.local_id(channel));
        let latest = envelope.latest.as_ref();
        let latest = latest.map(|key| ConflationKey::new(name, key, is_event));
        Ok(Pending::new(
            PreparedMessage::new(encoded, latest),
            is_event,
            except,
        ))
    }

    fn deliver_to_channel(&self, name: &ChannelName, payload: &Payload) -> Result<usize, Error> {
        check(payload)?;
        let (Some(mailbox), Payload::Event(json)) = (self.channel(name), payload) else {
            return Ok(0);
        };
        if mailbox.send_event(EncodedFrame::event(json)) {
            return Ok(1);
        }
        let bound = mailbox.settings().config().events;
        let limit = format!(
            "{} events or {} bytes wait for it",
            bound.count, bound.bytes
        );
        Err(Error::full(format!("channel {name}"), limit))
    }

    /// The number of a channel of this node; `None` for a name that was derived from another one.
    fn local_id(&self, channel: &ChannelName) -> Option<u64> {
        let ChannelAddress { node, id, secret } = channel.address()?;
        (node == self.node && secret == self.secrets.hash_one(id)).then_some(id)
    }

    fn overflow_of(&self, name: &GroupName) -> Overflow {
        let rules = self.overflow.read().unwrap_or_else(PoisonError::into_inner);
        let rule = rules
            .iter()
            .find(|(pattern, _)| pattern.matches(name.as_str()));
        rule.map_or_else(Overflow::default, |(_, overflow)| *overflow)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A text frame that is not UTF-8 would end every connection that it is written to.
fn check(payload: &Payload) -> Result<(), Error> {
    match payload {
        Payload::Event(json) if str::from_utf8(json).is_err() => {
            Err(Error::untyped("bytes that are not UTF-8"))
        }
        Payload::Event(_) | Payload::Message(_) => Ok(()),
    }
}

fn encode(payload: &Payload) -> (EncodedFrame, bool) {
    match payload {
        Payload::Event(json) => (EncodedFrame::event(json), true),
        Payload::Message(message) => (EncodedFrame::message(message), false),
    }
}

/// A map behind several locks.
struct Shards<K, V> {
    maps: [Mutex<HashMap<K, V>>; SHARDS],
    hasher: RandomState,
}

impl<K: std::hash::Hash + Eq, V> Shards<K, V> {
    /// The map that holds this key.
    fn of(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.maps[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One map after the other.
    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, HashMap<K, V>>> {
        let maps = self.maps.iter();
        maps.map(|map| map.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            maps: std::array::from_fn(|_| Mutex::default()),
            hasher: random::secret_hasher(),
        }
    }
}

const SHARDS: usize = 64;
