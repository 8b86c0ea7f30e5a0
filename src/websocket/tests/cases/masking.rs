//! The end that masks, and the mask itself (5.1, 5.3).

use crate::websocket::tests::cases::row::{
    Row, got_bare_close, got_binary, got_ping, got_pong, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{
    Frame, binary, close, close_raw, first_binary, first_text, last, more, ping, pong, text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = unmasked_clients();
    rows.extend(masking_servers());
    rows.extend(keys());
    rows.extend(phases());
    rows
}

fn unmasked_clients() -> Vec<Row> {
    let alone = |name, frame: Frame| {
        refuses("5.1", name, [frame.unmasked().bytes_arrived(2)], [], 1002)
            .server_only()
            .at_last_byte()
            .saying("unmasked frame")
    };
    vec![
        alone("unmasked text from a client", text("Hello")),
        alone("unmasked empty text from a client", text("")),
        alone("unmasked binary from a client", binary([1, 2, 3])),
        alone("unmasked first fragment from a client", first_text("a")),
        alone("unmasked ping from a client", ping("")),
        alone("unmasked pong from a client", pong("x")),
        alone("unmasked close from a client", close(1000, "")),
        alone("unmasked long binary from a client", binary([0; 300])),
        refuses(
            "5.1",
            "unmasked text, whole, after a masked one",
            [text("one"), text("two").unmasked(), text("three")],
            [got_text("one")],
            1002,
        )
        .server_only(),
        refuses(
            "5.1",
            "unmasked last fragment",
            [first_text("one"), last("two").unmasked()],
            [],
            1002,
        )
        .server_only(),
        refuses(
            "5.1",
            "unmasked ping between masked fragments",
            [first_text("one"), ping("").unmasked(), last("two")],
            [],
            1002,
        )
        .server_only(),
        refuses(
            "5.1",
            "unmasked and over the limit",
            [text([0; 9]).unmasked()],
            [],
            1002,
        )
        .server_only()
        .limit(8),
    ]
}

fn masking_servers() -> Vec<Row> {
    let alone = |name, frame: Frame| {
        refuses("5.1", name, [frame.masked().bytes_arrived(2)], [], 1002)
            .client_only()
            .at_last_byte()
            .saying("masked frame")
    };
    vec![
        alone("masked text from a server", text("Hello")),
        alone("masked empty text from a server", text("")),
        alone("masked binary from a server", binary([1, 2, 3])),
        alone("masked first fragment from a server", first_text("a")),
        alone("masked ping from a server", ping("")),
        alone("masked pong from a server", pong("x")),
        alone("masked close from a server", close(1000, "")),
        refuses(
            "5.1",
            "masked with a key of zeros from a server",
            [text("x").masked().key([0; 4])],
            [],
            1002,
        )
        .client_only(),
        refuses(
            "5.1",
            "masked text, whole, after an unmasked one",
            [text("one"), text("two").masked(), text("three")],
            [got_text("one")],
            1002,
        )
        .client_only(),
        refuses(
            "5.1",
            "masked last fragment",
            [first_text("one"), last("two").masked()],
            [],
            1002,
        )
        .client_only(),
    ]
}

fn keys() -> Vec<Row> {
    let long: Vec<u8> = (0..=255).cycle().take(1000).collect();
    vec![
        reads(
            "5.3",
            "key of zeros",
            [text("zero").key([0; 4])],
            [got_text("zero")],
        ),
        reads(
            "5.3",
            "key of ones",
            [binary([0xFF; 9]).key([0xFF; 4])],
            [got_binary([0xFF; 9])],
        ),
        reads(
            "5.3",
            "key equal to the payload",
            [text("abcd").key(*b"abcd")],
            [got_text("abcd")],
        ),
        reads(
            "5.3",
            "key on an empty ping",
            [ping("").key([1, 2, 3, 4])],
            [got_ping("")],
        ),
        reads(
            "5.3",
            "key on a pong",
            [pong("12345").key([9, 8, 7, 6])],
            [got_pong("12345")],
        ),
        reads(
            "5.3",
            "key on an empty close",
            [close_raw("").key([1; 4])],
            [got_bare_close()],
        ),
        reads(
            "5.3",
            "key on a thousand bytes",
            [binary(&long)],
            [got_binary(&long)],
        ),
        reads(
            "5.3",
            "another key for each message",
            [text("one").key([1, 2, 3, 4]), text("two").key([5, 6, 7, 8])],
            [got_text("one"), got_text("two")],
        ),
        reads(
            "5.3",
            "another key for each fragment",
            [
                first_binary("abcde").key([1, 2, 3, 4]),
                more("fghij").key([0xAA, 0, 0x55, 0xFF]),
                last("klm").key([0, 0, 0, 1]),
            ],
            [got_binary("abcdefghijklm")],
        ),
        waits("5.3", "half a key", [text("x").bytes_arrived(4)], []).server_only(),
        waits(
            "5.3",
            "a key and no payload",
            [text("x").payload_arrived(0)],
            [],
        ),
    ]
}

/// Lengths around the four bytes of the key and the words it is applied in.
fn phases() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33] {
        let payload: Vec<u8> = (1..=len).collect();
        rows.push(reads(
            "5.3",
            format!("masked payload of {len}"),
            [binary(&payload).key([0x12, 0x34, 0x56, 0x78])],
            [got_binary(&payload)],
        ));
    }
    rows
}
