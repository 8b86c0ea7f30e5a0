//! [`Config`]: the limits and deadlines of a connection, and what happens when a queue is full.

use std::time::Duration;

use crate::rate::Rate;

/// Limits and deadlines of the connections of a router.
///
/// Each setter ends with its default; the reason for each is in [the book](crate::docs::defaults).
/// A limit that implies memory says how much. Multiply it by the number of connections for the
/// worst case; a connection reaches it only while its client does not read or its hook does not
/// return.
#[derive(Clone, Debug)]
#[must_use]
pub struct Config {
    pub(crate) max_message: usize,
    pub(crate) max_groups: usize,
    pub(crate) outgoing: Bound,
    pub(crate) events: Bound,
    pub(crate) messages: Bound,
    pub(crate) inbound_rate: Option<Rate>,
    pub(crate) ping_interval: Duration,
    pub(crate) pong_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) disconnect_timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) hook_limit: Option<Duration>,
    pub(crate) write_timeout: Duration,
    pub(crate) close_timeout: Duration,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<Deflate>,
}

/// A bound of a queue: full at either, so that it overshoots by one item at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
}

impl Bound {
    /// At least one item fits: a queue that takes nothing could never move.
    fn of(count: usize, bytes: usize) -> Self {
        Self {
            count: count.max(1),
            bytes: bytes.max(1),
        }
    }

    /// Whether a queue of this size takes no more.
    pub(crate) fn is_reached(self, count: usize, bytes: usize) -> bool {
        count >= self.count || bytes >= self.bytes
    }

    /// Whether a queue of this size takes a value of `length` bytes in place of an older one of
    /// `replaced` bytes, or as one more.
    ///
    /// The older one's room counts as free. A value that is no longer than the one it replaces
    /// always fits.
    pub(crate) fn admits(
        self,
        count: usize,
        bytes: usize,
        length: usize,
        replaced: Option<usize>,
    ) -> bool {
        let Some(freed) = replaced else {
            return !self.is_reached(count, bytes);
        };
        length <= freed || !self.is_reached(count - 1, bytes - freed)
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            max_message: 64 * KIB,
            max_groups: 128,
            outgoing: Bound::of(1024, 1024 * KIB),
            events: Bound::of(1024, 1024 * KIB),
            messages: Bound::of(64, 256 * KIB),
            inbound_rate: None,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            disconnect_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            hook_limit: None,
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// The longest message that is accepted, in bytes, fragments together; a longer one closes with
    /// 1009 when its header arrives. Memory: one such message per connection while it arrives.
    /// Default: 64 KiB.
    ///
    /// A limit that answers instead of closing is yours: in `receive`, by
    /// [`Message::len`](crate::Message::len).
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// How many groups a connection may be in. Memory: about 100 bytes each. Default: 128.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.max_groups = groups;
        self
    }

    /// How much may wait to be written to a peer that does not read, in frames and bytes, whichever
    /// is first. Memory: that many bytes and the frame that overshoots. Default: 1,024 frames, 1
    /// MiB.
    pub fn outgoing(mut self, frames: usize, bytes: usize) -> Self {
        self.outgoing = Bound::of(frames, bytes);
        self
    }

    /// How many events may wait for the `event` hook, whichever bound is first. Memory: that many
    /// bytes, shared with the other members of the group. Default: 1,024 events, 1 MiB.
    pub fn events(mut self, events: usize, bytes: usize) -> Self {
        self.events = Bound::of(events, bytes);
        self
    }

    /// How many messages may wait for the `receive` hook before the socket is no longer read and
    /// the peer feels TCP's back-pressure. Memory: that many bytes and one read. Default: 64
    /// messages, 256 KiB.
    pub fn messages(mut self, messages: usize, bytes: usize) -> Self {
        self.messages = Bound::of(messages, bytes);
        self
    }

    /// How many messages a second a peer may send, and how many at once after a quiet time; one
    /// that sends more is closed with 1008 and a reason that names both numbers. Pings and pongs of
    /// the client count as messages, and so do fragments under 1 KiB, except the last one of a
    /// message; otherwise a client could flood the server with them. The close frame does not
    /// count. Neither number is below 1. Memory: 64 bytes. Default: no limit.
    ///
    /// Choose the second number for what a network holds back when it stalls: a page that sends ten
    /// a second over a phone may well deliver fifty together. Messages delayed by a slow hook do
    /// not count. Messages from before that still wait for the hook are dropped with the
    /// connection.
    pub fn inbound_rate(mut self, per_second: u32, burst: u32) -> Self {
        self.inbound_rate = Some(Rate::new(per_second, burst));
        self
    }

