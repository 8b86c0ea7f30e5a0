//! How nodes know of each other's end: each says now and then that it is alive, and takes those out
//! of their groups that no longer do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::backends::django::host::Failure;
use crate::error::Error;

use super::node::Node;
use super::scripts::{BEAT, END};

/// Says so to one host, and looks after the memberships there. Never ends.
pub(super) async fn stay(node: Arc<Node>, host: usize) {
    let refresh_every = node.limits.refresh_every();
    // By the times of the beats: by the clock, one that comes a moment early would leave the
    // refresh to the next.
    let mut refreshed = Instant::now();
    let mut beats = interval(EVERY.min(refresh_every));
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let beat = beats.tick().await;
        match node.beat(host).await {
            // The server's refusal is over, or everything was deleted: the layer joins all groups
            // again.
            Ok(_) if node.health.serves(host) => refreshed = beat,
            Ok(true) => {}
            Ok(false) => {
                node.health
                    .forgotten("this node's memberships were deleted");
                refreshed = beat;
            }
            // While the host is away, its link says so.
            Err(failure) => {
                let error = node.noted(host, failure);
                tracing::debug!(%error, "could not say that this node is alive");
                continue;
            }
        }
        if let Err(error) = node.take_out(host).await {
            tracing::debug!(%error, "could not leave groups yet");
        }
        if beat - refreshed < refresh_every {
            continue;
        }
        match node.refresh(host).await {
            Ok(()) => refreshed = beat,
            Err(error) => tracing::debug!(%error, "could not refresh the memberships"),
        }
    }
}

impl Node {
    /// Returns whether the node was known to be alive.
    pub(super) async fn beat(&self, host: usize) -> Result<bool, Failure> {
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

    /// Before anything else: does of each kind what this node will do, to no effect, so that what
    /// it may not do is an error at the start.
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
const PATIENCE: Duration = Duration::from_secs(2);
