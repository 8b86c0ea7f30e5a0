//! Pings and pongs between the frames of a queue.

use crate::budget::AccountedBytes;
use crate::mailbox::write_queue::WriteQueue;
use crate::websocket::{ControlPayload, OpCode, encode_into, frame};

use super::socket::write;

fn pong(queue: &mut WriteQueue, payload: &[u8]) {
    queue.controls().push_pong(ControlPayload::new(payload));
}

#[test]
fn pongs_go_out_in_order_at_the_next_boundary() {
    let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
    let first = frame(OpCode::Text, b"first");
    queue.push_frame(&AccountedBytes::new(first.clone()));
    queue.push(OpCode::Text, "second");
    write(&mut queue, 3, &mut wire);
    pong(&mut queue, b"one");
    pong(&mut queue, b"two");
    while !queue.is_empty() {
        write(&mut queue, 3, &mut wire);
    }
    let mut expected = first.to_vec();
    encode_into(&mut expected, OpCode::Pong, b"one");
    encode_into(&mut expected, OpCode::Pong, b"two");
    encode_into(&mut expected, OpCode::Text, b"second");
    assert_eq!(wire, expected);
}

#[test]
fn beyond_sixteen_pongs_the_oldest_are_dropped() {
    let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
    queue.controls().push_ping();
    for number in 0..20 {
        pong(&mut queue, &[number]);
    }
    write(&mut queue, usize::MAX, &mut wire);
    let mut expected = Vec::new();
    encode_into(&mut expected, OpCode::Ping, b"");
    for number in 4..20 {
        encode_into(&mut expected, OpCode::Pong, &[number]);
    }
    assert_eq!(wire, expected);
    assert!(queue.is_empty());
}

/// A socket that takes nothing used to have one pong more put into the queue at each attempt.
#[test]
fn pongs_to_a_peer_that_does_not_read_are_bounded_and_stay_in_order() {
    let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
    for number in 0..=255 {
        pong(&mut queue, &[number]);
        write(&mut queue, 0, &mut wire);
    }
    while !queue.is_empty() {
        write(&mut queue, 1, &mut wire);
    }
    let numbers: Vec<u8> = wire.chunks(3).map(|pong| pong[2]).collect();
    // One was encoded with the first attempt, sixteen more waited.
    assert_eq!(numbers[0], 0);
    assert_eq!(numbers[1..], (240..=255).collect::<Vec<u8>>()[..]);
}

#[test]
fn a_discard_finishes_a_begun_pong_and_drops_the_others() {
    for written in 0..=16 {
        let (mut queue, mut wire) = (WriteQueue::default(), Vec::new());
        let mut expected = Vec::new();
        for payload in [&b"one"[..], b"seven__"] {
            pong(&mut queue, payload);
            if expected.len() < written {
                encode_into(&mut expected, OpCode::Pong, payload);
            }
        }
        queue.push(OpCode::Text, "dropped");
        write(&mut queue, written.min(14), &mut wire);
        queue.discard();
        queue.push(OpCode::Close, vec![0x0f, 0xa8]);
        while !queue.is_empty() {
            write(&mut queue, 2, &mut wire);
        }
        encode_into(&mut expected, OpCode::Close, &[0x0f, 0xa8]);
        assert_eq!(wire, expected, "written {written}");
    }
}
