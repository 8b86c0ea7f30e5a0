//! How the core layer sends: to each of Django's processes in a group one entry, which names the process's channels that are members; to
//! all nodes of strait one message.
//!
//! Nodes of strait could have entries, too. But what they send each other needs no bound of a hundred entries, nor as many entries as
//! there are nodes.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use futures::future::try_join;
use futures::future::try_join_all;

use crate::backends::django::codec::Body;
use crate::backends::django::fields::Reserved;
use crate::backends::django::names::non_local;
use crate::error::Error;
use crate::layer::Address;
use crate::layer::Envelope;
use crate::layer::Payload;
use crate::layer::Published;
use crate::name::ChannelName;
use crate::name::GroupName;

use super::members::is_node;
use super::node::Node;
use super::scripts::MEMBERS;
use super::scripts::SEND;

impl Node {
    pub(super) async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        match (&envelope.to, &envelope.payload) {
            (Address::Group(group), Payload::Message(_)) => {
                self.to_nodes(group, &envelope).await.map(Published::new)
            }
            (Address::Channel(_), Payload::Message(_)) => Err(Error::not_carried(
                "it is a ready message, and those go to groups",
            )),
            (to, Payload::Event(event)) => {
                let body = self.codec.body(event)?;
                self.guard.check(to, &body.kind)?;
                match to {
                    Address::Group(group) => self.group_send(group, &body, &envelope).await,
                    Address::Channel(channel) => self.send(channel, &body, &envelope).await,
                }
            }
        }
    }

    async fn group_send(
        &self,
        group: &GroupName,
        body: &Body,
        envelope: &Envelope,
    ) -> Result<Published, Error> {
        let (nodes, members) =
            try_join(self.to_nodes(group, envelope), self.group_members(group)).await?;
        let except = envelope.except.as_ref().map(ChannelName::as_str);
        let members = members
            .iter()
            .filter(|member| Some(&***member) != except && !is_node(member));
        let mut hosts = BTreeMap::<usize, Queues>::new();
        for (queue, channels) in by_queue(members) {
            let reserved = Reserved {
                channels,
                ..Reserved::default()
            };
            let queues = hosts.entry(self.names.queue_host(queue)).or_default();
            queues.keys.push(self.names.queue_key(queue));
            queues.entries.push(self.codec.seal(body, &reserved)?);
        }
        let each = hosts
            .into_iter()
            .map(|(host, queues)| self.put(host, queues));
        let counts = try_join_all(each).await?;
        let taken = nodes + counts.iter().map(|(taken, _)| taken).sum::<usize>();
        let full = counts.iter().map(|(_, full)| full).sum();
        if full > 0 {
            self.tell_full(full, group.as_str());
        }
        match (taken, full) {
            // Nobody got it, so that to try again doubles nothing.
            (0, 1..) => Err(Error::full(format!("group {group:?}"), self.limit())),
            _ => Ok(Published::new(taken).full(full)),
        }
    }

    /// To the nodes of strait in a group, which need no queues: how many there are.
    async fn to_nodes(&self, group: &GroupName, envelope: &Envelope) -> Result<usize, Error> {
        let host = &self.hosts[self.names.group_host(group)];
        let topic = self.names.own_topic(group);
        let bytes = self.codec.wrap(&topic, envelope)?;
        host.publish(&topic, &bytes).await
    }

    /// To one channel. This process's own are not sent to through Redis.
    async fn send(
        &self,
        channel: &ChannelName,
        body: &Body,
        envelope: &Envelope,
    ) -> Result<Published, Error> {
        let name = channel.as_str();
        if let Some(topic) = self.names.own_channel_topic(channel) {
            let host = &self.hosts[self.names.host(name)];
            let bytes = self.codec.wrap(&topic, envelope)?;
            return host.publish(&topic, &bytes).await.map(Published::new);
        }
        let mut reserved = Reserved::default();
        let host = match name.contains('!') {
            true => {
                reserved.channels.push(name.to_owned());
                self.names.queue_host(name)
            }
            // A channel that several processes read: each asks one host after the other.
            false => self.next_host(),
        };
        let queues = Queues {
            keys: vec![self.names.queue_key(name)],
            entries: vec![self.codec.seal(body, &reserved)?],
        };
        match self.put(host, queues).await? {
            (taken, 0) => Ok(Published::new(taken)),
            _ => {
                self.tell_full(1, name);
                Err(Error::full(format!("channel {name:?}"), self.limit()))
            }
        }
    }

    async fn group_members(&self, group: &GroupName) -> Result<Vec<String>, Error> {
        let host = &self.hosts[self.names.group_host(group)];
        let keys = [self.names.group_key(group)];
        let args = [self.limits.group_expiry.as_secs().to_string()];
        host.run(&MEMBERS, &keys, &args).await
    }

    /// Returns how many queues took their entry, and how many were full.
    async fn put(&self, host: usize, queues: Queues) -> Result<(usize, usize), Error> {
        let mut args = queues.entries;
        args.push(self.limits.capacity.to_string().into_bytes());
        args.push(self.limits.expiry.as_secs().to_string().into_bytes());
        let full: Vec<usize> = self.hosts[host].run(&SEND, &queues.keys, &args).await?;
        Ok((queues.keys.len() - full.len(), full.len()))
    }

    fn next_host(&self) -> usize {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % self.hosts.len() as u64;
        usize::try_from(next).unwrap_or_default()
    }

    fn limit(&self) -> String {
        let capacity = self.limits.capacity;
        format!("{capacity} entries wait in Redis, the capacity")
    }
}

/// Those of one host, and an entry for each.
#[derive(Debug, Default)]
struct Queues {
    keys: Vec<String>,
    entries: Vec<Vec<u8>>,
}

fn by_queue<'a>(members: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, Vec<String>> {
    let mut queues = BTreeMap::<_, Vec<_>>::new();
    for member in members {
        queues
            .entry(non_local(member))
            .or_default()
            .push(member.clone());
    }
    queues
}
