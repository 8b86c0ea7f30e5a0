//! Peers that send more than they should, or at the wrong moment: details of the inbound rate, and
//! whether other tasks run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::consume_budget;
use tokio::task::coop::has_budget_remaining;
use tokio::time::sleep;

use strait::config::Config;
use strait::service::Sockets;
use strait::testing::Communicator;
use strait::{Consumer, Context, Message, Router, Server};

use super::client::{CONTINUATION, TEXT, fragment, frame};

/// Waits, or blocks its thread, or uses up the task's budget, as the message says.
struct Worker;

impl Consumer for Worker {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        match message.as_text() {
            Some("wait") => sleep(Duration::from_secs(60)).await,
            Some("block") => thread::sleep(Duration::from_millis(500)),
            Some(text) if text.starts_with("spend") => {
                while has_budget_remaining() {
                    consume_budget().await;
                }
            }
            Some("close") => ctx.close(4000, "").await?,
            _ => {}
        }
        Ok(())
    }
}

async fn open(config: Config) -> (DuplexStream, Sockets) {
    let router = Router::new().path("", |_| Ok(Worker)).config(config);
    let (service, sockets) = router.into_service();
    let mut client = Communicator::new(service, "/").pipe(1 << 20);
    client.connect().await.unwrap();
    (client.into_stream().unwrap(), sockets)
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_tiny_fragments_is_over_the_rate() {
    for payload in ["", "x"] {
        let (mut peer, sockets) = open(Config::new().inbound_rate(10, 50)).await;
        peer.write_all(&fragment(TEXT, b"x")).await.unwrap();
        let fragments = fragment(CONTINUATION, payload).repeat(40);
        peer.write_all(&fragments).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(sockets.count(), 1);
        peer.write_all(&fragments).await.unwrap();
        sleep(Duration::from_secs(3)).await;
        assert_eq!(sockets.count(), 0, "{payload:?}");
    }
}

#[tokio::test]
async fn a_peer_is_not_blamed_for_a_hook_that_blocks_its_thread() {
    let config = Config::new().inbound_rate(100, 5);
    let (mut peer, sockets) = open(config.close_timeout(Duration::ZERO)).await;
    peer.write_all(&frame(TEXT, b"block")).await.unwrap();
    // The session's turn is next, and lasts half a second, for which these are at the rate.
    let others = thread::spawn(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        thread::sleep(Duration::from_millis(100));
        let messages = frame(TEXT, b"x").repeat(30);
        runtime.block_on(peer.write_all(&messages)).unwrap();
        peer
    });
    sleep(Duration::from_millis(1)).await;
    let _peer = others.join().unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_eq!(sockets.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_not_blamed_for_a_hook_that_uses_up_the_turn() {
    let config = Config::new().inbound_rate(10, 5).messages(2, 1 << 20);
    let (mut peer, sockets) = open(config).await;
    peer.write_all(&frame(TEXT, b"wait")).await.unwrap();
    // At the rate. After the hook more than one read is waiting, and each message uses up a turn.
    let spend = frame(TEXT, format!("spend{}", ".".repeat(100)));
    for _ in 0..400 {
        sleep(Duration::from_millis(100)).await;
        peer.write_all(&spend).await.unwrap();
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(sockets.count(), 1);
}

/// A server whose only thread has one flood after the other to read, and another client that wants
/// to enter meanwhile.
fn with_flood(first: &'static [u8], flood: &[u8], check: impl FnOnce(SocketAddr, &Sockets)) {
    let (told, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let router = Router::new().path("", |_| Ok(Worker));
            let listening = Server::bind("127.0.0.1:0")
                .router(router)
                .listen()
                .await
                .unwrap();
            told.send((listening.local_addr(), listening.sockets()))
                .unwrap();
            tokio::select! {
                _ = stopped => {}
                _ = listening.serve_until(std::future::pending()) => {}
            }
        });
    });
    let (address, sockets) = address.recv().unwrap();
    let mut peer = enter(address).unwrap();
    peer.write_all(first).unwrap();
    let stream = peer.try_clone().unwrap();
    let block = flood.repeat((1 << 20) / flood.len());
    let flooding = thread::spawn(move || while peer.write_all(&block).is_ok() {});
    thread::sleep(Duration::from_millis(300));
    check(address, &sockets);
    let _ = stream.shutdown(std::net::Shutdown::Both);
    flooding.join().unwrap();
    drop(stop);
    server.join().unwrap();
}

fn enter(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"HTTP/1.1 101");
    Ok(stream)
}

#[test]
fn others_have_their_turn_while_a_peer_floods() {
    let floods: [(&'static [u8], &[u8]); 3] = [
        (b"", &[0x89, 0x80, 0, 0, 0, 0]),
        (&[0x01, 0x80, 0, 0, 0, 0], &[0x00, 0x80, 0, 0, 0, 0]),
        (b"\x81\x84\0\0\0\0wait", &[0x89, 0x80, 0, 0, 0, 0]),
    ];
    for (first, flood) in floods {
        with_flood(first, flood, |address, _| {
            assert!(enter(address).is_ok(), "{first:?}");
        });
    }
}

#[test]
fn a_peer_that_floods_is_given_up_when_the_time_of_the_close_is_over() {
    for first in [&b"\x81\x85\0\0\0\0close"[..], &[0xff, 0xff]] {
        with_flood(first, &[0x89, 0x80, 0, 0, 0, 0], |_, sockets| {
            let start = Instant::now();
            while sockets.count() > 0 && start.elapsed() < Duration::from_secs(30) {
                thread::sleep(Duration::from_millis(20));
            }
            assert_eq!(sockets.count(), 0, "{first:?}");
        });
    }
}