    /// How long a peer may be silent before it is sent a ping; each connection varies it by ±20 %,
    /// so that pings of many connections spread. Default: 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How long a peer may stay silent after a ping before it counts as gone. Default: 10 s.
    pub fn pong_timeout(mut self, timeout: Duration) -> Self {
        self.pong_timeout = timeout;
        self
    }

    /// How long `connect` may take; then it is dropped and the client is answered 503. The checks
    /// before it have as long, together. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long `disconnect` may take; then it is dropped. Default: 5 s.
    pub fn disconnect_timeout(mut self, timeout: Duration) -> Self {
        self.disconnect_timeout = timeout;
        self
    }

    /// How long a hook may still run after its connection has ended, by either side; then it is
    /// dropped at an `.await`. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long a `receive` or `event` may take, together with the `error` behind it; then it is
    /// dropped at an `.await`, and the connection is closed with 1011 and
    /// [`Cause::HookLimit`](crate::close::Cause::HookLimit). `self` may be half-changed when
    /// `disconnect` runs. The time counts from the first wait of the hook on, and waiting for room
    /// in [`Context::send`](crate::Context::send) is part of it. A hook that never waits pays
    /// nothing for it, and cannot be dropped. Default: none; a hook may run as long as its
    /// connection.
    pub fn hook_limit(mut self, limit: Duration) -> Self {
        self.hook_limit = Some(limit);
        self
    }

    /// How long writing may stand still before the peer counts as gone; also how long `ctx.send`
    /// waits for room. Once the connection closes, progress is not enough: all that waits has three
    /// times this to go out, and [`close_timeout`](Self::close_timeout) more until the connection
    /// is reset. Default: 10 s.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long to wait for the peer's close frame after ours was written; then the connection is
    /// reset. A slow reader (4008) has the time of the whole close for both, since the kernel holds
    /// megabytes for it that go before the close frame. Default: 2 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Compresses messages to and from clients that offer to (permessage-deflate); browsers do.
    /// Needs the crate's feature `deflate`; [the book](crate::docs::deflate) says when it pays.
    /// Memory: none for an idle connection, see [`Deflate`]. Default: no compression.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// How messages are compressed, with [`Config::deflate`].
///
/// Each message stands alone, in both directions (`no_context_takeover`), so that compressors
/// belong to the worker threads and not to connections, and a broadcast is compressed once for all
/// clients with the same window.
///
/// Memory: about 380 KB for each worker thread and window in use, and 50 KB for each message that
/// has arrived in part.
///
/// ```
/// use strait::config::{Config, Deflate};
///
/// let config = Config::new().deflate(Deflate::new().min_len(1024));
/// ```
#[cfg(feature = "deflate")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Deflate {
    pub(crate) level: u8,
    pub(crate) min_len: usize,
    pub(crate) max_window_bits: u8,
}

#[cfg(feature = "deflate")]
impl Deflate {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            level: 1,
            min_len: 256,
            max_window_bits: 15,
        }
    }

    /// From 1, the fastest, to 9, the smallest; values beyond are clamped.
    /// Default: 1.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// From how many bytes on a message is compressed; a shorter one goes as it is, and so does one
    /// that compressing would not make shorter. Default: 256.
    pub fn min_len(mut self, bytes: usize) -> Self {
        self.min_len = bytes;
        self
    }

    /// The largest window that is compressed with, as a power of two: from 9, 512 bytes, to 15, 32
    /// KiB; values beyond are clamped. A client may ask for less. A smaller one takes less memory
    /// and finds fewer repetitions. Default: 15.
    pub fn max_window_bits(mut self, bits: u8) -> Self {
        self.max_window_bits = bits.clamp(9, 15);
        self
    }
}

#[cfg(feature = "deflate")]
impl Default for Deflate {
    fn default() -> Self {
        Self::new()
    }
}

/// The policy for a member of a group whose queue is full when a frame or event of that group
/// arrives. Set by [`ChannelLayer::overflow`](crate::ChannelLayer::overflow).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The member is closed: 4008 when its peer reads too slowly, 1013 when its hook is too slow.
    /// It may come back and start from a fresh state; nothing is missing unnoticed.
    #[default]
    Close,
    /// The arriving one is dropped and counted: [`Context::dropped`](crate::Context::dropped).
    Drop,
}

const KIB: usize = 1024;
