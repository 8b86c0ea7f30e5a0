//! [`WindowBits`]: how far back a compressor may refer, as a power of two.

use std::num::NonZeroU8;

/// 9 to 15, for windows of 512 bytes to 32 KiB; an `Option` of it is one byte.
///
/// RFC 7692 knows 8 as well, which zlib cannot compress with when there is no header around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WindowBits(NonZeroU8);

impl WindowBits {
    /// The window if none is named.
    pub(crate) const MAX: Self = Self(NonZeroU8::new(15).unwrap());

    /// `None` for a window that cannot be compressed with.
    pub(crate) const fn new(bits: u8) -> Option<Self> {
        match NonZeroU8::new(bits) {
            Some(bits) if 9 <= bits.get() && bits.get() <= 15 => Some(Self(bits)),
            _ => None,
        }
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0.get()
    }
}
