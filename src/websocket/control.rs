//! The payload of a control frame: at most 125 bytes, on the heap only when unusually long.

use std::fmt;
use std::ops::Deref;

/// The bytes of a ping, pong or close frame.
///
/// Browsers and libraries send 0 to 16 bytes, which are kept in place; longer ones are boxed, so
/// that an [`Incoming`](crate::websocket::Incoming) need not carry 125 bytes around.
#[derive(Clone)]
pub(crate) struct ControlPayload(Kept);

#[derive(Clone)]
enum Kept {
    Inline { len: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl ControlPayload {
    /// The most a control frame may carry (RFC 6455, 5.5).
    pub(crate) const MAX: usize = 125;

    /// Copies `payload`, of which bytes beyond [`Self::MAX`] are left out.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let payload = &payload[..payload.len().min(Self::MAX)];
        if payload.len() > INLINE {
            return Self(Kept::Boxed(payload.into()));
        }
        let mut bytes = [0; INLINE];
        bytes[..payload.len()].copy_from_slice(payload);
        let len = payload.len() as u8;
        Self(Kept::Inline { len, bytes })
    }
}

impl Deref for ControlPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Kept::Boxed(bytes) => bytes,
        }
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for ControlPayload {}

impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlPayload({:02x?})", &**self)
    }
}

/// As many as fit beside the length without making the type larger than a `Bytes`.
const INLINE: usize = 30;
