//! [`Driver`]: the task that moves the bytes of a [`Link`](super::link::Link), and matches the
//! server's refusals with its requests.
//!
//! A NATS server says nothing about what it takes. A refusal is an `-ERR` line, without a word on
//! which operation it was; it comes before the `PONG` of the next `PING`. So a `PING` follows each
//! subscription, and each batch of publishes, whose refusals name their subjects.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{io, mem};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::layer::{Address, Envelope, Sink};
use crate::name::GroupName;
use crate::sampler::{LogSampler, sampled};

use super::connection::{Connection, Stream};
use super::link::{Done, Request};
use super::protocol::{Operation, Output, Violation, read};
use super::subjects::Subjects;

/// Dropped, it ends the connection.
pub(super) struct Driver {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    input: BytesMut,
    output: Output,
    /// The stream may hold bytes back.
    must_flush: bool,
    /// The server's address.
    server: String,
    subjects: Subjects,
    sink: Sink,
    requests: mpsc::Receiver<Request>,
    lost: Arc<OnceLock<String>>,
    /// Publishes that no `PING` follows yet.
    batch: Vec<Publish>,
    awaited: VecDeque<Awaited>,
    /// When the server last answered, or was asked after it had answered everything.
    since: Instant,
    /// Whether the own message of the last probe came back.
    echoed: bool,
    subscriptions: Subscriptions,
    /// The server's errors since the last `PONG`.
    errors: Vec<String>,
    /// The last error of the server that no request is to blame for. As a rule it then closes the
    /// connection.
    complaint: Option<String>,
    /// The first subscription that was refused since the last answer to a [`Request::Subscribe`].
    refused: Option<(GroupName, String)>,
    log: LogSampler,
}

struct Publish {
    subject: String,
    done: Done,
}

/// The requests that a `PONG` settles, in the order of the `PING`s.
enum Awaited {
    Publishes(Vec<Publish>),
    Subscription(GroupName, u64),
    /// Settled together with the subscriptions before it.
    Subscribed(Vec<GroupName>, Done),
    Probe,
}

impl Driver {
    pub(super) fn new(
        connection: Connection,
        requests: mpsc::Receiver<Request>,
        subjects: Subjects,
        sink: Sink,
        lost: Arc<OnceLock<String>>,
    ) -> Self {
        let (reader, writer) = split(connection.stream);
        Self {
            reader,
            writer,
            input: connection.input,
            output: Output::default(),
            must_flush: false,
            server: connection.server,
            subjects,
            sink,
            requests,
            lost,
            batch: Vec::new(),
            awaited: VecDeque::new(),
            since: Instant::now(),
            echoed: false,
            subscriptions: Subscriptions::default(),
            errors: Vec::new(),
            complaint: None,
            refused: None,
            log: LogSampler::of_condition(),
        }
    }

