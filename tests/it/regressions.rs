//! Faults of the past, one test for each: a hook fails, a deadline has no end, a client floods or
//! is gone, a waker polls at once, a server stops.
//!
//! In memory and with the clock paused if the fault can be seen there; over TCP if it was one of
//! the socket's.

use std::future::{pending, ready};
use std::panic::{panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::time::Duration;
use std::{fmt, task, thread};

use strait::close::Cause;
use strait::config::Config;
use strait::layer::Overflow;
use strait::service::{Drain, Sockets, WebSocketService};
use strait::testing::{Communicator, TestServer};
use strait::{
    Accept, ChannelLayer, Closed, Consumer, Context, Error, Event, Message, Reject, Router, Server,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::client::{CLOSE, Client, PATIENCE, TEXT, frame, request};

/// Six messages came in one write, events wait, and the second message's hook fails or closes: at
/// once, or after a wait in which the rest was read ahead. The third message and the events are no
/// longer handled.
#[tokio::test(start_paused = true)]
async fn after_a_hook_that_fails_or_closes_no_other_runs_but_disconnect() {
    let rows = [
        ("panic", 1011, Cause::Panic),
        ("fail", 1011, Cause::Error),
        ("end", 4100, Cause::Error),
        ("close", 4100, Cause::Server),
        ("nap panic", 1011, Cause::Panic),
        ("nap fail", 1011, Cause::Error),
        ("nap end", 4100, Cause::Error),
        ("nap close", 4100, Cause::Server),
    ];
    for (orders, code, cause) in rows {
        let stage = Stage::new(Config::new());
        let mut stream = stage.stream().await;
        let messages = ["one", orders, "three", "four", "five", "six"];
        let burst: Vec<u8> = messages.iter().flat_map(|text| frame(TEXT, text)).collect();
        stream.write_all(&burst).await.unwrap();
        for _ in 0..3 {
            stage.send_event("late").await;
        }
        sleep(Duration::from_secs(30)).await;

        // Messages and events take turns, so one event may have gone before the hook that failed.
        let mut lines = stage.log.lines();
        lines.retain(|line| line != "event late");
        let farewell = format!("disconnect {code} {cause:?}");
        assert_eq!(
            lines,
            ["receive one", &format!("receive {orders}"), &farewell]
        );
        let events = stage.log.lines().len() - lines.len();
        assert!(events <= 1, "{orders}: {:?}", stage.log.lines());
        let end = stage.log.lines().pop();
        assert_eq!(end.as_deref(), Some(&*farewell), "{orders}");
    }
}

/// While a hook waits, the client's own close is read; then the hook closes, too. It is the
/// client's close that counts, but the messages before it are not for a consumer that has closed.
#[tokio::test(start_paused = true)]
async fn a_hook_that_closes_after_the_client_did_is_the_last_all_the_same() {
    let stage = Stage::new(Config::new());
    let mut stream = stage.stream().await;
    let mut burst: Vec<u8> = ["one", "nap close", "three", "four"]
        .iter()
        .flat_map(|text| frame(TEXT, text))
        .collect();
    burst.extend(frame(CLOSE, ""));
    stream.write_all(&burst).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        stage.log.lines(),
        ["receive one", "receive nap close", "disconnect 1005 Client"]
    );
}

/// The same with an event's hook: of the six events that wait, the second fails or closes.
#[tokio::test(start_paused = true)]
async fn after_an_event_hook_that_fails_or_closes_no_other_runs_but_disconnect() {
    let rows = [
        ("panic", "disconnect 1011 Panic"),
        ("fail", "disconnect 1011 Error"),
        ("close", "disconnect 4100 Server"),
        ("nap panic", "disconnect 1011 Panic"),
        ("nap fail", "disconnect 1011 Error"),
        ("nap close", "disconnect 4100 Server"),
    ];
    for (orders, farewell) in rows {
        let stage = Stage::new(Config::new());
        let _stream = stage.stream().await;
        for kind in ["one", orders, "three", "four", "five", "six"] {
            stage.send_event(kind).await;
        }
        sleep(Duration::from_secs(30)).await;
        assert_eq!(
            stage.log.lines(),
            ["event one", &format!("event {orders}"), farewell]
        );
    }
}

/// The session's first work is a message that came with the handshake, and its hook spends the
/// task's whole budget: the timer is armed in a poll in which tokio lets nothing happen. The peer
/// says nothing more and answers no ping.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_found_although_the_first_hook_spent_the_budget() {
    for orders in ["nothing", "spend", "nap spend", "spend nap spend"] {
        let stage = Stage::new(Config::new());
        let mut stream = stage.stream().await;
        stream.write_all(&frame(TEXT, orders)).await.unwrap();
        sleep(Duration::from_secs(25 * 6 / 5 + 10 + 3)).await;
        let lines = stage.log.lines();
        assert_eq!(
            lines,
            [&format!("receive {orders}"), "disconnect 4009 TimeOut"]
        );
        assert_eq!(stage.sockets.count(), 0, "{orders}");
    }
}

