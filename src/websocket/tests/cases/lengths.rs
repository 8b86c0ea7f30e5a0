//! The payload length and its three forms (5.2).

use crate::websocket::tests::cases::row::{Row, got_binary, got_text, reads, refuses, waits};
use crate::websocket::tests::wire::{Frame, binary, first_text, last, text};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = valid();
    rows.extend(longer_than_needed());
    rows.extend(highest_bit());
    rows.extend(incomplete());
    rows
}

fn valid() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [
        0, 1, 124, 125, 126, 127, 128, 255, 256, 4096, 65_534, 65_535, 65_536, 65_537,
    ] {
        let payload = vec![b'*'; len];
        let told = "*".repeat(len);
        rows.push(reads(
            "5.2",
            format!("text of {len} bytes"),
            [text(&payload)],
            [got_text(told)],
        ));
        rows.push(reads(
            "5.2",
            format!("binary of {len} bytes"),
            [binary(&payload)],
            [got_binary(&payload)],
        ));
    }
    rows
}

fn longer_than_needed() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [0, 1, 5, 124, 125] {
        let frame = binary(vec![0; usize::from(len)]).len16(len);
        rows.push(wrong_form(format!("{len} in 16 bits"), frame, 4));
    }
    for len in [0, 1, 125, 126, 127, 256, 65_534, 65_535] {
        let frame = binary(vec![0; len as usize]).len64(len);
        rows.push(wrong_form(format!("{len} in 64 bits"), frame, 10));
    }
    rows.push(
        refuses(
            "5.2",
            "long form over the limit",
            [text([0; 9]).len16(9)],
            [],
            1002,
        )
        .limit(8),
    );
    rows.push(refuses(
        "5.2",
        "long form in a second message",
        [text("one"), text("two").len16(3)],
        [got_text("one")],
        1002,
    ));
    rows.push(refuses(
        "5.2",
        "long form in a last fragment",
        [first_text("one"), last("two").len64(3)],
        [],
        1002,
    ));
    rows
}

/// Seen at the last byte of the length, before the mask.
fn wrong_form(name: String, frame: Frame, header: usize) -> Row {
    refuses("5.2", name, [frame.bytes_arrived(header)], [], 1002)
        .at_last_byte()
        .saying("not in its shortest form")
}

fn highest_bit() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, len) in [
        ("highest bit alone", 1 << 63),
        ("highest bit and a small length", (1 << 63) | 5),
        ("highest bit and a right length", (1 << 63) | 65_536),
        ("all bits of the length", u64::MAX),
    ] {
        let frame = binary("").len64(len).bytes_arrived(10);
        rows.push(
            refuses("5.2", name, [frame], [], 1002)
                .at_last_byte()
                .saying("highest bit"),
        );
    }
    rows
}

fn incomplete() -> Vec<Row> {
    let long = || binary([7; 300]);
    let longer = || binary(vec![7; 70_000]);
    vec![
        waits(
            "5.2",
            "two bytes of a 16-bit header",
            [long().bytes_arrived(2)],
            [],
        ),
        waits("5.2", "half a 16-bit length", [long().bytes_arrived(3)], []),
        waits(
            "5.2",
            "a 16-bit length and no payload",
            [long().payload_arrived(0)],
            [],
        ),
        waits(
            "5.2",
            "300 bytes but one",
            [long().payload_arrived(299)],
            [],
        ),
        waits(
            "5.2",
            "two bytes of a 64-bit header",
            [longer().bytes_arrived(2)],
            [],
        ),
        waits(
            "5.2",
            "half a 64-bit length",
            [longer().bytes_arrived(6)],
            [],
        ),
        waits(
            "5.2",
            "a 64-bit length but one byte",
            [longer().bytes_arrived(9)],
            [],
        ),
        waits(
            "5.2",
            "a 64-bit length and no payload",
            [longer().payload_arrived(0)],
            [],
        ),
        waits(
            "5.2",
            "some of 70,000 bytes",
            [longer().payload_arrived(900)],
            [],
        ),
        waits(
            "5.2",
            "a message and half a header",
            [text("one"), text("two").bytes_arrived(1)],
            [got_text("one")],
        ),
    ]
}
