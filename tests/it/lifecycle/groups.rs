//! Groups and channels of a session: ignored events, members that are left out, the limit of
//! groups, and a runtime that has ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tokio::runtime::{Builder, Runtime};

use strait::close::Cause;
use strait::config::Config;
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Closed, Consumer, Context, Event, Message, Reject, Router};

use super::raw::Raw;
use super::recorder::reached;
use super::stage::Stage;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum OrderEvent {
    #[serde(rename = "order.updated")]
    Updated { order_id: u64 },
}

struct Orders;

impl Consumer<OrderEvent> for Orders {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("orders").await?;
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, event: OrderEvent) -> strait::Result {
        let OrderEvent::Updated { order_id } = event;
        ctx.send_text(order_id.to_string()).await?;
        ctx.forward().await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_none_of_the_consumers_is_ignored() {
    let layer = ChannelLayer::memory();
    let router = Router::new()
        .path("ws/", |_| Ok(Orders))
        .channel_layer(layer.clone());
    let mut client = Communicator::new(router, "/ws/");
    client.connect().await.unwrap();
    let foreign = [
        Event::new("order.deleted"),
        Event::new("order.updated"),
        Event::new("order.updated").with("order_id", "five"),
        Event::new("websocket.disconnect"),
        Event::new("disconnect"),
    ];
    for event in foreign {
        layer.group_send("orders", &event).await.unwrap();
        client.expect_nothing().await.unwrap();
    }
    let own = Event::new("order.updated").with("order_id", 5);
    layer.group_send("orders", &own).await.unwrap();
    assert_eq!(client.receive_text().await.unwrap(), "5");
    assert_eq!(client.receive_json::<Event>().await.unwrap(), own);
}

/// An event whose decoding panics.
struct Explosive;

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: Deserializer<'de>>(_deserializer: D) -> Result<Self, D::Error> {
        panic!("on purpose");
    }
}

struct Bold {
    ends: Arc<Mutex<Vec<Cause>>>,
}

impl Consumer<Explosive> for Bold {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("orders").await?;
        Ok(Accept::new())
    }

    async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
        self.ends.lock().unwrap().push(closed.cause());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_decoding_panics_is_a_panic_as_any_other() {
    let layer = ChannelLayer::memory();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let shared = ends.clone();
    let router = Router::new()
        .path("ws/", move |_| {
            Ok(Bold {
                ends: shared.clone(),
            })
        })
        .channel_layer(layer.clone());
    let mut client = Communicator::new(router, "/ws/");
    client.connect().await.unwrap();
    let event = Event::new("any");
    layer.group_send("orders", &event).await.unwrap();
    let (code, reason) = client.expect_close().await.unwrap();
    assert_eq!((code.as_u16(), &*reason), (1011, ""));
    assert_eq!(*ends.lock().unwrap(), [Cause::Panic]);
}

/// Publishes its message in the way that the message names.
struct Talker {
    forwarded: Arc<Mutex<Vec<bool>>>,
}

