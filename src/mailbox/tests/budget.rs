//! The bytes that the budget counts at whole mailboxes, and the connections that it closes.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::strategy::Strategy;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::broadcast::{ConflationKey, EncodedFrame, FrameBatch, PreparedMessage};
use crate::budget::{Budget, STEP_BYTES};
use crate::close::{Cause, CloseCode};
use crate::config::{Config, Overflow};
use crate::mailbox::{Arrival, Close, CloseRequest, ConnectionSettings, Gap, Mailbox, Outbound};
use crate::name::GroupName;
use crate::websocket::Extensions;

/// Connections whose clients do not read.
fn connections(budget: &Arc<Budget>, count: usize) -> Vec<Arc<Mailbox>> {
    let terms = ConnectionSettings::new(Config::new(), budget.clone());
    let connection = |_| {
        let mailbox = Mailbox::connection(terms.clone(), Extensions::default());
        mailbox.open(None);
        mailbox
    };
    (0..count).map(connection).collect()
}

fn prepared(bytes: usize, key: Option<usize>) -> PreparedMessage {
    let tag = key.map(|key| {
        let group = "map".try_into().unwrap();
        ConflationKey::new(&group, &key.to_string().try_into().unwrap(), true)
    });
    PreparedMessage::new(EncodedFrame::event(&vec![b'x'; bytes]), tag)
}

fn batch(sizes: &[usize]) -> FrameBatch {
    let messages: Vec<_> = sizes.iter().map(|&size| prepared(size, None)).collect();
    FrameBatch::join(messages.iter())
}

/// How this side has closed it, if it has.
fn closed(mailbox: &Mailbox) -> Option<(CloseCode, Cause)> {
    let cx = Context::from_waker(Waker::noop());
    loop {
        match mailbox.poll_receive(&cx) {
            Poll::Ready(Arrival::Event(_) | Arrival::Gap(_)) => {}
            Poll::Ready(Arrival::Close(request)) => return Some((request.code, request.cause)),
            Poll::Pending => return None,
        }
    }
}

fn flush(mailbox: &Mailbox, most: usize) {
    let mut left = most;
    let _ = mailbox.poll_flush(|slices| {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = total.min(left);
        left -= written;
        match written {
            0 => Poll::Pending,
            written => Poll::Ready(Ok(written)),
        }
    });
}

#[test]
fn shared_bytes_count_once_and_copied_bytes_at_each_queue() {
    let budget = Budget::new(usize::MAX);
    let mailboxes = connections(&budget, 100);
    let shared = batch(&[50_000, 50_000]);
    let wire = shared.bytes().len();
    for mailbox in &mailboxes {
        mailbox.deliver(&shared, Overflow::Close);
    }
    assert_eq!(budget.used(), wire);
    let event = prepared(30_000, None);
    for mailbox in &mailboxes {
        mailbox.deliver_event(&event, Overflow::Close);
    }
    assert_eq!(budget.used(), wire + event.frame.bytes().len());
    drop((shared, event));
    // A short frame is copied; the first 16 KiB of a queue are free.
    let small = batch(&[1000]);
    for mailbox in &mailboxes {
        (0..50).for_each(|_| mailbox.deliver(&small, Overflow::Close));
    }
    let copied = budget.used() - wire - 30_004;
    assert!(
        (100 * 2 * STEP_BYTES..=100 * 3 * STEP_BYTES).contains(&copied),
        "{copied}"
    );
    mailboxes
        .iter()
        .for_each(|mailbox| mailbox.close(Close::Abort));
    assert_eq!(budget.used(), 0);
    assert!(budget.has_no_lagging_queue());
}

#[test]
fn connections_that_keep_up_are_not_registered_with_the_budget() {
    let budget = Budget::new(0);
    let mailboxes = connections(&budget, 2);
    for _ in 0..1000 {
        for mailbox in &mailboxes {
            mailbox.deliver(&batch(&[1000, 3000]), Overflow::Close);
            mailbox.deliver_event(&prepared(1000, None), Overflow::Close);
            flush(mailbox, usize::MAX);
            assert_eq!(closed(mailbox), None);
        }
        assert_eq!(budget.used(), 0);
    }
}

