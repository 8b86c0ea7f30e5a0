//! Compressed messages (RFC 7692), where permessage-deflate was agreed on.

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use crate::websocket::OpCode;
use crate::websocket::deflate::{Compression, WindowBits, compressed_frame};
use crate::websocket::tests::cases::row::{
    Row, got_binary, got_close, got_ping, got_pong, got_text, reads, refuses, waits,
};
use crate::websocket::tests::wire::{
    Frame, RSV1, RSV2, RSV3, binary, close, first_binary, first_text, last, more, ping, pong, raw,
    text,
};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = examples();
    rows.extend(blocks());
    rows.extend(messages());
    rows.extend(fragments());
    rows.extend(misplaced());
    rows.extend(broken());
    rows.extend(cut_short());
    rows.extend(not_text());
    rows.extend(limits());
    rows.extend(bombs());
    rows.into_iter().map(Row::deflate).collect()
}

/// Sets RSV1: the first frame of a compressed message.
fn packed(frame: Frame) -> Frame {
    frame.flip(RSV1)
}

/// "Hello" in one block with the fixed code (7.2.3.1).
const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

/// A stored block, behind which others may follow.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u16;
    let mut block = vec![0];
    block.extend(len.to_le_bytes());
    block.extend((!len).to_le_bytes());
    block.extend(bytes);
    block
}

/// These bytes in stored blocks, as they stand in a message.
fn stored_message(bytes: &[u8]) -> Vec<u8> {
    let mut message: Vec<u8> = bytes.chunks(0xFFFF).flat_map(stored).collect();
    message.push(0);
    message
}

