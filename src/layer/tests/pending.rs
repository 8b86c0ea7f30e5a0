//! The list of pending messages: its bound, its keys, and publishers that wait for room.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::broadcast::{ConflationKey, EncodedFrame, PreparedMessage};
use crate::config::{Config, Overflow};
use crate::mailbox::{ConnectionSettings, Mailbox};
use crate::name::GroupName;

use crate::layer::fanout::publish;
use crate::layer::group::Group;
use crate::layer::pending::{PENDING, Pending};

/// A group with one member. Its fan-outs wait until its runtime runs.
fn idle_group() -> (Runtime, Arc<Group>) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let name = GroupName::try_from("room").unwrap();
    let group = Arc::new(Group::new(name, Overflow::Close));
    let entered = runtime.enter();
    group.join(
        Mailbox::channel(ConnectionSettings::of(Config::new())),
        false,
    );
    drop(entered);
    (runtime, group)
}

fn event(bytes: usize) -> Pending {
    let encoded = EncodedFrame::event(&vec![b' '; bytes]);
    Pending::new(PreparedMessage::new(encoded, None), true, None)
}

#[test]
fn the_pending_list_takes_256_messages_or_256_kib() {
    // The frame's header counts: 2 bytes, 4 from 126 bytes on, 10 from 64 KiB on.
    for (bytes, fit) in [(0, 256), (100, 256), (1020, 256), (1021, 256), (8188, 32)] {
        let (_runtime, group) = idle_group();
        for n in 0..fit {
            assert!(
                publish(&group, event(bytes), PENDING).is_ok(),
                "{bytes} bytes, {n}"
            );
        }
        assert!(
            publish(&group, event(bytes), PENDING).is_err(),
            "{bytes} bytes"
        );
    }
    let (_runtime, group) = idle_group();
    assert!(
        publish(&group, event(1 << 20), PENDING).is_ok(),
        "the last overshoots"
    );
    assert!(
        publish(&group, event(0), PENDING).is_err(),
        "and is the last"
    );
}

#[test]
fn a_newer_value_replaces_a_pending_one_that_is_for_no_other_member() {
    let key = |key: usize| {
        let group = GroupName::try_from("room").unwrap();
        ConflationKey::new(&group, &key.to_string().try_into().unwrap(), true)
    };
    let keyed = |n: u64, tag, except| {
        let encoded = EncodedFrame::event(n.to_string().as_bytes());
        Pending::new(PreparedMessage::new(encoded, Some(tag)), true, except)
    };
    let (_runtime, group) = idle_group();
    // More than the list takes.
    for n in 0..1000 {
        assert!(
            publish(&group, keyed(n, key(7), None), PENDING).is_ok(),
            "{n}"
        );
    }
    assert!(publish(&group, keyed(1000, key(8), None), PENDING).is_ok());
    // A member that the newer value leaves out keeps the older one.
    assert!(publish(&group, keyed(1001, key(8), Some(u64::MAX)), PENDING).is_ok());
    assert!(publish(&group, keyed(1002, key(8), Some(u64::MAX)), PENDING).is_ok());
    assert!(publish(&group, keyed(1003, key(7), None), PENDING).is_ok());
    let messages = group.take_pending().unwrap();
    let sequences: Vec<_> = messages.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, [1000, 1002, 1003]);
}

#[test]
fn a_publisher_that_waits_for_room_is_woken_by_the_fan_out_alone() {
    let (runtime, group) = idle_group();
    while publish(&group, event(8), PENDING).is_ok() {}
    let mut room = pin!(group.room());
    assert!(room.as_mut().now_or_never().is_none());
    // Members come and go, and none of them makes room.
    group.join(
        Mailbox::channel(ConnectionSettings::of(Config::new())),
        false,
    );
    assert!(room.as_mut().now_or_never().is_none());
    runtime.block_on(yield_now());
    assert!(room.as_mut().now_or_never().is_some());
    assert!(publish(&group, event(8), PENDING).is_ok());
}
