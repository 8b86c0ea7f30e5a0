//! A group in which some stop reading, and whether the others notice.

use std::time::Duration;

use crate::common::spread::Spread;
use crate::hub::Hub;
use crate::options::Options;
use crate::report::Report;
use crate::slow_run;
use crate::slow_run::{Plan, Run};

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let mut runs = Runs::default();
    for round in 0..options.rounds {
        // In another order each time.
        for turn in 0..3 {
            let which = (round + turn) % 3;
            eprintln!(
                "round {} of {}: {}",
                round + 1,
                options.rounds,
                NAMES[which]
            );
            runs.of(which).push(slow_run::run(hub, PLAN, which == 1)?);
        }
    }
    report.line(format_args!(
        "One publisher, {} readers, a message of {} bytes every {} ms for {} s; `Config::outgoing` is {} KiB, the kernel's send buffer {} KiB. In each round a run without \
         slow readers, one in which {} stop reading at the beginning, and another one without. Milliseconds, medians and spread of {} rounds.",
        PLAN.readers,
        PLAN.length,
        PLAN.pace.as_millis(),
        PLAN.time.as_secs(),
        PLAN.outgoing / 1024,
        PLAN.send_buffer / 1024,
        PLAN.slow,
        options.rounds,
    ));
    report.head([
        "",
        "without",
        "with ten",
        "without, again",
        "with ÷ without",
        "again ÷ without",
    ]);
    for (at, name) in LATENCIES.into_iter().enumerate() {
        let all = [&runs.without, &runs.with, &runs.again];
        let [without, with, again] = all.map(|runs| show(runs.iter().map(|run| run.latencies[at])));
        let ratios = [&runs.with, &runs.again].map(|these| show(ratios(these, &runs.without, at)));
        let [slow, chance] = ratios;
        report.row([name, &without, &with, &again, &slow, &chance]);
    }
    report.line("");
    runs.check_latencies(report);
    runs.check_memory(report);
    runs.check_ends(report);
    Ok(())
}

#[derive(Default)]
struct Runs {
    without: Vec<Run>,
    with: Vec<Run>,
    again: Vec<Run>,
}

impl Runs {
    const fn of(&mut self, which: usize) -> &mut Vec<Run> {
        match which {
            0 => &mut self.without,
            1 => &mut self.with,
            _ => &mut self.again,
        }
    }

    /// With the ten it should be no more than two runs without them differ by chance.
    fn check_latencies(&self, report: &mut Report) {
        if self.with.len() < 3 {
            return report.line("Too few rounds to compare latencies.");
        }
        for (at, name) in LATENCIES.into_iter().enumerate() {
            let slow = Spread::of(ratios(&self.with, &self.without, at));
            let chance = Spread::of(ratios(&self.again, &self.without, at));
            let (Some(slow), Some(chance)) = (slow, chance) else {
                continue;
            };
            // Which of the two came first is chance, too.
            let most = chance.most.max(1.0 / chance.least);
            let median = slow.median;
            let what = format!("{name}: × {median:.2} with the ten, up to × {most:.2} by chance");
            report.check(median <= most, what);
        }
    }

    fn check_memory(&self, report: &mut Report) {
        let most = |runs: &[Run]| runs.iter().map(|run| run.growth).max().unwrap_or(0) / 1024;
        let base = most(&self.without).max(most(&self.again));
        let slow = most(&self.with);
        let limit = (PLAN.slow * (PLAN.outgoing + CHUNK) / 1024) as u64;
        let what = format!(
            "resident memory grew by at most {slow} KiB with the ten, by {base} KiB without; their queues may take {limit} KiB"
        );
        report.check(slow.saturating_sub(base) <= limit, what);
    }

    fn check_ends(&self, report: &mut Report) {
        for run in &self.with {
            let ends = &run.ends;
            let (all, closed, told) = (PLAN.slow, ends.in_closed, ends.on_the_wire);
            let (first, last) = (ends.first.as_secs_f64(), ends.last.as_secs_f64());
            let what = format!(
                "{closed} of {all} had 4008 in `Closed`, from {first:.1} s to {last:.1} s after they stopped"
            );
            report.check(closed == all, what);
            let messages = ends.messages;
            let what = format!(
                "{told} had 4008 on the wire, of one that read on in time, behind {messages} messages without a gap"
            );
            report.check(told > 0, what);
        }
    }
}

/// These runs' values divided by the others', round by round.
fn ratios<'a>(runs: &'a [Run], base: &'a [Run], at: usize) -> impl Iterator<Item = f64> + 'a {
    let pairs = runs.iter().zip(base);
    pairs.map(move |(run, base)| run.latencies[at] / base.latencies[at])
}

fn show(values: impl Iterator<Item = f64>) -> String {
    Spread::of(values).map_or_else(String::new, |spread| {
        let range = spread.range(|value| format!("{value:.2}"));
        format!("{:.2} ({range})", spread.median)
    })
}

const PLAN: Plan = Plan {
    readers: 1000,
    slow: 10,
    // Short enough that a queue holds a copy of its own.
    length: 2000,
    pace: Duration::from_millis(20),
    // A queue is full after seven or eight.
    time: Duration::from_secs(12),
    outgoing: 512 * 1024,
    // Else the kernel takes four megabytes for each first, and the runs are so much longer.
    send_buffer: 64 * 1024,
};
const NAMES: [&str; 3] = ["without", "with ten", "without, again"];
/// As in [`Run::latencies`].
const LATENCIES: [&str; 6] = [
    "publisher, p50",
    "publisher, p99",
    "publisher, most",
    "the others, p50",
    "the others, p99",
    "the others, most",
];
/// A queue grows by chunks of so much.
const CHUNK: usize = 16 * 1024;
