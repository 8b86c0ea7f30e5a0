//! [`RateLimit`]: how many orders one client address may place.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Token buckets, chosen by a keyed hash of the address, so memory does not grow with the number of
/// clients. The price: two clients in `BUCKETS` share one. Behind a proxy all clients have the
/// proxy's address.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    hasher: RandomState,
    /// When each bucket is full again.
    full_at: Arc<Mutex<Vec<Instant>>>,
}

impl RateLimit {
    /// All buckets are full: `AT_ONCE` orders each, then one every `INTERVAL`.
    pub(crate) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            full_at: Arc::new(Mutex::new(vec![Instant::now(); BUCKETS])),
        }
    }

    /// Takes a token, or returns how long it is until there is one.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Duration> {
        let bucket = self.hasher.hash_one(client(address)) as usize % BUCKETS;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let next = full_at[bucket].max(now) + INTERVAL;
        let wait = next.saturating_duration_since(now + INTERVAL * AT_ONCE);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        full_at[bucket] = next;
        Ok(())
    }
}

/// The network part of an IPv6 address: a client has at least 64 bits to choose from.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

pub(crate) const AT_ONCE: u32 = 10;
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
const BUCKETS: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::{AddrParseError, IpAddr};
    use std::time::Duration;

    use tokio::time::advance;

    use super::{AT_ONCE, INTERVAL, RateLimit, client};

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_followed_by_one_per_interval() {
        let (limit, ada) = (RateLimit::new(), IpAddr::from([192, 0, 2, 1]));
        let taken = || (0..100).take_while(|_| limit.take(ada).is_ok()).count();
        assert_eq!(taken(), AT_ONCE as usize);
        assert_eq!(limit.take(ada), Err(INTERVAL));
        advance(INTERVAL - Duration::from_secs(1)).await;
        assert_eq!(limit.take(ada), Err(Duration::from_secs(1)));
        advance(Duration::from_secs(1)).await;
        assert_eq!(taken(), 1);
        advance(100 * INTERVAL).await;
        assert_eq!(taken(), AT_ONCE as usize);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_client() -> Result<(), AddrParseError> {
        for (one, other, is_same) in [
            ("2001:db8::1", "2001:db8::ffff:1:2:3", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let same = client(one.parse()?) == client(other.parse()?);
            assert_eq!(same, is_same, "{one} and {other}");
        }
        Ok(())
    }
}
