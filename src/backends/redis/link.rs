//! [`Link`]: a connection to one server that comes back by itself.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use std::{fmt, slice};

use bytes::Bytes;
use futures::FutureExt;
use redis::{ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::backends::backoff::pause;
use crate::error::Error;

use super::commands::{Commands, Traffic, failed, refuses};
use super::find::Find;
use super::publisher::Publisher;
use super::server::{Connection, Server};

/// A connection to one server, for commands and for subscriptions alike, and the task that looks
/// after it. It ends when this is dropped.
///
/// When the connection is lost, it is made again for as long as it takes. All subscriptions are
/// then lost, except [`LinkOptions::topics`].
pub(crate) struct Link {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// The events of a link. It is called on the link's own task, and must not block.
pub(crate) trait Listener: Send + Sync + 'static {
    /// Something was published to a topic that is subscribed to.
    fn message(&self, topic: &str, payload: Bytes);

    /// The connection is lost: commands fail from now on, and nothing more arrives. Once for each
    /// outage.
    fn down(&self, reason: &str);

    /// The connection is there again. Once for each outage; not for the first connection of
    /// [`Link::connect`].
    fn up(&self);

    /// The server has ended the subscription to a topic of a shard: asked to, or since the topic's
    /// slot has moved.
    fn unsubscribed(&self, topic: &str) {
        let _ = topic;
    }
}

/// How a link behaves.
#[derive(Clone, Debug)]
pub(crate) struct LinkOptions {
    /// The connection is tested when nothing was published to it for this long. The server's role
    /// is asked for this often.
    pub(crate) probe_after: Duration,
    /// A connection, or an answer, that takes longer is given up. A command that blocks
    /// at the server must take less.
    pub(crate) timeout: Duration,
    /// Subscribed to on each connection before anything else happens on it.
    pub(crate) topics: Vec<String>,
    /// How the connection is tested.
    pub(crate) probe: Probe,
    /// The first version of the server that will do.
    pub(crate) needs: u32,
    /// The rights of an ACL user, in the words of `ACL SETUSER`.
    pub(crate) rights: String,
}

impl LinkOptions {
    /// The link subscribes to this topic alone, and tests its connections by it.
    pub(crate) fn probed_by(topic: String) -> Self {
        Self {
            topics: vec![topic.clone()],
            probe: Probe::Publish(topic),
            ..Self::default()
        }
    }
}

/// The answer that must come back within [`LinkOptions::timeout`]. It is to something that the link
/// is used for, since a server may refuse other commands and still serve.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// A message of this topic, which is one of [`LinkOptions::topics`].
    Publish(String),
    /// The answer to `SPUBLISH` to this topic, which may be that its slot has moved.
    ShardPublish(String),
    /// The answer to `SSUBSCRIBE` to this topic, which is nobody else's. It may be that the slot
    /// has moved.
    ShardSubscribe(String),
    /// Any answer to `PING`, an error included.
    Ping,
}

impl Probe {
    /// Whether the server is one of a Cluster. Its role need not be asked for: if it is demoted,
    /// its slots have moved, which it answers to every publish. Nor can it be, since answers on a
    /// connection for subscriptions may be [out of step](super::shard::Shard).
    fn is_sharded(&self) -> bool {
        matches!(self, Self::ShardPublish(_) | Self::ShardSubscribe(_))
    }
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            probe_after: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            topics: Vec::new(),
            probe: Probe::Ping,
            needs: 6,
            rights: String::new(),
        }
    }
}

struct Shared {
    find: Find,
    options: LinkOptions,
    listener: Arc<dyn Listener>,
    /// The connection, or why there is none. Written by the task alone.
    state: RwLock<Result<Commands, String>>,
    /// Open while there is a connection.
    publisher: Publisher,
    /// How many connections were made, and how many lost: odd while there is one. It counts a loss
    /// before the listener hears of it, and commands fail after that.
    epoch: AtomicU64,
    /// The last probe that came back.
    echo: watch::Sender<u64>,
}

/// A connection that works.
struct Opened {
    server: Server,
    connection: Connection,
    commands: Commands,
    traffic: Arc<Traffic>,
    /// Why the server refuses to serve, once it does.
    refusal: mpsc::Receiver<RedisError>,
}

