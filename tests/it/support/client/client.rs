//! [`Client`]: one end of a connection, and the request that opens it.

use std::io;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{CLOSE, Frame, TEXT, close_payload, frame};

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    /// Bytes that were read and not consumed yet.
    pub(crate) unread: BytesMut,
    /// How long a read or a write may take; for ever where time may be paused.
    pub(crate) patience: Option<Duration>,
}

impl Client {
    /// Over TCP, with its opening handshake.
    pub(crate) async fn connect(server: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        Self::open(stream, &request(path, "")).await
    }

    /// Before its handshake.
    pub(crate) fn over_tcp(stream: TcpStream) -> Self {
        Self {
            patience: Some(PATIENCE),
            ..Self::over(stream)
        }
    }

    /// Sends this request, which must be accepted.
    pub(crate) async fn open(stream: TcpStream, request: &str) -> Self {
        let mut client = Self::over_tcp(stream);
        client.write(request).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{request}{head}");
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Without a handshake, and with endless patience.
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            unread: BytesMut::new(),
            patience: None,
        }
    }

    /// Bytes as they are.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_write(bytes).await.unwrap();
    }

    /// To a server that may be gone.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.patience, self.stream.write_all(bytes.as_ref())).await
    }

    /// A whole frame.
    pub(crate) async fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.write(frame(opcode, payload)).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send(TEXT, text).await;
    }

    pub(crate) async fn send_close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, close_payload(code, reason)).await;
    }

    /// The next frame; `None` at the stream's end, which must be an orderly one.
    ///
    /// Cancel safe: bytes that were read are kept.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        self.try_frame().await.unwrap()
    }

    pub(crate) async fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.unread) {
                return Ok(Some(frame));
            }
            match self.read().await? {
                0 if self.unread.is_empty() => return Ok(None),
                0 => return Err(io::Error::new(ErrorKind::UnexpectedEof, "within a frame")),
                _ => {}
            }
        }
    }

    /// The next frame, which must be a text.
    pub(crate) async fn receive_text(&mut self) -> String {
        let frame = self.frame().await.expect("a text, not the end");
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The head of an HTTP answer.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.unread.split_to(end + 4).to_vec()).unwrap();
            }
            let read = self.read().await.unwrap();
            assert!(read > 0, "no answer: {:?}", self.unread);
        }
    }

    /// Reads what is there, and says how much; 0 at the end.
    pub(crate) async fn read(&mut self) -> io::Result<usize> {
        self.unread.reserve(4096);
        within(self.patience, self.stream.read_buf(&mut self.unread)).await
    }
}

async fn within<T>(patience: Option<Duration>, future: impl Future<Output = T>) -> T {
    match patience {
        Some(patience) => timeout(patience, future).await.expect("nothing came"),
        None => future.await,
    }
}

/// An opening handshake, with further headers, each a line with its end.
pub(crate) fn request(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// How long to wait for what must come; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
