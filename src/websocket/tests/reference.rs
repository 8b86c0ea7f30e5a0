//! tungstenite's `WebSocket` and our decoder, each made to tell what it heard in the same words.

use std::collections::VecDeque;
use std::io;
use std::io::{Read, Write};

use tungstenite::protocol::{WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::websocket::close::CloseBody;
use crate::websocket::{ControlPayload, Decoder, Incoming, Role};

/// The result of a stream, up to its first close frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) messages: Vec<Incoming>,
    /// The code the peer was refused with.
    pub(super) refused: Option<u16>,
}

/// A stream that delivers these pieces, one a read, then blocks, and remembers what is written.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub(super) pieces: VecDeque<Vec<u8>>,
    pub(super) written: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.pieces.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let len = piece.len().min(buf.len());
        let rest = piece.split_off(len);
        buf[..len].copy_from_slice(&piece);
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A tungstenite end over `pieces`. Its limit of a frame, which holds for control frames too and
/// beyond which it would reserve memory at once, is kept out of the way of the message's.
pub(super) fn tungstenite(
    role: Role,
    limit: usize,
    pieces: impl IntoIterator<Item = Vec<u8>>,
) -> WebSocket<Pipe> {
    let role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(limit))
        .max_frame_size(Some(1 << 20));
    let pipe = Pipe {
        // An empty read would be the end of the stream.
        pieces: pieces.into_iter().filter(|p| !p.is_empty()).collect(),
        written: Vec::new(),
    };
    WebSocket::from_raw_socket(pipe, role, Some(config))
}

pub(super) fn tungstenite_hears(role: Role, limit: usize, pieces: &[Vec<u8>]) -> Heard {
    let mut socket = tungstenite(role, limit, pieces.iter().cloned());
    let mut messages = Vec::new();
    let refused = loop {
        match socket.read() {
            Ok(message) => {
                let Some(incoming) = in_our_words(message) else {
                    break Some(1002);
                };
                let close = matches!(incoming, Incoming::Close(_));
                messages.push(incoming);
                if close {
                    break None;
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break None,
            Err(Error::Protocol(_)) => break Some(1002),
            Err(Error::Utf8(_)) => break Some(1007),
            Err(Error::Capacity(_)) => break Some(1009),
            Err(error) => panic!("unexpected: {error}"),
        }
    };
    Heard { messages, refused }
}

pub(super) fn we_hear(role: Role, limit: usize, pieces: &[Vec<u8>]) -> Heard {
    let mut decoder = Decoder::new(role, limit);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut input = piece.clone();
        let mut at = 0;
        loop {
            match decoder.decode(&mut input, &mut at) {
                Ok(Some(incoming)) => {
                    let close = matches!(incoming, Incoming::Close(_));
                    messages.push(incoming);
                    if close {
                        let refused = None;
                        return Heard { messages, refused };
                    }
                }
                Ok(None) => break,
                Err(violation) => {
                    let refused = Some(violation.code);
                    return Heard { messages, refused };
                }
            }
        }
        assert_eq!(at, input.len(), "not all was taken");
    }
    let refused = None;
    Heard { messages, refused }
}

/// `None` for what stands for a close frame whose code tungstenite refuses: it does not fail there,
/// but hands out a close frame that the peer never sent.
fn in_our_words(message: Message) -> Option<Incoming> {
    Some(match message {
        Message::Text(text) => Incoming::Text(text.as_str().to_owned()),
        Message::Binary(bytes) => Incoming::Binary(bytes),
        Message::Ping(payload) => Incoming::Ping(ControlPayload::new(&payload)),
        Message::Pong(payload) => Incoming::Pong(ControlPayload::new(&payload)),
        Message::Close(None) => Incoming::Close(None),
        Message::Close(Some(body)) => {
            let code = u16::from(body.code);
            let reason = body.reason.as_str().to_owned();
            if code == 1002 && reason == "Protocol violation" {
                return None;
            }
            Incoming::Close(Some(CloseBody { code, reason }))
        }
        Message::Frame(frame) => panic!("a raw frame was read: {frame}"),
    })
}
