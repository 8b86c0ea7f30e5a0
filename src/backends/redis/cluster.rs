//! [`Cluster`]: all nodes over a Redis Cluster, each group in the shard of its topic.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::{RedisError, RedisResult};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::backends::backoff::pause;
use crate::backends::tls::Tls;
use crate::error::Error;
use crate::layer::{Envelope, Published, Sink};
use crate::name::GroupName;

use super::commands::failed;
use super::find::tls;
use super::link::LinkOptions;
use super::redis::OPTIONS;
use super::seats::Seats;
use super::server::{Place, Server};
use super::shard::{Arrivals, Shard};
use super::slots::{Slots, parse, slot};
use super::topics::Topics;
use super::url::{Host, Login, RedisUrl};

/// By sharded pub/sub. Every topic is at one server, so its order is every node's.
#[derive(Debug)]
pub(super) struct Cluster {
    shared: Arc<Shared>,
    /// Ends with this, and all connections with it.
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    seeds: Vec<Host>,
    login: Login,
    tls: Option<Tls>,
    options: LinkOptions,
    arrivals: Arrivals,
    map: RwLock<Arc<Map>>,
    /// Held while the servers are asked who they are, so that many who find it out do not all ask.
    asking: tokio::sync::Mutex<()>,
}

/// The servers, and what belongs to which.
struct Map {
    shards: Vec<Arc<Shard>>,
    slots: Slots,
    made: Instant,
}

impl Cluster {
    pub(super) async fn start(
        mut url: RedisUrl,
        mut options: LinkOptions,
        topics: Topics,
        sink: Sink,
    ) -> Result<Self, Error> {
        let tls = tls(&mut url).map_err(Error::misconfigured)?;
        url.finish(OPTIONS).map_err(Error::misconfigured)?;
        options.needs = SHARDED_PUBSUB;
        let node = topics.node.clone();
        let shared = Arc::new(Shared {
            seeds: url.hosts,
            login: url.login,
            tls,
            options,
            arrivals: Arrivals {
                topics: Arc::new(topics),
                seats: Arc::new(Seats::default()),
                sink,
            },
            map: RwLock::new(Arc::new(Map::new(Vec::new(), &[]))),
            asking: tokio::sync::Mutex::default(),
        });
        shared.connect().await?;
        shared.subscribe(&[node]).await?;
        let task = tokio::spawn(shared.clone().tend());
        Ok(Self { shared, task })
    }

    pub(super) async fn publish(&self, envelope: &Envelope) -> Result<Published, Error> {
        let topics = &self.shared.arrivals.topics;
        let slot = slot(&topics.of(&envelope.to));
        let mut tries = 0;
        loop {
            let map = self.shared.map();
            let publishing = &map.shard(slot)?.publishing;
            let write = |bytes: &mut Vec<u8>| topics.write(envelope, bytes);
            let published = publishing.publish_with("SPUBLISH", write).await?;
            match published {
                Ok(receivers) => return Ok(Published::new(receivers)),
                Err(error) if is_elsewhere(&error) && tries < TRIES => {}
                Err(error) => return Err(failed("SPUBLISH", &error)),
            }
            tries += 1;
            self.shared.look_again(&map).await;
        }
    }

