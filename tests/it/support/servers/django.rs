//! [`Peer`]: a Django process with an unmodified channels_redis, and a method for each function of
//! its layer.
//!
//! `peer.py` beside this file is that process. It needs a Python that has what
//! `tests/requirements.txt` lists: `tests/run-all.sh` makes one and names it in `STRAIT_PYTHON`; by
//! hand, the one that it left in `target/tests/venv` is used.

use std::collections::HashMap;
use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::timeout;

/// An entry of `CHANNEL_LAYERS`.
#[derive(Clone, Debug)]
pub(crate) struct PeerConfig {
    backend: &'static str,
    config: Value,
}

impl PeerConfig {
    /// `RedisPubSubChannelLayer` on these hosts, each an URL.
    pub(crate) fn pubsub(hosts: &[String]) -> Self {
        Self::new("channels_redis.pubsub.RedisPubSubChannelLayer", hosts)
    }

    /// `RedisChannelLayer` on these hosts, each an URL.
    pub(crate) fn core(hosts: &[String]) -> Self {
        Self::new("channels_redis.core.RedisChannelLayer", hosts)
    }

    fn new(backend: &'static str, hosts: &[String]) -> Self {
        // redis-py 8 reads for at most 5 s by default, which is as long as the core layer's
        // BZPOPMIN waits.
        let host = |url: &String| json!({"address": url, "socket_timeout": null});
        let hosts: Vec<_> = hosts.iter().map(host).collect();
        Self {
            backend,
            config: json!({ "hosts": hosts }),
        }
    }

    /// More of each host's settings.
    pub(crate) fn of_hosts(mut self, name: &str, value: &Value) -> Self {
        for host in self.config["hosts"].as_array_mut().unwrap() {
            host[name] = value.clone();
        }
        self
    }

    pub(crate) fn prefix(self, prefix: &str) -> Self {
        self.option("prefix", json!(prefix))
    }

    /// `msgpack` or `json`.
    pub(crate) fn serializer(self, format: &str) -> Self {
        self.option("serializer_format", json!(format))
    }

    /// `symmetric_encryption_keys`, the one that encrypts first.
    pub(crate) fn keys(self, keys: &[&str]) -> Self {
        self.option("symmetric_encryption_keys", json!(keys))
    }

    pub(crate) fn capacity(self, entries: u32) -> Self {
        self.option("capacity", json!(entries))
    }

    /// In seconds.
    pub(crate) fn expiry(self, seconds: u32) -> Self {
        self.option("expiry", json!(seconds))
    }

    /// In seconds.
    pub(crate) fn group_expiry(self, seconds: u32) -> Self {
        self.option("group_expiry", json!(seconds))
    }

    /// Any other key of the entry's `CONFIG`.
    pub(crate) fn option(mut self, name: &str, value: Value) -> Self {
        self.config[name] = value;
        self
    }
}

/// A running process. Its requests may run at the same time; it ends with this value.
#[derive(Debug)]
pub(crate) struct Peer {
    input: AsyncMutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
    child: Child,
}

/// An exception of Python's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exception {
    /// Such as `ChannelFull`.
    pub(crate) class: String,
    pub(crate) text: String,
}

type Answer = Result<Value, Exception>;
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>;

