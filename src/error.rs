//! The one error type of strait, and the [`Result`] that hooks return.

use std::borrow::Cow;
use std::convert::Infallible;
use std::{fmt, io};

use crate::close::{CloseCode, InvalidCloseCode};

/// Any error: what a hook may return with `?`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a hook: by default nothing or [any error](BoxError).
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// An error of strait's own.
///
/// It is opaque: ask it the `is_` questions. Its text names the offender (the group, the route, the
/// parameter, the limit) and says what to do about it; it is meant for logs and is never sent to a
/// client.
pub struct Error {
    kind: Box<Kind>,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("{what} is full: {limit}")]
    Full { what: String, limit: String },
    #[error("the channel layer is unavailable: {}", chain(&**reason))]
    Unavailable { reason: BoxError },
    #[error(
        "group {group:?} may have missed something: more came than could be delivered, or the backend was away"
    )]
    Gap { group: String },
    #[error("malformed data from the backend: {why}")]
    Envelope { why: String },
    #[error("{what}")]
    Misconfigured { what: String },
    #[error("a message of {bytes} bytes, as the backend carries it, is too large: {limit}")]
    TooLarge { bytes: usize, limit: String },
    #[error("invalid {what} {name:?}: {why}")]
    Name {
        what: &'static str,
        name: String,
        why: String,
    },
    #[error("route {route:?} declares no parameter {name:?}; {declared}")]
    UndeclaredParameter {
        route: String,
        name: String,
        declared: String,
    },
    #[error("parameter {name:?} of route {route:?} does not fit {wanted}: {value:?}")]
    Parameter {
        route: String,
        name: String,
        value: String,
        wanted: &'static str,
    },
    #[error(
        "parameter {name:?} of route {route:?} took no part in the match: ask for it with Scope::optional_param"
    )]
    AbsentParameter { route: String, name: String },
    #[error("the message does not decode into {wanted}")]
    Decode {
        wanted: &'static str,
        source: serde_json::Error,
    },
    #[error("expected a {expected} message, got a {got} one")]
    NotAccepted {
        expected: &'static str,
        got: &'static str,
    },
    #[cfg(feature = "redis")]
    #[error("event {what}: {why}")]
    Refused { what: String, why: String },
    #[error("the value does not encode as JSON")]
    Encode { source: serde_json::Error },
    #[error("an event must be a JSON object with one \"type\", a string, got {got}")]
    Untyped { got: String },
    #[error(transparent)]
    CloseCode(InvalidCloseCode),
    #[error("close {code}: {reason}")]
    Close { code: CloseCode, reason: String },
    #[error("this connection is in {limit} groups, its limit: group_add({group:?}) refused")]
    TooManyGroups { group: String, limit: usize },
    #[error("{what}")]
    Handshake { what: String },
    #[error("{what}")]
    Route { what: String },
    #[error("cannot {what}")]
    Io { what: String, source: io::Error },
}

impl Error {
    /// An error that closes the connection with this code and reason when a hook returns it.
    ///
    /// A code that may not be sent makes an error about that, which closes with 1011. The reason is
    /// sent to the client; at most 123 bytes of it fit.
    pub fn close<C>(code: C, reason: impl Into<String>) -> Self
    where
        C: TryInto<CloseCode>,
        C::Error: Into<Self>,
    {
        match code.try_into() {
            Ok(code) => Self::new(Kind::Close {
                code,
                reason: reason.into(),
            }),
            Err(error) => error.into(),
        }
    }

    /// An error for a backend to return: the other side cannot be reached, and why: a text, or the
    /// error of the client library. Asked by [`is_unavailable`](Self::is_unavailable).
    pub fn unavailable(reason: impl Into<BoxError>) -> Self {
        Self::new(Kind::Unavailable {
            reason: reason.into(),
        })
    }

    /// Why it is [unavailable](Self::unavailable), without saying that it is; of any other error,
    /// its text.
    #[cfg(any(feature = "redis", feature = "nats"))]
    pub(crate) fn reason(&self) -> String {
        match &*self.kind {
            Kind::Unavailable { reason } => chain(&**reason),
            _ => self.to_string(),
        }
    }

    /// An error for a backend to return when it starts: an address that makes no sense, a refused
    /// login, a server that cannot do what is needed; also when it refuses a group. One sentence
    /// that names the offender and says what to do, and no password. Asked by
    /// [`is_misconfigured`](Self::is_misconfigured).
    pub fn misconfigured(what: impl Into<String>) -> Self {
        Self::new(Kind::Misconfigured { what: what.into() })
    }

