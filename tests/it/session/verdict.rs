//! [`Verdict`]: the session's behaviour compared with the model's.

use std::fmt::Debug;

use super::act::{Act, CLOSE, DISCONNECT, DRAIN, PING, Sequence, Stage};
use super::actor::SECRET;
use super::model::Model;
use super::wire::Seen;
use super::world::{Hall, Remains, World, play};

/// Returns the differences; none is a pass. Of two things that happened at once, either may have
/// been the first.
pub(crate) fn differences(hall: &mut Hall, sequence: &Sequence) -> Vec<String> {
    let mut models = models(hall.stage, sequence);
    let leaves = models.iter().any(Model::needs_an_end);
    let (world, remains) = play(hall, sequence, leaves);
    let verdicts = models.iter_mut().map(|model| {
        if leaves && model.can(Act::PeerDrops) {
            model.act(Act::PeerDrops);
        }
        model.run_out();
        let mut verdict = Verdict::default();
        verdict.hooks(&world, model);
        verdict.end(&world, model);
        verdict.wire(&world, model);
        verdict.remains(&remains, model, sequence.begins_a_drain_at_once());
        verdict.0
    });
    verdicts.min_by_key(Vec::len).unwrap()
}

/// The session after the sequence, as it must be in each order that is possible.
fn models(stage: Stage, sequence: &Sequence) -> Vec<Model> {
    let mut model = Model::new(stage);
    for &act in &sequence.acts {
        assert!(model.can(act), "{act:?} cannot happen there");
        model.act(act);
    }
    let Some([one, other]) = sequence.at_once else {
        return vec![model];
    };
    model.after_both([one, other])
}

#[derive(Default)]
struct Verdict(Vec<String>);

impl Verdict {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a claim reads best without ampersands"
    )]
    fn equal<T: PartialEq + Debug>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.0
                .push(format!("{what}: found {found:?}, expected {expected:?}"));
        }
    }

    fn hold(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn hooks(&mut self, world: &World, model: &Model) {
        let (notes, told) = (world.notes.lock(), &model.expected);
        self.equal("faults", &notes.faults, &Vec::new());
        self.equal("messages received", &notes.received, &told.received);
        self.equal("events received", &notes.events, &told.events);
        self.equal("errors", notes.errors, told.errors);
        self.equal("hooks dropped", &notes.dropped, &told.dropped);
        self.equal("accepted", notes.accepted, told.accepted);
    }

    fn end(&mut self, world: &World, model: &Model) {
        let (notes, told) = (world.notes.lock(), &model.expected);
        let closed = notes.farewells.iter();
        let closed: Vec<_> = closed
            .map(|closed| (closed.code().as_u16(), closed.cause()))
            .collect();
        self.equal("disconnect", closed, Vec::from_iter(told.closed));
        if !model.abandoned {
            self.equal("rejected", world.rejected, told.rejected);
        }
        let Some(over) = notes.over else {
            return self.0.push("the session is not over".to_owned());
        };
        let over = over.duration_since(world.start).as_millis();
        let slack = if told.silence { PING / 5 } else { 20 };
        let late = over.abs_diff(u128::from(told.over));
        self.hold(late <= u128::from(slack), || {
            format!("over after {over} ms, expected {}", told.over)
        });
    }

    fn wire(&mut self, world: &World, model: &Model) {
        let (peer, expected) = (&world.peer, model.wire.seen());
        let classed = |class: &str| {
            let found = peer.seen.iter().filter(|seen| seen.starts_with(class));
            let expected = expected.iter().filter(|seen| seen.label.starts_with(class));
            (found.collect(), expected.collect())
        };
        // Between these kinds no order is promised.
        for class in ["r", "e", "s", "g", "close"] {
            let (found, expected): (Vec<_>, Vec<_>) = classed(class);
            self.hold(is_permitted(&found, &expected), || {
                format!("frames: found {found:?}, expected {expected:?}")
            });
        }
        let last = peer.seen.iter().position(|seen| seen.starts_with("close"));
        self.hold(last.is_none_or(|last| last + 1 == peer.seen.len()), || {
            format!("frames after the close frame: {:?}", peer.seen)
        });
        let strange = peer.seen.iter().find(|seen| seen.starts_with("opcode"));
        self.equal("strange frames", strange, None);
        self.hold(peer.rest.is_empty() || model.wire.torn, || {
            format!("a torn frame of {} bytes", peer.rest.len())
        });
        self.hold(
            peer.reasons.iter().all(|reason| !reason.contains(SECRET)),
            || format!("told the client {:?}", peer.reasons),
        );
    }

    fn remains(&mut self, remains: &Remains, model: &Model, drains_at_once: bool) {
        self.equal("members left", remains.members, 0);
        self.equal("sockets left", remains.sockets, 0);
        self.equal("tasks left", remains.tasks, 0);
        let drained = remains
            .drained
            .map(|drained| (drained.closed, drained.abandoned));
        let expected = model.expected.drain.map(|begun| {
            let waits = DRAIN + DISCONNECT + CLOSE;
            let in_time = model.expected.over <= begun + waits;
            (usize::from(in_time), usize::from(!in_time))
        });
        // A drain that begins when the session ends may find it, or nobody.
        let may_find_nobody = drains_at_once && matches!(drained, Some((0 | 1, 0)));
        if !may_find_nobody || (expected.is_some() && drained != Some((0, 0))) {
            self.equal("drained and abandoned", drained, expected);
        }
    }
}

/// Whether all expected frames were seen in their order, except frames that may be lost.
fn is_permitted(found: &[&String], expected: &[&Seen]) -> bool {
    let mut found = found.iter().peekable();
    for seen in expected {
        let is_there = found.next_if(|label| ***label == seen.label).is_some();
        if !is_there && !seen.may_be_lost {
            return false;
        }
    }
    found.next().is_none()
}
