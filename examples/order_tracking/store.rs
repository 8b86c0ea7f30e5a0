//! The store: the ledger on a thread of its own, asked through a bounded queue.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::events::OrderEvent;
use crate::ledger::Ledger;
use crate::order::{Change, NewOrder, Order, Status};
use crate::position::Position;
use crate::secret::Secret;

/// A handle to the orders. Its thread ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// Bounded: when the disk is slow, requests wait here instead of piling up.
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// Opens the database at `path`, or makes it.
    ///
    /// Every event comes out of the receiver after it was committed, in the order of the commits.
    /// While nobody takes them the store waits.
    pub(crate) fn open(path: &Path) -> Result<(Self, mpsc::Receiver<OrderEvent>), StoreError> {
        let mut ledger = Ledger::open(path)?;
        let (jobs, mut waiting) = mpsc::channel::<Job>(JOBS_WAITING);
        let (announce, committed) = mpsc::channel(EVENTS_WAITING);
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                while let Some(job) = waiting.blocking_recv() {
                    job(&mut ledger, &announce);
                }
            })?;
        Ok((Self { jobs }, committed))
    }

    /// Answers with the number of the new order and the token that opens it.
    pub(crate) async fn place(&self, order: NewOrder) -> Result<(u64, Secret), StoreError> {
        let token = Secret::random()?;
        let kept = token.clone();
        let event = self
            .write(move |ledger| ledger.place(&order, &kept, false))
            .await?;
        Ok((event.order_id(), token))
    }

    /// Places an order that the simulation carries, unless as many as `limit` are under way:
    /// [`StoreError::Enough`].
    pub(crate) async fn place_simulated(
        &self,
        order: NewOrder,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let token = Secret::random()?;
        let event = self
            .write(move |ledger| ledger.place_simulated(&order, &token, limit))
            .await?;
        Ok(event.order_id())
    }

    pub(crate) async fn change_status(
        &self,
        order_id: u64,
        to: Status,
        note: Option<String>,
    ) -> Result<OrderEvent, StoreError> {
        self.write(move |ledger| ledger.change_status(order_id, to, note))
            .await
    }

    pub(crate) async fn locate(
        &self,
        order_id: u64,
        position: Position,
    ) -> Result<OrderEvent, StoreError> {
        self.write(move |ledger| ledger.locate(order_id, position))
            .await
    }

    /// Changes an order to which nothing has happened since its event `seq`:
    /// [`StoreError::Overtaken`] else.
    pub(crate) async fn change_since(
        &self,
        order_id: u64,
        seq: u64,
        change: Change,
    ) -> Result<OrderEvent, StoreError> {
        self.write(move |ledger| ledger.change(order_id, Some(seq), change))
            .await
    }

    /// Records the announced events, each order with the number of its event, and returns those
    /// that nobody has announced.
    pub(crate) async fn settle(
        &self,
        announced: HashMap<u64, u64>,
    ) -> Result<Vec<OrderEvent>, StoreError> {
        self.run(move |ledger, _| ledger.settle(&announced)).await
    }

    pub(crate) async fn order(&self, order_id: u64) -> Result<Order, StoreError> {
        self.read(move |ledger| ledger.order(order_id)).await
    }

    /// The order, for somebody who says that `token` opens it.
    pub(crate) async fn order_opened_by(
        &self,
        order_id: u64,
        token: &str,
    ) -> Result<Order, StoreError> {
        let order = self.order(order_id).await?;
        if !order.token.matches(token) {
            return Err(StoreError::WrongToken(order_id));
        }
        Ok(order)
    }

    pub(crate) async fn board(&self) -> Result<Vec<Order>, StoreError> {
        self.read(|ledger| ledger.board()).await
    }

    pub(crate) async fn simulated(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        self.read(move |ledger| ledger.simulated(limit)).await
    }

    /// The numbers of all simulated orders that are under way.
    pub(crate) async fn under_way(&self) -> Result<Vec<u64>, StoreError> {
        self.read(|ledger| ledger.under_way()).await
    }

    /// An order, and how long nothing has happened to it.
    pub(crate) async fn rested(&self, order_id: u64) -> Result<(Order, Duration), StoreError> {
        self.read(move |ledger| ledger.rested(order_id)).await
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        self.read(|ledger| ledger.ping()).await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |ledger, _| query(ledger)).await
    }

    /// Runs a change. When it returns, the event is committed and queued to be announced, even if
    /// the caller has gone.
    async fn write(
        &self,
        change: impl FnOnce(&mut Ledger) -> Result<OrderEvent, StoreError> + Send + 'static,
    ) -> Result<OrderEvent, StoreError> {
        self.run(move |ledger, announce| {
            let event = change(ledger)?;
            // Nobody announces any more only when the process is ending.
            let _ = announce.blocking_send(event.clone());
            Ok(event)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Ledger, &mpsc::Sender<OrderEvent>) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |ledger, announce| {
            // The caller may have gone; the work is done nevertheless.
            let _ = answer.send(job(ledger, announce));
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answered.await.map_err(|_| StoreError::Stopped)?
    }
}

/// Work for the store's thread: the ledger to work on, and where to put what was committed.
type Job = Box<dyn FnOnce(&mut Ledger, &mpsc::Sender<OrderEvent>) + Send>;

const JOBS_WAITING: usize = 64;
const EVENTS_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs, process};

    use crate::error::StoreError;
    use crate::order::{Item, NewOrder, Status};
    use crate::position::Position;

    use super::Store;

    #[tokio::test]
    async fn acknowledged_changes_survive_a_restart() -> Result<(), StoreError> {
        let path = env::temp_dir().join(format!("order_tracking-{}.sqlite", process::id()));
        let (store, committed) = Store::open(&path)?;
        let (order_id, token) = store.place(chowder()?).await?;
        store.change_status(order_id, Status::Paid, None).await?;
        drop((store, committed));

        let (store, _committed) = Store::open(&path)?;
        let order = store.order_opened_by(order_id, token.reveal()).await?;
        assert_eq!((order.seq, order.status), (2, Status::Paid));
        drop(store);
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", path.display()));
        }
        Ok(())
    }

    #[tokio::test]
    async fn events_are_announced_in_the_order_of_their_commits() -> Result<(), StoreError> {
        let (store, mut committed) = Store::open(Path::new(":memory:"))?;
        let (order_id, _) = store.place(chowder()?).await?;
        let couriers: Vec<_> = (0..200)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    store
                        .locate(
                            order_id,
                            Position {
                                lat: 55.0,
                                lng: 11.0,
                            },
                        )
                        .await
                })
            })
            .collect();
        for seq in 1..=201 {
            assert_eq!(committed.recv().await.map(|event| event.seq()), Some(seq));
        }
        assert_eq!(couriers.len(), 200);
        Ok(())
    }

    #[tokio::test]
    async fn an_order_opens_to_its_token_and_does_not_show_it() -> Result<(), StoreError> {
        let (store, _committed) = Store::open(Path::new(":memory:"))?;
        let (order_id, token) = store.place(chowder()?).await?;
        let order = store.order_opened_by(order_id, token.reveal()).await?;
        assert!(!serde_json::to_string(&order)?.contains(token.reveal()));
        let refused = store.order_opened_by(order_id, "guess").await;
        assert!(matches!(refused, Err(StoreError::WrongToken(_))));
        Ok(())
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() -> Result<(), StoreError> {
        let path = env::temp_dir().join(format!("order_tracking-{}.txt", process::id()));
        fs::write(&path, "This is a shopping list. ".repeat(100))?;
        assert!(matches!(Store::open(&path), Err(StoreError::Database(_))));
        fs::remove_file(&path)?;
        Ok(())
    }

    fn chowder() -> Result<NewOrder, StoreError> {
        let items = vec![Item {
            name: "Chowder".to_owned(),
            quantity: 1,
        }];
        Ok(NewOrder::new("Ada", items)?)
    }
}
