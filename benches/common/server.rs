//! A running server: its start, its end, and what `/proc` says of it in between.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::machine;
use super::machine::Cores;

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on its core, with `--listen ADDR` behind the other arguments, and waits until it
    /// listens. Its standard error goes to the log.
    pub(crate) fn start(mut command: Command, log: &Path, cores: &Cores) -> Result<Self, String> {
        let address = free_address().map_err(|error| error.to_string())?;
        command.args(["--listen", &address.to_string()]);
        let child = spawn(&mut command, log, cores).map_err(|error| {
            let program = command.get_program().display();
            format!("cannot start {program}: {error}")
        })?;
        let server = Self { child, address };
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > patience {
                let log = log.display();
                return Err(format!("the server does not listen, see {log}"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or("the server has no process")?;
        kill_process(id, signal).map_err(|error| format!("cannot signal the server: {error}"))
    }

    /// Waits for its end after a signal; how it ended, and what it wrote to its standard output.
    pub(crate) fn wait(mut self) -> Result<(ExitStatus, String), String> {
        let mut output = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            let read = stdout.read_to_string(&mut output);
            read.map_err(|error| error.to_string())?;
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        Ok((status, output))
    }

    /// CPU time so far in nanoseconds, read once the server rests.
    pub(crate) fn cpu_at_rest(&self) -> io::Result<u64> {
        let mut before = self.cpu()?;
        let patience = Instant::now() + Duration::from_secs(5);
        while Instant::now() < patience {
            thread::sleep(Duration::from_millis(20));
            let now = self.cpu()?;
            if now == before {
                return Ok(now);
            }
            before = now;
        }
        Err(io::Error::other("the server does not come to rest"))
    }

    /// CPU time so far in nanoseconds.
    pub(crate) fn cpu(&self) -> io::Result<u64> {
        self.threads()?
            .iter()
            .map(|thread| {
                let text = fs::read_to_string(thread.join("schedstat"))?;
                let first = text.split(' ').next().unwrap_or_default();
                first.parse::<u64>().map_err(io::Error::other)
            })
            .sum()
    }

    pub(crate) fn resident(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        let kilobytes = kilobytes(&text, "Rss:");
        let kilobytes = kilobytes.ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))?;
        Ok(kilobytes * 1024)
    }

    /// The most that was resident so far.
    pub(crate) fn peak(&self) -> Result<u64, String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.map_err(|error| error.to_string())?;
        let kilobytes = kilobytes(&status, "VmHWM:").ok_or("no VmHWM in status")?;
        Ok(kilobytes * 1024)
    }

    /// Threads of the runtime.
    pub(crate) fn workers(&self) -> io::Result<usize> {
        let names = self.threads()?.into_iter();
        let names = names.map(|thread| fs::read_to_string(thread.join("comm")));
        let names: Vec<_> = names.collect::<io::Result<_>>()?;
        Ok(names
            .iter()
            .filter(|name| name.starts_with("tokio-"))
            .count())
    }

    fn threads(&self) -> io::Result<Vec<PathBuf>> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id()))?;
        threads.map(|thread| Ok(thread?.path())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, log: &Path, cores: &Cores) -> io::Result<Child> {
    command
        .stdout(Stdio::piped())
        .stderr(fs::File::create(log)?);
    machine::pin(cores.server)?;
    let child = command.spawn();
    machine::pin(cores.load)?;
    child
}

/// The number beside a name, where `/proc` has one a line.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
