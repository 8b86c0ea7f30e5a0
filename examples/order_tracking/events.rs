//! The events of an order, the groups that receive them, and the task that announces them.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strait::ChannelLayer;
use tokio::sync::mpsc;
use tokio::time;
use tokio::time::MissedTickBehavior;

use crate::order::Status;
use crate::store::Store;

/// Something that happened to an order. It is committed before anybody hears of it.
///
/// `seq` numbers the events of one order: 1, 2, 3, … without a gap. A client that has read an order
/// sees by it whether an event is older (ignore it), the next one (apply it), or further on
/// (something was missed: read again).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum OrderEvent {
    #[serde(rename = "order.updated")]
    Updated {
        order_id: u64,
        seq: u64,
        status: Status,
        note: Option<String>,
        at: String,
    },
    #[serde(rename = "order.location")]
    Located {
        order_id: u64,
        seq: u64,
        lat: f64,
        lng: f64,
        at: String,
    },
}

impl OrderEvent {
    pub(crate) fn order_id(&self) -> u64 {
        match self {
            Self::Updated { order_id, .. } | Self::Located { order_id, .. } => *order_id,
        }
    }

    pub(crate) fn seq(&self) -> u64 {
        match self {
            Self::Updated { seq, .. } | Self::Located { seq, .. } => *seq,
        }
    }
}

/// The group of those who follow one order.
pub(crate) fn order_group(order_id: u64) -> String {
    format!("order_{order_id}")
}

/// The group of those who follow all of them.
pub(crate) const BOARD_GROUP: &str = "board";

/// Tells the groups what was committed.
///
/// Nothing that was committed stays untold: neither what a process did not announce that was killed
/// right after the commit, nor what could not be announced because the backend was away. The store
/// knows up to where each order was announced, and every process looks there for what was left
/// ([`catch_up`](Self::catch_up)). Hearing of an event twice does no harm: its number is known.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    layer: ChannelLayer,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    /// The last event of each order that was announced and of which the store does not know that
    /// yet.
    announced: HashMap<u64, u64>,
    is_failing: bool,
}

impl Announcer {
    pub(crate) fn new(layer: ChannelLayer) -> Self {
        let told = Arc::default();
        Self { layer, told }
    }

    /// Announces what this process commits, until the store is gone.
    ///
    /// One task for all orders: two requests whose answers race would else announce in the wrong
    /// order what was committed in the right one. Between processes this can still happen, and a
    /// follower sees it by the numbers.
    pub(crate) async fn announce(self, mut committed: mpsc::Receiver<OrderEvent>) {
        while let Some(event) = committed.recv().await {
            self.tell(&event).await;
        }
    }

    /// Announces what nobody has announced, as long as the program runs.
    pub(crate) async fn catch_up(self, store: Store) {
        let mut clock = time::interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let announced = mem::take(&mut self.told().announced);
            match store.settle(announced).await {
                Ok(left) => self.tell_all(&left).await,
                // The announced events are announced once more later.
                Err(error) => tracing::warn!(%error, "cannot look for what was not announced"),
            }
        }
    }

    async fn tell_all(&self, events: &[OrderEvent]) {
        for event in events {
            if !self.tell(event).await {
                break;
            }
        }
    }

    /// Whether everybody who follows the order will hear of the event.
    async fn tell(&self, event: &OrderEvent) -> bool {
        let (order_id, seq) = (event.order_id(), event.seq());
        for group in [order_group(order_id), BOARD_GROUP.to_owned()] {
            if let Err(error) = self.layer.group_send(group, event).await {
                if !mem::replace(&mut self.told().is_failing, true) {
                    tracing::warn!(order_id, seq, %error, "not announced; the events that are left are announced later");
                }
                return false;
            }
        }
        let mut told = self.told();
        told.is_failing = false;
        let last = told.announced.entry(order_id).or_default();
        *last = seq.max(*last);
        true
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOOK: Duration = Duration::from_secs(1);
