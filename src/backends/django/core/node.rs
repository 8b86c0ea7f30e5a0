//! [`Node`]: the state that the tasks of a core layer share, and the joins and leaves of a node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use redis::FromRedisValue;

use crate::backends::django::codec::Codec;
use crate::backends::django::guard::Guard;
use crate::backends::django::health::Health;
use crate::backends::django::host::{Failure, Host, Links};
use crate::backends::django::names::Names;
use crate::backends::django::own;
use crate::backends::django::script::Script;
use crate::error::Error;
use crate::layer::Sink;
use crate::metrics::queues_full;
use crate::name::GroupName;
use crate::sampler::{LogSampler, sampled};

use super::members::Members;
use super::scripts::{JOIN, LEAVE};

/// One process, as the others see it in Redis.
#[derive(Debug)]
pub(super) struct Node {
    /// Twelve hexadecimal digits.
    pub(super) id: String,
    pub(super) sink: Sink,
    pub(super) health: Health,
    /// For commands and subscriptions, in the order of the settings.
    pub(super) hosts: Vec<Host>,
    /// The same servers, over connections on which is waited for entries.
    pub(super) drains: Vec<Host>,
    pub(super) names: Names,
    pub(super) codec: Codec,
    pub(super) guard: Guard,
    pub(super) members: Members,
    pub(super) limits: Limits,
    pub(super) log: LogSampler,
}

/// The options that must be equal in Django's settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// In entries.
    pub(super) capacity: u64,
    pub(super) expiry: Duration,
    pub(super) group_expiry: Duration,
}

impl Limits {
    /// How long the nodes' own lists are kept in Redis: as the memberships, and long enough to miss
    /// a few beats.
    pub(super) fn keep(self) -> Duration {
        self.group_expiry.max(SHORTEST_KEEP)
    }

    /// How often this node looks whether it is still a member of its groups. A membership is
    /// renewed by the first look after half of `group_expiry`, so that must come before all of it.
    pub(super) fn refresh_every(self) -> Duration {
        REFRESH_EVERY.min(self.group_expiry / 4)
    }
}

impl Node {
    /// Returns when Django's processes, and all others, see this node in the groups, and what they
    /// broadcast arrives.
    pub(super) async fn join(&self, groups: &[GroupName]) -> Result<(), Error> {
        let before = self.health.losses()?;
        let each = self
            .by_host(groups)
            .into_iter()
            .map(|(host, groups)| async move {
                // First what only strait's nodes send, so that a member is never one in part.
                let topics: Vec<_> = groups
                    .iter()
                    .map(|group| self.names.own_topic(group))
                    .collect();
                self.hosts[host].subscribe(&topics).await?;
                let members = groups
                    .iter()
                    .map(|group| (group.clone(), self.members.add(group)));
                let members: Vec<_> = members.collect();
                self.add(host, &members).await?;
                self.members.confirm(&members);
                Ok::<_, Error>(())
            });
        try_join_all(each).await?;
        self.health.check(before)
    }

    /// Looks for this node in its groups on this host, and renews what is old. Groups that it is
    /// missing from, since their keys were evicted or deleted, it joins again, and tells them of a
    /// gap.
    pub(super) async fn refresh(&self, host: usize) -> Result<(), Error> {
        let mut members = self.members.confirmed();
        members.retain(|(group, _)| self.names.group_host(group) == host);
        let mut missing = 0;
        for members in members.chunks(AT_ONCE) {
            for number in self.add(host, members).await? {
                // From 1, as in Lua.
                let Some((group, member)) = members.get(number.wrapping_sub(1)) else {
                    continue;
                };
                if self.members.group(member).is_some() {
                    self.sink.gap(group);
                    missing += 1;
                }
            }
            // Those that were left meanwhile have been added again.
            let left = members
                .iter()
                .filter(|(_, member)| self.members.group(member).is_none());
            self.members.keep_left(left.cloned());
        }
        if missing > 0 {
            tracing::warn!(
                groups = missing,
                "memberships were deleted or evicted in redis; joined the groups again, their members may have missed something"
            );
        }
        Ok(())
    }

    /// Adds the members, which lie on this host, and renews those that are old. Returns the
    /// numbers, from 1, of those that were not there.
    async fn add(&self, host: usize, members: &[(GroupName, String)]) -> Result<Vec<usize>, Error> {
        let group_expiry = self.limits.group_expiry.as_secs().to_string();
        let keep = self.limits.keep().as_secs().to_string();
        let args = [group_expiry, keep].into_iter().chain(pairs(members));
        let args: Vec<_> = args.collect();
        self.run(host, &JOIN, &self.keys(members), &args).await
    }

