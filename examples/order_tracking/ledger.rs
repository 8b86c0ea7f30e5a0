//! Orders and their events in SQLite: every statement of the example is here. Blocking; the store
//! owns the thread it runs on.
//!
//! Other processes may have the same file open. Values that a change depends on are read within its
//! transaction.

use std::collections::HashMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Params, Row, Transaction, TransactionBehavior, params,
};

use crate::error::StoreError;
use crate::events::OrderEvent;
use crate::order::{Change, Location, NewOrder, Order, Status, Step};
use crate::position::Position;
use crate::secret::Secret;
use crate::town::Route;

/// The open database.
#[derive(Debug)]
pub(crate) struct Ledger {
    connection: Connection,
}

impl Ledger {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        // A transaction that begins as a reader fails at its first change when another process has
        // changed something since.
        connection.set_transaction_behavior(TransactionBehavior::Immediate);
        begin_log(&connection)?;
        // A commit that was answered survives a power cut, not only a crash of this process.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate(&mut connection)?;
        Ok(Self { connection })
    }

    pub(crate) fn place(
        &mut self,
        order: &NewOrder,
        token: &Secret,
        simulated: bool,
    ) -> Result<OrderEvent, StoreError> {
        let transaction = self.connection.transaction()?;
        let event = record_order(&transaction, order, token, simulated)?;
        transaction.commit()?;
        Ok(event)
    }

    /// Places an order that the simulation carries, unless as many as `limit` are under way, and
    /// forgets old ones, so that a demo may run for months.
    pub(crate) fn place_simulated(
        &mut self,
        order: &NewOrder,
        token: &Secret,
        limit: usize,
    ) -> Result<OrderEvent, StoreError> {
        let transaction = self.connection.transaction()?;
        if under_way(&transaction)?.len() >= limit {
            return Err(StoreError::Enough);
        }
        transaction.prepare_cached(DELETE_SWEPT)?.execute([])?;
        let event = record_order(&transaction, order, token, true)?;
        transaction.commit()?;
        Ok(event)
    }

    pub(crate) fn change_status(
        &mut self,
        order_id: u64,
        to: Status,
        note: Option<String>,
    ) -> Result<OrderEvent, StoreError> {
        self.change(order_id, None, Change::Step(to, note))
    }

    pub(crate) fn locate(
        &mut self,
        order_id: u64,
        position: Position,
    ) -> Result<OrderEvent, StoreError> {
        self.change(order_id, None, Change::Ride(position))
    }

    /// Changes an order of which `seq` is the last event, where that is given, and else whatever
    /// has happened to it.
    pub(crate) fn change(
        &mut self,
        order_id: u64,
        seq: Option<u64>,
        change: Change,
    ) -> Result<OrderEvent, StoreError> {
        let transaction = self.connection.transaction()?;
        let (last, status) = state(&transaction, order_id)?;
        if seq.is_some_and(|seq| seq != last) {
            return Err(StoreError::Overtaken(order_id));
        }
        let event = match change {
            Change::Step(to, note) => {
                status.step(to)?;
                record_status(&transaction, order_id, to, note)?
            }
            Change::Ride(position) => {
                status.carry()?;
                record_location(&transaction, order_id, position)?
            }
        };
        transaction.commit()?;
        Ok(event)
    }

    /// Notes up to which event each of these orders was announced, and answers the last event of
    /// those orders whose last event was not, and has been there for so long that nobody is about
    /// to.
    pub(crate) fn settle(
        &mut self,
        announced: &HashMap<u64, u64>,
    ) -> Result<Vec<OrderEvent>, StoreError> {
        if !announced.is_empty() {
            let transaction = self.connection.transaction()?;
            let mut statement = transaction.prepare_cached(UPDATE_ANNOUNCED)?;
            for (order_id, seq) in announced {
                statement.execute([order_id, seq])?;
            }
            drop(statement);
            transaction.commit()?;
        }
        let mut statement = self.connection.prepare_cached(SELECT_UNANNOUNCED)?;
        let rows = statement.query_map([], event_in)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(crate) fn order(&self, order_id: u64) -> Result<Order, StoreError> {
        let order = self
            .connection
            .prepare_cached(SELECT_ORDER)?
            .query_row([key(order_id)?], order_in)
            .optional()?
            .ok_or(StoreError::NoSuchOrder(order_id))?;
        self.with_events(order)
    }

    /// The orders on the board: the newest that are under way, and the newest that are finished.
    /// The oldest comes first.
    pub(crate) fn board(&self) -> Result<Vec<Order>, StoreError> {
        self.orders(SELECT_BOARD, [])
    }

    /// The simulated orders that are under way, `limit` at most. The oldest comes first.
    pub(crate) fn simulated(&self, limit: u32) -> Result<Vec<Order>, StoreError> {
        self.orders(SELECT_SIMULATED, [limit])
    }

    /// The numbers of all of them.
    pub(crate) fn under_way(&self) -> Result<Vec<u64>, StoreError> {
        under_way(&self.connection)
    }

    /// An order, and how long nothing has happened to it. The clock is shared by all processes that
    /// have the file open.
    pub(crate) fn rested(&self, order_id: u64) -> Result<(Order, Duration), StoreError> {
        let order = self.order(order_id)?;
        let seconds = self
            .connection
            .prepare_cached(SELECT_REST)?
            .query_row([order_id, order.seq], |row| row.get(0))?;
        // It is negative where the clock was set back, and then nobody shall wait for it.
        let rested = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        Ok((order, rested))
    }

    pub(crate) fn ping(&self) -> Result<(), StoreError> {
        Ok(self
            .connection
            .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(()))?)
    }

    fn orders(&self, query: &str, parameters: impl Params) -> Result<Vec<Order>, StoreError> {
        let mut statement = self.connection.prepare_cached(query)?;
        let rows = statement.query_map(parameters, order_in)?;
        rows.map(|order| self.with_events(order?)).collect()
    }

    fn with_events(&self, mut order: Order) -> Result<Order, StoreError> {
        let mut steps = self.connection.prepare_cached(SELECT_STEPS)?;
        order.history = steps
            .query_map([order.order_id], step_in)?
            .collect::<Result<_, _>>()?;
        order.note = order.history.last().and_then(|step| step.note.clone());
        order.location = self
            .connection
            .prepare_cached(SELECT_LOCATION)?
            .query_row([order.order_id], location_in)
            .optional()?;
        Ok(order)
    }
}

