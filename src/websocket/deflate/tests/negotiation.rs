//! Lines of `Sec-WebSocket-Extensions`, and what is answered (RFC 6455, 9.1; RFC 7692, 5 and 7.1).

#![allow(clippy::unwrap_used, reason = "a failing row should panic")]

use crate::websocket::deflate::{WindowBits, agree};

/// The result for the lines.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Compressed with this window, which the answer does not name.
    Silent(u8),
    /// Compressed with this window, which it does.
    Named(u8),
    /// The connection goes on without compression.
    Declined,
    /// The handshake fails.
    Malformed,
}

use Outcome::{Declined, Malformed, Named, Silent};

/// The lines, and the outcome where 15 bits are the most.
const ROWS: &[(&[&str], Outcome)] = &[
    (&[], Declined),
    // Offers of real clients.
    (&["permessage-deflate"], Silent(15)),
    (&["permessage-deflate; client_max_window_bits"], Silent(15)),
    (
        &["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"],
        Named(12),
    ),
    (
        &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
        Silent(15),
    ),
    (&["x-webkit-deflate-frame"], Declined),
    (&["x-webkit-deflate-frame, permessage-deflate"], Silent(15)),
    // Each parameter.
    (
        &["permessage-deflate; server_no_context_takeover"],
        Silent(15),
    ),
    (
        &["permessage-deflate; client_no_context_takeover"],
        Silent(15),
    ),
    (
        &["permessage-deflate; server_no_context_takeover=true"],
        Declined,
    ),
    (
        &["permessage-deflate; client_no_context_takeover=1"],
        Declined,
    ),
    (&["permessage-deflate; server_max_window_bits"], Declined),
    (&["permessage-deflate; server_max_window_bits=7"], Declined),
    // zlib cannot.
    (&["permessage-deflate; server_max_window_bits=8"], Declined),
    (&["permessage-deflate; server_max_window_bits=9"], Named(9)),
    (
        &["permessage-deflate; server_max_window_bits=10"],
        Named(10),
    ),
    (
        &["permessage-deflate; server_max_window_bits=15"],
        Named(15),
    ),
    (&["permessage-deflate; server_max_window_bits=16"], Declined),
    (&["permessage-deflate; server_max_window_bits=0"], Declined),
    (
        &["permessage-deflate; server_max_window_bits=010"],
        Declined,
    ),
    (
        &["permessage-deflate; server_max_window_bits=+10"],
        Declined,
    ),
    (&["permessage-deflate; server_max_window_bits=-9"], Declined),
    (
        &["permessage-deflate; server_max_window_bits=265"],
        Declined,
    ),
    (
        &["permessage-deflate; server_max_window_bits=ten"],
        Declined,
    ),
    (
        &["permessage-deflate; server_max_window_bits=1.0e1"],
        Declined,
    ),
    (&["permessage-deflate; client_max_window_bits=7"], Declined),
    (
        &["permessage-deflate; client_max_window_bits=8"],
        Silent(15),
    ),
    (
        &["permessage-deflate; client_max_window_bits=15"],
        Silent(15),
    ),
    (&["permessage-deflate; client_max_window_bits=16"], Declined),
    (&["permessage-deflate; client_max_window_bits=09"], Declined),
    (&["permessage-deflate; client_max_window_bits=x"], Declined),
    // Parameters that are none of the four, or come twice.
    (&["permessage-deflate; unknown"], Declined),
    (&["permessage-deflate; unknown=1"], Declined),
    (&["permessage-deflate; Server_Max_Window_Bits=10"], Declined),
    (
        &["permessage-deflate; server_no_context_takeover; server_no_context_takeover"],
        Declined,
    ),
    (
        &["permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"],
        Declined,
    ),
    (
        &["permessage-deflate; client_max_window_bits; client_max_window_bits=10"],
        Declined,
    ),
    // Names are compared letter by letter, since a client compares the answer with what it offered.
    (&["Permessage-Deflate"], Declined),
    (&["permessage-deflatex"], Declined),
    (&["permessage-bzip2"], Declined),
    // The first that is acceptable wins.
    (
        &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
        Named(10),
    ),
    (
        &["permessage-deflate, permessage-deflate; server_max_window_bits=10"],
        Silent(15),
    ),
    (
        &["permessage-deflate; unknown, permessage-deflate; server_max_window_bits=11"],
        Named(11),
    ),
    (
        &["permessage-deflate; server_max_window_bits=8, permessage-deflate"],
        Silent(15),
    ),
    (
        &[
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate",
        ],
        Silent(15),
    ),
    (
        &[
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate",
        ],
        Named(9),
    ),
    (
        &[
            "foo, bar; baz=2",
            "permessage-deflate; server_max_window_bits=12",
        ],
        Named(12),
    ),
    (
        &["permessage-deflate; unknown", "permessage-bzip2"],
        Declined,
    ),
    // Quotes and spaces.
    (
        &[r#"permessage-deflate; server_max_window_bits="10""#],
        Named(10),
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="1\0""#],
        Named(10),
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="""#],
        Malformed,
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="10"#],
        Malformed,
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="10\"#],
        Malformed,
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="1 0""#],
        Malformed,
    ),
    (
        &[r#"permessage-deflate; server_max_window_bits="10"x"#],
        Malformed,
    ),
    (&[r#"foo; a="x,y", permessage-deflate"#], Malformed),
    (&[r#"foo; a="xy", permessage-deflate"#], Silent(15)),
    (
        &["  permessage-deflate\t;server_max_window_bits = 10 ;client_max_window_bits  "],
        Named(10),
    ),
    (&["permessage-deflate;server_max_window_bits=10"], Named(10)),
    (&[",, permessage-deflate ,"], Silent(15)),
    (&["", "permessage-deflate"], Silent(15)),
    // An empty list, which is as good as no header.
    (&[""], Declined),
    (&[" "], Declined),
    (&[", ,\t,"], Declined),
    (&["", ","], Declined),
    // Lines that are no list of extensions.
    (&[";"], Malformed),
    (&["permessage-deflate;"], Malformed),
    (&["permessage-deflate; ; client_max_window_bits"], Malformed),
    (&["permessage-deflate; =10"], Malformed),
    (&["permessage-deflate; server_max_window_bits="], Malformed),
    (
        &["permessage-deflate; server_max_window_bits==10"],
        Malformed,
    ),
    (&["permessage-deflate client_max_window_bits"], Malformed),
    (&["permessage deflate"], Malformed),
    (&["permessage-deflate/1"], Malformed),
    (&["\"permessage-deflate\""], Malformed),
    (&["permessage-défl"], Malformed),
    (&["permessage-deflate, @"], Malformed),
    (&["permessage-deflate", "@"], Malformed),
    (&["@", "permessage-deflate"], Malformed),
    (&["permessage-deflate\0"], Malformed),
];

#[test]
fn offers_are_accepted_declined_or_refused() {
    assert!(ROWS.len() >= 40);
    for (lines, expected) in ROWS {
        assert_eq!(outcome(lines, 15), *expected, "{lines:?}");
    }
}

#[test]
fn the_window_is_never_larger_than_the_route_allows_and_is_named_then() {
    let rows = [
        ("permessage-deflate", 12, Named(12)),
        ("permessage-deflate; client_max_window_bits", 9, Named(9)),
        (
            "permessage-deflate; server_max_window_bits=15",
            12,
            Named(12),
        ),
        (
            "permessage-deflate; server_max_window_bits=10",
            12,
            Named(10),
        ),
        (
            "permessage-deflate; server_max_window_bits=12",
            12,
            Named(12),
        ),
        ("permessage-deflate; server_max_window_bits=8", 12, Declined),
    ];
    for (line, largest, expected) in rows {
        assert_eq!(outcome(&[line], largest), expected, "{line}, {largest}");
    }
}

#[test]
fn a_malformed_header_says_where() {
    let lines = ["permessage-deflate, @"];
    let malformed = agree(lines.iter().map(|line| line.as_bytes()), WindowBits::MAX);
    assert_eq!(
        malformed.unwrap_err().to_string(),
        "Sec-WebSocket-Extensions, byte 20: no name of an extension"
    );
}

fn outcome(lines: &[&str], largest: u8) -> Outcome {
    let lines = lines.iter().map(|line| line.as_bytes());
    let Ok(agreed) = agree(lines, WindowBits::new(largest).unwrap()) else {
        return Malformed;
    };
    let Some((window, answer)) = agreed else {
        return Declined;
    };
    let answer = answer.to_str().unwrap();
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let named = format!("{both}; server_max_window_bits={}", window.bits());
    if answer == both {
        return Silent(window.bits());
    }
    assert_eq!(answer, named);
    Named(window.bits())
}
