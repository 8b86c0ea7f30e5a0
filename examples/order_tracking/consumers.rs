//! The two consumers: one follows one order, one follows all of them.

use serde::{Deserialize, Serialize};
use strait::layer::GroupName;
use strait::{Accept, Consumer, Context, Message, Reject, Result, Scope};

use crate::error::StoreError;
use crate::events::{BOARD_GROUP, OrderEvent, order_group};
use crate::order::{LinkedOrder, Order};
use crate::secret;
use crate::secret::Staff;
use crate::store::Store;

/// Follows one order for the holder of its token: first the order, then its events.
pub(crate) struct TrackingConsumer {
    order_id: u64,
    token: String,
    /// The last event that the client knows of, be it from a snapshot or by itself.
    seen: u64,
}

impl TrackingConsumer {
    pub(crate) fn new(scope: &Scope) -> Result<Self, Reject> {
        Ok(Self {
            order_id: scope.param("order_id")?,
            token: scope.query("token").unwrap_or_default(),
            seen: 0,
        })
    }

    async fn send_snapshot(&mut self, ctx: &Context) -> Result {
        let order = ctx.state::<Store>().order(self.order_id).await?;
        self.seen = order.seq;
        ctx.send_json(&Answer::Order { order }).await?;
        Ok(())
    }
}

impl Consumer<OrderEvent> for TrackingConsumer {
    /// Joins before it reads: an event committed after the snapshot is sure to arrive, and one that
    /// the snapshot contains already is recognized by its number.
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let store = ctx.state::<Store>();
        let opened = store.order_opened_by(self.order_id, &self.token).await;
        opened.map_err(reject)?;
        ctx.group_add(order_group(self.order_id)).await?;
        self.send_snapshot(ctx).await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> Result {
        match message.json() {
            Ok(Question::Status) => self.send_snapshot(ctx).await,
            Err(_) => refuse(ctx).await,
        }
    }

    async fn event(&mut self, ctx: &Context, event: OrderEvent) -> Result {
        if event.seq() <= self.seen {
            return Ok(());
        }
        if event.seq() > self.seen + 1 {
            return self.send_snapshot(ctx).await;
        }
        self.seen = event.seq();
        ctx.forward().await?;
        Ok(())
    }

    /// Events that were missed during the outage are in the order, so it is read again.
    async fn gap(&mut self, ctx: &Context, _group: GroupName) -> Result {
        self.send_snapshot(ctx).await
    }
}

/// Follows every order for the staff. Its client tells old events from new ones by their numbers,
/// order by order.
pub(crate) struct BoardConsumer;

impl BoardConsumer {
    async fn send_snapshot(&self, ctx: &Context) -> Result {
        let orders = ctx.state::<Store>().board().await?;
        let orders = orders.into_iter().map(LinkedOrder::from).collect();
        ctx.send_json(&Answer::Board { orders }).await?;
        Ok(())
    }
}

impl Consumer<OrderEvent> for BoardConsumer {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        if !is_staff(ctx) {
            return Err(Reject::forbidden().body("Only the staff may see the board."));
        }
        ctx.group_add(BOARD_GROUP).await?;
        self.send_snapshot(ctx).await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> Result {
        match message.json() {
            Ok(Question::Status) => self.send_snapshot(ctx).await,
            Err(_) => refuse(ctx).await,
        }
    }

    async fn event(&mut self, ctx: &Context, _event: OrderEvent) -> Result {
        ctx.forward().await?;
        Ok(())
    }

    async fn gap(&mut self, ctx: &Context, _group: GroupName) -> Result {
        self.send_snapshot(ctx).await
    }
}

/// A request of a client.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Question {
    Status,
}

/// A message to a client, besides the events.
#[derive(Serialize)]
#[serde(tag = "type")]
enum Answer {
    #[serde(rename = "order.snapshot")]
    Order { order: Order },
    #[serde(rename = "board.snapshot")]
    Board { orders: Vec<LinkedOrder> },
    #[serde(rename = "error")]
    Error { message: &'static str },
}

fn reject(error: StoreError) -> Reject {
    match error {
        StoreError::NoSuchOrder(_) => Reject::not_found().body(error.to_string()),
        StoreError::WrongToken(_) => Reject::forbidden().body(error.to_string()),
        error => error.into(),
    }
}

async fn refuse(ctx: &Context) -> Result {
    let message = r#"This is not a question that is answered here. Send {"type":"status"}."#;
    ctx.send_json(&Answer::Error { message }).await?;
    Ok(())
}

/// Browsers cannot set headers on a WebSocket, so the token may also stand in the query.
fn is_staff(ctx: &Context) -> bool {
    let (scope, staff) = (ctx.scope(), ctx.state::<Staff>());
    let in_header = scope.header("authorization").and_then(secret::bearer);
    let in_query = scope.query("staff");
    in_header.is_some_and(|word| staff.matches(word))
        || in_query.is_some_and(|word| staff.matches(&word))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};
    use strait::testing::Communicator;
    use strait::{ChannelLayer, Result};

