//! [`memory_limit`]: how much memory Linux lets this process use.

use std::fs::read_to_string;
use std::path::Path;
use std::sync::OnceLock;

/// Returns the machine's memory or the lowest limit of the control groups that this process is in,
/// in bytes; `None` if the system does not report it. Looked up once.
pub(super) fn memory_limit() -> Option<usize> {
    static LIMIT: OnceLock<Option<usize>> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let total = total(&read_to_string("/proc/meminfo").ok()?)?;
        let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
        let limits = limit_files(&groups).into_iter().filter_map(|file| {
            let text = read_to_string(file).ok()?;
            limit(&text)
        });
        limits.chain([total]).min()
    })
}

/// Parses the total of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files with the limits of these groups and of their parents, from `/proc/self/cgroup`.
///
/// In a container the group itself may be mounted as the root, and the path does not exist under
/// it. So the root is read as well.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for path in Path::new(path).ancestors() {
            let path = path.to_string_lossy();
            files.push(format!("{root}{}/{file}", path.trim_end_matches('/')));
        }
    }
    files
}

/// Parses a limit; `None` for "max" and anything else that is not a number.
fn limit(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{limit, limit_files, memory_limit, total};

    #[test]
    fn files_of_linux_are_parsed() {
        let meminfo = "MemTotal:       16384 kB\nMemFree:         1 kB\n";
        for (text, bytes) in [
            (meminfo, Some(16_777_216)),
            ("MemFree: 1 kB\nMemTotal: 1 kB", Some(1024)),
            ("MemTotal: much", None),
            ("", None),
        ] {
            assert_eq!(total(text), bytes, "{text:?}");
        }
        for (text, bytes) in [
            ("max\n", None),
            ("536870912\n", Some(536_870_912)),
            // Version 1 of control groups writes this for "no limit"; the machine's memory is less.
            ("9223372036854771712\n", Some(9_223_372_036_854_771_712)),
            ("", None),
        ] {
            assert_eq!(limit(text), bytes, "{text:?}");
        }
        let v2 = ["/a/b", "/a", ""].map(|path| format!("/sys/fs/cgroup{path}/memory.max"));
        assert_eq!(limit_files("0::/a/b\n"), v2);
        assert_eq!(limit_files("0::/\n"), v2[2..]);
        let v1 = "12:cpu,cpuacct:/x\n4:memory:/docker/ab:c\nodd";
        let files = ["/docker/ab:c", "/docker", ""]
            .map(|path| format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
        assert_eq!(limit_files(v1), files);
        assert_eq!(limit_files(""), [""; 0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_reports_its_memory() {
        assert!(memory_limit().is_some_and(|bytes| bytes > 16 * 1024 * 1024));
    }
}
