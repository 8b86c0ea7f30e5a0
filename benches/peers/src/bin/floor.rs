//! The floor: a bare epoll loop that writes a frame built before, and writes together what came
//! together.
//!
//! It knows the frames of the benchmark and nothing of WebSocket: it pays the kernel, and nothing
//! else. Only the sequence number is copied from the request, so that the load can tell a lost or
//! reordered frame here too.
//!
//! With `--apart` it writes each frame on its own, which shows the value of coalescing.

use std::collections::HashMap;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;

use peers::listen;
use peers::wire;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

fn main() -> io::Result<()> {
    let (address, more) = listen::arguments()?;
    let apart = match more.as_slice() {
        [] => false,
        [flag] if flag == "--apart" => true,
        other => return Err(io::Error::other(format!("unknown arguments: {other:?}"))),
    };
    Floor::new(TcpListener::bind(address)?, apart)?.run()
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    /// The index is the token; closed ones leave a gap.
    sockets: Vec<Option<Socket>>,
    groups: HashMap<String, usize>,
    members: Vec<Vec<usize>>,
    read: Vec<u8>,
    /// As many replies as one read can ask for.
    replies: Vec<u8>,
    /// The most that is written at once.
    at_once: usize,
}

struct Socket {
    stream: TcpStream,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Handshake,
    Echo,
    Member { group: usize },
}

impl Floor {
    fn new(listener: TcpListener, apart: bool) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        listener.set_nonblocking(true)?;
        register(&epoll, &listener, LISTENER)?;
        Ok(Self {
            epoll,
            listener,
            sockets: Vec::new(),
            groups: HashMap::new(),
            members: Vec::new(),
            read: vec![0; MOST * wire::REQUEST],
            replies: wire::reply(&wire::sequence(0)).repeat(MOST),
            at_once: if apart { wire::REPLY } else { usize::MAX },
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                // strace attaches.
                Err(Errno::INTR) => continue,
                waited => waited?,
            };
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token => self.readable(token as usize)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            register(&self.epoll, &stream, self.sockets.len() as u64)?;
            self.sockets.push(Some(Socket {
                stream,
                state: State::Handshake,
            }));
        }
    }

    fn readable(&mut self, token: usize) -> io::Result<()> {
        let Some(socket) = &mut self.sockets[token] else {
            return Ok(());
        };
        let length = match socket.stream.read(&mut self.read) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Ok(0) | Err(_) => return self.close(token),
            Ok(length) => length,
        };
        match socket.state {
            State::Handshake => self.open(token, length),
            State::Echo => {
                let replies = answer(&self.read[..length], &mut self.replies)?;
                for part in replies.chunks(self.at_once) {
                    write(&mut self.sockets[token], part)?;
                }
                Ok(())
            }
            State::Member { group } => {
                let replies = answer(&self.read[..length], &mut self.replies)?;
                for part in replies.chunks(self.at_once) {
                    for member in &self.members[group] {
                        write(&mut self.sockets[*member], part)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn open(&mut self, token: usize, length: usize) -> io::Result<()> {
        let request = String::from_utf8_lossy(&self.read[..length]);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let state = match path.strip_prefix("/group/") {
            None => State::Echo,
            Some(name) => {
                let next = self.members.len();
                let group = *self.groups.entry(name.to_owned()).or_insert(next);
                if group == next {
                    self.members.push(Vec::new());
                }
                self.members[group].push(token);
                State::Member { group }
            }
        };
        if let Some(socket) = &mut self.sockets[token] {
            socket.state = state;
        }
        write(&mut self.sockets[token], SWITCHING.as_bytes())
    }

    fn close(&mut self, token: usize) -> io::Result<()> {
        let closed = self.sockets[token].take();
        if let Some(State::Member { group }) = closed.map(|socket| socket.state) {
            self.members[group].retain(|member| *member != token);
        }
        Ok(())
    }
}

/// The replies to these requests, in the buffer that holds them ready.
fn answer<'a>(requests: &[u8], replies: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let requests = requests.chunks_exact(wire::REQUEST);
    if !requests.remainder().is_empty() {
        return Err(io::Error::other("a request came in pieces"));
    }
    let length = requests.len() * wire::REPLY;
    for (reply, request) in replies.chunks_exact_mut(wire::REPLY).zip(requests) {
        wire::renumber(reply, &sequence(request));
    }
    Ok(&replies[..length])
}

/// The only part of a request that is unmasked.
fn sequence(request: &[u8]) -> wire::Sequence {
    std::array::from_fn(|at| request[8 + wire::SEQUENCE + at] ^ wire::MASK[at % 4])
}

fn write(socket: &mut Option<Socket>, bytes: &[u8]) -> io::Result<()> {
    let Some(socket) = socket else {
        return Ok(());
    };
    match socket.stream.write(bytes) {
        Ok(written) if written < bytes.len() => Err(io::Error::other("a short write")),
        // The next read finds that a client has left.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

fn register(epoll: &OwnedFd, source: impl rustix::fd::AsFd, token: u64) -> io::Result<()> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    Ok(epoll::add(
        epoll,
        source,
        epoll::EventData::new_u64(token),
        flags,
    )?)
}

const LISTENER: u64 = u64::MAX;
/// Requests in one read.
const MOST: usize = 64;
const SWITCHING: &str = concat!(
    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
    "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
);
