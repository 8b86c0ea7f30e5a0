//! [`Limits`]: how many connections a service has, in all and per client, and how fast new ones may
//! come.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::{StatusCode, header};
use tokio::time::Instant;

use crate::rate::{Bucket, Rate};
use crate::sampler::{LogSampler, sampled};

use super::reject::{LATER, Reject, jitter};

/// Limits on the connections of a whole service: [`Router::limits`](crate::Router::limits). All are
/// off by default.
///
/// A handshake over a limit is refused before any check, factory or hook runs, with `Retry-After`
/// in seconds, different for each client, so that they do not come back together. A request that is
/// no handshake to one of the routes (404, 400, 405, 426), or comes from a page of another
/// [origin](super::Origins) (403), is answered as usual and counts against no limit here; on
/// [`Server`](crate::Server::http_connections) every connection that speaks HTTP counts there. A
/// place is taken from the beginning of the handshake to the end of `disconnect`, and given back
/// whatever happens between.
///
/// ```
/// use strait::Router;
/// use strait::handshake::Limits;
///
/// let limits = Limits::new().connections(50_000).per_ip(100).handshake_rate(1_000, 2_000);
/// let router = Router::new().limits(limits);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Limits {
    connections: Option<usize>,
    per_ip: Option<usize>,
    handshake_rate: Option<Rate>,
}

impl Limits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections there may be at a time; over it, 503. Memory: [what each may
    /// hold](crate::docs::defaults#of-a-connection). Default: no limit but that of open files.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = Some(connections);
        self
    }

    /// How many connections one client may have at a time; over it, 429. A client is an IPv4
    /// address, or an IPv6 network of 64 bits, since that much is one customer's. Memory: about 50
    /// bytes for each client that is connected. Default: no limit.
    ///
    /// It needs the client's address: [`Server`](crate::Server) knows it; inside axum, [put a
    /// `Peer`](crate::service#the-clients-address) on each request. Requests without one are let
    /// in, and a warning says so once. **Behind a proxy every client has the proxy's address**: do
    /// not set this there, unless a middleware of yours puts the client's own into `Peer`.
    pub fn per_ip(mut self, connections: usize) -> Self {
        self.per_ip = Some(connections);
        self
    }

    /// How many handshakes a second are let in, and how many at once after a quiet time; over it,
    /// 503. [After a restart](crate::docs::defaults#after-a-restart) all clients come at once, and
    /// this is what keeps a database behind `connect` alive. Handshakes that a check refuses count
    /// as well. Neither number is below 1. Default: no limit.
    pub fn handshake_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.handshake_rate = Some(Rate::new(per_second, burst));
        self
    }

    pub(crate) fn max_connections(&self) -> Option<usize> {
        self.connections
    }

    pub(crate) fn needs_client(&self) -> bool {
        self.per_ip.is_some()
    }
}

/// The address by which [`Limits::per_ip`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client(NonZeroU64);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        let number = match address.to_canonical() {
            IpAddr::V4(address) => Self::v4(address),
            // The network part: an end customer is given 64 bits at least.
            IpAddr::V6(address) => match (address.to_bits() >> 64) as u64 {
                // `::1`, which is this machine as well.
                0 => Self::v4(Ipv4Addr::LOCALHOST),
                network => network,
            },
        };
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
    }
}

impl Client {
    /// Among the multicast networks of IPv6, from which nobody calls.
    fn v4(address: Ipv4Addr) -> u64 {
        0xffff_ffff_0000_0000 | u64::from(address.to_bits())
    }
}

/// Counts against the limits of one service.
#[derive(Debug)]
pub(crate) struct Limiter {
    limits: Limits,
    taken: usize,
    /// How many places each client has, where that is limited. No client without a place is in it.
    clients: HashMap<Client, usize>,
    bucket: Option<Bucket>,
    /// Until when there are clients that were asked to come back.
    promised: Instant,
}

