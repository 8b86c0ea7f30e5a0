//! [`Link`]: one connection to NATS, from its beginning to its loss, and what is subscribed to on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::Event;
use async_nats::Message;
use async_nats::PublishErrorKind;
use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Notify;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Error;
use crate::layer::Address;
use crate::layer::Envelope;
use crate::layer::Sink;
use crate::name::GroupName;

use super::settings::Settings;
use super::subjects::Subjects;

/// The client of the library would go over to another connection by itself, without a word on what was lost in between. So a link
/// is given up with its first connection, and everything on it.
pub(super) struct Link {
    client: Client,
    subjects: Subjects,
    sink: Sink,
    carriers: Mutex<HashMap<GroupName, Carrier>>,
    /// Ends with the link, as it holds the only sender.
    fence: mpsc::Sender<oneshot::Sender<()>>,
    state: Arc<State>,
    /// Dropped with the link.
    _channels: oneshot::Sender<()>,
}

/// Puts what comes for one group into the sink.
struct Carrier {
    task: JoinHandle<()>,
    /// Dropped, it ends the task.
    stop: oneshot::Sender<()>,
}

/// What the tasks of a link share.
pub(super) struct State {
    /// Why the connection is lost, once it is.
    lost: watch::Sender<Option<String>>,
    /// More came for a group than its task took.
    slow: Notify,
    /// The last complaint of the server, for an answer that does not come.
    complaint: Mutex<Option<String>>,
}

impl Link {
    /// Connects to one of the servers, in one try.
    pub(super) async fn connect(settings: &Settings, sink: &Sink) -> Result<Self, Error> {
        let state = Arc::new(State {
            lost: watch::Sender::new(None),
            slow: Notify::new(),
            complaint: Mutex::default(),
        });
        let noted = state.clone();
        let options = settings.options().event_callback(move |event| {
            noted.note(&event);
            std::future::ready(())
        });
        let client = options.connect(settings.servers()).await;
        let client = client.map_err(|error| settings.explain(&error))?;
        let link = Self::start(client, settings, sink, state).await?;
        if link.confirm().await.is_ok() {
            return Ok(link);
        }
        Err(match link.state.complaint() {
            Some(complaint) => Error::misconfigured(format!(
                "NATS at {settings} does not let this user publish and subscribe below {}: {complaint}",
                settings.prefix
            )),
            None => Error::unavailable(format!("NATS at {settings} does not answer")),
        })
    }

    async fn start(
        client: Client,
        settings: &Settings,
        sink: &Sink,
        state: Arc<State>,
    ) -> Result<Self, Error> {
        let subjects = Subjects::new(&settings.prefix, &sink.node());
        let failed = |error| Error::unavailable(format!("cannot subscribe on NATS: {error}"));
        let answers = client.subscribe(subjects.fence()).await.map_err(failed)?;
        let channels = client
            .subscribe(subjects.channels())
            .await
            .map_err(failed)?;
        let (fence, requests) = mpsc::channel(REQUESTS);
        let fencing = Fence {
            client: client.clone(),
            subject: subjects.fence(),
            answers,
            requests,
            state: state.clone(),
        };
        tokio::spawn(fencing.run());
        let (stop, stopped) = oneshot::channel();
        let of = subjects.clone();
        let address = move |message: &Message| of.addressee(&message.subject);
        tokio::spawn(carry(
            channels,
            stopped,
            sink.clone(),
            state.clone(),
            address,
        ));
        Ok(Self {
            client,
            subjects,
            sink: sink.clone(),
            carriers: Mutex::default(),
            fence,
            state,
            _channels: stop,
        })
    }

    /// Why it was, as soon as the connection is lost.
    pub(super) async fn lost(&self) -> String {
        self.state.lost().await
    }

    /// Completes when messages of some group were dropped.
    pub(super) async fn slow(&self) {
        self.state.slow.notified().await;
    }

    /// Returns when the server has taken it.
    pub(super) async fn publish(&self, envelope: &Envelope) -> Result<(), Error> {
        let subject = match &envelope.to {
            Address::Group(group) => self.subjects.group(group),
            Address::Channel(channel) => match self.subjects.channel(channel) {
                Some(subject) => subject,
                None => return Ok(()),
            },
        };
        self.while_connected(async {
            let bytes = envelope.encode();
            let size = bytes.len();
            self.send(subject, bytes).await.map_err(|kind| match kind {
                PublishErrorKind::MaxPayloadExceeded => {
                    let limit = self.client.max_payload();
                    Error::too_large(size, format!("max_payload of NATS is {limit} bytes"))
                }
                _ => unsure(),
            })?;
            self.confirm().await
        })
        .await
    }

    async fn send(&self, subject: String, bytes: Bytes) -> Result<(), PublishErrorKind> {
        let sent = self.client.publish(subject, bytes).await;
        sent.map_err(|error| error.kind())
    }

