//! A burst to many sockets: every delivery counted, each publisher's order kept, and one order for
//! all members.
//!
//! The thousand are in memory, so that no limit of file descriptors is in the way; fewer are over
//! TCP, where the fan-out writes to the socket itself. Readers drain while the burst goes on.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(feature = "redis")]
use rustix::process::Resource;
#[cfg(feature = "redis")]
use rustix::process::Rlimit;
#[cfg(feature = "redis")]
use rustix::process::getrlimit;
#[cfg(feature = "redis")]
use rustix::process::setrlimit;
use serde_json::json;
use strait::service::WebSocketService;
use strait::testing::{Communicator, TestServer};
use strait::{Accept, ChannelLayer, Consumer, Context, Event, Message, Reject, Router};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::support::client::Client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_in_memory_get_all_of_a_burst_in_one_order() {
    let layer = ChannelLayer::memory();
    let service = router(&layer).into_service().0;
    let mut readers = JoinSet::new();
    for _ in 0..1000 {
        readers.spawn(read_to_end(in_memory(&service, "/relay/").await));
    }
    let delivered = burst_in_one_order(&layer, readers, 1000).await;
    assert_eq!(delivered, 600_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_over_tcp_get_all_of_a_burst_in_one_order() {
    let layer = ChannelLayer::memory();
    let server = TestServer::spawn(router(&layer)).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..300 {
        readers.spawn(read_to_end(over_tcp(&server, "/relay/").await));
    }
    let delivered = burst_in_one_order(&layer, readers, 300).await;
    assert_eq!(delivered, 180_000);
    server.stop().await;
}

/// Published at one node, read at another. Nobody waits there: messages beyond the bound would be a
/// gap, and missing in the count.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_thousand_sockets_get_all_of_a_burst_that_comes_through_redis() {
    raise_descriptors();
    let redis = crate::support::servers::Redis::start().await;
    let members = ChannelLayer::from_url(&redis.url()).await.unwrap();
    let publisher = ChannelLayer::from_url(&redis.url()).await.unwrap();
    let server = TestServer::spawn(router(&members)).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..1000 {
        readers.spawn(read_to_end(over_tcp(&server, "/relay/").await));
    }
    let delivered = burst_in_one_order(&publisher, readers, 1).await;
    assert_eq!(delivered, 600_000);
    server.stop().await;
}

/// Both ends of all sockets are here.
#[cfg(feature = "redis")]
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_run_for_all_of_a_burst_with_one_order_for_each_kind() {
    let layer = ChannelLayer::memory();
    let service = router(&layer).into_service().0;
    let mut readers = JoinSet::new();
    for _ in 0..200 {
        readers.spawn(read_to_end(in_memory(&service, "/hook/").await));
    }
    burst(&layer, 200..=200, &unpaced()).await;
    end(&layer).await;
    let mut orders = Vec::new();
    while let Some(order) = readers.join_next().await {
        // Ready messages may overtake the events that wait for the hook, also the very last one.
        let (events, ready): (Vec<_>, Vec<_>) =
            order.unwrap().into_iter().partition(Sent::is_event);
        orders.push((events, ready));
    }
    let (events, ready) = orders[0].clone();
    assert_eq!((events.len(), ready.len()), (300, 300));
    check_publishers(&events);
    check_publishers(&ready);
    for (at, order) in orders.iter().enumerate() {
        assert_eq!(order.0, events, "events of member {at}");
        assert_eq!(order.1, ready, "ready messages of member {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_and_leaves_during_a_burst_gets_no_duplicate_and_no_gap() {
    const STEADY: usize = 300;
    const ROAMING: usize = 60;
    let layer = ChannelLayer::memory();
    let service = router(&layer).into_service().0;
    let mut steady = JoinSet::new();
    for _ in 0..STEADY {
        steady.spawn(read_to_end(in_memory(&service, "/relay/").await));
    }
    let over = Arc::new(AtomicBool::new(false));
    let pace = Arc::new(Semaphore::new(0));
    let mut roaming = JoinSet::new();
    for id in 0..ROAMING {
        let mut socket = Communicator::new(service.clone(), "/roaming/").timeout(PATIENCE);
        socket.connect().await.unwrap();
        roaming.spawn(roam(socket, id, pace.clone(), over.clone()));
    }
    burst(&layer, STEADY..=STEADY + ROAMING, &pace).await;
    over.store(true, Ordering::SeqCst);
    let mut roamed = Vec::new();
    while let Some(done) = roaming.join_next().await {
        roamed.push(done.unwrap());
    }
    end(&layer).await;

    let order = steady.join_next().await.unwrap().unwrap();
    let marks: usize = roamed.iter().map(|done| done.stays).sum();
    assert_eq!(order.len(), 600 + marks);
    while let Some(other) = steady.join_next().await {
        assert_eq!(other.unwrap(), order);
    }
    let places: HashMap<_, _> = order.iter().cloned().zip(0_usize..).collect();
    assert_eq!(places.len(), order.len(), "a message came twice");
    for (at, done) in roamed.iter().enumerate() {
        let got: Vec<usize> = done.got.iter().map(|sent| places[sent]).collect();
        for pair in got.windows(2) {
            assert!(
                pair[0] < pair[1],
                "roamer {at}: a duplicate, or out of order: {pair:?}"
            );
        }
        let gaps = got.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        let stays = done.stays;
        assert!(
            gaps < stays.max(1),
            "roamer {at}: {gaps} gaps in {stays} stays"
        );
    }
    let got: usize = roamed.iter().map(|done| done.got.len()).sum();
    assert!(got > marks, "nobody roamed while the burst went on");
}

/// The content of a burst's message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Sent {
    Event(usize, usize),
    Ready(usize, usize),
    Mark(String),
}

impl Sent {
    fn parse(text: &str) -> Self {
        let words: Vec<&str> = text.split(' ').collect();
        if let ["ready", publisher, n] = words[..] {
            return Self::Ready(publisher.parse().unwrap(), n.parse().unwrap());
        }
        let Ok(event) = serde_json::from_str::<Event>(text) else {
            return Self::Mark(text.to_owned());
        };
        let number = |name: &str| event.field(name).unwrap().as_u64().unwrap() as usize;
        Self::Event(number("publisher"), number("n"))
    }

    fn is_event(&self) -> bool {
        matches!(self, Self::Event(..))
    }
}

/// Four publishers at once: 300 broadcasts and 300 events together, each taking turns between the
/// two. Ten messages cost a permit.
async fn burst(layer: &ChannelLayer, receivers: RangeInclusive<usize>, pace: &Arc<Semaphore>) {
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (layer, receivers, pace) = (layer.clone(), receivers.clone(), pace.clone());
        publishers.spawn(async move {
            for n in 0..EACH {
                if n % 10 == 0 {
                    pace.acquire().await.unwrap().forget();
                }
                let publish = if n % 2 == 0 {
                    layer.group_broadcast("room", format!("ready {publisher} {n}"))
                } else {
                    let event = json!({"type": "burst", "publisher": publisher, "n": n});
                    layer.group_send("room", &event)
                };
                let addressed = publish.await.unwrap().receivers;
                assert!(receivers.contains(&addressed), "{addressed} receivers");
            }
        });
    }
    while let Some(publisher) = publishers.join_next().await {
        publisher.unwrap();
    }
}

fn unpaced() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(PUBLISHERS * EACH))
}

