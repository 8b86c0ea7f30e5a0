//! Simulated orders that move along by themselves, so that there is always something to watch.
//!
//! The next step of an order, and its time, follow from the store alone: after a restart the orders
//! continue, and the staff may change them on the board. Several processes may carry the same
//! orders: the first one makes a move, and the others see that it was made. When one is killed, the
//! others do not even notice.

use std::time::Duration;

use tokio::time;
use tokio::time::{Instant, MissedTickBehavior};

use crate::error::StoreError;
use crate::order::{Change, Item, NewOrder, Order, Status};
use crate::store::Store;

/// Keeps a number of orders under way.
#[derive(Debug)]
pub(crate) struct Simulation {
    store: Store,
    count: usize,
    rides: Vec<Ride>,
}

impl Simulation {
    /// Takes up the orders that are under way already and places what is missing, spread over the
    /// stages of an order.
    pub(crate) async fn begin(store: Store, count: u16) -> Result<Self, StoreError> {
        let mut simulation = Self {
            store,
            count: count.into(),
            rides: Vec::new(),
        };
        simulation.take_up().await?;
        for head_start in (0..STAGES).rev().cycle() {
            let Some(order_id) = simulation.place_next().await? else {
                break;
            };
            for _ in 0..head_start {
                let order = simulation.store.order(order_id).await?;
                move_on(&simulation.store, &order).await?;
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
    pub(crate) async fn turn(&mut self) -> Result<(), StoreError> {
        for ride in &mut self.rides {
            if ride.due.is_some_and(|due| due <= Instant::now()) {
                let pause = advance(&self.store, ride.order_id).await?;
                ride.due = pause.map(|pause| Instant::now() + pause);
            }
        }
        self.rides.retain(|ride| ride.due.is_some());
        if self.rides.len() < self.count {
            self.take_up().await?;
            while self.place_next().await?.is_some() {}
        }
        Ok(())
    }

    /// Carries orders that are under way already: those of an earlier run, or placed by another
    /// process.
    async fn take_up(&mut self) -> Result<(), StoreError> {
        for order_id in self.store.under_way().await? {
            if self.rides.len() >= self.count {
                break;
            }
            if self.rides.iter().all(|ride| ride.order_id != order_id) {
                self.carry(order_id);
            }
        }
        Ok(())
    }

    /// Places an order, if one is missing.
    async fn place_next(&mut self) -> Result<Option<u64>, StoreError> {
        if self.rides.len() >= self.count {
            return Ok(None);
        }
        match self.store.place_simulated(invent()?, self.count).await {
            Ok(order_id) => {
                self.carry(order_id);
                Ok(Some(order_id))
            }
            // Another process was quicker; the next turn takes up what it placed.
            Err(StoreError::Enough) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn carry(&mut self, order_id: u64) {
        let due = Some(Instant::now());
        self.rides.push(Ride { order_id, due });
    }
}

/// An order that is carried.
#[derive(Debug)]
struct Ride {
    order_id: u64,
    /// When to look whether it moves, or `None` when it is over.
    due: Option<Instant>,
}

/// The next step of a simulated order; `None` if it is finished.
fn next(order: &Order) -> Option<Change> {
    let to = order.status.next()?;
    let step = Change::Step(to, remark(to));
    if order.status != Status::OutForDelivery {
        return Some(step);
    }
    let from = order.location.as_ref().map(|location| location.position);
    Some(order.route.ahead(from, STRIDE).map_or(step, Change::Ride))
}

/// Makes the order's next move if it has rested long enough, and says how long it rests now, or
/// `None` if there is no move left.
async fn advance(store: &Store, order_id: u64) -> Result<Option<Duration>, StoreError> {
    let (order, rested) = match store.rested(order_id).await {
        Err(StoreError::NoSuchOrder(_)) => return Ok(None),
        order => order?,
    };
    match pause(&order).checked_sub(rested) {
        Some(rest) if !rest.is_zero() && next(&order).is_some() => Ok(Some(rest)),
        _ => move_on(store, &order).await,
    }
}

async fn move_on(store: &Store, order: &Order) -> Result<Option<Duration>, StoreError> {
    let Some(change) = next(order) else {
        return Ok(None);
    };
    let pause = match &change {
        Change::Step(to, _) => pace(*to, order.order_id),
        Change::Ride(_) => RIDE,
    };
    match store.change_since(order.order_id, order.seq, change).await {
        Ok(_) => Ok(Some(pause)),
        // Another process or the staff was quicker; the next turn sees what it did.
        Err(StoreError::Overtaken(_) | StoreError::NoSuchOrder(_)) => Ok(Some(Duration::ZERO)),
        Err(error) => Err(error),
    }
}

/// The pause before an order's next step.
fn pause(order: &Order) -> Duration {
    match order.location {
        Some(_) if order.status == Status::OutForDelivery => RIDE,
        _ => pace(order.status, order.order_id),
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
    use crate::order::{Change, Status};
    use crate::store::Store;

    use super::{Simulation, advance, invent, move_on, next};

    #[tokio::test]
    async fn a_simulated_order_rides_to_its_door_and_rests() -> Result<(), StoreError> {
        let (store, mut committed) = Store::open(Path::new(":memory:"))?;
        tokio::spawn(async move { while committed.recv().await.is_some() {} });
        let order_id = store.place_simulated(invent()?, 1).await?;
        let mut rides = 0;
        loop {
            let order = store.order(order_id).await?;
            let Some(next) = next(&order) else { break };
            rides += u32::from(matches!(next, Change::Ride(_)));
            move_on(&store, &order).await?;
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
        assert_eq!(store.under_way().await?, before);
        Ok(())
    }

    fn carried(simulation: &Simulation) -> Vec<u64> {
        simulation.rides.iter().map(|ride| ride.order_id).collect()
    }
}
