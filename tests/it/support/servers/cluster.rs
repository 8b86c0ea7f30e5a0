//! [`Cluster`]: three masters that share the slots, the first with a replica if wanted; a part that
//! is down stops no other.

use std::time::Instant;

use futures::future::join_all;

use super::process::until;
use super::redis::{Redis, RedisOptions};

#[derive(Debug)]
pub(crate) struct Cluster {
    /// The masters in the order of their slots, then the replica of the first if there is one.
    pub(crate) nodes: Vec<Redis>,
    options: RedisOptions,
}

impl Cluster {
    /// Three masters.
    pub(crate) async fn start() -> Self {
        Self::with(RedisOptions::new()).await
    }

    /// Three masters, and a replica of the first, which takes its place in about three seconds.
    pub(crate) async fn start_with_replica() -> Self {
        let mut cluster = Self::start().await;
        cluster.add_replica().await;
        cluster
    }

    /// Three masters with these options.
    pub(crate) async fn with(options: RedisOptions) -> Self {
        let options = options
            .line("cluster-enabled yes")
            .line("cluster-node-timeout 2000")
            .line("cluster-require-full-coverage no")
            .line("repl-diskless-sync-delay 0");
        let nodes = join_all((0..3).map(|_| options.clone().start())).await;
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for ((node, (first, last)), epoch) in nodes.iter().zip(slots).zip(1..) {
            let epoch: i32 = epoch;
            let epoch = epoch.to_string();
            node.command(&["cluster", "set-config-epoch", &epoch]).await;
            node.command(&["cluster", "addslotsrange", first, last])
                .await;
        }
        let cluster = Self { nodes, options };
        for node in &cluster.nodes[1..] {
            cluster.meet(node).await;
        }
        cluster.agrees().await;
        cluster
    }

    /// `redis+cluster://HOST:PORT,…`, with the login of the nodes.
    pub(crate) fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(Redis::address).collect();
        let userinfo = self.options.userinfo();
        format!("redis+cluster://{userinfo}{}", addresses.join(","))
    }

    /// Which of the three first masters the slot of this key or shard channel belonged to in the
    /// beginning.
    pub(crate) async fn place_of(&self, key: &str) -> usize {
        let node = self.nodes.iter().find(|node| node.runs()).unwrap();
        let slot = node.command(&["cluster", "keyslot", key]).await;
        match slot.parse().unwrap() {
            0..=5460 => 0,
            5461..=10_922 => 1,
            _ => 2,
        }
    }

    /// Moves a slot without keys from one of the three first masters to another, in the steps that
    /// `redis-cli --cluster reshard` takes.
    pub(crate) async fn move_slot(&self, slot: &str, from: usize, to: usize) {
        let mut ids = Vec::new();
        for node in [from, to] {
            ids.push(self.nodes[node].command(&["cluster", "myid"]).await);
        }
        let bystander = 3 - from - to;
        let steps = [
            (to, "importing", &ids[0]),
            (from, "migrating", &ids[1]),
            // The receiver first, as the manual says.
            (to, "node", &ids[1]),
            (from, "node", &ids[1]),
            (bystander, "node", &ids[1]),
        ];
        for (node, what, id) in steps {
            let words = ["cluster", "setslot", slot, what, id];
            self.nodes[node].command(&words).await;
        }
    }

    /// Waits until every running node says that the cluster is whole, and how many nodes it has.
    pub(crate) async fn agrees(&self) {
        let count = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in self.nodes.iter().filter(|node| node.runs()) {
            until("the nodes agree", async || {
                let info = node.command(&["cluster", "info"]).await;
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains(&count)
            })
            .await;
        }
    }

    /// Waits until the replica is a master, and returns until when it surely was none.
    pub(crate) async fn replica_took_over(&self) -> Instant {
        let replica = self.nodes.get(3).expect("a cluster with a replica");
        until("the replica takes over", async || {
            replica.command(&["role"]).await.starts_with("master")
        })
        .await
    }

    async fn add_replica(&mut self) {
        let replica = self.options.clone().start().await;
        self.meet(&replica).await;
        let master = self.nodes[0].command(&["cluster", "myid"]).await;
        until("the replica knows its master", async || {
            let known = replica.ask(&["cluster", "replicate", &master]).await;
            known.is_ok()
        })
        .await;
        until("the replica has its master's data", async || {
            let info = replica.command(&["info", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        self.nodes.push(replica);
        self.agrees().await;
    }

    async fn meet(&self, node: &Redis) {
        let port = node.port.to_string();
        let words = ["cluster", "meet", "127.0.0.1", &port];
        self.nodes[0].command(&words).await;
    }
}
