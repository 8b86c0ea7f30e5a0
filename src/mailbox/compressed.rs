//! Compressed messages on their way out: which connection wants them how, and what is shared of
//! them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;

use crate::config::Config;
use crate::message::Message;
use crate::websocket::deflate::{Compressing, Compression, WindowBits, compressed_frame};
use crate::websocket::{Extensions, OpCode};

use super::budget::Budget;
use super::chunks::COPIED;
use super::encoded::Encoded;
use super::mailbox::Mailbox;
use super::outbound::Outbound;
use super::parcel::Parcel;
use super::shared::Shared;

/// The compressed forms of one message, each made when the first connection wants it and shared by
/// all clones of the message.
#[derive(Debug)]
pub(super) struct Compressed {
    opcode: OpCode,
    forms: Mutex<Vec<Form>>,
}

#[derive(Debug)]
struct Form {
    window: WindowBits,
    level: u8,
    /// `None` where it would not be shorter.
    frame: Option<Shared>,
}

impl Compressed {
    /// `None` where no connection of this process compresses messages as short as this one.
    pub(super) fn of(opcode: OpCode, payload: &[u8]) -> Option<Arc<Self>> {
        (payload.len() >= SHORTEST.load(Ordering::Relaxed)).then(|| {
            Arc::new(Self {
                opcode,
                forms: Mutex::default(),
            })
        })
    }

    /// The lock is held while it is made, so that it is made once. Where there is a budget, that
    /// counts it from now until neither the message nor a queue holds it any more.
    fn frame(
        &self,
        payload: &[u8],
        compression: Compression,
        budget: Option<&Arc<Budget>>,
    ) -> Option<Shared> {
        let Compression { window, level, .. } = compression;
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms
            .iter()
            .position(|form| form.window == window && form.level == level);
        let at = known.unwrap_or_else(|| {
            let frame = compressed_frame(self.opcode, payload, compression).map(Shared::new);
            forms.push(Form {
                window,
                level,
                frame,
            });
            forms.len() - 1
        });
        let frame = forms[at].frame.as_mut()?;
        if let Some(budget) = budget
            && frame.bytes().len() > COPIED
        {
            *frame = frame.counted(budget);
        }
        Some(frame.clone())
    }
}

impl Encoded {
    /// A connection that may want messages compressed is about to be there. Those made from now on
    /// keep what is made for it; older ones go to it as they are, which is always right.
    pub(super) fn expect_compression(config: &Config, extensions: Extensions) {
        if let Some(compression) = compression(config, extensions) {
            SHORTEST.fetch_min(compression.min_len, Ordering::Relaxed);
        }
    }

    /// The frame for connections with this compression.
    pub(crate) fn compressed(&self, compression: Compression) -> Self {
        self.compressed_within(compression, None)
    }

    /// Likewise; where the message is counted once for all that hold it, so is this.
    fn compressed_within(&self, compression: Compression, budget: Option<&Arc<Budget>>) -> Self {
        let payload = self.payload();
        let frame = match &self.compressed {
            Some(compressed) if payload.len() >= compression.min_len => {
                let budget = budget.filter(|_| self.shared().is_counted());
                compressed.frame(payload, compression, budget)
            }
            _ => None,
        };
        Self::ready(frame.unwrap_or_else(|| self.shared().clone()))
    }
}

impl Parcel {
    /// The same message for connections with this compression.
    pub(crate) fn compressed(&self, compression: Compression) -> Self {
        Self::new(self.encoded.compressed(compression), self.latest.clone())
    }
}

impl Mailbox {
    /// How messages to this connection are compressed, where that was agreed on.
    pub(crate) fn compression(&self) -> Option<Compression> {
        compression(self.config(), self.extensions())
    }

    /// The message as it goes to this connection. Compresses it without the lock, since that takes
    /// its time; a long one is compressed [a step at a time](LongMessage) by whoever sends it.
    pub(crate) fn compressed(&self, message: Outbound) -> Outbound {
        let Some(compression) = self.compression() else {
            return message;
        };
        match message {
            Outbound::Message(message) if message.len() < compression.min_len => {
                Outbound::Message(message)
            }
            Outbound::Message(message) => {
                let mut message = LongMessage::new(message, compression);
                match message.step() {
                    Poll::Ready(compressed) => compressed,
                    Poll::Pending => Outbound::Long(Box::new(message)),
                }
            }
            Outbound::Ready(event) => {
                let budget = Some(self.budget());
                Outbound::Ready(event.compressed_within(compression, budget))
            }
            Outbound::Long(_) => message,
        }
    }
}

/// A message of the consumer's own that is compressed in several steps.
#[derive(Debug)]
pub(crate) struct LongMessage {
    message: Message,
    compressing: Compressing,
}

impl LongMessage {
    fn new(message: Message, compression: Compression) -> Self {
        let opcode = match &message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        Self {
            message,
            compressing: Compressing::new(opcode, compression),
        }
    }

    /// Compresses a piece of the message. Ready with what is to be sent: the compressed frame, or
    /// the message itself if it is no longer.
    pub(crate) fn step(&mut self) -> Poll<Outbound> {
        let frame = self.compressing.step(self.message.as_bytes());
        frame.map(|frame| match frame {
            Some(frame) => Outbound::Ready(Encoded::ready(Shared::new(frame))),
            None => Outbound::Message(std::mem::replace(
                &mut self.message,
                Message::Binary(Bytes::new()),
            )),
        })
    }

    /// The message, not compressed.
    pub(super) fn into_plain(self) -> Message {
        self.message
    }
}

fn compression(config: &Config, extensions: Extensions) -> Option<Compression> {
    let window = extensions.deflate?;
    let options = config.deflate.as_ref()?;
    Some(Compression {
        window,
        level: options.level,
        min_len: options.min_len,
    })
}

/// The length from which on any connection so far wants messages compressed. It only falls, and
/// while there was none no message has anything to do with compression.
static SHORTEST: AtomicUsize = AtomicUsize::new(usize::MAX);
