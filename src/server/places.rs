//! [`Places`]: how many connections speak HTTP, in all and per client, and which of them makes room
//! for a new one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::handshake::{Client, LATER, jitter};
use crate::sampler::{LogSampler, sampled};

use super::activity::Activity;

/// Counts connections from accepting until they are WebSockets or have ended.
#[derive(Debug)]
pub(super) struct Places {
    connections: usize,
    per_ip: Option<usize>,
    log: LogSampler,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: Vec<(Activity, Client)>,
    /// How many places each client has, if that is limited.
    clients: HashMap<Client, usize>,
    /// The index at which the next search for a place begins.
    next: usize,
}

/// Which limit is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Connections,
    PerIp,
}

impl Places {
    pub(super) fn new(connections: usize, per_ip: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            connections,
            per_ip,
            log: LogSampler::of_condition(),
            open: Mutex::default(),
        })
    }

    /// Takes a place. If all are taken, ends the connection that has waited longest for its client;
    /// only [`LOOKS`] of them are looked at, so that the cost does not grow with the limit.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let client = Client::from(address);
        let mut open = self.lock();
        if let Some(limit) = self.per_ip
            && open.clients.get(&client).copied().unwrap_or_default() >= limit
        {
            return Err(Full::PerIp);
        }
        if open.connections.len() >= self.connections {
            sampled!(
                self.log,
                warn,
                "http_limit_reached",
                connections = self.connections,
                "HTTP connection limit reached; closing those that have waited longest for their client. If they are honest \
                 clients, raise Server::http_connections or lower Server::keep_alive"
            );
            let longest = open.waits_longest().ok_or(Full::Connections)?;
            open.remove(longest).evict();
        }
        let activity = Activity::new();
        activity.set_place(Some(open.connections.len()));
        open.connections.push((activity.clone(), client));
        if self.per_ip.is_some() {
            *open.clients.entry(client).or_default() += 1;
        }
        Ok(Place {
            places: self.clone(),
            activity,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// The connection that has waited longest, if that is long enough.
    fn waits_longest(&mut self) -> Option<usize> {
        let count = self.connections.len();
        let looks = (0..count.min(LOOKS)).map(|step| (self.next + step) % count);
        let waiting = looks.filter_map(|at| Some((self.connections[at].0.waits_since()?, at)));
        let (since, at) = waiting.min()?;
        self.next += LOOKS;
        (since.elapsed() >= LONG_ENOUGH).then_some(at)
    }

    fn remove(&mut self, at: usize) -> Activity {
        let (activity, client) = self.connections.swap_remove(at);
        activity.set_place(None);
        if let Some((moved, _)) = self.connections.get(at) {
            moved.set_place(Some(at));
        }
        if let Some(open) = self.clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                self.clients.remove(&client);
            }
        }
        activity
    }
}

/// One connection's, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    activity: Activity,
}

impl Place {
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.places.lock();
        // An evicted connection has lost its place already.
        if let Some(at) = self.activity.place() {
            open.remove(at);
        }
    }
}

/// Answers 429 and closes, at once and without a task: refusing a client must cost little.
pub(super) fn refuse(stream: TcpStream) {
    let Ok(mut stream) = stream.into_std() else {
        return;
    };
    // A socket that is closed with unread bytes is reset, and the answer may be lost.
    let _ = stream.read(&mut [0; 4096]);
    let answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: {}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        jitter(LATER)
    );
    let _ = stream.write(answer.as_bytes());
}

/// How many connections are looked at for the one that has waited longest.
const LOOKS: usize = 64;
/// Several round trips: a client that has not answered for less may be an honest one in a storm of
/// many.
const LONG_ENOUGH: Duration = Duration::from_millis(250);
