//! Messages in fragments (5.4).

use crate::websocket::tests::cases::row::{
    Row, got_bare_close, got_binary, got_ping, got_pong, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{
    binary, close_raw, first_binary, first_text, last, more, ping, pong, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = joined();
    rows.extend(empty_parts());
    rows.extend(interleaved());
    rows.extend(unfinished());
    rows.extend(orphans());
    rows.extend(unended());
    rows
}

fn joined() -> Vec<Row> {
    let (a, b) = ([1; 200], [2; 70_000]);
    vec![
        reads(
            "5.4",
            "text in two",
            [first_text("Hel"), last("lo")],
            [got_text("Hello")],
        ),
        reads(
            "5.4",
            "binary in two",
            [first_binary("Hel"), last("lo")],
            [got_binary("Hello")],
        ),
        reads(
            "5.4",
            "text in three",
            [first_text("a"), more("b"), last("c")],
            [got_text("abc")],
        ),
        reads(
            "5.4",
            "binary in five",
            [
                first_binary([0]),
                more([1]),
                more([2]),
                more([3]),
                last([4]),
            ],
            [got_binary([0, 1, 2, 3, 4])],
        ),
        reads(
            "5.4",
            "fragments with each form of length",
            [first_binary([0]), more(a), last(b)],
            [got_binary([&[0][..], &a, &b].concat())],
        ),
        reads(
            "5.4",
            "two fragmented messages",
            [first_text("a"), last("b"), first_binary("c"), last("d")],
            [got_text("ab"), got_binary("cd")],
        ),
        reads(
            "5.4",
            "a whole message after a fragmented one",
            [first_text("a"), last("b"), binary("c")],
            [got_text("ab"), got_binary("c")],
        ),
        reads(
            "5.4",
            "a fragmented message after a whole one",
            [binary("c"), first_text("a"), last("b")],
            [got_binary("c"), got_text("ab")],
        ),
    ]
}

fn empty_parts() -> Vec<Row> {
    vec![
        reads(
            "5.4",
            "empty first",
            [first_text(""), last("x")],
            [got_text("x")],
        ),
        reads(
            "5.4",
            "empty last",
            [first_text("x"), last("")],
            [got_text("x")],
        ),
        reads(
            "5.4",
            "all text parts empty",
            [first_text(""), more(""), last("")],
            [got_text("")],
        ),
        reads(
            "5.4",
            "all binary parts empty",
            [first_binary(""), more(""), last("")],
            [got_binary("")],
        ),
        reads(
            "5.4",
            "empty middle",
            [first_text("a"), more(""), more(""), last("b")],
            [got_text("ab")],
        ),
        reads(
            "5.4",
            "only the middle is not empty",
            [first_binary(""), more("abc"), last("")],
            [got_binary("abc")],
        ),
    ]
}

fn interleaved() -> Vec<Row> {
    vec![
        reads(
            "5.4",
            "ping between fragments",
            [first_text("a"), ping("p"), last("b")],
            [got_ping("p"), got_text("ab")],
        ),
        reads(
            "5.4",
            "pong between fragments",
            [first_binary("a"), pong(""), last("b")],
            [got_pong(""), got_binary("ab")],
        ),
        reads(
            "5.4",
            "long ping between fragments",
            [first_binary("a"), ping([3; 125]), last("b")],
            [got_ping([3; 125]), got_binary("ab")],
        ),
        reads(
            "5.4",
            "pings after each fragment",
            [
                first_text("a"),
                ping("1"),
                more("b"),
                ping("2"),
                more(""),
                pong("3"),
                last("c"),
            ],
            [got_ping("1"), got_ping("2"), got_pong("3"), got_text("abc")],
        ),
        reads(
            "5.4",
            "several pings at once between fragments",
            [
                first_text("a"),
                ping("1"),
                ping("2"),
                ping("3"),
                last("b"),
                ping("4"),
            ],
            [
                got_ping("1"),
                got_ping("2"),
                got_ping("3"),
                got_text("ab"),
                got_ping("4"),
            ],
        ),
        reads(
            "5.4",
            "ping inside a character",
            [first_text([0xE2, 0x82]), ping([0x80]), last([0xAC])],
            [got_ping([0x80]), got_text("€")],
        ),
        waits(
            "5.5.1",
            "close between fragments",
            [first_text("a"), close_raw("")],
            [got_bare_close()],
        ),
        waits(
            "5.4",
            "half a ping between fragments",
            [first_text("a"), ping("abcdef").payload_arrived(3)],
            [],
        ),
    ]
}

fn unfinished() -> Vec<Row> {
    vec![
        waits("5.4", "first text fragment", [first_text("a")], []),
        waits("5.4", "first binary fragment", [first_binary("a")], []),
        waits("5.4", "empty first fragment", [first_text("")], []),
        waits(
            "5.4",
            "no last fragment",
            [first_text("a"), more("b"), more("c")],
            [],
        ),
        waits(
            "5.4",
            "half a last fragment",
            [first_text("a"), last("bcd").payload_arrived(2)],
            [],
        ),
        waits(
            "5.4",
            "last fragment without payload",
            [first_text("a"), last("b").bytes_arrived(2)],
            [],
        ),
        waits(
            "5.4",
            "ping after a first fragment",
            [first_binary("a"), ping("p")],
            [got_ping("p")],
        ),
    ]
}

/// Continuations of nothing.
fn orphans() -> Vec<Row> {
    let first = |name, frame| {
        refuses("5.4", name, [frame], [], 1002)
            .at_last_byte()
            .saying("continuation of no message")
    };
    vec![
        first("last fragment first", last("x").bytes_arrived(1)),
        first("middle fragment first", more("x").bytes_arrived(1)),
        refuses(
            "5.4",
            "empty last fragment first",
            [last(""), text("x")],
            [],
            1002,
        ),
        refuses(
            "5.4",
            "continuation after a whole text",
            [text("a"), last("b")],
            [got_text("a")],
            1002,
        ),
        refuses(
            "5.4",
            "continuation after a whole binary",
            [binary("a"), more("b"), last("c")],
            [got_binary("a")],
            1002,
        ),
        refuses(
            "5.4",
            "continuation after the last fragment",
            [first_text("a"), last("b"), last("c")],
            [got_text("ab")],
            1002,
        ),
        refuses(
            "5.4",
            "continuation after a ping",
            [ping("p"), last("c")],
            [got_ping("p")],
            1002,
        ),
        refuses(
            "5.4",
            "continuation after a fragmented message and a ping",
            [first_text("a"), ping("p"), last("b"), more("c")],
            [got_ping("p"), got_text("ab")],
            1002,
        ),
    ]
}

/// New messages where the last one has not ended.
fn unended() -> Vec<Row> {
    vec![
        refuses(
            "5.4",
            "text after a first text",
            [first_text("a"), text("b").bytes_arrived(1)],
            [],
            1002,
        )
        .at_last_byte()
        .saying("before the last fragment"),
        refuses(
            "5.4",
            "binary after a first text",
            [first_text("a"), binary("b").bytes_arrived(1)],
            [],
            1002,
        )
        .at_last_byte(),
        refuses(
            "5.4",
            "first text twice",
            [first_text("a"), first_text("b"), last("c")],
            [],
            1002,
        ),
        refuses(
            "5.4",
            "first binary twice",
            [first_binary("a"), first_binary("b"), last("c")],
            [],
            1002,
        ),
        refuses(
            "5.4",
            "text after a middle fragment",
            [first_binary("a"), more("b"), text("c")],
            [],
            1002,
        ),
        refuses(
            "5.4",
            "text after an empty first fragment",
            [first_text(""), text("c")],
            [],
            1002,
        ),
        refuses(
            "5.4",
            "text after a first fragment and a ping",
            [first_text("a"), ping("p"), text("b")],
            [got_ping("p")],
            1002,
        ),
    ]
}
