//! [`Act`]: one thing that can happen to a session, and [`Stage`]: the state of the session when
//! the first of them happens.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use strait::config::Config;

/// The work that the session is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Connected; nothing runs.
    Idle,
    /// `connect` waits at the gate.
    Connect,
    /// `receive` waits at the gate.
    Receive,
    /// `event` waits at the gate.
    Event,
    /// The peer has closed, and `disconnect` waits at the gate.
    Disconnect,
    /// A hook has closed, the peer reads nothing and so does not answer, and `disconnect` waits at
    /// the gate.
    Closing,
}

pub(crate) const STAGES: [Stage; 6] = [
    Stage::Idle,
    Stage::Connect,
    Stage::Receive,
    Stage::Event,
    Stage::Disconnect,
    Stage::Closing,
];

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A message that is echoed.
    PeerSends,
    /// More messages than may wait for a hook.
    PeerBursts,
    /// A message whose hook panics.
    PeerPanics,
    /// A message whose hook fails.
    PeerFails,
    /// A close frame with 1000.
    PeerCloses,
    /// A frame that is none.
    PeerBreaks,
    /// The stream is gone in both directions; before the handshake's end, the request is.
    PeerDrops,
    /// The peer ends its half of the stream, and goes on reading.
    PeerHalfCloses,
    PeerStopsReading,
    PeerResumes,
    /// An event for the hook, which echoes it.
    GroupEvent,
    /// More events than may wait for a hook.
    GroupEvents,
    /// A small frame for the socket.
    GroupFrame,
    /// One frame that is longer than the pipe.
    GroupFill,
    /// More frames than pipe and queue take.
    GroupFrames,
    /// The hook at the gate returns.
    GateOpens,
    GatePanics,
    GateFails,
    /// It closes with 4000 and returns.
    GateCloses,
    /// It closes with 4000 and goes on waiting.
    GateClosesOn,
    /// It sends more than pipe and queue take, then returns.
    GateSends,
    DrainBegins,
    /// The time for the peer's close frame passes.
    PassClose,
    /// That of a stalled write, and that of `disconnect`.
    PassWrite,
    /// The grace, and the drain's deadline.
    PassGrace,
    /// The hook's limit, and that of `connect`.
    PassLimit,
    /// The time of silence after which a ping is due, and that for its answer.
    PassPing,
}

pub(crate) const ACTS: [Act; 27] = [
    Act::PeerSends,
    Act::PeerBursts,
    Act::PeerPanics,
    Act::PeerFails,
    Act::PeerCloses,
    Act::PeerBreaks,
    Act::PeerDrops,
    Act::PeerHalfCloses,
    Act::PeerStopsReading,
    Act::PeerResumes,
    Act::GroupEvent,
    Act::GroupEvents,
    Act::GroupFrame,
    Act::GroupFill,
    Act::GroupFrames,
    Act::GateOpens,
    Act::GatePanics,
    Act::GateFails,
    Act::GateCloses,
    Act::GateClosesOn,
    Act::GateSends,
    Act::DrainBegins,
    Act::PassClose,
    Act::PassWrite,
    Act::PassGrace,
    Act::PassLimit,
    Act::PassPing,
];

impl Act {
    /// Whether it is done without waiting for the session in between.
    pub(crate) fn is_one_moment(self) -> bool {
        self.wait().is_none() && !matches!(self, Self::GroupEvents | Self::GroupFrames)
    }

    /// Whether a hook at the gate does it.
    pub(crate) fn is_of_hook(self) -> bool {
        format!("{self:?}").starts_with("Gate")
    }

    /// Whether the peer does it: its acts reach the session in their order.
    pub(crate) fn is_of_peer(self) -> bool {
        format!("{self:?}").starts_with("Peer")
    }

    /// How long nothing else happens, in milliseconds.
    pub(crate) fn wait(self) -> Option<u64> {
        match self {
            Self::PassClose => Some(CLOSE + 500),
            Self::PassWrite => Some(WRITE + 500),
            Self::PassGrace => Some(GRACE + 500),
            Self::PassLimit => Some(LIMIT + 500),
            // The interval varies by a fifth.
            Self::PassPing => Some(PING / 5 * 6 + PONG + 10_000),
            _ => None,
        }
    }
}

/// Acts one behind the other, each over before the next, and at the end two acts that happen at
/// once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    pub(crate) acts: Vec<Act>,
    pub(crate) at_once: Option<[Act; 2]>,
}

impl Sequence {
    pub(crate) fn begins_a_drain_at_once(&self) -> bool {
        self.at_once
            .is_some_and(|acts| acts.contains(&Act::DrainBegins))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for act in &self.acts {
            write!(f, " {act:?}")?;
        }
        match self.at_once {
            Some([one, other]) => write!(f, " {one:?}+{other:?}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let act = |word: &str| {
            let act = ACTS.into_iter().find(|act| format!("{act:?}") == word);
            act.ok_or_else(|| format!("{word} is no act"))
        };
        let mut sequence = Self::default();
        for word in text.split_whitespace() {
            match word.split_once('+') {
                Some((one, other)) => sequence.at_once = Some([act(one)?, act(other)?]),
                None => sequence.acts.push(act(word)?),
            }
        }
        Ok(sequence)
    }
}

/// Names for messages, events and frames: one count for each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(BTreeMap<char, usize>);

impl Numbers {
    pub(crate) fn next(&mut self, kind: char) -> String {
        let number = self.0.entry(kind).or_default();
        *number += 1;
        format!("{kind}{number}")
    }
}

// Deadlines in milliseconds. No two sums of them meet within a sequence, and all but the ping's
// together are shorter than the ping's.
pub(crate) const CLOSE: u64 = 2_000;
pub(crate) const DISCONNECT: u64 = 5_000;
pub(crate) const WRITE: u64 = 10_000;
pub(crate) const DRAIN: u64 = 15_200;
pub(crate) const GRACE: u64 = 20_000;
pub(crate) const LIMIT: u64 = 40_000;
pub(crate) const CONNECT: u64 = 38_000;
pub(crate) const PING: u64 = 400_000;
pub(crate) const PONG: u64 = 10_000;
/// An act is over before the next.
pub(crate) const STEP: u64 = 1;

/// Bytes in the pipe, frames in the queue, messages and events before the hook.
pub(crate) const PIPE: usize = 1024;
pub(crate) const FRAMES: usize = 4;
pub(crate) const MESSAGES: usize = 3;
pub(crate) const EVENTS: usize = 4;
/// How many of each make too many.
pub(crate) const MANY: usize = 10;
/// The payload of each of many frames, and of the one that fills the pipe.
pub(crate) const LARGE: usize = 300;
pub(crate) const HUGE: usize = 3000;

pub(crate) fn config() -> Config {
    let ms = Duration::from_millis;
    Config::new()
        .outgoing(FRAMES, 1 << 20)
        .events(EVENTS, 1 << 20)
        .messages(MESSAGES, 1 << 20)
        .close_timeout(ms(CLOSE))
        .disconnect_timeout(ms(DISCONNECT))
        .write_timeout(ms(WRITE))
        .grace(ms(GRACE))
        .hook_limit(ms(LIMIT))
        .connect_timeout(ms(CONNECT))
        .ping_interval(ms(PING))
        .pong_timeout(ms(PONG))
}
