//! The model's hooks: one at a time, each a list of things to do.

use std::collections::VecDeque;

use strait::close::Cause;

use super::act::{Act, CLOSE, DISCONNECT, GRACE, LARGE, LIMIT, MANY, Stage, WRITE};
use super::model::{End, Model, Phase, Source};
use super::wire::Frame;

/// A hook that has begun.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) kind: Kind,
    name: &'static str,
    steps: VecDeque<Step>,
    /// When it has run for too long.
    pub(crate) limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    /// `receive` or `event`.
    Receive,
    Disconnect,
}

#[derive(Clone)]
enum Step {
    Send(Frame),
    Gate,
    Panic,
    Fail,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Panicked,
    Failed,
    TimedOut,
    OverLimit,
}

impl Hook {
    fn new(kind: Kind, name: &'static str, steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            kind,
            name,
            steps: steps.into_iter().collect(),
            limit: None,
        }
    }

    pub(crate) fn waits_at_gate(&self) -> bool {
        matches!(self.steps.front(), Some(Step::Gate))
    }
}

impl Model {
    pub(crate) fn begin_connect(&mut self) {
        let gate = (self.stage == Stage::Connect).then_some(Step::Gate);
        self.hook = Some(Hook::new(Kind::Connect, "connect", gate));
    }

    /// The next hook, where none runs.
    pub(crate) fn next_hook(&mut self) {
        if self.phase != Phase::Open || self.hook.is_some() {
            return;
        }
        if let Some(end) = self.end {
            // Messages that the peer sent before its end are still received.
            match self.read_ahead.pop_front() {
                Some(message) => self.receive(message),
                None => self.begin_disconnect(end),
            }
            return;
        }
        if self.first == Source::Messages
            && let Some(message) = self.read_ahead.pop_front()
        {
            self.first = Source::Mailbox;
            return self.receive(message);
        }
        self.first = Source::Messages;
        if let Some(event) = self.events.pop_front() {
            self.event(event);
        } else if let Some(request) = self.request {
            if !self.wire.is_shut {
                self.shut(request.0);
            }
            self.begin_disconnect(request);
        } else if let Some(message) = self.read_ahead.pop_front() {
            self.receive(message);
        }
    }

    fn receive(&mut self, text: String) {
        let steps = match &*text {
            "panic" => vec![Step::Panic],
            "fail" => vec![Step::Fail],
            "close" => vec![Step::Close],
            "wait" => vec![Step::Send(Frame::text(format!("r{text}"), 0)), Step::Gate],
            _ => vec![Step::Send(Frame::text(format!("r{text}"), 0))],
        };
        self.expected.received.push(text);
        self.hook = Some(Hook::new(Kind::Receive, "receive", steps));
        self.run_hook();
    }

    fn event(&mut self, kind: String) {
        let gate = (kind == "wait").then_some(Step::Gate);
        let steps = [Step::Send(Frame::text(format!("e{kind}"), 0))];
        self.expected.events.push(kind);
        self.hook = Some(Hook::new(
            Kind::Receive,
            "event",
            steps.into_iter().chain(gate),
        ));
        self.run_hook();
    }

    fn begin_disconnect(&mut self, end: End) {
        self.phase = Phase::Closing;
        self.expected.closed = Some(end);
        self.read_ahead.clear();
        self.events.clear();
        self.due.grace = None;
        self.due.disconnect = Some(self.now + DISCONNECT);
        if end.1 == Cause::SlowReader {
            // Of the whole close, also once its frame is written.
            self.due.close = Some(self.now + 3 * WRITE + CLOSE);
        }
        let waits = matches!(self.stage, Stage::Disconnect | Stage::Closing);
        let gate = waits.then_some(Step::Gate);
        self.hook = Some(Hook::new(Kind::Disconnect, "disconnect", gate));
        self.run_hook();
    }

    /// The order for a hook at the gate.
    pub(crate) fn tell(&mut self, act: Act) {
        let Some(hook) = &mut self.hook else {
            return;
        };
        hook.steps.pop_front();
        let sends = |number| Step::Send(Frame::text(format!("s{number}"), LARGE));
        match act {
            Act::GatePanics => hook.steps.push_front(Step::Panic),
            Act::GateFails => hook.steps.push_front(Step::Fail),
            Act::GateCloses => hook.steps.push_front(Step::Close),
            Act::GateClosesOn => hook.steps.extend([Step::Close, Step::Gate]),
            Act::GateSends => hook.steps.extend((0..MANY).map(sends)),
            _ => {}
        }
        self.moved = true;
    }

