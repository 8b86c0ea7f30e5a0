//! How the core layer sends: to each of Django's processes in a group one entry, which names the
//! process's channels that are members; to all nodes of strait one message.
//!
//! Nodes of strait could have entries, too. But what they send each other needs no bound of a
//! hundred entries, nor as many entries as there are nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::{try_join, try_join_all};

use crate::backends::django::codec::Body;
use crate::backends::django::fields::Reserved;
use crate::backends::django::names::{MAX_NAME_BYTES, is_name, non_local};
use crate::error::Error;
use crate::layer::{Address, Envelope, Payload, Published};
use crate::name::{ChannelName, GroupName};

use super::members::is_node;
use super::node::Node;
use super::scripts::{MEMBERS, SEND};

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
        self.health.check_serves(self.names.group_host(group))?;
        let (nodes, members) =
            try_join(self.to_nodes(group, envelope), self.group_members(group)).await?;
        let except = envelope.except.as_ref().map(ChannelName::as_str);
        let members = members
            .into_iter()
            .filter(|member| Some(&**member) != except && !is_node(member));
        let mut hosts = BTreeMap::<usize, Vec<_>>::new();
        for (queue, channels) in self.by_queue(members) {
            let host = hosts.entry(self.names.queue_host(&queue)).or_default();
            host.push((queue, channels));
        }
        let each = hosts
            .into_iter()
            .map(|(host, queues)| self.put_all(host, body, queues));
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
                reserved.channels.insert(name.to_owned());
                self.names.queue_host(name)
            }
            // A channel that several processes read: each asks one host after the other.
            false => self.next_host(),
        };
        let queues = Queues {
            keys: vec![self.names.queue_key(name)],
            entries: vec![self.codec.seal(body, &reserved)?],
            ..Queues::default()
        };
        match self.put(host, queues).await? {
            (0, 0) => Err(Error::unavailable(format!(
                "the queue of channel {name:?} is a key of another type in redis: delete it"
            ))),
            (taken, 0) => Ok(Published::new(taken)),
            _ => {
                self.tell_full(1, name);
                Err(Error::full(format!("channel {name:?}"), self.limit()))
            }
        }
    }

    /// The members of a group, as far as they can be channels.
    async fn group_members(&self, group: &GroupName) -> Result<Vec<String>, Error> {
        let keys = [self.names.group_key(group)];
        let args = [
            self.limits.group_expiry.as_secs().to_string(),
            MAX_MEMBERS.to_string(),
            MAX_NAME_BYTES.to_string(),
        ];
        let host = self.names.group_host(group);
        let (left_out, members): (usize, Vec<Vec<u8>>) =
            self.run(host, &MEMBERS, &keys, &args).await?;
        let total = left_out + members.len();
        let members: Vec<_> = members.into_iter().filter_map(channel).collect();
        if members.len() < total {
            self.sink
                .skipped("a group has members that are no channels, or too many");
        }
        Ok(members)
    }

    /// The channels of each queue, by its name; for at most as many queues as a publish may have.
    fn by_queue(
        &self,
        members: impl Iterator<Item = String>,
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut queues = BTreeMap::<String, BTreeSet<_>>::new();
        let mut is_whole = true;
        for member in members {
            let queue = non_local(&member);
            if let Some(channels) = queues.get_mut(queue) {
                channels.insert(member);
            } else if queues.len() < MAX_QUEUES {
                queues.insert(queue.to_owned(), BTreeSet::from([member]));
            } else {
                is_whole = false;
            }
        }
        if !is_whole {
            self.sink
                .skipped("a group has members of too many processes");
        }
        queues
    }

    /// Puts an event into the queues of a host, some at a time. Returns how many took their entry,
    /// and how many were full.
    async fn put_all(
        &self,
        host: usize,
        body: &Body,
        of_host: Vec<(String, BTreeSet<String>)>,
    ) -> Result<(usize, usize), Error> {
        let (mut taken, mut full) = (0, 0);
        let mut queues = Queues::default();
        let mut rest = of_host.into_iter().peekable();
        while let Some((queue, channels)) = rest.next() {
            let reserved = Reserved {
                channels,
                ..Reserved::default()
            };
            queues.push(
                self.names.queue_key(&queue),
                self.codec.seal(body, &reserved)?,
            );
            if rest.peek().is_none() || queues.are_enough() {
                let counts = self.put(host, mem::take(&mut queues)).await?;
                taken += counts.0;
                full += counts.1;
            }
        }
        Ok((taken, full))
    }

    /// Returns how many queues took their entry, and how many were full.
    async fn put(&self, host: usize, queues: Queues) -> Result<(usize, usize), Error> {
        let mut args = queues.entries;
        args.push(self.limits.capacity.to_string().into_bytes());
        args.push(self.limits.expiry.as_secs().to_string().into_bytes());
        let (full, other): (usize, usize) = self.run(host, &SEND, &queues.keys, &args).await?;
        if other > 0 {
            self.sink
                .skipped("the queue of a process is a key of another type");
        }
        Ok((queues.keys.len().saturating_sub(full + other), full))
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

/// Some queues of one host, and an entry for each.
#[derive(Debug, Default)]
struct Queues {
    keys: Vec<String>,
    entries: Vec<Vec<u8>>,
    bytes: usize,
}

impl Queues {
    fn push(&mut self, key: String, entry: Vec<u8>) {
        self.bytes += entry.len();
        self.keys.push(key);
        self.entries.push(entry);
    }

    /// One script holds up all others, and its arguments are in memory at both ends.
    fn are_enough(&self) -> bool {
        self.bytes >= ENOUGH_BYTES || self.keys.len() >= ENOUGH_QUEUES
    }
}

/// A name of a channel, as Channels has them: any text of some length.
fn channel(member: Vec<u8>) -> Option<String> {
    let name = String::from_utf8(member).ok()?;
    is_name(&name).then_some(name)
}

/// How many members of a group a publish looks at: more are counted and left out.
const MAX_MEMBERS: usize = 100_000;
/// How many processes with members in a group a publish is for.
const MAX_QUEUES: usize = 4_096;
const ENOUGH_BYTES: usize = 4 * 1024 * 1024;
const ENOUGH_QUEUES: usize = 512;
