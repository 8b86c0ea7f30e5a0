//! Close frames: body, codes and reasons (5.5.1, 7.4).

use crate::websocket::tests::cases::row::{
    Row, got_bare_close, got_close, got_ping, got_text, reads, refuses,
};
use crate::websocket::tests::wire::{close, close_raw, ping, text};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = bodies();
    rows.extend(accepted());
    rows.extend(refused());
    rows.extend(bad_reasons());
    rows
}

fn bodies() -> Vec<Row> {
    let (longest, euros) = ("r".repeat(123), "€".repeat(41));
    vec![
        reads(
            "5.5.1",
            "close without a body",
            [close_raw("")],
            [got_bare_close()],
        ),
        reads(
            "5.5.1",
            "close with a code only",
            [close(1000, "")],
            [got_close(1000, "")],
        ),
        reads(
            "5.5.1",
            "close with a reason",
            [close(1001, "bye")],
            [got_close(1001, "bye")],
        ),
        reads(
            "5.5.1",
            "longest reason",
            [close(1000, &longest)],
            [got_close(1000, &longest)],
        ),
        reads(
            "5.5.1",
            "longest reason of euros",
            [close(1000, &euros)],
            [got_close(1000, &euros)],
        ),
        reads(
            "5.5.1",
            "reason in four scripts",
            [close(4000, "ñ€🦀à")],
            [got_close(4000, "ñ€🦀à")],
        ),
        reads(
            "5.5.1",
            "reason with a NUL",
            [close(1000, "a\0b")],
            [got_close(1000, "a\0b")],
        ),
        reads(
            "5.5.1",
            "close after a message",
            [text("x"), close(1000, "")],
            [got_text("x"), got_close(1000, "")],
        ),
        // Not to read any further after a close is up to the session.
        reads(
            "5.5.1",
            "ping after a close",
            [close(1000, ""), ping("p")],
            [got_close(1000, ""), got_ping("p")],
        ),
        reads(
            "5.5.1",
            "close under a limit of zero",
            [close(1000, "r")],
            [got_close(1000, "r")],
        )
        .limit(0),
        refuses("5.5.1", "body of one byte", [close_raw([0x03])], [], 1002)
            .at_last_byte()
            .saying("one byte"),
        refuses("5.5.1", "body of one zero byte", [close_raw([0])], [], 1002).at_last_byte(),
        refuses(
            "5.5.1",
            "body of one byte after a message",
            [text("x"), close_raw([3]), text("never")],
            [got_text("x")],
            1002,
        ),
    ]
}

fn accepted() -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3500,
        3999, 4000, 4001, 4008, 4511, 4998, 4999,
    ] {
        rows.push(reads(
            "7.4",
            format!("code {code} is accepted"),
            [close(code, "why")],
            [got_close(code, "why")],
        ));
    }
    rows
}

fn refused() -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1017, 1100, 1999, 2000, 2500, 2999, 5000, 5001,
        10_000, 0x7FFF, 0x8000, 65_534, 65_535,
    ] {
        rows.push(
            refuses(
                "7.4",
                format!("code {code} is refused"),
                [close(code, "")],
                [],
                1002,
            )
            .at_last_byte()
            .saying("must not be sent"),
        );
    }
    rows.push(refuses(
        "7.4.1",
        "code 1005 with a reason",
        [close(1005, "none")],
        [],
        1002,
    ));
    rows.push(refuses(
        "7.4.1",
        "code 1006 with a reason",
        [close(1006, "gone")],
        [],
        1002,
    ));
    rows.push(refuses(
        "7.4",
        "bad code before a bad reason",
        [close(999, [0xFF])],
        [],
        1002,
    ));
    rows
}

fn bad_reasons() -> Vec<Row> {
    let bad = |name, reason: &[u8]| {
        refuses("5.5.1", name, [close(1000, reason)], [], 1007)
            .at_last_byte()
            .saying("close reason")
    };
    vec![
        bad("reason of 0xFF", &[0xFF]),
        bad("reason ends inside a character", &[b'a', 0xE2, 0x82]),
        bad("reason with a lone continuation", &[b'a', 0x80, b'b']),
        bad("reason with a surrogate", &[0xED, 0xA0, 0x80]),
        bad("reason with an overlong NUL", &[0xC0, 0x80]),
        bad("reason beyond U+10FFFF", &[0xF4, 0x90, 0x80, 0x80]),
    ]
}
