//! What is told to those who watch: the events of an order, the groups that hear them, and the one task that announces.

use serde::Deserialize;
use serde::Serialize;
use strait::ChannelLayer;
use tokio::sync::mpsc;

use crate::order::Status;

/// Something that happened to an order. It is committed before anybody hears of it.
///
/// `seq` numbers the events of one order: 1, 2, 3, … without a gap. By it whoever has read an order knows whether an event is
/// older than what was read (ignore it), the next one (apply it) or further on (something was missed, read again).
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

/// Tells the groups what was committed, until the store is gone.
///
/// One task for all orders: two requests whose answers race would else announce in the wrong order what was committed in the
/// right one. An announcement that fails is not repeated: the next one of that order shows the gap, and who follows reads again.
pub(crate) async fn announce(layer: ChannelLayer, mut committed: mpsc::Receiver<OrderEvent>) {
    while let Some(event) = committed.recv().await {
        for group in [order_group(event.order_id()), BOARD_GROUP.to_owned()] {
            if let Err(error) = layer.group_send(group, &event).await {
                tracing::warn!(order_id = event.order_id(), seq = event.seq(), %error, "not announced");
            }
        }
    }
}
