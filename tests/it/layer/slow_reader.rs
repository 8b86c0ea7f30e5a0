//! A member that stops reading, over real TCP: it is bounded and told, the others and the publisher
//! are not held up by it; and a publisher that outruns delivery waits for delivery.
//!
//! The kernel's buffers are made small on both sides, so that little fits beside the queue whose
//! bound is looked at. Everything runs on one thread: published messages are delivered while this
//! side waits for its own sockets.

use std::future::IntoFuture;
use std::io::ErrorKind;
use std::time::Duration;

use futures::FutureExt;
use strait::close::Cause;
use strait::config::Config;
use strait::layer::Overflow;
use strait::testing::TestServer;
use strait::{Accept, ChannelLayer, Closed, Consumer, Context, Message, Reject, Router};
use tokio::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::client::{Client, Frame, KERNEL, PATIENCE, TEXT, serve};

/// A queue's bound is 1,024 frames or 1 MiB, whichever is first.
struct Row {
    payload: usize,
    queued: usize,
}

const ROWS: [Row; 3] = [
    Row {
        payload: 100,
        queued: 1024,
    },
    Row {
        payload: 1000,
        queued: 1024,
    },
    Row {
        payload: 8188,
        queued: 128,
    },
];

#[tokio::test]
async fn a_slow_reader_is_bounded_and_closed_with_4008_and_the_others_get_everything() {
    for row in ROWS {
        let mut stage = Stage::new(ChannelLayer::memory(), Config::new()).await;
        let mut slow = stage.slow_client().await;
        let mut readers = stage.readers().await;

        let (mut sent, mut closed) = (0, None);
        while closed.is_none() {
            stage
                .publish_and_read(sent, row.payload, &mut readers)
                .await;
            sent += 1;
            assert!(sent < 20_000, "{} bytes: never closed", row.payload);
            closed = stage.closed.try_recv().ok();
        }
        let closed = closed.unwrap();
        assert_eq!(closed.code(), 4008, "{} bytes", row.payload);
        assert_eq!(closed.cause(), Cause::SlowReader, "{} bytes", row.payload);
        assert!(!closed.by_client() && closed.reason().contains("too slow"));

        // It reads again, in time: whole messages from the first on, then why it was closed, then
        // the end.
        let mut written = 0;
        let (code, reason) = loop {
            let frame = slow.frame().await.unwrap();
            if let Some(told) = frame.close() {
                break told;
            }
            assert_eq!(frame, Frame::text(&numbered(written, row.payload)));
            written += 1;
        };
        assert_eq!((code, reason.as_str()), (4008, closed.reason()));
        slow.send_close(code, "").await;
        let after = slow.try_frame().await;
        assert!(!matches!(after, Ok(Some(_))), "{after:?} after the close");

        // The most that was held for it: the kernel's buffer, the queue, the message that found it
        // full, and a few that were published before its end was noticed here.
        let frame = row.payload + if row.payload < 126 { 2 } else { 4 };
        assert!(written * frame <= 6 * KERNEL, "{written} of {frame} bytes");
        let held = sent - written;
        let enough = row.queued..=row.queued + 1 + NOTICED;
        assert!(enough.contains(&held), "{} bytes: {held} held", row.payload);

        // It is out, and the others go on.
        let published = stage
            .publish_and_read(sent, row.payload, &mut readers)
            .await;
        assert_eq!(published, READERS);
        stage.settle_sockets(READERS).await;
    }
}