    pub(super) async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let topics = self.shared.arrivals.topics.of_groups(groups);
        self.shared.subscribe(&topics).await
    }

    pub(super) async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let topics = self.shared.arrivals.topics.of_groups(groups);
        self.shared.arrivals.seats.forget(&topics);
        self.shared.unsubscribe(topics).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// For the first time: every server must be there.
    async fn connect(&self) -> Result<(), Error> {
        let ranges = self.ask_seeds(0).await?;
        let mut shards = Vec::new();
        for host in masters(&ranges) {
            let (server, topic) = (self.server(&host), self.probe(&host, &ranges));
            let shard = Shard::connect(host, server, topic, &self.options, &self.arrivals).await?;
            shards.push(Arc::new(shard));
        }
        self.set_map(Map::new(shards, &ranges));
        Ok(())
    }

    /// Looks after servers and topics whenever one of them changes.
    async fn tend(self: Arc<Self>) {
        let seats = self.arrivals.seats.clone();
        loop {
            seats.changed.notified().await;
            let began = Instant::now();
            while !self.put_right(began).await {
                // A change that came meanwhile is seen to at once.
                let _ = timeout(pause(began.elapsed()), seats.changed.notified()).await;
            }
        }
    }

    /// Whether every server is there, and every topic where it belongs.
    async fn put_right(&self, began: Instant) -> bool {
        // A look at the servers for each try, by another one each time: one may be cut off from the
        // rest.
        let turn = usize::try_from(began.elapsed().as_millis()).unwrap_or_default();
        if let Err(error) = self.refresh(turn).await {
            tracing::debug!(%error, "no server of the Redis Cluster tells who its masters are");
        }
        let map = self.map();
        let place_of = |slot| map.shard(slot).ok()?.place();
        let misplaced = self.arrivals.seats.misplaced(place_of);
        let is_placed = self.place_again(&map, misplaced).await;
        is_placed && map.shards.iter().all(|shard| shard.is_up())
    }

    /// Subscribes to topics where they belong now, and tells their groups. Whether that was
    /// possible.
    async fn place_again(&self, map: &Map, misplaced: Vec<String>) -> bool {
        let (by_shard, homeless) = map.by_shard(misplaced);
        let mut is_complete = homeless.is_empty();
        for (shard, topics) in by_shard {
            let Ok(results) = self.subscribe_at(shard, &topics).await else {
                is_complete = false;
                continue;
            };
            for (topic, result) in topics.iter().zip(results) {
                match result {
                    Ok(()) => self.tell(topic),
                    Err(_) => is_complete = false,
                }
            }
        }
        is_complete
    }

    /// The topic's group may have missed something.
    fn tell(&self, topic: &str) {
        if let Some(group) = self.arrivals.topics.group(topic) {
            self.arrivals.sink.gap(&group);
        }
    }

    /// To topics that are new.
    async fn subscribe(&self, topics: &[String]) -> Result<(), Error> {
        let seats = &self.arrivals.seats;
        let new = seats.begin(topics);
        // From here on `tend` looks after them, also when this is dropped.
        let settling = Settling {
            seats,
            topics: Some(new),
        };
        let mut left = topics.to_vec();
        let mut tries = 0;
        loop {
            let map = self.map();
            left = self.try_subscribe(&map, left).await?;
            if left.is_empty() {
                settling.settle();
                return Ok(());
            }
            if tries == TRIES {
                let what = "the Redis Cluster does not agree about whose a slot is";
                return Err(Error::unavailable(what));
            }
            tries += 1;
            self.look_again(&map).await;
        }
    }

    /// Returns those that belong elsewhere.
    async fn try_subscribe(&self, map: &Map, topics: Vec<String>) -> Result<Vec<String>, Error> {
        let (by_shard, homeless) = map.by_shard(topics);
        if let Some(topic) = homeless.first() {
            map.shard(slot(topic))?;
        }
        let mut elsewhere = Vec::new();
        for (shard, topics) in by_shard {
            let results = self.subscribe_at(shard, &topics).await;
            let results = results.map_err(|error| failed("SSUBSCRIBE", &error))?;
            for (topic, result) in topics.into_iter().zip(results) {
                match result {
                    Ok(()) => {}
                    Err(error) if is_elsewhere(&error) => elsewhere.push(topic),
                    Err(error) => return Err(failed("SSUBSCRIBE", &error)),
                }
            }
        }
        Ok(elsewhere)
    }

    /// Subscribes, and records where. Topics that nobody wants any longer are given up again.
    async fn subscribe_at(
        &self,
        shard: &Shard,
        topics: &[String],
    ) -> RedisResult<Vec<RedisResult<()>>> {
        let seats = &self.arrivals.seats;
        let losses = seats.losses();
        let (Some(place), Ok(mut commands)) = (shard.place(), shard.listening.commands()) else {
            return Err((redis::ErrorKind::Io, "there is no connection").into());
        };
        let results = commands.shard_subscribe(topics).await?;
        let mut unwanted = Vec::new();
        for (topic, result) in topics.iter().zip(&results) {
            if result.is_ok() && !seats.confirm(topic, place, losses) {
                unwanted.push(topic.clone());
            }
        }
        if !unwanted.is_empty() {
            commands.shard_unsubscribe(&unwanted).await?;
        }
        if shard.place() != Some(place) {
            seats.changed.notify_one();
        }
        Ok(results)
    }

    /// A server that is away has no subscriptions, and there is none where no server is.
    async fn unsubscribe(&self, topics: Vec<String>) -> Result<(), Error> {
        let map = self.map();
        for (shard, topics) in map.by_shard(topics).0 {
            let Ok(mut commands) = shard.listening.commands() else {
                continue;
            };
            let unsubscribed = commands.shard_unsubscribe(&topics).await;
            unsubscribed.map_err(|error| failed("SUNSUBSCRIBE", &error))?;
        }
        Ok(())
    }

    /// A server said that a slot is no longer its own: waits for another map than this one.
    async fn look_again(&self, old: &Map) {
        let _asking = self.asking.lock().await;
        if self.map().made != old.made {
            return;
        }
        // The one that now has it may not have told the others yet.
        sleep(SPREADING).await;
        if let Err(error) = self.refresh_alone(0).await {
            tracing::debug!(%error, "no server of the Redis Cluster tells who its masters are");
        }
        self.arrivals.seats.changed.notify_one();
    }

    async fn refresh(&self, turn: usize) -> Result<(), Error> {
        let _asking = self.asking.lock().await;
        self.refresh_alone(turn).await
    }

    /// Takes up the servers that there are now; connections to those that stay are kept.
    async fn refresh_alone(&self, turn: usize) -> Result<(), Error> {
        let ranges = self.ask(turn).await?;
        let old = self.map();
        let shards = masters(&ranges).into_iter().map(|host| {
            let known = old.shards.iter().find(|shard| shard.host == host);
            known.cloned().unwrap_or_else(|| {
                let (server, topic) = (self.server(&host), self.probe(&host, &ranges));
                let shard = Shard::begin(host, server, topic, &self.options, &self.arrivals);
                Arc::new(shard)
            })
        });
        self.set_map(Map::new(shards.collect(), &ranges));
        Ok(())
    }

    /// Asks a server that is there, else those that the URL names.
    async fn ask(&self, turn: usize) -> Result<Ranges, Error> {
        let map = self.map();
        let count = map.shards.len();
        for place in 0..count {
            let shard = &map.shards[(place + turn) % count];
            let Ok(mut commands) = shard.publishing.commands() else {
                continue;
            };
            let slots = redis::cmd("CLUSTER").arg("SLOTS").clone();
            let answer = timeout(self.options.timeout, commands.query(&slots)).await;
            if let Ok(Ok(answer)) = answer
                && let Some(ranges) = parse(&answer, &shard.host.0)
            {
                return Ok(ranges);
            }
        }
        self.ask_seeds(turn).await
    }

    async fn ask_seeds(&self, turn: usize) -> Result<Ranges, Error> {
        let slots = redis::cmd("CLUSTER").arg("SLOTS").clone();
        let count = self.seeds.len();
        let mut failure = None;
        for place in 0..count {
            let host = &self.seeds[(place + turn) % count];
            let server = self.server(host);
            let answer = server.ask(&slots, self.options.timeout).await;
            match answer.and_then(|answer| read(answer, &server, host)) {
                Ok(ranges) => return Ok(ranges),
                Err(error) if error.is_misconfigured() => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::misconfigured("the Redis URL has no host")))
    }

    fn server(&self, host: &Host) -> Server {
        Server {
            place: Place::Tcp(host.clone(), self.tls.clone()),
            login: self.login.clone(),
            db: 0,
        }
    }

    /// A topic for testing this server, in one of the slots that it has now.
    fn probe(&self, host: &Host, ranges: &[(RangeInclusive<u16>, Host)]) -> String {
        let probe = &self.arrivals.topics.probe;
        let is_there = |topic: &String| {
            let slot = slot(topic);
            let mut ranges = ranges.iter();
            ranges.any(|(range, master)| master == host && range.contains(&slot))
        };
        let mut topics = (0..MOST_PROBES).map(|number| format!("{probe}:{number}"));
        // If none is found, the server answers the test by `MOVED`, which proves that it is alive.
        topics.find(is_there).unwrap_or_else(|| probe.clone())
    }

    fn map(&self) -> Arc<Map> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.clone()
    }

    fn set_map(&self, map: Map) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
    }
}

