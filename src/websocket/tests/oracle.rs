//! Random streams of frames, good and bad, read by tungstenite and by us.
//!
//! Both must decode everything alike, except the list in `differences`.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::sample::{Index, select};
use proptest::{option, prop_assert, prop_assert_eq, prop_assume, prop_oneof, proptest};

use crate::websocket::tests::reference::{tungstenite_hears, we_hear};
use crate::websocket::tests::wire::{Frame, close, close_raw, ping, pong, raw};
use crate::websocket::{Incoming, Role};

proptest! {
    #![proptest_config(config())]

    /// Whole frames, mostly right: the same messages, and the same refusal with the same code.
    #[test]
    fn whole_frames_are_heard_alike(
        stream in stream(),
        role in role(),
        limit in limit(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let bytes = write(&stream, role);
        let pieces = cut(&bytes, &cuts);
        let theirs = tungstenite_hears(role, limit, &pieces);
        let ours = we_hear(role, limit, &pieces);
        prop_assert_eq!(ours, theirs);
    }

    /// A stream that stops somewhere: both refuse the same streams, but this codec may refuse
    /// earlier.
    #[test]
    fn early_refusals_are_right(
        stream in stream(),
        role in role(),
        limit in limit(),
        end in any::<Index>(),
        cuts in vec(any::<Index>(), 0..3),
    ) {
        let whole = write(&stream, role);
        let begun = &whole[..end.index(whole.len() + 1)];
        let ours = we_hear(role, limit, &cut(begun, &cuts));
        let theirs = tungstenite_hears(role, limit, &[begun.to_vec()]);
        prop_assert_eq!(&ours.messages, &theirs.messages);
        if ours.refused != theirs.refused {
            prop_assert_eq!(theirs.refused, None);
            let whole = tungstenite_hears(role, limit, &[whole]);
            prop_assert_eq!(ours.refused, whole.refused);
            prop_assert_eq!(ours.messages, whole.messages);
        }
    }

    /// A good stream with damaged bytes: we are never laxer.
    #[test]
    fn damage_they_see_we_see(
        stream in vec(phrase(), 1..5),
        role in role(),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<Index>(), 0..3),
    ) {
        let mut bytes = write(&stream.concat(), role);
        for (at, flip) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= flip;
            }
        }
        let pieces = cut(&bytes, &cuts);
        let ours = we_hear(role, LARGE, &pieces);
        let theirs = tungstenite_hears(role, LARGE, &pieces);
        prop_assume!(!ends_with_1014(&ours.messages));
        prop_assert!(
            theirs.messages.starts_with(&ours.messages),
            "we heard more: {ours:?} than {theirs:?}"
        );
        if ours.refused.is_none() {
            prop_assert_eq!(ours, theirs);
        }
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::Server, Role::Client])
}

/// More than any stream here can make of one message.
const LARGE: usize = 1 << 18;

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(LARGE), 1 => 0_usize..10, 2 => 10_usize..400]
}

/// Good phrases, and sometimes a strange frame among them.
fn stream() -> impl Strategy<Value = Vec<Frame>> {
    let strange = option::of((any::<Index>(), strange()));
    (vec(phrase(), 0..6), strange).prop_map(|(phrases, strange)| {
        let mut frames = phrases.concat();
        if let Some((at, frame)) = strange {
            frames.insert(at.index(frames.len() + 1), frame);
        }
        frames
    })
}

/// A message in fragments with control frames between them, or a control frame alone.
fn phrase() -> impl Strategy<Value = Vec<Frame>> {
    prop_oneof![
        8 => message(),
        2 => control().prop_map(|frame| vec![frame]),
        1 => closing().prop_map(|frame| vec![frame]),
    ]
}

fn message() -> impl Strategy<Value = Vec<Frame>> {
    let cuts = vec(any::<Index>(), 0..5);
    let between = vec(option::weighted(0.2, control()), 5);
    let keys = vec(any::<[u8; 4]>(), 6);
    (content(), cuts, between, keys).prop_map(|((opcode, content), cuts, between, keys)| {
        let parts = cut(&content, &cuts);
        let last = parts.len() - 1;
        let mut frames = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let opcode = if index == 0 { opcode } else { 0 };
            let fin = if index == last { 0x80 } else { 0 };
            frames.push(raw(fin | opcode, part).key(keys[index]));
            if index < last {
                frames.extend(between[index].clone());
            }
        }
        frames
    })
}

