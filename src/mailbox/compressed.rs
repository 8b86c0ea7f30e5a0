//! Compressed messages on their way out: which connection wants them how, and what is shared of them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::config::Config;
use crate::message::Message;
use crate::websocket::Extensions;
use crate::websocket::OpCode;
use crate::websocket::deflate::Compression;
use crate::websocket::deflate::WindowBits;
use crate::websocket::deflate::compressed_frame;

use super::budget::Budget;
use super::chunks::COPIED;
use super::encoded::Encoded;
use super::mailbox::Mailbox;
use super::outbound::Outbound;
use super::parcel::Parcel;
use super::shared::Shared;

/// The compressed forms of one message, each made when the first connection wants it and shared by all
/// clones of the message.
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

    /// The lock is held while it is made, so that it is made once. Where there is a budget, that counts it from now until
    /// neither the message nor a queue holds it any more.
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
    /// A connection that may want messages compressed is about to be there. Those made from now on keep what is
    /// made for it; older ones go to it as they are, which is always right.
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

    /// The message as it goes to this connection. Without the lock, since compressing takes its time.
    pub(crate) fn compressed(&self, message: Outbound) -> Outbound {
        let Some(compression) = self.compression() else {
            return message;
        };
        match message {
            Outbound::Message(message) => {
                let frame = (message.len() >= compression.min_len)
                    .then(|| compressed_message(&message, compression))
                    .flatten();
                frame.map_or(Outbound::Message(message), |frame| {
                    Outbound::Ready(Encoded::ready(Shared::new(frame)))
                })
            }
            Outbound::Ready(event) => {
                let budget = Some(self.budget());
                Outbound::Ready(event.compressed_within(compression, budget))
            }
        }
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

fn compressed_message(message: &Message, compression: Compression) -> Option<Bytes> {
    match message {
        Message::Text(text) => compressed_frame(OpCode::Text, text.as_bytes(), compression),
        Message::Binary(bytes) => compressed_frame(OpCode::Binary, bytes, compression),
    }
}

/// The length from which on any connection so far wants messages compressed. It only falls, and while
/// there was none no message has anything to do with compression.
static SHORTEST: AtomicUsize = AtomicUsize::new(usize::MAX);
