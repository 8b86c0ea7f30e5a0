//! The limit of a message: 1009, told by the header (7.4.1, 10.4).

use crate::websocket::tests::cases::row::{
    Row, got_binary, got_ping, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{
    Frame, binary, first_binary, first_text, last, more, ping, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = within();
    rows.extend(one_frame());
    rows.extend(fragments());
    rows.extend(enormous());
    rows
}

fn within() -> Vec<Row> {
    vec![
        reads(
            "10.4",
            "text as long as the limit",
            [text("12345")],
            [got_text("12345")],
        )
        .limit(5),
        reads(
            "10.4",
            "binary as long as the limit",
            [binary([0; 300])],
            [got_binary([0; 300])],
        )
        .limit(300),
        reads(
            "10.4",
            "fragments as long as the limit",
            [first_text("12"), last("345")],
            [got_text("12345")],
        )
        .limit(5),
        reads(
            "10.4",
            "empty text under a limit of zero",
            [text("")],
            [got_text("")],
        )
        .limit(0),
        reads(
            "10.4",
            "empty fragments under a limit of zero",
            [first_binary(""), more(""), last("")],
            [got_binary("")],
        )
        .limit(0),
        reads(
            "10.4",
            "the limit is each message's",
            [text("12345"), first_text("123"), last("45"), text("12345")],
            [got_text("12345"), got_text("12345"), got_text("12345")],
        )
        .limit(5),
        reads(
            "10.4",
            "pings do not count",
            [first_text("12"), ping([0; 125]), last("345")],
            [got_ping([0; 125]), got_text("12345")],
        )
        .limit(5),
        reads(
            "10.4",
            "empty fragments after the limit is reached",
            [first_text("12345"), more(""), more(""), last("")],
            [got_text("12345")],
        )
        .limit(5),
        reads("10.4", "no limit", [text("x")], [got_text("x")]).limit(usize::MAX),
    ]
}

/// Refused by the last byte of the length, before the mask and the payload.
fn too_big(name: &'static str, frame: Frame, header: usize) -> Row {
    refuses("10.4", name, [frame.bytes_arrived(header)], [], 1009).at_last_byte()
}

fn one_frame() -> Vec<Row> {
    vec![
        too_big("text of one over the limit", text("123456"), 2)
            .limit(5)
            .saying("longer than 5 bytes"),
        too_big("binary of one over the limit", binary("123456"), 2).limit(5),
        too_big("text of one under a limit of zero", text("1"), 2).limit(0),
        too_big("first fragment over the limit", first_text("123456"), 2).limit(5),
        too_big(
            "first binary fragment over the limit",
            first_binary([0; 200]),
            4,
        )
        .limit(199),
        too_big("16-bit length over the limit", binary([0; 300]), 4).limit(299),
        too_big("65,535 over the limit", binary("").len(65_535), 4).limit(65_534),
        too_big("65,536 over the limit", binary("").len(65_536), 10).limit(65_535),
        refuses(
            "10.4",
            "over the limit, whole",
            [text("123456"), text("x")],
            [],
            1009,
        )
        .limit(5),
        refuses(
            "10.4",
            "over the limit and bad",
            [text([0xFF; 6])],
            [],
            1009,
        )
        .limit(5),
        refuses(
            "10.4",
            "second message over the limit",
            [text("12345"), text("123456")],
            [got_text("12345")],
            1009,
        )
        .limit(5),
    ]
}

fn fragments() -> Vec<Row> {
    vec![
        refuses(
            "10.4",
            "last fragment over the limit",
            [first_text("123"), last("456").bytes_arrived(2)],
            [],
            1009,
        )
        .limit(5)
        .at_last_byte(),
        refuses(
            "10.4",
            "middle fragment over the limit",
            [first_binary("12"), more("34"), more("56").bytes_arrived(2)],
            [],
            1009,
        )
        .limit(5)
        .at_last_byte(),
        refuses(
            "10.4",
            "one byte more after the limit is reached",
            [first_text("12345"), more(""), last("6").bytes_arrived(2)],
            [],
            1009,
        )
        .limit(5)
        .at_last_byte(),
        refuses(
            "10.4",
            "the beginning of a character counts",
            [
                first_text([b'1', b'2', 0xE2, 0x82]),
                last([0xAC, b'3']).bytes_arrived(2),
            ],
            [],
            1009,
        )
        .limit(5)
        .at_last_byte(),
        refuses(
            "10.4",
            "fragment over the limit after a ping",
            [first_text("123"), ping("p"), last("456")],
            [got_ping("p")],
            1009,
        )
        .limit(5),
        refuses(
            "10.4",
            "sum of lengths does not wrap",
            [
                first_binary("1"),
                last("").len64((1 << 63) - 1).bytes_arrived(10),
            ],
            [],
            1009,
        )
        .at_last_byte(),
    ]
}

/// Lengths nobody could hold: refused, or waited for without any memory.
fn enormous() -> Vec<Row> {
    let largest = (1 << 63) - 1;
    vec![
        too_big("largest length", binary("").len64(largest), 10),
        too_big("4 GiB", binary("").len64(1 << 32), 10),
        too_big("4 GiB and a few", text("").len64((1 << 32) + 5), 10),
        waits(
            "10.4",
            "largest length and no limit",
            [binary("abc").len64(largest).payload_arrived(3)],
            [],
        )
        .limit(usize::MAX),
        waits(
            "10.4",
            "largest text and no limit",
            [text("abc").len64(largest).payload_arrived(3)],
            [],
        )
        .limit(usize::MAX),
    ]
}