/// A life in which every deadline begins to run: pings, a peer that does not read for a while, a
/// hook that is still busy when the peer closes, a close frame that is answered late. With one of
/// the deadlines set to "never" it goes as without.
#[tokio::test(start_paused = true)]
async fn no_deadline_is_too_long() {
    const NEVER: Duration = Duration::MAX;
    let soon = || Config::new().ping_interval(Duration::from_millis(100));
    let rows = [
        ("ping_interval", Config::new().ping_interval(NEVER)),
        ("pong_timeout", soon().pong_timeout(NEVER)),
        ("connect_timeout", soon().connect_timeout(NEVER)),
        ("disconnect_timeout", soon().disconnect_timeout(NEVER)),
        ("grace", soon().grace(NEVER)),
        ("write_timeout", soon().write_timeout(NEVER)),
        ("close_timeout", soon().close_timeout(NEVER)),
    ];
    for (row, config) in rows {
        // The client closes while a hook runs.
        let stage = Stage::new(config.clone());
        let mut client = stage.client().await;
        client.send_text("flood").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        for _ in 0..FLOOD {
            assert_eq!(client.receive_text().await.unwrap().len(), 1000, "{row}");
        }
        client.send_text("nap").await.unwrap();
        sleep(Duration::from_millis(100)).await;
        client.disconnect().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(
            stage.log.lines(),
            ["receive flood", "receive nap", "disconnect 1000 Client"],
            "{row}"
        );

        // This side closes; the answer comes a second later.
        let stage = Stage::new(config);
        let mut client = stage.client().await;
        client.send_text("close").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.expect_close().await.unwrap().0, 4100, "{row}");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(
            stage.log.lines(),
            ["receive close", "disconnect 4100 Server"],
            "{row}"
        );
        assert_eq!(stage.sockets.count(), 0, "{row}");
    }
}

/// A drain whose window or deadline is "never" still tells everybody whom it can, and ends when
/// they have gone; so does one that has to cut a hook of a consumer whose `disconnect` may take for
/// ever. With a window of "never", clients are not closed for ages. These are silent, the heartbeat
/// finds them at the latest, and with that the drain is over.
#[tokio::test(start_paused = true)]
async fn no_drain_is_too_long() {
    const NEVER: Duration = Duration::MAX;
    let rows = [
        ("nothing", Config::new(), Drain::new().deadline(NEVER)),
        ("nothing", Config::new(), Drain::new().window(NEVER)),
        (
            "nothing",
            Config::new(),
            Drain::new().window(NEVER).deadline(NEVER),
        ),
        (
            "hang",
            Config::new().disconnect_timeout(NEVER),
            Drain::new(),
        ),
        ("hang", Config::new().close_timeout(NEVER), Drain::new()),
    ];
    for (orders, config, drain) in rows {
        let stage = Stage::new(config);
        let mut clients = JoinSet::new();
        for _ in 0..3 {
            let mut client = stage.client().await.timeout(Duration::from_secs(60));
            client.send_text(orders).await.unwrap();
            clients.spawn(async move { client.expect_close().await.unwrap().0 });
        }
        sleep(Duration::from_secs(1)).await;
        let begin = Instant::now();
        let drained = timeout(Duration::from_secs(60), stage.sockets.drain(drain)).await;
        let passed = begin.elapsed();
        let row = format!("{orders}, {drain:?}");
        match drained {
            Ok(drained) => assert_eq!((drained.closed, drained.abandoned), (3, 0), "{row}"),
            Err(_) => panic!("{row}: after {passed:?}"),
        }
        let lines = stage.log.lines();
        let farewells = lines.iter().filter(|line| line.starts_with("disconnect"));
        assert_eq!(farewells.count(), 3, "{row}: {lines:?}");
    }
}

