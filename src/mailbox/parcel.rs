//! [`Parcel`]: a message of a group on its way to the members here.

use super::encoded::Encoded;
use super::tag::Tag;

/// What each member is handed, made once for all.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) encoded: Encoded,
    /// Where a value with the same tag still waits, this takes its place.
    pub(crate) latest: Option<Tag>,
}

impl Parcel {
    pub(crate) fn new(encoded: Encoded, latest: Option<Tag>) -> Self {
        Self { encoded, latest }
    }
}
