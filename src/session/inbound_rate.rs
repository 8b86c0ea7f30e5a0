//! [`InboundRate`]: how fast one peer may send, if that is limited.

use tokio::time::Instant;

use crate::close::CloseCode;
use crate::config::Config;
use crate::rate::{Bucket, Rate};
use crate::websocket::{Incoming, Violation};

/// Counts what a peer sends against [`Config::inbound_rate`]: messages, pings, pongs and small
/// fragments alike.
#[derive(Debug)]
pub(super) struct InboundRate {
    rate: Rate,
    bucket: Bucket,
}

impl InboundRate {
    /// Returns `None` if there is no limit. Then it costs one branch per message.
    pub(super) fn new(config: &Config) -> Option<Box<Self>> {
        let rate = config.inbound_rate?;
        let bucket = Bucket::new(rate, Instant::now());
        Some(Box::new(Self { rate, bucket }))
    }

    /// Counts a decoded message with the small fragments before it, and returns it. If the rate is
    /// exceeded, returns a violation in its place. A close frame always gets through.
    pub(super) fn limit(
        &mut self,
        decoded: Result<Option<Incoming>, Violation>,
        fragments: u16,
    ) -> Result<Option<Incoming>, Violation> {
        let message = match &decoded {
            Ok(Some(Incoming::Close(_))) | Err(_) => return decoded,
            Ok(Some(_)) => 1,
            Ok(None) => 0,
        };
        let now = Instant::now();
        if (0..u32::from(fragments) + message).all(|_| self.bucket.take(now).is_ok()) {
            return decoded;
        }
        let (per_second, burst) = (self.rate.per_second(), self.rate.burst());
        Err(Violation {
            code: CloseCode::POLICY_VIOLATION.as_u16(),
            reason: format!("more than {per_second} messages a second, {burst} at once"),
        })
    }

    /// Notes that reading rests because a hook is behind. Messages that the peer sends meanwhile
    /// are found later, all at once, which is not its fault.
    pub(super) fn rest(&mut self) {
        self.bucket.rest(Instant::now());
    }

    /// Notes that nothing is left to read.
    pub(super) fn caught_up(&mut self) {
        self.bucket.caught_up();
    }
}
