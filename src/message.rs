//! [`Message`]: a whole message from or to a socket.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// A whole message, text or binary. Fragments and control frames never reach a consumer.
///
/// ```
/// use strait::Message;
///
/// let message = Message::from_json(&["shipped", "delivered"])?;
/// assert_eq!(message.as_text(), Some(r#"["shipped","delivered"]"#));
/// assert_eq!(message.json::<Vec<String>>()?.len(), 2);
/// # Ok::<(), strait::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "RFC 6455 knows these two, and a match on them should be complete"
)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

impl Message {
    /// A text message that holds the value as JSON.
    ///
    /// # Errors
    ///
    /// When the value does not encode as JSON (a map whose keys are not strings, a failing
    /// `Serialize`).
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        serde_json::to_string(value)
            .map(Self::Text)
            .map_err(Error::encode)
    }

    /// Decodes the text as JSON.
    ///
    /// # Errors
    ///
    /// When the text does not decode (from a hook it closes with 1007) or the message is binary
    /// (1003).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Self::Text(text) => serde_json::from_str(text)
                .map_err(|source| Error::decode(std::any::type_name::<T>(), source)),
            Self::Binary(_) => Err(Error::message_kind("text", "binary")),
        }
    }

    /// The text, or `None` for a binary message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The payload's bytes, of either kind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The text itself.
    ///
    /// # Errors
    ///
    /// For a binary message; from a hook it closes with 1003.
    pub fn into_text(self) -> Result<String, Error> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Binary(_) => Err(Error::message_kind("text", "binary")),
        }
    }

    /// Whether there is nothing in it. An empty message is a message all the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}
