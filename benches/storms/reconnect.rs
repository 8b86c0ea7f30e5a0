//! All clients are cut off and come back at once.

use std::time::Duration;

use crate::common::spread::Spread;
use crate::crowd::{Crowd, Opening};
use crate::groups;
use crate::hub::Hub;
use crate::options::Options;
use crate::report::Report;

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let clients = options.size(5000, 1000);
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        rounds.push(Round::measure(hub, clients)?);
    }
    report.line(format_args!(
        "{clients} members of groups of 10, medians and spread of {} rounds. Calm: 64 handshakes at a time. Storm: all sockets are closed, \
         then all connect before the first is answered.",
        options.rounds
    ));
    report.head(["", "calm", "storm"]);
    let show = |value: fn(&Opened) -> f64, digits: usize| {
        [0, 1].map(|which| {
            let values = rounds.iter().map(|round| value(&round.0[which]));
            Spread::of(values).map_or_else(String::new, |spread| {
                let range = spread.range(|value| format!("{value:.digits$}"));
                format!("{:.digits$} ({range})", spread.median)
            })
        })
    };
    let mut row = |name: &str, [calm, storm]: [String; 2]| report.row([name, &calm, &storm]);
    row("handshakes per second", show(|opened| opened.rate, 0));
    row("50 % open after ms", show(|opened| opened.half, 1));
    row("99 % after ms", show(|opened| opened.most, 1));
    row("all after ms", show(|opened| opened.all, 1));
    row("server CPU, µs each", show(|opened| opened.cpu, 1));
    report.line("");
    report.check(
        true,
        "every handshake succeeded, and a message reached each member of each group once",
    );
    Ok(())
}

/// A calm opening, and a storm.
struct Round([Opened; 2]);

/// How opening went, in milliseconds from the beginning.
struct Opened {
    half: f64,
    most: f64,
    all: f64,
    rate: f64,
    /// Microseconds for each.
    cpu: f64,
}

impl Round {
    fn measure(hub: &Hub, clients: usize) -> Result<Self, String> {
        let server = hub.start(&[])?;
        let cpu = || server.cpu_at_rest().map_err(|error| error.to_string());
        let open = |at_once| {
            let opening = Opening {
                at_once,
                ..Opening::short()
            };
            Crowd::open_timed(server.address, groups::paths(10, clients), opening)
        };
        let before = cpu()?;
        let (mut crowd, opened) = open(64)?;
        let calm = Opened::new(&opened, cpu()? - before);
        groups::everyone_gets(&mut crowd, 100)?;

        // The server's work for clients that leave is part of the storm, in time as in CPU.
        let before = cpu()?;
        drop(crowd);
        let (mut crowd, opened) = open(usize::MAX)?;
        let storm = Opened::new(&opened, cpu()? - before);
        groups::everyone_gets(&mut crowd, 100)?;
        Ok(Self([calm, storm]))
    }
}

impl Opened {
    fn new(opened: &[Duration], cpu: u64) -> Self {
        let count = opened.len();
        let at = |share: f64| {
            let place = ((count as f64 * share).ceil() as usize).saturating_sub(1);
            opened.get(place).copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        let all = at(1.0);
        Self {
            half: at(0.5),
            most: at(0.99),
            all,
            rate: count as f64 / all * 1000.0,
            cpu: cpu as f64 / 1000.0 / count as f64,
        }
    }
}
