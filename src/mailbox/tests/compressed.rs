//! The bytes of compressed messages that the budget counts.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::broadcast::{EncodedFrame, PreparedMessage};
use crate::budget::Budget;
use crate::config::{Config, Deflate, Overflow};
use crate::mailbox::{Arrival, Close, ConnectionSettings, Mailbox, Outbound};
use crate::message::Message;
use crate::websocket::deflate::{WindowBits, compressed_frame};
use crate::websocket::{Extensions, OpCode};

/// Connections whose clients do not read.
fn connections(budget: &Arc<Budget>, windows: &[u8]) -> Vec<Arc<Mailbox>> {
    let terms = ConnectionSettings::new(Config::new().deflate(Deflate::new()), budget.clone());
    let connection = |&bits| {
        let deflate = WindowBits::new(bits);
        let mailbox = Mailbox::connection(terms.clone(), Extensions { deflate });
        mailbox.open(None);
        mailbox
    };
    windows.iter().map(connection).collect()
}

/// A payload that compresses, and better with a larger window.
fn records(count: u32) -> Vec<u8> {
    let record = |n: u32| {
        let random = n.wrapping_mul(2_654_435_769);
        format!("{{\"id\":{n},\"at\":{random}}},")
    };
    (0..count).flat_map(|n| record(n).into_bytes()).collect()
}

/// Forwards an event as a hook does.
fn forward(mailbox: &Arc<Mailbox>) -> usize {
    let cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Arrival::Event(event)) = mailbox.poll_receive(&cx) else {
        panic!("an event waits");
    };
    let message = mailbox.prepare(Outbound::Frame(event));
    let Outbound::Frame(frame) = &message else {
        panic!("it is ready");
    };
    let length = frame.bytes().len();
    assert!(mailbox.poll_send(&mut Some(message), &cx).is_ready());
    length
}

#[test]
fn a_forwarded_event_counts_once_for_each_window() {
    let budget = Budget::new(usize::MAX);
    let windows = [[15; 40], [9; 40]].concat();
    let mailboxes = connections(&budget, &windows);
    let event = PreparedMessage::new(EncodedFrame::event(&records(6000)), None);
    for mailbox in &mailboxes {
        mailbox.deliver_event(&event, Overflow::Close);
    }
    drop(event);
    let lengths: Vec<_> = mailboxes.iter().map(forward).collect();
    assert!(lengths[0] > 60_000 && lengths[0] < lengths[40]);
    assert_eq!(budget.used(), lengths[0] + lengths[40]);
    mailboxes
        .iter()
        .for_each(|mailbox| mailbox.close(Close::Abort));
    assert_eq!(budget.used(), 0);
    assert!(budget.has_no_lagging_queue());
}

#[test]
fn a_long_message_is_compressed_in_steps_to_the_same_frame() {
    let mailbox = &connections(&Budget::new(usize::MAX), &[15])[0];
    let compression = mailbox.compression().unwrap();
    let steps = |payload: Vec<u8>| {
        let mut steps = 1;
        let mut message = mailbox.prepare(Outbound::Message(Message::from(payload)));
        while let Outbound::Long(long) = &mut message {
            if let Poll::Ready(done) = long.step() {
                message = done;
            }
            steps += 1;
        }
        (message, steps)
    };
    let text = records(10_000);
    let (message, count) = steps(text.clone());
    let frame = compressed_frame(OpCode::Binary, &text, compression).unwrap();
    assert!(matches!(&message, Outbound::Frame(ready) if *ready.bytes() == frame));
    assert_eq!(count, text.len().div_ceil(64 * 1024));
    // A message that compression would not shorten is sent as it is.
    let mut state = 1_u32;
    let noise = (0..200_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.collect();
    let (message, count) = steps(noise.clone());
    assert!(matches!(&message, Outbound::Message(plain) if plain.as_bytes() == noise));
    assert_eq!(count, 4);
}
