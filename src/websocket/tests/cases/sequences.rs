//! The examples of the RFC (5.7) and longer conversations.

use crate::websocket::tests::cases::row::{
    Row, got_bare_close, got_binary, got_close, got_ping, got_pong, got_text, reads, waits,
};
use crate::websocket::tests::wire::{
    binary, close, close_raw, first_binary, first_text, last, more, ping, pong, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = examples();
    rows.extend(conversations());
    rows
}

fn examples() -> Vec<Row> {
    let kib64 = vec![0x55; 65_536];
    vec![
        reads(
            "5.7",
            "single unmasked text",
            [text("Hello")],
            [got_text("Hello")],
        )
        .client_only(),
        reads(
            "5.7",
            "single masked text",
            [text("Hello")],
            [got_text("Hello")],
        )
        .server_only(),
        reads(
            "5.7",
            "fragmented unmasked text",
            [first_text("Hel"), last("lo")],
            [got_text("Hello")],
        )
        .client_only(),
        reads("5.7", "unmasked ping", [ping("Hello")], [got_ping("Hello")]).client_only(),
        reads("5.7", "masked pong", [pong("Hello")], [got_pong("Hello")]).server_only(),
        reads(
            "5.7",
            "256 bytes, unmasked",
            [binary([0xAB; 256])],
            [got_binary([0xAB; 256])],
        )
        .client_only(),
        reads(
            "5.7",
            "64 KiB, unmasked",
            [binary(&kib64)],
            [got_binary(&kib64)],
        )
        .client_only(),
    ]
}

fn conversations() -> Vec<Row> {
    vec![
        reads("5", "nothing at all", [], []),
        reads(
            "5",
            "two empty texts",
            [text(""), text("")],
            [got_text(""), got_text("")],
        ),
        reads(
            "5",
            "small messages of both kinds",
            [text("a"), binary("b"), text("c"), binary("")],
            [
                got_text("a"),
                got_binary("b"),
                got_text("c"),
                got_binary(""),
            ],
        ),
        reads(
            "5",
            "every opcode",
            [
                text("t"),
                binary("b"),
                ping("i"),
                pong("o"),
                first_text("f"),
                more("m"),
                last("l"),
                close_raw(""),
            ],
            [
                got_text("t"),
                got_binary("b"),
                got_ping("i"),
                got_pong("o"),
                got_text("fml"),
                got_bare_close(),
            ],
        ),
        reads(
            "5",
            "short, long and short again",
            [text("a"), binary([9; 500]), text("b"), close(1001, "")],
            [
                got_text("a"),
                got_binary([9; 500]),
                got_text("b"),
                got_close(1001, ""),
            ],
        ),
        reads(
            "5",
            "fragmented messages with pings around",
            [
                ping("1"),
                first_binary([1; 130]),
                ping("2"),
                last([2; 130]),
                ping("3"),
                first_text("é"),
                last("è"),
                ping("4"),
            ],
            [
                got_ping("1"),
                got_ping("2"),
                got_binary([[1; 130], [2; 130]].concat()),
                got_ping("3"),
                got_text("éè"),
                got_ping("4"),
            ],
        ),
        waits(
            "5",
            "the last of several is incomplete",
            [text("a"), ping("b"), text("cde").payload_arrived(2)],
            [got_text("a"), got_ping("b")],
        ),
    ]
}
