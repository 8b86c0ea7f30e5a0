//! A peer that never stops sending, and never sends a message.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::advance;

use crate::close::{Cause, CloseCode};
use crate::config::Config;
use crate::mailbox::{Close, CloseRequest, ConnectionSettings, Mailbox};
use crate::session::connection::Connection;
use crate::session::transport::Transport;
use crate::websocket::Extensions;

/// There is always as much to read as there is room for.
struct Flood {
    frame: &'static [u8],
    at: usize,
    reads: usize,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.reads += 1;
        assert!(this.reads < 1000, "it reads on and on");
        while buffer.remaining() > 0 {
            let rest = &this.frame[this.at..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            this.at = (this.at + length) % this.frame.len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Woken {
    /// Not at once: the I/O driver comes first.
    async fn take_after_driver(&self) -> bool {
        let at_once = self.0.load(Ordering::Relaxed);
        yield_now().await;
        !at_once && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Floods of pongs, and of a message that never ends.
fn connections() -> Vec<(Arc<Mailbox>, Connection)> {
    let pong = &[0x8A, 0x80, 0, 0, 0, 0];
    let empty_fragment = &[0x00, 0x80, 0, 0, 0, 0];
    let begun = &[0x01, 0x80, 0, 0, 0, 0];
    let rows: [(&[u8], &'static [u8]); 2] = [(&[], pong), (begun, empty_fragment)];
    let connection = |(early, frame)| {
        let terms = ConnectionSettings::of(Config::new());
        let mailbox = Mailbox::connection(terms, Extensions::default());
        let (at, reads) = (0, 0);
        let flood = Flood { frame, at, reads };
        let transport = Transport::other(flood, Bytes::copy_from_slice(early));
        (mailbox.clone(), Connection::new(mailbox, transport))
    };
    rows.into_iter().map(connection).collect()
}

#[tokio::test(start_paused = true)]
async fn other_tasks_run_while_a_peer_never_stops_sending() {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let cx = &mut Context::from_waker(&waker);
    for (_, mut connection) in connections() {
        for _ in 0..3 {
            assert!(connection.poll_next(cx).is_pending());
            assert!(woken.take_after_driver().await, "it goes on by itself");
            // While a hook runs.
            assert!(connection.poll_during_hook(cx).is_none());
            assert!(woken.take_after_driver().await);
        }
    }
}

/// A session that is over its turn used to wake itself, and stood in the thread's queue again
/// before the driver was asked what had arrived for others.
#[test]
fn the_io_driver_is_polled_between_two_turns() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(u32::MAX)
        .build()
        .unwrap();
    for at in 0..2 {
        runtime.block_on(async {
            let (_, mut connection) = connections().remove(at);
            let flood = tokio::spawn(poll_fn(move |cx| connection.poll_next(cx).map(drop)));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            listener.accept().await.unwrap();
            assert!(!flood.is_finished(), "it read until it was ended");
            flood.abort();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_has_its_deadline_while_a_peer_never_stops_sending() {
    for (mailbox, mut connection) in connections() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let cx = &mut Context::from_waker(&waker);
        mailbox.close(Close::AfterQueue(CloseRequest {
            code: CloseCode::NORMAL,
            reason: String::new(),
            cause: Cause::Server,
        }));
        assert!(connection.poll_closed(cx).is_pending());
        assert!(woken.take_after_driver().await);
        advance(mailbox.settings().config().close_timeout).await;
        assert!(connection.poll_closed(cx).is_ready());
    }
}