impl Consumer for Talker {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("talk").await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let way = message.into_text()?;
        let (layer, own) = (ctx.layer(), ctx.channel_name());
        let said = Event::new("said");
        let published = match &*way {
            "event" => layer.group_send("talk", &said).except(own).await?,
            "frame" => layer.group_broadcast("talk", "said").except(own).await?,
            "all" => layer.group_send("talk", &said).await?,
            _ => layer.send(own, &said).await?,
        };
        let outside = ctx.forward().await.is_err();
        self.forwarded.lock().unwrap().push(outside);
        ctx.send_text(format!("{} told", published.receivers))
            .await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        ctx.send_text(event.kind()).await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_sender_can_be_left_out() {
    let forwarded = Arc::new(Mutex::new(Vec::new()));
    let shared = forwarded.clone();
    let talkers = move |_: &strait::Scope| {
        Ok(Talker {
            forwarded: shared.clone(),
        })
    };
    let (service, sockets) = Router::new().path("ws/", talkers).into_service();
    let mut here = Communicator::new(&service, "/ws/");
    let mut there = Communicator::new(&service, "/ws/");
    here.connect().await.unwrap();
    there.connect().await.unwrap();
    // The way, what is answered, whether the sender hears it, whether the other does.
    let rows = [
        ("event", "1 told", false, true),
        ("frame", "1 told", false, true),
        ("all", "2 told", true, true),
        ("own", "1 told", true, false),
    ];
    for (way, told, to_here, to_there) in rows {
        here.send_text(way).await.unwrap();
        assert_eq!(here.receive_text().await.unwrap(), told, "{way}");
        for (client, hears) in [(&mut here, to_here), (&mut there, to_there)] {
            if hears {
                assert_eq!(client.receive_text().await.unwrap(), "said", "{way}");
            }
            assert_eq!(client.expect_nothing().await, Ok(()), "{way}");
        }
    }
    assert_eq!(
        *forwarded.lock().unwrap(),
        [true; 4],
        "no event in hand in receive"
    );
    assert_eq!(sockets.count(), 2);
}

/// Joins and leaves: `join a b`, `leave a`, `groups`.
struct Joiner;

impl Consumer for Joiner {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let orders = message.into_text()?;
        let mut words = orders.split(' ');
        let verb = words.next();
        for group in words {
            if verb == Some("leave") {
                ctx.group_discard(group).await?;
            } else if let Err(error) = ctx.group_add(group).await {
                let too_many = error.is_too_many_groups();
                let answer = format!("{group} {too_many} {}", error.is_invalid_name());
                ctx.send_text(answer).await?;
                return Ok(());
            }
        }
        ctx.send_text(ctx.groups().len().to_string()).await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_be_in_128_groups() {
    let layer = ChannelLayer::memory();
    let router = Router::new()
        .path("ws/", |_| Ok(Joiner))
        .channel_layer(layer.clone());
    let mut client = Communicator::new(router, "/ws/");
    client.connect().await.unwrap();
    let many: Vec<_> = (0..128).map(|number| format!("g{number}")).collect();
    let rows = [
        (format!("join {}", many.join(" ")), "128"),
        ("join g128".to_owned(), "g128 true false"),
        ("join g5".to_owned(), "128"),
        ("leave g5 g5 never-joined".to_owned(), "127"),
        ("join général".to_owned(), "général false true"),
        ("join g128".to_owned(), "128"),
        ("join g5".to_owned(), "g5 true false"),
    ];
    for (orders, answer) in rows {
        client.send_text(&orders).await.unwrap();
        assert_eq!(client.receive_text().await.unwrap(), answer, "{orders}");
    }
    let probe = Event::new("probe");
    for (group, receivers) in [("g5", 0), ("g6", 1), ("g128", 1)] {
        let published = layer.group_send(group, &probe).await.unwrap();
        assert_eq!(published.receivers, receivers, "{group}");
    }
    client.disconnect().await.unwrap();
    for group in &many {
        let published = layer.group_send(&**group, &probe).await.unwrap();
        assert_eq!(published.receivers, 0, "{group}");
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn a_runtime_that_is_dropped_leaves_no_member_in_a_layer_that_outlives_it() {
    let layer = ChannelLayer::memory();
    let outer = runtime();
    // One idle, one in a hook, one in `connect`, one in `disconnect`.
    for state in ["idle", "hook", "connect", "disconnect"] {
        let inner = runtime();
        let stage = Stage::with(Config::new(), layer.clone());
        let client: Option<Raw> = inner.block_on(async {
            if state == "connect" {
                let mut client = stage.client("connect=hang");
                let pause = Duration::from_secs(1);
                let answer = tokio::time::timeout(pause, client.connect()).await;
                assert!(answer.is_err());
                return None;
            }
            let mut client = stage.enter("disconnect=hang").await;
            match state {
                "hook" => client.send_text("hang").await,
                "disconnect" => client.send_close(1000, "").await,
                _ => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some(client)
        });
        assert_eq!(stage.sockets.count(), 1, "{state}");
        let names = stage.log.names();
        let before = outer.block_on(reached(&layer, &names));
        let here = usize::from(state != "disconnect");
        assert_eq!(before, [here, here, 0, here], "{state}");
        drop(inner);
        let after = outer.block_on(reached(&layer, &names));
        assert_eq!(after, [0, 0, 0, 0], "{state}");
        assert_eq!(stage.sockets.count(), 0, "{state}");
        drop(client);
    }
}

#[test]
fn members_of_another_runtime_go_on_when_the_first_ones_is_dropped() {
    let layer = ChannelLayer::memory();
    let (inner, outer) = (runtime(), runtime());
    let stage = Stage::with(Config::new(), layer.clone());
    let _client = inner.block_on(stage.enter(""));
    let mut channel = layer.new_channel();
    outer.block_on(channel.group_add("room")).unwrap();
    drop(inner);
    outer.block_on(async {
        for number in 0..3 {
            let event = Event::new("number").with("number", number);
            let published = layer.group_send("room", &event).await.unwrap();
            assert_eq!(published.receivers, 1);
            let receiving = channel.recv::<Event>();
            let received = tokio::time::timeout(Duration::from_secs(1), receiving).await;
            assert_eq!(received.unwrap().unwrap(), event);
        }
    });
}
