//! Sockets in groups that keep messages going round, and compare whatever comes.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::common::poll::Poll;
use crate::common::request::Headers;
use crate::common::{request, wire};
use crate::rows::Shape;

pub(crate) struct Fleet {
    poll: Poll,
    shape: Shape,
    /// Those of a group lie side by side; its first one publishes.
    sockets: Vec<Socket>,
    groups: Vec<Group>,
    read: Vec<u8>,
    expected: Expected,
    delivered: u64,
}

struct Socket {
    stream: TcpStream,
    received: u64,
    /// The beginning of a frame.
    rest: Vec<u8>,
}

#[derive(Clone, Default)]
struct Group {
    sent: u64,
    /// Deliveries that have still to come.
    due: usize,
}

impl Fleet {
    /// Opens all sockets; a path is asked for by the number of its group.
    pub(crate) fn connect(
        address: SocketAddr,
        shape: Shape,
        headers: Headers,
        path: impl Fn(usize) -> String,
    ) -> Result<Self, String> {
        let poll = Poll::new().map_err(|error| error.to_string())?;
        let mut sockets = Vec::with_capacity(shape.sockets());
        while sockets.len() < shape.sockets() {
            let next = sockets.len();
            let last = shape.sockets().min(next + AT_ONCE);
            let paths = (next..last).map(|socket| path(socket / shape.members));
            let opened = open(address, headers, paths)
                .map_err(|error| format!("after {next} sockets: {error}"))?;
            sockets.extend(opened);
        }
        for (token, socket) in sockets.iter().enumerate() {
            poll.add(&socket.stream, token)
                .map_err(|error| error.to_string())?;
        }
        Ok(Self {
            poll,
            shape,
            sockets,
            groups: vec![Group::default(); shape.groups],
            read: vec![0; 256 * 1024],
            expected: Expected::new(),
            delivered: 0,
        })
    }

    /// Publishes for so long, waits for what is due, and returns the number of deliveries.
    pub(crate) fn run(&mut self, time: Duration) -> Result<u64, String> {
        let before = self.delivered;
        let end = Instant::now() + time;
        let mut next = Instant::now();
        self.publish_where_nothing_is_due()?;
        loop {
            next += self.shape.pace.unwrap_or_default();
            let until = if self.shape.pace.is_some() { next } else { end };
            self.deliver(until.min(end))?;
            if Instant::now() >= end {
                return self.finish().map(|()| self.delivered - before);
            }
            self.publish_where_nothing_is_due()?;
        }
    }

    /// Whether anything comes that nobody sent.
    pub(crate) fn expect_nothing(&mut self) -> Result<(), String> {
        let ready = self.poll.wait(Duration::ZERO)?;
        if ready.is_empty() {
            return Ok(());
        }
        Err(format!("{} sockets have more than was sent", ready.len()))
    }

    fn publish_where_nothing_is_due(&mut self) -> Result<(), String> {
        (0..self.groups.len())
            .filter(|group| self.groups[*group].due == 0)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|group| self.publish(group))
    }

    fn publish(&mut self, group: usize) -> Result<(), String> {
        let first = group * self.shape.members;
        let group = &mut self.groups[group];
        let mut frames = Vec::with_capacity(self.shape.in_flight * wire::REQUEST);
        for _ in 0..self.shape.in_flight {
            group.sent += 1;
            frames.extend_from_slice(&wire::request(&wire::sequence(group.sent)));
        }
        group.due = self.shape.in_flight * self.shape.members;
        match self.sockets[first].stream.write(&frames) {
            Ok(written) if written == frames.len() => Ok(()),
            Ok(_) => Err("a request was written in part".to_owned()),
            Err(error) => Err(format!("cannot publish: {error}")),
        }
    }

    /// Takes what comes until then. Without a pace a group that has everything publishes again.
    fn deliver(&mut self, until: Instant) -> Result<(), String> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            for token in self.poll.wait(left)? {
                let group = self.readable(token)?;
                if self.groups[group].due == 0 && self.shape.pace.is_none() {
                    self.publish(group)?;
                }
            }
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        while self.groups.iter().any(|group| group.due > 0) {
            let ready = self.poll.wait(PATIENCE)?;
            if ready.is_empty() {
                return Err(self.missing());
            }
            for token in ready {
                self.readable(token)?;
            }
        }
        Ok(())
    }

    fn missing(&self) -> String {
        let due: usize = self.groups.iter().map(|group| group.due).sum();
        format!("{due} deliveries are lost")
    }

    /// Reads, compares and returns the socket's group.
    fn readable(&mut self, token: usize) -> Result<usize, String> {
        let group = token / self.shape.members;
        let socket = &mut self.sockets[token];
        loop {
            let kept = socket.rest.len();
            self.read[..kept].copy_from_slice(&socket.rest);
            socket.rest.clear();
            let end = match socket.stream.read(&mut self.read[kept..]) {
                Ok(0) => return Err(format!("socket {token} was closed")),
                Ok(length) => kept + length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => kept,
                Err(error) => return Err(format!("socket {token}: {error}")),
            };
            let frames = self.read[..end].chunks_exact(wire::REPLY);
            socket.rest.extend_from_slice(frames.remainder());
            let count = frames.len();
            for frame in frames {
                socket.received += 1;
                self.expected
                    .compare(frame, socket.received)
                    .map_err(|error| format!("socket {token}: {error}"))?;
            }
            self.delivered += count as u64;
            let due = &mut self.groups[group].due;
            *due = due
                .checked_sub(count)
                .ok_or_else(|| format!("socket {token} has more than was sent"))?;
            if end < self.read.len() {
                return Ok(group);
            }
        }
    }
}

/// The frame that must come next, made again only when its number differs from the last one's.
pub(crate) struct Expected {
    frame: [u8; wire::REPLY],
    number: u64,
}

impl Expected {
    pub(crate) fn new() -> Self {
        Self {
            frame: wire::reply(&wire::sequence(0)),
            number: 0,
        }
    }

    pub(crate) fn compare(&mut self, frame: &[u8], number: u64) -> Result<(), String> {
        if self.number != number {
            wire::renumber(&mut self.frame, &wire::sequence(number));
            self.number = number;
        }
        if frame == self.frame {
            return Ok(());
        }
        Err(match wire::number(&frame[4..]) {
            Some(came) if came > number => {
                format!("{} lost or overtaken before {came}", came - number)
            }
            Some(came) if came < number => format!("{came} came where {number} was due"),
            _ => format!(
                "{:?} is not the frame {number}",
                frame.escape_ascii().to_string()
            ),
        })
    }
}

/// Opens these sockets, all requests written before the first answer is read.
fn open(
    address: SocketAddr,
    headers: Headers,
    paths: impl Iterator<Item = String>,
) -> Result<Vec<Socket>, String> {
    let streams = paths
        .map(|path| {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request::request(address, &path, headers).as_bytes())?;
            Ok(stream)
        })
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| format!("cannot connect: {error}"))?;
    streams.into_iter().map(opened).collect()
}

fn opened(mut stream: TcpStream) -> Result<Socket, String> {
    let mut answer = Vec::new();
    while !request::is_open(&answer)? {
        let mut read = [0; 512];
        match stream.read(&mut read) {
            Ok(0) => return Err("closed within the handshake".to_owned()),
            Ok(length) => answer.extend_from_slice(&read[..length]),
            Err(error) => return Err(format!("no answer to the handshake: {error}")),
        }
    }
    stream
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(Socket {
        stream,
        received: 0,
        rest: Vec::new(),
    })
}

/// Handshakes at once.
const AT_ONCE: usize = 64;
/// Silence of so long means that nothing will come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
