//! Members whose messages are compressed receive what is for them, compressed once per kind.

#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::io::IoSlice;
use std::sync::Arc;
use std::task::Poll;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, any};
use proptest::strategy::Strategy;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::broadcast::{ConflationKey, EncodedFrame, PreparedMessage};
use crate::budget::Budget;
use crate::config::{Config, Deflate, Overflow};
use crate::layer::fanout::publish as append;
use crate::layer::group::Group;
use crate::layer::pending::{PENDING, Pending};
use crate::mailbox::{Close, ConnectionSettings, Mailbox};
use crate::message::Message;
use crate::name::GroupName;
use crate::websocket::deflate::{WindowBits, compressions};
use crate::websocket::{Decoder, Extensions, Incoming, Role};

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish {
        len: usize,
        /// 0 for none.
        key: usize,
        is_event: bool,
        /// Beyond the members for nobody.
        except: usize,
    },
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![5..200_usize, 200..3000_usize, Just(30_000)];
    let publish = (len, 0..4_usize, any::<bool>(), 0..12_usize);
    let publish = publish.prop_map(|(len, key, is_event, except)| Step::Publish {
        len,
        key,
        is_event,
        except,
    });
    vec(
        prop_oneof![5 => publish, 1 => (0..6_usize).prop_map(Step::Read)],
        0..60,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With every window, with and without relay, `.except` and `.latest`; and all bytes are given
    /// back to the budget.
    #[test]
    fn members_of_every_kind_get_what_is_for_them_in_order(steps in steps()) {
        let budget = Budget::new(usize::MAX);
        let config = Config::new()
            .outgoing(usize::MAX, usize::MAX)
            .events(usize::MAX, usize::MAX);
        let terms = ConnectionSettings::new(config.deflate(Deflate::new().min_len(100)), budget.clone());
        let name = GroupName::try_from("room").unwrap();
        let group = Arc::new(Group::new(name.clone(), Overflow::Close));
        let kinds = [(Some(15), true), (None, true), (Some(15), false), (Some(9), true), (None, false), (Some(15), true)];
        let members = kinds.map(|(window, relay)| {
            let mailbox = member(&terms, window);
            group.join(mailbox.clone(), relay);
            mailbox
        });
        let mut expected = kinds.map(|_| Vec::<(String, Option<ConflationKey>)>::new());
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish { len, key, is_event, except } => {
                    let text = format!("{n:<len$}");
                    let tag = (key > 0).then(|| ConflationKey::new(&name, &key.to_string().try_into().unwrap(), is_event));
                    let left_out = members.get(except).map(|mailbox| mailbox.id());
                    let parcel = PreparedMessage::new(encoded(&text), tag.clone());
                    prop_assert!(append(&group, Pending::new(parcel, is_event, left_out), PENDING).is_ok());
                    for (at, (expected, (_, relay))) in expected.iter_mut().zip(kinds).enumerate() {
                        if at != except && (relay || !is_event) {
                            expected.retain(|(_, older)| tag.is_none() || *older != tag);
                            expected.push((text.clone(), tag.clone()));
                        }
                    }
                }
                Step::Read(at) => {
                    let texts: Vec<_> = expected[at].drain(..).map(|(text, _)| text).collect();
                    prop_assert_eq!(waiting(&members[at]).1, texts, "{:?}", kinds[at]);
                }
            }
        }
        for ((mailbox, expected), kind) in members.iter().zip(expected).zip(kinds) {
            let texts: Vec<_> = expected.into_iter().map(|(text, _)| text).collect();
            prop_assert_eq!(waiting(mailbox).1, texts, "{:?}", kind);
            mailbox.close(Close::Abort);
        }
        prop_assert_eq!(budget.used(), 0);
    }
}

/// A member, whose frames wait for the end of its handshake; `None` for one that does not
/// compress.
fn member(terms: &Arc<ConnectionSettings>, window: Option<u8>) -> Arc<Mailbox> {
    let deflate = window.map(|bits| WindowBits::new(bits).unwrap());
    Mailbox::connection(terms.clone(), Extensions { deflate })
}

fn terms(deflate: Deflate) -> Arc<ConnectionSettings> {
    ConnectionSettings::of(Config::new().deflate(deflate))
}

fn encoded(text: &str) -> EncodedFrame {
    EncodedFrame::message(&Message::Text(text.to_owned()))
}

fn publish(group: &Arc<Group>, text: &str, except: Option<u64>) {
    let message = Pending::new(PreparedMessage::new(encoded(text), None), false, except);
    assert!(append(group, message, PENDING).is_ok());
}

