//! [`Redis`]: a standalone server without persistence, which can be killed and come back on its port.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::sleep;

use super::free_port;
use super::process::Folder;
use super::process::Process;

#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) port: u16,
    options: RedisOptions,
    /// `None` while it is killed.
    process: Option<Process>,
    folder: Folder,
}

/// What differs from a server that lets everybody in.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisOptions {
    /// The name and password of [`Redis::url`].
    login: Option<(String, String)>,
    lines: Vec<String>,
    flags: Vec<String>,
}

impl RedisOptions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Clients need this password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.login = Some((String::new(), password.to_owned()));
        self.line(&format!("requirepass {password}"))
    }

    /// Only this user is let in, with these ACL rules, such as `+@all ~* &*`.
    pub(crate) fn user(mut self, name: &str, password: &str, rules: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self.line("user default off")
            .line(&format!("user {name} on >{password} {rules}"))
    }

    /// A line of the configuration file.
    pub(crate) fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// An argument behind the configuration file.
    pub(super) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// `user:password@`, or nothing.
    pub(super) fn userinfo(&self) -> String {
        self.login
            .as_ref()
            .map(|(name, password)| format!("{name}:{password}@"))
            .unwrap_or_default()
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(self) -> Redis {
        loop {
            let port = free_port();
            let mut redis = Redis {
                port,
                folder: Folder::new("redis"),
                options: self.clone(),
                process: None,
            };
            redis.configure();
            if redis.run().await {
                return redis;
            }
        }
    }
}

impl Redis {
    /// A server that lets everybody in.
    pub(crate) async fn start() -> Self {
        RedisOptions::new().start().await
    }

    /// `redis://…/0`, with the login that its options want.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}{}/0", self.options.userinfo(), self.address())
    }

    /// The same with a login that may do everything, whatever its options want.
    pub(crate) fn admin_url(&self) -> String {
        format!("redis://{ADMIN}:{ADMIN}@{}/0", self.address())
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it with -9. All of its data is gone, but for a Cluster node's own view.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Starts it again where it was, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none(), "it has not been killed");
        assert!(self.run().await, "port {} has been taken", self.port);
    }

    pub(crate) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Its connections stay open, and it does nothing any more, until [`Redis::thaw`].
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

    /// What `redis-cli` prints for this command, with all rights. Panics with what the server says against it.
    pub(crate) async fn command(&self, arguments: &[&str]) -> String {
        match self.ask(arguments).await {
            Ok(answer) => answer,
            Err(error) => panic!("{arguments:?} on {}: {error}", self.address()),
        }
    }

    /// `redis-cli` for this server, to be given a command; `MONITOR`, for example.
    pub(crate) fn client(&self) -> Command {
        let mut client = Command::new("redis-cli");
        client
            .args(["-p", &self.port.to_string(), "-e"])
            .kill_on_drop(true);
        if !self.is_sentinel() {
            client.args(["--user", ADMIN, "--pass", ADMIN, "--no-auth-warning"]);
        }
        client
    }

    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.client().args(arguments).output().await;
        let output = output.map_err(|error| format!("redis-cli does not run: {error}"))?;
        let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(text(&output.stdout) + &text(&output.stderr))
    }

    fn configure(&self) {
        let port = self.port;
        let mut text = format!("port {port}\nbind 127.0.0.1\ndir .\n");
        if !self.is_sentinel() {
            text += &format!(
                "save \"\"\nappendonly no\nuser {ADMIN} on >{ADMIN} ~* &* +@all\n\
                 masteruser {ADMIN}\nmasterauth {ADMIN}\n"
            );
        }
        text += &self.options.lines.join("\n");
        self.folder.write("redis.conf", &(text + "\n"));
    }

    /// Whether it came up; if not, another has its port.
    async fn run(&mut self) -> bool {
        let flags = self.options.flags.iter().map(String::as_str);
        let arguments: Vec<_> = ["redis.conf"].into_iter().chain(flags).collect();
        let process = Process::start("redis-server", &arguments, &self.folder);
        let id = format!("process_id:{}", process.id);
        for _ in 0..ROUNDS {
            // A server of another's at this port has another id.
            if let Ok(info) = self.ask(&["info", "server"]).await
                && info.lines().any(|line| line.trim_end() == id)
            {
                self.process = Some(process);
                return true;
            }
            if process.found_its_port_taken() {
                return false;
            }
            sleep(PAUSE).await;
        }
        panic!("Redis does not answer: {}", process.words());
    }

    fn is_sentinel(&self) -> bool {
        self.options.flags.iter().any(|flag| flag == SENTINEL)
    }
}

pub(super) const SENTINEL: &str = "--sentinel";
/// The user of the tests themselves, whatever clients need.
pub(super) const ADMIN: &str = "harness";
const ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(20);
