//! A client over TCP that reads when it is told to, and a server whose kernel holds little for it.

use std::net::SocketAddr;
use std::time::Duration;

use strait::Router;
use strait::Server;
use strait::testing::TestServer;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Close(u16, String),
}

/// Little fits beside the queues.
pub(crate) async fn serve(router: Router) -> TestServer {
    let listener = TcpSocket::new_v4().unwrap();
    // What it accepts takes this over.
    listener.set_send_buffer_size(KERNEL).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::from_listener(listener.listen(1024).unwrap()).router(router);
    TestServer::serve(server).await.unwrap()
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(KERNEL).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
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
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The next whole frame, or how the stream ended at a frame's boundary or within one.
    pub(crate) async fn next(&mut self) -> Result<Frame, String> {
        loop {
            if let Some((frame, length)) = decode(&self.unread) {
                self.unread.drain(..length);
                return Ok(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
            match read.expect("nothing came") {
                Ok(0) if self.unread.is_empty() => return Err("ended".to_owned()),
                Ok(0) => return Err("ended within a frame".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Ok(Frame::Text(text)) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    /// Masked with zeros.
    pub(crate) async fn send_text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).unwrap();
        assert!(length < 126);
        let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat();
        self.stream.write_all(&frame).await.unwrap();
    }
}

/// The first frame, and its length with the header.
fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
    let [opcode, short, ..] = *bytes else {
        return None;
    };
    let (start, length) = match short {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(start..start + length)?;
    let frame = match opcode {
        0x81 => Frame::Text(String::from_utf8(payload.to_vec()).unwrap()),
        0x88 => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Frame::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap())
        }
        other => panic!("a frame that was not expected: {other:#x}"),
    };
    Some((frame, start + length))
}

/// What the kernel's buffers are asked to be; they may be a few times larger, on both sides.
pub(crate) const KERNEL: u32 = 16 * 1024;
/// How long to wait for what must come; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
