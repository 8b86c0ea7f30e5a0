//! [`Process`]: a server that cannot outlive the test, and the temporary [`Folder`] that it works
//! in.
//!
//! The server is the child of a shell that reads a pipe of the test's. When the pipe ends, whether
//! the test dropped it or was killed, the shell kills the server with -9, removes the folder and
//! ends. (`PR_SET_PDEATHSIG` would need unsafe code here, and is about the thread that started the
//! child: one of a pool may end long before the test.)

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use tokio::time::sleep;

#[derive(Debug)]
pub(crate) struct Process {
    /// The shell. The end of its standard input is the end of the server.
    shell: Child,
    pub(crate) id: u32,
    log: PathBuf,
}

impl Process {
    /// Starts the program in the folder, its output at the end of `log` there.
    pub(crate) fn start(program: &str, arguments: &[&str], folder: &Folder) -> Self {
        let log = folder.path().join("log");
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .args([folder.path(), &log])
            .arg(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = shell.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let id = line
            .trim()
            .parse()
            .expect("the shell tells the server's process id");
        Self { shell, id, log }
    }

    /// Kills the server with -9 and keeps its folder. Returns when it is gone.
    pub(crate) fn kill(mut self) {
        let _ = writeln!(self.shell.stdin.take().unwrap(), "keep");
        self.shell.wait().unwrap();
    }

    /// Stops the server (`SIGSTOP`): its connections stay open, and nothing is
    /// answered.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args(["-s", signal, &self.id.to_string()])
            .status();
        assert!(status.unwrap().success(), "kill -s {signal}");
    }

    /// Whether the server says that its port was taken in the meantime.
    pub(crate) fn found_its_port_taken(&self) -> bool {
        self.words().contains("ddress already in use")
    }

    /// The last lines that the server wrote.
    pub(crate) fn words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// An empty folder of its own, removed in the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("strait-{name}-{}-{count}", process::id());
        let path = env::temp_dir().join(name);
        // Of a test that was killed before it had a process of that id.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// No other has the same, in any process that runs.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.0.file_name().unwrap().to_string_lossy()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks until the answer is yes, and returns when the last no was asked for, or the only yes;
/// panics after [`PATIENCE`].
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) -> Instant {
    let started = Instant::now();
    let mut asked = started;
    loop {
        let asks = Instant::now();
        if condition().await {
            return asked;
        }
        asked = asks;
        assert!(
            started.elapsed() < PATIENCE,
            "did not happen within {PATIENCE:?}: {what}"
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// `$1` is the folder, `$2` the log, then the server's command line. Ctrl-C must not end the shell
/// before it has cleaned up.
const SHELL: &str = r#"
folder=$1 log=$2
shift 2
PATH=$PATH:/usr/sbin:/usr/local/sbin
command -v "$1" >/dev/null || echo "$1 is not installed: tests/run-all.sh does, or apt-get install $1" >>"$log"
"$@" </dev/null >>"$log" 2>&1 &
server=$!
trap '' HUP INT TERM
echo "$server"
read -r keep
kill -KILL "$server"
wait "$server"
[ -n "$keep" ] || rm -rf "$folder"
"#;
/// For what a server does within a second or two, on a machine that has other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