/// As our own compressor compresses it; whether that is right is tested elsewhere.
fn compressed(message: &[u8]) -> Vec<u8> {
    let compression = Compression {
        window: WindowBits::MAX,
        level: 9,
        min_len: 0,
    };
    let frame = compressed_frame(OpCode::Binary, message, compression).unwrap();
    let header = match frame[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    frame[header..].to_vec()
}

/// The same byte repeated; a kilobyte compresses to about one byte.
fn bomb(len: usize) -> Vec<u8> {
    compressed(&vec![b'a'; len])
}

/// The frames of section 7.2.3, byte for byte.
fn examples() -> Vec<Row> {
    let shared = [0xF2, 0x00, 0x11, 0x00, 0x00];
    vec![
        reads(
            "7.2.3.1",
            "one compressed block",
            [raw(0xC1, HELLO)],
            [got_text("Hello")],
        ),
        reads(
            "7.2.3.1",
            "one compressed block in two fragments",
            [raw(0x41, &HELLO[..3]), raw(0x80, &HELLO[3..])],
            [got_text("Hello")],
        ),
        reads(
            "7.2.3.2",
            "the same message twice, with no window shared",
            [raw(0xC1, HELLO), raw(0xC1, HELLO)],
            [got_text("Hello"), got_text("Hello")],
        ),
        refuses(
            "7.2.3.2",
            "a second message that refers to the first",
            [raw(0xC1, HELLO), raw(0xC1, shared)],
            [got_text("Hello")],
            1007,
        ),
        reads(
            "7.2.3.3",
            "a block without compression",
            [raw(
                0xC1,
                [
                    0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
                ],
            )],
            [got_text("Hello")],
        ),
        reads(
            "7.2.3.4",
            "a final block",
            [raw(0xC1, [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00])],
            [got_text("Hello")],
        ),
        reads(
            "7.2.3.5",
            "two blocks",
            [raw(
                0xC1,
                [
                    0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
                ],
            )],
            [got_text("Hello")],
        ),
        reads("7.2.3.6", "an empty text", [raw(0xC1, [0])], [got_text("")]),
        reads(
            "7.2.3.6",
            "an empty fragment at the end",
            [raw(0x41, HELLO), raw(0x80, [])],
            [got_text("Hello")],
        ),
    ]
}

fn blocks() -> Vec<Row> {
    let final_hello = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let empty_stored = [0, 0, 0, 0xFF, 0xFF];
    vec![
        reads(
            "7.2.1",
            "a final block with nothing behind it",
            [raw(0xC1, final_hello)],
            [got_text("Hello")],
        ),
        reads(
            "7.2.1",
            "two final blocks",
            [raw(0xC1, [final_hello, final_hello].concat())],
            [got_text("HelloHello")],
        ),
        reads(
            "7.2.1",
            "a final block, then one that is not",
            [raw(0xC1, [final_hello, HELLO].concat())],
            [got_text("HelloHello")],
        ),
        refuses(
            "7.2.1",
            "a final block, then a reference over it",
            [raw(
                0xC1,
                [&final_hello[..], &[0xF2, 0x00, 0x11, 0, 0]].concat(),
            )],
            [],
            1007,
        ),
        reads(
            "7.2.1",
            "empty blocks around others",
            [raw(
                0xC1,
                [
                    &empty_stored,
                    &stored(b"He")[..],
                    &empty_stored,
                    &stored(b"llo"),
                    &[0],
                ]
                .concat(),
            )],
            [got_text("Hello")],
        ),
        reads(
            "7.2.1",
            "nothing but empty blocks",
            [raw(0xC2, [empty_stored.repeat(50), vec![0]].concat())],
            [got_binary("")],
        ),
        reads(
            "7.2.1",
            "an empty final block of each kind",
            [raw(0xC2, [1, 0, 0, 0xFF, 0xFF, 0x03, 0x00, 0x00])],
            [got_binary("")],
        ),
        reads(
            "7.2.1",
            "a block that refers to itself",
            [raw(0xC2, bomb(300))],
            [got_binary(vec![b'a'; 300])],
        ),
        reads(
            "7.2.1",
            "a reference as far back as the window reaches",
            [raw(0xC2, far_reference())],
            [got_binary(far_message())],
        ),
    ]
}

/// 32 KiB of noise and the first hundred bytes of it again.
fn far_message() -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes: Vec<u8> = (0..32_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    bytes.extend_from_within(..100);
    bytes
}

fn far_reference() -> Vec<u8> {
    let message = compressed(&far_message());
    assert!(message.len() < 32_080, "there is no reference in it");
    message
}

fn messages() -> Vec<Row> {
    vec![
        reads(
            "6.2",
            "a binary message",
            [packed(binary(HELLO))],
            [got_binary("Hello")],
        ),
        reads(
            "6",
            "a message that is not compressed",
            [text("Hello"), binary("")],
            [got_text("Hello"), got_binary("")],
        ),
        reads(
            "6",
            "compressed and not by turns",
            [
                packed(text(HELLO)),
                text("plain"),
                packed(binary(HELLO)),
                first_text("pl"),
                last("ain"),
                packed(text(HELLO)),
            ],
            [
                got_text("Hello"),
                got_text("plain"),
                got_binary("Hello"),
                got_text("plain"),
                got_text("Hello"),
            ],
        ),
        reads(
            "6.2",
            "control frames around it",
            [ping("a"), packed(text(HELLO)), pong("b"), close(1000, "")],
            [
                got_ping("a"),
                got_text("Hello"),
                got_pong("b"),
                got_close(1000, ""),
            ],
        ),
        reads(
            "6.2",
            "each form of length",
            [
                packed(binary(stored_message(&[1; 200]))),
                packed(binary(stored_message(&[2; 70_000]))),
            ],
            [got_binary([1; 200]), got_binary([2; 70_000])],
        ),
        waits(
            "6.2",
            "half a header",
            [packed(text(HELLO)).bytes_arrived(3)],
            [],
        )
        .server_only(),
        waits(
            "6.2",
            "half a payload",
            [packed(text(HELLO)).payload_arrived(3)],
            [],
        ),
        waits(
            "6.2",
            "nothing of the payload",
            [packed(text(HELLO)).payload_arrived(0)],
            [],
        ),
        waits(
            "6.2",
            "all but the last byte",
            [packed(text(HELLO)).payload_arrived(6)],
            [],
        ),
    ]
}

fn fragments() -> Vec<Row> {
    let mut rows: Vec<_> = (0..=HELLO.len())
        .map(|at| {
            let (first, second) = HELLO.split_at(at);
            reads(
                "6.1",
                format!("compressed and cut at byte {at}"),
                [packed(first_text(first)), last(second)],
                [got_text("Hello")],
            )
        })
        .collect();
    rows.extend([
        reads(
            "6.1",
            "compressed in seven fragments",
            [
                packed(first_binary(&HELLO[..1])),
                more(&HELLO[1..2]),
                more(&HELLO[2..3]),
                more(&HELLO[3..4]),
                more(&HELLO[4..5]),
                more(&HELLO[5..6]),
                last(&HELLO[6..]),
            ],
            [got_binary("Hello")],
        ),
        reads(
            "6.1",
            "compressed, with empty fragments",
            [
                packed(first_text("")),
                more(""),
                more(&HELLO[..3]),
                more(""),
                more(&HELLO[3..]),
                last(""),
            ],
            [got_text("Hello")],
        ),
        reads(
            "6.1",
            "control frames between compressed fragments",
            [
                packed(first_text(&HELLO[..3])),
                ping("a"),
                more(&HELLO[3..5]),
                pong("b"),
                last(&HELLO[5..]),
            ],
            [got_ping("a"), got_pong("b"), got_text("Hello")],
        ),
        reads(
            "6.1",
            "a character cut by compressed fragments",
            [
                packed(first_text([stored(b"\xE2\x82"), vec![]].concat())),
                last([stored(b"\xAC"), vec![0]].concat()),
            ],
            [got_text("€")],
        ),
        waits(
            "6.1",
            "the first compressed fragment",
            [packed(first_text(HELLO))],
            [],
        ),
        refuses(
            "6.1",
            "a new message before the last compressed fragment",
            [packed(first_text(&HELLO[..3])), packed(text(HELLO))],
            [],
            1002,
        ),
    ]);
    rows
}

/// RSV1 where it means nothing, and the bits beside it.
fn misplaced() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, frame) in [
        ("a ping", ping("")),
        ("a pong", pong("")),
        ("a close frame", close(1000, "")),
        ("a reserved opcode", raw(0x83, "")),
        ("a reserved control opcode", raw(0x8B, "")),
        ("a continuation of nothing", last("")),
    ] {
        let name = format!("RSV1 on {name}");
        rows.push(refuses("6", name, [packed(frame)], [], 1002).saying("reserved bit"));
    }
    for (name, first) in [
        ("a compressed", packed(first_text(&HELLO[..3]))),
        ("a plain", first_text("x")),
    ] {
        for (part, frame) in [("last", last("")), ("middle", more(""))] {
            let name = format!("RSV1 on the {part} fragment of {name} message");
            rows.push(refuses(
                "6.1",
                name,
                [first.clone(), packed(frame)],
                [],
                1002,
            ));
        }
        let name = format!("RSV1 on a ping within {name} message");
        rows.push(refuses("6.1", name, [first, packed(ping(""))], [], 1002));
    }
    for bits in [
        RSV2,
        RSV3,
        RSV2 | RSV3,
        RSV1 | RSV2,
        RSV1 | RSV3,
        RSV1 | RSV2 | RSV3,
    ] {
        let name = format!("reserved bits {bits:#x} beside an extension");
        rows.push(refuses("6", name, [text("").flip(bits)], [], 1002));
    }
    rows
}

