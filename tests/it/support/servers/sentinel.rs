//! [`Sentinels`]: a master with replicas, and three sentinels that make one of them the master
//! within about two seconds.

use std::time::Instant;

use futures::future::join_all;

use super::process::until;
use super::redis::{ADMIN, Redis, RedisOptions, SENTINEL};

#[derive(Debug)]
pub(crate) struct Sentinels {
    /// The first was the master in the beginning.
    pub(crate) servers: Vec<Redis>,
    pub(crate) sentinels: Vec<Redis>,
    options: RedisOptions,
}

impl Sentinels {
    /// One master, this many replicas, three sentinels that know of each other and of the replicas.
    pub(crate) async fn start(replicas: usize) -> Self {
        Self::with(RedisOptions::new(), replicas).await
    }

    /// The same with options for the master and the replicas; sentinels let everybody in.
    pub(crate) async fn with(options: RedisOptions, replicas: usize) -> Self {
        let options = options.line("repl-diskless-sync-delay 0");
        let master = options.clone().start().await;
        let replica = options
            .clone()
            .line(&format!("replicaof 127.0.0.1 {}", master.port));
        let mut servers = vec![master];
        servers.extend(join_all((0..replicas).map(|_| replica.clone().start())).await);
        for replica in &servers[1..] {
            let what = "a replica has the master's data";
            until(what, async || {
                let info = replica.command(&["info", "replication"]).await;
                info.contains("master_link_status:up")
            })
            .await;
        }
        let watch = RedisOptions::new()
            .flag(SENTINEL)
            .line(&format!(
                "sentinel monitor {MASTER} 127.0.0.1 {} 2",
                servers[0].port
            ))
            .line(&format!("sentinel down-after-milliseconds {MASTER} 500"))
            .line(&format!("sentinel failover-timeout {MASTER} 3000"))
            .line(&format!("sentinel auth-user {MASTER} {ADMIN}"))
            .line(&format!("sentinel auth-pass {MASTER} {ADMIN}"));
        let sentinels = join_all((0..3).map(|_| watch.clone().start())).await;
        let set = Self {
            servers,
            sentinels,
            options,
        };
        set.know_each_other().await;
        set
    }

    /// `redis+sentinel://HOST:PORT,…/NAME/0`, with the login of the servers.
    pub(crate) fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(Redis::address).collect();
        let userinfo = self.options.userinfo();
        format!(
            "redis+sentinel://{userinfo}{}/{MASTER}/0",
            addresses.join(",")
        )
    }

    /// The name that the sentinels have for the master.
    pub(crate) fn name(&self) -> &'static str {
        MASTER
    }

    /// Which of the servers the sentinels say is the master.
    pub(crate) async fn master(&self) -> usize {
        self.master_according_to(&self.sentinels[0]).await
    }

    async fn master_according_to(&self, sentinel: &Redis) -> usize {
        let question = ["sentinel", "get-master-addr-by-name", MASTER];
        let answer = sentinel.command(&question).await;
        let port = answer.lines().nth(1).unwrap_or_default();
        let is_it = |server: &Redis| server.port.to_string() == port;
        let place = self.servers.iter().position(is_it);
        place.unwrap_or_else(|| panic!("the master is none of ours: {answer}"))
    }

    /// Kills the master with -9 and returns which it was. The sentinels choose another in a second
    /// or two.
    pub(crate) async fn kill_master(&mut self) -> usize {
        let master = self.master().await;
        self.servers[master].kill();
        master
    }

    /// Waits until another than this is the master and the sentinels say so. Returns which, and
    /// until when there surely was none.
    pub(crate) async fn master_instead_of(&self, old: usize) -> (usize, Instant) {
        let mut new = old;
        let last_without = until("the sentinels make another the master", async || {
            for (place, server) in self.servers.iter().enumerate() {
                let role = server.ask(&["role"]).await;
                if place != old && role.is_ok_and(|role| role.starts_with("master")) {
                    new = place;
                }
            }
            new != old
        })
        .await;
        for sentinel in &self.sentinels {
            until("each sentinel names the new master", async || {
                self.master_according_to(sentinel).await == new
            })
            .await;
        }
        (new, last_without)
    }

    async fn know_each_other(&self) {
        let replicas = format!("num-slaves\n{}", self.servers.len() - 1);
        for sentinel in &self.sentinels {
            until("the sentinels know each other", async || {
                let state = sentinel.command(&["sentinel", "master", MASTER]).await;
                ["flags\nmaster\n", "num-other-sentinels\n2", &replicas]
                    .iter()
                    .all(|line| state.contains(line))
            })
            .await;
        }
    }
}

const MASTER: &str = "mymaster";
