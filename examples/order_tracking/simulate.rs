//! Simulated orders that move along by themselves, so that there is always something to watch.
//!
//! What an order does next follows from what the store says of it and from nothing else: after a restart they go on from where
//! they were, and the staff may meddle with them on the board.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use crate::error::StoreError;
use crate::order::Item;
use crate::order::NewOrder;
use crate::order::Order;
use crate::order::Status;
use crate::position::Position;
use crate::store::Store;

/// Keeps a number of orders under way.
#[derive(Debug)]
pub(crate) struct Simulation {
    store: Store,
    count: usize,
    rides: Vec<Ride>,
    /// Orders of an earlier run that asked for more of them. They are taken up before new ones are placed.
    waiting: VecDeque<u64>,
}

impl Simulation {
    /// Takes up the orders that are under way already and places what is missing, spread over the stages of an order.
    pub(crate) async fn begin(store: Store, count: u16) -> Result<Self, StoreError> {
        let under_way = store.simulated(u32::MAX).await?;
        let mut simulation = Self {
            store,
            count: count.into(),
            rides: Vec::new(),
            waiting: under_way.iter().map(|order| order.order_id).collect(),
        };
        while simulation.rides.len() < simulation.count && !simulation.waiting.is_empty() {
            simulation.start_next().await?;
        }
        for head_start in (0..STAGES).rev().cycle() {
            if simulation.rides.len() >= simulation.count {
                break;
            }
            let order_id = simulation.start_next().await?;
            for _ in 0..head_start {
                advance(&simulation.store, order_id).await?;
            }
        }
        Ok(simulation)
    }

    /// Goes on for as long as the program runs.
    pub(crate) async fn run(mut self) {
        let mut clock = time::interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "the simulation stumbled");
            }
        }
    }

    /// Moves every order that is due, and starts one for each that is over.
    async fn turn(&mut self) -> Result<(), StoreError> {
        for ride in &mut self.rides {
            if ride.due.is_some_and(|due| due <= Instant::now()) {
                let pause = advance(&self.store, ride.order_id).await?;
                ride.due = pause.map(|pause| Instant::now() + pause);
            }
        }
        self.rides.retain(|ride| ride.due.is_some());
        while self.rides.len() < self.count {
            self.start_next().await?;
        }
        Ok(())
    }

    async fn start_next(&mut self) -> Result<u64, StoreError> {
        let order_id = match self.waiting.pop_front() {
            Some(order_id) => order_id,
            None => self.store.place_simulated(invent()?).await?,
        };
        let due = Some(Instant::now() + pace(Status::Placed, order_id));
        self.rides.push(Ride { order_id, due });
        Ok(order_id)
    }
}

/// An order that is carried.
#[derive(Debug)]
struct Ride {
    order_id: u64,
    /// When it moves next, or `None` when it is over.
    due: Option<Instant>,
}

/// What a simulated order does next.
#[derive(Debug, PartialEq)]
enum Move {
    Step(Status),
    Ride(Position),
}

impl Move {
    /// `None` for an order that is finished.
    fn of(order: &Order) -> Option<Self> {
        let next = order.status.next()?;
        if order.status != Status::OutForDelivery {
            return Some(Self::Step(next));
        }
        let from = order.location.as_ref().map(|location| location.position);
        Some(
            order
                .route
                .ahead(from, STRIDE)
                .map_or(Self::Step(next), Self::Ride),
        )
    }
}

/// Makes the order's next move and says how long it rests then, or `None` if there was none to make.
async fn advance(store: &Store, order_id: u64) -> Result<Option<Duration>, StoreError> {
    let order = match store.order(order_id).await {
        Err(StoreError::NoSuchOrder(_)) => return Ok(None),
        order => order?,
    };
    let (moved, pause) = match Move::of(&order) {
        None => return Ok(None),
        Some(Move::Ride(position)) => (store.locate(order_id, position).await, RIDE),
        Some(Move::Step(to)) => (
            store.change_status(order_id, to, remark(to)).await,
            pace(to, order_id),
        ),
    };
    match moved {
        // The staff was quicker; the next turn sees what it did.
        Ok(_) | Err(StoreError::Illegal(_)) => Ok(Some(pause)),
        Err(error) => Err(error),
    }
}

