//! [`Peer`]: the client's end of the pipe. It answers pings and a close frame when it reads them,
//! and reads only while it is ordered to.

use std::future::pending;

use bytes::BytesMut;
use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::client::{CLOSE, Frame, PING, PONG, TEXT, frame};

#[derive(Default)]
pub(crate) struct Peer {
    /// `None` before the handshake's end, and once it has dropped it.
    pub(crate) stream: Option<DuplexStream>,
    pub(crate) reads: bool,
    /// The frames it has read: the label of each message, and `close` with its code.
    pub(crate) seen: Vec<String>,
    /// Reasons of close frames.
    pub(crate) reasons: Vec<String>,
    /// The beginning of a frame.
    pub(crate) rest: BytesMut,
    pub(crate) saw_end: bool,
    pub(crate) pings: usize,
    /// The payloads of the pongs.
    pub(crate) pongs: Vec<String>,
    /// Answers no pings.
    pub(crate) is_dead: bool,
    closes: bool,
}

impl Peer {
    /// Reads for as long as it is polled. Never ready.
    pub(crate) async fn pump(&mut self) {
        loop {
            let Some(stream) = self.stream.as_mut().filter(|_| self.reads) else {
                return pending().await;
            };
            match stream.read_buf(&mut self.rest).await {
                Ok(0) | Err(_) => {
                    self.saw_end = true;
                    self.stream = None;
                }
                Ok(_) => self.look(),
            }
        }
    }

    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.write(&frame(opcode, payload));
    }

    pub(crate) fn close(&mut self) {
        if !std::mem::replace(&mut self.closes, true) {
            self.send(CLOSE, &1000_u16.to_be_bytes());
        }
    }

    /// To a session that may be gone, through a pipe that always has room.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            let written = stream.write_all(bytes).now_or_never();
            assert!(written.is_some(), "the peer's own pipe is full");
        }
    }

    pub(crate) fn half_close(&mut self) {
        let stream = self.stream.as_mut().unwrap();
        stream.shutdown().now_or_never().unwrap().unwrap();
    }

    fn look(&mut self) {
        while let Some(Frame { opcode, payload }) = Frame::take(&mut self.rest) {
            match opcode {
                TEXT => {
                    let text = String::from_utf8(payload).unwrap();
                    let label = text.split_once('.').map_or(&*text, |(label, _)| label);
                    self.seen.push(label.to_owned());
                }
                CLOSE => {
                    let (code, reason) = payload.split_first_chunk().unwrap();
                    self.seen
                        .push(format!("close {}", u16::from_be_bytes(*code)));
                    self.reasons
                        .push(String::from_utf8(reason.to_vec()).unwrap());
                    self.close();
                }
                PING => {
                    self.pings += 1;
                    if !self.is_dead {
                        self.send(PONG, &payload);
                    }
                }
                PONG => self.pongs.push(String::from_utf8(payload).unwrap()),
                _ => self.seen.push(format!("opcode {opcode}")),
            }
        }
    }
}
