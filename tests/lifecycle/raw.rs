//! [`Raw`]: a client that does only what a test says: it answers no ping and no close frame by itself.

use std::io;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

pub(crate) struct Raw {
    stream: DuplexStream,
    read: Vec<u8>,
}

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(stream: DuplexStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.unwrap();
    }

    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(crate) async fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.try_send(opcode, payload).await.unwrap();
    }

    /// To a server that may be gone.
    pub(crate) async fn try_send(
        &mut self,
        opcode: u8,
        payload: impl AsRef<[u8]>,
    ) -> io::Result<()> {
        let bytes = frame(opcode, payload.as_ref());
        self.stream.write_all(&bytes).await
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.send(TEXT, text).await;
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        self.send(CLOSE, close_body(code, reason)).await;
    }

    /// The next frame; `None` at the stream's end.
    ///
    /// Cancel safe: what was read is kept.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.read).await {
                Ok(read) if read > 0 => {}
                _ => {
                    assert!(self.read.is_empty(), "the stream ended within a frame");
                    return None;
                }
            }
        }
    }

    /// The next frame that is no ping; pings are answered.
    pub(crate) async fn answering(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await? {
                ping if ping.opcode == PING => self.send(PONG, ping.payload).await,
                frame => return Some(frame),
            }
        }
    }

    /// The next frame, which must be this text; pings before it are answered.
    pub(crate) async fn expect_text(&mut self, text: &str) {
        let frame = self.answering().await.expect("a message, not the end");
        assert_eq!(frame.opcode, TEXT, "{frame:?}");
        assert_eq!(String::from_utf8_lossy(&frame.payload), text);
    }

    /// The next frame, which must be a close frame with a code; then answers it and waits for the end.
    pub(crate) async fn expect_close(&mut self) -> (u16, String) {
        let frame = self.answering().await.expect("a close frame, not the end");
        assert_eq!(frame.opcode, CLOSE, "{frame:?}");
        self.send(CLOSE, &frame.payload[..2]).await;
        assert_eq!(self.frame().await, None);
        parse_close(&frame.payload).expect("a code")
    }

    fn take(&mut self) -> Option<Frame> {
        let (&[first, second], rest) = self.read.split_first_chunk::<2>()?;
        assert_eq!(first & 0xf0, 0x80, "a whole frame, no reserved bit");
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (len, rest) = match second {
            126 => {
                let (len, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let (len, rest) = rest.split_first_chunk::<8>()?;
                (usize::try_from(u64::from_be_bytes(*len)).unwrap(), rest)
            }
            len => (usize::from(len), rest),
        };
        let payload = rest.get(..len)?.to_vec();
        let taken = self.read.len() - rest.len() + len;
        self.read.drain(..taken);
        let opcode = first & 0x0f;
        Some(Frame { opcode, payload })
    }
}

/// A whole masked frame. The mask is zero: allowed, and easy to read.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Code and reason; `None` for a close frame without a body.
pub(crate) fn parse_close(payload: &[u8]) -> Option<(u16, String)> {
    let (code, reason) = payload.split_first_chunk::<2>()?;
    let reason = String::from_utf8(reason.to_vec()).unwrap();
    Some((u16::from_be_bytes(*code), reason))
}
