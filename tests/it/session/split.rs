//! Frames that arrive in pieces, cut anywhere.

use strait::close::Cause;
use strait::config::Config;

use super::act::Act;
use super::client::{CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, fragment, frame};
use super::line::Line;

/// A conversation of every kind of frame, and what is to be received of it.
fn conversation(first: &str) -> (Vec<u8>, Vec<String>) {
    let long = "ü".repeat(100);
    let (before, behind) = "a\u{1f600}".as_bytes().split_at(3);
    let frames = [
        frame(TEXT, first),
        frame(PING, "ping"),
        fragment(TEXT, "snow\u{2603}"),
        // A control frame between the fragments, and a letter that is cut by them.
        frame(PONG, ""),
        fragment(CONTINUATION, before),
        frame(CONTINUATION, behind),
        frame(TEXT, &long),
        frame(CLOSE, close_payload(1001, "bye")),
    ];
    let received = [first.to_owned(), "snow\u{2603}a\u{1f600}".to_owned(), long];
    (frames.concat(), received.to_vec())
}

/// Says the pieces one after the other; a hook that waits may go on behind the piece with this
/// number.
async fn play(name: &str, first: &str, pieces: &[&[u8]], opens: usize) {
    let (_, expected) = conversation(first);
    let mut line = Line::open(Config::new(), 4096).await;
    for (number, piece) in pieces.iter().enumerate() {
        line.peer.write(piece);
        line.pass(1).await;
        if number == opens {
            line.notes.tell(Act::GateOpens);
        }
    }
    line.notes.tell(Act::GateOpens);
    line.pass(1).await;
    assert_eq!(line.notes.lock().received, expected, "{name}");
    let closed = (1001, "bye".to_owned(), Cause::Client);
    assert_eq!(line.closed(), Some(closed), "{name}");
    assert_eq!(line.peer.pongs, ["ping"], "{name}");
    assert_eq!(line.peer.seen.last().unwrap(), "close 1001", "{name}");
    assert!(line.is_over(), "{name}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_anywhere_changes_nothing() {
    for first in ["hello", "wait"] {
        let (bytes, _) = conversation(first);
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            for opens in [0, 1] {
                let name = format!("{first}, cut at {cut}, opened behind {opens}");
                play(&name, first, &[head, tail], opens).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nor_do_cuts_everywhere() {
    for first in ["hello", "wait"] {
        let (bytes, _) = conversation(first);
        for size in 1..20 {
            let pieces: Vec<_> = bytes.chunks(size).collect();
            for opens in [0, pieces.len() / 2, pieces.len() - 1] {
                let name = format!("{first}, pieces of {size}, opened behind {opens}");
                play(&name, first, &pieces, opens).await;
            }
        }
    }
}
