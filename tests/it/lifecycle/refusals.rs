//! A table of the ways to refuse a client, and handshakes that nobody waits for any longer.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use strait::close::Cause;
use strait::config::Config;
use strait::layer::{Backend, Envelope, GroupName, Guarantees, Published, Sink};
use strait::{ChannelLayer, Error};

use super::stage::{Stage, seconds};
use crate::support::client::CLOSE;

struct Row {
    name: &'static str,
    query: &'static str,
    status: u16,
    body: &'static str,
    /// In seconds.
    retry_after: Option<RangeInclusive<u64>>,
    hooks: &'static [&'static str],
}

const ROW: Row = Row {
    name: "",
    query: "",
    status: 500,
    body: "",
    retry_after: None,
    hooks: &["connect"],
};

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn a_refused_client_gets_a_status_and_no_disconnect_runs() {
    let rows = [
        Row {
            name: "connect rejects",
            query: "reject=403",
            status: 403,
            body: "no",
            ..ROW
        },
        Row {
            name: "connect rejects with a number that is no status",
            query: "reject=7",
            body: "no",
            ..ROW
        },
        Row {
            name: "? on an error in connect",
            query: "connect=fail",
            ..ROW
        },
        Row {
            name: "? on an unavailable layer in connect",
            query: "connect=unavailable",
            status: 503,
            retry_after: Some(5..=30),
            ..ROW
        },
        Row {
            name: "panic in connect",
            query: "connect=panic",
            ..ROW
        },
        Row {
            name: "panic in connect after a wait",
            query: "connect=sleep 1;panic",
            ..ROW
        },
        Row {
            name: "connect asks for state that the router lacks",
            query: "connect=state",
            ..ROW
        },
        Row {
            name: "connect takes too long",
            query: "connect=hang",
            status: 503,
            retry_after: Some(5..=30),
            hooks: &["connect", "connect: dropped"],
            ..ROW
        },
        Row {
            name: "after_accept with a code that may not be sent",
            query: "refuse=1006",
            ..ROW
        },
        Row {
            name: "ctx.close and then a rejection",
            query: "connect=close 4000;send never seen&reject=409",
            status: 409,
            body: "no",
            ..ROW
        },
        Row {
            name: "a check rejects",
            query: "check=401",
            status: 401,
            hooks: &[],
            ..ROW
        },
        Row {
            name: "a check fails",
            query: "check=fail",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "a check panics",
            query: "check=panic",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "a check has no stream to close",
            query: "check=after",
            status: 403,
            hooks: &[],
            ..ROW
        },
        Row {
            name: "the factory rejects",
            query: "factory=410",
            status: 410,
            hooks: &[],
            ..ROW
        },
        Row {
            name: "the factory fails",
            query: "factory=fail",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "the factory panics",
            query: "factory=panic",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "the factory asks for state that the router lacks",
            query: "factory=state",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "the factory asks for a parameter that the route does not declare",
            query: "factory=undeclared",
            hooks: &[],
            ..ROW
        },
        Row {
            name: "a parameter that does not fit the factory's type",
            query: "factory=unparsable",
            status: 404,
            hooks: &[],
            ..ROW
        },
    ];
    for row in rows {
        let stage = Stage::new();
        let refused = stage.client(row.query).connect().await.unwrap_err();
        assert_eq!(refused.status, row.status, "{}", row.name);
        assert_eq!(refused.body, row.body, "{}", row.name);
        let retry_after = refused.headers.get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
        let is_expected = match (&row.retry_after, retry_after) {
            (Some(range), Some(seconds)) => range.contains(&seconds),
            (expected, got) => expected.is_none() && got.is_none(),
        };
        assert!(is_expected, "{}: {retry_after:?}", row.name);
        stage.assert_never_connected(row.name).await;
        assert_eq!(stage.log.lines(), row.hooks, "{}", row.name);
    }
}

