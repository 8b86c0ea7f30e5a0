//! [`Client`]: the client's end of a WebSocket, over an in-memory stream.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::close::CloseCode;
use crate::message::Message;
use crate::websocket::{
    Decoder, Extensions, Incoming, OpCode, Role, close_payload, encode_masked_into,
};

use super::answers::Unexpected;

/// Speaks the protocol as a browser does: masks, answers pings, answers a close.
#[derive(Debug)]
pub(super) struct Client {
    stream: DuplexStream,
    decoder: Decoder,
    /// Read and not decoded yet, from `at` on.
    unread: Vec<u8>,
    at: usize,
    has_closed: bool,
}

impl Client {
    pub(super) fn new(stream: DuplexStream, extensions: Extensions) -> Self {
        Self {
            stream,
            decoder: Decoder::new(Role::Client, usize::MAX).with(extensions),
            unread: Vec::new(),
            at: 0,
            has_closed: false,
        }
    }

    pub(super) fn into_stream(self) -> DuplexStream {
        self.stream
    }

    pub(super) async fn send(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), Unexpected> {
        let mut frame = Vec::new();
        encode_masked_into(&mut frame, opcode, MASK, payload);
        self.stream
            .write_all(&frame)
            .await
            .map_err(|_| Unexpected::Lost)
    }

    pub(super) async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Unexpected> {
        if std::mem::replace(&mut self.has_closed, true) {
            return Ok(());
        }
        self.send(OpCode::Close, &close_payload(code.as_u16(), reason))
            .await
    }

    /// The next message; the connection's end is an error.
    ///
    /// Cancel safe: bytes that were read are kept.
    pub(super) async fn receive(&mut self) -> Result<Message, Unexpected> {
        loop {
            match self.decode()? {
                Some(Incoming::Text(text)) => return Ok(Message::Text(text)),
                Some(Incoming::Binary(bytes)) => return Ok(Message::Binary(bytes)),
                Some(Incoming::Ping(payload)) => self.send(OpCode::Pong, &payload).await?,
                Some(Incoming::Pong(_)) => {}
                Some(Incoming::Close(body)) => {
                    let (code, reason) = body
                        .map_or((CloseCode::NO_STATUS, String::new()), |body| {
                            (CloseCode::from_wire(body.code), body.reason)
                        });
                    // A server that is gone already needs no answer.
                    let _ = self.close(code, "").await;
                    return Err(Unexpected::Closed(code, reason));
                }
                None => self.read().await?,
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Incoming>, Unexpected> {
        if self.at == self.unread.len() {
            return Ok(None);
        }
        let incoming = self.decoder.decode(&mut self.unread, &mut self.at);
        incoming.map_err(|violation| {
            Unexpected::Malformed(format!("the server broke the protocol: {violation}"))
        })
    }

    async fn read(&mut self) -> Result<(), Unexpected> {
        self.unread.clear();
        self.at = 0;
        match self.stream.read_buf(&mut self.unread).await {
            Ok(read) if read > 0 => Ok(()),
            _ => Err(Unexpected::Lost),
        }
    }
}

/// Nobody is tricked here: a fixed mask keeps a test's bytes the same from run to run.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
