//! The limits of a whole service: how many connections, how many of one client, how fast new ones
//! come; and that every place is given back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, advance, sleep, timeout};
use tower_service::Service;

use strait::handshake::{Limits, Peer};
use strait::service::{Drain, Sockets, WebSocketService};
use strait::testing::{Communicator, TestServer};
use strait::{Accept, Closed, Consumer, Context, Message, Reject, Router, Scope};

use crate::support::client::{Client, request};
use crate::support::log::Log;

/// Does in each hook what the query says.
struct Guest;

impl Consumer for Guest {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        order(ctx.scope(), "connect").await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        let obeyed = order(ctx.scope(), "receive").await;
        Ok(obeyed.map_err(|_| "on purpose")?)
    }

    async fn disconnect(&mut self, ctx: &Context, _closed: Closed) {
        let _ = order(ctx.scope(), "disconnect").await;
    }
}

async fn order(scope: &Scope, who: &str) -> Result<(), Reject> {
    match scope.query(who).as_deref() {
        Some("refuse") => Err(Reject::forbidden()),
        Some("fail") => Err("on purpose")?,
        Some("after") => Err(Reject::after_accept(4401, "")),
        Some("panic") => panic!("on purpose"),
        Some("sleep") => {
            sleep(Duration::from_secs(3)).await;
            Ok(())
        }
        Some("hang") => std::future::pending().await,
        _ => Ok(()),
    }
}

fn guests() -> Router {
    Router::new()
        .path("ws/", |scope| match scope.query("factory").as_deref() {
            Some("refuse") => Err(Reject::forbidden()),
            Some("fail") => Err("on purpose")?,
            Some("panic") => panic!("on purpose"),
            _ => Ok(Guest),
        })
        .check(|scope| async move { order(&scope, "check").await })
}

fn service(limits: Limits) -> (WebSocketService, Sockets) {
    guests().limits(limits).into_service()
}

fn client(service: &WebSocketService, query: &str) -> Communicator {
    Communicator::new(service, &format!("/ws/?{query}"))
}

fn from(service: &WebSocketService, ip: &str) -> Communicator {
    client(service, "").peer(SocketAddr::new(ip.parse().unwrap(), 1234))
}

fn retry_after(headers: &HeaderMap) -> u64 {
    headers["retry-after"].to_str().unwrap().parse().unwrap()
}

