//! Time limits: hooks of a connection that has ended, the closing handshake, a silent client, one
//! that does not read.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use strait::Message;
use strait::close::Cause;

use super::raw::Raw;
use super::stage::{End, Stage, seconds};
use crate::support::client::{CLOSE, PING, PONG};

/// A hook that is running when the connection ends.
struct Row {
    name: &'static str,
    query: &'static str,
    orders: &'static str,
    /// The action of the client once the hook runs.
    end: Ending,
    /// How many seconds later everything is over.
    over: u64,
    hooks: &'static [&'static str],
    closed: End<'static>,
}

enum Ending {
    Leaves,
    Closes,
    /// Nothing: it is the hook that closes. The client answers the close frame.
    Answers,
    /// The same, but it does not even answer.
    Ignores,
}

const LEFT: End<'static> = (1006, "", Cause::Lost);
const CLOSED: End<'static> = (1000, "bye", Cause::Client);
const SERVER: End<'static> = (4000, "", Cause::Server);

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_running_hook_has_ten_seconds_after_the_end_and_disconnect_five() {
    let row = |name, orders, end, over, hooks, closed| Row {
        name,
        query: "",
        orders,
        end,
        over,
        hooks,
        closed,
    };
    let hanging = |name, orders, end, over, hooks, closed| Row {
        query: "disconnect=hang",
        ..row(name, orders, end, over, hooks, closed)
    };
    let rows = [
        row(
            "lost, the hook ends in time",
            "sleep 9",
            Ending::Leaves,
            9,
            &["connect", "receive sleep 9", "disconnect"],
            LEFT,
        ),
        row(
            "lost, the hook does not end",
            "hang",
            Ending::Leaves,
            10,
            &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
            ],
            LEFT,
        ),
        row(
            "closed, the hook does not end",
            "hang",
            Ending::Closes,
            10,
            &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
            ],
            CLOSED,
        ),
        row(
            "the hook closes and does not end",
            "close 4000;hang",
            Ending::Answers,
            10,
            &[
                "connect",
                "receive close 4000;hang",
                "receive close 4000;hang: dropped",
                "disconnect",
            ],
            SERVER,
        ),
        row(
            "the hook closes, the client does not answer",
            "close 4000",
            Ending::Ignores,
            2,
            &["connect", "receive close 4000", "disconnect"],
            SERVER,
        ),
        hanging(
            "closed, disconnect does not end",
            "hello",
            Ending::Closes,
            5,
            &[
                "connect",
                "receive hello",
                "disconnect",
                "disconnect: dropped",
            ],
            CLOSED,
        ),
        hanging(
            "lost, neither ends",
            "hang",
            Ending::Leaves,
            15,
            &[
                "connect",
                "receive hang",
                "receive hang: dropped",
                "disconnect",
                "disconnect: dropped",
            ],
            LEFT,
        ),
        hanging(
            "closed by a panic, disconnect does not end",
            "panic",
            Ending::Answers,
            5,
            &[
                "connect",
                "receive panic",
                "disconnect",
                "disconnect: dropped",
            ],
            (1011, "", Cause::Panic),
        ),
    ];
    for row in rows {
        play(row).await;
    }
}