    /// Runs a script on a host. If the server refuses to serve, that is an outage.
    pub(super) async fn run<T: FromRedisValue, A: AsRef<[u8]>>(
        &self,
        host: usize,
        script: &Script,
        keys: &[String],
        args: &[A],
    ) -> Result<T, Error> {
        let result = self.hosts[host].run(script, keys, args).await;
        result.map_err(|failure| self.noted(host, failure))
    }

    /// The error, after a refusal has been noted.
    pub(super) fn noted(&self, host: usize, failure: Failure) -> Error {
        if failure.is_refusal {
            self.health.refuses(host, &failure.error.reason());
        }
        failure.error
    }

    pub(super) async fn leave(&self, groups: &[GroupName]) -> Result<(), Error> {
        for group in groups {
            self.members.remove(group);
        }
        let each = self
            .by_host(groups)
            .into_iter()
            .map(|(host, groups)| async move {
                self.take_out(host).await?;
                let topics: Vec<_> = groups
                    .iter()
                    .map(|group| self.names.own_topic(group))
                    .collect();
                self.hosts[host].unsubscribe(&topics).await
            });
        try_join_all(each).await?;
        Ok(())
    }

    /// Removes from Redis, on this host, memberships that this node no longer has; those that fail,
    /// the next time.
    pub(super) async fn take_out(&self, host: usize) -> Result<(), Error> {
        let left = self
            .members
            .left(|group| self.names.group_host(group) == host);
        if left.is_empty() {
            return Ok(());
        }
        let args: Vec<_> = pairs(&left).collect();
        let result = self.run(host, &LEAVE, &self.keys(&left), &args).await;
        if result.is_err() {
            self.members.keep_left(left);
        }
        result
    }

    /// The key under which the peers find who is alive.
    pub(super) fn nodes_key(&self) -> String {
        format!("{}:strait:nodes", self.names.prefix)
    }

    /// Counts and logs queues that were over capacity, so that their processes missed something.
    pub(super) fn tell_full(&self, queues: usize, name: &str) {
        queues_full(queues);
        sampled!(
            self.log,
            warn,
            "queues_full",
            name,
            queues,
            "over capacity: processes are too slow, and messages for them were dropped"
        );
    }

    fn keys(&self, members: &[(GroupName, String)]) -> Vec<String> {
        let groups = format!("{}:strait:groups:{}", self.names.prefix, self.id);
        let keys = members.iter().map(|(group, _)| self.names.group_key(group));
        [groups].into_iter().chain(keys).collect()
    }

    fn by_host(&self, groups: &[GroupName]) -> BTreeMap<usize, Vec<GroupName>> {
        let mut hosts = BTreeMap::<_, Vec<_>>::new();
        for group in groups {
            let host = self.names.group_host(group);
            hosts.entry(host).or_default().push(group.clone());
        }
        hosts
    }
}

/// The links of the hosts come first, then those of the drains.
impl Links for Node {
    fn health(&self) -> &Health {
        &self.health
    }

    fn host(&self, part: usize) -> &Host {
        let drain = part.checked_sub(self.hosts.len());
        drain.map_or(&self.hosts[part % self.hosts.len()], |drain| {
            &self.drains[drain]
        })
    }

    fn arrived(&self, topic: &str, payload: &Bytes) {
        match self.names.address_of_own_topic(topic) {
            Some(to) => own::deliver(&self.sink, &self.codec, topic, to, payload),
            None => self.sink.skipped("it came by an unknown topic"),
        }
    }

    fn prepare(self: Arc<Self>, part: usize) -> BoxFuture<'static, Result<(), Error>> {
        Box::pin(async move {
            if part < self.hosts.len() {
                let channels = self.names.own_channel_topics(&self.sink.node());
                self.hosts[part].subscribe_pattern(&channels).await?;
                // Before it joins groups again, so that later it is not taken for one that was
                // forgotten.
                self.beat(part).await?;
            }
            Ok(())
        })
    }
}

fn pairs(members: &[(GroupName, String)]) -> impl Iterator<Item = String> {
    members
        .iter()
        .flat_map(|(group, member)| [group.to_string(), member.clone()])
}

const SHORTEST_KEEP: Duration = Duration::from_secs(60);
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// How many memberships one script looks at: it holds up all others.
const AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Limits;

    #[test]
    fn memberships_are_looked_at_once_a_minute_and_before_they_expire() {
        for (group_expiry, millis) in [(1, 250), (4, 1_000), (120, 30_000), (86_400, 30_000)] {
            let limits = Limits {
                capacity: 100,
                expiry: Duration::from_secs(60),
                group_expiry: Duration::from_secs(group_expiry),
            };
            let every = limits.refresh_every();
            assert_eq!(every.as_millis(), millis, "{group_expiry} s");
            assert!(every <= Duration::from_secs(60));
            assert!(limits.group_expiry / 2 + every < limits.group_expiry);
        }
    }
}
