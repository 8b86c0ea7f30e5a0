//! Clients that send their request byte by byte, beside ordinary ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::common::request;
use crate::common::request::Headers;
use crate::honest;
use crate::hub::Hub;
use crate::latency::{Latencies, milliseconds};
use crate::options::Options;
use crate::report::Report;

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let clients = options.size(2000, 500);
    // So that a client which takes its 10 s is sent away within a round.
    let between = Duration::from_millis(options.size(60, 10) as u64);
    let server = hub.start(&[])?;
    let address = server.address;
    let (mut alone, mut beside) = (Latencies::default(), Latencies::default());
    let mut ends = Ends::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        alone.extend(&ordinary(address, between)?);
        let drip = Drip::open(address, clients)?;
        let (latencies, its_ends) = drip.during(|| ordinary(address, between))?;
        beside.extend(&latencies);
        ends.join(&its_ends);
    }
    report.line(format_args!(
        "{} rounds of {ORDINARY} handshakes, one every {} ms, alone and beside {clients} clients that send one byte a second. Milliseconds.",
        options.rounds,
        between.as_millis()
    ));
    report.head(["", "p50", "p99", "most"]);
    for (name, latencies) in [("alone", &mut alone), ("beside the slow ones", &mut beside)] {
        let [half, most, all] = latencies.percentiles().map(milliseconds);
        report.row([name, &half, &most, &all]);
    }
    report.line("");
    let (count, [_, p99, _]) = (beside.len(), beside.percentiles());
    let what = format!(
        "all {count} beside the slow ones were answered, 99 of 100 within {} ms",
        milliseconds(p99)
    );
    report.check(p99 < TOLERABLE, what);
    let (sent_away, early) = (ends.sent_away, ends.early);
    let latest = ends.latest.as_secs_f64();
    let what = format!("{early} slow clients were sent away before they had 10 s");
    report.check(early == 0, what);
    if !options.quick {
        let what = format!(
            "{sent_away} slow clients were sent away after 10 s, the last after {latest:.1} s; {} were not",
            ends.overdue
        );
        report.check(sent_away > 0 && ends.overdue == 0, what);
    }
    Ok(())
}

/// How long each of some handshakes took, from the connection to the answer.
fn ordinary(address: SocketAddr, between: Duration) -> Result<Latencies, String> {
    let mut latencies = Latencies::default();
    let mut next = Instant::now();
    for _ in 0..ORDINARY {
        let start = Instant::now();
        let opened = honest::open(address, "/echo", Headers::Short);
        opened.map_err(|error| format!("an ordinary handshake: {error}"))?;
        latencies.add(start.elapsed());
        next += between;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(latencies)
}

/// Clients that send a byte a second.
pub(crate) struct Drip {
    address: SocketAddr,
    request: String,
    clients: Vec<Client>,
    ends: Ends,
}

struct Client {
    stream: TcpStream,
    begun: Instant,
    sent: usize,
    /// When the next byte is due.
    next: Instant,
}

/// How slow clients ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ends {
    pub(crate) sent_away: usize,
    latest: Duration,
    /// Sent away before their time.
    early: usize,
    /// There still, long after their time.
    overdue: usize,
}

impl Ends {
    fn join(&mut self, other: &Self) {
        self.sent_away += other.sent_away;
        self.latest = self.latest.max(other.latest);
        self.early += other.early;
        self.overdue += other.overdue;
    }
}

impl Drip {
    pub(crate) fn open(address: SocketAddr, clients: usize) -> Result<Self, String> {
        let start = Instant::now();
        // Their bytes are spread over the second.
        let clients = (0..clients).map(|client| {
            let share = client as f64 / clients as f64;
            Client::connect(address, start + SECOND.mul_f64(share))
        });
        let clients = clients.collect::<io::Result<_>>();
        Ok(Self {
            address,
            request: request::request(address, "/echo", Headers::Short),
            clients: clients.map_err(|error| format!("a slow client: {error}"))?,
            ends: Ends::default(),
        })
    }

    /// Drips while this runs, in a thread of its own.
    pub(crate) fn during<T>(
        mut self,
        work: impl FnOnce() -> Result<T, String>,
    ) -> Result<(T, Ends), String> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let dripping = scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    self.step()
                        .map_err(|error| format!("a slow client: {error}"))?;
                    thread::sleep(STEP);
                }
                Ok::<_, String>(self.ends)
            });
            let done = work();
            is_over.store(true, Ordering::Relaxed);
            let ends = dripping.join().map_err(|_| "the slow clients panicked")?;
            Ok((done?, ends?))
        })
    }

    /// One byte from each that is due; a client that was refused comes back.
    fn step(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for client in self.clients.iter_mut().filter(|client| client.next <= now) {
            let age = client.begun.elapsed();
            if client.is_there() {
                client.drip(&self.request);
                self.ends.overdue += usize::from(age > LIMIT + 2 * SECOND);
                continue;
            }
            self.ends.sent_away += 1;
            self.ends.latest = self.ends.latest.max(age);
            // The clock may have begun a moment before the client's own.
            self.ends.early += usize::from(age < LIMIT - SECOND / 10);
            *client = Client::connect(self.address, now + SECOND)?;
        }
        Ok(())
    }
}

impl Client {
    fn connect(address: SocketAddr, next: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            begun: Instant::now(),
            sent: 0,
            next,
        })
    }

    /// Until the server answers in whatever way, or closes.
    fn is_there(&mut self) -> bool {
        let read = self.stream.read(&mut [0; 512]);
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    fn drip(&mut self, request: &str) {
        let byte = &request.as_bytes()[self.sent..][..1];
        // That it was sent away shows at the next look.
        let _ = self.stream.write(byte);
        self.sent += 1;
        self.next += SECOND;
    }
}

const ORDINARY: usize = 200;
/// Far above what a handshake takes, far below what a person notices; the numbers say the rest.
const TOLERABLE: Duration = Duration::from_millis(50);
const STEP: Duration = Duration::from_millis(5);
const SECOND: Duration = Duration::from_secs(1);
/// `Server::header_timeout`'s default.
const LIMIT: Duration = Duration::from_secs(10);
