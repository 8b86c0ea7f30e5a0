//! [`deliver`]: messages between strait's nodes over topics of their own, in both layers.

use bytes::Bytes;

use crate::layer::{Address, Sink};

use super::codec::Codec;

/// Delivers what was published to the topic that leads to this address. Anybody may publish there,
/// so it may be anything.
pub(super) fn deliver(sink: &Sink, codec: &Codec, topic: &str, to: Address, payload: &Bytes) {
    match codec.unwrap(topic, to.clone(), payload) {
        // If there is no room, the sink itself tells the group.
        Ok(envelope) => drop(sink.try_deliver(&envelope)),
        Err(why) => {
            sink.skipped(why.0);
            if let (true, Address::Group(group)) = (why.is_untimely(), to) {
                sink.gap(&group);
            }
        }
    }
}