/// A timeout is added to the time of day: "never" must not cost the connection.
#[tokio::test]
async fn no_timeout_of_the_server_is_too_long() {
    for never in [Duration::MAX, Duration::from_secs(u64::MAX / 2)] {
        let stage = Stage::new(Config::new());
        let server = Server::bind("127.0.0.1:0")
            .router(stage.router())
            .header_timeout(never)
            .keep_alive(never)
            .transfer_timeout(never);
        let server = TestServer::serve(server).await.unwrap();
        drop(Client::connect(server.local_addr(), "/ws/").await);
        until(|| stage.log.lines() == ["disconnect 1006 Lost"]).await;
        server.stop().await;
    }
}

/// Code of the application's panics where none is expected: a local of a hook that is dropped at
/// its grace's end, an error when it is logged, an error when it is dropped, what a panic threw
/// when it is dropped. `disconnect` runs once all the same, and the session ends.
#[tokio::test(start_paused = true)]
async fn disconnect_runs_once_whatever_else_panics() {
    let rows = [
        ("bomb", "disconnect 1000 Client"),
        ("bad display", "disconnect 1011 Panic"),
        ("bad drop", "disconnect 1011 Panic"),
        ("thrown bomb", "disconnect 1011 Panic"),
    ];
    for (orders, farewell) in rows {
        let stage = Stage::new(Config::new());
        let mut stream = stage.stream().await;
        stream.write_all(&frame(TEXT, orders)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        stream.write_all(&close_frame(1000)).await.unwrap();
        sleep(Duration::from_secs(20)).await;
        let received = format!("receive {orders}");
        assert_eq!(stage.log.lines(), [&received, farewell]);
        assert_eq!(stage.sockets.count(), 0, "{orders}");
    }
}

/// A local of `disconnect` panics when it is dropped at the limit. The close frame is out,
/// and its answer is still waited for.
#[tokio::test(start_paused = true)]
async fn the_closing_handshake_goes_on_although_disconnect_panics_when_it_is_dropped() {
    let config = Config::new()
        .disconnect_timeout(Duration::from_secs(1))
        .close_timeout(Duration::from_secs(10));
    let stage = Stage::new(config);
    let mut stream = stage.stream().await;
    let burst = [frame(TEXT, "last bomb"), frame(TEXT, "close")].concat();
    stream.write_all(&burst).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.sockets.count(), 1);
    stream.write_all(&close_frame(4100)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.sockets.count(), 0);
    let farewell = stage.log.lines().pop();
    assert_eq!(farewell.as_deref(), Some("disconnect 4100 Server"));
}

/// A hook makes a `Sending` and hands it to a task of its own, which awaits it when the session
/// sleeps: nothing else would wake the session before the next ping.
#[tokio::test(start_paused = true)]
async fn messages_of_a_spawned_task_are_written_at_once() {
    let stage = Stage::new(Config::new());
    let mut client = stage.client().await;
    client.send_text("later").await.unwrap();
    let begin = Instant::now();
    assert_eq!(client.receive_text().await.unwrap(), "late");
    let passed = begin.elapsed();
    let expected = LATER..LATER + Duration::from_millis(10);
    assert!(expected.contains(&passed), "after {passed:?}");
}

/// A client that never reads while frames wait for it, and whose messages never cease, so that the
/// session always has a next hook and never waits. Its write timeout passes all the same.
#[tokio::test(start_paused = true)]
async fn a_client_that_floods_and_never_reads_is_ended_by_the_write_timeout() {
    let config = Config::new().write_timeout(Duration::from_millis(500));
    let stage = Stage::quiet(config);
    let mut stream = stage.stream().await;
    for _ in 0..200 {
        let frame = "x".repeat(1000);
        let published = stage.layer.group_broadcast("relay", frame).await;
        assert_eq!(published.unwrap().receivers, 1);
    }
    // More than the session deals with between two turns of this task (64 messages, 61 times), so
    // that it never has to wait for the next.
    let chunk = frame(TEXT, "a").repeat(8000);
    let begin = Instant::now();
    while stream.write_all(&chunk).await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(3), "never ended");
        // The clock moves by itself only where everybody waits.
        advance(Duration::from_millis(100)).await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(500), "too early");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.log.lines(), ["disconnect 1006 TimeOut"]);
}

