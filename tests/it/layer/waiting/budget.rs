//! The node's budget: where too much waits in all, the slowest are closed, and nobody else.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use strait::close::Cause;
use strait::config::Config;
use strait::layer::Overflow;
use strait::service::{Drain, Sockets, WebSocketService};
use strait::testing::Communicator;
use strait::{Accept, ChannelLayer, Closed, Consumer, Context, Event, Message, Reject, Router};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::support::client::{Client, Frame, PATIENCE, serve};

#[derive(Debug)]
struct Row {
    payload: usize,
    /// How many messages are published before they are read: concurrent ones are joined.
    together: usize,
    overflow: Overflow,
    budget: usize,
    /// The bytes that are held before the first are closed: the ten share large frames, small ones
    /// are copied for each.
    published: usize,
}

const ROWS: [Row; 2] = [
    Row {
        payload: 16_000,
        together: 4,
        overflow: Overflow::Close,
        budget: 200_000,
        published: 20,
    },
    Row {
        payload: 2000,
        together: 1,
        overflow: Overflow::Drop,
        budget: 100_000,
        published: 60,
    },
];

#[tokio::test]
async fn of_a_thousand_members_ten_that_do_not_read_are_closed_and_the_rest_get_everything() {
    for row in ROWS {
        let mut stage = Stage::new(row.budget, row.overflow, Config::new());
        let mut still = Vec::new();
        for _ in 0..10 {
            still.push(stage.client("slow/").await);
        }
        let mut readers = Vec::new();
        for _ in 0..990 {
            readers.push(stage.client("ws/").await);
        }
        for n in (0..row.published).step_by(row.together) {
            let together = n..n + row.together;
            let texts: Vec<_> = together.map(|n| format!("{n:<0$}", row.payload)).collect();
            for text in &texts {
                stage.layer.group_broadcast("room", &**text).await.unwrap();
            }
            for reader in &mut readers {
                for text in &texts {
                    assert_eq!(reader.receive_text().await.unwrap(), *text, "{row:?}");
                }
            }
            // A frame that has begun is finished.
            let used = stage.layer.budget_used();
            assert!(used <= row.budget + 20 * row.payload, "{row:?}: {used}");
        }
        // Those that share what they hold go together; of those that hold copies, one by one.
        let mut ended = 0;
        while let Ok(closed) = stage.closed.try_recv() {
            ended += 1;
            assert_eq!(
                (closed.code().as_u16(), closed.cause()),
                (4008, Cause::SlowReader)
            );
            assert!(closed.reason().contains("no more room"), "{closed:?}");
        }
        let expected = if row.payload > 2000 { 10..=10 } else { 1..=9 };
        assert!(expected.contains(&ended), "{row:?}: {ended} closed");
        // It goes on, and nothing is left behind.
        drop(still);
        stage.settle(990).await;
        let published = stage.layer.group_broadcast("room", "last").await.unwrap();
        assert_eq!(published.receivers, 990);
        assert_eq!(stage.layer.budget_used(), 0, "{row:?}");
    }
}

