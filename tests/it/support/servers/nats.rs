//! [`Nats`]: a core NATS server, which can be killed and come back on its port.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::process::{Folder, Process};
use super::server::{Options, Server};

pub(crate) type Nats = Server<NatsOptions>;

/// The differences from a server that lets everybody in.
#[derive(Clone, Debug, Default)]
pub(crate) struct NatsOptions {
    userinfo: String,
    lines: Vec<String>,
}

impl NatsOptions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Clients need this login.
    pub(crate) fn user(mut self, name: &str, password: &str) -> Self {
        self.userinfo = format!("{name}:{password}@");
        self.line(&format!(
            "authorization {{ user: \"{name}\", password: \"{password}\" }}"
        ))
    }

    /// Clients need this token.
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.userinfo = format!("{token}@");
        self.line(&format!("authorization {{ token: \"{token}\" }}"))
    }

    /// A line of the configuration file.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(self) -> Nats {
        Nats::with(self).await
    }
}

impl Options for NatsOptions {
    const PROGRAM: &str = "nats-server";

    fn arguments(&self) -> Vec<&str> {
        vec!["-c", "nats.conf"]
    }

    fn configure(&self, port: u16, folder: &Folder) {
        let (name, lines) = (folder.name(), self.lines.join("\n"));
        let text = format!("listen: \"127.0.0.1:{port}\"\nserver_name: \"{name}\"\n{lines}\n");
        folder.write("nats.conf", &text);
    }

    async fn is_up(nats: &Nats, _process: &Process) -> bool {
        let greeting = nats.greeting().await;
        greeting.is_some_and(|line| line.contains(&*nats.folder.name()))
    }
}

impl Nats {
    /// `nats://…`, with the login that its options want.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}{}", self.options.userinfo, self.address())
    }

    /// Has the server read a configuration with this line in place of those of its options. It
    /// takes effect a moment later, or when the server starts.
    pub(crate) fn reconfigure(&mut self, line: &str) {
        self.options.lines = vec![line.to_owned()];
        self.options.configure(self.port, &self.folder);
        if self.runs() {
            self.signal("HUP");
        }
    }

    /// The server's first line.
    async fn greeting(&self) -> Option<String> {
        let stream = TcpStream::connect(self.address()).await.ok()?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        timeout(Duration::from_secs(1), reader.read_line(&mut line))
            .await
            .ok()?
            .ok()?;
        Some(line)
    }
}
