//! The programs that are measured, and a running one.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::machine;
use crate::machine::Cores;
use crate::rows::Route;

pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The runtime, less its number of workers.
    pub(crate) flavour: &'static str,
    path: PathBuf,
    /// What it writes to its standard error.
    log: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Hub,
    Axum,
    Other,
}

impl Program {
    /// Builds all of them as they are published: the release profile.
    pub(crate) fn build_all() -> Result<Vec<Self>, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // This program is TARGET/release/deps/end_to_end-….
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = own.ancestors().nth(3).unwrap_or(root).to_owned();
        let peers = target.join("peers");
        cargo_build(&root.join("Cargo.toml"), &target, &["--example", "hub"])?;
        cargo_build(&root.join("benches/peers/Cargo.toml"), &peers, &["--bins"])?;
        let program = |name, kind, flavour, path: PathBuf| Self {
            name,
            kind,
            flavour,
            log: path.with_extension("log"),
            path,
        };
        let peer = |file: &str| peers.join("release").join(file);
        let tokio = "tokio, multi_thread";
        Ok(vec![
            program("floor", Kind::Floor, "none", peer("floor")),
            program(
                "hub",
                Kind::Hub,
                "tokio, multi_thread, event_interval 1024",
                target.join("release/examples/hub"),
            ),
            program("axum, tuned", Kind::Axum, tokio, peer("axum_hub")),
            program(
                "tokio-tungstenite",
                Kind::Other,
                tokio,
                peer("tungstenite_hub"),
            ),
            program(
                "fastwebsockets",
                Kind::Other,
                tokio,
                peer("fastwebsockets_hub"),
            ),
        ])
    }

    pub(crate) const fn is_for_sizes(&self) -> bool {
        matches!(self.kind, Kind::Floor | Kind::Hub)
    }

    /// The path of a socket in this group.
    pub(crate) fn route(&self, route: Route, group: usize) -> String {
        match (self.kind, route) {
            (_, Route::Echo) => "/echo".to_owned(),
            (Kind::Hub, Route::Events) => format!("/events/g{group}/"),
            (Kind::Hub, Route::Relay) => format!("/relay/g{group}/"),
            (_, Route::Group | Route::Events | Route::Relay) => format!("/group/g{group}/"),
        }
    }

    /// Starts it on its core and waits until it listens.
    pub(crate) fn start(&self, cores: &Cores) -> io::Result<Server> {
        let address = free_address()?;
        let log = fs::File::create(&self.log)?;
        machine::pin(cores.server)?;
        let child = Command::new(&self.path)
            .args(["--listen", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        machine::pin(cores.load)?;
        let child = child.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot start {}: {error}", self.path.display()),
            )
        })?;
        let server = Server { child, address };
        let patience = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            if Instant::now() > patience {
                return Err(io::Error::other(format!(
                    "the server does not listen, see {}",
                    self.log.display()
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }
}

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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

    fn cpu(&self) -> io::Result<u64> {
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
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let kilobytes = kilobytes.ok_or_else(|| io::Error::other("no Rss in smaps_rollup"))?;
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

fn cargo_build(manifest: &Path, target: &Path, more: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .args(more)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build of {}: {status}", manifest.display())),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
