//! The answer to a handshake, and the error of a test that waited for something else.

use std::fmt;

use http::{HeaderMap, StatusCode};

use crate::close::CloseCode;

/// A handshake that was accepted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// The subprotocol that the consumer chose.
    pub subprotocol: Option<String>,
    /// The headers of the 101.
    pub headers: HeaderMap,
}

/// A handshake that was refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rejected {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}: {:?}", self.status, self.body)
    }
}

impl std::error::Error for Rejected {}

/// Something else happened than a test waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unexpected {
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Nothing(std::time::Duration),
    /// A message came.
    #[error("unexpected message: {0:?}")]
    Message(crate::message::Message),
    /// The connection was closed with this code and reason.
    #[error("closed with {0}: {1:?}")]
    Closed(CloseCode, String),
    /// The stream ended without a close frame.
    #[error("the connection was lost without a close frame")]
    Lost,
    /// `connect` was not called, or refused.
    #[error("not connected")]
    NotConnected,
    /// The server's bytes or JSON, or what the test wanted to send, were not what they should be.
    #[error("{0}")]
    Malformed(String),
}
