//! [`Names`]: keys and topics in Redis, and which of several hosts they lie on.

use crate::layer::Address;
use crate::name::{ChannelName, GroupName};

/// Names as channels_redis forms them: with its setting `prefix`, and over this many hosts.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) prefix: String,
    pub(super) hosts: usize,
}

/// Of the core layer.
impl Names {
    /// The members of a group. Here, and only here, the prefix is parted by a colon.
    pub(super) fn group_key(&self, group: &GroupName) -> String {
        format!("{}:group:{group}", self.prefix)
    }

    /// The host of that key.
    pub(super) fn group_host(&self, group: &GroupName) -> usize {
        self.host(group.as_str())
    }

    /// The queue of a channel: that of its process, where it has a local part.
    pub(super) fn queue_key(&self, channel: &str) -> String {
        format!("{}{}", self.prefix, non_local(channel))
    }

    /// The queue in which a process awaits messages to its channels.
    ///
    /// channels_redis itself sends there what is for a group. It sends a message for one channel to
    /// the host of the whole name, and so loses it for every second channel if there are two hosts.
    pub(super) fn queue_host(&self, channel: &str) -> usize {
        self.host(non_local(channel))
    }
}

/// Of the pub/sub layer.
impl Names {
    /// The topic of a group.
    pub(super) fn group_topic(&self, group: &GroupName) -> String {
        format!("{}{GROUP_TOPIC}{group}", self.prefix)
    }

    /// The group of a topic.
    pub(super) fn group_of_topic(&self, topic: &str) -> Option<GroupName> {
        let group = topic
            .strip_prefix(&self.prefix)?
            .strip_prefix(GROUP_TOPIC)?;
        GroupName::try_from(group).ok()
    }

    /// The topic of what only strait's nodes see of a group: ready messages.
    pub(super) fn own_topic(&self, group: &GroupName) -> String {
        format!("{}{OWN_TOPIC}{group}", self.prefix)
    }

    /// A topic for one channel of a node of strait's; none, if it is not one.
    pub(super) fn own_channel_topic(&self, channel: &ChannelName) -> Option<String> {
        // Those of Django's are longer behind the `!`.
        channel.address()?;
        Some(format!("{}{OWN_TOPIC}{channel}", self.prefix))
    }

    /// All such topics of a node.
    pub(super) fn own_channel_topics(&self, node: &str) -> String {
        format!("{}{OWN_TOPIC}{node}!*", glob_escaped(&self.prefix))
    }

    /// To whom such a topic, or a group's [own](Self::own_topic), leads.
    pub(super) fn address_of_own_topic(&self, topic: &str) -> Option<Address> {
        let name = topic.strip_prefix(&self.prefix)?.strip_prefix(OWN_TOPIC)?;
        let group = GroupName::try_from(name).map(Address::Group);
        group
            .or_else(|_| ChannelName::try_from(name).map(Address::Channel))
            .ok()
    }

    /// A topic by which a node hears itself: no group is called so.
    pub(super) fn probe(&self, node: &str) -> String {
        format!("{}{OWN_TOPIC}!{node}", self.prefix)
    }

    /// The host of a group's topic. Its [own topic](Self::own_topic) lies there, too.
    pub(super) fn topic_host(&self, group: &GroupName) -> usize {
        self.host(&self.group_topic(group))
    }
}

impl Names {
    /// The host of a name: the last twelve bits of its CRC-32, as a part of 4096.
    pub(super) fn host(&self, name: &str) -> usize {
        let low = crc32fast::hash(name.as_bytes()) & 0xfff;
        // In floats, as channels_redis does it: a border must not fall to one side there and to the
        // other here.
        (f64::from(low) / (4096.0 / self.hosts as f64)) as usize
    }
}

/// A channel's name up to its `!`; the whole, where it has none.
pub(super) fn non_local(channel: &str) -> &str {
    match channel.find('!') {
        Some(end) => &channel[..=end],
        None => channel,
    }
}

/// Whether this can be a channel of channels_redis: it has fewer than 100 characters, of any kind
/// behind the `!`.
pub(super) fn is_name(channel: &str) -> bool {
    !channel.is_empty() && channel.chars().take(100).count() < 100
}

/// Characters without a meaning in a pattern of Redis.
fn glob_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// How long such a name is at most.
pub(super) const MAX_NAME_BYTES: usize = 99 * 4;

const GROUP_TOPIC: &str = "__group__";
const OWN_TOPIC: &str = "__strait__";
