//! System calls of a process, counted by strace.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};

/// strace attached to a server.
pub(crate) struct Strace {
    child: Child,
    summary: PathBuf,
}

impl Strace {
    /// Attaches it, and returns when the server runs under it.
    pub(crate) fn attach(server: u32) -> io::Result<Self> {
        let summary = std::env::temp_dir().join(format!("end_to_end-{server}.strace"));
        let mut child = Command::new("strace")
            .args(["-f", "-c", "-o"])
            .arg(&summary)
            .args(["-p", &server.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot run strace: {error}")))?;
        if let Some(stderr) = child.stderr.take() {
            let mut line = String::new();
            BufReader::new(stderr).read_line(&mut line)?;
            if !line.contains("attached") {
                return Err(io::Error::other(format!("strace: {}", line.trim())));
            }
        }
        Ok(Self { child, summary })
    }

    /// Detaches it; the number of calls meanwhile.
    pub(crate) fn count(mut self) -> io::Result<u64> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("strace has no process"))?;
        kill_process(id, Signal::INT)?;
        self.child.wait()?;
        let text = fs::read_to_string(&self.summary)?;
        fs::remove_file(&self.summary)?;
        let total = text
            .lines()
            .find(|line| line.trim_end().ends_with(" total"));
        let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
        calls.ok_or_else(|| io::Error::other(format!("strace's summary has no total: {text}")))
    }
}
