//! [`Topics`]: the names under which a node's groups and channels go through Redis.

use bytes::{Buf, BufMut, Bytes};

use crate::error::Error;
use crate::layer::{Address, Envelope, Sink};
use crate::name::{ChannelName, GroupName};

/// `<prefix>:g:<group>` for each group, `<prefix>:n:<node>` for all channels of a node.
#[derive(Clone, Debug)]
pub(super) struct Topics {
    /// With the `:g:` behind it.
    group_prefix: String,
    node_prefix: String,
    /// This node's own.
    pub(super) node: String,
    /// Of this node alone, for testing its connection.
    pub(super) probe: String,
}

impl Topics {
    pub(super) fn new(prefix: &str, node: &str) -> Self {
        Self {
            group_prefix: format!("{prefix}:g:"),
            node_prefix: format!("{prefix}:n:"),
            node: format!("{prefix}:n:{node}"),
            probe: format!("{prefix}:p:{node}"),
        }
    }

    pub(super) fn of_group(&self, group: &GroupName) -> String {
        [&*self.group_prefix, group.as_str()].concat()
    }

    pub(super) fn of_groups(&self, groups: &[GroupName]) -> Vec<String> {
        groups.iter().map(|group| self.of_group(group)).collect()
    }

    /// The group, if the topic is one's.
    pub(super) fn group(&self, topic: &str) -> Option<GroupName> {
        let name = topic.strip_prefix(&*self.group_prefix)?;
        GroupName::try_from(name).ok()
    }

    /// The topic that it is published to.
    pub(super) fn of(&self, to: &Address) -> String {
        let (prefix, name) = self.parts(to);
        [prefix, name].concat()
    }

    /// Appends the topic and what is published to it, and returns the length of the topic. For a
    /// channel the topic is its node's; which of the node's channels it is stands before the
    /// envelope.
    pub(super) fn write(&self, envelope: &Envelope, bytes: &mut Vec<u8>) -> usize {
        let (prefix, name) = self.parts(&envelope.to);
        let channel = match &envelope.to {
            Address::Group(_) => None,
            Address::Channel(channel) => Some(channel.as_str()),
        };
        let topic = prefix.len() + name.len();
        let payload = channel.map_or(0, |name| 1 + name.len()) + envelope.encoded_len();
        bytes.reserve(topic + payload);
        bytes.put_slice(prefix.as_bytes());
        bytes.put_slice(name.as_bytes());
        if let Some(channel) = channel {
            // Names are shorter than 100 bytes.
            bytes.put_u8(u8::try_from(channel.len()).unwrap_or(u8::MAX));
            bytes.put_slice(channel.as_bytes());
        }
        envelope.encode_to(bytes);
        topic
    }

    /// A topic in two parts.
    fn parts<'a>(&'a self, to: &'a Address) -> (&'a str, &'a str) {
        match to {
            Address::Group(group) => (&self.group_prefix, group.as_str()),
            Address::Channel(channel) => {
                let channel = channel.as_str();
                let node = channel.split_once('!').map_or(channel, |(node, _)| node);
                (&self.node_prefix, node)
            }
        }
    }

    /// Delivers what has arrived. Malformed data is skipped.
    pub(super) fn deliver(&self, topic: &str, payload: Bytes, sink: &Sink) {
        let envelope = match self.group(topic) {
            Some(group) => Envelope::decode(Address::Group(group), &payload),
            None if topic == self.node => unpack_for_channel(payload),
            None => return sink.skipped("unknown topic"),
        };
        match envelope {
            Ok(envelope) => {
                // The sink counts what finds no room, and tells of it.
                let _ = sink.try_deliver(&envelope);
            }
            Err(error) => {
                tracing::debug!(topic, %error, "no envelope");
                sink.skipped("undecodable");
            }
        }
    }
}

fn unpack_for_channel(mut payload: Bytes) -> Result<Envelope, Error> {
    let cut_off = || Error::unavailable("it is cut off");
    let len = usize::from(payload.try_get_u8().map_err(|_| cut_off())?);
    if payload.len() < len {
        return Err(cut_off());
    }
    let channel = payload.split_to(len);
    let channel = str::from_utf8(&channel).map_err(|_| cut_off())?;
    let channel = ChannelName::try_from(channel)?;
    Envelope::decode(Address::Channel(channel), &payload)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use bytes::Bytes;

    use crate::layer::{Address, Envelope, Payload};
    use crate::name::{ChannelName, GroupName};

    use super::{Topics, unpack_for_channel};

    fn event() -> Payload {
        Payload::Event(Bytes::from_static(br#"{"type":"a"}"#))
    }

    /// The topic, and what is published to it.
    fn published(topics: &Topics, envelope: &Envelope) -> (String, Bytes) {
        // There is something before it.
        let mut bytes = b"before".to_vec();
        let topic = topics.write(envelope, &mut bytes);
        let mut bytes = Bytes::from(bytes).split_off(6);
        let topic = bytes.split_to(topic).to_vec();
        (String::from_utf8(topic).unwrap(), bytes)
    }

    #[test]
    fn a_group_is_a_topic_and_a_channel_goes_to_its_node() {
        let topics = Topics::new("strait", "specific.0a");
        let group = GroupName::try_from("order_5").unwrap();
        let envelope = Envelope::new(Address::Group(group.clone()), event());
        let (topic, bytes) = published(&topics, &envelope);
        assert_eq!(topic, "strait:g:order_5");
        assert_eq!(bytes, envelope.encode());
        assert_eq!(bytes.len(), 12 + 2, "its length");
        assert_eq!(topics.of(&envelope.to), "strait:g:order_5");
        assert_eq!(topics.group("strait:g:order_5"), Some(group));

        let channel = ChannelName::try_from("specific.0b!1f").unwrap();
        let envelope = Envelope::new(Address::Channel(channel), event());
        let (topic, bytes) = published(&topics, &envelope);
        assert_eq!(topic, "strait:n:specific.0b");
        assert_eq!(unpack_for_channel(bytes).unwrap(), envelope);
        assert_eq!(topics.node, "strait:n:specific.0a");
    }

    #[test]
    fn a_topic_of_no_channel_is_refused() {
        let rows: &[&[u8]] = &[
            b"",
            b"\x05abcd",
            b"\x01\xff\x10\x00{\"type\":\"a\"}",
            b"\x01 \x10\x00{\"type\":\"a\"}",
            b"\x00\x10\x00{\"type\":\"a\"}",
            b"\x01a",
            b"\x01a\x10\x00{}",
        ];
        for row in rows {
            let bytes = Bytes::from_static(row);
            assert!(unpack_for_channel(bytes.clone()).is_err(), "{bytes:?}");
        }
    }
}