/// A limit of nothing, in time or in number, is a mistake of somebody who wanted it short or off.
/// Messages and events get through, `disconnect` runs once, and no task runs in circles: the paused
/// clock would stand still.
#[test]
fn zero_is_no_trap() {
    const ZERO: Duration = Duration::ZERO;
    within_patience(|| async {
        let rows = [
            ("ping_interval", Config::new().ping_interval(ZERO)),
            ("pong_timeout", Config::new().pong_timeout(ZERO)),
            ("connect_timeout", Config::new().connect_timeout(ZERO)),
            ("disconnect_timeout", Config::new().disconnect_timeout(ZERO)),
            ("grace", Config::new().grace(ZERO)),
            ("write_timeout", Config::new().write_timeout(ZERO)),
            ("close_timeout", Config::new().close_timeout(ZERO)),
            ("messages", Config::new().messages(0, 0)),
            ("messages by count", Config::new().messages(0, usize::MAX)),
            ("messages by bytes", Config::new().messages(usize::MAX, 0)),
            ("events", Config::new().events(0, 0)),
            ("events by count", Config::new().events(0, usize::MAX)),
            ("events by bytes", Config::new().events(usize::MAX, 0)),
            ("outgoing", Config::new().outgoing(0, 0)),
            ("outgoing by count", Config::new().outgoing(0, usize::MAX)),
            ("outgoing by bytes", Config::new().outgoing(usize::MAX, 0)),
        ];
        for (row, config) in rows {
            let stage = Stage::new(config);
            let mut client = stage.client().await;
            for number in 0..3 {
                client.send_text("echo").await.unwrap();
                assert_eq!(client.receive_text().await.unwrap(), "echo", "{row}");
                stage.send_event("echo").await;
                assert_eq!(client.receive_text().await.unwrap(), "echo", "{row}");
                let lines = stage.log.lines().len();
                assert_eq!(lines, 2 * (number + 1), "{row}");
                client.expect_nothing().await.unwrap();
            }
            client.disconnect().await.unwrap();
            sleep(Duration::from_secs(30)).await;
            let last = stage.log.lines().split_off(6);
            assert_eq!(last, ["disconnect 1000 Client"], "{row}");
            assert_eq!(stage.sockets.count(), 0, "{row}");
        }
    });
}

/// Every client exceeds a limit of zero: it is closed with the reason, and nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_is_exceeded_by_everybody() {
    let stage = Stage::new(Config::new().max_message(0));
    let mut client = stage.client().await;
    client.send_text("").await.unwrap();
    client.send_text("x").await.unwrap();
    assert_eq!(client.expect_close().await.unwrap().0, 1009);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.log.lines(), ["receive ", "disconnect 1009 Protocol"]);

    let stage = Stage::new(Config::new().max_groups(0));
    let refusal = Communicator::new(&stage.service, PATH).connect().await;
    assert_eq!(refusal.unwrap_err().status, 500);
    assert_eq!(stage.sockets.count(), 0);
}

/// With a ping interval of nothing a peer that does not answer gets one ping and is then waited
/// for; one that is not read, since a hook hangs and its backlog is full, gets none.
#[test]
fn a_ping_interval_of_zero_does_not_flood_the_peer() {
    within_patience(|| async {
        for (orders, farewell) in [("nothing", 1), ("hang", 0)] {
            let config = Config::new().ping_interval(Duration::ZERO).messages(1, 1);
            let stage = Stage::new(config);
            let mut stream = stage.stream().await;
            let burst = [frame(TEXT, orders), frame(TEXT, orders)].concat();
            stream.write_all(&burst).await.unwrap();
            let mut pings = 0;
            let mut header = [0; 2];
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(30) {
                let read = timeout(Duration::from_secs(1), stream.read_exact(&mut header)).await;
                match read {
                    Ok(Ok(_)) => {
                        assert_eq!(header, [0x89, 0], "{orders}: no ping");
                        pings += 1;
                    }
                    Ok(Err(_)) => break,
                    Err(_) => {}
                }
            }
            assert!(pings <= 1, "{orders}: {pings} pings");
            let lines = stage.log.lines();
            let timed_out = lines.iter().filter(|line| line.ends_with("TimeOut"));
            assert_eq!(timed_out.count(), farewell, "{orders}: {lines:?}");
        }
    });
}

