//! One run of a group: a publisher at its pace, its readers, and those of them that stop.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::common::server::Server;
use crate::crowd::{Came, Crowd, Go, Opening, PATIENCE};
use crate::frames::{Frame, Numbered, TEXT};
use crate::hub::Hub;
use crate::latency::Latencies;
use crate::{frames, groups, hub};

/// The observations.
pub(crate) struct Run {
    /// p50, p99 and the most of the publisher, then of the readers that never stop, in
    /// milliseconds.
    pub(crate) latencies: [f64; 6],
    /// How far resident memory rose above what it was at the beginning.
    pub(crate) growth: u64,
    pub(crate) ends: Ends,
}

/// The ends of those that stopped.
#[derive(Default)]
pub(crate) struct Ends {
    /// How many had 4008 in `Closed`.
    pub(crate) in_closed: usize,
    pub(crate) first: Duration,
    pub(crate) last: Duration,
    /// How many had the close frame: one that read on in time, others perhaps.
    pub(crate) on_the_wire: usize,
    /// The most messages that one of these had before it.
    pub(crate) messages: u64,
}

/// Numbers of a run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) readers: usize,
    /// The last so many may stop; nobody asks how fast they are.
    pub(crate) slow: usize,
    pub(crate) length: usize,
    pub(crate) pace: Duration,
    pub(crate) time: Duration,
    /// `Config::outgoing`, in bytes.
    pub(crate) outgoing: usize,
    /// Bytes that the kernel may hold for each socket besides.
    pub(crate) send_buffer: usize,
}

pub(crate) fn run(hub: &Hub, plan: Plan, they_stop: bool) -> Result<Run, String> {
    let server = hub.start(&[
        "--outgoing",
        &plan.outgoing.to_string(),
        "--send-buffer",
        &plan.send_buffer.to_string(),
    ])?;
    let mut load = Load::open(&server, plan)?;
    load.publish(WARM_UP, |_| Ok(()))?;
    load.finish()?;
    load.book.publisher = Latencies::default();
    load.book.others = Latencies::default();

    let mut watch = Watch::begin(&server)?;
    if they_stop {
        load.stop();
    }
    load.publish(plan.time, |load| {
        watch.look(&server, &mut load.book.ends)?;
        if load.book.ends.in_closed == plan.slow {
            // One is enough to see what is on the wire, and is no work for the load that the others
            // would feel.
            let first = load.book.stopped.start;
            load.read_on(first..first + 1)?;
        }
        Ok(())
    })?;
    load.read_on(load.book.stopped.clone())?;
    load.finish()?;
    let [a, b, c] = load.book.publisher.percentiles();
    let [d, e, f] = load.book.others.percentiles();
    Ok(Run {
        latencies: [a, b, c, d, e, f].map(|latency| latency.as_secs_f64() * 1000.0),
        growth: watch.most - watch.before,
        ends: load.book.ends,
    })
}

/// The first socket publishes, the others read.
struct Load {
    plan: Plan,
    crowd: Crowd,
    book: Book,
}

impl Load {
    fn open(server: &Server, plan: Plan) -> Result<Self, String> {
        let sockets = 1 + plan.readers;
        let paths = groups::paths(sockets, sockets);
        Ok(Self {
            plan,
            crowd: Crowd::open(server.address, paths, Opening::short())?,
            book: Book {
                text: Numbered::new(plan.length),
                sent: Vec::new(),
                received: vec![0; sockets],
                fast: 1..sockets - plan.slow,
                stopped: 0..0,
                due: 0,
                publisher: Latencies::default(),
                others: Latencies::default(),
                ends: Ends::default(),
            },
        })
    }

    fn stop(&mut self) {
        self.book.stopped = self.book.fast.end..self.crowd.len();
        self.book.due += self.book.stopped.len();
        for token in self.book.stopped.clone() {
            self.crowd.pause(token);
        }
    }

    /// Lets those of these that stopped read on.
    fn read_on(&mut self, which: Range<usize>) -> Result<(), String> {
        let Self { crowd, book, .. } = self;
        for token in which {
            crowd.resume(token, &mut |token, came| book.came(token, came))?;
        }
        Ok(())
    }

    /// Publishes at its pace, whatever comes, and looks around after each message.
    fn publish<F>(&mut self, time: Duration, mut look: F) -> Result<(), String>
    where
        F: FnMut(&mut Self) -> Result<(), String>,
    {
        let start = Instant::now();
        let mut next = start;
        while next < start + time {
            let request = self.book.publish();
            self.crowd.send(0, &request)?;
            next += self.plan.pace;
            let Self { crowd, book, .. } = self;
            crowd.read_until(next, &mut |token, came| {
                book.came(token, came).map(|_| Go::On)
            })?;
            look(self)?;
        }
        Ok(())
    }

