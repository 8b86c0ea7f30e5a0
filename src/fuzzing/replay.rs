//! The kept inputs of each fuzz target, through the same function, with every `cargo test`.
#![allow(
    clippy::unwrap_used,
    reason = "a corpus that cannot be read should panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

macro_rules! replayed {
    ($($(#[$feature:meta])? $target:ident),*) => {
        $($(#[$feature])?
        #[test]
        fn $target() {
            replay(stringify!($target), super::$target);
        })*

        const TARGETS: &[&str] = &[$(stringify!($target)),*];
    };
}

replayed!(
    codec,
    #[cfg(feature = "deflate")]
    deflate,
    events,
    handshake,
    names,
    outgoing,
    urls
);

#[test]
fn every_target_is_replayed() {
    let Some(folder) = folder() else {
        return;
    };
    for target in fs::read_dir(folder.join("fuzz_targets")).unwrap() {
        let path = target.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            TARGETS.contains(&name),
            "fuzz target {name} is not replayed"
        );
    }
}

fn replay(name: &str, target: fn(&[u8])) {
    let Some(folder) = folder() else {
        return;
    };
    let inputs = inputs(&folder.join("corpus").join(name));
    assert!(!inputs.is_empty(), "tests/fuzz/corpus/{name} is empty");
    for (file, bytes) in inputs {
        // The last line of a test that fails names the input.
        eprintln!("{file}");
        target(&bytes);
    }
}

/// `tests/fuzz`; `None` in a published package, whose manifest cargo rewrote: it leaves out what is
/// a package of its own.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_published = root.join("Cargo.toml.orig").exists();
    (!is_published).then(|| root.join("tests/fuzz"))
}

/// The files of one target's corpus with their paths, for the log of a test that fails.
fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder);
    let files = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    inputs
}
