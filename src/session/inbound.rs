//! [`InboundRate`]: how fast one peer may send, where that is limited.

use tokio::time::Instant;

use crate::close::CloseCode;
use crate::config::Config;
use crate::rate::Bucket;
use crate::rate::Rate;
use crate::websocket::Incoming;
use crate::websocket::Violation;

/// Counts what a peer sends against [`Config::inbound_rate`]: messages, pings and pongs alike.
#[derive(Debug)]
pub(super) struct InboundRate {
    rate: Rate,
    bucket: Bucket,
}

impl InboundRate {
    /// `None` where there is no limit, which is then one question per message.
    pub(super) fn of(config: &Config) -> Option<Box<Self>> {
        let rate = config.inbound_rate?;
        let bucket = Bucket::new(rate, Instant::now());
        Some(Box::new(Self { rate, bucket }))
    }

    /// What was decoded, or the limit in its place. A close frame always gets through.
    pub(super) fn limit(
        &mut self,
        decoded: Result<Option<Incoming>, Violation>,
    ) -> Result<Option<Incoming>, Violation> {
        if !matches!(&decoded, Ok(Some(incoming)) if !matches!(incoming, Incoming::Close(_))) {
            return decoded;
        }
        if self.bucket.take(Instant::now()).is_ok() {
            return decoded;
        }
        let (per_second, burst) = (self.rate.per_second(), self.rate.burst());
        Err(Violation {
            code: CloseCode::POLICY_VIOLATION.as_u16(),
            reason: format!("more than {per_second} messages a second, {burst} at once"),
        })
    }

    /// Reading rests because a hook is behind. What the peer sends meanwhile is found later, in one piece, and is not its fault.
    pub(super) fn rest(&mut self) {
        self.bucket.rest(Instant::now());
    }

    /// There is nothing left to read.
    pub(super) fn caught_up(&mut self) {
        self.bucket.caught_up();
    }
}
