//! [`ChannelsRedisCore`]: the backend for an unmodified `channels_redis.core.RedisChannelLayer`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::try_join_all;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::backends::django::codec::{Codec, SerializerFormat};
use crate::backends::django::fernet::Fernet;
use crate::backends::django::health::Health;
use crate::backends::django::host::{Host, Links};
use crate::backends::django::names::Names;
use crate::backends::django::options::{Options, number, seconds, shared_options};
use crate::backends::redis::{Find, LinkOptions};
use crate::error::Error;
use crate::layer::{Backend, Envelope, Guarantees, Published, Receivers, Sink};
use crate::name::GroupName;
use crate::sampler::LogSampler;

use super::alive::stay;
use super::members::Members;
use super::node::{Limits, Node};
use super::receive::{WAIT, drain};

/// Shares groups with Django processes whose `CHANNEL_LAYERS` names
/// `channels_redis.core.RedisChannelLayer`, both ways, on the same Redis; they stay as they are.
///
/// ```no_run
/// use strait::ChannelLayer;
/// use strait::backends::ChannelsRedisCore;
///
/// # async fn run() -> Result<(), strait::Error> {
/// let core = ChannelsRedisCore::new(["redis://localhost:6379/0"])
///     .allow("order_*", ["order.updated"]);
/// let layer = ChannelLayer::new(core).await?;
/// # Ok(()) }
/// ```
///
/// Repeat every option of Django's settings here, and add no others.
/// Redis 6 or later, and no Cluster.
///
/// # Promises
///
/// - A message that Django sends to a group reaches the members on this node at most once. A
///   process, and so a node, has queues of [`capacity`](Self::capacity) entries in Redis, and
///   Django passes over those that are full, with a line in its log. A node that finds one of its
///   queues full runs the [`gap`](crate::Consumer::gap) hook of the groups that may have missed
///   something.
/// - A message of strait reaches Django's processes at most once, too. Processes whose queue is
///   full are counted in [`Published::full`], and if no queue has room it is an error
///   ([`Error::is_full`]). Nodes of strait send to each other by Redis's pub/sub, which has no such
///   bound.
/// - Entries are taken in the order of the time at which they were sent, by the clocks of Django's
///   machines. Messages of strait are in one order for all nodes, and messages of Django for each
///   node; between the two there is none.
/// - [`Published::receivers`] counts processes, Django's and strait's. Of a channel of Django's
///   nobody knows whether it is still there.
/// - An event is sent as msgpack or JSON of at most 1 MiB. Types that would end Django's consumers
///   are refused: [`Error::is_refused`].
/// - [`group_broadcast`](crate::ChannelLayer::group_broadcast) reaches strait's nodes alone: ready
///   messages have no form in Django.
/// - [`except`](crate::layer::Publish::except) leaves out channels of strait's and of Django's.
///   [`latest`](crate::layer::Publish::latest) is for strait's nodes.
/// - [`send`](crate::ChannelLayer::send) reaches any channel, of Django's too; Django reaches
///   channels of this node by their [name](crate::Context::channel_name), and may put them into
///   groups of its own.
/// - With several hosts, an outage of one is an outage of the layer: joining fails, and afterwards
///   all groups have a gap. Publishing fails for the groups of that host alone.
///
/// # Costs
///
/// A group send of Django's is one entry for this node, about 60 bytes longer than the event,
/// however many sockets are in the group. A node has two connections to each host. Every five
/// seconds it sends a heartbeat. A node without one for 15 seconds is removed from its groups by
/// another node, so that Django does not go on writing to it. Beside channels_redis's own keys
/// there are `<prefix>:strait:nodes` and, for each node, `<prefix>:strait:groups:<node>`. [The
/// chapter on Django](crate::docs::django#the-layer) lists the rights of an ACL user.
#[doc(alias = "RedisChannelLayer")]
#[derive(Debug)]
pub struct ChannelsRedisCore {
    options: Options,
    limits: Limits,
    lanes: u64,
    random_prefix: usize,
    running: OnceLock<Arc<Node>>,
    /// The tasks that end with this.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

shared_options!(ChannelsRedisCore);

impl ChannelsRedisCore {
    /// The setting `hosts`: the URL of each, in the same order, since it tells on which host a
    /// group lies. With none: `redis://localhost:6379`, as in channels_redis.
    ///
    /// A URL that makes no sense is an error when the layer starts.
    pub fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self::with(Options::new(hosts))
    }

