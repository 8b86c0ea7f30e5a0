//! [`Log`]: the lines logged through `tracing`, for tests.

#![allow(dead_code, reason = "each test target uses some of it")]

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;

/// The lines of this thread, from level INFO on.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Until the guard is dropped.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        // Beside one subscriber alone, a line that another thread's test comes to first would stay
        // silent in all of them.
        SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::registry()));
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many lines hold this.
    pub(crate) fn lines(&self, needle: &str) -> usize {
        let text = self.text();
        text.lines().filter(|line| line.contains(needle)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static SECOND: OnceLock<Dispatch> = OnceLock::new();