#[tokio::test(start_paused = true)]
async fn connect_has_ten_seconds() {
    let stage = Stage::new();
    let start = Instant::now();
    stage.client("connect=sleep 9").connect().await.unwrap();
    assert_eq!(seconds(start), 9);
    let start = Instant::now();
    stage
        .client("connect=sleep 11")
        .connect()
        .await
        .unwrap_err();
    assert_eq!(seconds(start), 10);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_acceptance_is_a_close_frame_and_no_disconnect_runs() {
    let stage = Stage::new();
    let mut client = stage.enter("refuse=4401 who are you?").await;
    let refused = client.expect_close().await;
    assert_eq!(refused, (4401, "who are you?".to_owned()));
    stage.assert_never_connected("after_accept").await;
    assert_eq!(stage.log.lines(), ["connect"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_was_queued_goes_to_who_is_refused_after_acceptance() {
    let stage = Stage::new();
    let mut client = stage.enter("connect=send secret&refuse=4401").await;
    assert_eq!(client.expect_close().await, (4401, String::new()));
    stage.assert_never_connected("after_accept").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_refused_after_acceptance_that_does_not_answer_is_given_up() {
    let stage = Stage::new();
    let start = Instant::now();
    let mut client = stage.enter("refuse=4401").await;
    let frame = client.frame().await.unwrap();
    assert_eq!(frame.opcode, CLOSE);
    assert_eq!(frame.close(), Some((4401, String::new())));
    stage.over().await;
    assert_eq!(seconds(start), 2);
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_was_offered_is_accepted() {
    let stage = Stage::new();
    let mut client = stage.client("subprotocol=offered");
    let accepted = client.connect().await.unwrap();
    assert_eq!(accepted.subprotocol.as_deref(), Some("offered"));
}

#[tokio::test(start_paused = true)]
async fn a_subprotocol_that_was_not_offered_is_500_and_disconnect_runs() {
    let stage = Stage::new();
    let mut client = stage.client("subprotocol=never.offered");
    let refused = client.connect().await.unwrap_err();
    assert_eq!(refused.status, 500);
    assert_eq!(refused.body, "");
    stage
        .assert_disconnected("subprotocol", (1011, "", Cause::Error))
        .await;
    assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_when_its_101_is_ready_is_an_abandoned_handshake() {
    let stage = Stage::new();
    stage.client("connect=send x").abandon().await.unwrap();
    stage
        .assert_disconnected("abandoned", (1006, "", Cause::AbandonedHandshake))
        .await;
    assert_eq!(stage.log.lines(), ["connect", "disconnect"]);
}

/// How a `connect` goes on whose client left after five seconds.
struct Abandoned {
    name: &'static str,
    query: &'static str,
    /// How many seconds after the beginning everything is over.
    over: u64,
    hooks: &'static [&'static str],
    disconnected: bool,
}

#[tokio::test(start_paused = true)]
async fn a_connect_whose_client_has_left_has_its_grace() {
    let rows = [
        Abandoned {
            name: "accepts after all",
            query: "connect=sleep 14",
            over: 14,
            hooks: &["connect", "disconnect"],
            disconnected: true,
        },
        Abandoned {
            name: "accepts after all, and disconnect hangs",
            query: "connect=sleep 14&disconnect=hang",
            over: 19,
            hooks: &["connect", "disconnect", "disconnect: dropped"],
            disconnected: true,
        },
        Abandoned {
            name: "accepts after all, and disconnect panics",
            query: "connect=sleep 14&disconnect=panic",
            over: 14,
            hooks: &["connect", "disconnect"],
            disconnected: true,
        },
        Abandoned {
            name: "exceeds its grace",
            query: "connect=sleep 16",
            over: 15,
            hooks: &["connect", "connect: dropped"],
            disconnected: false,
        },
        Abandoned {
            name: "rejects",
            query: "connect=sleep 7&reject=403",
            over: 7,
            hooks: &["connect"],
            disconnected: false,
        },
        Abandoned {
            name: "refuses after acceptance",
            query: "connect=sleep 7&refuse=4401",
            over: 7,
            hooks: &["connect"],
            disconnected: false,
        },
        Abandoned {
            name: "panics",
            query: "connect=sleep 7;panic",
            over: 7,
            hooks: &["connect"],
            disconnected: false,
        },
    ];
    for row in rows {
        let config = Config::new().connect_timeout(Duration::from_secs(60));
        let stage = Stage::with(config, ChannelLayer::memory());
        let start = Instant::now();
        let mut client = stage.client(row.query);
        let answer = timeout(Duration::from_secs(5), client.connect()).await;
        assert!(answer.is_err(), "{}", row.name);
        assert_eq!(stage.sockets.count(), 1, "{}", row.name);
        stage.over().await;
        assert_eq!(seconds(start), row.over, "{}", row.name);
        if row.disconnected {
            let end = (1006, "", Cause::AbandonedHandshake);
            stage.assert_disconnected(row.name, end).await;
        } else {
            stage.assert_never_connected(row.name).await;
        }
        assert_eq!(stage.log.lines(), row.hooks, "{}", row.name);
    }
}

#[tokio::test(start_paused = true)]
async fn the_grace_of_connect_does_not_exceed_its_limit() {
    let stage = Stage::new();
    let start = Instant::now();
    let mut client = stage.client("connect=hang");
    let answer = timeout(Duration::from_secs(5), client.connect()).await;
    assert!(answer.is_err());
    stage.over().await;
    assert_eq!(seconds(start), 10);
    stage.assert_never_connected("hang").await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_refuses_with_503_and_leaves_no_member() {
    let backend = Failing::default();
    backend.down.store(true, Ordering::Relaxed);
    let layer = ChannelLayer::new(backend.clone()).await.unwrap();
    let stage = Stage::with(Config::new(), layer);
    let refused = stage.client("").connect().await.unwrap_err();
    assert_eq!(refused.status, 503);
    let retry_after = refused.headers["retry-after"].to_str().unwrap();
    assert!((5..=30).contains(&retry_after.parse::<u64>().unwrap()));
    backend.down.store(false, Ordering::Relaxed);
    stage.assert_never_connected("down").await;
    // And it can be joined once the backend is back.
    let mut client = stage.enter("").await;
    client.send_text("close 4000").await;
    assert_eq!(client.expect_close().await.0, 4000);
    stage
        .assert_disconnected("up", (4000, "", Cause::Server))
        .await;
}

/// A single node whose backend can be down.
#[derive(Clone, Default)]
struct Failing {
    down: Arc<AtomicBool>,
    sink: Arc<std::sync::OnceLock<Sink>>,
}

impl Failing {
    fn check(&self) -> Result<(), Error> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::unavailable("down for the test"));
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Failing {
    fn guarantees(&self) -> Guarantees {
        Guarantees::new()
    }

    async fn start(&self, sink: Sink) -> Result<(), Error> {
        let _ = self.sink.set(sink);
        Ok(())
    }

    async fn publish(&self, envelope: Envelope) -> Result<Published, Error> {
        self.check()?;
        let sink = self.sink.get().unwrap();
        sink.deliver(&envelope).await.map(Published::new)
    }

    async fn subscribe(&self, _groups: &[GroupName]) -> Result<(), Error> {
        self.check()
    }

    async fn unsubscribe(&self, _groups: &[GroupName]) -> Result<(), Error> {
        self.check()
    }
}