impl Link {
    /// Connects, once, and looks after the connection from then on.
    ///
    /// # Errors
    ///
    /// [`Error::misconfigured`] where another try would not help, [`Error::unavailable`] else.
    pub(crate) async fn connect(
        find: Find,
        options: LinkOptions,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, Error> {
        let shared = Shared::new(find, options, listener);
        let opened = shared.open().await?;
        shared.take_up(&opened);
        let task = tokio::spawn(shared.clone().supervise(Some(opened)));
        Ok(Self { shared, task })
    }

    /// Begins without a connection, and says [`Listener::up`] when there is one.
    pub(crate) fn begin(find: Find, options: LinkOptions, listener: Arc<dyn Listener>) -> Self {
        let shared = Shared::new(find, options, listener);
        let task = tokio::spawn(shared.clone().supervise(None));
        Self { shared, task }
    }

    /// # Errors
    ///
    /// [`Error::unavailable`] while there is no connection.
    pub(crate) fn commands(&self) -> Result<Commands, Error> {
        match &*self.shared.state() {
            Ok(commands) => Ok(commands.clone()),
            Err(reason) => Err(away(reason)),
        }
    }

    /// Publishes, and returns to how many connections. Concurrent publishes go out in the same
    /// write.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] while there is no connection, when it is lost before the answer is
    /// there, and for what the server says against it.
    pub(crate) async fn publish(&self, topic: &str, payload: &[u8]) -> Result<usize, Error> {
        let write = |bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(topic.as_bytes());
            bytes.extend_from_slice(payload);
            topic.len()
        };
        let published = self.publish_with("PUBLISH", write).await?;
        published.map_err(|error| failed("PUBLISH", &error))
    }

    /// As [`publish`](Self::publish), by a command that does and is answered by a number; `write`
    /// appends topic and payload, and returns the length of the topic.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] while there is no connection; the inner one may say where the topic
    /// is now.
    pub(super) async fn publish_with(
        &self,
        verb: &'static str,
        write: impl FnOnce(&mut Vec<u8>) -> usize,
    ) -> Result<RedisResult<usize>, Error> {
        let Some(answer) = self.shared.publisher.push(verb, write).await else {
            let state = self.shared.state();
            return Err(away(state.as_ref().err().map_or(UNMADE, String::as_str)));
        };
        let lost = |_| Err((ErrorKind::Io, "the connection was lost").into());
        Ok(answer.await.unwrap_or_else(lost))
    }

    /// The server's refusal of a command; if the user lacks a right, with all rights that are
    /// needed.
    pub(crate) fn failed(&self, what: &str, error: &RedisError) -> Error {
        if !lacks_rights(error) {
            return failed(what, error);
        }
        let rights = &self.shared.options.rights;
        Error::misconfigured(format!(
            "redis refused {what}: {error}; the user needs rights as in ACL SETUSER … {rights}"
        ))
    }

    /// The number of the connection: subscriptions that were made at a smaller one are gone. `None`
    /// while there is none.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let epoch = self.shared.epoch.load(Ordering::Acquire);
        (epoch % 2 == 1).then_some(epoch)
    }
}

fn refusing(server: &Server, error: &RedisError) -> String {
    format!("redis at {server} refuses to serve: {error}")
}

