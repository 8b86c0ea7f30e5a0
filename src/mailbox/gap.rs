//! [`Gap`]: a group may have missed something, which a member is to be told.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::OwnedSemaphorePermit;

use crate::name::GroupName;

use super::encoded::Encoded;
use super::mailbox::{Mailbox, wake};
use super::state::Door;

/// Word for one member, on its way to the `gap` hook.
#[derive(Debug)]
pub(crate) struct Gap {
    pub(crate) group: GroupName,
    /// Limits how many hooks run at once on this node; given back when this is dropped, after the
    /// hook.
    pub(crate) turn: Option<Arc<Turn>>,
}

/// The right to run a hook, until it is given back or taken away.
#[derive(Debug)]
pub(crate) struct Turn(Mutex<Option<OwnedSemaphorePermit>>);

impl Turn {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(permit))))
    }

    /// Takes it away from a hook that does not end: it runs on, and another may begin.
    pub(crate) fn revoke(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Mailbox {
    /// Tells the member, before the events that wait. It needs no room: there is one for each group
    /// at the most, and a second one would tell it nothing new.
    pub(crate) fn deliver_gap(self: &Arc<Self>, mut gap: Gap) {
        let mut state = self.lock();
        if state.door == Door::Shut {
            // No hook will run: this is a channel, which may be looked at whenever it likes.
            gap.turn = None;
        }
        if !state.takes_events {
            return;
        }
        let gaps = &mut state.events.get_or_insert_default().gaps;
        if gaps.iter().any(|known| known.group == gap.group) {
            return;
        }
        gaps.push(gap);
        wake(state);
    }

    /// For a channel without a socket: its next event, or the group that may have missed something.
    pub(crate) fn poll_event(&self, cx: &Context<'_>) -> Poll<Result<Encoded, GroupName>> {
        let mut state = self.lock();
        if let Some(gap) = state.pop_gap() {
            return Poll::Ready(Err(gap.group));
        }
        if let Some(event) = state.pop_event() {
            return Poll::Ready(Ok(event));
        }
        state.register(cx.waker());
        Poll::Pending
    }
}
