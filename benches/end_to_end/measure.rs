//! One row of one server, once: a fresh process, a warm-up, a measurement between two rests.

use std::time::{Duration, Instant};

use crate::common::machine::Cores;
use crate::common::request::Headers;
use crate::common::server::Server;
use crate::fleet::Fleet;
use crate::handshakes;
use crate::options::Options;
use crate::programs::Program;
use crate::rows::{BURST, Route, Row, Shape, Work};
use crate::strace::Strace;

#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Nanoseconds of CPU for an operation, or bytes.
    pub(crate) cost: f64,
    /// Operations in a second.
    pub(crate) rate: Option<f64>,
    /// System calls for an operation.
    pub(crate) calls: Option<f64>,
    /// Threads of the runtime.
    pub(crate) workers: usize,
}

pub(crate) fn measure(
    program: &Program,
    row: &Row,
    cores: &Cores,
    options: &Options,
) -> Result<Sample, String> {
    let server = program.start(cores)?;
    let measured = match row.work {
        Work::Steady { shape, route } => steady(&server, program, shape, route, options),
        Work::Handshakes => bursts(&server, options),
        Work::Idle { shape, headers } => idle(&server, program, shape, headers),
    }?;
    let workers = server.workers().map_err(|error| error.to_string())?;
    Ok(Sample {
        workers,
        ..measured
    })
}

fn steady(
    server: &Server,
    program: &Program,
    shape: Shape,
    route: Route,
    options: &Options,
) -> Result<Sample, String> {
    let path = |group| program.route(route, group);
    let mut fleet = Fleet::connect(server.address, shape, Headers::Short, path)?;
    // Some join after their 101: at rest all have.
    cpu_at_rest(server)?;
    fleet.run(options.warm_up())?;

    let before = cpu_at_rest(server)?;
    let start = Instant::now();
    let deliveries = fleet.run(options.time())?;
    let elapsed = start.elapsed();
    let after = cpu_at_rest(server)?;
    fleet.expect_nothing()?;
    let calls = count_calls(server, options, || fleet.run(STRACED))?;
    Ok(Sample::new(after - before, deliveries, elapsed, calls))
}

fn bursts(server: &Server, options: &Options) -> Result<Sample, String> {
    handshakes::burst(server.address, BURST)?;
    let (mut cpu, mut elapsed, mut count) = (0, Duration::ZERO, 0);
    let until = Instant::now() + options.time();
    while count == 0 || Instant::now() < until {
        let before = cpu_at_rest(server)?;
        let start = Instant::now();
        let sockets = handshakes::burst(server.address, BURST)?;
        elapsed += start.elapsed();
        cpu += cpu_at_rest(server)? - before;
        count += sockets.len() as u64;
        // Closed here, outside of the measurement.
        drop(sockets);
    }
    cpu_at_rest(server)?;
    let mut straced = Vec::new();
    let calls = count_calls(server, options, || {
        straced = handshakes::burst(server.address, BURST / 10)?;
        Ok(straced.len() as u64)
    })?;
    Ok(Sample::new(cpu, count, elapsed, calls))
}

fn idle(
    server: &Server,
    program: &Program,
    shape: Shape,
    headers: Headers,
) -> Result<Sample, String> {
    let path = |group| program.route(Route::Group, group);
    let few = Shape {
        groups: shape.groups / 50,
        ..shape
    };
    // Memory that comes with the first connections belongs to no member. They stay, or the members
    // would use their memory again.
    let first = Fleet::connect(server.address, few, headers, path)?;
    cpu_at_rest(server)?;
    let resident = || server.resident().map_err(|error| error.to_string());
    let before = resident()?;
    let fleet = Fleet::connect(server.address, shape, headers, path)?;
    cpu_at_rest(server)?;
    let after = resident()?;
    drop((first, fleet));
    Ok(Sample {
        cost: after.saturating_sub(before) as f64 / shape.sockets() as f64,
        rate: None,
        calls: None,
        workers: 0,
    })
}

impl Sample {
    fn new(cpu: u64, operations: u64, elapsed: Duration, calls: Option<f64>) -> Self {
        Self {
            cost: cpu as f64 / operations as f64,
            rate: Some(operations as f64 / elapsed.as_secs_f64()),
            calls,
            workers: 0,
        }
    }
}

fn cpu_at_rest(server: &Server) -> Result<u64, String> {
    server.cpu_at_rest().map_err(|error| error.to_string())
}

/// The server's system calls for each operation of this run, if asked for.
fn count_calls(
    server: &Server,
    options: &Options,
    run: impl FnOnce() -> Result<u64, String>,
) -> Result<Option<f64>, String> {
    if !options.strace {
        return Ok(None);
    }
    let strace = Strace::attach(server.id()).map_err(|error| error.to_string())?;
    let operations = run()?;
    let calls = strace.count().map_err(|error| error.to_string())?;
    Ok(Some(calls as f64 / operations as f64))
}

/// Tracing is slow, and counting needs no length.
const STRACED: Duration = Duration::from_millis(200);
