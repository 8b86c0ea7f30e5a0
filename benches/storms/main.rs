//! `hub` under stress: idle memory, readers that stop, a storm of handshakes, a drain, attacks.
//!
//! ```sh
//! cargo bench --bench storms -- [--only TEXT] [--rounds N] [--seconds N] [--attack TEXT] [--spread] [--quick] [--hub PATH]
//! ```
//!
//! Each scenario starts `examples/hub` (release profile, pinned to one core; the load has another),
//! checks what it sees and prints it: a line for each check, `holds` or **fails**, and a table. A
//! failed check is an exit code of 1. Linux and two cores are needed, and 16,000 descriptors for
//! the full sizes. `--only TEXT` runs the scenarios whose name contains the text; `--quick` takes
//! small numbers and one round, to see that everything works. `--hub` measures a hub that was built
//! before.
//!
//! - `idle`: resident bytes for each of 15,000 members of groups of ten, with a short request and
//!   with a browser's, beside sockets in no group. Then each member gets one message of 60 KB, and
//!   no more than 5 % may stay; or sends one, and what the allocator keeps of that is no more after
//!   the third time than one time needs. (`MALLOC_ARENA_MAX=1` beside it shows how much of it is
//!   glibc's arenas.)
//! - `breakdown`: the same members by what they have on the heap, one row for each kind of block,
//!   counted by `valgrind --tool=dhat`.
//! - `slow readers`: 1,000 readers of which ten stop. They end with 4008, the memory stays within
//!   `Config::outgoing`, and the publisher and the others do not notice: their latencies with and
//!   without the ten take turns, and two runs without them show what chance does.
//! - `slow handshakes`: 2,000 clients that send their request byte by byte, one a second, beside
//!   ordinary ones.
//! - `reconnect`: 5,000 clients are cut off and come back at once.
//! - `drain`: 5,000 sockets closed over five seconds, while somebody publishes.
//! - `attacks`: an honest client beside eight attackers of each kind, and alone: echo latency,
//!   handshakes per second, disconnects. Each measurement takes `--seconds`, 3 by default.
//!   `--attack` selects kinds by their name; `--spread` gives the server both cores.

mod attack;
mod attacks;
mod breakdown;
#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod common;
mod crowd;
mod dhat;
mod drain;
mod flood;
mod frames;
mod groups;
mod honest;
mod hub;
mod idle;
mod latency;
mod options;
mod reconnect;
mod report;
mod slow_handshakes;
mod slow_readers;
mod slow_run;

use std::error::Error;
use std::io;
use std::io::Write;
use std::process::ExitCode;

use common::machine;
use common::machine::Cores;
use hub::Hub;
use options::Options;
use report::Report;

fn main() -> ExitCode {
    // A command that runs all targets, such as a test, should not wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("storms: run it with `cargo bench --bench storms`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("storms: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all checks hold.
fn run() -> Result<bool, Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cores = Cores::choose()?;
    machine::raise_descriptors()?;
    machine::pin(cores.load)?;
    let mut report = Report::default();
    let mut out = io::stdout().lock();
    for (name, features, scenario) in SCENARIOS {
        if !name.contains(&options.only) {
            continue;
        }
        let hub = Hub::get(&options, features, cores)?;
        eprintln!("{name}");
        report.line(format_args!("\n## {name}\n"));
        if let Err(error) = scenario(&hub, &options, &mut report) {
            report.fail(error);
        }
        out.write_all(report.take().as_bytes())?;
        out.flush()?;
    }
    writeln!(out, "\n{}.", cores.conditions()?)?;
    Ok(report.failures == 0)
}

/// An error is a check that fails, too.
type Scenario = fn(&Hub, &Options, &mut Report) -> Result<(), String>;

/// Each with the features that `hub` is built with.
const SCENARIOS: [(&str, &str, Scenario); 7] = [
    ("idle", "", idle::run),
    ("breakdown", "", breakdown::run),
    ("slow readers", "", slow_readers::run),
    ("slow handshakes", "", slow_handshakes::run),
    ("reconnect", "", reconnect::run),
    ("drain", "", drain::run),
    ("attacks", "deflate", attacks::run),
];
