//! The model's wire: frames in a queue, bytes in a pipe, and what the peer has read of them.

use std::collections::VecDeque;

use strait::close::Cause;

use super::act::{FRAMES, PIPE};
use super::hooks::{Hook, Kind};
use super::model::{Item, Model, Phase, ReadState};

#[derive(Clone, Default)]
pub(crate) struct Wire {
    queue: VecDeque<Frame>,
    /// Bytes that the peer has not read.
    pipe: usize,
    /// Frames that are written, whole.
    written: Vec<Seen>,
    /// How many of them the peer has read.
    read: usize,
    /// The close frame is queued, or nothing more goes out.
    pub(crate) is_shut: bool,
    /// Writing has failed.
    is_broken: bool,
    /// This side has ended the stream.
    pub(crate) gone: bool,
    /// This side has ended its half of the stream.
    ended: bool,
    /// The last frame is there in part.
    pub(crate) torn: bool,
}

/// A frame as the peer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) label: String,
    /// It was sent when the peer's end had come and was not read. Which of the two comes first is
    /// not promised.
    pub(crate) may_be_lost: bool,
}

#[derive(Clone)]
pub(crate) struct Frame {
    seen: Seen,
    len: usize,
    left: usize,
}

impl Frame {
    pub(crate) fn text(label: String, padded: usize) -> Self {
        let payload = label.len().max(padded);
        let len = payload + if payload < 126 { 2 } else { 4 };
        Self::of(label, len)
    }

    pub(crate) fn close(code: u16) -> Self {
        // The reasons' lengths differ; nothing here depends on so few bytes.
        Self::of(format!("close {code}"), 4)
    }

    fn of(label: String, len: usize) -> Self {
        let may_be_lost = false;
        Self {
            seen: Seen { label, may_be_lost },
            len,
            left: len,
        }
    }
}

impl Wire {
    pub(crate) fn push(&mut self, frame: Frame) {
        self.queue.push_back(frame);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= FRAMES
    }

    /// All but a frame that is begun.
    pub(crate) fn discard(&mut self) {
        let begun = self
            .queue
            .front()
            .is_some_and(|frame| frame.left < frame.len);
        self.queue.truncate(usize::from(begun));
    }

    pub(crate) fn drop_queue(&mut self) {
        let begun = self
            .queue
            .front()
            .is_some_and(|frame| frame.left < frame.len);
        self.torn |= begun;
        self.queue.clear();
    }

    /// The frames that the peer has seen.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.written[..self.read]
    }

    /// As much as the pipe takes. Whether anything was written.
    fn fill_pipe(&mut self) -> bool {
        let before = self.pipe;
        while let Some(frame) = self.queue.front_mut() {
            let some = frame.left.min(PIPE - self.pipe);
            self.pipe += some;
            frame.left -= some;
            if frame.left > 0 {
                break;
            }
            self.written
                .extend(self.queue.pop_front().map(|frame| frame.seen));
        }
        self.pipe > before
    }
}

impl Model {
    /// A hook's own message.
    pub(crate) fn send(&mut self, mut frame: Frame) {
        let is_end = |item: &Item| !matches!(item, Item::Message(_));
        frame.seen.may_be_lost = self.inbound.iter().any(is_end);
        self.wire.push(frame);
        self.moved = true;
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) {
        if !matches!(self.phase, Phase::Open | Phase::Closing) || self.wire.gone {
            return;
        }
        if !self.peer.holds && !self.wire.queue.is_empty() {
            self.wire.is_broken = true;
            self.wire.drop_queue();
            self.moved = true;
        }
        if self.wire.fill_pipe() {
            self.due.write = None;
            self.moved = true;
        }
        if self.wire.queue.is_empty() {
            self.due.write = None;
        } else {
            self.stalls();
        }
    }

    pub(crate) fn peer_reads(&mut self) {
        if !self.peer.holds || !self.peer.reads {
            return;
        }
        self.moved |= self.wire.pipe > 0;
        self.wire.pipe = 0;
        let news = &self.wire.written[self.wire.read..];
        let closes = news.iter().any(|seen| seen.label.starts_with("close"));
        self.wire.read = self.wire.written.len();
        if closes && !self.peer.closed && !self.peer.half_closed {
            self.peer.closed = true;
            self.say(Item::Close);
        }
        if self.wire.gone || self.wire.ended {
            self.peer.holds = false;
            if !self.peer.half_closed {
                self.say(Item::End);
            }
        }
    }

    /// Reads one item, where the session reads.
    pub(crate) fn read(&mut self) {
        if !matches!(self.phase, Phase::Open | Phase::Closing) || self.wire.gone {
            return;
        }
        if matches!(self.read_state, ReadState::Closed | ReadState::Ended) {
            return;
        }
        let hook = self.hook.as_ref().map(|hook| hook.kind);
        if self.is_paused() {
            // A hook that waits for room gets it, now that nothing can be written.
            let waits = self.hook.as_ref().is_some_and(Hook::waits_at_gate);
            if waits && self.wire.is_broken && self.wire.queue.is_empty() && self.end.is_none() {
                self.lose();
                self.inbound.clear();
            }
            return;
        }
        let at_hand = !self.read_ahead.is_empty() || !self.events.is_empty() || self.end.is_some();
        let idle = self.phase == Phase::Open && hook != Some(Kind::Receive);
        if idle && (at_hand || self.request.is_some()) {
            return;
        }
        let Some(item) = self.inbound.pop_front() else {
            return;
        };
        self.heard = self.now;
        self.moved = true;
        match item {
            // Queued frames still go out.
            Item::End => self.lose(),
            _ if self.read_state == ReadState::Failed => {}
            Item::Message(_) if self.phase == Phase::Closing => {}
            Item::Message(text) => self.read_ahead.push_back(text),
            Item::Close => {
                self.read_state = ReadState::Closed;
                if !self.wire.is_shut {
                    self.end_with((1000, Cause::Client));
                    self.shut(1000);
                    self.grace_begins();
                }
            }
            Item::Garbage => {
                self.read_state = ReadState::Failed;
                self.close((1002, Cause::Protocol));
            }
        }
    }

    /// The stream has ended without a close frame.
    fn lose(&mut self) {
        self.end_with((1006, Cause::Lost));
        self.read_state = ReadState::Ended;
        self.wire.is_shut = true;
        self.events.clear();
        self.grace_begins();
        self.moved = true;
    }

    /// Gives the peer up.
    pub(crate) fn reset(&mut self) {
        self.read_state = ReadState::Ended;
        self.wire.drop_queue();
        self.wire.gone = true;
        self.wire.is_shut = true;
        self.events.clear();
        self.grace_begins();
        self.moved = true;
    }

    /// The closing handshake.
    pub(crate) fn close_down(&mut self) {
        if self.phase != Phase::Closing {
            return;
        }
        if !self.wire.gone && self.wire.queue.is_empty() {
            match self.read_state {
                ReadState::Closed | ReadState::Ended => {
                    self.wire.gone = true;
                    self.moved = true;
                }
                ReadState::Failed if !self.wire.ended => {
                    self.wire.ended = true;
                    self.moved = true;
                }
                _ => {}
            }
            if !self.wire.gone {
                self.wait_for_close();
            }
        }
        if self.wire.gone && self.hook.is_none() {
            self.finish();
        }
    }
}
