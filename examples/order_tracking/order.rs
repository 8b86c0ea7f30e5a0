//! An order: its items, its steps, and the position of its courier.
//! Pure: no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::position::Position;
use crate::secret::Secret;
use crate::town::Route;

/// A whole order, as a snapshot shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Order {
    pub(crate) order_id: u64,
    /// The number of the last event in this picture. An event with this number or a lower one is
    /// already in it.
    pub(crate) seq: u64,
    pub(crate) customer: String,
    pub(crate) items: Vec<Item>,
    pub(crate) status: Status,
    pub(crate) note: Option<String>,
    pub(crate) history: Vec<Step>,
    pub(crate) location: Option<Location>,
    pub(crate) route: &'static Route,
    /// Opens the order to its customer, so it never travels with it.
    #[serde(skip)]
    pub(crate) token: Secret,
}

/// An order with the link that opens it, for those who may see every order.
#[derive(Debug, Serialize)]
pub(crate) struct LinkedOrder {
    #[serde(flatten)]
    order: Order,
    tracking_url: String,
}

impl From<Order> for LinkedOrder {
    fn from(order: Order) -> Self {
        let tracking_url = tracking_url(order.order_id, &order.token);
        Self {
            order,
            tracking_url,
        }
    }
}

/// A status that the order has reached, and when.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) status: Status,
    pub(crate) note: Option<String>,
    pub(crate) at: String,
}

/// A position of the courier and its time.
#[derive(Debug, Serialize)]
pub(crate) struct Location {
    #[serde(flatten)]
    pub(crate) position: Position,
    pub(crate) at: String,
}

/// An order that may be placed: nobody else makes one, so nobody else checks it.
#[derive(Debug)]
pub(crate) struct NewOrder {
    customer: String,
    items: Vec<Item>,
}

impl NewOrder {
    pub(crate) fn new(customer: &str, items: Vec<Item>) -> Result<Self, Invalid> {
        let customer = text("customer", customer, NAME_LIMIT)?;
        if items.is_empty() || items.len() > ITEMS_LIMIT {
            return Err(Invalid(format!(
                "“items” must hold between 1 and {ITEMS_LIMIT} items, not {}.",
                items.len()
            )));
        }
        let items = items
            .into_iter()
            .enumerate()
            .map(|(index, item)| item.checked(index))
            .collect::<Result<_, _>>()?;
        Ok(Self { customer, items })
    }

    pub(crate) fn customer(&self) -> &str {
        &self.customer
    }

    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }
}

/// One line of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) quantity: u32,
}

impl Item {
    fn checked(self, index: usize) -> Result<Self, Invalid> {
        let name = text(&format!("items[{index}].name"), &self.name, NAME_LIMIT)?;
        if !(1..=QUANTITY_LIMIT).contains(&self.quantity) {
            return Err(Invalid(format!(
                "“items[{index}].quantity” must be between 1 and {QUANTITY_LIMIT}, not {}.",
                self.quantity
            )));
        }
        Ok(Self { name, ..self })
    }
}