    /// Returns when the server has taken all subscriptions. Those that are there stay as they are.
    pub(super) async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.while_connected(async {
            for group in groups {
                if self.carriers().contains_key(group) {
                    continue;
                }
                let subject = self.subjects.group(group);
                let subscribed = self.client.subscribe(subject).await;
                let subscriber = subscribed
                    .map_err(|error| Error::unavailable(format!("cannot subscribe: {error}")))?;
                self.carry(group, subscriber);
            }
            self.confirm().await
        })
        .await
    }

    /// Returns when nothing of these groups arrives any more, so that a subscription that follows at once brings nothing twice.
    pub(super) async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        self.while_connected(async {
            for group in groups {
                let carrier = self.carriers().remove(group);
                if let Some(Carrier { task, stop }) = carrier {
                    drop(stop);
                    // It ends with the subscription at the latest.
                    let _ = task.await;
                }
            }
            Ok(())
        })
        .await
    }

    fn carry(&self, group: &GroupName, subscriber: Subscriber) {
        let (stop, stopped) = oneshot::channel();
        let to = Address::Group(group.clone());
        let address = move |_: &Message| Some(to.clone());
        let (sink, state) = (self.sink.clone(), self.state.clone());
        let task = tokio::spawn(carry(subscriber, stopped, sink, state, address));
        let carrier = Carrier { task, stop };
        self.carriers().insert(group.clone(), carrier);
    }

    /// Returns when the server has taken all that was sent on this connection before.
    async fn confirm(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.fence.send(answer).await.map_err(|_| unsure())?;
        answered.await.map_err(|_| unsure())
    }

    /// The outcome, or the loss of the connection if that is sooner.
    async fn while_connected<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            outcome = work => outcome,
            why = self.lost() => Err(Error::unavailable(format!("{why}; it may have been delivered"))),
        }
    }

    fn carriers(&self) -> MutexGuard<'_, HashMap<GroupName, Carrier>> {
        self.carriers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&self, event: &Event) {
        match event {
            Event::Disconnected | Event::Closed => self.lose("the connection to NATS was lost"),
            Event::SlowConsumer(_) => self.slow.notify_one(),
            Event::ServerError(error) => {
                tracing::error!(%error, "NATS complains");
                let mut complaint = self
                    .complaint
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *complaint = Some(error.to_string());
            }
            _ => {}
        }
    }

    fn lose(&self, why: &str) {
        self.lost.send_if_modified(|lost| {
            let is_new = lost.is_none();
            lost.get_or_insert_with(|| why.to_owned());
            is_new
        });
    }

    fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        let why = lost.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    fn complaint(&self) -> Option<String> {
        let complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        complaint.clone()
    }
}

/// Sends numbers to itself: what the server echoes, it has read, and all that was sent on the connection before. (The library
/// answers no `PING` to its caller.) One at a time, so that many who wait meanwhile share the next.
struct Fence {
    client: Client,
    subject: String,
    answers: Subscriber,
    requests: mpsc::Receiver<oneshot::Sender<()>>,
    state: Arc<State>,
}

impl Fence {
    async fn run(mut self) {
        let mut waiting = Vec::new();
        for number in 0_u64.. {
            let requests = self.requests.recv_many(&mut waiting, REQUESTS);
            // After long silence it asks of its own, since a connection may die without a word.
            if timeout(SILENCE, requests).await == Ok(0) {
                return;
            }
            match timeout(ANSWER, self.round_trip(number)).await {
                Ok(true) => {
                    for answer in waiting.drain(..) {
                        // Who was dropped meanwhile waits no more.
                        let _ = answer.send(());
                    }
                }
                Ok(false) => return self.state.lose("the connection to NATS was lost"),
                Err(_) => return self.state.lose("NATS does not answer"),
            }
        }
    }

    /// Whether the echo came, over the first and only connection.
    async fn round_trip(&mut self, number: u64) -> bool {
        let number = number.to_string();
        let sent = self
            .client
            .publish(self.subject.clone(), number.clone().into());
        if sent.await.is_err() {
            return false;
        }
        while let Some(answer) = self.answers.next().await {
            if answer.payload == number {
                let connects = &self.client.statistics().connects;
                return connects.load(Ordering::Relaxed) == 1;
            }
        }
        false
    }
}

/// Puts all that comes into the sink, until it is told to stop or the connection is lost.
async fn carry(
    mut subscriber: Subscriber,
    mut stop: oneshot::Receiver<()>,
    sink: Sink,
    state: Arc<State>,
    address: impl Fn(&Message) -> Option<Address>,
) {
    loop {
        let message = tokio::select! {
            biased;
            _ = &mut stop => break,
            message = subscriber.next() => message,
        };
        let Some(message) = message else { return };
        // What the library may have connected to since is another link's business.
        if state.is_lost() {
            return;
        }
        let Some(to) = address(&message) else {
            sink.skipped("no channel");
            continue;
        };
        match Envelope::decode(to, &message.payload) {
            Ok(envelope) => drop(sink.try_deliver(&envelope)),
            Err(_) => sink.skipped("undecodable"),
        }
    }
    // In the order of the connection: before a new subscription of the same group.
    let _ = subscriber.unsubscribe().await;
}

fn unsure() -> Error {
    Error::unavailable("the connection to NATS was lost; it may have been delivered")
}

/// How many wait to be confirmed together.
const REQUESTS: usize = 1024;
const SILENCE: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(5);