    /// Waits for what is due.
    fn finish(&mut self) -> Result<(), String> {
        let Self { crowd, book, .. } = self;
        if book.due > 0 {
            crowd.read_until(Instant::now() + PATIENCE, &mut |token, came| {
                book.came(token, came)
            })?;
        }
        if book.due == 0 {
            return Ok(());
        }
        let sent = book.sent.len() as u64;
        let behind = book.fast.clone().filter(|at| book.received[*at] < sent);
        let (due, behind, ends) = (book.due, behind.count(), &book.ends);
        Err(format!(
            "{due} messages or ends are missing: {behind} readers that never stopped have not all messages; of those that did, {} were \
             told 4008 in `Closed`, and {} had it on the wire",
            ends.in_closed, ends.on_the_wire
        ))
    }
}

/// The messages sent, and those received.
struct Book {
    text: Numbered,
    /// When each message was sent, by its number.
    sent: Vec<Instant>,
    /// How many messages each socket has.
    received: Vec<u64>,
    /// Readers that never stop.
    fast: Range<usize>,
    /// Those that stop in this run.
    stopped: Range<usize>,
    /// Messages, and the ends of those that stop.
    due: usize,
    publisher: Latencies,
    others: Latencies,
    ends: Ends,
}

impl Book {
    fn publish(&mut self) -> Vec<u8> {
        let request = frames::request(TEXT, self.text.payload(self.sent.len() as u64));
        self.due += self.received.len() - self.stopped.len();
        self.sent.push(Instant::now());
        request
    }

    /// Compares; [`Go::Stop`] when nothing is due any longer.
    fn came(&mut self, token: usize, came: Came<'_>) -> Result<Go, String> {
        let is_due = match came {
            Came::Frame(frame) if frame.opcode == TEXT => self.message(token, frame)?,
            came if self.stopped.contains(&token) => self.end(token, came)?,
            other => return Err(format!("socket {token} has {other}, not a message")),
        };
        self.due -= usize::from(is_due);
        Ok(if self.due == 0 { Go::Stop } else { Go::On })
    }

    fn message(&mut self, token: usize, frame: Frame<'_>) -> Result<bool, String> {
        let number = self.received[token];
        let sent = self.sent.get(number as usize);
        let sent = sent.ok_or_else(|| format!("socket {token} has more than was sent"))?;
        self.text.compare(frame.payload, number)?;
        if token == 0 {
            self.publisher.add(sent.elapsed());
        } else if self.fast.contains(&token) {
            self.others.add(sent.elapsed());
        }
        self.received[token] += 1;
        Ok(!self.stopped.contains(&token))
    }

    fn end(&mut self, token: usize, came: Came<'_>) -> Result<bool, String> {
        let Came::Frame(frame) = came else {
            return Ok(true);
        };
        match frame.close() {
            Some((4008, _)) => {
                self.ends.on_the_wire += 1;
                self.ends.messages = self.ends.messages.max(self.received[token]);
                Ok(false)
            }
            other => Err(format!("socket {token} was closed with {other:?}")),
        }
    }
}

/// Looks at the server now and then.
struct Watch {
    start: Instant,
    next: Instant,
    stats: Crowd,
    before: u64,
    most: u64,
}

impl Watch {
    fn begin(server: &Server) -> Result<Self, String> {
        let stats = std::iter::once("/stats".to_owned());
        let stats = Crowd::open(server.address, stats, Opening::short())?;
        let before = hub::resident_at_rest(server)?;
        Ok(Self {
            start: Instant::now(),
            next: Instant::now(),
            stats,
            before,
            most: before,
        })
    }

    /// Does not wait for the counts: takes those that were asked for the last time.
    fn look(&mut self, server: &Server, ends: &mut Ends) -> Result<(), String> {
        if Instant::now() < self.next {
            return Ok(());
        }
        self.next += hub::LOOK;
        let resident = server.resident().map_err(|error| error.to_string())?;
        self.most = self.most.max(resident);
        let since = self.start.elapsed();
        self.stats.read_until(Instant::now(), &mut |_, came| {
            let Came::Frame(frame) = came else {
                return Err("the socket of the counts was closed".to_owned());
            };
            let counts = hub::ends(&String::from_utf8_lossy(frame.payload))?;
            let slow = counts.get("4008 SlowReader").copied().unwrap_or(0);
            if slow > ends.in_closed {
                if ends.in_closed == 0 {
                    ends.first = since;
                }
                ends.last = since;
                ends.in_closed = slow;
            }
            Ok(Go::On)
        })?;
        self.stats.send(0, &frames::request(TEXT, b"?"))
    }
}

/// Before the run, so that buffers have their sizes.
const WARM_UP: Duration = Duration::from_secs(1);