#[tokio::test]
async fn a_slow_reader_that_never_reads_again_is_reset_when_the_time_of_a_close_is_over() {
    let config = Config::new()
        .write_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_millis(300));
    let mut stage = Stage::new(ChannelLayer::memory(), config).await;
    let mut slow = stage.slow_client().await;
    let mut readers = stage.readers().await;
    let mut sent = 0;
    while stage.closed.is_empty() {
        stage.publish_and_read(sent, 8188, &mut readers).await;
        sent += 1;
    }
    let begun = Instant::now();
    stage.settle_sockets(READERS).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "held for too long"
    );
    stage.publish_and_read(sent, 8188, &mut readers).await;
    assert_eq!(stage.closed.recv().await.unwrap().code(), 4008);
    // Too late: only the bytes in the kernel's buffer are left, and the end is not orderly.
    let error = loop {
        match slow.try_frame().await {
            Ok(Some(frame)) => assert_eq!(frame.opcode, TEXT, "although it did not read"),
            Ok(None) => panic!("an orderly end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test]
async fn neither_the_publisher_nor_the_other_members_wait_for_a_slow_reader() {
    // Were it waited for, then until its time to write is up: longer than this test's patience.
    let config = Config::new().write_timeout(4 * PATIENCE);
    let mut stage = Stage::new(ChannelLayer::memory(), config).await;
    let _slow = stage.slow_client().await;
    let mut readers = stage.readers().await;
    let (mut sent, mut closed) = (0, false);
    // Bursts that have room in a reader's queue, until well after the slow one was closed.
    while !closed || sent % 2000 != 0 {
        let burst = sent..sent + 200;
        for n in burst.clone() {
            let publish = stage.layer.group_broadcast("room", numbered(n, 1000));
            let published = timeout(PATIENCE, publish.into_future()).await;
            let receivers = published.expect("the publisher was held up").unwrap();
            assert!((READERS..=READERS + 1).contains(&receivers.receivers));
        }
        for reader in &mut readers {
            for n in burst.clone() {
                reader.expect(n, 1000).await;
            }
        }
        sent = burst.end;
        assert!(sent < 20_000, "never closed");
        if let Ok(end) = stage.closed.try_recv() {
            assert_eq!(end.cause(), Cause::SlowReader);
            closed = true;
        }
    }
}

#[tokio::test]
async fn with_drop_a_slow_reader_lives_and_received_and_dropped_make_what_was_sent() {
    for row in ROWS {
        let layer = ChannelLayer::memory().overflow("ro*", Overflow::Drop);
        let config = Config::new().write_timeout(4 * PATIENCE);
        let stage = Stage::new(layer, config).await;
        let mut slow = stage.slow_client().await;
        let mut readers = stage.readers().await;
        let mut sent = 0;
        // Twice, to see that the count begins again.
        for round in ["first", "second"] {
            let what = format!("{} bytes, {round} round", row.payload);
            let (begin, size) = (sent, row.payload);
            while sent < begin + 2 * row.queued + 6 * KERNEL / size {
                let receivers = stage.publish_and_read(sent, size, &mut readers).await;
                assert_eq!(receivers, READERS + 1, "{what}");
                sent += 1;
            }
            slow.send_text("dropped").await;
            let (mut received, mut last) = (0, None);
            let dropped = loop {
                let text = slow.receive_text().await;
                if let Some(count) = text.strip_prefix("dropped ") {
                    break count.parse::<usize>().unwrap();
                }
                let n = number_of(&text);
                assert!(last < Some(n), "{what}: {n} after {last:?}");
                assert_eq!(text, numbered(n, size), "{what}");
                (received, last) = (received + 1, Some(n));
            };
            assert_eq!(received + dropped, sent - begin, "{what}");
            assert!(
                dropped > 0 && received >= row.queued,
                "{what}: {dropped} dropped"
            );
        }
        // It reads now, and misses nothing more.
        stage.publish_and_read(sent, 10, &mut readers).await;
        slow.expect(sent, 10).await;
        slow.send_text("dropped").await;
        assert_eq!(slow.receive_text().await, "dropped 0");
        assert!(stage.closed.is_empty());
    }
}

#[tokio::test]
async fn a_publisher_that_outruns_delivery_waits_and_everything_arrives() {
    // At most 256 messages or 256 KiB are pending.
    for (payload, pending) in [(100, 256), (8188, 32)] {
        let stage = Stage::new(ChannelLayer::memory(), Config::new()).await;
        let mut readers = stage.readers().await;
        let publish = |n: usize| {
            let publish = stage.layer.group_broadcast("room", numbered(n, payload));
            publish.into_future()
        };
        // Nothing is delivered while this one thread does not wait.
        for n in 0..pending {
            let published = publish(n).now_or_never();
            assert!(published.is_some(), "{payload} bytes: {n} had no room");
        }
        for _ in 0..3 {
            let given_up = publish(pending).now_or_never();
            assert!(given_up.is_none(), "{payload} bytes: no bound");
        }
        // Those were given up and never sent. The rest waits its turn; in all it is no more than a
        // reader's queue takes.
        let (mut reading, total) = (JoinSet::new(), 3 * pending);
        for mut reader in readers.drain(..) {
            reading.spawn(async move {
                for n in 0..total {
                    reader.expect(n, payload).await;
                }
                reader
            });
        }
        for n in pending..total {
            let published = timeout(PATIENCE, publish(n)).await.unwrap();
            assert_eq!(published.unwrap().receivers, READERS);
        }
        while let Some(reader) = reading.join_next().await {
            readers.push(reader.unwrap());
        }
        assert_eq!(
            stage.publish_and_read(total, 10, &mut readers).await,
            READERS
        );
    }
}

/// A server with one group.
struct Stage {
    layer: ChannelLayer,
    server: TestServer,
    /// How slow clients were closed.
    closed: UnboundedReceiver<Closed>,
}

impl Stage {
    async fn new(layer: ChannelLayer, config: Config) -> Self {
        let (told, closed) = mpsc::unbounded_channel();
        let router = Router::new()
            .path("ws/", |_| Ok(Member { told: None }))
            .path("slow/", move |_| {
                Ok(Member {
                    told: Some(told.clone()),
                })
            })
            .channel_layer(layer.clone())
            .config(config);
        Self {
            layer,
            server: serve(router).await,
            closed,
        }
    }

    async fn slow_client(&self) -> Client {
        Client::connect_narrow(self.server.local_addr(), "/slow/").await
    }

    async fn readers(&self) -> Vec<Client> {
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(Client::connect(self.server.local_addr(), "/ws/").await);
        }
        readers
    }

    /// The number of receivers. Returns when all readers have the message; the slow client, which
    /// joined before them, was then served too.
    async fn publish_and_read(&self, n: usize, payload: usize, readers: &mut [Client]) -> usize {
        let publish = self.layer.group_broadcast("room", numbered(n, payload));
        let published = timeout(PATIENCE, publish.into_future()).await;
        for reader in readers {
            reader.expect(n, payload).await;
        }
        published.expect("held up").unwrap().receivers
    }

    async fn settle_sockets(&self, count: usize) {
        timeout(PATIENCE, async {
            while self.server.sockets().count() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the slow reader's session did not end");
    }
}

struct Member {
    told: Option<UnboundedSender<Closed>>,
}

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("room").relay().await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        ctx.send_text(format!("dropped {}", ctx.dropped())).await?;
        Ok(())
    }

    async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
        if let Some(told) = &self.told {
            let _ = told.send(closed);
        }
    }
}

impl Client {
    async fn expect(&mut self, n: usize, payload: usize) {
        assert_eq!(self.receive_text().await, numbered(n, payload));
    }
}

/// A message of this length that says which it is.
fn numbered(n: usize, payload: usize) -> String {
    format!("{n:<payload$}")
}

fn number_of(text: &str) -> usize {
    text.trim_end().parse().unwrap()
}

const READERS: usize = 20;
/// How many messages may be published between a close and this side's notice of it.
const NOTICED: usize = 16;
