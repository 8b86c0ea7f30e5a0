//! UTF-8, checked as it streams (5.6, 8.1).

use crate::websocket::tests::cases::row::{
    Row, got_binary, got_ping, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{binary, first_binary, first_text, last, more, ping, text};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = valid();
    rows.extend(invalid());
    rows.extend(truncated());
    rows.extend(across_fragments());
    rows.extend(bad_across_fragments());
    rows.extend(not_text());
    rows
}

fn valid() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, string) in [
        ("a NUL", "\u{0}"),
        ("U+007F", "\u{7F}"),
        ("U+0080", "\u{80}"),
        ("U+07FF", "\u{7FF}"),
        ("U+0800", "\u{800}"),
        ("U+D7FF, before the surrogates", "\u{D7FF}"),
        ("U+E000, after the surrogates", "\u{E000}"),
        ("U+FFFD", "\u{FFFD}"),
        ("U+FFFE, a noncharacter", "\u{FFFE}"),
        ("U+FFFF, a noncharacter", "\u{FFFF}"),
        ("U+10000", "\u{10000}"),
        ("U+1FFFF, a noncharacter", "\u{1FFFF}"),
        ("U+10FFFF", "\u{10FFFF}"),
        ("a byte order mark", "\u{FEFF}x"),
        ("combining marks", "e\u{301}o\u{308}"),
        ("every width", "aé€🦀aé€🦀"),
        ("text that looks like a frame", "\u{1}\u{5}Hello"),
        ("cyrillic longer than two words", "быстрый codec без копий"),
    ] {
        rows.push(reads(
            "5.6",
            format!("text of {name}"),
            [text(string)],
            [got_text(string)],
        ));

        let (first, second) = string.as_bytes().split_at(1);
        rows.push(reads(
            "8.1",
            format!("text of {name}, second fragment from its second byte"),
            [first_text(first), last(second)],
            [got_text(string)],
        ));
    }
    rows
}

/// Bytes that cannot begin any UTF-8, up to the first at which that is certain.
const HOPELESS: [(&str, &[u8]); 25] = [
    ("0x80 alone", &[0x80]),
    ("0xBF alone", &[0xBF]),
    ("overlong slash in two bytes", &[0xC0]),
    ("0xC1", &[0xC1]),
    ("overlong NUL in three bytes", &[0xE0, 0x80]),
    ("overlong U+07FF in three bytes", &[0xE0, 0x9F]),
    ("overlong NUL in four bytes", &[0xF0, 0x80]),
    ("overlong U+FFFF in four bytes", &[0xF0, 0x8F]),
    ("first high surrogate", &[0xED, 0xA0]),
    ("last high surrogate", &[0xED, 0xAF]),
    ("first low surrogate", &[0xED, 0xB0]),
    ("last low surrogate", &[0xED, 0xBF]),
    ("U+110000", &[0xF4, 0x90]),
    ("U+13FFFF", &[0xF4, 0xBF]),
    ("0xF5", &[0xF5]),
    ("five-byte lead", &[0xF8]),
    ("six-byte lead", &[0xFC]),
    ("0xFE", &[0xFE]),
    ("0xFF", &[0xFF]),
    ("two-byte lead, then ASCII", &[0xC3, 0x41]),
    ("three-byte lead, then ASCII", &[0xE2, 0x41]),
    ("three-byte lead, one more, then ASCII", &[0xE2, 0x82, 0x41]),
    (
        "four-byte lead, two more, then ASCII",
        &[0xF0, 0x9F, 0xA6, 0x41],
    ),
    ("two-byte lead, then another", &[0xC3, 0xC3]),
    (
        "four-byte lead, two more, then a lead",
        &[0xF0, 0x9F, 0xA6, 0xE2],
    ),
];

fn invalid() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bad) in HOPELESS {
        let payload = [b"ab\xC3\xA9", bad].concat();
        rows.push(
            refuses("8.1", format!("text of {name}"), [text(&payload)], [], 1007)
                .at_last_byte()
                .saying("text message"),
        );
        rows.push(
            refuses(
                "8.1",
                format!("{name} in a frame of which the rest is missing"),
                [text(&payload).len(payload.len() + 60_000)],
                [],
                1007,
            )
            .at_last_byte(),
        );
        rows.push(
            refuses(
                "8.1",
                format!("{name} in a fragment though more would follow"),
                [first_text("x"), more(&payload).len(payload.len() + 200)],
                [],
                1007,
            )
            .at_last_byte(),
        );
    }
    rows
}