/// The peer resets its connection while a hook hangs and the backlog is full, so that nothing is
/// read; broadcasts never cease, so that the session's queue never holds anything for long. The
/// failed writes are noticed, and the hook has its grace, not for ever.
#[tokio::test]
async fn a_broken_peer_is_noticed_under_a_hanging_hook() {
    let config = Config::new()
        .messages(1, 1000)
        .grace(Duration::from_millis(30));
    let stage = Stage::new(config);
    let server = TestServer::spawn(stage.router()).await.unwrap();
    let mut client = Client::connect(server.local_addr(), "/ws/").await;
    client.write(frame(TEXT, "hang").repeat(6)).await;
    until(|| stage.log.lines() == ["receive hang"]).await;
    // One whose bytes are not read sends no end, but a reset.
    client.stream.set_zero_linger().unwrap();
    drop(client);

    until_async(async || {
        let _ = stage.layer.group_broadcast("relay", "news").await;
        server.sockets().count() == 0
    })
    .await;
    assert_eq!(
        stage.log.lines(),
        ["receive hang", "disconnect 1006 Lost"],
        "earlier messages are ignored after a hook that was dropped"
    );
    server.stop().await;
}

/// The same where one write only fails, and the session has no other reason to look again.
#[tokio::test(start_paused = true)]
async fn one_failed_write_is_enough_to_notice_a_broken_peer() {
    let stage = Stage::new(Config::new().messages(1, 1000));
    let mut stream = stage.stream().await;
    stream
        .write_all(&frame(TEXT, "hang").repeat(6))
        .await
        .unwrap();
    sleep(Duration::from_secs(1)).await;
    drop(stream);
    stage.layer.group_broadcast("relay", "news").await.unwrap();
    let begin = Instant::now();
    while stage.sockets.count() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(12), "not noticed");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(
        begin.elapsed() >= Duration::from_secs(10),
        "without a grace"
    );
    assert_eq!(stage.log.lines(), ["receive hang", "disconnect 1006 Lost"]);
}

/// A task of the hook waits for room to send, with a waker that polls at once (as executors with an
/// inline scheduler have). The session makes room or ends, in every way there is. The waker would
/// run into the mailbox's lock if it were woken under it. Nor does it wait for the connection's
/// end, once nothing more will be sent.
#[test]
fn a_waker_that_polls_at_once_does_not_deadlock() {
    for how in [
        "read",
        "panic",
        "fail",
        "close",
        "close nap",
        "the client closes",
        "the client goes",
        "too slow",
        "drain",
        "cut",
    ] {
        within_patience(move || async move {
            let stage = Stage::new(Config::new().outgoing(1, usize::MAX));
            let mut stream = stage.stream().await;
            stream.write_all(&frame(TEXT, "inline")).await.unwrap();
            sleep(Duration::from_millis(10)).await;
            assert_eq!(stage.log.lines(), ["receive inline"], "{how}");
            let drain = match how {
                "cut" => Drain::new().deadline(Duration::ZERO),
                _ => Drain::new(),
            };
            let mut stream = Some(stream);
            match how {
                "read" => {
                    let mut messages = vec![0; 3 * (LARGE + 10)];
                    let stream = stream.as_mut().unwrap();
                    stream.read_exact(&mut messages).await.unwrap();
                }
                "the client goes" => stream = None,
                "too slow" => drop(stage.layer.group_broadcast("relay", "x").await),
                "drain" | "cut" => {
                    let sockets = stage.sockets.clone();
                    tokio::spawn(async move { sockets.drain(drain).await });
                }
                _ => {
                    let sent = match how {
                        "the client closes" => close_frame(1000),
                        orders => frame(TEXT, orders),
                    };
                    stream.as_mut().unwrap().write_all(&sent).await.unwrap();
                }
            }
            sleep(Duration::from_millis(100)).await;
            let lines = stage.log.lines();
            assert!(
                lines.contains(&"inline over".to_owned()),
                "{how}: {lines:?}"
            );
            drop(stream);
            sleep(Duration::from_secs(20)).await;
            let lines = stage.log.lines();
            let farewells = lines.iter().filter(|line| line.starts_with("disconnect"));
            assert_eq!(farewells.count(), 1, "{how}: {lines:?}");
            assert_eq!(stage.sockets.count(), 0, "{how}");
        });
    }
}