#[test]
fn the_largest_queue_is_evicted_first_and_no_more_than_needed() {
    let budget = Budget::new(600_000);
    let mailboxes = connections(&budget, 20);
    // Shared by all, then by fewer and fewer.
    for n in 0..20 {
        let batch = batch(&[25_000]);
        for mailbox in &mailboxes[n..] {
            mailbox.deliver(&batch, Overflow::Drop);
        }
    }
    assert_eq!(budget.used(), 20 * 25_004);
    mailboxes[3].deliver(&batch(&[120_000]), Overflow::Drop);
    // The last queue was the largest, but the bytes that it held alone were not enough.
    let ended: Vec<_> = (0..20)
        .filter(|&at| closed(&mailboxes[at]) == Some((CloseCode::SLOW_READER, Cause::SlowReader)))
        .collect();
    assert_eq!(ended, [17, 18, 19]);
    assert_eq!(budget.used(), 17 * 25_004 + 120_010);
    drop(mailboxes);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_slow_hook_is_closed_with_1013_and_a_channel_counts_what_it_loses() {
    let budget = Budget::new(100_000);
    let mailbox = &connections(&budget, 1)[0];
    let channel = Mailbox::channel(ConnectionSettings::new(Config::new(), budget.clone()));
    (0..4).for_each(|_| mailbox.deliver_event(&prepared(30_000, None), Overflow::Drop));
    let slow_hook = (CloseCode::TRY_AGAIN_LATER, Cause::SlowHook);
    assert_eq!(closed(mailbox), Some(slow_hook));
    assert_eq!(budget.used(), 0);
    (0..4).for_each(|_| channel.deliver_event(&prepared(30_000, None), Overflow::Drop));
    assert_eq!((channel.take_dropped(), budget.used()), (4, 0));
    // It continues.
    channel.deliver_event(&prepared(30_000, None), Overflow::Drop);
    assert_eq!((channel.take_dropped(), budget.used()), (0, 30_004));
    channel.close(Close::Abort);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_connection_that_is_closing_already_keeps_its_close_frame() {
    let budget = Budget::new(100_000);
    let mailboxes = connections(&budget, 2);
    let [mailbox, other] = &mailboxes[..] else {
        panic!("two");
    };
    mailbox.deliver(&batch(&[3000]), Overflow::Close);
    flush(mailbox, 10);
    mailbox.deliver(&batch(&[60_000]), Overflow::Close);
    mailbox.close(Close::AfterQueue(CloseRequest {
        code: CloseCode::NORMAL,
        reason: "as wanted".to_owned(),
        cause: Cause::Server,
    }));
    other.deliver(&batch(&[50_000]), Overflow::Close);
    let mut wire = Vec::new();
    let _ = mailbox.poll_flush(|slices| {
        let before = wire.len();
        slices
            .iter()
            .for_each(|slice| wire.extend_from_slice(slice));
        Poll::Ready(Ok(wire.len() - before))
    });
    // The rest of the begun frame, then the close frame.
    let close = [&[0x88, 11, 0x03, 0xe8], &b"as wanted"[..]].concat();
    assert_eq!(wire.len(), 3004 - 10 + close.len());
    assert!(wire.ends_with(&close));
    assert_eq!(closed(mailbox), Some((CloseCode::NORMAL, Cause::Server)));
    assert_eq!(closed(other), None);
}

#[test]
fn a_client_that_has_ended_its_half_gets_whole_frames_or_none() {
    let budget = Budget::new(100_000);
    let mailboxes = connections(&budget, 2);
    let [mailbox, other] = &mailboxes[..] else {
        panic!("two");
    };
    let cx = Context::from_waker(Waker::noop());
    for _ in 0..2 {
        let message = Outbound::Message("x".repeat(45_000).into());
        let _ = mailbox.poll_send(&mut Some(message), &cx);
    }
    flush(mailbox, 10);
    mailbox.close(Close::WithoutFrame);
    other.deliver(&batch(&[50_000]), Overflow::Close);
    let mut rest = 0;
    let _ = mailbox.poll_flush(|slices| {
        let length = slices.iter().map(|slice| slice.len()).sum();
        rest += length;
        Poll::Ready(Ok(length))
    });
    assert_eq!(rest, 45_004 - 10, "the rest of the begun frame");
    assert_eq!(closed(other), None);
}

fn request() -> CloseRequest {
    CloseRequest {
        code: CloseCode::GOING_AWAY,
        reason: String::new(),
        cause: Cause::Drain,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Deliver(Vec<usize>),
    Latest(usize, usize),
    Event(usize, Option<usize>),
    Send(usize),
    Flush(usize),
    Take,
    Close,
    Cancel,
    Abort,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let size = || prop_oneof![0..3000_usize, Just(20_000), Just(100_000)];
    let step = prop_oneof![
        4 => vec(size(), 1..5).prop_map(Step::Deliver),
        2 => (size(), 0..3_usize).prop_map(|(size, key)| Step::Latest(size, key)),
        4 => (size(), 0..6_usize).prop_map(|(size, key)| Step::Event(size, (key < 3).then_some(key))),
        2 => size().prop_map(Step::Send),
        2 => (0..100_000_usize).prop_map(Step::Flush),
        2 => Just(Step::Take),
        1 => Just(Step::Close),
        1 => Just(Step::Cancel),
        1 => Just(Step::Abort),
    ];
    vec((0..8_usize, step), 0..120)
}

proptest! {
    /// In any sequence of steps: never more than the budget, except frames that have
    /// begun, and nothing at the end.
    #[test]
    fn all_bytes_are_given_back(steps in steps()) {
        let budget = Budget::new(400_000);
        let mailboxes = connections(&budget, 8);
        let cx = Context::from_waker(Waker::noop());
        for (at, step) in steps {
            // Messages of groups go to all connections from this one on.
            let (one, rest) = (&mailboxes[at], &mailboxes[at..]);
            let policy = if at % 2 == 0 { Overflow::Close } else { Overflow::Drop };
            match step {
                Step::Deliver(sizes) => {
                    let batch = batch(&sizes);
                    rest.iter().for_each(|mailbox| mailbox.deliver(&batch, policy));
                }
                Step::Latest(size, key) => {
                    let batch = FrameBatch::join([prepared(size, Some(key)), prepared(10, None)].iter());
                    rest.iter().for_each(|mailbox| mailbox.deliver(&batch, policy));
                }
                Step::Event(size, key) => {
                    let event = prepared(size, key);
                    rest.iter().for_each(|mailbox| mailbox.deliver_event(&event, policy));
                }
                Step::Send(size) => {
                    let message = Outbound::Frame(prepared(size, None).frame);
                    let _ = one.poll_send(&mut Some(message), &cx);
                }
                Step::Flush(most) => flush(one, most),
                Step::Take => drop(one.poll_receive(&cx)),
                Step::Close => drop(closed(one)),
                Step::Cancel => one.close(Close::CancellingHook(request())),
                Step::Abort => one.close(Close::Abort),
            }
            // Each may hold the rest of one frame, and bytes that were too few to be counted.
            prop_assert!(budget.used() <= 400_000 + 8 * 100_000, "{}", budget.used());
        }
        for mailbox in &mailboxes {
            while let Poll::Ready(Arrival::Event(_)) = mailbox.poll_receive(&cx) {}
            flush(mailbox, usize::MAX);
        }
        prop_assert_eq!(budget.used(), 0);
        prop_assert!(budget.has_no_lagging_queue());
    }
}

#[test]
fn many_threads_at_once_leave_nothing_behind() {
    let budget = Budget::new(2_000_000);
    let mailboxes = connections(&budget, 40);
    thread::scope(|scope| {
        for thread in 0..4 {
            let mailboxes = &mailboxes;
            scope.spawn(move || {
                for n in 0..400 {
                    let batch = batch(&[(n * 37) % 9000, 500]);
                    let event = prepared((n * 91) % 5000, (n % 2 == 0).then_some(n % 7));
                    for mailbox in mailboxes.iter().skip(thread) {
                        mailbox.deliver(&batch, Overflow::Close);
                        mailbox.deliver_event(&event, Overflow::Drop);
                    }
                    flush(&mailboxes[n % 40], 100_000);
                }
            });
        }
    });
    assert!(budget.used() <= budget.limit());
    assert!(mailboxes.iter().any(|mailbox| mailbox.flags().is_closed()));
    drop(mailboxes);
    assert_eq!(budget.used(), 0);
    assert!(budget.has_no_lagging_queue());
}

#[test]
fn a_channel_that_loses_its_events_keeps_its_gaps() {
    let budget = Budget::new(100_000);
    let config = Config::new().events(usize::MAX, usize::MAX);
    let channel = Mailbox::channel(ConnectionSettings::new(config, budget));
    let group = GroupName::try_from("room").unwrap();
    let gap = Gap {
        group,
        permit: None,
    };
    channel.deliver_gap(gap);
    for _ in 0..20 {
        channel.deliver_event(&prepared(10_000, None), Overflow::Close);
    }
    assert!(channel.take_dropped() > 0, "the budget was never used up");
    let cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Arrival::Gap(gap)) = channel.poll_receive(&cx) else {
        panic!("the gap is lost");
    };
    assert_eq!(gap.group.as_str(), "room");
}