/// How long an order stays at a stage. Orders differ, so that the demo does not march in step.
fn pace(status: Status, order_id: u64) -> Duration {
    let base = match status {
        Status::Placed | Status::Paid => 5,
        Status::Preparing => 9,
        Status::Shipped => 6,
        Status::OutForDelivery => 1,
        Status::Delivered | Status::Cancelled => 8,
    };
    Duration::from_secs(base) + Duration::from_millis(order_id % 5 * 600)
}

fn remark(status: Status) -> Option<String> {
    let remark = match status {
        Status::Preparing => "On the stove now",
        Status::Shipped => "Packed warm and handed to Mara",
        Status::OutForDelivery => "Mara has left the kitchen by bicycle",
        Status::Delivered => "Handed over at the door",
        Status::Placed | Status::Paid | Status::Cancelled => return None,
    };
    Some(remark.to_owned())
}

fn invent() -> Result<NewOrder, StoreError> {
    let dice = getrandom::u32()? as usize;
    let (name, beside) = MEALS[dice / CUSTOMERS.len() % MEALS.len()];
    let items = [(name, 1 + dice as u32 % 2), (beside, 1)];
    let items = items.map(|(name, quantity)| Item {
        name: name.to_owned(),
        quantity,
    });
    Ok(NewOrder::new(
        CUSTOMERS[dice % CUSTOMERS.len()],
        items.into(),
    )?)
}

const TICK: Duration = Duration::from_millis(250);
const RIDE: Duration = Duration::from_secs(1);
/// The share of the way that a courier makes in a `RIDE`.
const STRIDE: f64 = 1.0 / 36.0;
/// How far along the first orders are spread.
const STAGES: u32 = 5;

const CUSTOMERS: [&str; 9] = [
    "Ada", "Bo", "Célia", "Dmitri", "Eun-ji", "Farid", "Greta", "Hanna", "Iñaki",
];
const MEALS: [(&str, &str); 5] = [
    ("Harbour chowder", "Rye bread"),
    ("Saffron mussels", "Sea-salt fries"),
    ("Charred leek tart", "Green salad"),
    ("Smoked trout bowl", "Rye bread"),
    ("Mushroom pie", "Pickled beets"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::error::StoreError;
    use crate::order::Status;
    use crate::store::Store;

    use super::Move;
    use super::Simulation;
    use super::advance;
    use super::invent;

    #[tokio::test]
    async fn a_simulated_order_rides_to_its_door_and_rests() -> Result<(), StoreError> {
        let (store, mut committed) = Store::open(Path::new(":memory:"))?;
        tokio::spawn(async move { while committed.recv().await.is_some() {} });
        let order_id = store.place_simulated(invent()?).await?;
        let mut rides = 0;
        while let Some(next) = Move::of(&store.order(order_id).await?) {
            rides += u32::from(matches!(next, Move::Ride(_)));
            advance(&store, order_id).await?;
        }
        assert_eq!(store.order(order_id).await?.status, Status::Delivered);
        assert!((35..=36).contains(&rides), "{rides} rides");
        assert_eq!(advance(&store, order_id).await?, None);
        Ok(())
    }

    #[tokio::test]
    async fn after_a_restart_the_same_orders_go_on() -> Result<(), StoreError> {
        let (store, mut committed) = Store::open(Path::new(":memory:"))?;
        tokio::spawn(async move { while committed.recv().await.is_some() {} });
        let before = carried(&Simulation::begin(store.clone(), 5).await?);
        let after = Simulation::begin(store.clone(), 3).await?;
        assert_eq!(carried(&after), before[..3]);
        assert_eq!(after.waiting, &before[3..]);
        assert_eq!(store.simulated(100).await?.len(), 5);
        Ok(())
    }

    fn carried(simulation: &Simulation) -> Vec<u64> {
        simulation.rides.iter().map(|ride| ride.order_id).collect()
    }
}
