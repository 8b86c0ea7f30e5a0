//! [`Parcel`]: a message of a group on its way to the members here.

use std::cell::OnceCell;
use std::sync::Arc;

use super::budget::Budget;
use super::encoded::Encoded;
use super::tag::Tag;

/// What each member is handed, made once for all.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) encoded: Encoded,
    /// Where a value with the same tag still waits, this takes its place.
    pub(crate) latest: Option<Tag>,
    /// Made for the first queue that lags.
    counted: OnceCell<Encoded>,
}

impl Parcel {
    pub(crate) fn new(encoded: Encoded, latest: Option<Tag>) -> Self {
        Self {
            encoded,
            latest,
            counted: OnceCell::new(),
        }
    }

    /// What waits: in queues that lag it is counted once for all.
    pub(super) fn waiting(&self, lags: bool, budget: &Arc<Budget>) -> Encoded {
        if lags {
            let counted = || self.encoded.counted(budget);
            self.counted.get_or_init(counted).clone()
        } else {
            self.encoded.clone()
        }
    }
}
