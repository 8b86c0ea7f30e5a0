//! [`Socket`]: a client over TCP that notes what it hears and when, and answers pings.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stage::Tick;

pub(crate) struct Socket {
    task: JoinHandle<Heard>,
    texts: mpsc::Sender<oneshot::Sender<String>>,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) ticks: Vec<(Tick, Instant)>,
    /// How the server ended it, if it did.
    pub(crate) closed: Option<String>,
}

impl Socket {
    pub(crate) async fn open(server: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 101"), "{path}: {answer}");
        let (texts, asked) = mpsc::channel(1);
        Self {
            task: tokio::spawn(listen(stream, asked)),
            texts,
        }
    }

    /// Sends a text and returns the answer, which is no tick.
    pub(crate) async fn ask(&self) -> String {
        let (answer, answered) = oneshot::channel();
        self.texts.send(answer).await.unwrap();
        timeout(PATIENCE, answered).await.unwrap().unwrap()
    }

    pub(crate) async fn end(self) -> Heard {
        drop(self.texts);
        self.task.await.unwrap()
    }
}

/// Until nobody can ask any more.
async fn listen(
    mut stream: TcpStream,
    mut asked: mpsc::Receiver<oneshot::Sender<String>>,
) -> Heard {
    let mut heard = Heard::default();
    let mut unread = Vec::with_capacity(4096);
    let mut asking = None;
    while heard.closed.is_none() {
        let read = tokio::select! {
            read = stream.read_buf(&mut unread) => read,
            ask = asked.recv() => {
                let Some(answer) = ask else { return heard };
                asking = Some(answer);
                stream.write_all(&frame(0x1, b"join")).await.unwrap();
                continue;
            }
        };
        if !matches!(read, Ok(1..)) {
            heard.closed = Some(format!("without a close frame: {read:?}"));
        }
        let mut taken = 0;
        while let Some((opcode, payload)) = decode(&unread[taken..]) {
            taken += payload.len() + if payload.len() < 126 { 2 } else { 4 };
            match (opcode, serde_json::from_slice(payload)) {
                (0x1, Ok(tick)) => heard.ticks.push((tick, Instant::now())),
                (0x1, Err(_)) => {
                    let text = String::from_utf8_lossy(payload).into_owned();
                    asking.take().expect("a question").send(text).unwrap();
                }
                (0x9, _) => stream.write_all(&frame(0xa, payload)).await.unwrap(),
                _ => heard.closed = Some(format!("opcode {opcode}: {payload:?}")),
            }
        }
        unread.drain(..taken);
    }
    heard
}

/// Masked with zeros.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[0x80 | opcode, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// Opcode and payload of the first frame.
fn decode(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[opcode, short], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match short {
        126 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        short => (usize::from(short), rest),
    };
    Some((opcode & 0x0f, rest.get(..length)?))
}

const PATIENCE: Duration = Duration::from_secs(30);
