//! Attackers that write as much as the server accepts. Some read the answers, some do not.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::attack::{ATTACKERS, Done};
use crate::common::poll::{Interest, Poll};
use crate::common::request::Headers;
use crate::honest;

pub(crate) struct Flood {
    pub(crate) opening: Opening,
    /// The bytes that each attacker writes over and over.
    pub(crate) bytes: Vec<u8>,
    /// How many messages or requests that is.
    pub(crate) messages: usize,
    /// Whether the attackers read.
    pub(crate) reads: bool,
    /// Sockets beside the attackers that only read.
    pub(crate) readers: usize,
}

pub(crate) enum Opening {
    /// No handshake.
    Plain,
    WebSocket(&'static str, Headers),
}

impl Flood {
    pub(crate) fn run(&self, address: SocketAddr, is_over: &AtomicBool) -> io::Result<Done> {
        let mut poll = Poll::new()?;
        let sockets = (0..ATTACKERS + self.readers).map(|token| self.open(address, &poll, token));
        let mut sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        let mut read = vec![0; CHUNK_BYTES];
        let mut written = 0;
        let mut lost = 0;
        while !is_over.load(Ordering::Relaxed) {
            for token in poll.wait(LOOK).map_err(io::Error::other)? {
                match self.turn(&mut sockets[token], &mut read) {
                    Ok(bytes) => written += bytes,
                    Err(_) => {
                        lost += 1;
                        sockets[token] = self.open(address, &poll, token)?;
                    }
                }
            }
        }
        let times = written as f64 / self.bytes.len() as f64;
        Ok(Done {
            count: times * self.messages as f64,
            lost,
        })
    }

    fn open(&self, address: SocketAddr, poll: &Poll, token: usize) -> io::Result<Socket> {
        let stream = match self.opening {
            Opening::Plain => honest::connect(address)?,
            Opening::WebSocket(path, headers) => honest::open(address, path, headers)?,
        };
        let writes = token < ATTACKERS;
        let reads = self.reads || !writes;
        stream.set_nonblocking(true)?;
        poll.add_level(&stream, token, Interest { reads, writes })?;
        Ok(Socket {
            stream,
            at: 0,
            reads,
            writes,
        })
    }

    /// Reads once, writes once, and returns how many bytes were written.
    fn turn(&self, socket: &mut Socket, read: &mut [u8]) -> io::Result<usize> {
        if socket.reads && now(socket.stream.read(read))? == Some(0) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if !socket.writes {
            return Ok(0);
        }
        let end = self.bytes.len().min(socket.at + CHUNK_BYTES);
        let bytes = now(socket.stream.write(&self.bytes[socket.at..end]))?.unwrap_or(0);
        socket.at = (socket.at + bytes) % self.bytes.len();
        Ok(bytes)
    }
}

struct Socket {
    stream: TcpStream,
    /// How much of the bytes it has written.
    at: usize,
    reads: bool,
    writes: bool,
}

/// Returns `None` if the call would have blocked.
fn now(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// The most bytes that a system call reads or writes. The honest client has to wait for the end of
/// the call.
const CHUNK_BYTES: usize = 32 * 1024;
/// The longest wait before the flag that ends the attack is read again.
const LOOK: Duration = Duration::from_millis(10);
