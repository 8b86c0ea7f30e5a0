//! epoll: which sockets have something to read.

use std::io;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::fd::AsFd;
use rustix::fd::OwnedFd;

/// Readiness to read, told once for each time that bytes come.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
        })
    }

    pub(crate) fn add(&self, source: impl AsFd, token: usize) -> io::Result<()> {
        let token = epoll::EventData::new_u64(token as u64);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, source, token, flags)?)
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