    /// Subscribes to this node's channels, and returns when a message to itself has come back.
    ///
    /// # Errors
    ///
    /// [`Error::misconfigured`] if the server refuses one of the two.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        self.output.subscribe(&self.subjects.channels(), CHANNELS);
        self.probe();
        while !self.awaited.is_empty() {
            self.step().await?;
        }
        Ok(())
    }

    /// Returns why the connection is lost, as soon as it is.
    pub(super) async fn run(mut self) -> String {
        loop {
            if let Err(error) = self.step().await {
                let why = error.reason();
                // Before those who wait are woken by the end of this.
                let _ = self.lost.set(why.clone());
                return why;
            }
        }
    }

    /// Moves some bytes, or takes some requests.
    async fn step(&mut self) -> Result<(), Error> {
        let has_room = self.output.0.is_empty() && self.awaited.len() < UNDER_WAY;
        let must_write = self.must_flush || !self.output.0.is_empty();
        self.input.reserve(READ_BYTES);
        let deadline = self.since
            + if self.awaited.is_empty() {
                SILENCE
            } else {
                ANSWER
            };
        tokio::select! {
            count = self.reader.read_buf(&mut self.input) => match count {
                Ok(0) => Err(self.gone(None)),
                Ok(count) => {
                    self.receive()?;
                    if count >= READ_BYTES {
                        // More is waiting. Other tasks deliver the messages that were read, and
                        // must not wait for the end of it.
                        yield_now().await;
                    }
                    Ok(())
                }
                Err(error) => Err(self.gone(Some(&error))),
            },
            written = write(&mut self.writer, &mut self.output.0, &mut self.must_flush), if must_write => {
                written.map_err(|error| self.gone(Some(&error)))
            }
            Some(request) = self.requests.recv(), if has_room => {
                self.take(request);
                Ok(())
            }
            () = sleep_until(deadline) => self.silent(),
        }
    }

    fn receive(&mut self) -> Result<(), Error> {
        loop {
            match read(&mut self.input) {
                Ok(Some(operation)) => self.handle(operation)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    let server = &self.server;
                    let what = format!("the server at {server} does not speak as NATS does");
                    return Err(Error::unavailable(what));
                }
            }
        }
    }

    fn handle(&mut self, operation: Operation) -> Result<(), Error> {
        match operation {
            Operation::Message {
                sid,
                subject,
                payload,
            } => self.deliver(sid, &subject, &payload),
            Operation::Ping => self.output.pong(),
            Operation::Pong => return self.settle(),
            Operation::Error(text) => return self.complain(text),
            Operation::Info(_) | Operation::Ok => {}
        }
        Ok(())
    }

    fn deliver(&mut self, sid: u64, subject: &[u8], payload: &Bytes) {
        let to = if sid == CHANNELS {
            let subject = str::from_utf8(subject).unwrap_or_default();
            if subject == self.subjects.echo() {
                self.echoed = true;
                return;
            }
            self.subjects.addressee(subject)
        } else {
            // Messages may be on their way when a subscription ends.
            let Some(group) = self.subscriptions.group(sid) else {
                return;
            };
            Some(Address::Group(group.clone()))
        };
        let Some(to) = to else {
            self.sink.skipped("no channel");
            return;
        };
        match Envelope::decode(to, payload) {
            Ok(envelope) => drop(self.sink.try_deliver(&envelope)),
            Err(_) => self.sink.skipped("undecodable"),
        }
    }

    /// An error is the fault of what the next `PONG` settles, or of nothing that was sent.
    fn complain(&mut self, text: String) -> Result<(), Error> {
        let revoked = match (Violation::of(&text), self.awaited.front()) {
            (Some(Violation::Subscription(subject)), Some(Awaited::Subscription(group, _))) => {
                subject != self.subjects.group(group)
            }
            (Some(Violation::Subscription(_)), front) => !matches!(front, Some(Awaited::Probe)),
            _ => false,
        };
        if revoked {
            // After a change of the server's configuration. The layer subscribes again on a new
            // connection.
            let server = &self.server;
            return Err(Error::unavailable(format!(
                "NATS at {server} has ended a subscription: {text}"
            )));
        }
        if self.awaited.is_empty() {
            self.complaint = Some(text);
        } else {
            self.errors.push(text);
        }
        Ok(())
    }

    /// The server has read everything before the oldest `PING`.
    fn settle(&mut self) -> Result<(), Error> {
        self.since = Instant::now();
        let errors = mem::take(&mut self.errors);
        match self.awaited.pop_front() {
            Some(Awaited::Publishes(publishes)) => self.settle_publishes(publishes, &errors),
            Some(Awaited::Subscription(group, sid)) => {
                if let Some(error) = errors.into_iter().next() {
                    self.subscriptions.remove_if(&group, sid);
                    self.refused.get_or_insert((group, error));
                }
            }
            Some(Awaited::Probe) => self.settle_probe(&errors)?,
            Some(Awaited::Subscribed(..)) | None => {}
        }
        self.settle_subscribed();
        Ok(())
    }

    fn settle_publishes(&self, publishes: Vec<Publish>, errors: &[String]) {
        for Publish { subject, done } in publishes {
            let refusal = errors.iter().find_map(|text| match Violation::of(text) {
                Some(Violation::Publish(refused)) if refused == subject => {
                    Some(self.refusal(Refused::Publish, &subject, text))
                }
                Some(_) => None,
                None => Some(Error::unavailable(format!(
                    "NATS at {} complains: {text}; it may have been delivered",
                    self.server
                ))),
            });
            // Nobody listens if the caller was dropped meanwhile.
            let _ = done.send(refusal.map_or(Ok(()), Err));
        }
    }

    /// Answers the request whose subscriptions are all settled.
    fn settle_subscribed(&mut self) {
        while let Some(Awaited::Subscribed(..)) = self.awaited.front() {
            let Some(Awaited::Subscribed(groups, done)) = self.awaited.pop_front() else {
                return;
            };
            let outcome = match self.refused.take() {
                Some((group, text)) => {
                    let what = match Violation::of(&text) {
                        Some(_) => Refused::Subscription,
                        None => Refused::OneMore,
                    };
                    Err(self.refusal(what, &self.subjects.group(&group), &text))
                }
                None => Ok(()),
            };
            if outcome.is_ok() && groups.iter().any(|group| !self.subscriptions.has(group)) {
                // They were asked for by another request, whose caller did not wait for the answer,
                // and refused.
                self.subscribe(groups, done);
                return;
            }
            let _ = done.send(outcome);
        }
    }

    fn settle_probe(&mut self, errors: &[String]) -> Result<(), Error> {
        let server = &self.server;
        if let Some(text) = errors.first() {
            return Err(Error::misconfigured(format!(
                "NATS at {server} does not let this user publish and subscribe: {text}; {}",
                self.remedy()
            )));
        }
        if !mem::take(&mut self.echoed) {
            return Err(Error::unavailable(format!(
                "NATS at {server} answers, but a message to this node itself does not come back"
            )));
        }
        Ok(())
    }

    /// Takes a request, and others that wait: concurrent publishes go out in one write, and one
    /// answer confirms them.
    fn take(&mut self, request: Request) {
        let mut next = Some(request);
        while let Some(request) = next.take() {
            match request {
                Request::Publish {
                    subject,
                    payload,
                    done,
                } => {
                    self.output.publish(&subject, &payload);
                    self.batch.push(Publish { subject, done });
                }
                Request::Subscribe { groups, done } => {
                    self.end_batch();
                    self.subscribe(groups, done);
                }
                Request::Unsubscribe { groups, done } => {
                    for group in &groups {
                        if let Some(sid) = self.subscriptions.remove(group) {
                            self.output.unsubscribe(sid);
                        }
                    }
                    let _ = done.send(Ok(()));
                }
            }
            if self.output.0.len() < BATCH_BYTES && self.batch.len() < BATCH {
                next = self.requests.try_recv().ok();
            }
        }
        self.end_batch();
    }

    fn end_batch(&mut self) {
        if !self.batch.is_empty() {
            let batch = mem::take(&mut self.batch);
            self.ask(Awaited::Publishes(batch));
        }
    }

    fn subscribe(&mut self, groups: Vec<GroupName>, done: Done) {
        for group in &groups {
            if let Some(sid) = self.subscriptions.add(group) {
                self.output.subscribe(&self.subjects.group(group), sid);
                self.ask(Awaited::Subscription(group.clone(), sid));
            }
        }
        let is_settled = self.awaited.is_empty();
        self.awaited.push_back(Awaited::Subscribed(groups, done));
        if is_settled {
            self.settle_subscribed();
        }
    }

    /// Publishes to this node itself: a connection can be open and carry nothing.
    fn probe(&mut self) {
        self.output.publish(&self.subjects.echo(), b"");
        self.ask(Awaited::Probe);
    }

    fn ask(&mut self, awaited: Awaited) {
        if self.awaited.is_empty() {
            self.since = Instant::now();
        }
        self.output.ping();
        self.awaited.push_back(awaited);
    }

    fn silent(&mut self) -> Result<(), Error> {
        if self.awaited.is_empty() {
            self.probe();
            return Ok(());
        }
        let server = &self.server;
        Err(Error::unavailable(format!(
            "NATS at {server} has not answered for {ANSWER:?}"
        )))
    }

    fn gone(&mut self, error: Option<&io::Error>) -> Error {
        let server = &self.server;
        let words = self.errors.pop().or_else(|| self.complaint.take());
        Error::unavailable(match (words, error) {
            (Some(words), _) => format!("NATS at {server} closed the connection: {words}"),
            (None, Some(error)) => format!("the connection to NATS at {server} was lost: {error}"),
            (None, None) => format!("NATS at {server} closed the connection"),
        })
    }

    fn refusal(&self, what: Refused, subject: &str, text: &str) -> Error {
        let server = &self.server;
        let remedy = match what {
            Refused::Publish | Refused::Subscription => self.remedy(),
            Refused::OneMore => {
                "raise max_subscriptions of the server or the limit of the account, or spread the groups over more nodes".to_owned()
            }
        };
        let verb = match what {
            Refused::Publish => "publish to",
            Refused::Subscription | Refused::OneMore => "subscribe to",
        };
        let error = format!("NATS at {server} refused to {verb} {subject:?}: {text}; {remedy}");
        sampled!(
            self.log,
            warn,
            "nats_refused",
            error,
            "NATS refused a request; others of its kind fail, too"
        );
        Error::misconfigured(error)
    }

    fn remedy(&self) -> String {
        let all = self.subjects.all();
        format!("the user needs permission to publish and to subscribe to {all}")
    }
}

