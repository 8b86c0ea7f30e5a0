//! [`Channel`]: a named queue of events without a socket.

use std::future::poll_fn;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::mailbox::{Arrival, Close, Mailbox};
use crate::name::ChannelName;

use super::channel_layer::ChannelLayer;

/// A channel of one's own: others send to its name, this end receives. (Channels' `new_channel` and
/// `receive`.)
///
/// Made by [`ChannelLayer::new_channel`]. It can be a member of groups like a consumer; ready
/// messages ([`group_broadcast`](ChannelLayer::group_broadcast)), which are for sockets, do not
/// reach it.
///
/// # Overflow
///
/// At most 1,024 events or 1 MiB wait, whichever is reached first. A direct send to a full channel
/// fails with [`Error::is_full`]; an event of a group is dropped and [counted](Channel::dropped).
///
/// # Closing
///
/// Dropping it leaves its groups and forgets its name; events sent to the name afterwards reach
/// nobody.
#[derive(Debug)]
pub struct Channel {
    layer: ChannelLayer,
    mailbox: Arc<Mailbox>,
    name: ChannelName,
    groups: Vec<Arc<super::group::Group>>,
}

impl Channel {
    pub(super) fn new(layer: ChannelLayer, mailbox: Arc<Mailbox>, name: ChannelName) -> Self {
        Self {
            layer,
            mailbox,
            name,
            groups: Vec::new(),
        }
    }

    /// The name to send to.
    #[must_use]
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The next event, decoded.
    ///
    /// # Errors
    ///
    /// When the event does not decode into `E`; it is gone then, and the next call takes the next
    /// one. [`Error::is_gap`] if a group that this channel is in may have missed something, once
    /// for each such group.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has taken nothing.
    pub async fn recv<E: DeserializeOwned>(&mut self) -> Result<E, Error> {
        let event = match poll_fn(|cx| self.mailbox.poll_receive(cx)).await {
            Arrival::Event(event) => event,
            Arrival::Gap(gap) => return Err(Error::gap(gap.group.as_str())),
            Arrival::Close(request) => return Err(Error::close(request.code, request.reason)),
        };
        serde_json::from_slice(event.payload())
            .map_err(|source| Error::decode(std::any::type_name::<E>(), source))
    }

    /// Joins a group: its events arrive here, from those published after this returned on.
    ///
    /// # Errors
    ///
    /// For a bad name, and [`Error::is_unavailable`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it may be a member or not;
    /// [`group_discard`](Self::group_discard) settles it.
    pub async fn group_add<N>(&mut self, group: N) -> Result<(), Error>
    where
        N: TryInto<crate::name::GroupName>,
        N::Error: Into<Error>,
    {
        let name = group.try_into().map_err(Into::into)?;
        let group = self.layer.join(name, self.mailbox.clone(), false);
        if !self.groups.iter().any(|known| Arc::ptr_eq(known, &group)) {
            self.groups.push(group.clone());
        }
        let subscribed = self.layer.subscribe(&group).await;
        if subscribed.is_err() {
            self.leave(group.name());
        }
        subscribed
    }

    /// Leaves a group. Leaving one that it is not in does nothing.
    ///
    /// # Errors
    ///
    /// For a bad name.
    pub fn group_discard<N>(&mut self, group: N) -> Result<(), Error>
    where
        N: TryInto<crate::name::GroupName>,
        N::Error: Into<Error>,
    {
        self.leave(&group.try_into().map_err(Into::into)?);
        Ok(())
    }

    /// How many events of groups were dropped for lack of room since the last call.
    pub fn dropped(&mut self) -> u32 {
        self.mailbox.take_dropped()
    }

    fn leave(&mut self, name: &crate::name::GroupName) {
        if let Some(place) = self.groups.iter().position(|group| group.name() == name) {
            let group = self.groups.swap_remove(place);
            self.layer.leave(&group, self.mailbox.id());
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        for group in self.groups.drain(..) {
            self.layer.leave(&group, self.mailbox.id());
        }
        self.layer.unregister(&self.mailbox);
        self.mailbox.close(Close::Abort);
    }
}
