//! How nodes know of each other's end: each says now and then that it is alive, and takes those out of their groups that no longer do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use crate::error::Error;

use super::node::Node;
use super::scripts::BEAT;
use super::scripts::END;

/// Says so to one host, and renews the memberships there. Never ends.
pub(super) async fn stay(node: Arc<Node>, host: usize) {
    let renew_every = node.limits.group_expiry / 2;
    // By the times of the beats: by the clock, one that comes a moment early would leave the renewal to the next.
    let mut renewed = Instant::now();
    let mut beats = interval(EVERY.min(renew_every));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let beat = beats.tick().await;
        // While the host is away, its link says so.
        match node.beat(host).await {
            Ok(true) => {}
            Ok(false) => node
                .health
                .forgotten("this node's memberships were deleted"),
            Err(error) => tracing::debug!(%error, "could not say that this node is alive"),
        }
        if let Err(error) = node.take_out(host).await {
            tracing::debug!(%error, "could not leave groups yet");
        }
        if beat - renewed < renew_every {
            continue;
        }
        match node.renew_all(host).await {
            Ok(()) => renewed = beat,
            Err(error) => tracing::debug!(%error, "could not renew the memberships"),
        }
    }
}

impl Node {
    /// Returns whether the node was known to be alive.
    pub(super) async fn beat(&self, host: usize) -> Result<bool, Error> {
        let args = [
            self.id.clone(),
            self.names.prefix.clone(),
            DEAD_AFTER.as_secs().to_string(),
            self.limits.keep().as_secs().to_string(),
        ];
        let keys = [self.nodes_key()];
        let known: u64 = self.hosts[host].run(&BEAT, &keys, &args).await?;
        Ok(known == 1)
    }

    async fn renew_all(&self, host: usize) -> Result<(), Error> {
        for members in self.members_on(host).chunks(AT_ONCE) {
            self.renew(host, members).await?;
        }
        Ok(())
    }

    /// Before anything else: does of each kind what this node will do, to no effect, so that what it may not do is an error at the start.
    pub(super) async fn rehearse(&self, host: usize) -> Result<(), Error> {
        let args = [self.id.clone(), self.names.prefix.clone()];
        let () = self.hosts[host]
            .run(&END, &[self.nodes_key()], &args)
            .await?;
        self.try_to_empty(host).await
    }

    /// Takes this node out of all groups, on all hosts that answer soon.
    pub(super) async fn end(&self) {
        let args = [self.id.clone(), self.names.prefix.clone()];
        let keys = [self.nodes_key()];
        let each = self
            .hosts
            .iter()
            .map(|host| host.run::<(), _>(&END, &keys, &args));
        let ended = timeout(PATIENCE, futures::future::join_all(each)).await;
        if ended.is_err() || ended.is_ok_and(|ended| ended.iter().any(Result::is_err)) {
            tracing::debug!("could not leave all groups: the other nodes will see to it");
        }
    }
}

const EVERY: Duration = Duration::from_secs(5);
/// Three beats missed.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// How many memberships are renewed at once.
const AT_ONCE: usize = 512;
const PATIENCE: Duration = Duration::from_secs(2);