/// Clients wait to be accepted when the server is asked to stop: the stop goes first. If clients
/// never stop arriving, it would not be reached otherwise.
#[tokio::test]
async fn a_stop_goes_before_clients_that_keep_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        client
            .write_all(request("/ws/", "").as_bytes())
            .await
            .unwrap();
        clients.push(client);
    }
    let stage = Stage::new(Config::new());
    let server = Server::from_listener(listener).router(stage.router());
    // The listener has to know of the clients, so that both are ready at the first look.
    yield_now().await;
    let drained = timeout(PATIENCE, server.serve_until(ready(())))
        .await
        .expect("the stop is not honoured")
        .unwrap();
    assert_eq!((drained.closed, drained.abandoned), (0, 0));
    for client in &mut clients {
        let mut answer = Vec::new();
        // An end or a reset, whichever the kernel makes of a listener that is closed.
        let _ = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer, "", "a client was taken after the stop");
    }
}

/// Closings are spread over a quarter of an hour, and after a second all clients have gone by
/// themselves: nobody is left to wait for.
#[tokio::test(start_paused = true)]
async fn a_drain_with_a_long_window_ends_when_nobody_is_left() {
    let stage = Stage::new(Config::new());
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(stage.stream().await);
    }
    let window = Duration::from_secs(900);
    let drain = Drain::new().window(window).deadline(window);
    let begin = Instant::now();
    let leave = async {
        sleep(Duration::from_secs(1)).await;
        streams.clear();
    };
    let (drained, ()) = tokio::join!(stage.sockets.drain(drain), leave);
    assert_eq!((drained.closed, drained.abandoned), (10, 0));
    let passed = begin.elapsed();
    assert!(passed < Duration::from_secs(2), "after {passed:?}");
}

/// A service of scripted consumers, its layer, and a record of the hooks.
struct Stage {
    service: WebSocketService,
    sockets: Sockets,
    layer: ChannelLayer,
    config: Config,
    log: Log,
}

impl Stage {
    fn new(config: Config) -> Self {
        Self::with(config, ChannelLayer::memory(), Log::default())
    }

    /// Notes no messages, and what is too much for a member is dropped.
    fn quiet(config: Config) -> Self {
        let layer = ChannelLayer::memory().overflow("*", Overflow::Drop);
        let log = Log::default();
        log.0.lock().unwrap().quiet = true;
        Self::with(config, layer, log)
    }

    fn with(config: Config, layer: ChannelLayer, log: Log) -> Self {
        let (service, sockets) = router(&config, &layer, &log).into_service();
        Self {
            service,
            sockets,
            layer,
            config,
            log,
        }
    }

    /// The same routes for a server of its own.
    fn router(&self) -> Router {
        router(&self.config, &self.layer, &self.log)
    }

    async fn client(&self) -> Communicator {
        let mut client = Communicator::new(&self.service, PATH).timeout(Duration::from_secs(5));
        client.connect().await.unwrap();
        client
    }

    /// A client that answers nothing by itself. The session finds the frames that it wrote before
    /// it waited.
    async fn stream(&self) -> DuplexStream {
        self.client().await.into_stream().unwrap()
    }

    async fn send_event(&self, kind: &str) {
        self.layer
            .group_send("events", &Event::new(kind))
            .await
            .unwrap();
    }
}

fn router(config: &Config, layer: &ChannelLayer, log: &Log) -> Router {
    let log = log.clone();
    Router::new()
        .config(config.clone())
        .channel_layer(layer.clone())
        .path(PATH, move |_| Ok(Servant::new(log.clone())))
}

/// Which hooks ran.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    quiet: bool,
}

impl Log {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.clone()
    }

    fn hook(&self, line: String) {
        let mut log = self.0.lock().unwrap();
        if !log.quiet {
            log.lines.push(line);
        }
    }

    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().lines.push(line.into());
    }
}

/// Does what the words of a message, or of an event's type, say.
struct Servant {
    log: Log,
    hangs_at_the_end: bool,
}

impl Servant {
    fn new(log: Log) -> Self {
        Self {
            log,
            hangs_at_the_end: false,
        }
    }

    async fn obey(&mut self, ctx: &Context, orders: &str) -> strait::Result {
        match orders {
            "bomb" => return hang_with_a_bomb().await,
            "bad display" => return Err(BadDisplay.into()),
            "bad drop" => return Err(Box::new(BadDrop(Bomb))),
            "thrown bomb" => panic_any(Bomb),
            "last bomb" => self.hangs_at_the_end = true,
            _ => {}
        }
        for order in orders.split(' ') {
            self.carry_out(ctx, order).await?;
        }
        Ok(())
    }

