//! The tables, in Markdown.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use crate::common::machine::Cores;
use crate::common::spread::Spread;
use crate::measure::Sample;
use crate::options::Options;
use crate::programs::{Kind, Program};
use crate::rows::{Goal, Row, Work};

pub(crate) struct Report {
    rounds: usize,
    quick: bool,
    rows: Vec<Row>,
    /// By row and program, one for each round; `None` where it failed.
    samples: BTreeMap<(usize, &'static str), Vec<Option<Sample>>>,
    skipped: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            rounds: options.rounds,
            quick: options.quick,
            rows: Vec::new(),
            samples: BTreeMap::new(),
            skipped: Vec::new(),
            failures: Vec::new(),
        }
    }

    pub(crate) fn add_row(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(crate) fn skip(&mut self, row: &Row, descriptors: usize) {
        let (name, needed) = (&row.name, row.descriptors());
        self.skipped.push(format!(
            "Skipped: {name}, which needs {needed} descriptors, since the limit is {descriptors} (`ulimit -Hn`)."
        ));
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn add(&mut self, row: usize, program: &Program, outcome: Result<Sample, String>) {
        let samples = self.samples.entry((row, program.name)).or_default();
        match outcome {
            Ok(sample) => samples.push(Some(sample)),
            Err(error) => {
                samples.push(None);
                let (row, program) = (&self.rows[row].name, program.name);
                eprintln!("error: {error}");
                self.failures.push(format!("{row}: {program}: {error}"));
            }
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.failures.is_empty()
    }

    pub(crate) fn print(&self, programs: &[Program], cores: &Cores) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.print_conditions(&mut out, cores)?;
        self.print_costs(&mut out, programs)?;
        self.print_goals(&mut out, programs)?;
        for skipped in &self.skipped {
            writeln!(out, "\n{skipped}")?;
        }
        for failure in &self.failures {
            writeln!(out, "\nFailed: {failure}")?;
        }
        out.flush()
    }

    fn print_conditions(&self, out: &mut impl Write, cores: &Cores) -> io::Result<()> {
        let quick = if self.quick { ", quick ones" } else { "" };
        let (rounds, conditions) = (self.rounds, cores.conditions()?);
        writeln!(
            out,
            "{rounds} rounds{quick}, medians and spread; {conditions}.\n"
        )
    }

    fn print_costs(&self, out: &mut impl Write, programs: &[Program]) -> io::Result<()> {
        writeln!(
            out,
            "| work | server | cost | spread | × floor | spread | × axum | per second | system calls | runtime |"
        )?;
        writeln!(
            out,
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for (index, row) in self.rows.iter().enumerate() {
            for program in programs {
                let Some(cost) = self.spread(index, program, |sample| Some(sample.cost)) else {
                    continue;
                };
                let unit = Unit::of(row);
                let multiple = self.multiples(index, program, programs, Kind::Floor);
                // The floor keeps next to nothing, so that a multiple of its bytes says nothing.
                let multiple = multiple.filter(|_| unit == Unit::Time);
                let of_axum = self.multiples(index, program, programs, Kind::Axum);
                let rate = self.spread(index, program, |sample| sample.rate);
                let calls = self.spread(index, program, |sample| sample.calls);
                writeln!(
                    out,
                    "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    row.name,
                    program.name,
                    unit.show(cost.median),
                    cost.range(|value| unit.number(value)),
                    show(multiple, |spread| format!("{:.2}", spread.median)),
                    show(multiple, |spread| spread
                        .range(|value| format!("{value:.2}"))),
                    show(of_axum, |spread| format!("{:.2}", spread.median)),
                    show(rate, |spread| format!("{:.0}", spread.median)),
                    show(calls, |spread| format!("{:.3}", spread.median)),
                    self.runtime(index, program),
                )?;
            }
        }
        Ok(())
    }

    fn print_goals(&self, out: &mut impl Write, programs: &[Program]) -> io::Result<()> {
        writeln!(
            out,
            "\n| work | server | reached | must reach | aims at | |"
        )?;
        writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
        let rows = self.rows.iter().enumerate();
        for (index, row, goal) in rows.filter_map(|(at, row)| Some((at, row, row.goal?))) {
            for hub in programs.iter().filter(|program| program.is_hub()) {
                let reached = match goal {
                    Goal::Multiple { .. } => self.multiples(index, hub, programs, Kind::Floor),
                    Goal::Bytes { .. } => self.spread(index, hub, |sample| Some(sample.cost)),
                };
                if let Some(reached) = reached {
                    let (row, hub) = (&row.name, hub.name);
                    writeln!(out, "| {row} | {hub} | {} |", goal.judge(reached.median))?;
                }
            }
        }
        Ok(())
    }

    /// The costs as multiples of another program's in the same round.
    fn multiples(
        &self,
        row: usize,
        program: &Program,
        programs: &[Program],
        base: Kind,
    ) -> Option<Spread> {
        let base = programs.iter().find(|program| program.kind == base)?;
        let base = self.samples.get(&(row, base.name))?;
        let own = self.samples.get(&(row, program.name))?;
        let rounds = own.iter().zip(base);
        Spread::of(rounds.filter_map(|(own, base)| Some((*own)?.cost / (*base)?.cost)))
    }

    fn spread(
        &self,
        row: usize,
        program: &Program,
        value: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let samples = self.samples.get(&(row, program.name))?;
        Spread::of(samples.iter().flatten().filter_map(value))
    }

    fn runtime(&self, row: usize, program: &Program) -> String {
        let samples = self.samples.get(&(row, program.name)).into_iter();
        let workers = samples.flatten().flatten().map(|sample| sample.workers);
        match workers.max() {
            None | Some(0) => program.flavour.to_owned(),
            Some(1) => format!("{}, 1 worker", program.flavour),
            Some(workers) => format!("{}, {workers} workers", program.flavour),
        }
    }
}

impl Goal {
    /// The result beside the aim, as cells.
    fn judge(self, reached: f64) -> String {
        let (must, aim, digits) = match self {
            Self::Multiple { must, aim } => (must, aim, 2),
            Self::Bytes { must, aim } => (must, aim, 0),
        };
        // As it is shown, so that 1.10 does not miss 1.10.
        let precision = 10_f64.powi(digits);
        let shown = (reached * precision).round() / precision;
        let verdict = if shown <= aim {
            "as aimed"
        } else if shown <= must {
            "reached"
        } else {
            "**missed**"
        };
        let digits = digits as usize;
        format!("{reached:.digits$} | {must:.digits$} | {aim:.digits$} | {verdict}")
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Time,
    Bytes,
}

impl Unit {
    const fn of(row: &Row) -> Self {
        match row.work {
            Work::Steady { .. } | Work::Handshakes => Self::Time,
            Work::Idle { .. } => Self::Bytes,
        }
    }

    fn show(self, value: f64) -> String {
        let number = self.number(value);
        match self {
            Self::Time => format!("{number} µs"),
            Self::Bytes => format!("{number} B"),
        }
    }

    fn number(self, value: f64) -> String {
        match self {
            Self::Time => format!("{:.2}", value / 1000.0),
            Self::Bytes => format!("{value:.0}"),
        }
    }
}

fn show(spread: Option<Spread>, text: impl Fn(Spread) -> String) -> String {
    spread.map_or_else(|| "–".to_owned(), text)
}
