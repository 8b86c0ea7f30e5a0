//! An honest client: how long its echoes take, how fast it connects, how often it is disconnected.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::common::request::Headers;
use crate::common::{machine, request};
use crate::crowd::PATIENCE;
use crate::frames;
use crate::frames::{Frame, Numbered};
use crate::latency::Latencies;

/// Opens a WebSocket whose reads and writes block, for [`PATIENCE`] at most.
pub(crate) fn open(address: SocketAddr, path: &str, headers: Headers) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    let request = request::request(address, path, headers);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !request::is_open(&answer).map_err(io::Error::other)? {
        read_more(&mut stream, &mut answer)?;
    }
    Ok(stream)
}

/// Opens a connection whose reads and writes block, for [`PATIENCE`] at most.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut read = [0; 1024];
    match stream.read(&mut read)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        length => {
            bytes.extend_from_slice(&read[..length]);
            Ok(())
        }
    }
}

/// The observations of the client.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) echoes: Latencies,
    /// Connections per second that were opened, one after the other, and echoed one message.
    pub(crate) handshakes: f64,
    /// The disconnects and failures of its connections.
    pub(crate) lost: Vec<String>,
    /// The share of the time in which this client could have run but its core was taken.
    pub(crate) waited: f64,
}

impl Seen {
    /// Spends two thirds of the time on echoes over one connection, and one third on new
    /// connections.
    pub(crate) fn measure(address: SocketAddr, time: Duration) -> io::Result<Self> {
        let mut seen = Self::default();
        let (begin, waited) = (Instant::now(), machine::waited_for_core()?);
        seen.echo(address, time * 2 / 3);
        seen.open_and_echo(address, time / 3);
        let waited = machine::waited_for_core()? - waited;
        seen.waited = waited.as_secs_f64() / begin.elapsed().as_secs_f64();
        Ok(seen)
    }

    /// Sends a message every [`PACE`]. The latency of a message that had to wait for the echo
    /// before it counts from when it was due.
    fn echo(&mut self, address: SocketAddr, time: Duration) {
        let end = Instant::now() + time;
        let mut client = None;
        let mut due = Instant::now();
        while Instant::now() < end {
            let early = due.saturating_duration_since(Instant::now());
            thread::sleep(early);
            let start = if early.is_zero() { due } else { Instant::now() };
            match Client::echo_one(&mut client, address) {
                Ok(()) => self.echoes.add(start.elapsed()),
                Err(error) => {
                    client = None;
                    self.lose(&error);
                }
            }
            due += PACE;
        }
    }

    fn open_and_echo(&mut self, address: SocketAddr, time: Duration) {
        let begin = Instant::now();
        let mut count = 0;
        while begin.elapsed() < time {
            match Client::echo_one(&mut None, address) {
                Ok(()) => count += 1,
                Err(error) => self.lose(&error),
            }
        }
        self.handshakes = f64::from(count) / begin.elapsed().as_secs_f64();
    }

    fn lose(&mut self, error: &io::Error) {
        self.lost.push(error.to_string());
        thread::sleep(PACE);
    }
}

/// One connection to `/echo`.
struct Client {
    stream: TcpStream,
    message: Numbered,
    sent: u64,
    read: Vec<u8>,
}

impl Client {
    fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            stream: open(address, "/echo", Headers::Short)?,
            message: Numbered::new(MESSAGE_BYTES),
            sent: 0,
            read: Vec::new(),
        })
    }

    /// Sends a message and waits until it has come back, on a new connection if there is none.
    fn echo_one(client: &mut Option<Self>, address: SocketAddr) -> io::Result<()> {
        match client {
            Some(client) => client.echo(),
            None => client.insert(Self::open(address)?).echo(),
        }
    }

    fn echo(&mut self) -> io::Result<()> {
        self.sent += 1;
        let frame = frames::request(frames::TEXT, self.message.payload(self.sent));
        self.stream.write_all(&frame)?;
        loop {
            let first = Frame::first(&self.read).map_err(io::Error::other)?;
            let Some((frame, rest)) = first else {
                read_more(&mut self.stream, &mut self.read)?;
                continue;
            };
            let rest = self.read.len() - rest.len();
            match frame.opcode {
                frames::TEXT => {
                    let same = self.message.compare(frame.payload, self.sent);
                    same.map_err(io::Error::other)?;
                    self.read.drain(..rest);
                    return Ok(());
                }
                frames::PING => {
                    let pong = frames::request(frames::PONG, frame.payload);
                    self.stream.write_all(&pong)?;
                }
                _ => return Err(io::Error::other(format!("{:?} came", frame.close()))),
            }
            self.read.drain(..rest);
        }
    }
}

const PACE: Duration = Duration::from_millis(5);
const MESSAGE_BYTES: usize = 100;