impl ToSql for Status {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Status {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_name(value.as_str()?).map_err(FromSqlError::other)
    }
}

/// A new file is locked for a moment while one process turns its log on, and SQLite does not wait
/// for that by itself.
fn begin_log(connection: &Connection) -> Result<(), StoreError> {
    let begin = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begin.elapsed() < PATIENCE =>
            {
                thread::sleep(Duration::from_millis(10));
            }
            result => return Ok(result?),
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute_batch(ANNOUNCED)?;
        }
        1 => transaction.execute_batch(ANNOUNCED)?,
        SCHEMA_VERSION => {}
        newer => return Err(StoreError::WrongVersion(newer)),
    }
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    Ok(transaction.commit()?)
}

/// The number of the order's last event, and where it stands.
fn state(transaction: &Transaction<'_>, order_id: u64) -> Result<(u64, Status), StoreError> {
    transaction
        .prepare_cached(SELECT_STATE)?
        .query_row([key(order_id)?], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(StoreError::NoSuchOrder(order_id))
}

fn under_way(connection: &Connection) -> Result<Vec<u64>, StoreError> {
    let mut statement = connection.prepare_cached(SELECT_SIMULATED)?;
    let rows = statement.query_map([u32::MAX], |row| row.get("id"))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn record_order(
    transaction: &Transaction<'_>,
    order: &NewOrder,
    token: &Secret,
    simulated: bool,
) -> Result<OrderEvent, StoreError> {
    let items = serde_json::to_string(order.items())?;
    let order_id = transaction.prepare_cached(INSERT_ORDER)?.query_row(
        params![
            token.reveal(),
            order.customer(),
            items,
            simulated,
            Status::Placed
        ],
        |row| row.get(0),
    )?;
    record_status(transaction, order_id, Status::Placed, None)
}

fn record_status(
    transaction: &Transaction<'_>,
    order_id: u64,
    status: Status,
    note: Option<String>,
) -> Result<OrderEvent, StoreError> {
    let seq = transaction
        .prepare_cached(ADVANCE_STATUS)?
        .query_row(params![order_id, status], |row| row.get(0))?;
    let at = transaction
        .prepare_cached(INSERT_STATUS)?
        .query_row(params![order_id, seq, status, note], |row| row.get(0))?;
    Ok(OrderEvent::Updated {
        order_id,
        seq,
        status,
        note,
        at,
    })
}

fn record_location(
    transaction: &Transaction<'_>,
    order_id: u64,
    position: Position,
) -> Result<OrderEvent, StoreError> {
    let Position { lat, lng } = position;
    let seq = transaction
        .prepare_cached(ADVANCE)?
        .query_row([order_id], |row| row.get(0))?;
    let at = transaction
        .prepare_cached(INSERT_LOCATION)?
        .query_row(params![order_id, seq, lat, lng], |row| row.get(0))?;
    Ok(OrderEvent::Located {
        order_id,
        seq,
        lat,
        lng,
        at,
    })
}

/// The row of an order. SQLite's keys end at 2⁶³, and beyond them there is no order.
fn key(order_id: u64) -> Result<i64, StoreError> {
    i64::try_from(order_id).map_err(|_| StoreError::NoSuchOrder(order_id))
}

/// The order as its own row has it; its events are still to come.
fn order_in(row: &Row<'_>) -> rusqlite::Result<Order> {
    let order_id = row.get("id")?;
    let items: String = row.get("items")?;
    Ok(Order {
        order_id,
        seq: row.get("seq")?,
        customer: row.get("customer")?,
        items: serde_json::from_str(&items).map_err(FromSqlError::other)?,
        status: row.get("status")?,
        note: None,
        history: Vec::new(),
        location: None,
        route: Route::of_order(order_id),
        token: Secret::new(row.get("token")?),
    })
}

fn step_in(row: &Row<'_>) -> rusqlite::Result<Step> {
    Ok(Step {
        status: row.get("status")?,
        note: row.get("note")?,
        at: row.get("at")?,
    })
}

fn location_in(row: &Row<'_>) -> rusqlite::Result<Location> {
    Ok(Location {
        position: Position {
            lat: row.get("lat")?,
            lng: row.get("lng")?,
        },
        at: row.get("at")?,
    })
}

/// An event as it was announced, or should have been.
fn event_in(row: &Row<'_>) -> rusqlite::Result<OrderEvent> {
    let (order_id, seq, at) = (row.get("order_id")?, row.get("seq")?, row.get("at")?);
    Ok(match row.get("status")? {
        Some(status) => OrderEvent::Updated {
            order_id,
            seq,
            status,
            note: row.get("note")?,
            at,
        },
        None => OrderEvent::Located {
            order_id,
            seq,
            lat: row.get("lat")?,
            lng: row.get("lng")?,
            at,
        },
    })
}

/// How long one process waits for another that writes. That takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA_VERSION: u32 = 2;

/// `orders.seq` and `orders.status` say what the last of an order's events says; both tables change
/// in one transaction.
const SCHEMA: &str = "
    CREATE TABLE orders (
        id        INTEGER PRIMARY KEY AUTOINCREMENT,
        token     TEXT NOT NULL,
        customer  TEXT NOT NULL,
        items     TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        status    TEXT NOT NULL,
        seq       INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE events (
        order_id INTEGER NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
        seq      INTEGER NOT NULL,
        status   TEXT,
        note     TEXT,
        lat      REAL,
        lng      REAL,
        at       TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        PRIMARY KEY (order_id, seq)
    ) STRICT, WITHOUT ROWID;";

/// Since version 2: the last event of the order that somebody announced. Those of a version 1 are
/// taken for announced.
const ANNOUNCED: &str = "
    ALTER TABLE orders ADD COLUMN announced INTEGER NOT NULL DEFAULT 0;
    UPDATE orders SET announced = seq;
    CREATE INDEX unannounced ON orders (id) WHERE announced < seq;";

const INSERT_ORDER: &str = "INSERT INTO orders (token, customer, items, simulated, status) VALUES (?, ?, ?, ?, ?) RETURNING id";
const INSERT_STATUS: &str =
    "INSERT INTO events (order_id, seq, status, note) VALUES (?, ?, ?, ?) RETURNING at";
const INSERT_LOCATION: &str =
    "INSERT INTO events (order_id, seq, lat, lng) VALUES (?, ?, ?, ?) RETURNING at";
const ADVANCE_STATUS: &str =
    "UPDATE orders SET seq = seq + 1, status = ?2 WHERE id = ?1 RETURNING seq";
const ADVANCE: &str = "UPDATE orders SET seq = seq + 1 WHERE id = ? RETURNING seq";
const SELECT_STATE: &str = "SELECT seq, status FROM orders WHERE id = ?";
const SELECT_ORDER: &str = "SELECT * FROM orders WHERE id = ?";
const SELECT_STEPS: &str =
    "SELECT status, note, at FROM events WHERE order_id = ? AND status IS NOT NULL ORDER BY seq";
const SELECT_LOCATION: &str = "SELECT lat, lng, at FROM events WHERE order_id = ? AND lat IS NOT NULL ORDER BY seq DESC LIMIT 1";
const SELECT_SIMULATED: &str = "SELECT * FROM orders WHERE simulated AND status NOT IN ('delivered', 'cancelled') ORDER BY id LIMIT ?";
const SELECT_REST: &str =
    "SELECT (julianday('now') - julianday(at)) * 86400 FROM events WHERE order_id = ? AND seq = ?";
const SELECT_BOARD: &str = "
    SELECT * FROM orders WHERE id IN (
        SELECT id FROM (SELECT id FROM orders WHERE status NOT IN ('delivered', 'cancelled') ORDER BY id DESC LIMIT 100)
        UNION
        SELECT id FROM (SELECT id FROM orders WHERE status IN ('delivered', 'cancelled') ORDER BY id DESC LIMIT 6)
    ) ORDER BY id";
const UPDATE_ANNOUNCED: &str = "UPDATE orders SET announced = max(announced, ?2) WHERE id = ?1";
const SELECT_UNANNOUNCED: &str = "
    SELECT events.* FROM orders JOIN events ON order_id = id AND events.seq = orders.seq
    WHERE announced < orders.seq AND at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-2 seconds')
    ORDER BY id LIMIT 100";
const DELETE_SWEPT: &str = "
    DELETE FROM orders WHERE simulated AND status IN ('delivered', 'cancelled') AND id NOT IN (
        SELECT id FROM orders WHERE simulated ORDER BY id DESC LIMIT 50
    )";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::error::StoreError;
    use crate::order::{Item, NewOrder, Status};
    use crate::position::Position;
    use crate::secret::Secret;

    use super::Ledger;

    #[test]
    fn an_orders_events_are_numbered_without_a_gap_and_refusals_leave_none()
    -> Result<(), StoreError> {
        let mut ledger = Ledger::open(Path::new(":memory:"))?;
        let order_id = place(&mut ledger, false)?;
        let seqs = [
            ledger.change_status(order_id, Status::Paid, None)?.seq(),
            ledger
                .locate(
                    order_id,
                    Position {
                        lat: 55.0,
                        lng: 11.0,
                    },
                )?
                .seq(),
        ];
        assert!(matches!(
            ledger.change_status(order_id, Status::Delivered, None),
            Err(StoreError::Illegal(_))
        ));
        let last =
            ledger.change_status(order_id, Status::Cancelled, Some("no leeks".to_owned()))?;
        assert!(matches!(
            ledger.locate(
                order_id,
                Position {
                    lat: 55.0,
                    lng: 11.0
                }
            ),
            Err(StoreError::Illegal(_))
        ));

        assert_eq!((seqs, last.seq()), ([2, 3], 4));
        let order = ledger.order(order_id)?;
        assert_eq!((order.seq, order.status), (4, Status::Cancelled));
        assert_eq!(order.note.as_deref(), Some("no leeks"));
        assert_eq!(
            order
                .history
                .iter()
                .map(|step| step.status)
                .collect::<Vec<_>>(),
            [Status::Placed, Status::Paid, Status::Cancelled]
        );
        Ok(())
    }

    #[test]
    fn orders_nobody_placed_are_not_found() -> Result<(), StoreError> {
        let mut ledger = Ledger::open(Path::new(":memory:"))?;
        for order_id in [0, 1, u64::MAX] {
            assert!(
                matches!(ledger.order(order_id), Err(StoreError::NoSuchOrder(_))),
                "{order_id}"
            );
            let changed = ledger.change_status(order_id, Status::Paid, None);
            assert!(
                matches!(changed, Err(StoreError::NoSuchOrder(_))),
                "{order_id}"
            );
        }
        Ok(())
    }

    #[test]
    fn old_simulated_orders_are_forgotten_and_nobody_elses() -> Result<(), StoreError> {
        let mut ledger = Ledger::open(Path::new(":memory:"))?;
        let customers = place(&mut ledger, false)?;
        let first = place(&mut ledger, true)?;
        for order_id in [customers, first] {
            ledger.change_status(order_id, Status::Cancelled, None)?;
        }
        for _ in 0..50 {
            place(&mut ledger, true)?;
        }
        let soup = vec![Item {
            name: "Soup".to_owned(),
            quantity: 1,
        }];
        let one_more = NewOrder::new("Bo", soup)?;
        let token = Secret::new("token".to_owned());
        let refused = ledger.place_simulated(&one_more, &token, 50);
        assert!(matches!(refused, Err(StoreError::Enough)));
        assert_eq!(ledger.order(first)?.status, Status::Cancelled);
        ledger.place_simulated(&one_more, &token, 51)?;
        assert!(matches!(
            ledger.order(first),
            Err(StoreError::NoSuchOrder(_))
        ));
        assert_eq!(ledger.order(customers)?.status, Status::Cancelled);
        assert_eq!(ledger.under_way()?.len(), 51);
        assert_eq!(ledger.simulated(20)?.len(), 20);
        Ok(())
    }

    fn place(ledger: &mut Ledger, simulated: bool) -> Result<u64, StoreError> {
        let items = vec![Item {
            name: "Chowder".to_owned(),
            quantity: 1,
        }];
        let event = ledger.place(
            &NewOrder::new("Ada", items)?,
            &Secret::new("token".to_owned()),
            simulated,
        )?;
        Ok(event.order_id())
    }
}
