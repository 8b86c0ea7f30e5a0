//! An honest client beside eight attackers of each kind, and alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::attack::{ATTACKERS, Attack, Done, LARGE};
use crate::common::server::Server;
use crate::honest::Seen;
use crate::hub::Hub;
use crate::latency::milliseconds;
use crate::options::Options;
use crate::report::Report;

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let cores = if options.spread {
        "both cores, so an attack is only as strong as the rest of them can make it"
    } else {
        "one core and the load has the other, so an attack is as strong as one core can make it"
    };
    report.line(format_args!(
        "An honest client, alone → beside {ATTACKERS} attackers, {} s each. For two thirds of the time it sends a message every 5 ms on \
         one connection; an echo that holds up the next counts against that one, too. Then it opens connections, one after the other, \
         that echo one message. The two workers of `hub` have {cores}. The attackers yield to the honest client (`SCHED_IDLE`). `waited` is the share of \
         the time in which the honest client was ready to run and its core was taken: that much of its latency is not the server's.",
        options.seconds,
    ));
    report.head([
        "attack",
        "event interval",
        "echo in ms: p50 / p99 / most",
        "handshakes/s",
        "server, of a core",
        "attacks/s",
        "attackers disconnected",
        "honest disconnected",
        "waited",
    ]);
    let mut found = Found::default();
    let attacks = Attack::all().into_iter();
    for attack in attacks.filter(|attack| attack.name.contains(&options.attack)) {
        for interval in EVENT_INTERVALS {
            let name = format!("{} ({interval})", attack.name);
            eprintln!("{name}");
            match Pair::measure(hub, options, &attack, interval) {
                Ok(pair) => pair.tell(&attack, interval, report, &mut found),
                Err(error) => found.failed.push(format!("{name}: {error}")),
            }
        }
    }
    report.line("");
    let Found { failed, lost, slow } = found;
    let mut check = |what, exceptions: &[String]| {
        let list = exceptions.join(", ");
        let list = if exceptions.is_empty() { "none" } else { &list };
        report.check(
            exceptions.is_empty(),
            format_args!("{what}; exceptions: {list}"),
        );
    };
    check("every attack was measured", &failed);
    check("the honest client was never disconnected", &lost);
    let tolerable = milliseconds(TOLERABLE);
    let what = format!("99 of 100 echoes took at most {tolerable} ms");
    check(&what, &slow);
    Ok(())
}

/// Failed checks.
#[derive(Default)]
struct Found {
    /// Attacks that could not be measured, and why.
    failed: Vec<String>,
    /// Disconnects of the honest client.
    lost: Vec<String>,
    /// Attacks beside which it waited too long.
    slow: Vec<String>,
}

/// The same server, alone with the honest client, then attacked.
struct Pair {
    alone: Cell,
    beside: Cell,
}

impl Pair {
    fn measure(
        hub: &Hub,
        options: &Options,
        attack: &Attack,
        interval: &str,
    ) -> Result<Self, String> {
        let limit = LARGE.to_string();
        let arguments = [
            "--threads",
            "2",
            "--event-interval",
            interval,
            "--deflate",
            "--max-message",
            &limit,
        ];
        let server = if options.spread {
            hub.start_spread(&arguments)?
        } else {
            hub.start(&arguments)?
        };
        let time = Duration::from_secs(options.seconds);
        Ok(Self {
            alone: Cell::measure(&server, None, time)?,
            beside: Cell::measure(&server, Some(attack), time)?,
        })
    }

    fn tell(mut self, attack: &Attack, interval: &str, report: &mut Report, found: &mut Found) {
        let Self { alone, beside } = &mut self;
        report.row([
            attack.name,
            interval,
            &format!("{} → {}", alone.echoes(), beside.echoes()),
            &format!(
                "{:.0} → {:.0}",
                alone.seen.handshakes, beside.seen.handshakes
            ),
            &format!("{} → {}", percent(alone.cpu), percent(beside.cpu)),
            &format!("{:.0}", beside.attackers.count / beside.took),
            &beside.attackers.lost.to_string(),
            &beside.seen.lost.len().to_string(),
            &percent(beside.seen.waited),
        ]);
        let name = format!("{} ({interval})", attack.name);
        if beside.seen.echoes.percentiles()[1] > TOLERABLE {
            found.slow.push(name.clone());
        }
        let errors = alone.seen.lost.iter().chain(&beside.seen.lost);
        let errors = errors.map(|error| format!("{name}: {error}"));
        found.lost.extend(errors);
    }
}

/// The observations of one measurement.
struct Cell {
    seen: Seen,
    attackers: Done,
    /// Of one core.
    cpu: f64,
    /// Seconds.
    took: f64,
}

impl Cell {
    fn measure(server: &Server, attack: Option<&Attack>, time: Duration) -> Result<Self, String> {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let attacking = attack.map(|attack| {
                let is_over = &is_over;
                scope.spawn(move || attack.run(server.address, is_over))
            });
            let watched = Self::watch(server, attack.is_some(), time);
            is_over.store(true, Ordering::Relaxed);
            let attackers = match attacking {
                Some(attacking) => attacking.join().map_err(|_| "the attackers panicked")??,
                None => Done::default(),
            };
            let (seen, cpu, took) = watched?;
            Ok(Self {
                seen,
                attackers,
                cpu,
                took,
            })
        })
    }

    fn watch(
        server: &Server,
        is_attacked: bool,
        time: Duration,
    ) -> Result<(Seen, f64, f64), String> {
        let begin = Instant::now();
        if is_attacked {
            thread::sleep(OPENING);
        }
        let cpu = || server.cpu().map_err(|error| error.to_string());
        let (watching, before) = (Instant::now(), cpu()?);
        let seen = Seen::measure(server.address, time).map_err(|error| error.to_string())?;
        let used = Duration::from_nanos(cpu()? - before);
        let share = used.as_secs_f64() / watching.elapsed().as_secs_f64();
        Ok((seen, share, begin.elapsed().as_secs_f64()))
    }

    fn echoes(&mut self) -> String {
        let percentiles = self.seen.echoes.percentiles();
        percentiles.map(milliseconds).join(" / ")
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

const EVENT_INTERVALS: [&str; 2] = ["61", "1024"];
/// The latency that an honest client should not exceed.
const TOLERABLE: Duration = Duration::from_millis(10);
/// How long the attackers have to open their sockets.
const OPENING: Duration = Duration::from_millis(300);