/// Bytes that are no DEFLATE are refused at the first bad byte.
fn broken() -> Vec<Row> {
    let at_once = |name: &str, bytes: &[u8]| {
        let frame = packed(binary(bytes)).len(bytes.len() + 50);
        refuses("7.2.2", name, [frame], [], 1007)
            .at_last_byte()
            .saying("DEFLATE")
    };
    vec![
        at_once("a reserved kind of block", &[0x07]),
        at_once("a final block of a reserved kind", &[0x06]),
        at_once(
            "a stored block whose lengths differ",
            &[0, 5, 0, 0xFA, 0xFE],
        ),
        at_once("a dynamic block with too many lengths", &[0xFD, 0xFF, 0xFF]),
        at_once(
            "broken behind a good block",
            &[&stored(b"Hello")[..], &[0x07]].concat(),
        ),
        at_once(
            "broken behind a final block",
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x07],
        ),
        refuses(
            "7.2.2",
            "a reference before the beginning",
            [packed(text([0xF2, 0x00, 0x11, 0x00, 0x00]))],
            [],
            1007,
        ),
        refuses(
            "7.2.2",
            "text that is not compressed",
            [packed(text("Hello"))],
            [],
            1007,
        ),
        refuses(
            "7.2.2",
            "broken in the second fragment",
            [packed(first_binary(stored(b"a"))), last([0x07])],
            [],
            1007,
        ),
        refuses(
            "7.2.2",
            "a good message, then a broken one",
            [packed(text(HELLO)), packed(text([0x07]))],
            [got_text("Hello")],
            1007,
        ),
        refuses(
            "7.2.2",
            "zlib's header",
            [packed(binary([&[0x78, 0x9C], &HELLO[..]].concat()))],
            [],
            1007,
        ),
    ]
}

