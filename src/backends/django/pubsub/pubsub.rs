//! [`ChannelsRedisPubSub`]: the backend for an unmodified
//! `channels_redis.pubsub.RedisPubSubChannelLayer`.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::future::try_join_all;

use crate::backends::django::codec::{Codec, SerializerFormat};
use crate::backends::django::fernet::Fernet;
use crate::backends::django::health::Health;
use crate::backends::django::host::{Host, Links};
use crate::backends::django::names::Names;
use crate::backends::django::options::{Options, shared_options};
use crate::backends::redis::{Find, LinkOptions};
use crate::error::Error;
use crate::layer::{Backend, Envelope, Guarantees, Published, Receivers, Sink};
use crate::name::GroupName;

use super::node::Node;

/// Shares groups with Django processes whose `CHANNEL_LAYERS` names
/// `channels_redis.pubsub.RedisPubSubChannelLayer`, both ways, on the same Redis; they stay as they
/// are.
///
/// ```no_run
/// use strait::ChannelLayer;
/// use strait::backends::ChannelsRedisPubSub;
///
/// # async fn run() -> Result<(), strait::Error> {
/// let pubsub = ChannelsRedisPubSub::new(["redis://localhost:6379"])
///     .allow("order_*", ["order.updated"]);
/// let layer = ChannelLayer::new(pubsub).await?;
/// # Ok(()) }
/// ```
///
/// Repeat every option of Django's settings here, and add no others.
/// Redis 6 or later. As with channels_redis, the number of the database parts nothing: of two
/// applications on one Redis each needs a [`prefix`](Self::prefix) of its own.
///
/// # Promises
///
/// - A message of any process to a group reaches all members that are connected to Redis, at most
///   once and in one order. Nothing is kept: messages sent during an outage are lost, and then the
///   [`gap`](crate::Consumer::gap) hook runs.
/// - [`Published::receivers`] counts processes, Django's and strait's.
/// - An event is sent as msgpack or JSON of at most 1 MiB. Types that would end Django's consumers
///   are refused: [`Error::is_refused`].
/// - [`group_broadcast`](crate::ChannelLayer::group_broadcast) reaches strait's nodes alone: ready
///   messages have no form in Django.
/// - [`except`](crate::layer::Publish::except) and [`latest`](crate::layer::Publish::latest) are
///   for strait's nodes. Django's consumers see them, as the event's `"__strait_except__"` and
///   `"__strait_latest__"`.
/// - [`send`](crate::ChannelLayer::send) reaches any channel, of Django's too; Django reaches
///   channels of this node by their [name](crate::Context::channel_name), but cannot put them into
///   groups.
/// - With several hosts, an outage of one is an outage of the layer: joining fails, and afterwards
///   all groups have a gap. Publishing fails for the groups of that host alone.
/// - A host that refuses a publish or a subscription because of its own state (`READONLY`,
///   `LOADING`, `MISCONF`, `OOM` and the like), or is found to be a replica when it is asked every
///   30 s, is an outage of that host.
///
/// # Costs
///
/// A group send is one `PUBLISH`. A node has one connection to each host, two subscriptions for
/// each group and one pattern. [The chapter on Django](crate::docs::django#the-layer) lists the
/// rights of an ACL user.
#[doc(alias = "RedisPubSubChannelLayer")]
#[derive(Debug)]
pub struct ChannelsRedisPubSub {
    options: Options,
    running: OnceLock<Arc<Node>>,
}

shared_options!(ChannelsRedisPubSub);

impl ChannelsRedisPubSub {
    /// The setting `hosts`: the URL of each, in the same order, since it tells on which host a
    /// group lies. With none: `redis://localhost:6379`, as in channels_redis.
    ///
    /// A URL that makes no sense is an error when the layer starts.
    pub fn new<H: AsRef<str>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self::with(Options::new(hosts))
    }

    /// As [`ChannelLayer::from_url`](crate::ChannelLayer::from_url) has it:
    /// `channels-redis-pubsub://[user:password@]host[:port][/db]`, and behind a `?` any of
    /// `prefix`, `serializer` (`msgpack` or `json`), `key` and `host` (both may be repeated). With
    /// `channels-rediss-pubsub:` the hosts are reached over TLS, which trusts the authorities in
    /// `ca=FILE` (default: the system's). `channels-redis+sentinel-pubsub://host[:port],…/master`
    /// asks Sentinels, which have `sentinel_user` and `sentinel_password` of their own.
    ///
    /// # Errors
    ///
    /// [`Error::is_misconfigured`], naming what makes no sense.
    pub fn from_url(url: &str) -> Result<Self, Error> {
        Options::from_url(url, KNOWN, |_| Ok(())).map(Self::with)
    }

    fn with(options: Options) -> Self {
        Self {
            options,
            running: OnceLock::new(),
        }
    }

    fn make(&self, sink: Sink, hosts: usize) -> Node {
        Node {
            health: Health::new(sink.clone(), hosts),
            sink,
            hosts: (0..hosts).map(|_| Host::default()).collect(),
            names: Names {
                prefix: self.options.prefix.clone(),
                hosts,
            },
            codec: Codec {
                format: self.options.format,
                fernet: Fernet::new(&self.options.keys),
                random_prefix: 0,
                max_age: None,
            },
            guard: self.options.guard.clone(),
        }
    }

    fn node(&self) -> Result<&Arc<Node>, Error> {
        let node = self.running.get();
        node.ok_or_else(|| Error::unavailable("the layer has not started"))
    }
}

#[async_trait]
impl Backend for ChannelsRedisPubSub {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new().ordered().receivers(Receivers::Nodes)
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        let finds = self.options.checked_hosts()?;
        let node = Arc::new(self.make(sink, finds.len()));
        let each = finds
            .iter()
            .enumerate()
            .map(|(host, find)| connect(&node, host, find));
        try_join_all(each).await?;
        self.options.tell("channels_redis.pubsub");
        let _ = self.running.set(node);
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.node()?.publish(envelope).await
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.node()?.subscribe(groups).await
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.node()?.unsubscribe(groups).await
    }
}

async fn connect(node: &Arc<Node>, host: usize, find: &Find) -> Result<(), Error> {
    let options = LinkOptions {
        rights: RIGHTS.to_owned(),
        ..LinkOptions::probed_by(node.names.probe(&node.sink.node()))
    };
    node.hosts[host].connect(find, options, node, host).await?;
    node.clone().prepare(host).await
}

const KNOWN: &str = "prefix, serializer, key, host, ca, sentinel_user, sentinel_password";
/// A pattern is for those alone who may subscribe to every topic.
const RIGHTS: &str = "+@pubsub &*";