/// Text that is right so far but ends inside a character.
fn truncated() -> Vec<Row> {
    let cuts: [(&str, &[u8]); 6] = [
        ("one of two", &[0xC3]),
        ("one of three", &[0xE2]),
        ("two of three", &[0xE2, 0x82]),
        ("one of four", &[0xF0]),
        ("two of four", &[0xF0, 0x9F]),
        ("three of four", &[0xF0, 0x9F, 0xA6]),
    ];
    let mut rows = Vec::new();
    for (name, cut) in cuts {
        let payload = [b"abc", cut].concat();
        rows.push(
            refuses(
                "8.1",
                format!("text ends with {name}"),
                [text(&payload)],
                [],
                1007,
            )
            .at_last_byte(),
        );
        rows.push(waits(
            "8.1",
            format!("fragment ends with {name}"),
            [first_text(&payload)],
            [],
        ));
        rows.push(waits(
            "8.1",
            format!("frame has come to {name}"),
            [text(&payload).len(payload.len() + 3)],
            [],
        ));
        rows.push(refuses(
            "8.1",
            format!("message ends with {name} and an empty fragment"),
            [first_text(&payload), last("")],
            [],
            1007,
        ));
    }
    rows
}

fn across_fragments() -> Vec<Row> {
    vec![
        reads(
            "8.1",
            "a crab in four fragments",
            [first_text([0xF0]), more([0x9F]), more([0xA6]), last([0x80])],
            [got_text("🦀")],
        ),
        reads(
            "8.1",
            "a crab with empty fragments inside",
            [
                first_text([0xF0, 0x9F]),
                more(""),
                more([0xA6]),
                more(""),
                last([0x80]),
            ],
            [got_text("🦀")],
        ),
        reads(
            "8.1",
            "characters cut at both ends of a fragment",
            [
                first_text([b'a', 0xE2]),
                more([0x82, 0xAC, b'b', 0xC3]),
                last([0xA9, b'c']),
            ],
            [got_text("a€béc")],
        ),
        reads(
            "8.1",
            "a tail completed to nothing more",
            [first_text([b'a', 0xE2, 0x82]), last([0xAC])],
            [got_text("a€")],
        ),
        reads(
            "8.1",
            "pings inside a character",
            [
                first_text([0xF0]),
                ping("1"),
                more([0x9F, 0xA6]),
                ping("2"),
                last([0x80]),
            ],
            [got_ping("1"), got_ping("2"), got_text("🦀")],
        ),
        reads(
            "8.1",
            "no tail is left for the next message",
            [first_text([0xC3]), last([0xA9]), text("ok")],
            [got_text("é"), got_text("ok")],
        ),
    ]
}

fn bad_across_fragments() -> Vec<Row> {
    let two = |name, first: &[u8], second: &[u8]| {
        refuses("8.1", name, [first_text(first), last(second)], [], 1007)
    };
    vec![
        two("lead, then a fragment of ASCII", &[0xC3], b"abc"),
        two(
            "lead of three, then a surrogate's second",
            &[0xED],
            &[0xA0, 0x80],
        ),
        two(
            "lead of three, then an overlong second",
            &[0xE0],
            &[0x80, 0x80],
        ),
        two(
            "lead of four, then beyond the last plane",
            &[0xF4],
            &[0x90, 0x80, 0x80],
        ),
        two("two of three, then a lead", &[0xE2, 0x82], &[0xC3, 0xA9]),
        two(
            "whole characters, then a continuation",
            "é".as_bytes(),
            &[0xA9],
        ),
        two("the same character's end twice", &[0xC3], &[0xA9, 0xA9]),
        two("bad first fragment", &[0xFF], b"good"),
        refuses(
            "8.1",
            "bad first fragment though more are due",
            [first_text([b'a', 0xFF]), ping("never")],
            [],
            1007,
        ),
        refuses(
            "8.1",
            "bad middle fragment",
            [first_text("a"), more([0xFE]), last("b")],
            [],
            1007,
        ),
        refuses(
            "8.1",
            "bad text after good messages",
            [text("one"), binary([0xFF]), text([0xFF]), text("never")],
            [got_text("one"), got_binary([0xFF])],
            1007,
        ),
        refuses(
            "8.1",
            "bad text after a ping between fragments",
            [first_text("a"), ping("p"), last([0x80])],
            [got_ping("p")],
            1007,
        ),
    ]
}

fn not_text() -> Vec<Row> {
    let bad = [0xFF, 0xC0, 0x80, 0xED, 0xA0];
    vec![
        reads(
            "5.6",
            "binary need not be UTF-8",
            [binary(bad)],
            [got_binary(bad)],
        ),
        reads(
            "5.6",
            "fragmented binary need not be UTF-8",
            [first_binary(bad), last(bad)],
            [got_binary([bad, bad].concat())],
        ),
        reads(
            "5.6",
            "binary stays binary though it is UTF-8",
            [first_binary("é"), last("€")],
            [got_binary("é€")],
        ),
        waits(
            "5.6",
            "half a binary that is no UTF-8",
            [binary(bad).payload_arrived(3)],
            [],
        ),
    ]
}