fn away(reason: &str) -> Error {
    Error::unavailable(format!("there is no connection to redis: {reason}"))
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("find", &self.shared.find)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn new(find: Find, options: LinkOptions, listener: Arc<dyn Listener>) -> Arc<Self> {
        Arc::new(Self {
            find,
            options,
            listener,
            state: RwLock::new(Err(UNMADE.to_owned())),
            publisher: Publisher::new(),
            epoch: AtomicU64::new(0),
            echo: watch::Sender::new(0),
        })
    }

    async fn supervise(self: Arc<Self>, first: Option<Opened>) {
        let mut opened = match first {
            Some(opened) => opened,
            None => self.open_at_last(Duration::ZERO).await,
        };
        loop {
            self.attend(opened).await;
            opened = self.open_at_last(pause(Duration::ZERO)).await;
        }
    }

    /// Tries until there is a connection, and says that it is there. The listener logs it, since an
    /// outage may concern several links.
    async fn open_at_last(self: &Arc<Self>, first_pause: Duration) -> Opened {
        let began = Instant::now();
        sleep(first_pause).await;
        loop {
            match self.open().await {
                Ok(opened) => {
                    tracing::debug!(server = %opened.server, after = ?began.elapsed(), "redis reconnected");
                    self.take_up(&opened);
                    self.listener.up();
                    return opened;
                }
                Err(error) => {
                    tracing::debug!(%error, since = ?began.elapsed(), "redis is still disconnected");
                    self.give_up(error.reason());
                }
            }
            sleep(pause(began.elapsed())).await;
        }
    }

    /// A connection on which everything is as it should be: the server, the topics, and what is
    /// published comes back.
    async fn open(self: &Arc<Self>) -> Result<Opened, Error> {
        let limit = self.options.timeout;
        let server = self.find.find(limit).await?;
        // For this connection alone: a late answer of the last one must neither keep this one alive
        // nor end it.
        let (traffic, mut refusal) = Traffic::new();
        let traffic = Arc::new(traffic);
        let (shared, pushes) = (self.clone(), traffic.clone());
        let on_push = move |push| {
            pushes.pushed();
            shared.receive(push);
        };
        let mut connection = server.connect(limit, on_push).await?;
        let commands = Commands::new(connection.commands.clone(), traffic.clone());
        let prepared = async {
            let mut commands = commands.clone();
            server.check(&mut commands, self.options.needs).await?;
            self.prepare(&server, commands).await
        };
        let prepared = tokio::select! {
            biased;
            prepared = timeout(limit, prepared) => prepared,
            Some(error) = refusal.recv() => {
                return Err(Error::unavailable(refusing(&server, &error)));
            }
            () = &mut connection.driver => {
                let what = format!("redis at {server} closed the connection");
                return Err(Error::unavailable(what));
            }
        };
        let Ok(prepared) = prepared else {
            let what = format!("redis at {server} did not answer within {limit:?}");
            return Err(Error::unavailable(what));
        };
        prepared?;
        Ok(Opened {
            server,
            connection,
            commands,
            traffic,
            refusal,
        })
    }

    async fn prepare(&self, server: &Server, mut commands: Commands) -> Result<(), Error> {
        let topics = &self.options.topics;
        let prepared = match commands.subscribe(topics).await {
            Ok(()) => self.probe(&mut commands).await,
            Err(error) => Err(error),
        };
        prepared.map_err(|error| match error.code() {
            Some("NOPERM") => Error::misconfigured(format!(
                "redis at {server} lets {} do too little: {error}; it needs rights as in ACL SETUSER … {}",
                server.user(),
                self.options.rights
            )),
            _ => Error::unavailable(format!("redis at {server} is of no use: {error}")),
        })
    }

    /// Drives a connection until it is lost or of no use, and gives it up.
    async fn attend(&self, opened: Opened) {
        let Opened {
            server,
            mut connection,
            commands,
            traffic,
            mut refusal,
        } = opened;
        let mut pump = pin!(self.publisher.pump(&commands));
        // In this order, publishes go out before the task sleeps.
        let reason = tokio::select! {
            biased;
            reason = self.watch(&server, &traffic, commands.clone()) => reason,
            reason = self.watch_role(&server, commands.clone()) => reason,
            Some(error) = refusal.recv() => refusing(&server, &error),
            never = &mut pump => match never {},
            () = &mut connection.driver => format!("redis at {server} closed the connection"),
        };
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.listener.down(&reason);
        // Only from here on do commands fail, so that their callers find the outage announced.
        self.give_up(reason);
        drop(refusal);
        let _ = pump.now_or_never();
    }

    /// Returns when the connection is dead although it looks alive.
    async fn watch(&self, server: &Server, traffic: &Traffic, mut commands: Commands) -> String {
        let LinkOptions {
            probe_after,
            timeout: limit,
            ..
        } = self.options;
        let step = (limit.min(probe_after) / 10).clamp(SHORTEST_STEP, LONGEST_STEP);
        let (mut heard, mut heard_at) = (traffic.heard(), Instant::now());
        let (mut pushes, mut pushed_at) = (traffic.pushes(), Instant::now());
        loop {
            sleep(step).await;
            let now = Instant::now();
            if traffic.heard() != heard || !traffic.is_waiting() {
                (heard, heard_at) = (traffic.heard(), now);
            }
            if now - heard_at >= limit {
                return format!("redis at {server} has not answered for {limit:?}");
            }
            if traffic.pushes() != pushes {
                (pushes, pushed_at) = (traffic.pushes(), now);
            }
            if now - pushed_at < probe_after {
                continue;
            }
            match timeout(limit, self.probe(&mut commands)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return format!("redis at {server} failed a test: {error}"),
                Err(_) => {
                    return format!(
                        "redis at {server} was silent, and failed a test: nothing came back within {limit:?}"
                    );
                }
            }
            (pushes, pushed_at) = (traffic.pushes(), Instant::now());
        }
    }

    /// Returns when the server is no longer the master. Neither silence nor an error shows that: it
    /// goes on answering, and delivers publishes among the clients that are still connected to it.
    async fn watch_role(&self, server: &Server, mut commands: Commands) -> String {
        if self.options.probe.is_sharded() {
            return pending().await;
        }
        loop {
            sleep(self.options.probe_after).await;
            if let Some(reason) = self.moved(server).await {
                return reason;
            }
            // An error says nothing about the role, and a lost connection is noticed elsewhere.
            if let Ok(hello) = server.hello(&mut commands).await
                && let Err(error) = server.check_role(&hello)
            {
                return error.reason();
            }
        }
    }

    async fn probe(&self, commands: &mut Commands) -> RedisResult<()> {
        let answer = match &self.options.probe {
            Probe::Publish(topic) => return self.echo(topic, commands).await,
            Probe::ShardPublish(topic) => {
                let publish = redis::cmd("SPUBLISH").arg(topic).arg("").take();
                commands.query(&publish).await
            }
            Probe::ShardSubscribe(topic) => {
                let subscribed = commands.shard_subscribe(slice::from_ref(topic)).await;
                subscribed.and_then(|mut answers| answers.pop().unwrap_or(Ok(())))
            }
            Probe::Ping => return answered(commands.query(&redis::cmd("PING")).await),
        };
        match answer {
            Err(error) if refuses(&error) || lacks_rights(&error) => Err(error),
            answer => answered(answer),
        }
    }

    /// Publishes, and waits until it comes back.
    async fn echo(&self, topic: &str, commands: &mut Commands) -> RedisResult<()> {
        let mut echo = self.echo.subscribe();
        let number = *echo.borrow_and_update() + 1;
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(topic).arg(&number.to_be_bytes());
        let _: usize = commands.query(&publish).await?;
        // The sender is in `self`.
        let _ = echo.wait_for(|seen| *seen >= number).await;
        Ok(())
    }

    /// A Sentinel may have made another server the master, while this one is cut off from all but
    /// us.
    async fn moved(&self, server: &Server) -> Option<String> {
        if !self.find.may_move() {
            return None;
        }
        let now = self.find.find(self.options.timeout).await.ok()?;
        (now.to_string() != server.to_string())
            .then(|| format!("redis at {server} is no longer the master: {now} is"))
    }

    /// A push message, or the confirmation of a subscription. On the task of the link.
    fn receive(&self, push: PushInfo) {
        let mut data = push.data.into_iter();
        match push.kind {
            PushKind::Message | PushKind::SMessage => {}
            // The pattern stands before the topic.
            PushKind::PMessage => drop(data.next()),
            PushKind::SUnsubscribe => {
                if let Some(Value::BulkString(topic)) = data.next() {
                    self.listener.unsubscribed(&String::from_utf8_lossy(&topic));
                }
                return;
            }
            _ => return,
        }
        let (Some(Value::BulkString(topic)), Some(Value::BulkString(payload))) =
            (data.next(), data.next())
        else {
            return;
        };
        // A subscription was made with a `str`; a pattern may match any bytes.
        let Ok(topic) = str::from_utf8(&topic) else {
            return;
        };
        match &self.options.probe {
            Probe::Publish(own) if own == topic => self.echoed(&payload),
            Probe::ShardSubscribe(own) if own == topic => {}
            _ => self.listener.message(topic, payload.into()),
        }
    }

    fn echoed(&self, payload: &[u8]) {
        if let Ok(number) = payload.try_into() {
            self.echo.send_replace(u64::from_be_bytes(number));
        }
    }

    fn take_up(&self, opened: &Opened) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = Ok(opened.commands.clone());
        self.publisher.open();
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    fn give_up(&self, reason: String) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = Err(reason);
        self.publisher.close();
    }

    fn state(&self) -> RwLockReadGuard<'_, Result<Commands, String>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error reply proves that the server is alive.
fn answered(answer: RedisResult<()>) -> RedisResult<()> {
    answer.or_else(|error| match error.is_io_error() {
        true => Err(error),
        false => Ok(()),
    })
}

/// Whether the ACL is against it: of the user's commands, or of one within a script, for which some
/// versions have no code.
fn lacks_rights(error: &RedisError) -> bool {
    let within = [
        "ACL failure in script",
        "The user executing the script can't",
    ];
    let text = error.detail().unwrap_or_default();
    error.code() == Some("NOPERM") || within.iter().any(|words| text.contains(words))
}

const UNMADE: &str = "it has not been made yet";
/// How often a look is taken at what was heard.
const SHORTEST_STEP: Duration = Duration::from_millis(5);
const LONGEST_STEP: Duration = Duration::from_secs(1);
