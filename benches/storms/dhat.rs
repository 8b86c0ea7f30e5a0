//! Reads the output of `valgrind --tool=dhat`: the blocks on the heap at the end, by the call that
//! allocated them.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// Blocks that one place allocated and that were there at the end.
pub(crate) struct Place {
    pub(crate) bytes: f64,
    pub(crate) blocks: f64,
    /// The calls that led there, the innermost first.
    pub(crate) calls: Vec<String>,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Place>, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("valgrind wrote no {}: {error}", path.display()))?;
    let profile: Profile = serde_json::from_str(&text)
        .map_err(|error| format!("{} is no profile of DHAT: {error}", path.display()))?;
    let places = profile
        .places
        .into_iter()
        .filter(|place| place.blocks > 0.0);
    Ok(places
        .map(|place| Place {
            bytes: place.bytes,
            blocks: place.blocks,
            calls: place
                .calls
                .iter()
                .filter_map(|call| profile.calls.get(*call))
                .map(|call| without_address(call))
                .collect(),
        })
        .collect())
}

/// `0x1234: function (file.rs:5)`.
fn without_address(call: &str) -> String {
    call.split_once(": ")
        .map_or(call, |(_, call)| call)
        .to_owned()
}

/// The parts of DHAT's file, version 2, that are of use here.
#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "pps")]
    places: Vec<Point>,
    #[serde(rename = "ftbl")]
    calls: Vec<String>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(rename = "eb")]
    bytes: f64,
    #[serde(rename = "ebk")]
    blocks: f64,
    #[serde(rename = "fs")]
    calls: Vec<usize>,
}