    use crate::events::{OrderEvent, order_group};
    use crate::order::{Item, NewOrder, Status};
    use crate::position::Position;
    use crate::secret::{Secret, Staff};
    use crate::store::Store;

    #[tokio::test]
    async fn only_who_holds_the_token_gets_in() -> Result {
        let kitchen = Kitchen::open().await?;
        let (order_id, token) = (kitchen.order_id, kitchen.token.reveal());
        let table = [
            (
                format!("/ws/order-tracking/{order_id}/?token={token}"),
                None,
            ),
            (
                format!("/ws/order-tracking/{order_id}/?token=guess"),
                Some(403),
            ),
            (format!("/ws/order-tracking/{order_id}/"), Some(403)),
            (
                format!("/ws/order-tracking/{}/?token={token}", order_id + 1),
                Some(404),
            ),
            (
                format!("/ws/order-tracking/99999999999999999999/?token={token}"),
                Some(404),
            ),
            ("/ws/board/?staff=boss".to_owned(), None),
            (format!("/ws/board/?staff={token}"), Some(403)),
            ("/ws/board/".to_owned(), Some(403)),
        ];
        for (path, status) in table {
            let refused = kitchen.client(&path).connect().await.err();
            let refused = refused.map(|refused| refused.status.as_u16());
            assert_eq!(refused, status, "{path}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn old_events_change_nothing_and_a_gap_is_read_again() -> Result {
        let kitchen = Kitchen::open().await?;
        let mut client = kitchen.customer().await?;
        let paid = kitchen
            .store
            .change_status(kitchen.order_id, Status::Paid, None)
            .await?;
        client.send_text(r#"{"type":"status"}"#).await?;
        assert_eq!(
            kind_and_seq(&mut client).await?,
            ("order.snapshot".to_owned(), 2)
        );
        kitchen.announce(&paid).await?;
        client.expect_nothing().await?;

        let here = Position {
            lat: 55.0,
            lng: 11.0,
        };
        let third = kitchen.store.locate(kitchen.order_id, here).await?;
        kitchen.announce(&third).await?;
        assert_eq!(
            kind_and_seq(&mut client).await?,
            ("order.location".to_owned(), 3)
        );

        kitchen.store.locate(kitchen.order_id, here).await?;
        let fifth = kitchen.store.locate(kitchen.order_id, here).await?;
        kitchen.announce(&fifth).await?;
        assert_eq!(
            kind_and_seq(&mut client).await?,
            ("order.snapshot".to_owned(), 5)
        );
        Ok(())
    }

    #[tokio::test]
    async fn unknown_messages_are_answered_and_the_connection_stays() -> Result {
        let kitchen = Kitchen::open().await?;
        let mut client = kitchen.customer().await?;
        for text in [
            "{",
            "7",
            r#"{"type":"order.updated"}"#,
            r#"{"status":"paid"}"#,
        ] {
            client.send_text(text).await?;
            assert_eq!(
                client.receive_json::<Value>().await?["type"],
                json!("error"),
                "{text}"
            );
        }
        client.send_binary([0]).await?;
        assert_eq!(
            client.receive_json::<Value>().await?["type"],
            json!("error")
        );
        client.send_text(r#"{"type":"status"}"#).await?;
        assert_eq!(
            kind_and_seq(&mut client).await?,
            ("order.snapshot".to_owned(), 1)
        );
        Ok(())
    }

    /// One order, and what is needed to follow it.
    struct Kitchen {
        store: Store,
        layer: ChannelLayer,
        order_id: u64,
        token: Secret,
    }

    impl Kitchen {
        async fn open() -> Result<Self> {
            let (store, _committed) = Store::open(Path::new(":memory:"))?;
            let items = vec![Item {
                name: "Chowder".to_owned(),
                quantity: 1,
            }];
            let (order_id, token) = store.place(NewOrder::new("Ada", items)?).await?;
            Ok(Self {
                store,
                layer: ChannelLayer::memory(),
                order_id,
                token,
            })
        }

        fn client(&self, path: &str) -> Communicator {
            let staff = Staff::new(Secret::new("boss".to_owned()));
            Communicator::new(crate::websockets(&self.store, &staff, &self.layer), path)
        }

        /// A client of the order that has had its first snapshot.
        async fn customer(&self) -> Result<Communicator> {
            let path = format!(
                "/ws/order-tracking/{}/?token={}",
                self.order_id,
                self.token.reveal()
            );
            let mut client = self.client(&path);
            client.connect().await?;
            assert_eq!(
                kind_and_seq(&mut client).await?,
                ("order.snapshot".to_owned(), 1)
            );
            Ok(client)
        }

        async fn announce(&self, event: &OrderEvent) -> Result {
            self.layer
                .group_send(order_group(self.order_id), event)
                .await?;
            Ok(())
        }
    }

    async fn kind_and_seq(client: &mut Communicator) -> Result<(String, u64)> {
        let message: Value = client.receive_json().await?;
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        let seq = [&message["seq"], &message["order"]["seq"]];
        let seq = seq.iter().find_map(|seq| seq.as_u64());
        Ok((kind, seq.unwrap_or_default()))
    }
}
