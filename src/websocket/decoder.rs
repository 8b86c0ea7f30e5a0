//! From bytes, cut anywhere, to messages and control frames.

use std::mem;

use crate::websocket::extensions::Extensions;
#[cfg(feature = "deflate")]
use crate::websocket::header::Deflate;
use crate::websocket::header::{Expected, FrameHeader, MAX_HEADER};
use crate::websocket::incoming::Incoming;
use crate::websocket::message::Message;
use crate::websocket::role::Role;
use crate::websocket::violation::Violation;
use crate::websocket::{header, mask};

/// Reads the frames of one direction of a connection.
///
/// A frame that is whole in the input is read in place, with one check and one copy of its
/// payload. Only what is incomplete is kept, in one box that lives as long as something is: an
/// idle decoder owns no heap.
///
/// It goes on reading after a close frame; to stop there is the session's.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_message: usize,
    /// `None` between two messages. The first thing left incomplete puts it there, the message or
    /// control frame that leaves nothing incomplete ends it; a violation stays for ever.
    partial: Option<Box<Partial>>,
    role: Role,
    extensions: Extensions,
    /// Small fragments since they were last [taken](Self::take_fragments).
    fragments: u16,
}

/// The message that has begun and not ended.
#[derive(Debug, Default)]
struct Partial {
    /// The fragmented message, or the one whose only frame is incomplete.
    message: Option<Message>,
    frame: Unfinished,
}

/// How far the frame being read has come.
#[derive(Debug, Default)]
enum Unfinished {
    /// At the boundary of two frames.
    #[default]
    Nothing,
    /// The first bytes of a header.
    Header { bytes: [u8; MAX_HEADER], len: usize },
    /// Inside a payload.
    Payload(OpenFrame),
    /// The peer broke the protocol: nothing more is read.
    Refused(Violation),
}

/// A frame whose payload has not all arrived.
#[derive(Debug)]
struct OpenFrame {
    /// Its mask is the one for the next byte, its length what is still to come.
    header: FrameHeader,
    /// The payload so far of a control frame; that of a data frame is in [`Partial::message`].
    control: Vec<u8>,
}

impl OpenFrame {
    fn new(header: FrameHeader) -> Self {
        Self {
            header,
            control: Vec::new(),
        }
    }
}

impl Decoder {
    /// A decoder for what a peer sends to `role`, refusing messages of more than `max_message`
    /// bytes, all fragments together.
    pub(crate) fn new(role: Role, max_message: usize) -> Self {
        Self {
            max_message,
            partial: None,
            role,
            extensions: Extensions::default(),
            fragments: 0,
        }
    }

