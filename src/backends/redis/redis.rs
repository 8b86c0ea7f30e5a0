//! [`Redis`]: the backend of several nodes over one Redis.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::Error;
use crate::layer::{Backend, Envelope, Guarantees, Published, Receivers, Sink};
use crate::name::GroupName;

use super::cluster::Cluster;
use super::find::Find;
use super::link::LinkOptions;
use super::single::Single;
use super::topics::Topics;
use super::url::{Mode, RedisUrl};

/// Carries envelopes between the nodes that share a Redis, by its pub/sub.
///
/// ```no_run
/// use strait::ChannelLayer;
/// use strait::backends::Redis;
///
/// # async fn start() -> Result<(), strait::Error> {
/// let layer = ChannelLayer::new(Redis::new("redis://localhost:6379").prefix("shop")).await?;
/// # Ok(()) }
/// ```
///
/// | URL | server |
/// | --- | --- |
/// | `redis://[user:password@]host[:port]` | one, Redis 6 or later; a `/database` behind it [parts nothing](Self::prefix) |
/// | `unix:///path/of/the/socket` | one, on this machine |
/// | `redis+sentinel://host[:port],host…/master` | the master that the Sentinels name |
/// | `redis+cluster://host[:port],host…` | a Cluster, Redis 7 or later; some of its nodes |
///
/// `rediss://`, `rediss+sentinel://` and `rediss+cluster://` are the same by TLS. The port is 6379,
/// a Sentinel's 26379. User and password are an ACL user's, a password alone (`:password@`) the
/// default user's; characters that are no letters or digits are percent-encoded. Options stand
/// behind a `?`: `prefix`, `probe` and `timeout` (in seconds) as the methods here, `ca=FILE` for
/// the authorities that TLS trusts, a PEM file (default: the system's), `sentinel_user` and
/// `sentinel_password`, which Sentinels have of their own.
///
/// # Costs
///
/// A node has one connection, and subscribes once to each group that has members here, however many
/// these are: a message to a group of 10,000 sockets goes to the node once. To what is sent Redis
/// adds the topic and this crate 2 bytes. An ACL user needs `+@pubsub &strait:*` (with your
/// prefix), in a Cluster also `+cluster|slots`.
///
/// Messages of all groups arrive by this connection. They are delivered as they come, and never
/// wait for a reader: if more comes for a group than can be delivered, the rest is dropped and the
/// group has a gap ([`gap`](crate::Consumer::gap)).
///
/// # Outages
///
/// The connection is made again for as long as it takes: every 0.1 to 1 s at first, after half a
/// minute every 0.1 to 5 s, at random. Meanwhile publishing fails at once
/// ([`Error::is_unavailable`]). A connection that is lost is noticed at once, one that has gone
/// silent by the [probe](Self::probe_after). With Sentinels the master is looked up again each
/// time. Messages published meanwhile are lost, and `gap` runs.
///
/// A server that answers, but does not serve, is an outage, too. An answer to a publish or a
/// subscription that refuses to serve (`READONLY`, `LOADING`, `MISCONF`, `OOM`, `MASTERDOWN`,
/// `NOREPLICAS`, `BUSY`) ends the connection at once. A master that was demoted at its address
/// (`FAILOVER`, `REPLICAOF`) refuses no publish: until the next [probe](Self::probe_after),
/// publishing there succeeds and reaches only the nodes that are still connected to it. Then the
/// node disconnects, tries that address until a master answers there, and runs
/// [`gap`](crate::Consumer::gap). Sentinels and a Cluster report a failover themselves, sooner as a
/// rule.
///
/// In a Cluster each group belongs to one of the servers, and groups go through sharded pub/sub:
/// when a server is lost, its groups alone are affected, and what is published to others goes on.
///
/// # Guarantees
///
/// The order of a group is the same on every node. [`Published::receivers`] counts nodes.
#[derive(Debug)]
#[must_use = "a backend does nothing until it is given to ChannelLayer::new"]
pub struct Redis {
    /// Or what is wrong with it.
    url: Result<RedisUrl, String>,
    prefix: Option<String>,
    probe_after: Option<Duration>,
    timeout: Option<Duration>,
    running: OnceLock<Running>,
}

#[derive(Debug)]
enum Running {
    Single(Single),
    Cluster(Cluster),
}

impl Redis {
    /// Connects when the layer is made, which also returns an error of the URL.
    pub fn new(url: impl AsRef<str>) -> Self {
        Self {
            url: RedisUrl::parse(url.as_ref()),
            prefix: None,
            probe_after: None,
            timeout: None,
            running: OnceLock::new(),
        }
    }

    /// Sets the beginning of all topics: nodes with the same prefix share their groups, whatever
    /// the database, since pub/sub has none. 1 to 99 ASCII letters, digits, `-`, `_`, `.`. Default:
    /// `strait`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets how often the server is asked for its role, and Sentinels for the master. After as much
    /// silence the connection is tested: the node publishes to itself, and gives the connection up
    /// if nothing comes back within the [timeout](Self::timeout). In a Cluster the role is not
    /// asked for, and the test is an answer to `SPUBLISH` or `SSUBSCRIBE`. Default: 30 s.
    pub fn probe_after(mut self, silence: Duration) -> Self {
        self.probe_after = Some(silence);
        self
    }

