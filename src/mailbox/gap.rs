//! [`Gap`]: the news for a member that its group may have missed something.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::name::GroupName;

/// The news for one member, on its way to the `gap` hook.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) group: GroupName,
    /// Limits how many `gap` hooks run at once on this node. Dropped after the hook.
    pub(crate) permit: Option<Arc<GapPermit>>,
}

/// The right to run a `gap` hook, until it is dropped or revoked.
#[derive(Debug)]
pub(crate) struct GapPermit(Mutex<Option<OwnedSemaphorePermit>>);

impl GapPermit {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(permit))))
    }

    /// Takes the permit away from a hook that does not end. The hook continues, and another one
    /// may begin.
    pub(crate) fn revoke(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
