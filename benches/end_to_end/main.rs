//! The CPU time that an operation costs the server: `hub` beside a bare epoll loop and beside
//! hand-written servers.
//!
//! ```sh
//! cargo bench --bench end_to_end -- [--rounds N] [--quick] [--only TEXT] [--sizes] [--strace]
//! ```
//!
//! - Builds `examples/hub` and the peers of `benches/peers/`, then lets them take turns, `N` rounds
//!   (default 5). `--quick` is one short round, to see that everything works; its numbers mean
//!   little.
//! - The floor is there twice: writing together what came together, which is what the others are
//!   compared with, and frame by frame, where more than one is in flight. So is `hub`: on a runtime
//!   with workers, and on one without.
//! - `--only TEXT`: the rows whose name contains the text.
//! - `--sizes`: other rows, the cost of a delivery by the number of members and of groups.
//! - `--strace`: system calls too, counted by strace in an extra run after the timed one.
//!
//! The server is pinned to one core and the load to another, so Linux and two cores are needed. CPU
//! time is the scheduler's own count (`/proc/PID/task/*/schedstat`), read while the server rests.
//! Each payload is compared; a lost, repeated or reordered one is an error that says how many.
//! `storms` measures floods, storms of handshakes and drains, `registry` the registry by itself.

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod common;
mod fleet;
mod handshakes;
mod measure;
mod options;
mod programs;
mod report;
mod rows;
mod strace;

use std::error::Error;
use std::process::ExitCode;

use common::machine;
use common::machine::Cores;
use measure::measure;
use options::Options;
use programs::Program;
use report::Report;

fn main() -> ExitCode {
    // A command that runs all targets, such as a test, should not wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("end_to_end: run it with `cargo bench --bench end_to_end`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("end_to_end: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all rows could be measured.
fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let programs = Program::build_all()?;
    let descriptors = machine::raise_descriptors()?;
    let cores = Cores::choose()?;
    let mut report = Report::new(&options);
    for row in options.rows() {
        if row.descriptors() > descriptors {
            report.skip(&row, descriptors);
            continue;
        }
        report.add_row(row);
    }
    for round in 0..options.rounds {
        for index in 0..report.rows().len() {
            let row = report.rows()[index].clone();
            // A different one begins in each round.
            for turn in 0..programs.len() {
                let program = &programs[(round + turn) % programs.len()];
                if !program.is_for(&row, options.sizes) {
                    continue;
                }
                eprintln!(
                    "round {} of {}: {}: {}",
                    round + 1,
                    options.rounds,
                    row.name,
                    program.name
                );
                let outcome = measure(program, &row, &cores, &options);
                report.add(index, program, outcome);
            }
        }
    }
    report.print(&programs, &cores)?;
    Ok(report.is_complete())
}
