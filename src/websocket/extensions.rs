//! [`Extensions`]: what both ends agreed on in the handshake beyond RFC 6455.

#[cfg(feature = "deflate")]
use crate::websocket::deflate::WindowBits;

/// The extensions of one connection; none by default. Without the features it has no size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// permessage-deflate was agreed on: the window that this end compresses with.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<WindowBits>,
}
