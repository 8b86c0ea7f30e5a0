//! What a resting member has on the heap, block by block.

use std::collections::BTreeMap;
use std::process::Command;
use std::process::Stdio;

use rustix::process::Signal;

use crate::common::request::Headers;
use crate::crowd::Crowd;
use crate::crowd::Opening;
use crate::dhat;
use crate::dhat::Place;
use crate::groups;
use crate::groups::TEN;
use crate::hub::Hub;
use crate::options::Options;
use crate::report::Report;

pub(crate) fn run(hub: &Hub, options: &Options, report: &mut Report) -> Result<(), String> {
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !valgrind.is_ok_and(|status| status.success()) {
        report.line("Skipped: there is no valgrind.");
        return Ok(());
    }
    let members = options.size(1000, 200);
    for (name, headers) in [("short", Headers::Short), ("a browser's", Headers::Browser)] {
        let places = profile(hub, members, headers)?;
        table(name, &places, members, report);
    }
    Ok(())
}

fn profile(hub: &Hub, members: usize, headers: Headers) -> Result<Vec<Place>, String> {
    let id = std::process::id();
    let file = std::env::temp_dir().join(format!("storms-{id}.dhat"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=dhat", "--num-callers=40"])
        .arg(format!("--dhat-out-file={}", file.display()));
    let server = hub.start_through(valgrind, &[])?;
    let opening = Opening {
        headers,
        // The last one's handshake is over when it rests.
        at_once: 8,
    };
    let crowd = Crowd::open(server.address, groups::paths(TEN, members), opening)?;
    server.cpu_at_rest().map_err(|error| error.to_string())?;
    // Not a signal that hub knows: it would tidy up.
    server.signal(Signal::QUIT)?;
    server.wait()?;
    drop(crowd);
    let places = dhat::read(&file);
    // What lies in the folder for temporary files is lost at some time anyway.
    let _ = std::fs::remove_file(&file);
    places
}

/// Blocks of one size from one place of ours.
#[derive(Default)]
struct Kind {
    bytes: f64,
    blocks: f64,
}

fn table(request: &str, places: &[Place], members: usize, report: &mut Report) {
    let members = members as f64;
    let mut kinds: BTreeMap<(String, u64), Kind> = BTreeMap::new();
    for place in places {
        let size = (place.bytes / place.blocks).round();
        let kind = kinds.entry((label(&place.calls), size as u64)).or_default();
        kind.bytes += place.bytes;
        kind.blocks += place.blocks;
    }
    // What there is once for a group of ten belongs to its members, what there is once or twice does not.
    kinds.retain(|_, kind| kind.blocks >= members / (2 * TEN) as f64);
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|(_, a), (_, b)| b.bytes.total_cmp(&a.bytes));
    report.line("");
    report.line(format_args!(
        "{request} request, on the heap for each of {members} members of groups of 10:"
    ));
    report.head([
        "bytes",
        "as malloc takes it",
        "blocks",
        "of bytes",
        "allocated by",
    ]);
    let (mut bytes, mut taken, mut blocks) = (0.0, 0.0, 0.0);
    for ((place, size), kind) in kinds {
        let each = malloc(size) as f64 * kind.blocks / members;
        report.row([
            format!("{:.0}", kind.bytes / members),
            format!("{each:.0}"),
            format!("{:.2}", kind.blocks / members),
            size.to_string(),
            format!("`{place}`"),
        ]);
        bytes += kind.bytes / members;
        taken += each;
        blocks += kind.blocks / members;
    }
    report.row([
        &format!("**{bytes:.0}**"),
        &format!("**{taken:.0}**"),
        &format!("{blocks:.2}"),
        "",
        "together",
    ]);
}

/// The innermost call in this crate, or in the one that is the nearest.
fn label(calls: &[String]) -> String {
    let of = |names: &[&str]| {
        calls.iter().find(|call| {
            let call = call.trim_start_matches(['<', '&']);
            names.iter().any(|name| call.starts_with(name))
        })
    };
    let call = of(&["strait::"]).or_else(|| of(&["tokio::", "hyper::", "hub::", "std::thread"]));
    call.or(calls.first()).cloned().unwrap_or_default()
}

/// What glibc's malloc takes for a block: eight bytes more, in steps of 16, at least 32.
const fn malloc(size: u64) -> u64 {
    let taken = (size + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}
