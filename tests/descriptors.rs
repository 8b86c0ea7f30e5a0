//! A process that runs out of file descriptors: clients wait, nobody is disturbed, and they are
//! served when others have left.
//!
//! The limit is the process's, so the server runs in a child: this program again, told by a
//! variable to be the server.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tungstenite::{Message as Frame, WebSocket};

use strait::handshake::Limits;
use strait::testing::TestServer;
use strait::{Consumer, Context, Message, Router, Server};

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

/// No test of its own: the server, when this program is started as one.
#[test]
fn as_a_server() {
    let Ok(connections) = env::var(CONNECTIONS) else {
        return;
    };
    let current = Some(FILES);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let mut router = Router::new().path("ws/", |_| Ok(Echo));
        if let Ok(connections) = connections.parse() {
            router = router.limits(Limits::new().connections(connections));
        }
        let server = Server::bind("127.0.0.1:0")
            .router(router)
            .header_timeout(Duration::from_secs(60));
        let listening = server.listen().await.unwrap();
        eprintln!("{}", listening.local_addr());
        listening.serve().await;
    });
}

const CONNECTIONS: &str = "STRAIT_TEST_CONNECTIONS";
/// How many files the server may have open.
const FILES: u64 = 64;

/// The server, until it is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Process {
    fn start(connections: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "as_a_server", "--nocapture"])
            .env(CONNECTIONS, connections)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it did not start");
            if let Ok(address) = line.trim().parse() {
                break address;
            }
        };
        Self {
            child,
            address,
            stderr,
        }
    }

    /// The time its threads have run.
    fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = tasks.map(|task| {
            let schedstat = fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
            schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Ends it, and returns what it has logged since it started.
    fn log(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn enter(address: SocketAddr) -> Result<Socket, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/ws/"), stream)?;
    socket.send(Frame::text("hello"))?;
    assert_eq!(socket.read()?, Frame::text("hello"));
    Ok(socket)
}

#[test]
fn out_of_descriptors_clients_wait_and_are_served_when_others_have_left() {
    let server = Process::start("");
    let address = server.address;
    let waiting: Vec<_> = (0..100)
        .map(|_| thread::spawn(move || enter(address).unwrap()))
        .collect();
    let (mut open, waiting) = until_full(waiting);
    assert!(waiting.len() >= 30, "{} wait", waiting.len());
    let (before, start) = (server.cpu(), Instant::now());
    // Connected clients notice nothing, and no task spins.
    while start.elapsed() < Duration::from_secs(1) {
        for socket in &mut open {
            socket.send(Frame::text("still here")).unwrap();
            assert_eq!(socket.read().unwrap(), Frame::text("still here"));
        }
        thread::sleep(Duration::from_millis(200));
    }
    let used = server.cpu() - before;
    assert!(used < Duration::from_millis(300), "{used:?} in a second");
    drop(open);
    // A hundred are more than fit at once: each leaves as soon as it has been served.
    for client in waiting {
        drop(client.join().unwrap());
    }
    drop(enter(address).unwrap());
    let log = server.log();
    assert_eq!(log.matches("cannot accept connections").count(), 1, "{log}");
}

type Socket = WebSocket<TcpStream>;

/// The clients that were let in, once nobody else is, and those that wait.
fn until_full(mut waiting: Vec<JoinHandle<Socket>>) -> (Vec<Socket>, Vec<JoinHandle<Socket>>) {
    let mut open = Vec::new();
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(500) {
        let (done, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|client| client.is_finished());
        if !done.is_empty() {
            last = Instant::now();
        }
        open.extend(done.into_iter().map(|client| client.join().unwrap()));
        waiting = rest;
        thread::sleep(Duration::from_millis(20));
    }
    (open, waiting)
}

#[test]
fn too_few_descriptors_are_told_at_the_start_with_numbers_and_a_remedy() {
    let rows = [
        ("", "ulimit -n 4096"),
        ("1000", "LimitNOFILE=1096"),
        ("1000", "Limits::connections(1000)"),
        // The descriptors suffice for these, but not for the rest of the process.
        ("20", "ulimit -n 116"),
    ];
    for (connections, remedy) in rows {
        let server = Process::start(connections);
        drop(enter(server.address).unwrap());
        let log = server.log();
        let told = log.matches("may have 64 open files").count();
        assert_eq!(told, 1, "{connections}: {log}");
        assert!(log.contains(remedy), "{connections}: {log}");
    }
}

/// The kernel keeps the grown table when the descriptor that caused it is closed.
#[tokio::test]
async fn the_table_of_descriptors_is_large_before_the_first_client() {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let server = TestServer::spawn(Router::new().path("ws/", |_| Ok(Echo))).await;
    let address = server.as_ref().unwrap().local_addr();
    // It serves, so it has prepared.
    let entered = tokio::task::spawn_blocking(move || enter(address).map(drop).is_ok());
    assert!(entered.await.unwrap());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let size: u64 = size.unwrap().trim().parse().unwrap();
    assert!(size >= allowed.min(65_536), "{size} of {allowed}");
}
