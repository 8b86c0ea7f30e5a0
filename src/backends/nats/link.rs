//! [`Link`]: one connection to NATS as its users see it. The [`Driver`] moves the bytes.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::layer::{Address, Envelope, Sink};
use crate::name::GroupName;

use super::connection::Connection;
use super::driver::Driver;
use super::settings::Settings;
use super::subjects::Subjects;

/// Used until its connection is lost, and never again: every link has a connection of its own.
pub(super) struct Link {
    requests: mpsc::Sender<Request>,
    /// Why the connection is lost, once it is.
    lost: Arc<OnceLock<String>>,
    subjects: Subjects,
    /// In bytes.
    max_payload: usize,
}

/// An order to the [`Driver`]. It answers when the server has read what the order makes it send.
pub(super) enum Request {
    Publish {
        subject: String,
        payload: Bytes,
        done: Done,
    },
    Subscribe {
        groups: Vec<GroupName>,
        done: Done,
    },
    Unsubscribe {
        groups: Vec<GroupName>,
        done: Done,
    },
}

/// Dropped without an answer, it tells that the connection is lost.
pub(super) type Done = oneshot::Sender<Result<(), Error>>;

impl Link {
    /// Connects to one of the servers, in one try, and makes sure that this node can publish and
    /// subscribe there. Nothing happens on the link unless its driver runs.
    pub(super) async fn connect(
        settings: &Settings,
        sink: &Sink,
    ) -> Result<(Arc<Self>, Driver), Error> {
        let connection = Connection::open(settings).await?;
        let (requests, orders) = mpsc::channel(REQUESTS);
        let link = Self {
            requests,
            lost: Arc::default(),
            subjects: Subjects::new(&settings.prefix, &sink.node()),
            max_payload: connection.max_payload,
        };
        let (subjects, lost) = (link.subjects.clone(), link.lost.clone());
        let mut driver = Driver::new(connection, orders, subjects, sink.clone(), lost);
        driver.start().await?;
        Ok((Arc::new(link), driver))
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
        let payload = envelope.encode();
        let (size, limit) = (payload.len(), self.max_payload);
        if size > limit {
            let limit = format!("max_payload of NATS is {limit} bytes");
            return Err(Error::too_large(size, limit));
        }
        let publish = |done| Request::Publish {
            subject,
            payload,
            done,
        };
        self.ask(publish, "; it may have been delivered").await
    }

    /// Returns when the server has taken all subscriptions. Those that are there stay as they are,
    /// also if it refuses another.
    pub(super) async fn subscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let groups = groups.to_vec();
        self.ask(|done| Request::Subscribe { groups, done }, "")
            .await
    }

    /// Returns when no more messages of these groups can arrive, so that a subscription that
    /// follows at once brings nothing twice.
    pub(super) async fn unsubscribe(&self, groups: &[GroupName]) -> Result<(), Error> {
        let groups = groups.to_vec();
        self.ask(|done| Request::Unsubscribe { groups, done }, "")
            .await
    }

    async fn ask(&self, request: impl FnOnce(Done) -> Request, doubt: &str) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        let lost = || {
            let why = self
                .lost
                .get()
                .map_or("the connection to NATS was lost", String::as_str);
            Error::unavailable(format!("{why}{doubt}"))
        };
        self.requests
            .send(request(done))
            .await
            .map_err(|_| lost())?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }
}

/// How many requests may wait for the driver.
const REQUESTS: usize = 1024;
