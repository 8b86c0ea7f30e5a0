//! `Config::hook_limit`: which hooks it drops, when, and what is logged and sent then.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use strait::close::Cause;
use strait::config::Config;

use super::actor::padded;
use super::line::Line;

/// Messages that come one behind the other, and whether all their hooks come to an end.
struct Row {
    name: &'static str,
    messages: &'static [&'static str],
    limit: Option<u64>,
    /// When the hook is dropped, in milliseconds.
    dropped: Option<u64>,
}

const ROWS: [Row; 6] = [
    Row {
        name: "in time",
        messages: &["sleep 999"],
        limit: Some(1000),
        dropped: None,
    },
    Row {
        name: "too late",
        messages: &["sleep 1002"],
        limit: Some(1000),
        dropped: Some(1000),
    },
    Row {
        name: "each hook has its own time",
        messages: &["sleep 900", "sleep 900", "sleep 900", "hello"],
        limit: Some(1000),
        dropped: None,
    },
    Row {
        name: "and so has the one behind them; messages that wait for it are not received",
        messages: &["sleep 900", "sleep 1002", "hello"],
        limit: Some(1000),
        dropped: Some(1900),
    },
    Row {
        name: "no time at all is for hooks that never wait",
        messages: &["hello", "sleep 5"],
        limit: Some(0),
        dropped: Some(0),
    },
    Row {
        name: "no limit",
        messages: &["sleep 86400000"],
        limit: None,
        dropped: None,
    },
];

#[tokio::test(start_paused = true)]
async fn a_hook_is_dropped_at_its_limit_and_its_connection_closed() {
    for row in ROWS {
        play(row).await;
    }
}

async fn play(row: Row) {
    let name = row.name;
    // Silence is no end here.
    let mut config = Config::new().ping_interval(Duration::from_secs(1_000_000));
    if let Some(limit) = row.limit {
        config = config.hook_limit(Duration::from_millis(limit));
    }
    let mut line = Line::open(config, 1024).await;
    for message in row.messages {
        line.say(message);
    }
    let Some(dropped) = row.dropped else {
        line.pass(90_000_000).await;
        assert_eq!(line.closed(), None, "{name}");
        assert_eq!(line.notes.lock().received, row.messages, "{name}");
        return;
    };
    line.pass(dropped.saturating_sub(5)).await;
    assert_eq!(line.closed(), None, "{name}: too early");
    line.pass(10).await;
    let reason = "the server took too long".to_owned();
    let closed = (1011, reason.clone(), Cause::HookLimit);
    assert_eq!(line.closed(), Some(closed), "{name}");
    assert_eq!(line.peer.seen.last().unwrap(), "close 1011", "{name}");
    assert_eq!(line.peer.reasons, [reason], "{name}");
    assert_eq!(line.notes.lock().dropped, ["receive"], "{name}");
    assert!(line.is_over(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_is_part_of_the_hooks_time() {
    let config = Config::new()
        .outgoing(1, 1)
        .hook_limit(Duration::from_secs(3));
    let mut line = Line::open(config, 100).await;
    line.peer.reads = false;
    // One answer begun in the pipe, one in the queue; the third waits for room.
    for number in 1..=3 {
        line.say(&padded(&number.to_string(), 80));
        line.pass(1).await;
    }
    line.pass(2990).await;
    assert_eq!(line.closed(), None);
    line.pass(20).await;
    let closed = line.closed().unwrap();
    assert_eq!((closed.0, closed.2), (1011, Cause::HookLimit));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_hook_is_logged_once_with_the_consumer_and_the_limit() {
    // Beside one subscriber alone, a line that another thread's test comes to first would stay
    // silent in all of them.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let config = Config::new().hook_limit(Duration::from_millis(1500));
    let mut line = Line::open(config, 1024).await;
    line.say("sleep 5000");
    line.pass(2000).await;
    drop(guard);
    assert!(line.is_over());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("limit")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    for part in ["ERROR", "session::actor::Actor", "1.5s", "path=\"/\""] {
        assert!(lines[0].contains(part), "{part} in {log}");
    }
}

/// The lines that were logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
