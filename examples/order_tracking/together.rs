//! Two instances on one database file and one backend act as one: here each is a store, a layer and
//! what announces, in one process. `tests/walk/together.py` has the same with processes and Redis.

use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs, process, thread};

use serde_json::Value;
use strait::backends::Memory;
use strait::testing::Communicator;
use strait::{ChannelLayer, Result};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::events::{Announcer, OrderEvent};
use crate::order::{Item, NewOrder, Status};
use crate::position::Position;
use crate::secret::{Secret, Staff};
use crate::simulate::Simulation;
use crate::store::Store;

#[tokio::test]
async fn a_change_at_one_instance_reaches_the_sockets_of_the_other() -> Result {
    let (file, memory) = (File::new("change"), Memory::new());
    let (one, other) = (
        Instance::start(&file, &memory).await?,
        Instance::start(&file, &memory).await?,
    );
    let (order_id, token) = one.store.place(chowder()?).await?;
    let mut client = other.customer(order_id, &token).await?;
    for (instance, status) in [(&one, Status::Paid), (&other, Status::Preparing)] {
        instance.store.change_status(order_id, status, None).await?;
        let event: Value = client.receive_json().await?;
        assert_eq!(event["status"], status.name());
    }
    Ok(())
}

/// The process that committed it was killed, or the backend was away.
#[tokio::test]
async fn one_instance_announces_events_that_the_other_could_not() -> Result {
    let (file, memory) = (File::new("left"), Memory::new());
    let (mute, _committed) = Store::open(&file.0)?;
    let other = Instance::start(&file, &memory).await?;
    let (order_id, token) = mute.place(chowder()?).await?;
    let mut client = other.customer(order_id, &token).await?;
    mute.change_status(order_id, Status::Paid, None).await?;
    file.execute("UPDATE events SET at = '2020-01-01T00:00:00.000Z'")?;
    let event: Value = client.receive_json().await?;
    assert_eq!(event["status"], "paid");
    Ok(())
}

#[tokio::test]
async fn an_announced_event_is_not_announced_again() -> Result {
    let (file, memory) = (File::new("settled"), Memory::new());
    let one = Instance::start(&file, &memory).await?;
    let (order_id, token) = one.store.place(chowder()?).await?;
    let mut client = one.customer(order_id, &token).await?;
    one.store
        .change_status(order_id, Status::Paid, None)
        .await?;
    let _event: Value = client.receive_json().await?;
    let settled = [(order_id, 2)].into();
    file.execute("UPDATE events SET at = '2020-01-01T00:00:00.000Z'")?;
    assert_eq!(one.store.settle(settled).await?, []);
    Ok(())
}

#[tokio::test]
async fn both_write_and_no_number_is_missing() -> Result {
    let file = File::new("numbers");
    let (one, _events) = Store::open(&file.0)?;
    let (other, _others) = Store::open(&file.0)?;
    let (order_id, _) = one.place(chowder()?).await?;
    let here = Position {
        lat: 55.0,
        lng: 11.0,
    };
    let writers = [one.clone(), other].map(|store| {
        tokio::spawn(async move {
            for _ in 0..25 {
                store.locate(order_id, here).await?;
            }
            Ok::<_, StoreError>(())
        })
    });
    for writer in writers {
        writer.await??;
    }
    assert_eq!(one.order(order_id).await?.seq, 51);
    Ok(())
}

#[test]
fn a_new_file_may_be_opened_by_many_at_once() {
    for round in 0..20 {
        let file = File::new(&format!("opened-{round}"));
        thread::scope(|scope| {
            let open = || Store::open(&file.0).map_err(|error| error.to_string());
            for opening in [(); 8].map(|()| scope.spawn(open)) {
                let opened = opening.join().map(|opened| opened.map(drop));
                assert!(matches!(opened, Ok(Ok(()))), "{opened:?}");
            }
        });
    }
}

#[tokio::test]
async fn both_carry_the_same_orders_and_each_move_is_made_once() -> Result {
    let file = File::new("carry");
    let (one, events) = Store::open(&file.0)?;
    let (other, others) = Store::open(&file.0)?;
    for committed in [events, others] {
        tokio::spawn(drain(committed));
    }
    let (mut first, mut second) = tokio::try_join!(
        Simulation::begin(one.clone(), 5),
        Simulation::begin(other.clone(), 5)
    )?;
    assert_eq!(one.under_way().await?.len(), 5);
    file.execute("UPDATE events SET at = '2020-01-01T00:00:00.000Z'")?;
    let before = seqs(&one).await?;
    tokio::try_join!(first.turn(), second.turn())?;
    let after: Vec<_> = before
        .iter()
        .map(|(order_id, seq)| (*order_id, seq + 1))
        .collect();
    assert_eq!(seqs(&one).await?, after);
    Ok(())
}

struct Instance {
    store: Store,
    layer: ChannelLayer,
}

impl Instance {
    async fn start(file: &File, memory: &Memory) -> Result<Self> {
        let (store, committed) = Store::open(&file.0)?;
        let layer = ChannelLayer::new(memory.clone()).await?;
        let announcer = Announcer::new(layer.clone());
        tokio::spawn(announcer.clone().announce(committed));
        tokio::spawn(announcer.catch_up(store.clone()));
        Ok(Self { store, layer })
    }

    /// A client of the order, that has had its first snapshot.
    async fn customer(&self, order_id: u64, token: &Secret) -> Result<Communicator> {
        let staff = Staff::new(Secret::new("boss".to_owned()));
        let router = crate::websockets(&self.store, &staff, &self.layer);
        let path = format!("/ws/order-tracking/{order_id}/?token={}", token.reveal());
        // Events that were left are looked for once a second.
        let mut client = Communicator::new(router, &path).timeout(Duration::from_secs(10));
        client.connect().await?;
        let snapshot: Value = client.receive_json().await?;
        assert_eq!(snapshot["type"], "order.snapshot");
        Ok(client)
    }
}

/// A database file that goes with its value.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let file = Self(env::temp_dir().join(format!("together-{name}-{}.sqlite", process::id())));
        file.remove();
        file
    }

    fn execute(&self, statement: &str) -> Result {
        let connection = rusqlite::Connection::open(&self.0)?;
        connection.execute(statement, [])?;
        Ok(())
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.remove();
    }
}

async fn seqs(store: &Store) -> Result<Vec<(u64, u64)>> {
    let orders = store.simulated(100).await?;
    Ok(orders
        .iter()
        .map(|order| (order.order_id, order.seq))
        .collect())
}

async fn drain(mut committed: mpsc::Receiver<OrderEvent>) {
    while committed.recv().await.is_some() {}
}

fn chowder() -> Result<NewOrder> {
    let items = vec![Item {
        name: "Chowder".to_owned(),
        quantity: 1,
    }];
    Ok(NewOrder::new("Ada", items)?)
}
