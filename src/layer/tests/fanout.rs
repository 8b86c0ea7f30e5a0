//! A group's fan-outs run one at a time and in one order, even if members join and leave, or a
//! runtime ends or panics.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures::FutureExt;
use proptest::collection::vec;
use proptest::prelude::ProptestConfig;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::TestCaseError;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::broadcast::{ConflationKey, EncodedFrame, PreparedMessage};
use crate::config::{Config, Overflow};
use crate::layer::fanout::{CHUNK_MEMBERS, QUEUED_MAX_BYTES, publish};
use crate::layer::group::Group;
use crate::layer::pending::{PENDING, Pending};
use crate::mailbox::{Arrival, ConnectionSettings, Mailbox};
use crate::name::GroupName;

fn group() -> Arc<Group> {
    let name = GroupName::try_from("room").unwrap();
    Arc::new(Group::new(name, Overflow::Drop))
}

fn idle_runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn workers() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).build().unwrap()
}

fn members(group: &Arc<Group>, count: usize) -> Vec<Arc<Mailbox>> {
    let terms = ConnectionSettings::of(Config::new().events(usize::MAX, usize::MAX));
    let mailboxes: Vec<_> = (0..count)
        .map(|_| Mailbox::channel(terms.clone()))
        .collect();
    for mailbox in &mailboxes {
        group.join(mailbox.clone(), false);
    }
    mailboxes
}

/// Every fifth message is so long that a fan-out that begins with it has a task of its own.
fn message(n: u64, except: Option<u64>) -> Pending {
    let width = if n % 5 == 3 { QUEUED_MAX_BYTES + 1 } else { 1 };
    let encoded = EncodedFrame::event(format!("{n:>width$}").as_bytes());
    Pending::new(PreparedMessage::new(encoded, None), true, except)
}

fn append(group: &Arc<Group>, n: u64) -> bool {
    publish(group, message(n, None), PENDING).is_ok()
}

/// Publishes as the registry does.
async fn append_waiting(group: &Arc<Group>, n: u64) {
    loop {
        let room = pin!(group.room());
        if append(group, n) {
            return;
        }
        room.await;
    }
}

fn has_event(mailbox: &Mailbox) -> bool {
    let cx = Context::from_waker(Waker::noop());
    mailbox.poll_receive(&cx).is_ready()
}

fn received(mailbox: &Mailbox) -> Vec<u64> {
    let cx = Context::from_waker(Waker::noop());
    let mut numbers = Vec::new();
    while let Poll::Ready(Arrival::Event(event)) = mailbox.poll_receive(&cx) {
        let text = std::str::from_utf8(event.payload()).unwrap();
        numbers.push(text.trim_start().parse().unwrap());
    }
    numbers
}

/// Publishes from four threads at once, each its own numbers.
fn publish_from_threads(group: &Arc<Group>) {
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in thread * EACH..(thread + 1) * EACH {
                    while !append(group, n) {
                        thread::yield_now();
                    }
                }
            });
        }
    });
}
const EACH: u64 = 300;

#[test]
fn all_members_receive_messages_in_the_same_order() {
    let workers = workers();
    for runtime in [None, Some(&workers)] {
        let group = group();
        let entered = runtime.map(Runtime::enter);
        // More than a chunk, so that turns have a middle.
        let mailboxes = members(&group, CHUNK_MEMBERS + 40);
        drop(entered);
        publish_from_threads(&group);
        while group.has_fanout() {
            thread::yield_now();
        }
        let order = received(&mailboxes[0]);
        for thread in 0..4 {
            let own = thread * EACH..(thread + 1) * EACH;
            let kept: Vec<_> = order.iter().copied().filter(|n| own.contains(n)).collect();
            assert_eq!(kept, own.collect::<Vec<_>>(), "publisher {thread}");
        }
        for mailbox in &mailboxes[1..] {
            assert_eq!(received(mailbox), order);
        }
    }
}

