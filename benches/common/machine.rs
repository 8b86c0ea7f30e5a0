//! The cores that server and load are pinned to, the limit of descriptors, and what a table should
//! say of both.

use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};

/// One core for the server, one for the load.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

impl Cores {
    pub(crate) fn choose() -> Result<Self, String> {
        let allowed = sched_getaffinity(None)
            .map_err(|error| format!("cannot read which cores are ours: {error}"))?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (first, last) = (cores.next(), cores.next_back());
        let (Some(server), Some(load)) = (first, last) else {
            return Err("two cores are needed, one for the server and one for the load".to_owned());
        };
        Ok(Self { server, load })
    }

    /// Under what conditions the numbers came about.
    pub(crate) fn conditions(&self) -> io::Result<String> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(format!(
            "Linux {}, server on core {}, load on core {}; load average at the end {}",
            kernel.trim(),
            self.server,
            self.load,
            load.split(' ').next().unwrap_or_default(),
        ))
    }
}

/// Pins this thread, and with it the processes it starts from now on.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Makes this thread, and those that it starts from now on, run only while no other wants its core.
/// A low priority would not do: the scheduler lets it finish its slice of some milliseconds.
pub(crate) fn be_idle() -> io::Result<()> {
    let thread = gettid().as_raw_nonzero().to_string();
    let status = Command::new("chrt")
        .args(["--idle", "--pid", "0", &thread])
        .status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("chrt: {status}")))
}

/// Returns how long this thread has been ready to run while its core was taken.
pub(crate) fn waited_for_core() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let second = text.split_whitespace().nth(1).unwrap_or_default();
    let nanoseconds = second.parse().map_err(io::Error::other)?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Raises the limit as far as it goes, here and for the servers, and returns it.
pub(crate) fn raise_descriptors() -> io::Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(limit.maximum.map_or(usize::MAX, |limit| limit as usize))
}
