//! [`Server`]: one that has a port of its own, and can be killed and come back there. Its
//! [`Options`] name its kind.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::sleep;

use super::free_port;
use super::process::{Folder, Process};

#[derive(Debug)]
pub(crate) struct Server<O> {
    pub(crate) port: u16,
    pub(super) options: O,
    /// `None` while it is killed.
    process: Option<Process>,
    pub(super) folder: Folder,
}

/// The differences between kinds. The default lets everybody in.
pub(crate) trait Options: Clone + Debug + Default {
    const PROGRAM: &str;

    fn arguments(&self) -> Vec<&str>;

    /// Writes what the program reads when it starts.
    fn configure(&self, port: u16, folder: &Folder);

    /// Whether it answers, and is this process: a server of another's may have the port.
    async fn is_up(server: &Server<Self>, process: &Process) -> bool;
}

impl<O: Options> Server<O> {
    /// A server that lets everybody in.
    pub(crate) async fn start() -> Self {
        Self::with(O::default()).await
    }

    /// Starts the server and waits until it answers.
    pub(super) async fn with(options: O) -> Self {
        loop {
            let mut server = Self {
                port: free_port(),
                options: options.clone(),
                process: None,
                folder: Folder::new(O::PROGRAM),
            };
            options.configure(server.port, &server.folder);
            if server.run().await {
                return server;
            }
        }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it with -9. All of its data is deleted, except a Cluster node's own view.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again at the same address, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "it has not been killed");
        assert!(self.run().await, "port {} has been taken", self.port);
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its connections stay open, but it does nothing until [`Server::thaw`].
    pub(crate) fn freeze(&self) {
        self.process.as_ref().expect("it runs").freeze();
    }

    pub(crate) fn thaw(&self) {
        self.process.as_ref().expect("it runs").thaw();
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// The process id of the server, for what it costs.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id
    }

    /// Whether it came up; if not, another has its port.
    async fn run(&mut self) -> bool {
        let process = Process::start(O::PROGRAM, &self.options.arguments(), &self.folder);
        for _ in 0..ROUNDS {
            if O::is_up(self, &process).await {
                self.process = Some(process);
                return true;
            }
            if process.found_its_port_taken() {
                return false;
            }
            sleep(PAUSE).await;
        }
        panic!("{} does not answer: {}", O::PROGRAM, process.words());
    }
}

const ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);
