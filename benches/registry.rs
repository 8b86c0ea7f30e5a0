//! The cost of joining and leaving a group, by the size of the group and by the number of
//! groups.
//!
//! ```sh
//! cargo bench --bench registry
//! ```
//!
//! Through the public interface: channels of a memory layer, `group_add` and `group_discard`, each
//! awaited. A batch is a thousand channels that join, spread over the groups, and leave again; the
//! number is the time of a batch divided by a thousand. *Filling* is the same for all members as
//! they join empty groups one after the other, growth of the tables included. One thread, no
//! socket.

use std::error::Error;
use std::hint::black_box;
use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use strait::ChannelLayer;
use strait::layer::{Channel, GroupName};

fn main() -> ExitCode {
    // A command that runs all targets, such as a test, should not wait for this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("registry: run it with `cargo bench --bench registry`");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "Nanoseconds for an operation, least and median of {BATCHES} batches.\n"
    )?;
    writeln!(
        out,
        "| groups | members each | joining, least | median | leaving, least | median | filling |"
    )?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |")?;
    for (groups, members) in SHAPES {
        let row = runtime.block_on(measure(groups, members))?;
        let [joining, leaving] = [row.joining, row.leaving].map(|mut batches| {
            batches.sort();
            let median = per(batches[batches.len() / 2], BATCH);
            format!("{:.0} | {median:.0}", per(batches[0], BATCH))
        });
        let filling = per(row.filling, groups * members);
        writeln!(
            out,
            "| {groups} | {members} | {joining} | {leaving} | {filling:.0} |"
        )?;
    }
    Ok(())
}

struct Row {
    joining: Vec<Duration>,
    leaving: Vec<Duration>,
    filling: Duration,
}

async fn measure(groups: usize, members: usize) -> Result<Row, Box<dyn Error>> {
    let layer = ChannelLayer::memory();
    let names = (0..groups).map(|group| GroupName::try_from(format!("group_{group}")));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let mut residents = channels(&layer, groups * members);
    let filling = join(&mut residents, &names).await?;

    let mut row = Row {
        joining: Vec::new(),
        leaving: Vec::new(),
        filling,
    };
    let mut guests = channels(&layer, BATCH);
    for _ in 0..BATCHES {
        row.joining.push(join(&mut guests, &names).await?);
        row.leaving.push(leave(&mut guests, &names)?);
    }
    check(&layer, &names, members).await?;
    black_box(residents);
    Ok(row)
}

fn channels(layer: &ChannelLayer, count: usize) -> Vec<Channel> {
    (0..count).map(|_| layer.new_channel()).collect()
}

/// Each of the channels joins the next group.
async fn join(channels: &mut [Channel], names: &[GroupName]) -> Result<Duration, strait::Error> {
    let start = Instant::now();
    for (channel, name) in channels.iter_mut().zip(names.iter().cycle()) {
        channel.group_add(name).await?;
    }
    Ok(start.elapsed())
}

/// Each leaves the group that it joined.
fn leave(channels: &mut [Channel], names: &[GroupName]) -> Result<Duration, strait::Error> {
    let start = Instant::now();
    for (channel, name) in channels.iter_mut().zip(names.iter().cycle()) {
        channel.group_discard(name)?;
    }
    Ok(start.elapsed())
}

/// Whether the residents are members, and the guests are not.
async fn check(layer: &ChannelLayer, names: &[GroupName], members: usize) -> Result<(), String> {
    let event = serde_json::json!({ "type": "tick" });
    for name in [names.first(), names.last()].into_iter().flatten() {
        let sent = layer.group_send(name, &event).await;
        let receivers = sent.map_err(|error| error.to_string())?.receivers;
        if receivers != members {
            return Err(format!(
                "{name} has {receivers} members instead of {members}"
            ));
        }
    }
    Ok(())
}

fn per(time: Duration, operations: usize) -> f64 {
    time.as_nanos() as f64 / operations as f64
}

/// Groups, and members of each.
const SHAPES: [(usize, usize); 8] = [
    (1000, 10),
    (100, 100),
    (10, 1000),
    (1, 10_000),
    (1, 100_000),
    (10_000, 10),
    (100_000, 1),
    (100, 1000),
];
const BATCH: usize = 1000;
const BATCHES: usize = 25;
