//! The heap of an idle member, block by block.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::common::request::Headers;
use crate::crowd::{Crowd, Opening};
use crate::dhat::Place;
use crate::groups::TEN;
use crate::hub::Hub;
use crate::options::Options;
use crate::report::Report;
use crate::{dhat, groups};

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
    report.line(format_args!(
        "On the heap of a server with {} members of groups of 10, less what is there with {members}, for each member.",
        2 * members
    ));
    for (name, headers) in [("Short", Headers::Short), ("A browser's", Headers::Browser)] {
        let less = kinds(&profile(hub, members, headers)?);
        let more = kinds(&profile(hub, 2 * members, headers)?);
        report.line(format_args!("\n{name} request:"));
        table(&less, &more, members, report);
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
    // Files in the folder for temporary files are lost at some time anyway.
    let _ = std::fs::remove_file(&file);
    places
}

/// What, and where.
type Label = (String, String);

/// Blocks that one line of ours allocated.
#[derive(Clone, Copy, Default)]
struct Kind {
    bytes: f64,
    /// As the allocator takes them.
    taken: f64,
    blocks: f64,
}

fn kinds(places: &[Place]) -> BTreeMap<Label, Kind> {
    let mut kinds: BTreeMap<_, Kind> = BTreeMap::new();
    for place in places {
        let kind = kinds.entry(label(&place.calls)).or_default();
        kind.bytes += place.bytes;
        kind.taken += place.blocks * taken(place.bytes / place.blocks);
        kind.blocks += place.blocks;
    }
    kinds
}

fn table(
    less: &BTreeMap<Label, Kind>,
    more: &BTreeMap<Label, Kind>,
    members: usize,
    report: &mut Report,
) {
    let each = |more: f64, less: f64| (more - less) / members as f64;
    let difference = |(label, more): (&Label, &Kind)| {
        let less = less.get(label).copied().unwrap_or_default();
        let kind = Kind {
            bytes: each(more.bytes, less.bytes),
            taken: each(more.taken, less.taken),
            blocks: each(more.blocks, less.blocks),
        };
        (label.clone(), kind)
    };
    let mut kinds: Vec<_> = more.iter().map(difference).collect();
    kinds.sort_by(|(_, a), (_, b)| b.taken.total_cmp(&a.taken));
    let sum = |of: fn(&Kind) -> f64| kinds.iter().map(|(_, kind)| of(kind)).sum::<f64>();
    let together = Kind {
        bytes: sum(|kind| kind.bytes),
        taken: sum(|kind| kind.taken),
        blocks: sum(|kind| kind.blocks),
    };
    report.head([
        "bytes",
        "as malloc takes them",
        "blocks",
        "what",
        "allocated in",
    ]);
    let mut row = |what: &str, place: &str, kind: &Kind| {
        let [bytes, taken] = [kind.bytes, kind.taken].map(|bytes| format!("{bytes:.0}"));
        report.row([&bytes, &taken, &format!("{:.2}", kind.blocks), what, place]);
    };
    // The rest, hundreds of kinds, comes to nothing.
    for ((what, place), kind) in &kinds {
        if kind.taken.abs() >= LEAST {
            row(&quoted(what), &quoted(place), kind);
        }
    }
    row("all", "", &together);
}

/// The allocated type, if it is known, and the innermost call of this crate, or else of another.
fn label(calls: &[String]) -> (String, String) {
    let boxed = calls.iter().find_map(|call| call.strip_prefix("new<"));
    let what = boxed.and_then(|call| Some(without_paths(call.rsplit_once("> (")?.0)));
    let is_of = |call: &&String, name: &str| call.trim_start_matches(['<', '&']).starts_with(name);
    let place = ["strait::", "hub::", "tokio::", "hyper::"]
        .into_iter()
        .find_map(|name| calls.iter().find(|call| is_of(call, name)));
    let place = place.or_else(|| calls.first()).cloned();
    (what.unwrap_or_default(), place.unwrap_or_default())
}

fn quoted(code: &str) -> String {
    if code.is_empty() {
        return String::new();
    }
    format!("`{code}`")
}

/// `alloc::sync::ArcInner<strait::scope::Inner>` is `ArcInner<Inner>`.
fn without_paths(name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut short = String::new();
    for part in name.split("::") {
        // The part before the colons was the name of a module.
        short.truncate(short.trim_end_matches(is_word).len());
        short.push_str(part);
    }
    short
}

/// The size of a block of glibc's malloc: eight bytes more, in steps of 16, at least 32. More where
/// the block is aligned.
fn taken(size: f64) -> f64 {
    let size = size.round() as u64;
    ((size + 8).next_multiple_of(16)).max(32) as f64
}

/// Bytes from which on a kind has a row of its own.
const LEAST: f64 = 2.0;