async fn until_empty(sockets: &Sockets) {
    while sockets.count() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn over_the_total_a_handshake_is_503_until_somebody_leaves() {
    let (service, sockets) = service(Limits::new().connections(2));
    let mut last = client(&service, "");
    let mut both = [client(&service, ""), client(&service, "")];
    for client in &mut both {
        client.connect().await.unwrap();
    }
    for _ in 0..3 {
        let refused = last.connect().await.unwrap_err();
        assert_eq!(refused.status, 503);
        assert!((5..=30).contains(&retry_after(&refused.headers)));
        assert_eq!(sockets.count(), 2);
    }
    both[0].disconnect().await.unwrap();
    until_one(&sockets).await;
    last.connect().await.unwrap();
}

/// Visitors of one hostile page must not lock out the others.
#[tokio::test(start_paused = true)]
async fn a_refused_origin_counts_against_no_limit() {
    for limits in [
        Limits::new().handshake_rate(1, 1),
        Limits::new().connections(1),
        Limits::new().per_ip(1),
    ] {
        let (service, _) = service(limits);
        let refused = || async {
            let visitor = from(&service, "192.0.2.1").header("origin", "http://evil.example");
            let refused = { visitor }.connect().await.unwrap_err();
            assert_eq!(refused.status, 403, "{limits:?}");
        };
        for _ in 0..100 {
            refused().await;
        }
        let mut own = from(&service, "192.0.2.1");
        own.connect().await.unwrap();
        // Nor does it learn that a limit is reached.
        refused().await;
    }
}

/// A limit of none lets nobody in.
#[tokio::test(start_paused = true)]
async fn none_is_a_limit_as_well() {
    for (limits, status) in [
        (Limits::new().connections(0), 503),
        (Limits::new().per_ip(0), 429),
    ] {
        let (service, sockets) = service(limits);
        let refused = from(&service, "192.0.2.1").connect().await.unwrap_err();
        assert_eq!(refused.status, status);
        assert_eq!(sockets.count(), 0);
    }
}

async fn until_one(sockets: &Sockets) {
    while sockets.count() > 1 {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Which addresses are one client.
#[tokio::test(start_paused = true)]
async fn over_its_share_a_client_is_429_and_others_come_in() {
    let rows = [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("2001:db8:1:2::1", "192.0.2.1", false),
        ("127.0.0.1", "::1", true),
        ("0.0.0.0", "::", false),
    ];
    for (one, other, same) in rows {
        let (service, sockets) = service(Limits::new().per_ip(1));
        let mut first = from(&service, one);
        first.connect().await.unwrap();
        let mut second = from(&service, other);
        let answer = second.connect().await;
        assert_eq!(answer.is_err(), same, "{one} {other}");
        if let Err(refused) = answer {
            assert_eq!(refused.status, 429, "{one} {other}");
            assert!((5..=30).contains(&retry_after(&refused.headers)));
            first.disconnect().await.unwrap();
            until_empty(&sockets).await;
            second.connect().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handshakes_come_at_the_rate_and_the_refused_are_told_different_times() {
    let (service, _) = service(Limits::new().handshake_rate(100, 50));
    let mut open = Vec::new();
    let mut told: BTreeMap<u64, usize> = BTreeMap::new();
    for _ in 0..1050 {
        let mut client = client(&service, "");
        match client.connect().await {
            Ok(_) => open.push(client),
            Err(refused) => {
                assert_eq!(refused.status, 503);
                *told.entry(retry_after(&refused.headers)).or_default() += 1;
            }
        }
    }
    assert_eq!(open.len(), 50);
    // A thousand at a hundred a second: ten seconds, a hundred each.
    assert_eq!(told.values().sum::<usize>(), 1000);
    assert!(told.values().all(|&count| count <= 101), "{told:?}");
    assert!(
        told.keys().all(|seconds| (1..=11).contains(seconds)),
        "{told:?}"
    );
    for _ in 0..20 {
        advance(Duration::from_millis(10)).await;
        let mut on_time = client(&service, "");
        on_time.connect().await.unwrap();
        assert_eq!(
            client(&service, "").connect().await.unwrap_err().status,
            503
        );
        open.push(on_time);
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_a_minute_holds_are_told_a_random_time() {
    let (service, _) = service(Limits::new().handshake_rate(1, 1));
    client(&service, "").connect().await.unwrap();
    let mut told = BTreeMap::new();
    for _ in 0..200 {
        let refused = client(&service, "").connect().await.unwrap_err();
        *told.entry(retry_after(&refused.headers)).or_insert(0) += 1;
    }
    assert!(
        told.keys().all(|seconds| (1..=60).contains(seconds)),
        "{told:?}"
    );
    assert!(told.values().all(|&count| count < 20), "{told:?}");
}

/// A storm that is refused runs nothing of the application's, and what is no handshake is answered
/// as ever.
#[tokio::test(start_paused = true)]
async fn a_refusal_comes_before_checks_and_what_is_no_handshake_needs_no_place() {
    let ran = Arc::new(AtomicUsize::new(0));
    let count = |ran: &Arc<AtomicUsize>| {
        let ran = ran.clone();
        move || ran.fetch_add(1, Ordering::Relaxed)
    };
    let (in_check, in_factory) = (count(&ran), count(&ran));
    let router = Router::new()
        .path("ws/", move |_| {
            in_factory();
            Ok(Guest)
        })
        .check(move |_| {
            in_check();
            async { Ok(()) }
        })
        .limits(Limits::new().connections(0));
    let (mut service, sockets) = router.into_service();
    for _ in 0..100 {
        assert_eq!(
            client(&service, "").connect().await.unwrap_err().status,
            503
        );
    }
    assert_eq!((ran.load(Ordering::Relaxed), sockets.count()), (0, 0));
    let nowhere = Communicator::new(&service, "/nowhere/").connect().await;
    assert_eq!(nowhere.unwrap_err().status, 404);
    for (method, path, upgrade, status) in [
        ("GET", "/ws/", "websocket", 400),
        ("POST", "/ws/", "websocket", 405),
        ("GET", "/ws/", "h2c", 426),
        ("GET", "/%ff/", "websocket", 400),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("upgrade", upgrade);
        let answer = service.call(request.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path} {upgrade}");
    }
}

/// One way for a handshake or a connection to end.
struct End {
    query: &'static str,
    /// The client's next step once it is connected; or it does not get that far.
    then: Then,
}

#[derive(Debug)]
enum Then {
    Refused(u16),
    /// The client leaves while it waits.
    LeavesEarly,
    /// It is gone before the 101 reaches it.
    Abandons,
    Closes,
    Vanishes,
    Speaks,
    Waits,
}

const ENDS: &[End] = &[
    end("check=refuse", Then::Refused(403)),
    end("check=fail", Then::Refused(500)),
    end("check=panic", Then::Refused(500)),
    end("check=sleep", Then::Closes),
    end("check=hang", Then::LeavesEarly),
    end("factory=refuse", Then::Refused(403)),
    end("factory=fail", Then::Refused(500)),
    end("factory=panic", Then::Refused(500)),
    end("connect=refuse", Then::Refused(403)),
    end("connect=fail", Then::Refused(500)),
    end("connect=panic", Then::Refused(500)),
    end("connect=hang", Then::Refused(503)),
    end("connect=hang", Then::LeavesEarly),
    end("connect=sleep", Then::LeavesEarly),
    end("connect=after", Then::Waits),
    end("connect=after", Then::Abandons),
    end("", Then::Abandons),
    end("disconnect=panic", Then::Abandons),
    end("", Then::Closes),
    end("", Then::Vanishes),
    end("receive=fail", Then::Speaks),
    end("receive=panic", Then::Speaks),
    end("receive=hang", Then::Speaks),
    end("disconnect=panic", Then::Closes),
    end("disconnect=hang", Then::Vanishes),
];

const fn end(query: &'static str, then: Then) -> End {
    End { query, then }
}

impl End {
    async fn play(&self, mut client: Communicator) {
        match self.then {
            Then::Refused(status) => {
                assert_eq!(client.connect().await.unwrap_err().status, status);
            }
            Then::LeavesEarly => {
                let left = timeout(Duration::from_secs(1), client.connect()).await;
                left.unwrap_err();
            }
            Then::Abandons => drop(client.abandon().await.unwrap()),
            Then::Closes => {
                client.connect().await.unwrap();
                let _ = client.disconnect().await;
            }
            Then::Vanishes => drop(client.connect().await.unwrap()),
            Then::Speaks => {
                client.connect().await.unwrap();
                client.send_text("x").await.unwrap();
                let _ = client.receive().await;
            }
            Then::Waits => {
                client.connect().await.unwrap();
                client.expect_close().await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_however_it_ends() {
    let limits = Limits::new().connections(1).per_ip(1);
    let (service, sockets) = service(limits);
    let here = |query: &str| client(&service, query).peer(([192, 0, 2, 1], 1).into());
    for end in ENDS {
        let row = format!("{} {:?}", end.query, end.then);
        end.play(here(end.query)).await;
        // Hooks that go on have their grace.
        sleep(Duration::from_secs(20)).await;
        assert_eq!(sockets.count(), 0, "{row}");
        let mut next = here("");
        assert!(next.connect().await.is_ok(), "{row}");
        assert_eq!(here("").connect().await.unwrap_err().status, 429, "{row}");
        next.disconnect().await.unwrap();
        until_empty(&sockets).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_from_the_first_check_to_the_end_of_disconnect() {
    let (service, sockets) = service(Limits::new().connections(1));
    let start = Instant::now();
    let mut slow = client(&service, "check=sleep&connect=sleep&disconnect=sleep");
    let live = async {
        slow.connect().await.unwrap();
        let _ = slow.disconnect().await;
    };
    let knock = async {
        let mut statuses = Vec::new();
        while statuses.last() != Some(&403) {
            sleep(Duration::from_millis(500)).await;
            let mut other = client(&service, "check=refuse");
            statuses.push(other.connect().await.unwrap_err().status.as_u16());
        }
        (statuses, start.elapsed().as_secs())
    };
    let ((statuses, seconds), ()) = tokio::join!(knock, live);
    assert!(
        statuses[..statuses.len() - 1]
            .iter()
            .all(|&status| status == 503)
    );
    assert_eq!((seconds, sockets.count()), (9, 0));
}

/// A check that hangs, for a database that does not answer, holds its client's place for no longer
/// than `connect` may.
#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_dropped_and_gives_its_place_back() {
    let (service, _) = service(Limits::new().connections(1));
    let mut waits = client(&service, "check=hang").timeout(Duration::from_secs(60));
    let start = Instant::now();
    let refused = waits.connect().await.unwrap_err();
    assert_eq!(refused.status, 503);
    assert!((5..=30).contains(&retry_after(&refused.headers)));
    assert_eq!(start.elapsed().as_secs(), 10);
    client(&service, "").connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_before_the_limits_and_gives_all_places_back() {
    let (service, sockets) = service(Limits::new().connections(1));
    let mut only = client(&service, "");
    only.connect().await.unwrap();
    let drained = sockets.drain(Drain::new()).await;
    assert_eq!((drained.closed, drained.abandoned), (1, 0));
    let refused = client(&service, "").connect().await.unwrap_err();
    assert_eq!(
        (refused.status.as_u16(), retry_after(&refused.headers)),
        (503, 1)
    );
    assert_eq!(refused.body, "the server is restarting");
}

#[tokio::test]
async fn a_server_knows_the_addresses() {
    let server = TestServer::spawn(guests().limits(Limits::new().per_ip(2)));
    let server = server.await.unwrap();
    let mut open = Vec::new();
    for status in ["101", "101", "429", "429"] {
        let (answer, stream) = handshake(server.local_addr()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        open.push(stream);
    }
    open.remove(0);
    until_one(server.sockets()).await;
    assert!(
        handshake(server.local_addr())
            .await
            .0
            .starts_with("HTTP/1.1 101 ")
    );
}

/// Sends a handshake and reads the head of the answer.
async fn handshake(address: SocketAddr) -> (String, Client) {
    let mut client = Client::over_tcp(TcpStream::connect(address).await.unwrap());
    client.write(request("/ws/", "")).await;
    (client.head().await, client)
}

/// axum passes the address on only if it is configured to, and in a type of its own.
#[tokio::test]
async fn inside_axum_a_missing_address_is_told_once_and_a_middleware_mends_it() {
    let (log, _guard) = Log::start();
    let limits = Limits::new().per_ip(1);
    let blind = axum::Router::new().fallback_service(service(limits).0);
    let seeing = axum::Router::new()
        .fallback_service(service(limits).0)
        .layer(axum::middleware::from_fn(
            |mut request: axum::extract::Request, next: axum::middleware::Next| async {
                let info = request.extensions().get();
                let &axum::extract::ConnectInfo(address) = info.unwrap();
                request.extensions_mut().insert(Peer(address));
                next.run(request).await
            },
        ));
    for (app, second, told) in [(blind, "101", 1), (seeing, "429", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        let (first, _open) = handshake(address).await;
        assert!(first.starts_with("HTTP/1.1 101 "), "{first}");
        for _ in 0..2 {
            let (answer, _stream) = handshake(address).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {second} ")),
                "{answer}"
            );
        }
        assert_eq!(log.lines("strait::handshake::Peer(address)"), told);
        serving.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_sampled_in_the_log_with_the_limit_by_name() {
    let (log, _guard) = Log::start();
    let (service, _) = service(Limits::new().connections(0));
    for lines in 1..4 {
        for _ in 0..100 {
            client(&service, "").connect().await.unwrap_err();
        }
        assert_eq!(log.lines("Limits::connections is reached"), lines);
        advance(Duration::from_secs(10)).await;
    }
}

#[test]
fn a_nested_router_must_not_have_limits() {
    let inner = || guests().limits(Limits::new().connections(1));
    let error = Router::new().try_nest("api/", inner()).unwrap_err();
    assert!(error.is_route(), "{error}");
    assert!(error.to_string().contains("`api/`"), "{error}");
    assert!(
        Router::new()
            .nest("api/", guests())
            .limits(Limits::new())
            .try_into_service()
            .is_ok()
    );
}
