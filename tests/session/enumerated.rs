//! Every sequence, for every stage; and one alone.

use std::env;
use std::panic::set_hook;
use std::panic::take_hook;
use std::sync::Once;

use super::act::ACTS;
use super::act::Act;
use super::act::STAGES;
use super::act::Stage;
use super::actor::SECRET;
use super::model::Model;
use super::verdict::differences;
use super::world::Hall;

#[test]
fn idle() {
    every_sequence(Stage::Idle, 3670);
}

#[test]
fn in_connect() {
    every_sequence(Stage::Connect, 2664);
}

#[test]
fn in_receive() {
    every_sequence(Stage::Receive, 8629);
}

#[test]
fn in_event() {
    every_sequence(Stage::Event, 8629);
}

#[test]
fn in_disconnect() {
    every_sequence(Stage::Disconnect, 703);
}

#[test]
fn in_disconnect_after_an_own_close() {
    every_sequence(Stage::Closing, 5239);
}

/// The sequence of the environment variable `STRAIT_SEQUENCE`: a stage, then acts, by their names.
#[test]
fn replay() {
    let Ok(sequence) = env::var("STRAIT_SEQUENCE") else {
        return;
    };
    let mut words = sequence.split_whitespace();
    let name = words.next().unwrap_or_default();
    let stage = STAGES
        .into_iter()
        .find(|stage| format!("{stage:?}") == name);
    let act = |word: &str| ACTS.into_iter().find(|act| format!("{act:?}") == word);
    let acts: Option<Vec<_>> = words.map(act).collect();
    let (Some(stage), Some(acts)) = (stage, acts) else {
        panic!("STRAIT_SEQUENCE is no stage and acts: {sequence}");
    };
    let differences = differences(&mut Hall::new(stage), &acts);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Plays all of them, and counts, so that a table that shrinks is noticed.
fn every_sequence(stage: Stage, expected: usize) {
    be_silent_about_wanted_panics();
    let (mut count, mut failures) = (0, Vec::new());
    let mut hall = Hall::new(stage);
    walk(&Model::new(stage), &mut Vec::new(), LENGTH, &mut |acts| {
        count += 1;
        let differences = differences(&mut hall, acts);
        if !differences.is_empty() {
            failures.push(format!(
                "{}\n    {}",
                name(stage, acts),
                differences.join("\n    ")
            ));
        }
    });
    let shown = failures.iter().take(20).cloned().collect::<Vec<_>>();
    assert!(
        failures.is_empty(),
        "{} of {count} sequences fail, among them\n{}",
        failures.len(),
        shown.join("\n")
    );
    assert_eq!(count, expected, "sequences were played");
}

/// Every sequence that can happen, up to a length, the shorter first.
fn walk(model: &Model, acts: &mut Vec<Act>, length: usize, play: &mut impl FnMut(&[Act])) {
    play(acts);
    if acts.len() == length {
        return;
    }
    for act in ACTS {
        if model.can(act) {
            let mut next = model.clone();
            next.act(act);
            acts.push(act);
            walk(&next, acts, length, play);
            acts.pop();
        }
    }
}

fn name(stage: Stage, acts: &[Act]) -> String {
    let acts: Vec<_> = acts.iter().map(|act| format!("{act:?}")).collect();
    format!("{stage:?} {}", acts.join(" "))
}

/// Thousands of hooks panic on purpose.
fn be_silent_about_wanted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            let wanted = panic.payload_as_str().is_some_and(|text| text == SECRET);
            if !wanted {
                told(panic);
            }
        }));
    });
}

/// How many acts one behind the other.
const LENGTH: usize = 3;