/// Writes some of the output, or has the stream hold nothing back.
async fn write(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    output: &mut BytesMut,
    must_flush: &mut bool,
) -> io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *must_flush = false;
    } else {
        *must_flush = true;
        writer.write_buf(output).await?;
    }
    Ok(())
}

/// The groups that are subscribed to, and those whose subscription is not settled yet.
#[derive(Default)]
struct Subscriptions {
    groups: HashMap<u64, GroupName>,
    sids: HashMap<GroupName, u64>,
    last: u64,
}

impl Subscriptions {
    /// The number of a new subscription. `None` if there is one already.
    fn add(&mut self, group: &GroupName) -> Option<u64> {
        if self.has(group) {
            return None;
        }
        self.last = self.last.max(CHANNELS) + 1;
        self.groups.insert(self.last, group.clone());
        self.sids.insert(group.clone(), self.last);
        Some(self.last)
    }

    fn remove(&mut self, group: &GroupName) -> Option<u64> {
        let sid = self.sids.remove(group)?;
        self.groups.remove(&sid);
        Some(sid)
    }

    /// Unless the group has been subscribed to again meanwhile.
    fn remove_if(&mut self, group: &GroupName, sid: u64) {
        if self.sids.get(group) == Some(&sid) {
            self.remove(group);
        }
    }

    fn has(&self, group: &GroupName) -> bool {
        self.sids.contains_key(group)
    }

    fn group(&self, sid: u64) -> Option<&GroupName> {
        self.groups.get(&sid)
    }
}

/// The kinds of requests that a server can refuse.
#[derive(Clone, Copy)]
enum Refused {
    Publish,
    Subscription,
    /// A subscription beyond a limit.
    OneMore,
}

/// The number of the subscription to this node's channels; the groups have those above it.
const CHANNELS: u64 = 1;
/// How many publishes go out together, and how many bytes, at about.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// So many `PING`s may be unanswered before the next request is taken.
const UNDER_WAY: usize = 4;
const READ_BYTES: usize = 16 * 1024;
/// The connection is tested after this long without an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// A server that takes longer to answer is given up.
const ANSWER: Duration = Duration::from_secs(5);