#[tokio::test]
async fn a_slow_reader_is_told_4008_over_tcp() {
    let mut stage = Stage::new(200_000, Overflow::Drop, Config::new());
    let server = serve(router(&stage.layer, &stage.member, Config::new())).await;
    let mut slow = Client::connect_narrow(server.local_addr(), "/slow/").await;
    let mut quick = Client::connect_narrow(server.local_addr(), "/ws/").await;
    let mut sent = 0;
    let closed = loop {
        let text = format!("{sent:<8000}");
        stage.layer.group_broadcast("room", &*text).await.unwrap();
        assert_eq!(quick.receive_text().await, text);
        sent += 1;
        if let Ok(closed) = stage.closed.try_recv() {
            break closed;
        }
        assert!(sent < 500, "never closed");
    };
    assert_eq!(closed.cause(), Cause::SlowReader);
    let mut next = 0;
    let told = loop {
        let frame = slow.frame().await.unwrap();
        if let Some(told) = frame.close() {
            break told;
        }
        assert_eq!(frame, Frame::text(&format!("{next:<8000}")));
        next += 1;
    };
    assert_eq!(told, (4008, closed.reason().to_owned()));
    assert_eq!(stage.layer.budget_used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_is_closed_with_1013_whether_events_or_messages_wait() {
    for with_events in [true, false] {
        let config = Config::new().messages(10_000, 10_000_000);
        let mut stage = Stage::new(100_000, Overflow::Drop, config);
        let mut slow = stage.client("slow/").await;
        let mut quick = stage.client("ws/").await;
        slow.send_text("wait").await.unwrap();
        for n in 0..20 {
            if with_events {
                let event = Event::new("event").with("n", "x".repeat(8000));
                stage.layer.group_send("room", &event).await.unwrap();
            } else if slow.send_text("x".repeat(8000)).await.is_err() {
                panic!("{n}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(stage.layer.budget_used() <= 100_000);
        }
        // Its hook has its grace; meanwhile nothing is held for it.
        assert_eq!(stage.layer.budget_used(), 0, "{with_events}");
        let (code, reason) = slow.expect_close().await.unwrap();
        assert_eq!(code.as_u16(), 1013);
        let closed = stage.closed.recv().await.unwrap();
        assert_eq!((closed.code(), closed.reason()), (code, &*reason));
        assert_eq!(closed.cause(), Cause::SlowHook);
        assert!(stage.closed.is_empty());
        quick.send_text("still here").await.unwrap();
        assert_eq!(quick.receive_text().await.unwrap(), "still here");
    }
}

/// How a connection ends with a lot that waits.
#[derive(Clone, Copy, Debug)]
enum End {
    Panic,
    Error,
    Drain,
    Cut,
    Gone,
    Closes,
    Reads,
}

#[tokio::test(start_paused = true)]
async fn however_a_connection_ends_all_is_given_back() {
    use End::{Closes, Cut, Drain, Error, Gone, Panic, Reads};
    for end in [Panic, Error, Drain, Cut, Gone, Closes, Reads] {
        let config = Config::new().messages(10_000, 10_000_000);
        let stage = Stage::new(usize::MAX, Overflow::Close, config);
        let mut clients = Vec::new();
        for _ in 0..4 {
            let mut client = stage.client("slow/").await;
            client.send_text("wait").await.unwrap();
            clients.push(client);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        for n in 0..20 {
            let event = Event::new("event").with("n", "x".repeat(100 + 1000 * n));
            stage.layer.group_send("room", &event).await.unwrap();
            let text = "y".repeat(100 + 1000 * n);
            stage
                .layer
                .group_broadcast("room", text)
                .latest("key")
                .await
                .unwrap();
            stage
                .layer
                .group_broadcast("room", "z".repeat(5000))
                .await
                .unwrap();
            for client in &mut clients {
                client.send_text("m".repeat(3000)).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(stage.layer.budget_used() > 200_000, "{end:?}");
        finish(end, &stage, clients).await;
        stage.settle(0).await;
        assert_eq!(stage.layer.budget_used(), 0, "{end:?}");
    }
}

async fn finish(end: End, stage: &Stage, mut clients: Vec<Communicator>) {
    match end {
        End::Panic | End::Error => {
            *stage.member.failure.lock().unwrap() = Some(end);
            stage.member.gate.add_permits(1000);
        }
        End::Drain => {
            stage.member.gate.add_permits(1000);
            stage.sockets.drain(Drain::new()).await;
        }
        // The hooks do not end.
        End::Cut => {
            let drain = Drain::new().deadline(Duration::from_millis(10));
            stage.sockets.drain(drain).await;
        }
        End::Gone => drop(clients),
        End::Closes => {
            for mut client in clients {
                let _ = client.disconnect().await;
            }
        }
        End::Reads => {
            stage.member.gate.add_permits(1000);
            for client in &mut clients {
                client.send_text("done").await.unwrap();
                while client.receive_text().await.unwrap() != "done" {}
            }
            assert_eq!(stage.layer.budget_used(), 0);
            drop(clients);
        }
    }
}

struct Stage {
    layer: ChannelLayer,
    service: WebSocketService,
    sockets: Sockets,
    member: Member,
    /// How slow clients were closed.
    closed: UnboundedReceiver<Closed>,
}

impl Stage {
    fn new(budget: usize, overflow: Overflow, config: Config) -> Self {
        let layer = ChannelLayer::memory()
            .budget(budget)
            .overflow("*", overflow);
        let (told, closed) = mpsc::unbounded_channel();
        let member = Member {
            told,
            gate: Arc::new(Semaphore::new(0)),
            failure: Arc::new(Mutex::new(None)),
            is_slow: false,
        };
        let (service, sockets) = router(&layer, &member, config).into_service();
        Self {
            layer,
            service,
            sockets,
            member,
            closed,
        }
    }

    async fn client(&self, path: &str) -> Communicator {
        let mut client = Communicator::new(&self.service, path).timeout(PATIENCE);
        client.connect().await.unwrap();
        client
    }

    async fn settle(&self, count: usize) {
        timeout(PATIENCE, async {
            while self.sockets.count() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("sessions did not end");
    }
}

fn router(layer: &ChannelLayer, member: &Member, config: Config) -> Router {
    let (quick, slow) = (member.clone(), member.clone());
    let slow = Member {
        is_slow: true,
        ..slow
    };
    Router::new()
        .path("ws/", move |_| Ok(quick.clone()))
        .path("slow/", move |_| Ok(slow.clone()))
        .channel_layer(layer.clone())
        .config(config.write_timeout(4 * PATIENCE))
}

/// Echoes; the hooks of a slow one wait at the gate.
#[derive(Clone)]
struct Member {
    told: UnboundedSender<Closed>,
    gate: Arc<Semaphore>,
    /// The result of a hook that has passed the gate.
    failure: Arc<Mutex<Option<End>>>,
    is_slow: bool,
}

impl Member {
    async fn pass(&self) -> strait::Result {
        if self.is_slow {
            self.gate.acquire().await?.forget();
        }
        match *self.failure.lock().unwrap() {
            Some(End::Panic) => panic!("on purpose"),
            Some(_) => Err("on purpose".into()),
            None => Ok(()),
        }
    }
}

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("room").await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        self.pass().await?;
        Ok(ctx.send(message).await?)
    }

    async fn event(&mut self, _ctx: &Context, _event: Event) -> strait::Result {
        self.pass().await
    }

    async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
        if self.is_slow {
            let _ = self.told.send(closed);
        }
    }
}