/// A change of an order: a step, with a note of the staff, or a position of its courier.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Step(Status, Option<String>),
    Ride(Position),
}

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Placed,
    Paid,
    Preparing,
    Shipped,
    OutForDelivery,
    Delivered,
    Cancelled,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Placed,
        Self::Paid,
        Self::Preparing,
        Self::Shipped,
        Self::OutForDelivery,
        Self::Delivered,
        Self::Cancelled,
    ];

    pub(crate) fn from_name(name: &str) -> Result<Self, Illegal> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| {
                Illegal(format!(
                    "“{name}” is not a status of an order; those are {}.",
                    listed()
                ))
            })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Paid => "paid",
            Self::Preparing => "preparing",
            Self::Shipped => "shipped",
            Self::OutForDelivery => "out_for_delivery",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// The step that follows when all goes well.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::Placed => Some(Self::Paid),
            Self::Paid => Some(Self::Preparing),
            Self::Preparing => Some(Self::Shipped),
            Self::Shipped => Some(Self::OutForDelivery),
            Self::OutForDelivery => Some(Self::Delivered),
            Self::Delivered | Self::Cancelled => None,
        }
    }

    pub(crate) fn is_finished(self) -> bool {
        self.next().is_none()
    }

    /// Says why not, if an order may not go from here to `to`.
    pub(crate) fn step(self, to: Self) -> Result<(), Illegal> {
        let cancellable = matches!(self, Self::Placed | Self::Paid | Self::Preparing);
        if self.next() == Some(to) || (to == Self::Cancelled && cancellable) {
            return Ok(());
        }
        let instead = match self.next() {
            Some(next) if cancellable => format!("next comes “{next}”, or “cancelled”"),
            Some(next) => format!("next comes “{next}”"),
            None => "it is finished".to_owned(),
        };
        Err(Illegal(format!(
            "An order that is “{self}” cannot become “{to}”: {instead}."
        )))
    }

    /// Says why not, if an order that stands here has no courier to report on.
    pub(crate) fn carry(self) -> Result<(), Illegal> {
        if self.is_finished() {
            return Err(Illegal(format!(
                "An order that is “{self}” no longer has a courier on the way."
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A value that cannot be part of an order, as a sentence that names the field.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(String);

/// A change that the order's status does not allow, as a sentence that names both.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Illegal(String);

/// The note of the staff beside a step. Blank is none.
pub(crate) fn note(text_of_note: Option<&str>) -> Result<Option<String>, Invalid> {
    match text_of_note.map(str::trim) {
        None | Some("") => Ok(None),
        Some(note) => text("note", note, NOTE_LIMIT).map(Some),
    }
}

/// The page that follows an order, for the holder of its token.
pub(crate) fn tracking_url(order_id: u64, token: &Secret) -> String {
    format!("/orders/{order_id}?token={}", token.reveal())
}

fn text(field: &str, value: &str, limit: usize) -> Result<String, Invalid> {
    let value = value.trim();
    let length = value.chars().count();
    if length == 0 {
        return Err(Invalid(format!("“{field}” must not be empty.")));
    }
    if length > limit {
        return Err(Invalid(format!(
            "“{field}” may have {limit} characters, not {length}."
        )));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid(format!(
            "“{field}” must be one line of plain text."
        )));
    }
    Ok(value.to_owned())
}

fn listed() -> String {
    Status::ALL.map(|status| format!("“{status}”")).join(", ")
}

const NAME_LIMIT: usize = 60;
const NOTE_LIMIT: usize = 100;
const ITEMS_LIMIT: usize = 20;
const QUANTITY_LIMIT: u32 = 99;

#[cfg(test)]
mod tests {
    use super::{Item, NewOrder, Status};

    #[test]
    fn an_order_goes_one_way_and_is_cancelled_only_before_it_is_shipped() {
        struct Row {
            from: Status,
            to: Vec<Status>,
        }
        let table = [
            Row {
                from: Status::Placed,
                to: vec![Status::Paid, Status::Cancelled],
            },
            Row {
                from: Status::Paid,
                to: vec![Status::Preparing, Status::Cancelled],
            },
            Row {
                from: Status::Preparing,
                to: vec![Status::Shipped, Status::Cancelled],
            },
            Row {
                from: Status::Shipped,
                to: vec![Status::OutForDelivery],
            },
            Row {
                from: Status::OutForDelivery,
                to: vec![Status::Delivered],
            },
            Row {
                from: Status::Delivered,
                to: vec![],
            },
            Row {
                from: Status::Cancelled,
                to: vec![],
            },
        ];
        for row in table {
            for to in Status::ALL {
                assert_eq!(
                    row.from.step(to).is_ok(),
                    row.to.contains(&to),
                    "{} to {to}",
                    row.from
                );
            }
        }
    }

    #[test]
    fn a_refused_step_says_where_from_where_to_and_what_else() {
        struct Row {
            from: Status,
            to: Status,
            sentence: &'static str,
        }
        let table = [
            Row {
                from: Status::Placed,
                to: Status::Shipped,
                sentence: "An order that is “placed” cannot become “shipped”: next comes “paid”, or “cancelled”.",
            },
            Row {
                from: Status::Shipped,
                to: Status::Cancelled,
                sentence: "An order that is “shipped” cannot become “cancelled”: next comes “out_for_delivery”.",
            },
            Row {
                from: Status::Delivered,
                to: Status::Paid,
                sentence: "An order that is “delivered” cannot become “paid”: it is finished.",
            },
        ];
        for row in table {
            let refusal = row.from.step(row.to).map_err(|illegal| illegal.to_string());
            assert_eq!(refusal, Err(row.sentence.to_owned()));
        }
    }

    #[test]
    fn names_lead_back_to_their_status() {
        for status in Status::ALL {
            assert_eq!(
                Status::from_name(status.name()).ok(),
                Some(status),
                "{status}"
            );
            assert_eq!(
                serde_json::to_value(status).ok(),
                Some(status.name().into()),
                "{status}"
            );
        }
        assert!(Status::from_name("flying").is_err());
    }

    #[test]
    fn items_that_cannot_be_ordered_are_named() {
        struct Row {
            customer: &'static str,
            items: &'static [(&'static str, u32)],
            refusal: Option<&'static str>,
        }
        let table = [
            Row {
                customer: " Ada ",
                items: &[("Chowder", 1)],
                refusal: None,
            },
            Row {
                customer: "  ",
                items: &[("Chowder", 1)],
                refusal: Some("“customer” must not be empty."),
            },
            Row {
                customer: "A\nB",
                items: &[("Chowder", 1)],
                refusal: Some("“customer” must be one line of plain text."),
            },
            Row {
                customer: "Ada",
                items: &[],
                refusal: Some("“items” must hold between 1 and 20 items, not 0."),
            },
            Row {
                customer: "Ada",
                items: &[("Tea", 1), ("", 1)],
                refusal: Some("“items[1].name” must not be empty."),
            },
            Row {
                customer: "Ada",
                items: &[("Tea", 0)],
                refusal: Some("“items[0].quantity” must be between 1 and 99, not 0."),
            },
        ];
        for row in table {
            let items = row.items.iter().map(|&(name, quantity)| Item {
                name: name.to_owned(),
                quantity,
            });
            let refusal = NewOrder::new(row.customer, items.collect())
                .err()
                .map(|invalid| invalid.to_string());
            assert_eq!(
                refusal.as_deref(),
                row.refusal,
                "{:?} {:?}",
                row.customer,
                row.items
            );
        }
    }
}
