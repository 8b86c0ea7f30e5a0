//! Every sequence, for every stage; and one alone.

use std::env;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

use super::act::{ACTS, Act, STAGES, Sequence, Stage};
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

/// Four acts behind a hook that waits, of those that hinge on each other.
#[test]
fn four_in_receive() {
    every_sequence_of(&CORE, 4, Stage::Receive, 7015);
}

/// Two acts at once, behind one or none.
#[test]
fn two_at_once() {
    let counts = [1946, 1095, 5047, 5047, 238, 2802];
    for (stage, count) in STAGES.into_iter().zip(counts) {
        every_pair_at_once(stage, count);
    }
}

#[test]
fn a_deadline_that_passes_after_an_own_close_is_not_how_it_ended() {
    assert_agrees(Stage::Receive, "PeerStopsReading GroupFrames PassWrite");
    assert_agrees(
        Stage::Receive,
        "PeerStopsReading GroupFill GateClosesOn PassWrite",
    );
}

#[test]
fn a_hook_that_waits_for_room_does_not_cost_what_its_peer_sent_before_it_left() {
    assert_agrees(
        Stage::Receive,
        "PeerBursts PeerCloses PeerStopsReading GateSends PeerDrops",
    );
}

/// The sequence of the environment variable `STRAIT_SEQUENCE`: a stage, then acts, by their names.
#[test]
fn replay() {
    let Ok(text) = env::var("STRAIT_SEQUENCE") else {
        return;
    };
    let (name, acts) = text.split_once(' ').unwrap_or((&text, ""));
    let stage = STAGES
        .into_iter()
        .find(|stage| format!("{stage:?}") == name);
    let Some(stage) = stage else {
        panic!("STRAIT_SEQUENCE: {name} is no stage");
    };
    assert_agrees(stage, acts);
}

fn assert_agrees(stage: Stage, acts: &str) {
    let differences = differences(&mut Hall::new(stage), &acts.parse().unwrap());
    assert!(differences.is_empty(), "{acts}: {}", differences.join("\n"));
}

/// Plays every sequence of up to three acts, each over before the next.
fn every_sequence(stage: Stage, expected: usize) {
    every_sequence_of(&ACTS, 3, stage, expected);
}

fn every_sequence_of(table: &[Act], length: usize, stage: Stage, expected: usize) {
    let mut trial = Trial::new(stage);
    walk(
        table,
        &Model::new(stage),
        &mut Vec::new(),
        &mut |_, acts| {
            trial.play(&Sequence {
                acts: acts.to_vec(),
                at_once: None,
            });
            acts.len() < length
        },
    );
    trial.conclude(expected);
}

/// Plays every pair of acts that happen at once, behind every one and behind none.
fn every_pair_at_once(stage: Stage, expected: usize) {
    let mut trial = Trial::new(stage);
    walk(
        &ACTS,
        &Model::new(stage),
        &mut Vec::new(),
        &mut |model, acts| {
            for pair in pairs().filter(|&pair| !model.after_both(pair).is_empty()) {
                trial.play(&Sequence {
                    acts: acts.to_vec(),
                    at_once: Some(pair),
                });
            }
            acts.is_empty()
        },
    );
    trial.conclude(expected);
}

/// Goes on from every state, up to the given depth.
fn walk(
    table: &[Act],
    model: &Model,
    acts: &mut Vec<Act>,
    play: &mut impl FnMut(&Model, &[Act]) -> bool,
) {
    if !play(model, acts) {
        return;
    }
    for &act in table.iter().filter(|&&act| model.can(act)) {
        let mut next = model.clone();
        next.act(act);
        acts.push(act);
        walk(table, &next, acts, play);
        acts.pop();
    }
}

fn pairs() -> impl Iterator<Item = [Act; 2]> {
    let moments = || ACTS.into_iter().filter(|act| act.is_one_moment());
    moments().flat_map(move |one| moments().map(move |other| [one, other]))
}

/// Sequences of one stage, and those of them that fail.
struct Trial {
    hall: Hall,
    count: usize,
    failures: Vec<String>,
}

impl Trial {
    fn new(stage: Stage) -> Self {
        be_silent_about_wanted_panics();
        Self {
            hall: Hall::new(stage),
            count: 0,
            failures: Vec::new(),
        }
    }

    fn play(&mut self, sequence: &Sequence) {
        self.count += 1;
        let differences = differences(&mut self.hall, sequence);
        if !differences.is_empty() {
            let (stage, differences) = (self.hall.stage, differences.join("\n    "));
            self.failures
                .push(format!("{stage:?}{sequence}\n    {differences}"));
        }
    }

    /// The count is asserted, so that a table that shrinks is noticed.
    fn conclude(self, expected: usize) {
        let (count, failed) = (self.count, self.failures.len());
        let shown: Vec<_> = self.failures.into_iter().take(SHOWN).collect();
        let shown = shown.join("\n");
        assert_eq!(failed, 0, "of {count} sequences fail, among them\n{shown}");
        assert_eq!(count, expected, "sequences were played");
    }
}

/// Thousands of hooks panic on purpose.
fn be_silent_about_wanted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = take_hook();
        set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let wanted = text.or_else(|| payload.downcast_ref().copied()) == Some(SECRET);
            if !wanted {
                told(panic);
            }
        }));
    });
}

/// The acts that hinge on each other most often: a hook, a peer that does not read, two sides that
/// close, a deadline.
const CORE: [Act; 12] = [
    Act::PeerBursts,
    Act::PeerCloses,
    Act::PeerDrops,
    Act::PeerStopsReading,
    Act::PeerResumes,
    Act::GroupFill,
    Act::GroupFrames,
    Act::GateOpens,
    Act::GateClosesOn,
    Act::GateSends,
    Act::DrainBegins,
    Act::PassWrite,
];
/// How many failures are worth reading.
const SHOWN: usize = 20;
