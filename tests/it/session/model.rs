//! [`Model`]: the outcome of each act that the documentation promises. This file has the acts and
//! the deadlines.

use std::collections::VecDeque;

use strait::close::Cause;

use super::act::{
    Act, CLOSE, CONNECT, DRAIN, EVENTS, GRACE, HUGE, LARGE, MANY, MESSAGES, Numbers, PING, PONG,
    STEP, Stage, WRITE,
};
use super::hooks::{Hook, Kind, Outcome};
use super::wire::{Frame, Wire};

/// Code and cause, as `disconnect` receives them.
pub(crate) type End = (u16, Cause);

#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) stage: Stage,
    /// In milliseconds.
    pub(crate) now: u64,
    pub(crate) phase: Phase,
    pub(crate) hook: Option<Hook>,
    pub(crate) wire: Wire,
    pub(crate) peer: PeerState,
    /// Items that the peer has sent and the session has not read.
    pub(crate) inbound: VecDeque<Item>,
    /// The state of the peer's half of the stream.
    pub(crate) read_state: ReadState,
    pub(crate) read_ahead: VecDeque<String>,
    pub(crate) events: VecDeque<String>,
    pub(crate) first: Source,
    /// This side's decision to close. That of a drain waits for the hook.
    pub(crate) request: Option<End>,
    /// The end that came from outside.
    pub(crate) end: Option<End>,
    pub(crate) abandoned: bool,
    /// The drain's deadline has passed.
    pub(crate) cut: bool,
    pub(crate) heard: u64,
    pub(crate) due: Deadlines,
    pub(crate) expected: Expected,
    /// Something has changed, and may change something else.
    pub(crate) moved: bool,
    numbers: Numbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    Open,
    /// From `disconnect` on.
    Closing,
    Closed,
}

/// The source that is asked first for the next hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Messages,
    Mailbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadState {
    /// The peer may send messages.
    Open,
    /// It broke the protocol.
    Failed,
    /// It has sent its close frame.
    Closed,
    /// The stream has ended.
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Message(String),
    Close,
    Garbage,
    End,
}

#[derive(Clone, Default)]
pub(crate) struct PeerState {
    pub(crate) holds: bool,
    pub(crate) reads: bool,
    pub(crate) half_closed: bool,
    /// After its close frame it says no more.
    pub(crate) closed: bool,
    pub(crate) broke: bool,
}

/// When something is over, in milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Deadlines {
    pub(crate) connect: Option<u64>,
    pub(crate) grace: Option<u64>,
    pub(crate) disconnect: Option<u64>,
    pub(crate) write: Option<u64>,
    pub(crate) close: Option<u64>,
    pub(crate) drain: Option<u64>,
}

/// The outcomes that are compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) received: Vec<String>,
    pub(crate) events: Vec<String>,
    pub(crate) errors: usize,
    pub(crate) dropped: Vec<&'static str>,
    pub(crate) accepted: bool,
    pub(crate) rejected: Option<u16>,
    pub(crate) closed: Option<End>,
    pub(crate) over: u64,
    /// The end was found by a ping, whose time varies.
    pub(crate) silence: bool,
    pub(crate) drain: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    Connect,
    HookLimit,
    Grace,
    Disconnect,
    Write,
    Close,
    Drain,
    Pong,
}

impl Model {
    pub(crate) fn new(stage: Stage) -> Self {
        let mut model = Self {
            stage,
            now: 0,
            phase: Phase::Connecting,
            hook: None,
            wire: Wire::default(),
            peer: PeerState::default(),
            inbound: VecDeque::new(),
            read_state: ReadState::Open,
            read_ahead: VecDeque::new(),
            events: VecDeque::new(),
            first: Source::Messages,
            request: None,
            end: None,
            abandoned: false,
            cut: false,
            heard: 0,
            due: Deadlines::default(),
            expected: Expected::default(),
            moved: false,
            numbers: Numbers::default(),
        };
        model.due.connect = Some(CONNECT);
        model.begin_connect();
        model.advance(STEP);
        model.reach(stage);
        model
    }

    /// Comes to the stage.
    fn reach(&mut self, stage: Stage) {
        match stage {
            Stage::Idle | Stage::Connect => return,
            Stage::Receive => self.say(Item::Message("wait".to_owned())),
            Stage::Event => self.publish("wait".to_owned()),
            Stage::Disconnect => {
                self.peer.closed = true;
                self.say(Item::Close);
            }
            Stage::Closing => {
                self.peer.reads = false;
                self.say(Item::Message("close".to_owned()));
            }
        }
        self.advance(STEP);
    }