/// The frames that wait at a member, and the messages in them.
fn waiting(mailbox: &Mailbox) -> (Vec<u8>, Vec<String>) {
    let mut wire = Vec::new();
    let flushed = mailbox.poll_flush(|slices: &[IoSlice<'_>]| {
        let before = wire.len();
        slices
            .iter()
            .for_each(|slice| wire.extend_from_slice(slice));
        Poll::Ready(Ok(wire.len() - before))
    });
    assert!(matches!(flushed.1, Poll::Ready(Ok(()))));
    let deflate = Some(WindowBits::MAX);
    let mut decoder = Decoder::new(Role::Client, 1 << 20).with(Extensions { deflate });
    let (mut input, mut at) = (wire.clone(), 0);
    let mut texts = Vec::new();
    while let Some(incoming) = decoder.decode(&mut input, &mut at).unwrap() {
        let Incoming::Text(text) = incoming else {
            panic!("{incoming:?}");
        };
        texts.push(text);
    }
    (wire, texts)
}

/// No runtime is entered, so that each message is delivered when it is published.
#[test]
fn a_broadcast_is_compressed_once_for_each_window_in_use() {
    let terms = terms(Deflate::new());
    let group = Arc::new(Group::new(
        GroupName::try_from("room").unwrap(),
        Overflow::Close,
    ));
    let windows = [
        Some(15),
        None,
        Some(15),
        Some(12),
        Some(9),
        Some(12),
        None,
        Some(15),
    ];
    let members = windows.map(|window| member(&terms, window));
    for mailbox in &members {
        group.join(mailbox.clone(), false);
    }
    let texts = [
        "short".to_owned(),
        "a long one, ".repeat(500),
        "b".repeat(256),
    ];
    let before = compressions();
    for text in &texts {
        publish(&group, text, None);
    }
    assert_eq!(
        compressions() - before,
        2 * 3,
        "two long enough, three windows"
    );

    let got = members.each_ref().map(|mailbox| waiting(mailbox));
    for ((wire, got), window) in got.iter().zip(windows) {
        assert_eq!(got, &texts, "{window:?}");
        assert_eq!(wire[0], 0x81, "a short one is sent as it is");
        let is_compressed = wire[7] == 0xC1;
        assert_eq!(is_compressed, window.is_some());
        assert!(wire.len() > 6000 || window.is_some());
        assert!(wire.len() < 500 || window.is_none());
    }
    assert_eq!(got[0].0, got[2].0);
    assert_eq!(got[3].0, got[5].0);
}

#[test]
fn members_with_different_messages_share_compressed_forms() {
    let terms = terms(Deflate::new());
    let group = Arc::new(Group::new(
        GroupName::try_from("room").unwrap(),
        Overflow::Close,
    ));
    let members = [Some(15), Some(15), None].map(|window| member(&terms, window));
    for mailbox in &members {
        group.join(mailbox.clone(), true);
    }
    let before = compressions();
    let (first, second) = ("x".repeat(300), "y".repeat(300));
    publish(&group, &first, Some(members[0].id()));
    publish(&group, &second, None);
    assert_eq!(compressions() - before, 2);
    let both = [first, second];
    assert_eq!(waiting(&members[0]).1, both[1..]);
    assert_eq!(waiting(&members[1]).1, both);
    assert_eq!(waiting(&members[2]).1, both);
}

#[test]
fn routes_with_their_own_options_get_their_own_forms() {
    let group = Arc::new(Group::new(
        GroupName::try_from("room").unwrap(),
        Overflow::Close,
    ));
    let options = [
        Deflate::new(),
        Deflate::new().min_len(1000),
        Deflate::new().level(9),
        Deflate::new().min_len(1000).level(9),
    ];
    let members = options.map(|options| member(&terms(options), Some(15)));
    for mailbox in &members {
        group.join(mailbox.clone(), false);
    }
    let text = "Hello, world! ".repeat(40);
    let before = compressions();
    publish(&group, &text, None);
    assert_eq!(compressions() - before, 2, "one for each level");
    let first = members.each_ref().map(|mailbox| {
        let (wire, texts) = waiting(mailbox);
        assert_eq!(texts, std::slice::from_ref(&text));
        wire[0]
    });
    assert_eq!(first, [0xC1, 0x81, 0xC1, 0x81]);
}

#[test]
fn clones_of_an_event_share_what_was_compressed_of_it() {
    let terms = terms(Deflate::new());
    let members = [Some(15), Some(15), Some(10)].map(|window| member(&terms, window));
    let event = EncodedFrame::event("{\"type\":\"a\"}".repeat(50).as_bytes());
    let before = compressions();
    let forms = members.map(|mailbox| event.clone().compressed(mailbox.compression().unwrap()));
    assert_eq!(compressions() - before, 2);
    assert_eq!(forms[0].bytes().as_ptr(), forms[1].bytes().as_ptr());
    assert_ne!(forms[0].bytes().as_ptr(), forms[2].bytes().as_ptr());
    // One that compressing does not shorten is tried once, too.
    let noise: String = (0..400_u32)
        .map(|n| char::from(33 + (n.wrapping_mul(2_654_435_769) >> 22) as u8 % 90))
        .collect();
    let event = EncodedFrame::event(&noise.as_bytes()[..300]);
    let compression = member(&terms, Some(15)).compression().unwrap();
    let before = compressions();
    for _ in 0..3 {
        event.compressed(compression);
    }
    assert_eq!(compressions() - before, 1);
}
