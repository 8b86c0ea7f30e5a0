//! Cases of much at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::layer::{Channel, ChannelLayer};

use super::checks::{Note, Outcome, PATIENCE, QUIET, ensure, next, note};
use super::nodes::Nodes;

/// Small events all fit; of larger ones a member that does not receive meanwhile loses some, and
/// can tell how many.
pub(super) async fn a_burst_is_delivered_or_told_of(nodes: &Nodes<'_>) -> Outcome {
    for (name, bytes) in [("small", 100), ("large", 8_000)] {
        let group = nodes.group(name);
        let mut members = nodes.members(&group, 3).await?;
        let events = (0..BURST).map(|n| Note {
            n,
            pad: "x".repeat(bytes),
        });
        let publishes = events.map(|event| {
            let publish = nodes.here().group_send(group.as_str(), &event);
            publish.into_future()
        });
        let refused = join_all(publishes)
            .await
            .iter()
            .filter(|it| it.is_err())
            .count() as u64;
        for (number, member) in members.iter_mut().enumerate() {
            let got = collect(member, BURST - refused).await?;
            let told = got.received.len() as u64 + got.dropped >= BURST - refused;
            ensure(told || got.gap, || {
                format!(
                    "of {BURST} {name} events member {number} got {}, {} were reported as dropped, and no gap; {refused} were refused",
                    got.received.len(),
                    got.dropped
                )
            })?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Collected {
    received: BTreeSet<u64>,
    dropped: u64,
    gap: bool,
}

/// Until all is there or accounted for.
async fn collect(member: &mut Channel, count: u64) -> Outcome<Collected> {
    let mut collected = Collected::default();
    let mut idle = Duration::ZERO;
    while idle < PATIENCE && (collected.received.len() as u64) + collected.dropped < count {
        if collected.gap && idle > QUIET * 4 {
            break;
        }
        match timeout(QUIET, member.recv::<Note>()).await {
            Ok(Ok(event)) => {
                ensure(collected.received.insert(event.n), || {
                    format!("event {} came twice", event.n)
                })?;
                idle = Duration::ZERO;
            }
            Ok(Err(error)) if error.is_gap() => collected.gap = true,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => idle += QUIET,
        }
        collected.dropped += u64::from(member.dropped());
    }
    Ok(collected)
}

/// The model: beginning with the first message published after its join returned, a member receives
/// every number, in order, until it leaves, and none twice.
pub(super) async fn members_that_come_and_go_see_no_holes(nodes: &Nodes<'_>) -> Outcome {
    let mut publishers = JoinSet::new();
    let mut members = JoinSet::new();
    for number in 0..3 {
        let group = Arc::new(Group {
            name: nodes.group(&format!("churn_{number}")),
            begun: AtomicU64::new(0),
        });
        let layer = nodes.all[number % nodes.all.len()].clone();
        publishers.spawn(group.clone().publish(layer));
        for layer in &nodes.all {
            for _ in 0..MEMBERS {
                let seed = members.len() as u64;
                members.spawn(come_and_go(group.clone(), layer.clone(), seed));
            }
        }
    }
    // The publishers end with the first error, or with the members.
    while let Some(outcome) = members.join_next().await {
        outcome??;
    }
    match publishers.try_join_next() {
        Some(outcome) => outcome?,
        None => Ok(()),
    }
}

struct Group {
    name: String,
    /// How many publishes have begun.
    begun: AtomicU64,
}

impl Group {
    async fn publish(self: Arc<Self>, layer: ChannelLayer) -> Outcome {
        loop {
            for _ in 0..3 {
                let n = self.begun.fetch_add(1, Ordering::SeqCst);
                layer.group_send(self.name.as_str(), &note(n)).await?;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn come_and_go(group: Arc<Group>, layer: ChannelLayer, seed: u64) -> Outcome {
    let mut channel = layer.new_channel();
    let mut newest = None;
    for round in 0..ROUNDS {
        channel.group_add(group.name.as_str()).await?;
        let first = group.begun.load(Ordering::SeqCst);
        // An odd mixture, the same each time.
        let last = first + (seed * 7 + round * 5) % 11;
        let mut before = None;
        loop {
            let n = next(&mut channel).await?;
            ensure(newest.is_none_or(|newest| newest < n), || {
                format!("{n} came after {newest:?}")
            })?;
            let is_hole = match before {
                Some(before) => n != before + 1 && n > first,
                None => n > first,
            };
            ensure(!is_hole, || {
                format!("joined before {first} was published, and {n} came after {before:?}")
            })?;
            (newest, before) = (Some(n), Some(n));
            if n >= last {
                break;
            }
        }
        channel.group_discard(group.name.as_str())?;
        if round % 3 == 0 {
            sleep(Duration::from_millis(seed % 5)).await;
        }
    }
    Ok(())
}

const BURST: u64 = 300;
/// Of each group, on each node.
const MEMBERS: usize = 4;
const ROUNDS: u64 = 40;
