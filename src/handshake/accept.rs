//! [`Accept`]: the answer that opens a connection.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::error::Error;
use crate::scope::Scope;

/// The answer of `connect` that lets a client in, optionally with a subprotocol and response
/// headers.
///
/// ```
/// use strait::Accept;
///
/// let accept = Accept::new().subprotocol("chat.v2").header("x-room", "lobby");
/// ```
#[derive(Debug, Default)]
#[must_use]
pub struct Accept {
    subprotocol: Option<String>,
    headers: HeaderMap,
    /// The first mistake in the builder's calls; it turns the answer into a refusal with 500.
    mistake: Option<Error>,
}

impl Accept {
    /// Accepts with no subprotocol and no headers of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol. It must be one that the client offered ([`Scope::subprotocols`]);
    /// anything else refuses the connection with 500 and an error in the log, since a client must
    /// fail such a handshake (RFC 6455, section 4.1).
    ///
    /// A browser that offered some fails the handshake as well where none is chosen.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the 101 response. One that cannot stand there (`Connection`, `Upgrade`,
    /// `Sec-WebSocket-*`, a bad name or value) refuses the connection with 500 and an error in the
    /// log.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: std::fmt::Display>,
        V: TryInto<HeaderValue, Error: std::fmt::Display>,
    {
        match parse_header(name, value) {
            Ok((name, _)) if is_reserved(&name) => {
                let what = format!("Accept::header: {name} is the handshake's own, leave it out");
                self.mistake.get_or_insert_with(|| Error::handshake(what));
            }
            Ok((name, value)) => {
                self.headers.append(name, value);
            }
            Err(what) => {
                let what = format!("Accept::header: {what}");
                self.mistake.get_or_insert_with(|| Error::handshake(what));
            }
        }
        self
    }

    /// The headers that go into the 101, checked against what the client offered.
    pub(crate) fn into_headers(self, scope: &Scope) -> Result<HeaderMap, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let mut headers = self.headers;
        let Some(chosen) = self.subprotocol else {
            return Ok(headers);
        };
        if !scope.subprotocols().any(|offered| offered == chosen) {
            // Their values are not shown: pages send tokens this way, since they cannot set
            // headers.
            let offered = scope.subprotocols().count();
            return Err(Error::handshake(format!(
                "subprotocol {chosen:?} was not among the {offered} that the client offered"
            )));
        }
        let value = HeaderValue::try_from(chosen)
            .map_err(|_| Error::handshake("the subprotocol is not a header value"))?;
        headers.insert(http::header::SEC_WEBSOCKET_PROTOCOL, value);
        Ok(headers)
    }
}

/// A header from whatever the caller had, or a sentence about what is wrong with it.
pub(super) fn parse_header<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), String>
where
    N: TryInto<HeaderName, Error: std::fmt::Display>,
    V: TryInto<HeaderValue, Error: std::fmt::Display>,
{
    let name = name.try_into().map_err(|error| error.to_string())?;
    match value.try_into() {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Whether it says how a body is sent, which the server knows better.
pub(super) fn is_framing(name: &HeaderName) -> bool {
    name == http::header::CONTENT_LENGTH || name == http::header::TRANSFER_ENCODING
}

fn is_reserved(name: &HeaderName) -> bool {
    name == http::header::CONNECTION
        || name == http::header::UPGRADE
        || is_framing(name)
        || name.as_str().starts_with("sec-websocket-")
}