    /// As [`ChannelLayer::from_url`](crate::ChannelLayer::from_url) has it:
    /// `channels-redis-core://[user:password@]host[:port][/db]`, and behind a `?` any of `prefix`,
    /// `serializer` (`msgpack` or `json`), `key` and `host` (both may be repeated), `capacity`,
    /// `expiry` and `group_expiry` (in seconds), `lanes`. With `channels-rediss-core:` the hosts
    /// are reached over TLS, which trusts the authorities in `ca=FILE` (default: the system's).
    /// `channels-redis+sentinel-core://host[:port],…/master[/db]` asks Sentinels, which have
    /// `sentinel_user` and `sentinel_password` of their own.
    ///
    /// # Errors
    ///
    /// [`Error::is_misconfigured`], naming what makes no sense.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        let (mut capacity, mut expiry, mut group_expiry, mut lanes) = (None, None, None, None);
        let known = "prefix, serializer, key, host, capacity, expiry, group_expiry, lanes, \
                     ca, sentinel_user, sentinel_password";
        let options = Options::from_url(url, known, |url| {
            capacity = number(url, "capacity")?;
            expiry = seconds(url, "expiry")?;
            group_expiry = seconds(url, "group_expiry")?;
            lanes = number(url, "lanes")?;
            Ok(())
        })?;
        let mut core = Self::with(options);
        core.limits.capacity = capacity.unwrap_or(core.limits.capacity);
        core.limits.expiry = expiry.unwrap_or(core.limits.expiry);
        core.limits.group_expiry = group_expiry.unwrap_or(core.limits.group_expiry);
        core.lanes = lanes.unwrap_or(core.lanes).min(MOST_LANES);
        Ok(core)
    }

    /// The setting `capacity`: how many entries may wait for one process. Default: 100, that of
    /// channels_redis.
    #[must_use]
    pub fn capacity(mut self, entries: u32) -> Self {
        self.limits.capacity = entries.max(1).into();
        self
    }

    /// The setting `expiry`: after how long an entry that nobody took is deleted. Whole seconds.
    /// Default: 60 s, that of channels_redis.
    #[must_use]
    pub fn expiry(mut self, expiry: Duration) -> Self {
        self.limits.expiry = expiry.max(SECOND);
        self
    }

    /// The setting `group_expiry`: how long a process stays in a group after it was last added. It
    /// must be the same everywhere, since a join sets it for the whole group; this node renews its
    /// memberships after half of it. Whole seconds. Default: a day, that of channels_redis.
    #[must_use]
    pub fn group_expiry(mut self, expiry: Duration) -> Self {
        self.limits.group_expiry = expiry.max(SECOND);
        self
    }

    /// The setting `random_prefix_length`: how many bytes go before each entry, so that no two are
    /// equal. Default: 12, that of channels_redis.
    #[must_use]
    pub fn random_prefix_length(mut self, bytes: usize) -> Self {
        self.random_prefix = bytes;
        self
    }

    /// Over how many queues this node spreads its groups; each has [`capacity`](Self::capacity) of
    /// its own. 1 to 64. Default: 4.
    #[must_use]
    pub fn lanes(mut self, lanes: u32) -> Self {
        self.lanes = u64::from(lanes).clamp(1, MOST_LANES);
        self
    }

    fn with(options: Options) -> Self {
        Self {
            options,
            limits: Limits {
                capacity: 100,
                expiry: Duration::from_secs(60),
                group_expiry: Duration::from_secs(86_400),
            },
            lanes: 4,
            random_prefix: 12,
            running: OnceLock::new(),
            tasks: Mutex::default(),
        }
    }

    fn make(&self, sink: Sink, hosts: usize) -> Node {
        let name = sink.node();
        let id: String = name
            .trim_start_matches("specific.")
            .chars()
            .take(12)
            .collect();
        let places = || (0..hosts).map(|_| Host::default()).collect();
        Node {
            members: Members::new(&id, self.lanes),
            id,
            health: Health::new(sink.clone(), 2 * hosts),
            sink,
            hosts: places(),
            drains: places(),
            names: Names {
                prefix: self.options.prefix.clone(),
                hosts,
            },
            codec: Codec {
                format: self.options.format,
                fernet: Fernet::new(&self.options.keys),
                random_prefix: self.random_prefix,
                max_age: Some(self.limits.expiry + AGE_BEYOND_EXPIRY),
            },
            guard: self.options.guard.clone(),
            limits: self.limits,
            log: LogSampler::of_condition(),
        }
    }

    fn node(&self) -> Result<&Arc<Node>, Error> {
        let node = self.running.get();
        node.ok_or_else(|| Error::unavailable("the layer has not started"))
    }
}

#[async_trait]
impl Backend for ChannelsRedisCore {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new().receivers(Receivers::Nodes)
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        let finds = self.options.checked_hosts()?;
        let node = Arc::new(self.make(sink, finds.len()));
        let each = finds
            .iter()
            .enumerate()
            .map(|(host, find)| connect(&node, host, find));
        try_join_all(each).await?;
        self.options.tell("channels_redis.core");
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for host in 0..finds.len() {
            tasks.push(tokio::spawn(drain(node.clone(), host)));
            tasks.push(tokio::spawn(stay(node.clone(), host)));
        }
        drop(tasks);
        let _ = self.running.set(node);
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.node()?.publish(envelope).await
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.node()?.join(groups).await
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.node()?.leave(groups).await
    }
}

/// Leaves all groups, if there is still a runtime; else the other nodes see to it.
impl Drop for ChannelsRedisCore {
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        for task in tasks.drain(..) {
            task.abort();
        }
        if let (Some(node), Ok(runtime)) = (self.running.take(), Handle::try_current()) {
            runtime.spawn(async move { node.end().await });
        }
    }
}

async fn connect(node: &Arc<Node>, host: usize, find: &Find) -> Result<(), Error> {
    let rights = format!("{RIGHTS} ~{}*", node.names.prefix);
    let options = LinkOptions {
        rights: rights.clone(),
        ..LinkOptions::probed_by(node.names.probe(&node.sink.node()))
    };
    node.hosts[host].connect(find, options, node, host).await?;
    let options = LinkOptions {
        // It waits for entries by itself, and hears each time that there is none.
        probe_after: DAY,
        timeout: 2 * WAIT,
        rights,
        ..LinkOptions::default()
    };
    let part = node.hosts.len() + host;
    node.drains[host].connect(find, options, node, part).await?;
    node.rehearse(host).await?;
    node.clone().prepare(host).await
}

/// A pattern is for those alone who may subscribe to every topic.
const RIGHTS: &str = "+@pubsub +@sortedset +@hash +eval +evalsha +time +expire +del &*";

/// As channels_redis adds it.
const AGE_BEYOND_EXPIRY: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Each is a key that Redis looks at whenever it is asked for entries.
const MOST_LANES: u64 = 64;
