//! [`Extensions`]: the extensions of RFC 6455 that both ends agreed on in the handshake.

#[cfg(feature = "deflate")]
use crate::websocket::deflate::WindowBits;

/// The extensions of one connection; none by default. Without the features it has no size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// permessage-deflate was agreed on: the window that this end compresses with.
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<WindowBits>,
}

impl Extensions {
    /// Whether messages on this connection may be compressed.
    pub(crate) const fn may_compress(self) -> bool {
        #[cfg(feature = "deflate")]
        let may_compress = self.deflate.is_some();
        #[cfg(not(feature = "deflate"))]
        let may_compress = false;
        may_compress
    }
}
