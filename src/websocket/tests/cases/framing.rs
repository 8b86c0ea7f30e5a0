//! The first byte: FIN, the reserved bits and the opcode (5.2).

use crate::websocket::tests::cases::row::{Row, got_binary, got_ping, got_text, refuses, waits};
use crate::websocket::tests::wire::{
    RSV1, RSV2, RSV3, binary, close, first_binary, first_text, last, more, ping, pong, raw, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = reserved_bits();
    rows.extend(reserved_bits_later());
    rows.extend(reserved_opcodes());
    rows.extend(reserved_opcodes_later());
    rows
}

fn reserved_bits() -> Vec<Row> {
    let sets = [
        ("RSV3", RSV3),
        ("RSV2", RSV2),
        ("RSV2 and RSV3", RSV2 | RSV3),
        ("RSV1", RSV1),
        ("RSV1 and RSV3", RSV1 | RSV3),
        ("RSV1 and RSV2", RSV1 | RSV2),
        ("all of RSV", RSV1 | RSV2 | RSV3),
    ];
    let mut rows = Vec::new();
    for (bits, set) in sets {
        let whole = text("Hello").flip(set);
        rows.push(
            refuses("5.2", format!("{bits} in a text"), [whole], [], 1002).saying("reserved bit"),
        );
        let cut = ping("").flip(set).bytes_arrived(1);
        rows.push(
            refuses("5.2", format!("{bits} in a ping"), [cut], [], 1002)
                .at_last_byte()
                .saying("reserved bit"),
        );
    }
    rows
}

fn reserved_bits_later() -> Vec<Row> {
    let bit = |name, frame| refuses("5.2", name, [frame], [], 1002);
    vec![
        bit("RSV1 in a binary", binary("x").flip(RSV1)),
        bit("RSV2 in an empty binary", binary("").flip(RSV2)),
        bit("RSV1 in a first fragment", first_text("x").flip(RSV1)),
        bit("RSV3 in a pong", pong("x").flip(RSV3)),
        bit("RSV1 in a close", close(1000, "").flip(RSV1)),
        bit("RSV2 and a reserved opcode", raw(0x83, "").flip(RSV2)).saying("reserved bit"),
        refuses(
            "5.2",
            "RSV1 in a second message",
            [text("one"), text("two").flip(RSV1).bytes_arrived(1)],
            [got_text("one")],
            1002,
        )
        .at_last_byte(),
        refuses(
            "5.2",
            "RSV2 in a middle fragment",
            [first_text("a"), more("b").flip(RSV2), last("c")],
            [],
            1002,
        ),
        refuses(
            "5.2",
            "RSV3 in a last fragment",
            [first_binary("a"), last("b").flip(RSV3).bytes_arrived(1)],
            [],
            1002,
        )
        .at_last_byte(),
        refuses(
            "5.2",
            "RSV1 in a ping between fragments",
            [first_text("a"), ping("p").flip(RSV1), last("b")],
            [],
            1002,
        ),
        refuses(
            "5.2",
            "RSV1 after a ping between fragments",
            [first_text("a"), ping("p"), last("b").flip(RSV1)],
            [got_ping("p")],
            1002,
        ),
        waits(
            "5.2",
            "nothing but a first byte",
            [text("x").bytes_arrived(1)],
            [],
        ),
    ]
}

fn reserved_opcodes() -> Vec<Row> {
    let mut rows = Vec::new();
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        let name = format!("reserved opcode 0x{opcode:x}");
        let whole = raw(0x80 | opcode, "payload");
        rows.push(refuses("5.2", name, [whole], [], 1002).saying("reserved opcode 0x"));

        let name = format!("reserved opcode 0x{opcode:x} without FIN");
        let cut = raw(opcode, "").bytes_arrived(1);
        rows.push(
            refuses("5.2", name, [cut], [], 1002)
                .at_last_byte()
                .saying("reserved opcode 0x"),
        );
    }
    rows
}

fn reserved_opcodes_later() -> Vec<Row> {
    vec![
        refuses(
            "5.2",
            "reserved data opcode after a message",
            [binary([1, 2]), raw(0x84, ""), text("never")],
            [got_binary([1, 2])],
            1002,
        )
        .saying("0x4"),
        refuses(
            "5.2",
            "reserved control opcode after a ping",
            [ping("p"), raw(0x8C, "x"), ping("never")],
            [got_ping("p")],
            1002,
        )
        .saying("0xc"),
        refuses(
            "5.2",
            "reserved data opcode between fragments",
            [first_text("a"), raw(0x85, "b"), last("c")],
            [],
            1002,
        ),
        refuses(
            "5.2",
            "reserved control opcode between fragments",
            [first_text("a"), raw(0x8E, "b"), last("c")],
            [],
            1002,
        ),
        refuses(
            "5.2",
            "reserved opcode, unmasked",
            [raw(0x83, "").unmasked()],
            [],
            1002,
        )
        .saying("reserved opcode"),
        refuses(
            "5.2",
            "reserved opcode over the limit",
            [raw(0x83, [0; 9])],
            [],
            1002,
        )
        .limit(8),
    ]
}
