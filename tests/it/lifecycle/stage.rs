//! [`Stage`]: a service of recorders, its layer, and what is asked of both when a connection is
//! over.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use strait::close::Cause;
use strait::config::Config;
use strait::service::{Sockets, WebSocketService};
use strait::testing::Communicator;
use strait::{ChannelLayer, Event, Reject, Router, Scope};

use super::raw::Raw;
use super::recorder::{Log, Recorder, reached};

pub(crate) struct Stage {
    pub(crate) service: WebSocketService,
    pub(crate) sockets: Sockets,
    pub(crate) layer: ChannelLayer,
    pub(crate) log: Log,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Config::new(), ChannelLayer::memory())
    }

    pub(crate) fn with(config: Config, layer: ChannelLayer) -> Self {
        let log = Log::new();
        let router = Router::new()
            .path("<int:number>/", recorders(log.clone()))
            .check(|scope| async move {
                if scope.query("check").is_some_and(|order| order == "slow") {
                    sleep(Duration::from_secs(3)).await;
                    return Ok(());
                }
                order(&scope, "check")
            })
            .config(config)
            .channel_layer(layer.clone());
        let (service, sockets) = router.into_service();
        Self {
            service,
            sockets,
            layer,
            log,
        }
    }

    /// A client whose query gives the recorder its orders, not connected yet.
    pub(crate) fn client(&self, query: &str) -> Communicator {
        let path = format!("/77/?{}", query.replace(' ', "+"));
        Communicator::new(&self.service, &path).subprotocols(["offered"])
    }

    /// A client that is let in.
    pub(crate) async fn enter(&self, query: &str) -> Raw {
        let mut client = self.client(query);
        client.connect().await.unwrap();
        Raw::over(client.into_stream().unwrap())
    }

    /// An event whose type is the orders, for all members.
    pub(crate) async fn event(&self, orders: &str) {
        let published = self.layer.group_send("room", &Event::new(orders)).await;
        assert_eq!(published.unwrap().receivers, 1, "{orders}");
    }

    /// Waits, in virtual time, until every session is over.
    pub(crate) async fn over(&self) {
        let emptied = async {
            while self.sockets.count() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = timeout(Duration::from_secs(120), emptied).await;
        assert!(waited.is_ok(), "a session goes on: {:?}", self.log.lines());
    }

    /// After any end nobody is a member, and no name reaches anybody.
    pub(crate) async fn assert_nothing_left(&self, row: &str) {
        self.over().await;
        let receivers = reached(&self.layer, &self.log.names()).await;
        assert!(
            receivers.iter().all(|&count| count == 0),
            "{row}: {receivers:?}"
        );
    }

    /// `disconnect` ran once with this value, and found its memberships released but listed.
    pub(crate) async fn assert_disconnected(&self, row: &str, (code, reason, cause): End<'_>) {
        self.assert_nothing_left(row).await;
        let farewells = self.log.farewells();
        assert_eq!(farewells.len(), 1, "{row}: {:?}", self.log.lines());
        let farewell = &farewells[0];
        let closed = &farewell.closed;
        let told = (closed.code().as_u16(), closed.reason(), closed.cause());
        assert_eq!(told, (code, reason, cause), "{row}");
        let by_client = matches!(
            cause,
            Cause::Client | Cause::Lost | Cause::AbandonedHandshake
        );
        assert_eq!(closed.by_client(), by_client, "{row}");
        assert_eq!(farewell.groups, ["room", "side"], "{row}");
        let receivers = &farewell.receivers;
        assert!(
            receivers.iter().all(|&count| count == 0),
            "{row}: in disconnect {receivers:?}"
        );
    }

    /// It never ran.
    pub(crate) async fn assert_never_connected(&self, row: &str) {
        self.assert_nothing_left(row).await;
        assert_eq!(
            self.log.farewells().len(),
            0,
            "{row}: {:?}",
            self.log.lines()
        );
    }
}

/// Whole seconds since then, give or take the moment that a step takes.
pub(crate) fn seconds(since: Instant) -> u64 {
    (since.elapsed() + Duration::from_millis(100)).as_secs()
}

/// Code, reason and cause, as `disconnect` receives them.
pub(crate) type End<'a> = (u16, &'a str, Cause);

fn recorders(log: Log) -> impl Fn(&Scope) -> Result<Recorder, Reject> {
    move |scope| {
        order(scope, "factory")?;
        Ok(Recorder { log: log.clone() })
    }
}

/// The script of a check and of the factory.
fn order(scope: &Scope, who: &str) -> Result<(), Reject> {
    match scope.query(who).as_deref() {
        None => Ok(()),
        Some("fail") => Err("a secret of the database")?,
        Some("panic") => panic!("on purpose"),
        Some("state") => Err(scope.state::<String>().as_str())?,
        Some("unparsable") => Err(scope.param::<char>("number").map(String::from)?)?,
        Some("undeclared") => Err(scope.param::<String>("nmuber")?)?,
        Some("after") => Err(Reject::after_accept(4401, "who are you?")),
        Some(status) => Err(Reject::status(status.parse::<u16>().unwrap())),
    }
}