    /// An error for a backend to return: it cannot carry a message of this size, and what its limit
    /// is called. Asked by [`is_too_large`](Self::is_too_large).
    pub fn too_large(bytes: usize, limit: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge {
            bytes,
            limit: limit.into(),
        })
    }

    /// A message was larger than the backend can carry. Nothing of it was published.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(*self.kind, Kind::TooLarge { .. })
    }

    /// A backend cannot work as it is configured, or its server refuses a group: trying again does
    /// not help before somebody changes that.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        matches!(*self.kind, Kind::Misconfigured { .. })
    }

    /// A group that the [`Channel`](crate::layer::Channel) is in may have missed something. The
    /// events after it are complete again.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        matches!(*self.kind, Kind::Gap { .. })
    }

    /// A queue had no room: a channel's events, or a socket's outgoing frames during `connect`.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(*self.kind, Kind::Full { .. })
    }

    /// The channel layer's backend cannot be reached now. A reply that was lost counts too: the
    /// message may have been delivered.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(*self.kind, Kind::Unavailable { .. })
    }

    /// A group or channel name with forbidden characters, or a name or [key](crate::layer::Key)
    /// that is empty or too long.
    #[must_use]
    pub fn is_invalid_name(&self) -> bool {
        matches!(*self.kind, Kind::Name { .. })
    }

    /// A route's parameter did not parse into the wanted type, or took no part in the match: the
    /// client's path is at fault, and before acceptance it becomes 404.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        matches!(
            *self.kind,
            Kind::Parameter { .. } | Kind::AbsentParameter { .. }
        )
    }

    /// A route was asked for a parameter that it does not declare: a mistake of the program, 500.
    #[must_use]
    pub fn is_undeclared_parameter(&self) -> bool {
        matches!(*self.kind, Kind::UndeclaredParameter { .. })
    }

    /// A message from the client did not decode into the wanted type (closes with 1007), or was of
    /// the wrong kind (1003).
    #[must_use]
    pub fn is_bad_message(&self) -> bool {
        matches!(*self.kind, Kind::Decode { .. } | Kind::NotAccepted { .. })
    }

    /// A route pattern, or the table made of them, cannot be built.
    #[must_use]
    pub fn is_route(&self) -> bool {
        matches!(*self.kind, Kind::Route { .. })
    }

    /// The backend does not carry this event: its type would end a consumer of Django's, or a value
    /// of it has no form there.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(*self.kind, Kind::Refused { .. })
    }

    /// The connection is in as many groups as it may be.
    #[must_use]
    pub fn is_too_many_groups(&self) -> bool {
        matches!(*self.kind, Kind::TooManyGroups { .. })
    }

    /// The close code and reason that this error ends a connection with.
    pub(crate) fn close_frame(&self) -> (CloseCode, &str) {
        match &*self.kind {
            Kind::Close { code, reason } => (*code, reason),
            Kind::Decode { .. } => (CloseCode::INVALID_PAYLOAD, "invalid message"),
            Kind::NotAccepted { .. } => {
                (CloseCode::UNSUPPORTED_DATA, "unsupported kind of message")
            }
            Kind::Unavailable { .. } => (CloseCode::TRY_AGAIN_LATER, "try again later"),
            _ => (CloseCode::INTERNAL_ERROR, ""),
        }
    }

    /// A wanted end, made by [`Error::close`]: an [`error`](crate::Consumer::error) hook that keeps
    /// the connection whatever fails returns such a one all the same.
    #[must_use]
    pub fn is_close(&self) -> bool {
        matches!(*self.kind, Kind::Close { .. })
    }

    fn new(kind: Kind) -> Self {
        Self {
            kind: Box::new(kind),
        }
    }

    pub(crate) fn full(what: impl Into<String>, limit: impl Into<String>) -> Self {
        Self::new(Kind::Full {
            what: what.into(),
            limit: limit.into(),
        })
    }

    pub(crate) fn envelope(why: impl Into<String>) -> Self {
        Self::new(Kind::Envelope { why: why.into() })
    }

    pub(crate) fn gap(group: &str) -> Self {
        Self::new(Kind::Gap {
            group: group.into(),
        })
    }

    pub(crate) fn invalid_name(what: &'static str, name: &str, why: impl Into<String>) -> Self {
        Self::new(Kind::Name {
            what,
            name: cut(name, LONGEST_NAME).into_owned(),
            why: why.into(),
        })
    }

    pub(crate) fn undeclared_parameter(route: &str, name: &str, declared: &[&str]) -> Self {
        let declared = match declared {
            [] => "it has no parameters".to_owned(),
            names => format!("it declares {}", names.join(", ")),
        };
        Self::new(Kind::UndeclaredParameter {
            route: route.into(),
            name: name.into(),
            declared,
        })
    }

    pub(crate) fn parameter(route: &str, name: &str, value: &str, wanted: &'static str) -> Self {
        Self::new(Kind::Parameter {
            route: route.into(),
            name: name.into(),
            value: cut(value, LONGEST_NAME).into_owned(),
            wanted,
        })
    }

    pub(crate) fn absent_parameter(route: &str, name: &str) -> Self {
        Self::new(Kind::AbsentParameter {
            route: route.into(),
            name: name.into(),
        })
    }

    pub(crate) fn decode(wanted: &'static str, source: serde_json::Error) -> Self {
        Self::new(Kind::Decode { wanted, source })
    }

    pub(crate) fn message_kind(expected: &'static str, got: &'static str) -> Self {
        Self::new(Kind::NotAccepted { expected, got })
    }

    pub(crate) fn encode(source: serde_json::Error) -> Self {
        Self::new(Kind::Encode { source })
    }

    pub(crate) fn untyped(got: impl Into<String>) -> Self {
        Self::new(Kind::Untyped { got: got.into() })
    }

    /// A type that would end Django's consumers.
    #[cfg(feature = "redis")]
    pub(crate) fn refused_type(kind: &str, why: impl Into<String>) -> Self {
        Self::new(Kind::Refused {
            what: format!(
                "type {:?} may not be published beside Django",
                cut(kind, LONGEST_NAME)
            ),
            why: why.into(),
        })
    }

    /// An event that has no form on the wire.
    #[cfg(feature = "redis")]
    pub(crate) fn not_carried(why: impl Into<String>) -> Self {
        Self::new(Kind::Refused {
            what: "cannot be carried".to_owned(),
            why: why.into(),
        })
    }

    pub(crate) fn too_many_groups(group: &str, limit: usize) -> Self {
        Self::new(Kind::TooManyGroups {
            group: group.into(),
            limit,
        })
    }

    pub(crate) fn handshake(what: impl Into<String>) -> Self {
        Self::new(Kind::Handshake { what: what.into() })
    }

    pub(crate) fn route(what: impl fmt::Display) -> Self {
        Self::new(Kind::Route {
            what: what.to_string(),
        })
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::new(Kind::Io {
            what: what.into(),
            source,
        })
    }
}

