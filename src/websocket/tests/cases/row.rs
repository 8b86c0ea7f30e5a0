//! One row of the table, and how it is tried.

use bytes::Bytes;

use crate::websocket::close::CloseBody;
use crate::websocket::tests::wire::{Frame, text};
use crate::websocket::{ControlPayload, Decoder, Extensions, Incoming, Role, Violation};

/// The input and the expected result, for each reader that the row is for.
#[derive(Debug)]
pub(super) struct Row {
    /// Of RFC 6455, or of RFC 7692 where its extension is agreed on.
    pub(super) section: &'static str,
    pub(super) name: String,
    frames: Vec<Frame>,
    readers: &'static [Role],
    limit: usize,
    expected: Vec<Incoming>,
    end: End,
    /// The violation must be seen at the very last byte of the row, neither earlier nor later.
    at_last_byte: bool,
    saying: &'static str,
    extensions: Extensions,
}

/// The state after the last byte.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nothing is under way.
    Idle,
    /// A frame or a message is incomplete.
    Waiting,
    /// The peer was refused with this code.
    Refused(u16),
}

/// Everything is read and nothing is left over.
pub(super) fn reads<const F: usize, const M: usize>(
    section: &'static str,
    name: impl Into<String>,
    frames: [Frame; F],
    expected: [Incoming; M],
) -> Row {
    Row {
        section,
        name: name.into(),
        frames: frames.into(),
        readers: &[Role::Server, Role::Client],
        limit: 1 << 17,
        expected: expected.into(),
        end: End::Idle,
        at_last_byte: false,
        saying: "",
        extensions: Extensions::default(),
    }
}

/// Something is under way after the last byte, and right so far.
pub(super) fn waits<const F: usize, const M: usize>(
    section: &'static str,
    name: impl Into<String>,
    frames: [Frame; F],
    expected: [Incoming; M],
) -> Row {
    Row {
        end: End::Waiting,
        ..reads(section, name, frames, expected)
    }
}

/// The peer is refused with `code`, after the expected messages.
pub(super) fn refuses<const F: usize, const M: usize>(
    section: &'static str,
    name: impl Into<String>,
    frames: [Frame; F],
    expected: [Incoming; M],
    code: u16,
) -> Row {
    Row {
        end: End::Refused(code),
        ..reads(section, name, frames, expected)
    }
}

impl Row {
    pub(super) fn server_only(mut self) -> Self {
        self.readers = &[Role::Server];
        self
    }

    pub(super) fn client_only(mut self) -> Self {
        self.readers = &[Role::Client];
        self
    }

    pub(super) fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    pub(super) fn at_last_byte(mut self) -> Self {
        self.at_last_byte = true;
        self
    }

    /// The reason of the refusal contains this.
    pub(super) fn saying(mut self, part: &'static str) -> Self {
        self.saying = part;
        self
    }

    /// permessage-deflate was agreed on.
    #[cfg(feature = "deflate")]
    pub(super) fn deflate(mut self) -> Self {
        self.extensions.deflate = Some(crate::websocket::deflate::WindowBits::MAX);
        self
    }

    /// Tries the row whole, byte by byte and cut in two at every position.
    pub(super) fn run(&self) {
        for &reader in self.readers {
            let mut bytes = Vec::new();
            for frame in &self.frames {
                frame.write(reader, &mut bytes);
            }
            self.run_cut(reader, &[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            self.run_cut(reader, &single);
            for at in cuts(bytes.len()) {
                let (first, second) = bytes.split_at(at);
                self.run_cut(reader, &[first, second]);
            }
        }
    }

    fn run_cut(&self, reader: Role, pieces: &[&[u8]]) {
        let mut decoder = Decoder::new(reader, self.limit).with(self.extensions);
        let mut got = Vec::new();
        let mut refused = None;
        for (index, piece) in pieces.iter().enumerate() {
            if let Err(violation) = take(&mut decoder, piece, &mut got) {
                let unread = pieces[index + 1..].concat();
                refused = Some((unread.is_empty(), violation));
                break;
            }
        }
        let end = match &refused {
            Some((_, violation)) => End::Refused(violation.code),
            None if decoder.is_idle() => End::Idle,
            None => End::Waiting,
        };
        let lens: Vec<_> = pieces.iter().map(|piece| piece.len()).take(20).collect();
        let place = format!(
            "{} {}, read by {reader:?} in pieces of {lens:?}",
            self.section, self.name
        );
        assert!(got == self.expected, "{place}: got {got:.200?}");
        assert_eq!(end, self.end, "{place}: {refused:?}");
        if let Some((at_end, violation)) = refused {
            assert!(at_end || !self.at_last_byte, "{place}: too early");
            assert!(violation.reason.len() <= 123, "{place}: {violation}");
            assert!(
                violation.reason.contains(self.saying),
                "{place}: {violation}"
            );
            stays_refused(&mut decoder, reader, &violation, &place);
        }
    }
}

/// Decodes one piece to its end, with bytes of somebody else before it.
fn take(decoder: &mut Decoder, piece: &[u8], got: &mut Vec<Incoming>) -> Result<(), Violation> {
    let mut input = b"###".to_vec();
    input.extend_from_slice(piece);
    let mut at = 3;
    while let Some(incoming) = decoder.decode(&mut input, &mut at)? {
        got.push(incoming);
    }
    assert_eq!(at, input.len(), "not all was taken");
    assert_eq!(
        input[..3],
        *b"###",
        "bytes before the position were touched"
    );
    Ok(())
}

fn stays_refused(decoder: &mut Decoder, reader: Role, violation: &Violation, place: &str) {
    let mut good = Vec::new();
    text("good").write(reader, &mut good);
    for _ in 0..2 {
        let again = decoder.decode(&mut good, &mut 0);
        assert_eq!(again.as_ref(), Err(violation), "{place}: read on");
    }
}

/// The places to cut: all of them, but in a long input only some, most of them near the ends.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    (0..=len).filter(move |&at| len <= 1024 || at < 20 || at + 8 > len || at % 9973 == 0)
}

pub(super) fn got_text(text: impl Into<String>) -> Incoming {
    Incoming::Text(text.into())
}

pub(super) fn got_binary(bytes: impl AsRef<[u8]>) -> Incoming {
    Incoming::Binary(Bytes::copy_from_slice(bytes.as_ref()))
}

pub(super) fn got_ping(payload: impl AsRef<[u8]>) -> Incoming {
    Incoming::Ping(ControlPayload::new(payload.as_ref()))
}

pub(super) fn got_pong(payload: impl AsRef<[u8]>) -> Incoming {
    Incoming::Pong(ControlPayload::new(payload.as_ref()))
}

pub(super) fn got_close(code: u16, reason: &str) -> Incoming {
    Incoming::Close(Some(CloseBody {
        code,
        reason: reason.to_owned(),
    }))
}

pub(super) fn got_bare_close() -> Incoming {
    Incoming::Close(None)
}
