//! [`Nats`]: a core NATS server, which can be killed and come back on its port.

use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio::time::timeout;

use super::free_port;
use super::process::Folder;
use super::process::Process;

#[derive(Debug)]
pub(crate) struct Nats {
    pub(crate) port: u16,
    options: NatsOptions,
    /// `None` while it is killed.
    process: Option<Process>,
    folder: Folder,
}

/// What differs from a server that lets everybody in.
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
        loop {
            let mut nats = Nats {
                port: free_port(),
                options: self.clone(),
                process: None,
                folder: Folder::new("nats"),
            };
            nats.configure();
            if nats.run().await {
                return nats;
            }
        }
    }
}

impl Nats {
    /// A server that lets everybody in.
    pub(crate) async fn start() -> Self {
        NatsOptions::new().start().await
    }

    /// `nats://…`, with the login that its options want.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}{}", self.options.userinfo, self.address())
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it with -9.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again where it was, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "it has not been killed");
        assert!(self.run().await, "port {} has been taken", self.port);
    }

    /// Its connections stay open, and it does nothing any more, until [`Nats::thaw`].
    pub(crate) fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process.as_ref().expect("it runs").thaw();
    }

    /// The process id of the server, for what it costs.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id
    }

    fn name(&self) -> String {
        self.folder
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    }

    fn configure(&self) {
        let (port, name) = (self.port, self.name());
        let lines = self.options.lines.join("\n");
        let text = format!("listen: \"127.0.0.1:{port}\"\nserver_name: \"{name}\"\n{lines}\n");
        self.folder.write("nats.conf", &text);
    }

    /// Whether it came up; if not, another has its port.
    async fn run(&mut self) -> bool {
        let process = Process::start("nats-server", &["-c", "nats.conf"], &self.folder);
        for _ in 0..ROUNDS {
            // A server of another's at this port has another name.
            if self
                .greeting()
                .await
                .is_some_and(|line| line.contains(&self.name()))
            {
                self.process = Some(process);
                return true;
            }
            if process.found_its_port_taken() {
                return false;
            }
            sleep(PAUSE).await;
        }
        panic!("NATS does not answer: {}", process.words());
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

const ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);