impl Peer {
    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(config: &PeerConfig) -> Self {
        let entry = json!({"BACKEND": config.backend, "CONFIG": config.config});
        let python = python();
        let mut child = Command::new(&python)
            .args(["-B", PEER, &entry.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not run: {error}", python.display()));
        let (ready, is_ready) = oneshot::channel();
        let waiting = Waiting::default();
        waiting.lock().unwrap().insert(0, ready);
        let output = child.stdout.take().unwrap();
        tokio::spawn(answers(output, Arc::clone(&waiting)));
        let peer = Self {
            input: AsyncMutex::new(child.stdin.take().unwrap()),
            waiting,
            next: AtomicU64::new(1),
            child,
        };
        wait(is_ready, "start").await.unwrap();
        peer
    }

    /// The process id, for what it costs.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Kills it with -9, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) async fn new_channel(&self) -> String {
        let name = self.must("new_channel", json!({})).await;
        name.as_str().unwrap().to_owned()
    }

    pub(crate) async fn group_add(&self, group: &str, channel: &str) {
        let words = json!({"group": group, "channel": channel});
        self.must("group_add", words).await;
    }

    pub(crate) async fn group_discard(&self, group: &str, channel: &str) {
        let words = json!({"group": group, "channel": channel});
        self.must("group_discard", words).await;
    }

    /// Values that JSON has no form for are as `peer.py` says: `{"$bytes": base64}`,
    /// `{"$int": decimal}`, `{"$float": "nan"}`.
    pub(crate) async fn send(&self, channel: &str, message: &Value) -> Result<(), Exception> {
        let words = json!({"channel": channel, "message": message});
        self.call("send", words).await.map(drop)
    }

    pub(crate) async fn group_send(&self, group: &str, message: &Value) -> Result<(), Exception> {
        let words = json!({"group": group, "message": message});
        self.call("group_send", words).await.map(drop)
    }

    /// One after the other, as fast as it goes. Returns what each took.
    pub(crate) async fn group_sends(
        &self,
        group: &str,
        messages: &[Value],
    ) -> Result<Vec<Duration>, Exception> {
        let words = json!({"group": group, "messages": messages});
        let took = self.call("group_sends", words).await?;
        let seconds: Vec<f64> = serde_json::from_value(took).unwrap();
        Ok(seconds.into_iter().map(Duration::from_secs_f64).collect())
    }

    /// The next message of one of its channels; `None` if none comes within this time. One that
    /// comes later is kept for the next call.
    pub(crate) async fn receive(&self, channel: &str, within: Duration) -> Option<Value> {
        match self.try_receive(channel, within).await {
            Ok(message) => message,
            Err(exception) => panic!("receive: {exception:?}"),
        }
    }

    pub(crate) async fn try_receive(
        &self,
        channel: &str,
        within: Duration,
    ) -> Result<Option<Value>, Exception> {
        let words = json!({"channel": channel, "timeout": within.as_secs_f64()});
        let mut answer = self.call("receive", words).await?;
        Ok(answer.get_mut("message").map(Value::take))
    }

    /// The calls of a consumer's end to the layer.
    pub(crate) async fn leave(&self, channel: &str) {
        self.must("leave", json!({ "channel": channel })).await;
    }

    /// Makes this many channels that read all the time and are in the group; returns their names.
    pub(crate) async fn crowd(&self, group: &str, members: usize) -> Vec<String> {
        let words = json!({"group": group, "members": members});
        serde_json::from_value(self.must("crowd", words).await).unwrap()
    }

    /// The events of each member of the crowd, once they are this many in all or the time is over.
    pub(crate) async fn crowd_received(
        &self,
        group: &str,
        total: usize,
        within: Duration,
    ) -> Vec<Vec<Value>> {
        let words = json!({"group": group, "total": total, "timeout": within.as_secs_f64()});
        serde_json::from_value(self.must("crowd_received", words).await).unwrap()
    }

    /// Everything under the layer's prefix is deleted.
    pub(crate) async fn flush(&self) {
        self.must("flush", json!({})).await;
    }

    /// The lines that channels_redis has logged since the last call.
    pub(crate) async fn logs(&self) -> Vec<String> {
        serde_json::from_value(self.must("logs", json!({})).await).unwrap()
    }

    async fn must(&self, what: &str, words: Value) -> Value {
        match self.call(what, words).await {
            Ok(value) => value,
            Err(exception) => panic!("{what}: {exception:?}"),
        }
    }

    async fn call(&self, what: &str, mut words: Value) -> Answer {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        words["id"] = json!(id);
        words["do"] = json!(what);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap().insert(id, answer);
        let line = words.to_string() + "\n";
        let mut input = self.input.lock().await;
        input.write_all(line.as_bytes()).await.unwrap();
        drop(input);
        wait(answered, what).await
    }
}

async fn wait(answer: oneshot::Receiver<Answer>, what: &str) -> Answer {
    let answer = timeout(PATIENCE, answer).await;
    let answer = answer.unwrap_or_else(|_| panic!("{what}: no answer in {PATIENCE:?}"));
    answer.unwrap_or_else(|_| {
        panic!("{what}: the Django process has ended; its last words are above")
    })
}

async fn answers(output: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut line: Value = serde_json::from_str(&line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let answer = match line.get("error") {
            Some(class) => Err(Exception {
                class: text(class),
                text: text(&line["text"]),
            }),
            None => Ok(line["ok"].take()),
        };
        let id = line["id"].as_u64().unwrap();
        let caller = waiting.lock().unwrap().remove(&id);
        // A caller may have been dropped.
        let _ = caller.map(|caller| caller.send(answer));
    }
    // Calls that still wait fail.
    waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

/// The Python that has Django.
pub(crate) fn python() -> PathBuf {
    if let Some(python) = env::var_os("STRAIT_PYTHON") {
        return PathBuf::from(python);
    }
    let python = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/target/tests/venv/bin/python"
    ));
    assert!(
        python.exists(),
        "STRAIT_PYTHON must name a Python that has what tests/requirements.txt lists; tests/run-all.sh makes one"
    );
    python
}

const PEER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/support/servers/peer.py"
);
/// For any answer; a receive that waits longer than this is a mistake.
const PATIENCE: Duration = Duration::from_secs(120);
