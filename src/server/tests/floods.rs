//! A client whose requests never cease to wait.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::server::http1::{Stream, serve_stream};
use crate::session::Transport;

use super::stage::{NOWHERE, Stage};

/// Requests without end, whose answers are all taken.
struct Flood {
    /// How much more it sends, so that a server that never yields ends the test.
    left: usize,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let requests = self.left.min(buffer.remaining() / NOWHERE.len());
        buffer.put_slice(NOWHERE.repeat(requests).as_bytes());
        self.left -= requests;
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

impl Stream for Flood {
    fn into_transport(self, early: Bytes) -> Transport {
        Transport::other(self, early)
    }
}

#[test]
fn the_io_driver_is_polled_while_requests_never_cease_to_wait() {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(u32::MAX)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stage = Stage::new();
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let place = stage.places.take(peer.ip()).expect("a place");
        let (app, stopping) = (stage.app.clone(), stage.stop.subscribe());
        let flood = tokio::spawn(async move {
            let flood = Flood { left: 10_000 };
            serve_stream(app, flood, peer, place.activity(), stopping).await;
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let _client = std::net::TcpStream::connect(address).expect("a connection");
        listener.accept().await.expect("the connection");
        assert!(!flood.is_finished(), "it served until the flood was over");
        flood.abort();
    });
}