    /// Whether it can happen now. These are the only rules by which a sequence is left out.
    pub(crate) fn can(&self, act: Act) -> bool {
        let peer = &self.peer;
        let speaks = peer.holds && !peer.half_closed && !peer.closed && !peer.broke;
        let gate = self.hook.as_ref().filter(|hook| hook.waits_at_gate());
        match act {
            // A sequence that goes on after the end equals the shorter one.
            _ if self.phase == Phase::Closed => false,
            Act::PeerSends
            | Act::PeerBursts
            | Act::PeerPanics
            | Act::PeerFails
            | Act::PeerCloses
            | Act::PeerBreaks => speaks,
            Act::PeerDrops => peer.holds || (self.phase == Phase::Connecting && !self.abandoned),
            Act::PeerHalfCloses => peer.holds && !peer.half_closed,
            Act::PeerStopsReading => peer.holds && peer.reads,
            Act::PeerResumes => peer.holds && !peer.reads,
            Act::GateOpens | Act::GatePanics => gate.is_some(),
            // `disconnect` has nothing to return, and its socket is gone.
            Act::GateFails | Act::GateCloses | Act::GateClosesOn | Act::GateSends => {
                gate.is_some_and(|hook| hook.kind != Kind::Disconnect)
            }
            Act::DrainBegins => self.expected.drain.is_none(),
            // After two the pings of connections are too far apart to tell.
            Act::PassPing => self.now < PING,
            _ => true,
        }
    }

    pub(crate) fn act(&mut self, act: Act) {
        self.happen(act);
        self.advance(act.wait().unwrap_or(STEP));
    }

    /// After both at once: the session may have seen neither, or either, when the other happened.
    /// None where they cannot happen so.
    pub(crate) fn after_both(&self, [one, other]: [Act; 2]) -> Vec<Self> {
        let mut unseen = self.clone();
        if !self.can(one) || !self.can(other) {
            return Vec::new();
        }
        unseen.happen(one);
        if !unseen.can(other) {
            return Vec::new();
        }
        unseen.happen(other);
        unseen.advance(STEP);
        let mut models = vec![unseen];
        models.extend(self.after([one, other]));
        // The peer's acts reach the session in their order.
        if !one.is_of_peer() || !other.is_of_peer() {
            models.extend(self.after([other, one]));
        }
        models
    }

    /// After one behind the other, with no time between; `None` where the one takes the hook from
    /// the other.
    fn after(&self, [one, other]: [Act; 2]) -> Option<Self> {
        let mut next = self.clone();
        next.happen(one);
        next.advance(0);
        if other.is_of_hook() && !next.can(other) {
            return None;
        }
        // Too late for a session that is over.
        if next.phase != Phase::Closed {
            next.happen(other);
        }
        next.advance(STEP);
        Some(next)
    }

    fn happen(&mut self, act: Act) {
        match act {
            Act::PeerSends => self.say_message(),
            Act::PeerBursts => (0..MESSAGES + 2).for_each(|_| self.say_message()),
            Act::PeerPanics => self.say(Item::Message("panic".to_owned())),
            Act::PeerFails => self.say(Item::Message("fail".to_owned())),
            Act::PeerCloses => {
                self.peer.closed = true;
                self.say(Item::Close);
            }
            Act::PeerBreaks => {
                self.peer.broke = true;
                self.say(Item::Garbage);
            }
            Act::PeerDrops => self.drop_peer(),
            Act::PeerHalfCloses => {
                self.peer.half_closed = true;
                self.say(Item::End);
            }
            Act::PeerStopsReading => self.peer.reads = false,
            Act::PeerResumes => self.peer.reads = true,
            Act::GroupEvent => self.publish_event(),
            Act::GroupEvents => self.several(EVENTS + 2, Self::publish_event),
            Act::GroupFrame => self.broadcast(0),
            Act::GroupFill => self.broadcast(HUGE),
            Act::GroupFrames => self.several(MANY, |model| model.broadcast(LARGE)),
            Act::GateOpens
            | Act::GatePanics
            | Act::GateFails
            | Act::GateCloses
            | Act::GateClosesOn
            | Act::GateSends => self.tell(act),
            Act::DrainBegins => {
                self.due.drain = Some(self.now + DRAIN);
                self.expected.drain = Some(self.now);
                self.request_softly((1012, Cause::Drain));
            }
            Act::PassClose | Act::PassWrite | Act::PassGrace | Act::PassLimit | Act::PassPing => {}
        }
    }

    /// Lets everything come to its end. Returns whether the peer has to leave for that.
    pub(crate) fn needs_an_end(&self) -> bool {
        self.phase == Phase::Open && self.end.is_none() && self.request.is_none() && self.peer.holds
    }

    pub(crate) fn run_out(&mut self) {
        let until = self.now + PING - PING / 5;
        self.advance(until - self.now);
        assert!(self.phase == Phase::Closed, "the model does not end");
        self.peer.reads = true;
        self.peer_reads();
    }

    fn several(&mut self, count: usize, act: impl Fn(&mut Self)) {
        for _ in 1..count {
            act(self);
            self.advance(STEP);
        }
        act(self);
    }

    fn say_message(&mut self) {
        let text = self.numbers.next('m');
        self.say(Item::Message(text));
    }

    pub(crate) fn say(&mut self, item: Item) {
        self.inbound.push_back(item);
        self.moved = true;
    }

    fn drop_peer(&mut self) {
        if self.phase == Phase::Connecting {
            self.abandoned = true;
            let grace = self.now + GRACE;
            self.due.connect = self.due.connect.map(|by| by.min(grace));
        } else {
            self.peer.holds = false;
            if !self.peer.half_closed {
                self.say(Item::End);
            }
        }
    }

