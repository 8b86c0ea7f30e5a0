//! Pings, pongs and what all control frames have in common (5.5).

use crate::websocket::tests::cases::row::{
    Row, got_ping, got_pong, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{
    FIN, Frame, close, close_raw, first_text, last, ping, pong, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = payloads();
    rows.extend(valid());
    rows.extend(too_long());
    rows.extend(fragmented());
    rows
}

/// Lengths around what is kept in place and what a control frame may carry.
fn payloads() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [0, 1, 4, 8, 29, 30, 31, 32, 124, 125] {
        let payload: Vec<u8> = (0..len).collect();
        rows.push(reads(
            "5.5.2",
            format!("ping of {len} bytes"),
            [ping(&payload)],
            [got_ping(&payload)],
        ));
        rows.push(reads(
            "5.5.3",
            format!("pong of {len} bytes"),
            [pong(&payload)],
            [got_pong(&payload)],
        ));
    }
    rows
}

fn valid() -> Vec<Row> {
    vec![
        reads(
            "5.5.2",
            "ping that is no text",
            [ping([0xFF, 0xFE])],
            [got_ping([0xFF, 0xFE])],
        ),
        reads(
            "5.5.3",
            "pong that is no text",
            [pong([0xC0, 0x80])],
            [got_pong([0xC0, 0x80])],
        ),
        reads(
            "5.5.2",
            "three pings in a row",
            [ping("1"), ping("2"), ping("3")],
            [got_ping("1"), got_ping("2"), got_ping("3")],
        ),
        reads(
            "5.5.3",
            "pong nobody asked for, then a message",
            [pong("?"), text("x")],
            [got_pong("?"), got_text("x")],
        ),
        reads(
            "5.5",
            "pings around a message",
            [ping("1"), text("x"), ping("2")],
            [got_ping("1"), got_text("x"), got_ping("2")],
        ),
        reads(
            "5.5",
            "limit of zero and a long ping",
            [ping([1; 125])],
            [got_ping([1; 125])],
        )
        .limit(0),
        waits(
            "5.5",
            "first byte of a ping",
            [ping("x").bytes_arrived(1)],
            [],
        ),
        waits(
            "5.5",
            "ping without its payload",
            [ping("x").payload_arrived(0)],
            [],
        ),
        waits(
            "5.5",
            "half a pong",
            [pong("123456").payload_arrived(3)],
            [],
        ),
        waits(
            "5.5",
            "half a close",
            [close(1000, "bye").payload_arrived(1)],
            [],
        ),
    ]
}

fn too_long() -> Vec<Row> {
    let long = |name, frame: Frame| {
        refuses("5.5", name, [frame.bytes_arrived(2)], [], 1002)
            .at_last_byte()
            .saying("more than 125 bytes")
    };
    vec![
        long("ping of 126 bytes", ping([0; 126])),
        long("pong of 126 bytes", pong([0; 126])),
        long("close of 126 bytes", close(1000, [b'x'; 124])),
        long("ping of 65,535 bytes", ping("").len(65_535)),
        long("pong of 65,536 bytes", pong("").len(65_536)),
        long("close of 70,000 bytes", close_raw("").len(70_000)),
        long("short ping in 16 bits", ping("x").len16(1)),
        long("short pong in 64 bits", pong("x").len64(1)),
        long("ping with the highest bit", ping("").len64(1 << 63)),
        refuses(
            "5.5",
            "ping of 126 bytes, whole",
            [ping([0; 126]), ping("")],
            [],
            1002,
        ),
        refuses(
            "5.5",
            "ping of 126 bytes over the limit",
            [ping([0; 126])],
            [],
            1002,
        )
        .limit(8),
        refuses(
            "5.5",
            "ping of 126 bytes between fragments",
            [first_text("a"), ping([0; 126]), last("b")],
            [],
            1002,
        ),
    ]
}

fn fragmented() -> Vec<Row> {
    let cut = |name, frame: Frame| {
        refuses("5.5", name, [frame.flip(FIN).bytes_arrived(1)], [], 1002)
            .at_last_byte()
            .saying("fragmented control frame")
    };
    vec![
        cut("ping without FIN", ping("x")),
        cut("pong without FIN", pong("x")),
        cut("close without FIN", close(1000, "")),
        refuses(
            "5.5",
            "empty ping without FIN",
            [ping("").flip(FIN), last("")],
            [],
            1002,
        ),
        refuses(
            "5.5",
            "ping without FIN between fragments",
            [first_text("a"), ping("p").flip(FIN), last("b")],
            [],
            1002,
        ),
        refuses(
            "5.5",
            "ping without FIN after a message",
            [text("a"), ping("p").flip(FIN)],
            [got_text("a")],
            1002,
        ),
        refuses(
            "5.5",
            "long ping without FIN",
            [ping([0; 126]).flip(FIN)],
            [],
            1002,
        )
        .saying("fragmented"),
    ]
}
