//! A server that stops while somebody publishes.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::spread::Spread;
use crate::crowd::{Came, Crowd, Go, Opening, PATIENCE};
use crate::frames::{CLOSE, Frame, Numbered, TEXT};
use crate::hub::{Ends, Hub};
use crate::latency::milliseconds;
use crate::options::Options;
use crate::report::Report;
use crate::{frames, groups, hub};

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let clients = options.size(5000, 1000);
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        rounds.push(Round::measure(hub, clients)?);
    }
    let seconds = WINDOW.as_secs();
    report.line(format_args!(
        "{clients} members of one group, a message every {} ms until SIGTERM, a window of {seconds} s; medians and spread of {} rounds.",
        PACE.as_millis(),
        options.rounds,
    ));
    report.head(["from s after the first", "closings"]);
    for bin in 0..=BINS {
        let counts = rounds.iter().map(|round| round.bins[bin] as f64);
        let Some(counts) = Spread::of(counts) else {
            continue;
        };
        let range = counts.range(|count| format!("{count:.0}"));
        let from = bin as f64 * BIN.as_secs_f64();
        report.row([
            format!("{from:.1}"),
            format!("{:.0} ({range})", counts.median),
        ]);
    }
    report.line("");
    for round in &rounds {
        round.check(clients, report);
    }
    Ok(())
}

struct Round {
    book: Book,
    /// Closings in each part of the window; the last is what came later.
    bins: [usize; BINS + 1],
    /// As `hub` counts them.
    ends: Ends,
    exit: String,
}

impl Round {
    fn measure(hub: &Hub, clients: usize) -> Result<Self, String> {
        let server = hub.start(&["--drain-window", &WINDOW.as_secs().to_string()])?;
        let paths = groups::paths(clients, clients);
        let mut crowd = Crowd::open(server.address, paths, Opening::short())?;
        let mut book = Book::new(clients);
        let end = Instant::now() + BEFORE;
        let mut next = Instant::now();
        while next < end {
            book.publish(&mut crowd, 1)?;
            next += PACE;
            crowd.read_until(next, &mut |socket, came| book.came(socket, came))?;
        }
        // Sent is what the publisher itself has got: most of the others have that still before them
        // when the drain begins.
        book.publish(&mut crowd, LAST)?;
        book.waits_for_own = true;
        crowd.read_until(Instant::now() + PATIENCE, &mut |socket, came| {
            book.came(socket, came)
        })?;
        book.waits_for_own = false;
        let own = book.received[0];
        if own != book.sent {
            return Err(format!("the publisher has {own} of {}", book.sent));
        }
        server.signal(Signal::TERM)?;
        book.begun = Instant::now();

        let patience = Instant::now() + WINDOW + PATIENCE;
        while book.gone < clients && Instant::now() < patience {
            crowd.read_until(Instant::now() + ANSWER, &mut |socket, came| {
                book.came(socket, came)
            })?;
            for (socket, payload) in std::mem::take(&mut book.to_answer) {
                crowd.send(socket, &frames::request(CLOSE, &payload))?;
            }
        }
        let (exit, output) = server.wait()?;
        Ok(Self {
            bins: book.bins(),
            ends: hub::ends(&output)?,
            exit: exit.to_string(),
            book,
        })
    }

    fn check(&self, clients: usize, report: &mut Report) {
        let book = &self.book;
        let even = clients as f64 / BINS as f64;
        let within = self.bins[..BINS].iter().map(|count| *count as f64);
        let most = within
            .map(|count| (count / even - 1.0).abs())
            .fold(0.0, f64::max)
            * 100.0;
        let late = self.bins[BINS];
        let first = milliseconds(book.first());
        let what = format!(
            "closings are spread evenly, the first after {first} ms: no half second differs by more than {most:.1} %, {late} came later"
        );
        report.check(most < UNEVEN && late as f64 <= clients as f64 / 100.0, what);

        let lost = book.received.iter().map(|got| book.sent - got);
        let (short, lost) = (
            lost.clone().filter(|lost| *lost > 0).count(),
            lost.sum::<u64>(),
        );
        let what = format!(
            "of {} messages sent before the drain, {lost} are lost, at {short} clients",
            book.sent
        );
        report.check(lost == 0, what);

        let closed = book.retry_after.len();
        let (least, most) = (book.retry_after.iter().min(), book.retry_after.iter().max());
        let (least, most) = (*least.unwrap_or(&0), *most.unwrap_or(&0));
        let what = format!(
            "{closed} of {clients} were closed with 1012 and `retry_after_ms`, from {least} to {most}"
        );
        let allowed = FIRST_RETRY..=FIRST_RETRY + WINDOW.as_millis() as u64;
        report.check(
            closed == clients && allowed.contains(&least) && allowed.contains(&most),
            what,
        );
        let gone = book.gone;
        let what = format!("{gone} of {clients} had the end of the stream behind it");
        report.check(gone == clients, what);

        let ran = self.ends.get("1012 Drain").copied().unwrap_or(0);
        let what = format!(
            "{ran} `disconnect` hooks of {clients} ran, told of a drain: {:?}",
            self.ends
        );
        report.check(ran == clients && self.ends.len() == 1, what);
        let exit = &self.exit;
        report.check(
            exit == "exit status: 0",
            format_args!("hub ended with {exit}"),
        );
    }
}