    fn publish_event(&mut self) {
        let kind = self.numbers.next('x');
        self.publish(kind);
    }

    /// An event of the hook's group: refused where the end is decided, and too many of them are an
    /// end.
    fn publish(&mut self, kind: String) {
        if self.wire.is_shut || self.request.is_some() || self.is_closing() {
            return;
        }
        if self.events.len() >= EVENTS {
            return self.close((1013, Cause::SlowHook));
        }
        self.events.push_back(kind);
        self.moved = true;
    }

    fn broadcast(&mut self, len: usize) {
        let label = self.numbers.next('g');
        if self.wire.is_shut || self.is_closing() {
            return;
        }
        if self.wire.is_full() {
            self.wire.discard();
            return self.close((4008, Cause::SlowReader));
        }
        self.wire.push(Frame::text(label, len));
        self.moved = true;
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed)
    }
}

/// Time.
impl Model {
    /// Lets this time pass, with everything that happens in it.
    pub(crate) fn advance(&mut self, time: u64) {
        let until = self.now + time;
        loop {
            self.react();
            let next = self.deadlines().into_iter().flatten();
            let Some((at, due)) = next
                .filter(|&(at, _)| at <= until)
                .min_by_key(|&(at, _)| at)
            else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.pass(due);
        }
    }

    fn deadlines(&self) -> [Option<(u64, Deadline)>; 8] {
        let of = |at: Option<u64>, due, holds: bool| at.filter(|_| holds).map(|at| (at, due));
        let due = &self.due;
        let runs = |kind: Kind| self.hook.as_ref().is_some_and(|hook| hook.kind == kind);
        let streams = matches!(self.phase, Phase::Open | Phase::Closing) && !self.wire.gone;
        let limit = self.hook.as_ref().and_then(|hook| hook.limit);
        let alive = self.phase != Phase::Closed;
        let listens = self.phase == Phase::Open && self.end.is_none() && !self.is_paused();
        let silence = self.heard + PING + if self.answers_pings() { 0 } else { PONG };
        [
            of(
                due.connect,
                Deadline::Connect,
                self.phase == Phase::Connecting,
            ),
            of(limit, Deadline::HookLimit, alive),
            of(due.grace, Deadline::Grace, runs(Kind::Receive)),
            of(due.disconnect, Deadline::Disconnect, runs(Kind::Disconnect)),
            of(due.write, Deadline::Write, streams),
            of(
                due.close,
                Deadline::Close,
                streams && self.phase == Phase::Closing,
            ),
            of(due.drain, Deadline::Drain, alive),
            of(Some(silence), Deadline::Pong, streams && listens),
        ]
    }

    fn answers_pings(&self) -> bool {
        let peer = &self.peer;
        peer.holds && peer.reads && !peer.half_closed
    }

    fn pass(&mut self, due: Deadline) {
        match due {
            Deadline::Connect => self.reject(503),
            Deadline::HookLimit => self.hook_over(Outcome::OverLimit),
            Deadline::Grace => self.hook_over(Outcome::TimedOut),
            Deadline::Disconnect => self.hook_over(Outcome::TimedOut),
            Deadline::Close => self.reset(),
            Deadline::Write => {
                self.end_with((1006, Cause::TimeOut));
                self.reset();
            }
            Deadline::Pong if self.answers_pings() => self.heard = self.now,
            Deadline::Pong => {
                self.expected.silence = true;
                self.end_with((4009, Cause::TimeOut));
                self.reset();
            }
            Deadline::Drain => {
                self.due.drain = None;
                self.request_softly((1012, Cause::Drain));
                self.cut = true;
                self.events.clear();
                match self.hook.as_ref().map(|hook| hook.kind) {
                    Some(Kind::Connect) => self.reject(503),
                    Some(Kind::Receive) => self.hook_over(Outcome::TimedOut),
                    _ => {}
                }
            }
        }
        self.moved = true;
    }

    /// The first decision stays.
    pub(crate) fn end_with(&mut self, end: End) {
        if self.phase == Phase::Open && !self.wire.is_shut {
            self.end.get_or_insert(end);
        }
    }

    /// Repeats until nothing changes.
    fn react(&mut self) {
        self.moved = true;
        while std::mem::take(&mut self.moved) {
            if self.hook.is_some() {
                self.run_hook();
            }
            self.next_hook();
            // A hook that waits for room, and has it, goes on before the session looks for the
            // peer's end.
            self.read();
            self.flush();
            self.peer_reads();
            self.close_down();
        }
    }

    /// A hook is so far behind that nothing is read.
    pub(crate) fn is_paused(&self) -> bool {
        let runs = self
            .hook
            .as_ref()
            .is_some_and(|hook| hook.kind == Kind::Receive);
        runs && (self.read_ahead.len() >= MESSAGES || self.end.is_some())
    }

    pub(crate) fn wait_for_close(&mut self) {
        self.due.close.get_or_insert(self.now + CLOSE);
    }

    pub(crate) fn stalls(&mut self) {
        self.due.write.get_or_insert(self.now + WRITE);
    }
}
