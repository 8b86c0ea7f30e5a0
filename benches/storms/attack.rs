//! Kinds of attack, each by [`ATTACKERS`] clients.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::net::sockopt;

use crate::common::request::Headers;
use crate::common::{machine, request, wire};
use crate::flood::{Flood, Opening};
use crate::slow_handshakes::Drip;
use crate::{frames, honest};

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    Flood(Flood),
    /// Opens a connection, sends the request, and drops it before the answer comes.
    Drop,
    /// Opens a WebSocket, closes it, and opens the next.
    Reopen,
    /// Sends the requests of this many connections byte by byte.
    Drip(usize),
}

/// The work of the attackers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Done {
    /// Messages, requests or handshakes; of slow ones, bytes.
    pub(crate) count: f64,
    /// Connections that the server ended.
    pub(crate) lost: usize,
}

impl Attack {
    pub(crate) fn all() -> Vec<Self> {
        let small = frames::request(frames::TEXT, &[b'x'; SMALL]);
        let large = frames::request(frames::TEXT, &records(LARGE));
        let flood = |headers, bytes: Vec<u8>, messages| Flood {
            opening: Opening::WebSocket("/echo", headers),
            bytes,
            messages,
            reads: true,
            readers: 0,
        };
        let plain = |bytes, messages| flood(Headers::Short, bytes, messages);
        let deflating = |bytes| flood(Headers::Browser, bytes, 1);
        let pings = frames::request(frames::PING, &[]).repeat(PINGS);
        let floods = [
            ("empty pings", plain(pings, PINGS)),
            (
                "128 B echoed, unread",
                Flood {
                    reads: false,
                    ..plain(small.repeat(BATCH), BATCH)
                },
            ),
            ("128 B echoed", plain(small.repeat(BATCH), BATCH)),
            ("1 MiB echoed", plain(large.clone(), 1)),
            ("1 MiB echoed, deflated", deflating(large)),
            ("fragments of 1 B", plain(fragments(FRAGMENTS), FRAGMENTS)),
            ("bombs of 1 MiB", deflating(bomb())),
            (
                "128 B to a group of 64",
                Flood {
                    opening: Opening::WebSocket("/group/crowd/", Headers::Short),
                    readers: 64 - ATTACKERS,
                    ..plain(small.repeat(BATCH), BATCH)
                },
            ),
            (
                "pipelined HTTP, unread",
                Flood {
                    opening: Opening::Plain,
                    reads: false,
                    ..plain(NOWHERE.repeat(BATCH), BATCH)
                },
            ),
        ];
        let others = [
            ("handshakes, dropped", Kind::Drop),
            ("sockets, reopened", Kind::Reopen),
            ("slow handshakes", Kind::Drip(250 * ATTACKERS)),
        ];
        let floods = floods.map(|(name, flood)| (name, Kind::Flood(flood)));
        let all = floods.into_iter().chain(others);
        all.map(|(name, kind)| Self { name, kind }).collect()
    }

    /// Attacks until `is_over`, on what the others leave of its core.
    pub(crate) fn run(&self, address: SocketAddr, is_over: &AtomicBool) -> Result<Done, String> {
        machine::be_idle().map_err(|error| error.to_string())?;
        let done = match &self.kind {
            Kind::Flood(flood) => flood.run(address, is_over),
            Kind::Drop => open_and_drop(address, is_over),
            Kind::Reopen => reopen(address, is_over),
            Kind::Drip(clients) => drip(address, *clients, is_over),
        };
        done.map_err(|error| format!("{}: {error}", self.name))
    }
}

fn open_and_drop(address: SocketAddr, is_over: &AtomicBool) -> io::Result<Done> {
    let request = request::request(address, "/echo", Headers::Short);
    let mut open = VecDeque::new();
    let mut done = Done::default();
    while !is_over.load(Ordering::Relaxed) {
        let mut stream = honest::connect(address)?;
        // A reset: nothing of it stays in the kernel, so that the ports suffice.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        stream.write_all(request.as_bytes())?;
        done.count += 1.0;
        open.push_back(stream);
        if open.len() == ATTACKERS {
            open.pop_front();
        }
    }
    Ok(done)
}