    async fn carry_out(&self, ctx: &Context, order: &str) -> strait::Result {
        match order {
            "nap" => sleep(Duration::from_secs(1)).await,
            "hang" => pending().await,
            "panic" => panic!("on purpose"),
            "fail" => return Err("on purpose".into()),
            "end" => return Err(Error::close(4100, "on purpose").into()),
            "close" => ctx.close(4100, "on purpose").await?,
            "echo" => ctx.send_text("echo").await?,
            "spend" => spend_the_budget().await,
            "later" => send_later(ctx),
            "inline" => self.send_inline(ctx),
            "flood" => {
                for _ in 0..FLOOD {
                    ctx.send_text("x".repeat(1000)).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The first fills the queue, the second waits for room.
    fn send_inline(&self, ctx: &Context) {
        let sendings = [LARGE; 3].map(|bytes| ctx.send_text("x".repeat(bytes)));
        let log = self.log.clone();
        Inline::spawn(async move {
            for sending in sendings {
                sending.await.unwrap();
            }
            log.note("inline over");
        });
    }
}

impl Consumer for Servant {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add("events").await?;
        ctx.group_add("relay").relay().await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let orders = message.into_text()?;
        self.log.hook(format!("receive {orders}"));
        self.obey(ctx, &orders).await
    }

    async fn event(&mut self, ctx: &Context, event: Event) -> strait::Result {
        self.log.hook(format!("event {}", event.kind()));
        self.obey(ctx, event.kind()).await
    }

    async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
        let (code, cause) = (closed.code(), closed.cause());
        self.log.note(format!("disconnect {code} {cause:?}"));
        if self.hangs_at_the_end {
            let _ = hang_with_a_bomb().await;
        }
    }
}

async fn hang_with_a_bomb() -> strait::Result {
    let _bomb = Bomb;
    pending().await
}

/// Hundreds of channel operations, each of which is ready: tokio makes the task wait when its
/// budget is spent.
async fn spend_the_budget() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    for number in 0..300 {
        sender.send(number).await.unwrap();
        receiver.recv().await;
    }
}

fn send_later(ctx: &Context) {
    let sending = ctx.send_text("late");
    tokio::spawn(async move {
        sleep(LATER).await;
        sending.await
    });
}

/// Panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped, on purpose");
        }
    }
}

#[derive(Debug)]
struct BadDisplay;

impl fmt::Display for BadDisplay {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("displayed, on purpose");
    }
}

impl std::error::Error for BadDisplay {}

#[derive(Debug)]
struct BadDrop(Bomb);

impl fmt::Display for BadDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("on purpose")
    }
}

impl std::error::Error for BadDrop {}

/// A task whose waker polls it at once, on the stack of the caller.
struct Inline(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Inline {
    fn spawn(task: impl Future<Output = ()> + Send + 'static) {
        Arc::new(Self(Mutex::new(Some(Box::pin(task))))).wake();
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut task = self.0.lock().unwrap();
        if let Some(future) = task.as_mut()
            && future
                .as_mut()
                .poll(&mut task::Context::from_waker(&waker))
                .is_ready()
        {
            *task = None;
        }
    }
}

/// Runs the test on a thread and a paused clock of its own: one that hangs or runs in circles
/// fails.
fn within_patience<F>(test: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let (over, is_over) = mpsc::channel::<()>();
    let running = thread::spawn(move || {
        // Dropped also when the test panics.
        let _over = over;
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(test());
    });
    let ended = is_over.recv_timeout(PATIENCE);
    assert_eq!(
        ended,
        Err(mpsc::RecvTimeoutError::Disconnected),
        "it hangs, or runs in circles"
    );
    if let Err(panic) = running.join() {
        resume_unwind(panic);
    }
}

/// Waits, on the real clock, for what must come.
async fn until(is_so: impl Fn() -> bool) {
    until_async(async || is_so()).await;
}

async fn until_async(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it never came");
}

fn close_frame(code: u16) -> Vec<u8> {
    frame(CLOSE, code.to_be_bytes())
}

const PATH: &str = "ws/";
/// How many messages of 1,000 bytes are more than a pipe between a client in memory and its session
/// takes.
const FLOOD: usize = 200;
/// One message that is more than that.
const LARGE: usize = 100_000;
const LATER: Duration = Duration::from_millis(50);
