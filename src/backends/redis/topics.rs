//! [`Topics`]: the names under which a node's groups and channels go through Redis.

use bytes::Buf;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

use crate::error::Error;
use crate::layer::Address;
use crate::layer::Envelope;
use crate::layer::Sink;
use crate::name::ChannelName;
use crate::name::GroupName;

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

/// What is published, and where to.
pub(super) struct Parcel {
    pub(super) topic: String,
    pub(super) payload: Bytes,
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

    pub(super) fn pack(&self, envelope: &Envelope) -> Parcel {
        match &envelope.to {
            Address::Group(group) => Parcel {
                topic: self.of_group(group),
                payload: envelope.encode(),
            },
            Address::Channel(channel) => self.pack_for_channel(channel, envelope),
        }
    }

    /// The topic is the node's; which of its channels it is stands before the envelope.
    fn pack_for_channel(&self, channel: &ChannelName, envelope: &Envelope) -> Parcel {
        let channel = channel.as_str();
        let node = channel.split_once('!').map_or(channel, |(node, _)| node);
        let encoded = envelope.encode();
        let mut payload = BytesMut::with_capacity(1 + channel.len() + encoded.len());
        // Names are shorter than 100 bytes.
        payload.put_u8(u8::try_from(channel.len()).unwrap_or(u8::MAX));
        payload.put_slice(channel.as_bytes());
        payload.put_slice(&encoded);
        Parcel {
            topic: [&*self.node_prefix, node].concat(),
            payload: payload.freeze(),
        }
    }

    /// Delivers what has arrived. What is no envelope is skipped.
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

    use crate::layer::Address;
    use crate::layer::Envelope;
    use crate::layer::Payload;
    use crate::name::ChannelName;
    use crate::name::GroupName;

    use super::Topics;
    use super::unpack_for_channel;

    fn event() -> Payload {
        Payload::Event(Bytes::from_static(br#"{"type":"a"}"#))
    }

    #[test]
    fn a_group_is_a_topic_and_a_channel_goes_to_its_node() {
        let topics = Topics::new("strait", "specific.0a");
        let group = GroupName::try_from("order_5").unwrap();
        let parcel = topics.pack(&Envelope::new(Address::Group(group.clone()), event()));
        assert_eq!(parcel.topic, "strait:g:order_5");
        assert_eq!(topics.group(&parcel.topic), Some(group));
        assert_eq!(parcel.payload.len(), 12 + 2, "what it costs");

        let channel = ChannelName::try_from("specific.0b!1f").unwrap();
        let envelope = Envelope::new(Address::Channel(channel), event());
        let parcel = topics.pack(&envelope);
        assert_eq!(parcel.topic, "strait:n:specific.0b");
        assert_eq!(unpack_for_channel(parcel.payload).unwrap(), envelope);
        assert_eq!(topics.node, "strait:n:specific.0a");
    }

    #[test]
    fn what_is_for_no_channel_is_refused() {
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