/// Data that ends within a block is no message.
fn cut_short() -> Vec<Row> {
    let whole = stored_message(b"Hello");
    let mut rows: Vec<_> = (0..HELLO.len())
        .map(|at| {
            let name = format!("the first {at} bytes of a compressed block");
            refuses("7.2.2", name, [packed(text(&HELLO[..at]))], [], 1007).saying("DEFLATE")
        })
        .collect();
    rows.extend((2..whole.len()).map(|at| {
        let name = format!("the first {at} bytes of a stored block");
        refuses("7.2.2", name, [packed(text(&whole[..at]))], [], 1007).saying("DEFLATE")
    }));
    // The end that is added, and what is looked for behind it, must not pass for the block's own
    // bytes.
    rows.extend([4, 9, 10].map(|len: u8| {
        let name = format!("a final stored block that lacks its {len} bytes");
        let block = [1, len, 0, !len, 0xFF];
        refuses("7.2.2", name, [packed(binary(block))], [], 1007)
    }));
    rows.extend([
        refuses(
            "7.2.1",
            "an end that was not left out",
            [packed(text([&HELLO[..], &[0, 0, 0xFF, 0xFF]].concat()))],
            [],
            1007,
        ),
        refuses(
            "7.2.2",
            "nothing at all in several fragments",
            [packed(first_text("")), more(""), last("")],
            [],
            1007,
        ),
        refuses(
            "7.2.2",
            "more behind a whole message",
            [packed(text([&HELLO[..], b"x"].concat()))],
            [],
            1007,
        ),
    ]);
    rows
}

/// UTF-8 is checked as it inflates.
fn not_text() -> Vec<Row> {
    let more_to_come = |bytes: &[u8]| {
        let block = stored(&[bytes, &[b'x'; 50]].concat());
        packed(text(block)).payload_arrived(5 + bytes.len())
    };
    let bad = |name, bytes| {
        refuses("7.2.2", name, [more_to_come(bytes)], [], 1007)
            .at_last_byte()
            .saying("UTF-8")
    };
    vec![
        bad("a byte that is none of UTF-8's", b"abc\xFF"),
        bad("a character that goes on wrongly", b"\xE2\x82x"),
        bad("a surrogate", b"\xED\xA0"),
        bad("a character beyond the last", b"\xF4\x90"),
        waits(
            "7.2.2",
            "half a character so far",
            [more_to_come(b"abc\xE2\x82")],
            [],
        ),
        refuses(
            "7.2.2",
            "half a character at the end",
            [packed(text(stored_message(b"abc\xE2\x82")))],
            [],
            1007,
        )
        .saying("UTF-8"),
        reads(
            "7.2.2",
            "bytes that are no text, in a binary message",
            [packed(binary(stored_message(b"\xFF\xFE")))],
            [got_binary(b"\xFF\xFE")],
        ),
        refuses(
            "7.2.2",
            "bad text in the second fragment",
            [packed(first_text(stored(b"good"))), last(stored(b"\xFF"))],
            [],
            1007,
        )
        .saying("UTF-8"),
        refuses(
            "7.2.2",
            "bad text before the limit is passed",
            [packed(text(stored_message(b"\xFFabcdefg")))],
            [],
            1007,
        )
        .limit(4),
    ]
}