/// Opcode and payload of a message; text is now and then not UTF-8.
fn content() -> impl Strategy<Value = (u8, Vec<u8>)> {
    prop_oneof![
        8 => "[\\x00a-zé-ü€-₿🦀-🦞]{0,60}".prop_map(|text| (1, text.into_bytes())),
        4 => "\\PC{0,200}".prop_map(|text| (1, text.into_bytes())),
        1 => nearly_text().prop_map(|bytes| (1, bytes)),
        6 => vec(any::<u8>(), 0..300).prop_map(|bytes| (2, bytes)),
        1 => (any::<u8>(), 65_530_usize..65_545).prop_map(|(byte, len)| (2, vec![byte; len])),
    ]
}

/// Text with one byte overwritten or taken away.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let bytes = "[a-cé€🦀\u{D7FF}\u{10FFFF}]{1,12}".prop_map(String::into_bytes);
    (bytes, any::<Index>(), option::of(any::<u8>())).prop_map(|(mut bytes, at, byte)| {
        let at = at.index(bytes.len());
        match byte {
            Some(byte) => bytes[at] = byte,
            None => {
                bytes.remove(at);
            }
        }
        bytes
    })
}

fn control() -> impl Strategy<Value = Frame> {
    let payload = prop_oneof![vec(any::<u8>(), 0..=125), Just(vec![0; 125])];
    (any::<bool>(), payload, any::<[u8; 4]>()).prop_map(|(is_ping, payload, key)| {
        let frame = if is_ping {
            ping(payload)
        } else {
            pong(payload)
        };
        frame.key(key)
    })
}

/// Close frames, right or with one fault; neither 1014 nor a bad code with a bad reason.
fn closing() -> impl Strategy<Value = Frame> {
    let code = select(vec![1000, 1001, 1002, 1003, 1007, 1011, 1013, 3000, 4999]);
    let bad_code = prop_oneof![
        Just(1004),
        Just(1005),
        Just(1006),
        Just(1015),
        0_u16..1000,
        1016_u16..3000,
        5000_u16..,
    ];
    prop_oneof![
        3 => Just(close_raw("")),
        6 => (code.clone(), "\\PC{0,30}").prop_map(|(code, reason)| close(code, reason)),
        2 => (bad_code, "[a-z]{0,9}").prop_map(|(code, reason)| close(code, reason)),
        2 => (code, vec(any::<u8>(), 0..9)).prop_map(|(code, reason)| close(code, reason)),
        1 => any::<u8>().prop_map(|byte| close_raw([byte])),
    ]
}

/// A frame of any opcode, perhaps with a fault, where it may not belong.
fn strange() -> impl Strategy<Value = Frame> {
    let opcode = select(vec![0_u8, 0, 0, 1, 2, 3, 5, 7, 9, 10, 11, 15]);
    let rsv = prop_oneof![6 => Just(0_u8), 1 => (0_u8..8).prop_map(|bits| bits << 4)];
    let fin = select(vec![0_u8, 0x80, 0x80]);
    let payload = prop_oneof![
        3 => "[a-z€]{0,20}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..130),
        1 => vec(any::<u8>(), 124..128),
    ];
    let mask = prop_oneof![8 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    (opcode, rsv, fin, payload, mask).prop_map(|(opcode, rsv, fin, payload, mask)| {
        let frame = raw(fin | rsv | opcode, payload);
        match mask {
            None => frame,
            Some(true) => frame.masked(),
            Some(false) => frame.unmasked(),
        }
    })
}

fn write(frames: &[Frame], role: Role) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.write(role, &mut bytes);
    }
    bytes
}

/// `bytes` in pieces, empty ones among them.
fn cut(bytes: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = cuts.iter().map(|at| at.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in ends {
        pieces.push(bytes[start..end].to_vec());
        start = end;
    }
    pieces
}

fn ends_with_1014(messages: &[Incoming]) -> bool {
    let Some(Incoming::Close(Some(body))) = messages.last() else {
        return false;
    };
    body.code == 1014
}
