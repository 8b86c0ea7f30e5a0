//! Cases of groups' names: all that are allowed, and each by itself.

use std::collections::BTreeSet;
use std::slice::from_mut;

use super::checks::{Outcome, next, note, nothing_more, same};
use super::nodes::{Nodes, member};

pub(super) async fn every_name_is_a_group_of_its_own(nodes: &Nodes<'_>) -> Outcome {
    let names = names(nodes);
    let mut members = Vec::new();
    for name in &names {
        members.push(member(nodes.there(), name).await?);
    }
    for (n, name) in (0..).zip(&names) {
        nodes.here().group_send(name.as_str(), &note(n)).await?;
        nodes.here().group_broadcast(name.as_str(), "x").await?;
    }
    for ((n, name), member) in (0..).zip(&names).zip(&mut members) {
        let got = next(member).await;
        let got = got.map_err(|why| format!("group {name:?}: {why}"))?;
        same(&format!("group {name:?}"), got, n)?;
    }
    nothing_more(&mut members).await?;
    // Leaving one group does not affect the other.
    for (name, member) in names.iter().zip(&mut members).step_by(2) {
        member.group_discard(name.as_str())?;
    }
    for ((n, name), member) in (0..).zip(&names).zip(&mut members).skip(1).step_by(2) {
        nodes.here().group_send(name.as_str(), &note(n)).await?;
        same(&format!("group {name:?}"), next(member).await?, n)?;
        nothing_more(from_mut(member)).await?;
    }
    Ok(())
}

/// Those that a mapping to a backend's own names might confuse, and the longest.
fn names(nodes: &Nodes<'_>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = TAILS.iter().map(|tail| nodes.group(tail)).collect();
    let base = nodes.group("long");
    let longest = format!("{base}{}", "-".repeat(99 - base.len()));
    names.insert(longest[..98].to_owned());
    names.insert(longest);
    names.insert(format!("{base}{}", ".".repeat(99 - base.len())));
    // As they are, without the prefix of this case.
    names.extend(["-", "_", ".", "..", "0", "Z", ".a", "a.", "a..b"].map(str::to_owned));
    names
}

const TAILS: &[&str] = &[
    "a", "A", "a.b", "a_b", "a-b", "a..b", "a.b.", ".a.b", "a.b.c", "a_.b", "a_2eb", "a_2Eb",
    "a_5fb", "a__b", "a.2eb", "aB", "ab", "AB", "g.a", "n.a", "-", "_", ".", "...", "0", "00",
    "9Zz-_.",
];