/// The sentence; with `{:#}` its causes behind it, on the same line.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(&chain(self));
        }
        self.kind.fmt(f)
    }
}

/// The sentence and its causes, as a `main` that returns the error prints it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

impl From<InvalidCloseCode> for Error {
    fn from(error: InvalidCloseCode) -> Self {
        Self::new(Kind::CloseCode(error))
    }
}

/// Lets a ready-made name or code stand where one could be refused.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// An error with its causes on one line, for a log. It may quote the client's text, so its length
/// is bounded.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    cut(&text, LONGEST_TEXT).into_owned()
}

/// The beginning of a text of a client's, for a log.
pub(crate) fn excerpt(text: &str) -> Cow<'_, str> {
    cut(text, LONGEST_EXCERPT)
}

/// The text, or its beginning.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// How much of a name or value is quoted, in characters.
const LONGEST_NAME: usize = 120;
/// How much of a path or header a log gets, in characters.
const LONGEST_EXCERPT: usize = 200;
/// How much of an error a log gets, in characters.
const LONGEST_TEXT: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn text_of_a_client_does_not_fill_the_log() {
        let long = "é".repeat(60_000);
        let name = Error::invalid_name("group name", &long, "it is long");
        let wrong =
            serde_json::from_value::<u8>(long.into()).map_err(|error| Error::decode("u8", error));
        for error in [name, wrong.expect_err("no number")] {
            let text = format!("{error:#}");
            assert!(text.chars().count() < 2_100, "{} bytes", text.len());
        }
    }
}
