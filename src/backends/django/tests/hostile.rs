//! Entries of a hostile writer: their cost is bounded, and the valid ones among them still arrive.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use std::collections::BTreeSet;
use std::iter::repeat_n;

use crate::backends::django::codec::{Codec, SerializerFormat};
use crate::backends::django::output::Unreadable;

#[test]
fn names_are_kept_once_and_only_if_they_can_be_channels() {
    let (longest, too_long) = ("é".repeat(99), "a".repeat(100));
    let rows: [(&str, Vec<String>, &[&str], bool); 6] = [
        ("one", vec!["s.a!1".into()], &["s.a!1"], false),
        // One byte each.
        (
            "empty names",
            [vec![String::new(); 8_000_000], vec!["s.a!1".into()]].concat(),
            &["s.a!1"],
            true,
        ),
        ("one name", vec!["s.a!1".into(); 400_000], &["s.a!1"], false),
        ("the longest", vec![longest.clone()], &[&longest], false),
        ("too long", vec![too_long, "s.a!1".into()], &["s.a!1"], true),
        (
            "a huge one",
            vec!["a".repeat(8_000_000), "s.a!1".into()],
            &["s.a!1"],
            true,
        ),
    ];
    for (case, names, kept, odd) in rows {
        let entry = codec(SerializerFormat::MsgPack).open(&naming(&names));
        let reserved = entry.unwrap().reserved;
        let kept: BTreeSet<_> = kept.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(reserved.channels, kept, "{case}");
        assert_eq!(reserved.has_odd_channels, odd, "{case}");
    }
}

#[test]
fn an_entry_names_at_most_131072_channels() {
    for (count, wrong) in [(131_072, None), (131_073, Some(Unreadable::MANY))] {
        let names: Vec<_> = (0..count).map(|number| format!("s.a!{number:x}")).collect();
        let opened = codec(SerializerFormat::MsgPack).open(&naming(&names));
        assert_eq!(opened.err(), wrong, "{count} channels");
    }
}

#[test]
fn a_bomb_is_refused_by_its_own_length() {
    let mut entry = b"\x82\xa4type\xa1t\xa1v".to_vec();
    let start = entry.len();
    let long = |marker: u8| [&[marker][..], &u32::MAX.to_be_bytes()].concat();
    let rows: [(&str, Vec<u8>, &str); 8] = [
        ("nested arrays", vec![0x91; 1_000_000], "nested"),
        ("nested maps", b"\x81\xa1k".repeat(300_000), "nested"),
        ("an array of four billion", long(0xdd), "ends in the middle"),
        ("a map of four billion", long(0xdf), "ends in the middle"),
        ("text of four billion", long(0xdb), "ends in the middle"),
        ("bytes of four billion", long(0xc6), "ends in the middle"),
        (
            "a value that grows to five times as JSON",
            [
                &[0xdd][..],
                &8_000_000_u32.to_be_bytes(),
                &vec![0xc0; 8_000_000],
            ]
            .concat(),
            "too large",
        ),
        (
            "more bytes than an entry has",
            vec![0xc0; 8 * 1024 * 1024],
            "too large",
        ),
    ];
    for (case, value, wrong) in rows {
        entry.truncate(start);
        entry.extend(value);
        let opened = codec(SerializerFormat::MsgPack).open(&entry);
        let why = opened.err().unwrap().0;
        assert!(why.contains(wrong), "{case}: {why}");
    }
    let json = codec(SerializerFormat::Json);
    for (case, value) in [("arrays", "["), ("maps", "{\"k\":")] {
        let nested: String = repeat_n(value, 100_000).collect();
        let text = format!("{{\"type\":\"t\",\"v\":{nested}");
        let why = json.open(text.as_bytes()).err().unwrap();
        assert_eq!(why, Unreadable::DEEP, "{case}");
    }
}

/// `{"type": "t", "__asgi_channel__": names}`.
fn naming(names: &[String]) -> Vec<u8> {
    let mut entry = b"\x82\xa4type\xa1t\xb0__asgi_channel__\xdd".to_vec();
    entry.extend(u32::try_from(names.len()).unwrap().to_be_bytes());
    for name in names {
        match u8::try_from(name.len()) {
            Ok(short @ 0..32) => entry.push(0xa0 | short),
            _ => {
                entry.push(0xdb);
                entry.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
            }
        }
        entry.extend(name.as_bytes());
    }
    entry
}

fn codec(format: SerializerFormat) -> Codec {
    Codec {
        format,
        fernet: None,
        random_prefix: 0,
        max_age: None,
    }
}