    /// As far as the hook goes.
    pub(crate) fn run_hook(&mut self) {
        loop {
            let Some(hook) = &mut self.hook else {
                return;
            };
            let (kind, step) = (hook.kind, hook.steps.pop_front());
            match step {
                None => return self.hook_over(Outcome::Done),
                Some(Step::Panic) => return self.hook_over(Outcome::Panicked),
                Some(Step::Fail) => return self.hook_over(Outcome::Failed),
                Some(Step::Close) => self.close((4000, Cause::Server)),
                Some(Step::Send(frame)) => {
                    if self.wire.is_shut || kind == Kind::Disconnect {
                        continue;
                    }
                    if !self.wire.is_full() {
                        self.send(frame);
                    } else if kind == Kind::Connect {
                        return self.hook_over(Outcome::Failed);
                    } else {
                        return self.suspend(Step::Send(frame));
                    }
                }
                Some(Step::Gate) => return self.suspend(Step::Gate),
            }
        }
    }

    fn suspend(&mut self, step: Step) {
        let (now, ended) = (self.now, self.end.is_some() || self.wire.is_shut);
        let Some(hook) = &mut self.hook else {
            return;
        };
        hook.steps.push_front(step);
        if hook.kind != Kind::Receive {
            return;
        }
        hook.limit.get_or_insert(now + LIMIT);
        if self.cut {
            return self.hook_over(Outcome::TimedOut);
        }
        if ended {
            self.due.grace.get_or_insert(now + GRACE);
        }
    }

    /// A hook has returned, thrown, or was dropped.
    pub(crate) fn hook_over(&mut self, outcome: Outcome) {
        self.moved = true;
        let was_paused = self.is_paused();
        let Some(hook) = self.hook.take() else {
            return;
        };
        if matches!(outcome, Outcome::TimedOut | Outcome::OverLimit) {
            self.expected.dropped.push(hook.name);
        }
        match hook.kind {
            Kind::Connect if outcome == Outcome::Done => self.accept(),
            Kind::Connect => self.reject(500),
            Kind::Disconnect => {}
            Kind::Receive => self.judge(outcome, was_paused),
        }
    }

    fn judge(&mut self, outcome: Outcome, was_paused: bool) {
        if self.end.is_none() {
            self.due.grace = None;
            if was_paused {
                self.heard = self.now;
            }
        }
        let request = match outcome {
            Outcome::Done if self.end.is_some() && self.request.is_some() => None,
            Outcome::Done if self.wire.is_shut && self.end.is_none() => None,
            Outcome::Done => return,
            Outcome::TimedOut => None,
            Outcome::Panicked => Some((1011, Cause::Panic)),
            Outcome::Failed => Some((1011, Cause::Error)),
            Outcome::OverLimit => Some((1011, Cause::HookLimit)),
        };
        // No hook but `disconnect` follows.
        self.read_ahead.clear();
        self.first = Source::Mailbox;
        if outcome == Outcome::Failed {
            self.expected.errors += 1;
        }
        if let Some(request) = request {
            self.close(request);
        }
    }

    fn accept(&mut self) {
        self.expected.accepted = true;
        if self.abandoned {
            self.wire.drop_queue();
            self.wire.gone = true;
            self.wire.is_shut = true;
            return self.begin_disconnect((1006, Cause::AbandonedHandshake));
        }
        self.phase = Phase::Open;
        self.heard = self.now;
        self.peer.holds = true;
        self.peer.reads = true;
    }

    pub(crate) fn reject(&mut self, status: u16) {
        if self.hook.take().is_some() && status == 503 {
            self.expected.dropped.push("connect");
        }
        self.expected.rejected = Some(status);
        self.finish();
    }

    /// This side closes, also in the middle of a hook.
    pub(crate) fn close(&mut self, request: End) {
        self.moved = true;
        if self.wire.is_shut {
            self.request.get_or_insert(request);
            return;
        }
        self.shut(request.0);
        self.request = Some(request);
        self.grace_begins();
    }

    /// This side closes once no hook runs.
    pub(crate) fn request_softly(&mut self, request: End) {
        self.moved = true;
        if !self.wire.is_shut && !self.is_closing() {
            self.request.get_or_insert(request);
        }
    }

    pub(crate) fn shut(&mut self, code: u16) {
        self.wire.push(Frame::close(code));
        self.wire.is_shut = true;
        self.events.clear();
    }

    /// Starts the grace if a hook runs when the connection ends.
    pub(crate) fn grace_begins(&mut self) {
        if self
            .hook
            .as_ref()
            .is_some_and(|hook| hook.kind == Kind::Receive)
        {
            self.due.grace.get_or_insert(self.now + GRACE);
        }
    }

    pub(crate) fn finish(&mut self) {
        self.phase = Phase::Closed;
        self.expected.over = self.now;
        self.wire.gone = true;
        self.wire.drop_queue();
        self.moved = true;
    }
}