impl Map {
    fn new(shards: Vec<Arc<Shard>>, ranges: &[(RangeInclusive<u16>, Host)]) -> Self {
        let ranges = ranges.iter().filter_map(|(range, host)| {
            let place = shards.iter().position(|shard| shard.host == *host)?;
            Some((range.clone(), u16::try_from(place).ok()?))
        });
        Self {
            slots: Slots::new(ranges),
            shards,
            made: Instant::now(),
        }
    }

    fn shard(&self, slot: u16) -> Result<&Arc<Shard>, Error> {
        let shard = self.slots.of(slot).and_then(|place| self.shards.get(place));
        shard.ok_or_else(|| {
            Error::unavailable(format!("no server of the Redis Cluster has slot {slot}"))
        })
    }

    /// Each shard with those of the topics that belong to it; and those that no server has.
    fn by_shard(&self, topics: Vec<String>) -> (Vec<Share<'_>>, Vec<String>) {
        let mut shares: HashMap<&Host, Share<'_>> = HashMap::new();
        let mut homeless = Vec::new();
        for topic in topics {
            let Ok(shard) = self.shard(slot(&topic)) else {
                homeless.push(topic);
                continue;
            };
            let share = shares.entry(&shard.host).or_insert((shard, Vec::new()));
            share.1.push(topic);
        }
        (shares.into_values().collect(), homeless)
    }
}

