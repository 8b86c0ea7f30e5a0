//! Peers that read slowly or not at all: the deadline for progress, and the bound of the queue.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use strait::close::Cause;
use strait::config::Config;
use strait::service::Drain;

use super::act::Act;
use super::client::Frame;
use super::line::Line;

const STALL: u64 = 7000;

fn config() -> Config {
    Config::new()
        .write_timeout(Duration::from_millis(STALL))
        .ping_interval(Duration::from_secs(100_000))
}

/// One byte of what the server sent.
async fn read_byte(line: &mut Line) -> Option<u8> {
    line.peer.stream.as_mut()?.read_u8().await.ok()
}

#[tokio::test(start_paused = true)]
async fn the_write_deadline_is_met_to_the_millisecond_and_begins_anew_with_each_byte() {
    for (name, message) in [("idle", None), ("in a hook", Some("wait"))] {
        for bytes in [0, 1, 3] {
            let mut line = Line::open(config(), 100).await;
            line.peer.reads = false;
            message.iter().for_each(|message| line.say(message));
            line.broadcast("x".repeat(500)).await;
            line.pass(1).await;
            for _ in 0..bytes {
                line.pass(STALL - 2).await;
                assert!(read_byte(&mut line).await.is_some());
                line.pass(1).await;
            }
            line.pass(STALL - 10).await;
            assert!(line.peer.stream.is_some() && !line.is_over());
            assert!(line.notes.lock().farewells.is_empty(), "{name}, {bytes}");
            line.pass(20).await;
            // The hook learns of it with its next wait, and `disconnect` follows it.
            line.notes.tell(Act::GateOpens);
            line.pass(1).await;
            let reason = "nothing could be written".to_owned();
            let expected = (1006, reason, Cause::TimeOut);
            assert_eq!(line.closed(), Some(expected), "{name}, {bytes}");
            assert!(line.is_over(), "{name}, {bytes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_byte_a_second_is_progress_until_the_queue_is_full() {
    let (frame, frames) = (50, 20);
    let mut line = Line::open(config().outgoing(frames, 1 << 20), 100).await;
    line.peer.reads = false;
    let (mut published, mut read) = (0_usize, 0_u32);
    while line.closed().is_none() {
        // Four times as fast as it reads.
        if read % 10 == 0 {
            line.broadcast("x".repeat(frame - 12)).await;
            published += 1;
        }
        line.pass(1000).await;
        if read_byte(&mut line).await.is_some() {
            read += 1;
        }
        assert!(published < 60, "no bound");
    }
    // Many times the write deadline.
    assert!(u64::from(read) * 1000 > 10 * STALL, "{read}");
    let closed = line.closed().unwrap();
    assert_eq!((closed.0, closed.2), (4008, Cause::SlowReader));
    // The data that was read, the pipe, the queue, and the frame for which there was no room.
    let fit = (read as usize + 100) / (frame - 10) + frames + 1;
    assert!(published.abs_diff(fit) <= 2, "{published}, {fit}");
}

/// While it closes, progress alone is not enough: a peer that takes one byte a second is given up
/// in time, and with it what it holds.
#[tokio::test(start_paused = true)]
async fn a_close_is_over_in_time_although_the_peer_reads_byte_by_byte() {
    for after in ["close", "drain", "rate", "slow"] {
        let config = config().inbound_rate(1, 2).outgoing(4, 1 << 20);
        let mut line = Line::open(config, 100).await;
        line.peer.reads = false;
        line.broadcast("x".repeat(60_000)).await;
        line.pass(1).await;
        let sockets = line.sockets.clone();
        match after {
            "close" => line.say("close"),
            "drain" => drop(tokio::spawn(
                async move { sockets.drain(Drain::new()).await },
            )),
            "rate" => (0..5).for_each(|_| line.say("x")),
            _ => {
                while line.closed().is_none() {
                    line.broadcast("x".to_owned()).await;
                    line.pass(1).await;
                }
                assert_eq!(line.closed().unwrap().2, Cause::SlowReader);
            }
        }
        let start = Instant::now();
        while !line.is_over() {
            line.pass(1000).await;
            let _ = read_byte(&mut line).await;
            assert!(start.elapsed() < Duration::from_secs(60), "{after}");
        }
        let waited = start.elapsed();
        let expected = Duration::from_millis(3 * STALL + 2000);
        assert!(
            waited.abs_diff(expected) < Duration::from_secs(2),
            "{after}: {waited:?}"
        );
    }
}

/// The bytes in the pipe go before the close frame: half a minute at this speed.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_goes_on_reading_sees_4008() {
    let (pipe, speed) = (8_000, 500);
    let mut line = Line::open(config().outgoing(4, 1 << 20), pipe).await;
    line.peer.reads = false;
    while line.closed().is_none() {
        line.broadcast("x".repeat(1_000)).await;
        line.pass(1).await;
    }
    let closed = line.closed().unwrap();
    assert_eq!((closed.0, closed.2), (4008, Cause::SlowReader));
    let mut rest = BytesMut::new();
    let code = 'reads: loop {
        line.pass(1000).await;
        let stream = line.peer.stream.as_mut().unwrap();
        let mut bytes = vec![0; speed];
        let read = stream.read(&mut bytes).await.unwrap();
        rest.extend_from_slice(&bytes[..read]);
        while let Some(frame) = Frame::take(&mut rest) {
            if let Some((code, _)) = frame.close() {
                break 'reads code;
            }
        }
        assert!(!line.is_over(), "reset before it could see why");
    };
    assert_eq!(code, 4008);
    line.peer.close();
    line.pass(1).await;
    assert!(line.is_over());
}