impl Limiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        Self {
            limits,
            taken: 0,
            clients: HashMap::new(),
            bucket: limits.handshake_rate.map(|rate| Bucket::new(rate, now)),
            promised: now,
        }
    }

    /// Takes a place, which must be given back, or says which limit is in the way.
    pub(crate) fn take(&mut self, client: Option<Client>, now: Instant) -> Result<(), Refused> {
        if let Some((limit, client)) = self.limits.per_ip.zip(client)
            && self.clients.get(&client).copied().unwrap_or_default() >= limit
        {
            return Err(Refused {
                status: StatusCode::TOO_MANY_REQUESTS,
                limit: "per_ip",
                retry_after: jitter(LATER),
            });
        }
        if self
            .limits
            .connections
            .is_some_and(|limit| self.taken >= limit)
        {
            return Err(Refused {
                status: StatusCode::SERVICE_UNAVAILABLE,
                limit: "connections",
                retry_after: jitter(LATER),
            });
        }
        if let Some(bucket) = &mut self.bucket
            && let Err(wait) = bucket.take(now)
        {
            return Err(Refused {
                status: StatusCode::SERVICE_UNAVAILABLE,
                limit: "handshake_rate",
                retry_after: self.promise(wait, now),
            });
        }
        self.taken += 1;
        if let Some(client) = client.filter(|_| self.limits.per_ip.is_some()) {
            *self.clients.entry(client).or_default() += 1;
        }
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self, client: Option<Client>) {
        self.taken = self.taken.saturating_sub(1);
        let Some(client) = client else {
            return;
        };
        if let Some(open) = self.clients.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                self.clients.remove(&client);
            }
        }
    }

    /// The pause before the client may come back, in seconds: at the rate of handshakes, after all
    /// clients that were given a time before.
    fn promise(&mut self, wait: Duration, now: Instant) -> u64 {
        let interval = self
            .limits
            .handshake_rate
            .map(Rate::interval)
            .unwrap_or_default();
        let next = self.promised.max(now + wait) + interval;
        let seconds = next.saturating_duration_since(now).as_secs() + 1;
        if seconds > *LATEST.end() {
            return jitter(LATEST);
        }
        self.promised = next;
        seconds
    }
}

/// A handshake over a limit.
#[derive(Debug)]
#[must_use]
pub(crate) struct Refused {
    status: StatusCode,
    limit: &'static str,
    /// In seconds.
    retry_after: u64,
}

impl Refused {
    /// Logs the limit that was reached, and returns the answer.
    pub(crate) fn into_reject(
        self,
        limits: &Limits,
        client: Option<IpAddr>,
        log: &LogSampler,
    ) -> Reject {
        let Self {
            status,
            limit,
            retry_after,
        } = self;
        sampled!(
            log,
            warn,
            "limit_reached",
            status = status.as_u16(),
            client = client.map_or_else(|| "unknown".to_owned(), |client| client.to_string()),
            ?limits,
            "refused a handshake: Limits::{limit} is reached"
        );
        Reject::status(status)
            .header(header::RETRY_AFTER, retry_after)
            .body("too many connections, come back later")
    }
}

/// When to come back where more wait than a minute lets in.
const LATEST: RangeInclusive<u64> = 30..=60;

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::collection::vec;
    use proptest::{prop_assert_eq, proptest};
    use tokio::time::Instant;

    use super::{Client, Limiter, Limits};

    fn client(number: u8) -> Client {
        Client::from(IpAddr::from(Ipv4Addr::new(192, 0, 2, number)))
    }

    proptest! {
        /// In any sequence of arrivals and departures, no limit is exceeded, and nothing is kept
        /// for clients that have left.
        #[test]
        fn counts_match_the_clients_that_are_present(steps in vec((0..20_u8, 0..3_u8), 0..300)) {
            let mut limiter = Limiter::new(Limits::new().connections(12).per_ip(3));
            let mut open: Vec<u8> = Vec::new();
            for (number, leaves) in steps {
                if leaves > 0 && let Some(at) = open.iter().position(|&other| other == number) {
                    open.swap_remove(at);
                    limiter.give_back(Some(client(number)));
                    continue;
                }
                let own = open.iter().filter(|&&other| other == number).count();
                let taken = limiter.take(Some(client(number)), Instant::now());
                prop_assert_eq!(taken.is_ok(), own < 3 && open.len() < 12);
                if taken.is_ok() {
                    open.push(number);
                }
            }
            let mut there = open.clone();
            there.sort_unstable();
            there.dedup();
            prop_assert_eq!(limiter.taken, open.len());
            prop_assert_eq!(limiter.clients.len(), there.len());
        }
    }
}
