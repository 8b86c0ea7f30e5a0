//! One hook at a time, messages in order, events in order, and turns between them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use strait::close::Cause;
use strait::config::Config;
use strait::testing::Communicator;
use strait::{
    Accept, BoxError, ChannelLayer, Closed, Consumer, Context, Event, Message, Reject, Router,
};

use super::raw::Raw;
use super::stage::Stage;
use crate::support::client::{CLOSE, PING, PONG, TEXT, close_payload, frame};

/// Notes what it gets, and panics if two of its hooks ever run at once. A hook may take its time.
struct Single {
    notes: Arc<Mutex<Vec<String>>>,
    running: AtomicBool,
    pause: Duration,
}

impl Single {
    async fn alone(&self, note: impl Into<String>) {
        assert!(
            !self.running.swap(true, Ordering::SeqCst),
            "two hooks at once"
        );
        self.notes.lock().unwrap().push(note.into());
        if self.pause.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(self.pause).await;
        }
        self.running.store(false, Ordering::SeqCst);
    }
}

impl Consumer for Single {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("single").await?;
        self.alone("connect").await;
        Ok(Accept::new())
    }

    async fn receive(&mut self, _ctx: &Context, message: Message) -> strait::Result {
        self.alone(format!("m{}", message.into_text()?)).await;
        Err("for the error hook")?
    }

    async fn event(&mut self, _ctx: &Context, event: Event) -> strait::Result {
        self.alone(format!("e{}", event.kind())).await;
        Ok(())
    }

    async fn error(&mut self, _ctx: &Context, _error: BoxError) -> strait::Result {
        assert!(!self.running.load(Ordering::SeqCst));
        Ok(())
    }

    async fn disconnect(&mut self, _ctx: &Context, _closed: Closed) {
        self.alone("disconnect").await;
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_run_one_at_a_time_in_order_and_neither_kind_starves_the_other() {
    for pause in [Duration::ZERO, Duration::from_millis(10)] {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let layer = ChannelLayer::memory();
        let shared = notes.clone();
        let factory = move |_: &strait::Scope| {
            Ok(Single {
                notes: shared.clone(),
                running: AtomicBool::new(false),
                pause,
            })
        };
        let router = Router::new()
            .path("ws/", factory)
            .channel_layer(layer.clone());
        let mut client = Communicator::new(router, "/ws/");
        client.connect().await.unwrap();
        let mut client = Raw::over(client.into_stream().unwrap());
        // All at once: as many messages as may wait, and as many events.
        let messages: Vec<u8> = (0..60)
            .flat_map(|number| frame(TEXT, format!("{number}").as_bytes()))
            .collect();
        client.write(&messages).await;
        for number in 0..60 {
            let event = Event::new(number.to_string());
            layer.group_send("single", &event).await.unwrap();
        }
        sleep(Duration::from_secs(5)).await;
        client.send_close(1000, "").await;
        assert_eq!(client.frame().await.unwrap().opcode, CLOSE);
        sleep(Duration::from_secs(1)).await;
        let notes = notes.lock().unwrap().clone();
        check_turns(&notes);
    }
}

fn check_turns(notes: &[String]) {
    assert_eq!(notes.first().unwrap(), "connect");
    assert_eq!(notes.last().unwrap(), "disconnect");
    let between = &notes[1..notes.len() - 1];
    for kind in ["m", "e"] {
        let got: Vec<_> = between
            .iter()
            .filter(|note| note.starts_with(kind))
            .collect();
        let expected: Vec<_> = (0..60).map(|number| format!("{kind}{number}")).collect();
        assert_eq!(got, expected.iter().collect::<Vec<_>>());
    }
    // From the first event to the last message, or the other way round, they alternate.
    let first_event = between
        .iter()
        .position(|note| note.starts_with('e'))
        .unwrap();
    assert!(first_event <= 2, "{between:?}");
    let both = &between[first_event..];
    let last = |kind| {
        both.iter()
            .rposition(|note| note.starts_with(kind))
            .unwrap()
    };
    let both = &both[..last('m').min(last('e'))];
    assert!(both.len() > 100);
    for pair in both.windows(2) {
        assert_ne!(pair[0][..1], pair[1][..1], "{both:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_either_kind_lets_the_other_and_the_close_through() {
    // Messages without end; an event gets its turn, when the session has let others run.
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    let flood = frame(TEXT, b"x").repeat(5000);
    client.write(&flood).await;
    stage.event("send hello from the event").await;
    client.expect_text("hello from the event").await;
    let lines = stage.log.lines();
    let place = lines.iter().position(|line| line.starts_with("event"));
    assert!(place.unwrap() < 200, "{place:?}");

    // Events without end; a message gets its turn.
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    stage.event("wait").await;
    for _ in 0..1000 {
        stage.event("x").await;
    }
    client.send_text("send hello from the message").await;
    client.send_close(1000, "").await;
    stage.log.open_gate();
    stage.over().await;
    let lines = stage.log.lines();
    let place = lines.iter().position(|line| line.starts_with("receive"));
    assert!(place.unwrap() < 100, "{place:?}");
}

#[tokio::test(start_paused = true)]
async fn all_that_was_sent_before_the_close_is_received_in_order() {
    // How many messages there are, whether a hook makes them wait, whether each is answered,
    // whether the client reads the answers.
    let rows = [
        (50, true, false, true),
        (100, true, true, true),
        (100, false, true, true),
        (100, false, true, false),
        (1000, true, true, false),
        (5000, false, true, false),
    ];
    for row in rows {
        let (count, waits, answers, stays) = row;
        let stage = Stage::new();
        let mut client = stage.enter("").await;
        let first = if waits { "sleep 5" } else { "go" };
        let mut bytes = frame(TEXT, first.as_bytes());
        for number in 0..count {
            let order = if answers { "send" } else { "note" };
            bytes.extend(frame(TEXT, format!("{order} {number}").as_bytes()));
        }
        bytes.extend(frame(CLOSE, close_payload(1000, "done")));
        assert!(bytes.len() < 128 * 1024);
        client.write(&bytes).await;
        let client = stays.then_some(client);
        stage
            .assert_disconnected(&format!("{row:?}"), (1000, "done", Cause::Client))
            .await;
        let lines = stage.log.lines();
        assert_eq!(lines.len(), count + 3, "{row:?}");
        for (number, line) in lines[2..lines.len() - 1].iter().enumerate() {
            assert!(line.ends_with(&format!(" {number}")), "{row:?}: {line}");
        }
        drop(client);
    }
}

/// How many messages of a size a client can send while the hook hangs, and how many of them wait in
/// the server.
#[tokio::test(start_paused = true)]
async fn while_a_hook_hangs_64_messages_or_256_kib_are_read_ahead() {
    // The capacity of the pipe, and one read.
    let slack = 64 * 1024 + 32 * 1024;
    let rows = [
        (1000, 64 * 1008, 64),
        (100, 64 * 106, 64),
        (16 * 1024, 256 * 1024, 16),
        (60_000, 256 * 1024, 5),
    ];
    for (size, bound, least) in rows {
        let stage = Stage::new();
        let mut client = stage.enter("").await;
        client.send_text("wait").await;
        let message = vec![b'x'; size];
        let mut sent = 0;
        let blocked = async {
            loop {
                client.send(TEXT, &message).await;
                sent += 1;
            }
        };
        let blocked: Result<(), _> = timeout(Duration::from_secs(1), blocked).await;
        assert!(blocked.is_err());
        let most = (bound + size + slack) / size + 1;
        assert!((least..=most).contains(&sent), "{size}: {sent} of {most}");
        assert_eq!(stage.log.lines().len(), 2, "{size}: the hook still hangs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_held_back_goes_on_when_the_hook_is_over() {
    let stage = Stage::with(Config::new().messages(4, 1 << 20), ChannelLayer::memory());
    let mut client = stage.enter("").await;
    client.send_text("wait").await;
    let sending = async {
        for number in 0..500 {
            let message = format!("{number:01000}");
            client.send_text(&message).await;
        }
        client.send_text("send done").await;
        client.expect_text("done").await;
    };
    let opening = async {
        // Longer than a ping and its deadline: silence proves nothing while nothing is read.
        sleep(Duration::from_secs(120)).await;
        assert_eq!(stage.log.lines().len(), 2);
        stage.log.open_gate();
    };
    tokio::join!(sending, opening);
    let lines = stage.log.lines();
    assert_eq!(lines.len(), 503);
    for (number, line) in lines[2..502].iter().enumerate() {
        assert_eq!(*line, format!("receive {number:01000}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_while_reading_rests_is_found_when_something_is_written() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("sleep 3;send x;hang").await;
    for _ in 0..100 {
        client.send_text("waiting").await;
    }
    drop(client);
    stage.over().await;
    stage
        .assert_disconnected("left", (1006, "", Cause::Lost))
        .await;
    assert_eq!(
        stage.log.lines(),
        [
            "connect",
            "receive sleep 3;send x;hang",
            "receive sleep 3;send x;hang: dropped",
            "disconnect"
        ]
    );
}

/// Sends itself an event from each event, until a message stops it.
struct Restless;

impl Consumer for Restless {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        for _ in 0..3 {
            let own = ctx.channel_name();
            ctx.layer().send(own, &Event::new("again")).await?;
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        Ok(ctx.send(message).await?)
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        ctx.layer().send(ctx.channel_name(), &event).await?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_never_cease_leave_the_peer_its_messages_pings_and_close() {
    let (service, sockets) = Router::new().path("ws/", |_| Ok(Restless)).into_service();
    let mut client = Communicator::new(&service, "/ws/");
    client.connect().await.unwrap();
    let mut client = Raw::over(client.into_stream().unwrap());
    client.send_text("hello").await;
    client.expect_text("hello").await;
    client.send(PING, "there?").await;
    assert_eq!(client.frame().await.unwrap().opcode, PONG);
    client.send_close(1000, "").await;
    assert_eq!(client.frame().await.unwrap().opcode, CLOSE);
    assert_eq!(client.frame().await, None);
    tokio::task::yield_now().await;
    assert_eq!(sockets.count(), 0);
}
