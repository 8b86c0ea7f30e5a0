//! [`CompressedForms`]: the compressed frames of one message, and which connections want them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::budget::{AccountedBytes, Budget};
use crate::config::Config;
use crate::websocket::deflate::{Compression, WindowBits, compressed_frame};
use crate::websocket::{Extensions, OpCode};

use super::COPY_MAX_BYTES;

/// The compressed forms of one message. Each is made for the first connection that wants it, and
/// all clones of the message share it.
#[derive(Debug)]
pub(super) struct CompressedForms {
    opcode: OpCode,
    forms: Mutex<Vec<Form>>,
}

#[derive(Debug)]
struct Form {
    window: WindowBits,
    level: u8,
    /// `None` if it would not be shorter than the message.
    frame: Option<AccountedBytes>,
}

impl CompressedForms {
    /// `None` if no connection of this process compresses messages as short as this one.
    pub(super) fn of(opcode: OpCode, payload: &[u8]) -> Option<Arc<Self>> {
        (payload.len() >= SHORTEST_BYTES.load(Ordering::Relaxed)).then(|| {
            Arc::new(Self {
                opcode,
                forms: Mutex::default(),
            })
        })
    }

    /// The frame for this compression. A budget counts it from now until neither the message nor a
    /// queue holds it any longer.
    pub(super) fn frame(
        &self,
        payload: &[u8],
        compression: Compression,
        budget: Option<&Arc<Budget>>,
    ) -> Option<AccountedBytes> {
        let Compression { window, level, .. } = compression;
        // Held while the message is compressed, so that this happens once.
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms
            .iter()
            .position(|form| form.window == window && form.level == level);
        let at = known.unwrap_or_else(|| {
            let frame = compressed_frame(self.opcode, payload, compression);
            forms.push(Form {
                window,
                level,
                frame: frame.map(AccountedBytes::new),
            });
            forms.len() - 1
        });
        let frame = forms[at].frame.as_mut()?;
        if let Some(budget) = budget
            && frame.bytes().len() > COPY_MAX_BYTES
        {
            *frame = frame.counted(budget);
        }
        Some(frame.clone())
    }
}

/// Prepares for a connection that may want compressed messages. Messages made from now on keep
/// their compressed forms. Older ones reach it uncompressed, which is always correct.
pub(crate) fn expect_compression(config: &Config, extensions: Extensions) {
    if let Some(compression) = agreed_compression(config, extensions) {
        SHORTEST_BYTES.fetch_min(compression.min_len, Ordering::Relaxed);
    }
}

/// How messages to a connection are compressed, if the handshake agreed on it.
pub(crate) fn agreed_compression(config: &Config, extensions: Extensions) -> Option<Compression> {
    let window = extensions.deflate?;
    let options = config.deflate.as_ref()?;
    Some(Compression {
        window,
        level: options.level,
        min_len: options.min_len,
    })
}

/// The shortest message that any connection so far wants compressed. It only falls. While there is
/// no such connection, messages pay nothing for compression.
static SHORTEST_BYTES: AtomicUsize = AtomicUsize::new(usize::MAX);
