//! The differences between tungstenite 0.30 and this codec, each with its reason and a test.
//!
//! The random streams of `oracle` keep clear of these, or compare only what both must agree on.
//!
//! 1. A length that is not in its shortest form is read; RFC 6455, 5.2 demands the shortest.
//! 2. A 64-bit length with its highest bit set is over a limit (1009), not malformed (1002).
//! 3. Every fault but a reserved opcode and a frame over the frame limit is seen only when the
//!    frame is whole: reserved bits, masking, fragmentation, a control frame's length.
//! 4. A message over its limit is refused when the payload is here; the header is not enough.
//! 5. UTF-8 is checked a frame at a time, not as the frame's bytes arrive.
//! 6. A close code that must not be sent is handed out as a close frame with code 1002 and reason
//!    "Protocol violation" rather than as an error.
//! 7. Close code 1014 (bad gateway), registered with IANA, is refused.
//! 8. In a close body with a bad code and a bad reason the reason counts (1007); to us the code,
//!    which comes first (1002).
//! 9. Nothing is read after a close frame. Our decoder reads on, for its session to stop.
//! 10. The limit of a frame holds for control frames too, so that one below 125 refuses good pings.

use crate::websocket::close::CloseBody;
use crate::websocket::tests::reference::{Heard, tungstenite, tungstenite_hears, we_hear};
use crate::websocket::tests::wire::{Frame, RSV1, binary, close, first_text, last, ping, text};
use crate::websocket::{Incoming, Role};

struct Difference {
    number: u8,
    frames: Vec<Frame>,
    limit: usize,
    ours: Heard,
    theirs: Heard,
}

#[test]
fn tungstenite_hears_something_else() {
    let rows = lengths()
        .into_iter()
        .chain(late())
        .chain(closes())
        .chain(frame_limit());
    for row in rows {
        let mut bytes = Vec::new();
        for frame in &row.frames {
            frame.write(Role::Server, &mut bytes);
        }
        let Difference { number, limit, .. } = row;
        let pieces = [bytes];
        let ours = we_hear(Role::Server, limit, &pieces);
        assert_eq!(ours, row.ours, "ours, difference {number}");
        let theirs = tungstenite_hears(Role::Server, limit, &pieces);
        assert_eq!(theirs, row.theirs, "theirs, difference {number}");
    }
}

/// 9: their end of the connection is over, ours is for the session to end.
#[test]
fn tungstenite_reads_nothing_after_a_close() {
    let mut bytes = Vec::new();
    close(1000, "").write(Role::Server, &mut bytes);
    text("after").write(Role::Server, &mut bytes);
    let mut socket = tungstenite(Role::Server, 64, [bytes]);
    assert!(socket.read().is_ok_and(|message| message.is_close()));
    assert!(socket.read().is_err());
}

fn lengths() -> Vec<Difference> {
    vec![
        Difference {
            number: 1,
            frames: vec![text("abc").len16(3)],
            limit: 64,
            ours: refused(1002),
            theirs: heard([Incoming::Text("abc".into())]),
        },
        Difference {
            number: 1,
            frames: vec![text("abc").len64(3)],
            limit: 64,
            ours: refused(1002),
            theirs: heard([Incoming::Text("abc".into())]),
        },
        Difference {
            number: 2,
            frames: vec![binary("").len64(1 << 63)],
            limit: 64,
            ours: refused(1002),
            theirs: refused(1009),
        },
    ]
}

fn late() -> Vec<Difference> {
    let late = |number, frames, limit, code| Difference {
        number,
        frames,
        limit,
        ours: refused(code),
        theirs: heard([]),
    };
    vec![
        late(3, vec![text("abc").flip(RSV1).payload_arrived(2)], 64, 1002),
        late(3, vec![text("abc").unmasked().payload_arrived(2)], 64, 1002),
        late(3, vec![last("abc").payload_arrived(2)], 64, 1002),
        late(3, vec![ping([0; 126]).payload_arrived(2)], 64, 1002),
        late(3, vec![ping("a").flip(0x80).payload_arrived(0)], 64, 1002),
        late(
            3,
            vec![first_text("a"), text("b").payload_arrived(0)],
            64,
            1002,
        ),
        late(4, vec![text("abc").payload_arrived(2)], 2, 1009),
        late(
            4,
            vec![first_text("ab"), last("c").payload_arrived(0)],
            2,
            1009,
        ),
        late(5, vec![text([0xFF, b'a']).payload_arrived(1)], 64, 1007),
        late(
            5,
            vec![first_text([0xE2]), last([0x41, 0x41]).payload_arrived(1)],
            64,
            1007,
        ),
    ]
}

fn closes() -> Vec<Difference> {
    let bad_gateway = CloseBody {
        code: 1014,
        reason: String::new(),
    };
    vec![
        // 6: in the words of `reference`, which takes their stand-in for a refusal, no difference.
        Difference {
            number: 6,
            frames: vec![close(1005, "")],
            limit: 64,
            ours: refused(1002),
            theirs: refused(1002),
        },
        Difference {
            number: 7,
            frames: vec![close(1014, "")],
            limit: 64,
            ours: heard([Incoming::Close(Some(bad_gateway))]),
            theirs: refused(1002),
        },
        Difference {
            number: 8,
            frames: vec![close(1005, [0xFF])],
            limit: 64,
            ours: refused(1002),
            theirs: refused(1007),
        },
    ]
}

/// 10: shown with lengths beyond the frame limit that `reference` sets.
fn frame_limit() -> Vec<Difference> {
    vec![Difference {
        number: 10,
        frames: vec![ping("").len(1 << 21)],
        limit: 64,
        ours: refused(1002),
        theirs: refused(1009),
    }]
}

fn heard<const N: usize>(messages: [Incoming; N]) -> Heard {
    Heard {
        messages: messages.into(),
        refused: None,
    }
}

fn refused(code: u16) -> Heard {
    Heard {
        messages: Vec::new(),
        refused: Some(code),
    }
}