/// One event and one ready message more, after which readers stop.
async fn end(layer: &ChannelLayer) {
    layer.group_send("room", &Event::new(END)).await.unwrap();
    layer.group_broadcast("room", END).await.unwrap();
}

/// The number of messages that all readers got together.
async fn burst_in_one_order(
    layer: &ChannelLayer,
    mut readers: JoinSet<Vec<Sent>>,
    receivers: usize,
) -> usize {
    burst(layer, receivers..=receivers, &unpaced()).await;
    end(layer).await;
    let first = readers.join_next().await.unwrap().unwrap();
    assert_eq!(first.len(), 600);
    check_publishers(&first);
    let mut delivered = first.len();
    while let Some(order) = readers.join_next().await {
        let order = order.unwrap();
        delivered += order.len();
        assert_eq!(order, first);
    }
    delivered
}

/// Each publisher's messages are there, in its order.
fn check_publishers(order: &[Sent]) {
    let mut last = HashMap::new();
    for sent in order {
        let (Sent::Event(publisher, n) | Sent::Ready(publisher, n)) = sent else {
            panic!("{sent:?}");
        };
        let before = last.insert(publisher, n);
        assert!(
            before < Some(n),
            "publisher {publisher}: {n} after {before:?}"
        );
    }
    assert_eq!(last.len(), PUBLISHERS);
}