    /// Reads what these extensions allow, too.
    pub(crate) fn with(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    /// Reads from `input[*at..]`, advances `*at` and unmasks in place.
    ///
    /// `Some` is one message or control frame; there may be more in the input. `None` says that all
    /// of the input was taken and that more is needed.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol. Every further call returns the same violation and takes
    /// nothing; where `*at` and the bytes of the input are left is not specified.
    #[inline]
    pub(crate) fn decode(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        if self.partial.is_none()
            && let Some(whole) = self.read_whole_frame(input, at)
        {
            return whole
                .map(Some)
                .inspect_err(|violation| self.refuse(violation));
        }
        self.read_in_pieces(input, at)
    }

    /// How many fragments have begun since this was last asked that are not their message's last
    /// and smaller than
    /// [`SMALL_FRAGMENT`]: of others a message has not many.
    pub(crate) fn take_fragments(&mut self) -> u16 {
        mem::take(&mut self.fragments)
    }

    /// Goes on with what is under way, or begins it.
    fn read_in_pieces(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        if let Some(violation) = self.refused() {
            return Err(violation.clone());
        }
        let outcome = self.advance(input, at);
        match &outcome {
            Ok(_) => self.release(),
            Err(violation) => self.refuse(violation),
        }
        outcome
    }

    /// Whether no frame and no fragmented message is under way.
    #[cfg(test)]
    pub(super) const fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Bytes of the heap that are kept for what is incomplete.
    #[cfg(any(test, fuzzing))]
    pub(super) fn held(&self) -> usize {
        let Some(partial) = self.partial.as_deref() else {
            return 0;
        };
        let frame = match &partial.frame {
            Unfinished::Nothing | Unfinished::Header { .. } => 0,
            Unfinished::Payload(open) => open.control.capacity(),
            Unfinished::Refused(violation) => violation.reason.capacity(),
        };
        let message = partial.message.as_ref().map_or(0, Message::capacity);
        size_of::<Partial>() + frame + message
    }

    /// Reads the next frame, while nothing is under way, if it is whole and not a fragment: nothing
    /// is kept for it. All else, what is wrong with its header included, is [`Self::advance`]'s.
    #[inline]
    fn read_whole_frame(
        &self,
        input: &mut [u8],
        at: &mut usize,
    ) -> Option<Result<Incoming, Violation>> {
        let rest = input.get_mut(*at..)?;
        let expected = self.expected();
        let (header, size) = match header::common(rest, expected) {
            Some(common) => common,
            None => header::parse(rest, expected).ok().flatten()?,
        };
        if !header.fin || header.len > rest.len() - size {
            return None;
        }
        let payload = &mut rest[size..size + header.len];
        *at += size + header.len;
        if let Some(key) = header.mask {
            mask::apply(key, payload);
        }
        #[cfg(feature = "deflate")]
        if header.is_compressed {
            return Some(self.inflate_whole(header, payload));
        }
        Some(Incoming::from_frame(header.opcode, payload))
    }

    #[cfg(feature = "deflate")]
    fn inflate_whole(&self, header: FrameHeader, payload: &[u8]) -> Result<Incoming, Violation> {
        let mut message = Message::begin(header);
        message.push(payload, None, self.max_message)?;
        message.finish()
    }

    fn advance(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Incoming>, Violation> {
        while *at < input.len() {
            let incoming = match self.take_unfinished() {
                Unfinished::Nothing => self.read_frame(input, at)?,
                Unfinished::Header { bytes, len } => self.resume_header(bytes, len, input, at)?,
                Unfinished::Payload(open) => self.resume_payload(open, input, at)?,
                Unfinished::Refused(violation) => return Err(violation),
            };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
        Ok(None)
    }

    /// Reads a frame from its first byte.
    fn read_frame(
        &mut self,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        let rest = &input[*at..];
        if let Some((header, size)) = header::parse(rest, self.expected())? {
            *at += size;
            return self.begin_payload(header, input, at);
        }
        let mut bytes = [0; MAX_HEADER];
        bytes[..rest.len()].copy_from_slice(rest);
        let len = rest.len();
        *at = input.len();
        self.partial().frame = Unfinished::Header { bytes, len };
        Ok(None)
    }

    /// Goes on with a header of which `len` bytes are here.
    fn resume_header(
        &mut self,
        mut bytes: [u8; MAX_HEADER],
        mut len: usize,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        while let Some(&byte) = input.get(*at) {
            bytes[len] = byte;
            len += 1;
            *at += 1;
            if let Some((header, _)) = header::parse(&bytes[..len], self.expected())? {
                return self.begin_payload(header, input, at);
            }
        }
        self.partial().frame = Unfinished::Header { bytes, len };
        Ok(None)
    }

    /// Notes a small fragment, and takes what the input has of the payload.
    fn begin_payload(
        &mut self,
        header: FrameHeader,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        if !header.fin && header.len < SMALL_FRAGMENT {
            self.fragments = self.fragments.saturating_add(1);
        }
        self.resume_payload(OpenFrame::new(header), input, at)
    }

    /// Takes what the input has of an open frame's payload.
    fn resume_payload(
        &mut self,
        mut open: OpenFrame,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Incoming>, Violation> {
        let rest = &mut input[*at..];
        let taken = open.header.len.min(rest.len());
        let piece = &mut rest[..taken];
        *at += taken;
        open.header.len -= taken;
        if let Some(key) = &mut open.header.mask {
            *key = mask::apply(*key, piece);
        }
        let header = open.header;
        if header.opcode.is_control() {
            open.control.extend_from_slice(piece);
        } else {
            self.push(header, piece, header.len)?;
        }
        if header.len > 0 {
            self.partial().frame = Unfinished::Payload(open);
            return Ok(None);
        }
        if header.opcode.is_control() {
            return Incoming::from_frame(header.opcode, &open.control).map(Some);
        }
        self.end_data_frame(header)
    }

    /// Adds a piece of a data frame, of which `rest` bytes are still to come, to its message.
    fn push(&mut self, header: FrameHeader, piece: &[u8], rest: usize) -> Result<(), Violation> {
        let max_message = self.max_message;
        let message = self
            .partial()
            .message
            .get_or_insert_with(|| Message::begin(header));
        // More fragments may follow, but not beyond the limit.
        let still_to_come = if header.fin {
            rest
        } else {
            max_message.saturating_sub(message.len() + piece.len())
        };
        message.push(piece, Some(still_to_come), max_message)
    }

    /// Ends the message if this was its last frame.
    fn end_data_frame(&mut self, header: FrameHeader) -> Result<Option<Incoming>, Violation> {
        if !header.fin {
            return Ok(None);
        }
        let message = self.partial().message.take();
        message.map(Message::finish).transpose()
    }

    fn expected(&self) -> Expected {
        let message = self.partial.as_ref().and_then(|p| p.message.as_ref());
        Expected {
            role: self.role,
            max_message: self.max_message,
            begun: message.map(Message::len),
            #[cfg(feature = "deflate")]
            deflate: Deflate {
                is_agreed: self.extensions.deflate.is_some(),
                has_begun: message.is_some_and(Message::is_compressed),
            },
        }
    }

    fn partial(&mut self) -> &mut Partial {
        self.partial.get_or_insert_default()
    }

    fn take_unfinished(&mut self) -> Unfinished {
        match &mut self.partial {
            Some(partial) => mem::take(&mut partial.frame),
            None => Unfinished::Nothing,
        }
    }

    fn refused(&self) -> Option<&Violation> {
        match &self.partial.as_deref()?.frame {
            Unfinished::Refused(violation) => Some(violation),
            Unfinished::Nothing | Unfinished::Header { .. } | Unfinished::Payload(_) => None,
        }
    }

    #[cold]
    fn refuse(&mut self, violation: &Violation) {
        *self.partial() = Partial {
            message: None,
            frame: Unfinished::Refused(violation.clone()),
        };
    }

    /// Gives the box back when nothing is incomplete.
    fn release(&mut self) {
        let Some(partial) = &self.partial else {
            return;
        };
        if partial.message.is_none() && matches!(partial.frame, Unfinished::Nothing) {
            self.partial = None;
        }
    }
}

/// Less payload than this is little for a frame of its own. In bytes.
const SMALL_FRAGMENT: usize = 1024;
