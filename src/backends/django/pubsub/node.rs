//! [`Node`]: the messages of a pub/sub layer, out and in.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};

use crate::backends::django::codec::Codec;
use crate::backends::django::fields::Reserved;
use crate::backends::django::guard::Guard;
use crate::backends::django::health::Health;
use crate::backends::django::host::{Host, Links};
use crate::backends::django::names::Names;
use crate::backends::django::own;
use crate::error::Error;
use crate::layer::{Address, Envelope, Payload, Published, Sink};
use crate::name::{ChannelName, GroupName};

/// One process. Its topics lie on the hosts where channels_redis looks for them.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) sink: Sink,
    pub(super) health: Health,
    /// In the order of the settings.
    pub(super) hosts: Vec<Host>,
    pub(super) names: Names,
    pub(super) codec: Codec,
    pub(super) guard: Guard,
}

impl Node {
    pub(super) async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        let (host, topic, bytes) = match (&envelope.to, &envelope.payload) {
            (Address::Group(group), Payload::Message(_)) => {
                let topic = self.names.own_topic(group);
                let bytes = self.codec.wrap(&topic, &envelope)?;
                (self.names.topic_host(group), topic, bytes)
            }
            (Address::Channel(_), Payload::Message(_)) => {
                return Err(Error::not_carried(
                    "it is a ready message, and those go to groups",
                ));
            }
            (Address::Group(group), Payload::Event(event)) => {
                let host = self.names.topic_host(group);
                (
                    host,
                    self.names.group_topic(group),
                    self.seal(event, &envelope)?,
                )
            }
            (Address::Channel(channel), Payload::Event(event)) => {
                let name = channel.to_string();
                (self.names.host(&name), name, self.seal(event, &envelope)?)
            }
        };
        let receivers = self.hosts[host].publish(&topic, &bytes).await?;
        Ok(Published::new(receivers))
    }

    /// Returns when the hosts have confirmed it.
    pub(super) async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let before = self.health.losses()?;
        let each = self
            .topics(groups)
            .into_iter()
            .map(|(host, topics)| async move { self.hosts[host].subscribe(&topics).await });
        try_join_all(each).await?;
        self.health.check(before)
    }

    pub(super) async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let each = self
            .topics(groups)
            .into_iter()
            .map(|(host, topics)| async move { self.hosts[host].unsubscribe(&topics).await });
        try_join_all(each).await?;
        Ok(())
    }

    /// The name of all channels of this node; Django publishes to exactly this name.
    fn channels(&self) -> String {
        format!("{}!*", self.sink.node())
    }

    /// Anybody may publish, so it may be anything.
    fn take(&self, topic: &str, payload: &Bytes) {
        if let Some(group) = self.names.group_of_topic(topic) {
            return self.event(Address::Group(group), payload);
        }
        if let Some(to) = self.names.address_of_own_topic(topic) {
            return own::deliver(&self.sink, &self.codec, topic, to, payload);
        }
        match ChannelName::try_from(topic) {
            Ok(channel) if self.sink.owns(&channel) => {
                self.event(Address::Channel(channel), payload);
            }
            _ => self.sink.skipped("it came by an unknown topic"),
        }
    }

    fn event(&self, to: Address, payload: &[u8]) {
        let entry = match self.codec.open(payload) {
            Ok(entry) => entry,
            Err(why) => return self.sink.skipped(why.0),
        };
        let mut envelope = Envelope::new(to, Payload::Event(entry.event));
        envelope.except = entry.reserved.except;
        envelope.latest = entry.reserved.latest;
        // If there is no room, the sink itself runs the group's `gap` hooks.
        let _ = self.sink.try_deliver(&envelope);
    }

    fn seal(&self, event: &[u8], envelope: &Envelope) -> Result<Bytes, Error> {
        let body = self.codec.body(event)?;
        self.guard.check(&envelope.to, &body.kind)?;
        let reserved = Reserved {
            except: envelope.except.clone(),
            latest: envelope.latest.clone(),
            ..Reserved::default()
        };
        self.codec.seal(&body, &reserved).map(Bytes::from)
    }

    /// Both topics of each group.
    fn topics(&self, groups: &[GroupName]) -> BTreeMap<usize, Vec<String>> {
        let mut hosts = BTreeMap::<_, Vec<_>>::new();
        for group in groups {
            let topics = hosts.entry(self.names.topic_host(group)).or_default();
            topics.push(self.names.group_topic(group));
            topics.push(self.names.own_topic(group));
        }
        hosts
    }
}

impl Links for Node {
    fn health(&self) -> &Health {
        &self.health
    }

    fn host(&self, part: usize) -> &Host {
        &self.hosts[part]
    }

    fn arrived(&self, topic: &str, payload: &Bytes) {
        self.take(topic, payload);
    }

    fn prepare(self: Arc<Self>, part: usize) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move { self.hosts[part].subscribe_pattern(&self.channels()).await })
    }
}
