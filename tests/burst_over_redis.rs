//! A burst through Redis to many sockets: every delivery arrives, in one order for all.

#![allow(clippy::print_stdout, reason = "what was counted")]
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]
#![cfg(feature = "redis")]

mod servers;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use futures::future::join_all;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use serde_json::Value;
use strait::Accept;
use strait::ChannelLayer;
use strait::Consumer;
use strait::Context;
use strait::Event;
use strait::Reject;
use strait::Result;
use strait::Router;
use strait::layer::GroupName;
use strait::testing::TestServer;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Joins as relaying members do, or with a hook that forwards.
struct Member {
    relay: bool,
    gaps: Arc<AtomicUsize>,
}

impl Consumer for Member {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        match self.relay {
            true => ctx.group_add("board").relay().await?,
            false => ctx.group_add("board").await?,
        }
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> Result {
        Ok(ctx.forward().await?)
    }

    async fn gap(&mut self, _ctx: &Context, _group: GroupName) -> Result {
        self.gaps.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis"]
async fn a_burst_of_300_reaches_1000_sockets_on_another_node() {
    raise_descriptors();
    let redis = servers::Redis::start().await;
    for (path, relay) in [("/relay/", true), ("/hook/", false)] {
        let members = ChannelLayer::from_url(&redis.url()).await.unwrap();
        let publisher = ChannelLayer::from_url(&redis.url()).await.unwrap();
        let gaps = Arc::new(AtomicUsize::new(0));
        let router = {
            let gaps = gaps.clone();
            let member = move |_: &_| {
                let gaps = gaps.clone();
                Ok(Member { relay, gaps })
            };
            Router::new().path(path, member).channel_layer(members)
        };
        let server = TestServer::spawn(router).await.unwrap();
        let mut readers = Vec::with_capacity(SOCKETS);
        for _ in 0..SOCKETS {
            readers.push(tokio::spawn(read(connect(&server, path).await)));
        }

        let begun = Instant::now();
        let sends = (0..BURST).map(|number| {
            let event = Event::new("order.updated").with("number", number);
            publisher.group_send("board", &event).into_future()
        });
        for published in join_all(sends).await {
            assert_eq!(published.unwrap().receivers, 1, "nodes");
        }
        let published = begun.elapsed();
        let mut delivered = 0;
        let mut order = None;
        for reader in readers {
            let numbers = reader.await.unwrap();
            delivered += numbers.len();
            // They are published at once, so that their order is Redis's, and the same for all.
            assert_eq!(order.get_or_insert_with(|| numbers.clone()), &numbers);
        }
        let mut order = order.unwrap();
        order.sort_unstable();
        order.dedup();
        assert_eq!(order.len(), BURST, "none comes twice");
        println!(
            "{path} {delivered} of {} delivered, {} members told of a gap; published in {published:.0?}, all within {:.0?}",
            BURST * SOCKETS,
            gaps.load(Ordering::Relaxed),
            begun.elapsed()
        );
        assert_eq!(delivered, BURST * SOCKETS);
        assert_eq!(gaps.load(Ordering::Relaxed), 0);
        server.stop().await;
    }
}

async fn connect(server: &TestServer, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    stream
}

/// The numbers that come, until all have or nothing more does. Frames are short and texts.
async fn read(mut stream: TcpStream) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(BURST);
    let mut unread = Vec::with_capacity(4096);
    while numbers.len() < BURST {
        match timeout(PATIENCE, stream.read_buf(&mut unread)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
        let mut taken = 0;
        while let Some(&[opcode, length]) = unread[taken..].first_chunk() {
            assert_eq!(opcode, 0x81, "a text, and no end");
            let end = taken + 2 + usize::from(length);
            let Some(payload) = unread.get(taken + 2..end) else {
                break;
            };
            let event: Value = serde_json::from_slice(payload).unwrap();
            numbers.push(event["number"].as_u64().unwrap());
            taken = end;
        }
        unread.drain(..taken);
    }
    numbers
}

/// Both ends of all sockets are here.
fn raise_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

const SOCKETS: usize = 1000;
const BURST: usize = 300;
/// Without a message.
const PATIENCE: Duration = Duration::from_secs(20);