/// A server, and topics that belong to it.
type Share<'a> = (&'a Arc<Shard>, Vec<String>);

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.shards).finish()
    }
}

/// Topics that are being subscribed to for the first time. Dropped, they are forgotten.
struct Settling<'a> {
    seats: &'a Seats,
    topics: Option<Vec<String>>,
}

impl Settling<'_> {
    fn settle(mut self) {
        if let Some(topics) = self.topics.take() {
            self.seats.settle(&topics);
        }
    }
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        if let Some(topics) = self.topics.take() {
            self.seats.forget(&topics);
        }
    }
}

type Ranges = Vec<(RangeInclusive<u16>, Host)>;

/// Each once, in the order of their slots.
fn masters(ranges: &[(RangeInclusive<u16>, Host)]) -> Vec<Host> {
    let mut masters: Vec<Host> = Vec::new();
    for (_, host) in ranges {
        if !masters.contains(host) {
            masters.push(host.clone());
        }
    }
    masters
}

fn read(answer: RedisResult<redis::Value>, server: &Server, host: &Host) -> Result<Ranges, Error> {
    let answer = answer.map_err(|error| match error.code() {
        Some("NOPERM") => Error::misconfigured(format!(
            "redis at {server} does not let {} ask for its slots: give it +cluster|slots",
            server.user()
        )),
        Some("ERR") => Error::misconfigured(format!(
            "redis at {server} is not part of a Cluster: write redis://, or redis+sentinel://"
        )),
        _ => Error::unavailable(format!(
            "redis at {server} does not tell its slots: {error}"
        )),
    })?;
    match parse(&answer, &host.0) {
        Some(ranges) if !ranges.is_empty() => Ok(ranges),
        _ => Err(Error::unavailable(format!(
            "the Cluster of redis at {server} has no slots yet"
        ))),
    }
}

/// It was not carried out, and may be elsewhere.
fn is_elsewhere(error: &RedisError) -> bool {
    matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN"))
}

/// The first version that has it.
const SHARDED_PUBSUB: u32 = 7;
/// How often a server's word that a slot is elsewhere is followed, for one call.
const TRIES: u32 = 5;
/// How many topics are tried for a server. For one with a single slot, 16,384 are needed on
/// average.
const MOST_PROBES: u32 = 200_000;
const SPREADING: Duration = Duration::from_millis(20);
