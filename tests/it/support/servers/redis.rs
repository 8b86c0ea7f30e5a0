//! [`Redis`]: a standalone server without persistence, which can be killed and come back on its
//! port.

use tokio::process::Command;

use super::process::{Folder, Process, until};
use super::server::{Options, Server};

pub(crate) type Redis = Server<RedisOptions>;

/// The differences from a server that lets everybody in.
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
        Redis::with(self).await
    }

    fn is_sentinel(&self) -> bool {
        self.flags.iter().any(|flag| flag == SENTINEL)
    }
}

impl Options for RedisOptions {
    const PROGRAM: &str = "redis-server";

    fn arguments(&self) -> Vec<&str> {
        let flags = self.flags.iter().map(String::as_str);
        ["redis.conf"].into_iter().chain(flags).collect()
    }

    fn configure(&self, port: u16, folder: &Folder) {
        let mut text = format!("port {port}\nbind 127.0.0.1\ndir .\n");
        if !self.is_sentinel() {
            text += &format!(
                "save \"\"\nappendonly no\nuser {ADMIN} on >{ADMIN} ~* &* +@all\n\
                 masteruser {ADMIN}\nmasterauth {ADMIN}\n"
            );
        }
        text += &self.lines.join("\n");
        folder.write("redis.conf", &(text + "\n"));
    }

    async fn is_up(redis: &Redis, process: &Process) -> bool {
        let id = format!("process_id:{}", process.id);
        let info = redis.ask(&["info", "server"]).await;
        info.is_ok_and(|info| info.lines().any(|line| line.trim_end() == id))
    }
}

impl Redis {
    /// `redis://…/0`, with the login that its options want.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}{}/0", self.options.userinfo(), self.address())
    }

    /// The same with a login that may do everything, whatever its options want.
    pub(crate) fn admin_url(&self) -> String {
        format!("redis://{ADMIN}:{ADMIN}@{}/0", self.address())
    }

    /// The output of `redis-cli` for this command, with all rights. Panics with what the server
    /// says against it.
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
        if !self.options.is_sentinel() {
            client.args(["--user", ADMIN, "--pass", ADMIN, "--no-auth-warning"]);
        }
        client
    }

    /// Makes this server the replica of another, and returns when it has that one's data.
    pub(crate) async fn follow(&self, master: &Self) {
        let port = master.port.to_string();
        self.command(&["replicaof", "127.0.0.1", &port]).await;
        until("the replica has its master's data", async || {
            let info = self.command(&["info", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
    }

    /// Makes saving fail, so that the server refuses writes and pings by `MISCONF`. It cannot be
    /// restarted after that.
    pub(crate) async fn fail_to_save(&self) {
        std::fs::create_dir(self.folder.path().join("dump.rdb")).unwrap();
        self.command(&["config", "set", "save", "3600 1"]).await;
        self.command(&["bgsave"]).await;
        until("saving has failed", async || {
            let ping = self.ask(&["ping"]).await;
            ping.is_err_and(|error| error.contains("MISCONF"))
        })
        .await;
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
}

pub(super) const SENTINEL: &str = "--sentinel";
/// The user of the tests themselves, whatever clients need.
pub(super) const ADMIN: &str = "harness";
