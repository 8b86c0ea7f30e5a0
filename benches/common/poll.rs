//! epoll: which sockets have something to read.

use std::io;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};

/// Readiness, told once for each time that bytes come.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

/// The readiness that a socket waits for.
#[derive(Clone, Copy)]
pub(crate) struct Interest {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
        })
    }

    /// Tells when there is something to read.
    pub(crate) fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, data(token), readable())?)
    }

    /// Reports the socket as long as it has something to read or room to write, whichever it waits
    /// for.
    pub(crate) fn add_level(
        &self,
        source: impl AsFd,
        token: usize,
        Interest { reads, writes }: Interest,
    ) -> io::Result<()> {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, reads);
        flags.set(epoll::EventFlags::OUT, writes);
        Ok(epoll::add(&self.epoll, source, data(token), flags)?)
    }

    /// Tells when the socket is connected.
    pub(crate) fn add_connecting(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, source, data(token), flags)?)
    }

    /// From now on tells when there is something to read, and if there is already.
    pub(crate) fn is_connected(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, data(token), readable())?)
    }

    /// The tokens that are ready; none after this time.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<Vec<usize>, String> {
        let time = Timespec {
            tv_sec: time.as_secs().cast_signed(),
            tv_nsec: time.subsec_nanos().into(),
        };
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&time))
            .map_err(|error| format!("epoll: {error}"))?;
        let events = self.events.drain(..);
        Ok(events.map(|event| event.data.u64() as usize).collect())
    }
}

fn data(token: usize) -> epoll::EventData {
    epoll::EventData::new_u64(token as u64)
}

fn readable() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::ET
}