async fn play(row: Row) {
    let stage = Stage::new();
    let mut client = stage.enter(row.query).await;
    client.send_text(row.orders).await;
    let start = Instant::now();
    let client = match row.end {
        Ending::Leaves => {
            drop(client);
            sleep(Duration::from_millis(1)).await;
            None
        }
        Ending::Closes => {
            client.send_close(1000, "bye").await;
            let answer = client.frame().await.unwrap();
            assert_eq!(answer.opcode, CLOSE, "{}", row.name);
            Some(client)
        }
        Ending::Answers => {
            let close = client.frame().await.unwrap();
            assert_eq!(close.opcode, CLOSE, "{}", row.name);
            client.send(CLOSE, close.payload).await;
            Some(client)
        }
        Ending::Ignores => Some(client),
    };
    // A hook that runs does not delay the answer to a close frame.
    assert!(start.elapsed() < Duration::from_millis(20), "{}", row.name);
    stage.over().await;
    assert_eq!(seconds(start), row.over, "{}", row.name);
    stage.assert_disconnected(row.name, row.closed).await;
    assert_eq!(stage.log.lines(), row.hooks, "{}", row.name);
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_for_all_that_was_sent_before_the_end() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    for _ in 0..3 {
        client.send_text("sleep 4").await;
    }
    client.send_close(1000, "").await;
    let start = Instant::now();
    stage.over().await;
    assert_eq!(seconds(start), 10);
    let hooks = stage.log.lines();
    let received = hooks.iter().filter(|hook| *hook == "receive sleep 4");
    assert_eq!(received.count(), 3, "{hooks:?}");
    assert_eq!(hooks[4..], ["receive sleep 4: dropped", "disconnect"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_without_a_pong_given_up() {
    let mut silences = Vec::new();
    for _ in 0..16 {
        let stage = Stage::new();
        let start = Instant::now();
        let mut client = stage.enter("").await;
        let ping = client.frame().await.unwrap();
        let silence = start.elapsed();
        assert_eq!(ping.opcode, PING);
        assert!((20..=30).contains(&silence.as_secs()), "{silence:?}");
        silences.push(silence.as_millis());

        let pinged = Instant::now();
        assert_eq!(client.frame().await, None, "no close frame for the dead");
        assert_eq!(seconds(pinged), 10);
        let end = (4009, "no answer to a ping", Cause::TimeOut);
        stage.assert_disconnected("no pong", end).await;
        assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
    }
    silences.sort_unstable();
    silences.dedup();
    assert!(silences.len() > 10, "they all ping together: {silences:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_is_kept() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    let start = Instant::now();
    let mut pings = 0;
    while start.elapsed() < Duration::from_secs(3600) {
        let ping = client.frame().await.unwrap();
        assert_eq!(ping.opcode, PING);
        pings += 1;
        // Late, but in time.
        sleep(Duration::from_secs(9)).await;
        client.send(PONG, ping.payload).await;
    }
    assert!((3600 / 39..=3600 / 29).contains(&pings), "{pings}");
    client.send_text("send still here").await;
    client.expect_text("still here").await;
}

#[tokio::test(start_paused = true)]
async fn any_frame_is_a_sign_of_life() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    for round in 0..100 {
        let quiet = timeout(Duration::from_secs(15), client.frame()).await;
        assert!(quiet.is_err(), "{round}: {quiet:?}");
        match round % 3 {
            0 => client.send_text("hello").await,
            1 => client.send(PING, b"").await,
            _ => client.send(PONG, b"unasked").await,
        }
        if round % 3 == 1 {
            assert_eq!(client.frame().await.unwrap().opcode, PONG);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_silent_while_a_hook_runs_is_given_up_and_the_hook_has_its_grace() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("hang").await;
    assert_eq!(client.frame().await.unwrap().opcode, PING);
    let pinged = Instant::now();
    assert_eq!(client.frame().await, None);
    assert_eq!(seconds(pinged), 10);
    stage.over().await;
    assert_eq!(seconds(pinged), 20);
    let end = (4009, "no answer to a ping", Cause::TimeOut);
    stage.assert_disconnected("no pong", end).await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_a_hook_hangs() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("hang").await;
    for payload in [&b"are you there?"[..], b""] {
        client.send(PING, payload).await;
        let pong = client.frame().await.unwrap();
        assert_eq!((pong.opcode, &*pong.payload), (PONG, payload));
    }
}

const STALLED: End<'static> = (1006, "nothing could be written", Cause::TimeOut);

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_for_ten_seconds_is_given_up() {
    let stage = Stage::new();
    let client = stage.enter("").await;
    // More than the pipe takes, less than the queue.
    let message = Message::Binary(vec![0; 200_000].into());
    let published = stage.layer.group_broadcast("room", message).await;
    assert_eq!(published.unwrap().receivers, 1);
    let start = Instant::now();
    stage.over().await;
    assert_eq!(seconds(start), 10);
    stage.assert_disconnected("idle", STALLED).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_send_waits_for_room_until_the_peer_is_given_up_and_is_no_error() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("flood 3000").await;
    let start = Instant::now();
    stage.over().await;
    assert_eq!(seconds(start), 10);
    stage.assert_disconnected("in a hook", STALLED).await;
    assert_eq!(
        stage.log.lines(),
        ["connect", "receive flood 3000", "disconnect"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_send_waits_for_room_while_the_peer_reads_slowly() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    client.send_text("flood 3000;send the end").await;
    for number in 0..3000 {
        if number % 300 == 0 {
            sleep(Duration::from_secs(9)).await;
        }
        client.expect_text(&format!("{number:01024}")).await;
    }
    client.expect_text("the end").await;
    assert_eq!(stage.log.farewells().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn messages_that_a_hook_sends_before_it_waits_arrive_while_it_waits() {
    let stage = Stage::new();
    let mut client = stage.enter("").await;
    let start = Instant::now();
    client.send_text("send first;sleep 3600;send second").await;
    client.expect_text("first").await;
    assert!(start.elapsed() < Duration::from_millis(10));
    client.expect_text("second").await;
    assert_eq!(seconds(start), 3600);
    leave(client, &stage).await;
}

async fn leave(mut client: Raw, stage: &Stage) {
    client.send_close(1000, "").await;
    stage
        .assert_disconnected("left", (1000, "", Cause::Client))
        .await;
}