fn reopen(address: SocketAddr, is_over: &AtomicBool) -> io::Result<Done> {
    let attacker = || {
        let close = frames::request(frames::CLOSE, &1000_u16.to_be_bytes());
        let mut done = Done::default();
        while !is_over.load(Ordering::Relaxed) {
            let mut stream = honest::open(address, "/echo", Headers::Short)?;
            let ended = stream
                .write_all(&close)
                .and_then(|()| stream.read_to_end(&mut Vec::new()));
            done.count += 1.0;
            done.lost += usize::from(ended.is_err());
        }
        Ok::<_, io::Error>(done)
    };
    thread::scope(|scope| {
        let attackers = [(); ATTACKERS].map(|()| scope.spawn(attacker));
        attackers
            .into_iter()
            .try_fold(Done::default(), |all, attacker| {
                let one = attacker
                    .join()
                    .map_err(|_| io::Error::other("an attacker panicked"))??;
                Ok(Done {
                    count: all.count + one.count,
                    lost: all.lost + one.lost,
                })
            })
    })
}

fn drip(address: SocketAddr, clients: usize, is_over: &AtomicBool) -> io::Result<Done> {
    let drip = Drip::open(address, clients).map_err(io::Error::other)?;
    let begin = Instant::now();
    let wait = || {
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    };
    let ((), ends) = drip.during(wait).map_err(io::Error::other)?;
    Ok(Done {
        // One byte a second from each.
        count: clients as f64 * begin.elapsed().as_secs_f64(),
        lost: ends.sent_away,
    })
}

/// Text that compresses as JSON does.
fn records(bytes: usize) -> Vec<u8> {
    let records = (0_u64..).flat_map(|number| {
        let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
        format!("{{\"id\":{id},\"status\":\"shipped\"}},").into_bytes()
    });
    records.take(bytes).collect()
}

/// A text message of this many frames, each of one byte.
fn fragments(count: usize) -> Vec<u8> {
    let fragment = |at| {
        let opcode = if at == 0 { frames::TEXT } else { 0 };
        let mut frame = frames::request(opcode, b"x");
        if at + 1 < count {
            frame[0] &= !FIN;
        }
        frame
    };
    (0..count).flat_map(fragment).collect()
}

/// A compressed message of almost [`LARGE`] zeros: a literal and copies of it, in the fixed code of
/// RFC 1951, 3.2.6.
fn bomb() -> Vec<u8> {
    let mut bits = Bits::default();
    // Not the last block; the fixed code. Then the byte 0, the copies, the end of the block, and an
    // empty stored one, less its length.
    bits.push("0 10");
    bits.push("00110000");
    for _ in 0..(LARGE - 1) / 258 {
        bits.push("11000101 00000");
    }
    bits.push("0000000");
    bits.push("0 00");
    let mut frame = frames::request(frames::BINARY, &bits.bytes);
    frame[0] |= RSV1;
    frame
}

/// Bits, packed from the lowest of each byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, bits: &str) {
        for bit in bits.bytes().filter(|bit| *bit != b' ') {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (bit - b'0') << (self.count % 8);
            }
            self.count += 1;
        }
    }
}

pub(crate) const ATTACKERS: usize = 8;
/// The longest message that `hub` accepts here.
pub(crate) const LARGE: usize = 1024 * 1024;
const SMALL: usize = 128;
const BATCH: usize = 256;
/// Empty pings in 32 KiB.
const PINGS: usize = 32 * 1024 / (2 + wire::MASK.len());
const FRAGMENTS: usize = 4096;
const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const NOWHERE: &[u8] = b"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n";