    /// How long Redis may take to answer: to be connected to, or anything that is sent. A command
    /// that takes longer is presumed lost, and so is the connection. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The value of the method, or else of the URL.
    fn settle(&self) -> Result<Settled, String> {
        let mut url = self.url.clone()?;
        let prefix = url.take("prefix");
        let prefix = self.prefix.clone().or(prefix);
        let prefix = prefix.unwrap_or_else(|| PREFIX.to_owned());
        if GroupName::try_from(&prefix).is_err() {
            let shown = match self.prefix {
                Some(_) => format!("{prefix:?}"),
                None => url.quote(&prefix),
            };
            return Err(format!(
                "the prefix {shown} is not 1 to 99 ASCII letters, digits, '-', '_', '.'"
            ));
        }
        let mut options = LinkOptions::default();
        let in_url = [seconds(&mut url, "probe")?, seconds(&mut url, "timeout")?];
        let [probe_after, timeout] = [self.probe_after.or(in_url[0]), self.timeout.or(in_url[1])];
        options.probe_after = probe_after.unwrap_or(options.probe_after);
        options.timeout = timeout.unwrap_or(options.timeout);
        options.rights = match url.mode {
            Mode::Cluster => format!("+@pubsub +cluster|slots &{prefix}:*"),
            _ => format!("+@pubsub &{prefix}:*"),
        };
        if options.timeout.is_zero() || options.probe_after.is_zero() {
            return Err("neither timeout nor probe_after can be 0".into());
        }
        Ok(Settled {
            url,
            prefix,
            options,
        })
    }

    async fn run(&self, sink: Sink) -> Result<Running, Error> {
        let settled = self.settle().map_err(Error::misconfigured)?;
        let (prefix, db) = (settled.prefix.clone(), settled.url.db);
        let running = Self::connect(settled, sink).await?;
        tracing::info!(prefix, "the channel layer is on Redis");
        if db != 0 {
            tracing::warn!(
                db,
                prefix,
                "a database number does not isolate applications: nodes with the same prefix on this server share groups, in whichever database; use a prefix"
            );
        }
        Ok(running)
    }

    async fn connect(mut settled: Settled, sink: Sink) -> Result<Running, Error> {
        let topics = Topics::new(&settled.prefix, &sink.node());
        let options = settled.options;
        if settled.url.mode == Mode::Cluster {
            let cluster = Cluster::start(settled.url, options, topics, sink).await?;
            return Ok(Running::Cluster(cluster));
        }
        let find = Find::new(&mut settled.url).map_err(Error::misconfigured)?;
        settled.url.finish(OPTIONS).map_err(Error::misconfigured)?;
        let single = Single::start(find, options, topics, sink).await?;
        Ok(Running::Single(single))
    }

    fn running(&self) -> Result<&Running, Error> {
        let running = self.running.get();
        running.ok_or_else(|| Error::unavailable("the Redis backend has not been started"))
    }
}

struct Settled {
    url: RedisUrl,
    prefix: String,
    options: LinkOptions,
}

#[async_trait]
impl Backend for Redis {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new().ordered().receivers(Receivers::Nodes)
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        let running = self.run(sink).await?;
        let started = self.running.set(running);
        started.map_err(|_| Error::misconfigured("this Redis backend has been started already"))
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        envelope.check_len()?;
        match self.running()? {
            Running::Single(single) => single.publish(envelope).await,
            // In a box of its own, so that what every publish allocates stays small.
            Running::Cluster(cluster) => Box::pin(cluster.publish(&envelope)).await,
        }
    }

    async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        match self.running()? {
            Running::Single(single) => single.subscribe(groups).await,
            Running::Cluster(cluster) => cluster.subscribe(groups).await,
        }
    }

    async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        match self.running()? {
            Running::Single(single) => single.unsubscribe(groups).await,
            Running::Cluster(cluster) => cluster.unsubscribe(groups).await,
        }
    }
}

fn seconds(url: &mut RedisUrl, name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = url.take(name) else {
        return Ok(None);
    };
    let seconds = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match duration {
        Some(duration) => Ok(Some(duration)),
        None => {
            let text = url.quote(&text);
            Err(format!("?{name}= is a number of seconds, not {text}"))
        }
    }
}

const PREFIX: &str = "strait";
/// What a URL may have behind its `?`.
pub(super) const OPTIONS: &str =
    "prefix, probe, timeout, db, ca, sentinel_user and sentinel_password";

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use crate::backends::redis::Find;
    use crate::backends::url::secrets;

    use super::{OPTIONS, Redis};

    proptest! {
        #[test]
        fn no_password_shows_in_an_error_or_in_debug(
            url in secrets::urls(&["redis://", "unix://", "redis+sentinel://", "redis+cluster://"])
        ) {
            let redis = Redis::new(&url);
            let checked = redis.settle().and_then(|mut settled| {
                Find::new(&mut settled.url)?;
                settled.url.finish(OPTIONS)
            });
            secrets::assert_hidden(&url, &[&redis, &checked]);
        }
    }

    #[test]
    fn a_file_of_authorities_is_named_unless_it_may_be_a_password() {
        for (url, is_named) in [
            ("rediss://a?ca=/S3CRET.pem", true),
            ("rediss://:x@a:1?ca=/S3CRET.pem", true),
            ("rediss://user:12?ca=/S3CRET.pem", false),
        ] {
            let checked = Redis::new(url)
                .settle()
                .and_then(|mut settled| Find::new(&mut settled.url));
            let text = format!("{checked:?}");
            assert!(text.contains("cannot read certificates"), "{url}: {text}");
            assert_eq!(text.contains("S3CRET"), is_named, "{url}: {text}");
        }
    }
}
