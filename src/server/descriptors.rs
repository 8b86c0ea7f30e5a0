//! File descriptors: whether there are enough, and room for them before the first client comes.

use std::os::fd::{AsFd, RawFd};
use std::sync::Once;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Makes the process ready for this many connections: warns, once, if its limit is lower, and grows
/// the kernel's table of descriptors now. Grown while clients come, the table stops all threads of
/// the process for some milliseconds each time it doubles.
pub(super) fn prepare(listener: impl AsFd, connections: Option<usize>) {
    let allowed = allowed();
    let wanted = wanted(connections);
    if allowed < wanted {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| warn(allowed, connections, wanted));
    }
    if let Some(highest) = highest(allowed, wanted) {
        // The lowest free number from there on, and closed at once; the table stays. If that fails,
        // the table grows later.
        let _ = fcntl_dupfd_cloexec(listener, highest);
    }
}

/// How many files the process may have open.
pub(super) fn allowed() -> u64 {
    // `None` is no limit.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many files the process will have open.
fn wanted(connections: Option<usize>) -> u64 {
    let connections = connections.map(|connections| connections as u64);
    connections.unwrap_or(SENSIBLE).saturating_add(OTHERS)
}

/// The number up to which the table is grown: within what is allowed and what is sensible.
fn highest(allowed: u64, wanted: u64) -> Option<RawFd> {
    let table = allowed.min(wanted.max(TABLE)).min(LARGEST_TABLE);
    RawFd::try_from(table.checked_sub(1)?).ok()
}

fn warn(allowed: u64, connections: Option<usize>, wanted: u64) {
    let connections = connections.map_or_else(
        || format!("a server with no Limits::connections should have {wanted}"),
        |limit| format!("Limits::connections({limit}) needs {wanted}"),
    );
    let hard = getrlimit(Resource::Nofile).maximum;
    let hard = hard.map_or_else(|| "no limit".to_owned(), |hard| hard.to_string());
    tracing::warn!(
        "this process may have {allowed} open files, and {connections}: each connection is one. Beyond it clients wait until \
         others leave. Raise it with `ulimit -n {wanted}` in the shell that starts the program, or LimitNOFILE={wanted} in its systemd \
         unit (the hard limit is {hard})"
    );
}

/// How many connections one would expect to be possible where nobody says.
const SENSIBLE: u64 = 4096 - OTHERS;
/// Listeners, logs, databases, HTTP.
const OTHERS: u64 = 96;
/// The minimum size of the table: 8 bytes for each descriptor, half a megabyte.
const TABLE: u64 = 65_536;
/// And at most: 8 MiB of the kernel's.
const LARGEST_TABLE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::{highest, wanted};

    #[test]
    fn the_table_grows_within_what_is_allowed_and_sensible() {
        let rows = [
            (1024, None, Some(1023)),
            (20_000, None, Some(19_999)),
            (1 << 19, None, Some(65_535)),
            (1 << 19, Some(100_000), Some(100_095)),
            (1 << 19, Some(10), Some(65_535)),
            (u64::MAX, Some(usize::MAX), Some((1 << 20) - 1)),
            (1, None, Some(0)),
            (0, None, None),
        ];
        for (allowed, connections, number) in rows {
            let got = highest(allowed, wanted(connections));
            assert_eq!(got, number, "{allowed} {connections:?}");
        }
    }
}