/// The messages sent, and those received.
struct Book {
    text: Numbered,
    sent: u64,
    received: Vec<u64>,
    waits_for_own: bool,
    /// When the drain began.
    begun: Instant,
    /// When each close frame came, from there.
    closed: Vec<Duration>,
    retry_after: Vec<u64>,
    /// Close frames, by socket and payload.
    to_answer: Vec<(usize, Vec<u8>)>,
    /// Streams that ended behind a close frame.
    gone: usize,
}

impl Book {
    fn new(clients: usize) -> Self {
        Self {
            text: Numbered::new(LENGTH),
            sent: 0,
            received: vec![0; clients],
            waits_for_own: false,
            begun: Instant::now(),
            closed: Vec::new(),
            retry_after: Vec::new(),
            to_answer: Vec::new(),
            gone: 0,
        }
    }

    /// The first socket publishes.
    fn publish(&mut self, crowd: &mut Crowd, count: usize) -> Result<(), String> {
        let mut requests = Vec::new();
        for _ in 0..count {
            requests.extend(frames::request(TEXT, self.text.payload(self.sent)));
            self.sent += 1;
        }
        crowd.send(0, &requests)
    }

    fn came(&mut self, socket: usize, came: Came<'_>) -> Result<Go, String> {
        match came {
            Came::Frame(frame) if frame.opcode == TEXT => {
                let number = self.received[socket];
                let compared = self.text.compare(frame.payload, number);
                compared.map_err(|error| format!("socket {socket}: {error}"))?;
                self.received[socket] += 1;
            }
            Came::Frame(frame) => self.closed(socket, frame)?,
            Came::End => self.gone += 1,
        }
        let has_own = self.waits_for_own && self.received[0] == self.sent;
        Ok(if has_own { Go::Stop } else { Go::On })
    }

    fn closed(&mut self, socket: usize, frame: Frame<'_>) -> Result<(), String> {
        let retry_after = match frame.close() {
            Some((1012, reason)) => reason.strip_prefix("retry_after_ms="),
            _ => None,
        };
        let retry_after = retry_after.and_then(|number| number.parse().ok());
        let retry_after = retry_after.ok_or_else(|| {
            let payload = frame.payload.escape_ascii();
            format!("socket {socket} has a frame {:#x}: {payload}", frame.opcode)
        })?;
        self.retry_after.push(retry_after);
        self.closed.push(self.begun.elapsed());
        self.to_answer.push((socket, frame.payload.to_vec()));
        Ok(())
    }

    /// Messages under way are delivered before any connection is closed.
    fn first(&self) -> Duration {
        self.closed.iter().min().copied().unwrap_or_default()
    }

    fn bins(&self) -> [usize; BINS + 1] {
        let mut bins = [0; BINS + 1];
        let first = self.first();
        for closed in &self.closed {
            let bin = ((*closed - first).as_secs_f64() / BIN.as_secs_f64()) as usize;
            bins[bin.min(BINS)] += 1;
        }
        bins
    }
}

const WINDOW: Duration = Duration::from_secs(5);
const BIN: Duration = Duration::from_millis(500);
const BINS: usize = 10;
/// A half second may differ from the mean by so many percent.
const UNEVEN: f64 = 10.0;
/// The least that a client is asked to wait; the most is a window later.
const FIRST_RETRY: u64 = 100;
const LENGTH: usize = 100;
const PACE: Duration = Duration::from_millis(50);
const BEFORE: Duration = Duration::from_secs(2);
/// Messages sent together at the end.
const LAST: usize = 20;
/// The longest time of a client to answer a close frame.
const ANSWER: Duration = Duration::from_millis(5);