/// The thread of its first member may do something else for hours.
#[test]
fn a_runtime_that_stands_still_holds_up_no_group_if_another_has_workers() {
    let (idle, workers) = (idle_runtime(), workers());
    for is_publisher in [true, false] {
        let group = group();
        let entered = idle.enter();
        let mut mailboxes = members(&group, 1);
        drop(entered);
        let entered = workers.enter();
        if !is_publisher {
            mailboxes.extend(members(&group, 1));
            // A plain thread's publishes are delivered where this member lives.
            drop(entered);
        }
        // Enough for more than one turn; the fourth is large.
        for n in 0..10 {
            assert!(append(&group, n));
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while group.has_fanout() {
            assert!(Instant::now() < deadline, "{is_publisher}");
            thread::yield_now();
        }
        for mailbox in &mailboxes {
            assert_eq!(received(mailbox), Vec::from_iter(0..10));
        }
    }
}

#[test]
fn messages_published_during_a_fan_out_start_no_other() {
    let runtime = idle_runtime();
    let group = group();
    let entered = runtime.enter();
    let mailboxes = members(&group, 2 * CHUNK_MEMBERS + 1);
    drop(entered);
    let tasks = || runtime.metrics().num_alive_tasks();
    for n in 0..5 {
        assert!(append(&group, n));
        assert_eq!(tasks(), 1, "message {n}");
    }
    // Three chunks, and in each pause another message.
    for n in 5..8 {
        runtime.block_on(yield_now());
        assert!(append(&group, n));
        assert_eq!(tasks(), 1, "message {n}");
    }
    while group.has_fanout() {
        runtime.block_on(yield_now());
    }
    assert_eq!(tasks(), 0);
    for mailbox in &mailboxes {
        assert_eq!(received(mailbox), (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn a_chunk_of_members_is_short_if_the_message_is_long() {
    let rows = [
        (1, CHUNK_MEMBERS),
        (8 * 1024, CHUNK_MEMBERS),
        (64 * 1024, 63),
        (1 << 20, 3),
        (8 << 20, 1),
    ];
    for (length, expected) in rows {
        let runtime = idle_runtime();
        let group = group();
        let entered = runtime.enter();
        let members = members(&group, 300);
        drop(entered);
        let encoded = EncodedFrame::event("1".repeat(length).as_bytes());
        let message = Pending::new(PreparedMessage::new(encoded, None), true, None);
        assert!(publish(&group, message, PENDING).is_ok());
        runtime.block_on(yield_now());
        let served = members.iter().filter(|member| has_event(member)).count();
        assert_eq!(served, expected, "{length} bytes");
    }
}

#[test]
fn a_fan_out_that_is_dropped_with_its_runtime_is_finished_and_frees_publishers() {
    // Dropped before it began, after its first chunk, after its second, and so on.
    for pauses in 0..5 {
        let runtime = idle_runtime();
        let group = group();
        let entered = runtime.enter();
        let mailboxes = members(&group, 2 * CHUNK_MEMBERS + 1);
        drop(entered);
        let mut sent = 0;
        while append(&group, sent) {
            sent += 1;
        }
        for _ in 0..pauses {
            runtime.block_on(yield_now());
        }
        while append(&group, sent) {
            sent += 1;
            assert!(sent < 2000, "{pauses} pauses: the list has no bound");
        }
        let (done, is_done) = channel();
        let waiting = group.clone();
        let publisher = thread::spawn(move || {
            block_on(append_waiting(&waiting, sent));
            done.send(()).unwrap();
        });
        let early = is_done.recv_timeout(Duration::from_millis(20));
        assert!(early.is_err(), "{pauses} pauses: it found room");
        drop(runtime);
        let woken = is_done.recv_timeout(Duration::from_secs(20));
        assert!(woken.is_ok(), "{pauses} pauses: a publisher waits for ever");
        publisher.join().unwrap();
        assert!(group.runtime().is_none(), "later turns would begin there");
        assert!(append(&group, sent + 1));
        assert!(!group.has_fanout());
        for mailbox in &mailboxes {
            let all: Vec<_> = (0..=sent + 1).collect();
            assert_eq!(received(mailbox), all, "{pauses} pauses");
        }
    }
}

#[test]
fn a_fan_out_that_is_dropped_in_a_panic_frees_publishers() {
    let runtime = idle_runtime();
    let group = group();
    let entered = runtime.enter();
    let mailboxes = members(&group, 3);
    drop(entered);
    let mut sent = 0;
    while append(&group, sent) {
        sent += 1;
    }
    let waiting = group.clone();
    let publisher = thread::spawn(move || block_on(append_waiting(&waiting, sent)));
    let panicked = thread::spawn(move || {
        let _dropped_in_the_panic = runtime;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    publisher.join().unwrap();
    assert!(append(&group, sent + 1));
    for mailbox in &mailboxes {
        // The pending messages are lost. A message that waited for room, or came later, is not.
        let mut got = received(mailbox);
        assert_eq!(got.pop(), Some(sent + 1));
        assert!(got.is_empty() || got == [sent], "{got:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Option<usize>),
    Join(usize),
    Leave(usize),
    Pause,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Publish(None)),
        1 => (0..MOVERS).prop_map(|mover| Step::Publish(Some(mover))),
        2 => (0..MOVERS).prop_map(Step::Join),
        2 => (0..MOVERS).prop_map(Step::Leave),
        3 => Just(Step::Pause),
    ];
    vec(step, 0..120)
}
const MOVERS: usize = 6;

/// The messages that one member should receive while it joins and leaves.
#[derive(Debug, Default)]
struct Model {
    is_member: bool,
    /// For each membership, the messages published meanwhile by others.
    stays: Vec<Vec<u64>>,
}

impl Model {
    /// The messages of each membership in order, once, none missing in the middle; none missing at
    /// the end if it has not ended.
    fn check(&self, got: &[u64]) -> Result<(), TestCaseError> {
        let distinct: BTreeSet<_> = got.iter().collect();
        prop_assert_eq!(distinct.len(), got.len(), "a message came twice");
        let mut got = got;
        for (at, stay) in self.stays.iter().enumerate() {
            let common = stay.iter().zip(got).take_while(|(a, b)| a == b).count();
            got = &got[common..];
            let is_open = self.is_member && at == self.stays.len() - 1;
            prop_assert!(!is_open || common == stay.len(), "a message is missing");
        }
        prop_assert!(
            got.is_empty(),
            "not published in a stay, or out of order: {got:?}"
        );
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Members join, leave and publish at every stage of a fan-out.
    #[test]
    fn members_get_what_was_published_while_they_were_members(steps in steps()) {
        let runtime = idle_runtime();
        let _entered = runtime.enter();
        let group = group();
        let mut stayers = members(&group, CHUNK_MEMBERS);
        let movers = members(&group, MOVERS);
        stayers.extend(members(&group, CHUNK_MEMBERS));
        let stay = || Model { is_member: true, stays: vec![Vec::new()] };
        let mut models: Vec<_> = movers.iter().map(|_| stay()).collect();
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Publish(except) => {
                    let except_id = except.map(|mover| movers[mover].id());
                    let receivers = publish(&group, message(sent, except_id), PENDING).ok();
                    let mut expected = stayers.len();
                    for (mover, model) in models.iter_mut().enumerate() {
                        if model.is_member && except != Some(mover) {
                            model.stays.last_mut().unwrap().push(sent);
                            expected += 1;
                        }
                    }
                    prop_assert_eq!(receivers, Some(expected));
                    sent += 1;
                }
                Step::Join(mover) => {
                    group.join(movers[mover].clone(), false);
                    if !std::mem::replace(&mut models[mover].is_member, true) {
                        models[mover].stays.push(Vec::new());
                    }
                }
                Step::Leave(mover) => {
                    let (was_member, _) = group.leave(movers[mover].id());
                    let model = &mut models[mover];
                    prop_assert_eq!(was_member, std::mem::take(&mut model.is_member));
                }
                Step::Pause => runtime.block_on(yield_now()),
            }
        }
        while group.has_fanout() {
            runtime.block_on(yield_now());
        }
        for (mailbox, model) in movers.iter().zip(&models) {
            model.check(&received(mailbox))?;
        }
        for mailbox in &stayers {
            prop_assert_eq!(received(mailbox), (0..sent).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// With any keys, at any stage of a fan-out and at any speed, a member receives a subsequence
    /// of its messages, in order: all messages without a key, and the newest value of each key.
    #[test]
    fn members_get_the_newest_of_each_key(steps in vec((0..6_usize, 0..4_usize), 0..200)) {
        let runtime = idle_runtime();
        let _entered = runtime.enter();
        let group = group();
        let mailboxes = members(&group, MOVERS);
        let mut published: Vec<Vec<(u64, usize)>> = vec![Vec::new(); MOVERS];
        let mut got: Vec<Vec<u64>> = vec![Vec::new(); MOVERS];
        for (n, (key, what)) in (0..).zip(steps) {
            match what {
                // The first mover alone takes what it has.
                0 => got[0].extend(received(&mailboxes[0])),
                1 => runtime.block_on(yield_now()),
                _ => {
                    // Some leave out who is named as the key.
                    let except = (what == 2).then(|| mailboxes[key].id());
                    let mut message = message(n, except);
                    message.message.latest = (key > 0).then(|| tag(key));
                    prop_assert!(publish(&group, message, PENDING).is_ok());
                    for (mover, mailbox) in mailboxes.iter().enumerate() {
                        if except != Some(mailbox.id()) {
                            published[mover].push((n, key));
                        }
                    }
                }
            }
        }
        while group.has_fanout() {
            runtime.block_on(yield_now());
        }
        for (mover, mailbox) in mailboxes.iter().enumerate() {
            got[mover].extend(received(mailbox));
            let mut rest = got[mover].iter().peekable();
            for (at, &(n, key)) in published[mover].iter().enumerate() {
                let is_there = rest.next_if(|&&next| next == n).is_some();
                let is_newest = published[mover][at + 1..].iter().all(|&(_, later)| later != key);
                prop_assert!(is_there || (key > 0 && !is_newest), "{n} is missing at {mover}");
            }
            prop_assert!(rest.next().is_none(), "out of order, or not for {mover}");
        }
    }
}

fn tag(key: usize) -> ConflationKey {
    let group = GroupName::try_from("room").unwrap();
    ConflationKey::new(&group, &key.to_string().try_into().unwrap(), true)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = future.as_mut().now_or_never() {
            return output;
        }
        thread::yield_now();
    }
}
