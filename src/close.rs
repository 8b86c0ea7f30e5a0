//! Why and how a connection ends: close codes, and the [`Closed`] that `disconnect` receives.

use std::fmt;

/// A status code that may stand in a close frame (RFC 6455, section 7.4).
///
/// The registered codes a server has use for are constants here. Codes of an application's own live
/// between 4000 and 4999: 4000–4499 mean "come back", 4500–4999 "do not", and 4000–4019 and
/// 4500–4519 are strait's. When each code is sent is listed in [the
/// book](crate::docs::close_codes).
///
/// ```
/// use strait::close::CloseCode;
///
/// assert_eq!(CloseCode::try_from(4100).unwrap().as_u16(), 4100);
/// assert!(CloseCode::try_from(1005).is_err()); // reserved: never sent
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the endpoint goes away; a browser sends it when the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not accepted here (binary where text was expected).
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data that does not fit its type (bad UTF-8, JSON that does not decode).
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy was violated.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message over the limit.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts; the client may come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: overloaded; the client may come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 4008: the peer reads too slowly for what is sent to it; it may come back.
    pub const SLOW_READER: Self = Self(4008);

    /// 1005: the peer's close frame had no code. Received only, never sent.
    pub(crate) const NO_STATUS: Self = Self(1005);
    /// 1006: the connection was lost without a close frame. Never on the wire.
    pub(crate) const ABNORMAL: Self = Self(1006);
    /// 4009: no pong within its deadline. Never on the wire: the peer is thought gone.
    pub(crate) const NO_PONG: Self = Self(4009);

    /// The number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self.0
    }

    /// A code that the codec has already found fit for the wire.
    pub(crate) const fn from_wire(code: u16) -> Self {
        Self(code)
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = InvalidCloseCode;

    /// # Errors
    ///
    /// When the code may not be sent: below 1000, reserved (1004–1006, 1015), unassigned
    /// (1016–2999) or above 4999.
    fn try_from(code: u16) -> Result<Self, InvalidCloseCode> {
        if is_wire_code(code) {
            Ok(Self(code))
        } else {
            Err(InvalidCloseCode(code))
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl PartialEq<u16> for CloseCode {
    fn eq(&self, other: &u16) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that may not be sent as a close code. [`strait::Error`](crate::Error) can be made of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} may not be sent as a close code: use 1000–1003, 1007–1014 or 3000–4999")]
pub struct InvalidCloseCode(u16);

/// The end of a connection, as [`Consumer::disconnect`](crate::Consumer::disconnect) receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    code: CloseCode,
    reason: String,
    cause: Cause,
}

impl Closed {
    pub(crate) fn new(code: CloseCode, reason: impl Into<String>, cause: Cause) -> Self {
        Self {
            code,
            reason: reason.into(),
            cause,
        }
    }

    /// The close code: the peer's if it closed, else the one this side sent.
    ///
    /// 1005 when the peer gave none, 1006 when the connection was lost without a close frame.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason beside the code; empty when none was given.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Why the connection ended: which side, and what made it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// Whether the peer ended it: by a close frame, or by going away without one.
    #[must_use]
    pub fn by_client(&self) -> bool {
        matches!(
            self.cause,
            Cause::Client | Cause::Lost | Cause::AbandonedHandshake
        )
    }
}

/// The kind of end a connection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The peer sent a close frame.
    Client,
    /// The connection broke, or the peer closed it without a close frame (1006).
    Lost,
    /// The consumer closed it with `ctx.close`.
    Server,
    /// A hook returned an error that the `error` hook did not take.
    Error,
    /// A hook panicked.
    Panic,
    /// The peer broke the protocol: 1002, 1007 or 1009.
    Protocol,
    /// The peer sent more than [`Config::inbound_rate`](crate::config::Config::inbound_rate) allows
    /// (1008).
    RateLimit,
    /// No answer to a ping, or no progress in writing, within the deadline.
    TimeOut,
    /// The queue of outgoing frames was full, or the longest when the
    /// [node's budget](crate::ChannelLayer::budget) was used up (4008).
    SlowReader,
    /// The queue of events waiting for the hook was full; or that of events or messages was the
    /// longest when the [node's budget](crate::ChannelLayer::budget) was used up (1013).
    SlowHook,
    /// A hook ran longer than [`Config::hook_limit`](crate::config::Config::hook_limit) and was
    /// dropped (1011).
    HookLimit,
    /// The server is shutting down (1012).
    Drain,
    /// The client left before the handshake's answer reached it.
    AbandonedHandshake,
}

#[cfg(feature = "metrics")]
impl Cause {
    /// As a label: one word, which stays.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Lost => "lost",
            Self::Server => "server",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Protocol => "protocol",
            Self::RateLimit => "rate_limit",
            Self::TimeOut => "time_out",
            Self::HookLimit => "hook_limit",
            Self::SlowReader => "slow_reader",
            Self::SlowHook => "slow_hook",
            Self::Drain => "drain",
            Self::AbandonedHandshake => "abandoned_handshake",
        }
    }
}

/// Whether an endpoint may put `code` into a close frame.
///
/// 1004, 1005, 1006 and 1015 are reserved for what is only said locally; 1016 to 2999 are the
/// protocol's own future and refused until registered; 3000 to 4999 are free for libraries and
/// applications.
pub(crate) const fn is_wire_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
