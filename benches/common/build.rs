//! Builds what is measured, as it is published: the release profile.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds `examples/hub` with these features of the crate, separated by commas.
pub(crate) fn hub(features: &str) -> Result<PathBuf, String> {
    let target = target()?;
    let arguments = ["--example", "hub", "--features", features];
    cargo(&root().join("Cargo.toml"), &target, &arguments)?;
    Ok(target.join("release/examples/hub"))
}

/// The programs of `benches/peers/`, and the folder they lie in.
pub(crate) fn peers() -> Result<PathBuf, String> {
    let target = target()?.join("peers");
    let manifest = root().join("benches/peers/Cargo.toml");
    cargo(&manifest, &target, &["--bins"])?;
    Ok(target.join("release"))
}

/// The folder that cargo builds into: this program is TARGET/release/deps/NAME-….
fn target() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(own
        .ancestors()
        .nth(3)
        .map_or_else(|| root().to_owned(), Path::to_owned))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(manifest: &Path, target: &Path, more: &[&str]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsStr::new("cargo").to_owned());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .args(more)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build of {}: {status}", manifest.display())),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