#[derive(Debug)]
struct Roamed {
    stays: usize,
    got: Vec<Sent>,
}

/// Joins, hears its own mark, leaves, and again, while the burst goes on.
async fn roam(
    mut socket: Communicator,
    id: usize,
    pace: Arc<Semaphore>,
    over: Arc<AtomicBool>,
) -> Roamed {
    let mut roamed = Roamed {
        stays: 0,
        got: Vec::new(),
    };
    while roamed.stays == 0 || (roamed.stays < 8 && !over.load(Ordering::SeqCst)) {
        let mark = format!("mark {id} {}", roamed.stays);
        for (command, awaited) in [
            ("join", "joined"),
            (mark.as_str(), mark.as_str()),
            ("leave", "left"),
        ] {
            socket.send_text(command).await.unwrap();
            loop {
                let text = socket.receive_text().await.unwrap();
                if !["joined", "left"].contains(&text.as_str()) {
                    roamed.got.push(Sent::parse(&text));
                }
                if text == awaited {
                    break;
                }
            }
        }
        roamed.stays += 1;
        pace.add_permits(1);
        for _ in 0..id % 7 {
            yield_now().await;
        }
    }
    roamed
}

/// Joins a group in `connect`.
struct Member {
    relay: bool,
}

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        if self.relay {
            ctx.group_add("room").relay().await?;
        } else {
            ctx.group_add("room").await?;
        }
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        ctx.forward().await?;
        Ok(())
    }
}

/// Joins and leaves when its client says so; anything else is broadcast.
struct Roaming;

impl Consumer for Roaming {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        match message.into_text()?.as_str() {
            "join" => {
                ctx.group_add("room").relay().await?;
                ctx.send_text("joined").await?;
            }
            "leave" => {
                ctx.group_discard("room").await?;
                ctx.send_text("left").await?;
            }
            mark => {
                ctx.layer().group_broadcast("room", mark).await?;
            }
        }
        Ok(())
    }
}

fn router(layer: &ChannelLayer) -> Router {
    Router::new()
        .path("relay/", |_| Ok(Member { relay: true }))
        .path("hook/", |_| Ok(Member { relay: false }))
        .path("roaming/", |_| Ok(Roaming))
        .channel_layer(layer.clone())
}

async fn in_memory(service: &WebSocketService, path: &str) -> Client<DuplexStream> {
    let mut socket = Communicator::new(service.clone(), path);
    socket.connect().await.unwrap();
    Client::over(socket.into_stream().unwrap())
}

async fn over_tcp(server: &TestServer, path: &str) -> Client {
    Client::connect(server.local_addr(), path).await
}

/// Every message before the two that end a burst.
async fn read_to_end<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>) -> Vec<Sent> {
    client.patience = None;
    let (mut order, mut ends) = (Vec::new(), 0);
    while ends < 2 {
        let text = timeout(PATIENCE, client.receive_text()).await;
        let text = text.unwrap_or_else(|_| panic!("{} came, then nothing", order.len()));
        if text.contains(END) {
            ends += 1;
        } else {
            order.push(Sent::parse(&text));
        }
    }
    assert!(client.unread.is_empty(), "more came than was sent");
    order
}

const PUBLISHERS: usize = 4;
/// Messages of each publisher, of both kinds together.
const EACH: usize = 150;
const END: &str = "the end";
/// How long to wait for what must come; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