/// The limit is the inflated message's.
fn limits() -> Vec<Row> {
    let noise = far_message();
    let whole = noise.len();
    vec![
        reads(
            "7.2.2",
            "as long as the limit, inflated",
            [packed(text(HELLO))],
            [got_text("Hello")],
        )
        .limit(5),
        refuses(
            "7.2.2",
            "longer than the limit, inflated",
            [packed(text(HELLO))],
            [],
            1009,
        )
        .limit(4)
        .saying("4 bytes"),
        reads(
            "7.2.2",
            "nothing, with a limit of nothing",
            [packed(text([0]))],
            [got_text("")],
        )
        .limit(0),
        refuses(
            "7.2.2",
            "something, with a limit of nothing",
            [packed(text(HELLO))],
            [],
            1009,
        )
        .limit(0),
        reads(
            "7.2.2",
            "as long as the limit, though longer compressed",
            [packed(binary(stored_message(&noise)))],
            [got_binary(&noise)],
        )
        .limit(whole),
        refuses(
            "7.2.2",
            "one byte longer than the limit",
            [packed(binary(stored_message(&noise)))],
            [],
            1009,
        )
        .limit(whole - 1),
        reads(
            "7.2.2",
            "as long as the limit in two fragments",
            [
                packed(first_text(stored(b"abc"))),
                last(stored_message(b"de")),
            ],
            [got_text("abcde")],
        )
        .limit(5),
        refuses(
            "7.2.2",
            "longer than the limit in two fragments",
            [
                packed(first_text(stored(b"abc"))),
                last(stored_message(b"def")),
            ],
            [],
            1009,
        )
        .limit(5),
        reads(
            "7.2.2",
            "each message has the limit for itself",
            [packed(text(HELLO)), packed(text(HELLO)), text("Hello")],
            [got_text("Hello"), got_text("Hello"), got_text("Hello")],
        )
        .limit(5),
        refuses(
            "7.2.2",
            "plain and longer than the limit",
            [text("Hello")],
            [],
            1009,
        )
        .limit(4),
        refuses(
            "7.2.2",
            "a plain fragment beyond the limit, though compressed it might be within",
            [first_text("ab"), last("cde")],
            [],
            1009,
        )
        .limit(4),
    ]
}

/// Input that inflates to much, or for ever to nothing.
fn bombs() -> Vec<Row> {
    let most = 2 * 100 + 1024;
    let empty = [0, 0, 0, 0xFF, 0xFF].repeat(most / 5);
    vec![
        refuses(
            "8",
            "three hundred kilobytes in three hundred bytes",
            [packed(text(bomb(300_000)))],
            [],
            1009,
        )
        .limit(1 << 16),
        refuses(
            "8",
            "a bomb in fragments",
            [
                packed(first_text(&bomb(300_000)[..10])),
                last(&bomb(300_000)[10..]),
            ],
            [],
            1009,
        )
        .limit(1 << 16),
        waits(
            "8",
            "the longest compressed form, declared",
            [packed(binary("")).len(most)],
            [],
        )
        .limit(100),
        refuses(
            "8",
            "a compressed form longer than that, declared",
            [packed(binary("")).len(most + 1).bytes_arrived(4)],
            [],
            1009,
        )
        .limit(100)
        .at_last_byte(),
        waits(
            "8",
            "empty blocks as long as they may be",
            [
                packed(first_binary(&empty)),
                last("").len(most - empty.len()).bytes_arrived(6),
            ],
            [],
        )
        .limit(100)
        .server_only(),
        refuses(
            "8",
            "empty blocks without end",
            [packed(first_binary(&empty)), more([0; 5])],
            [],
            1009,
        )
        .limit(100),
    ]
}
