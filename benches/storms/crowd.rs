//! Many sockets at once: opened, written to, and read frame by frame; pings are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

use rustix::io::Errno;
use rustix::net;
use rustix::net::sockopt;

use crate::common::poll::Poll;
use crate::common::request;
use crate::common::request::Headers;
use crate::frames;
use crate::frames::Frame;

pub(crate) struct Crowd {
    poll: Poll,
    sockets: Vec<Socket>,
    read: Vec<u8>,
}

struct Socket {
    stream: TcpStream,
    state: State,
    /// The beginning of a frame, or of the answer to the handshake.
    rest: Vec<u8>,
    /// It does not read.
    is_paused: bool,
}

enum State {
    /// The request waits for the connection.
    Connecting(String),
    Opening,
    Open,
    Ended,
}

/// An event of a socket.
#[derive(Clone, Copy)]
pub(crate) enum Came<'a> {
    Frame(Frame<'a>),
    /// The end of the stream, by the other side or by an error.
    End,
}

impl fmt::Display for Came<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(Frame { opcode, payload }) => {
                let begin = payload[..payload.len().min(40)].escape_ascii();
                write!(f, "a frame {opcode:#x} that begins with \"{begin}\"")
            }
            Self::End => f.write_str("the end of its stream"),
        }
    }
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Stop,
}

/// How a crowd is opened.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) headers: Headers,
    /// The most handshakes at a time.
    pub(crate) at_once: usize,
}

impl Opening {
    pub(crate) const fn short() -> Self {
        Self {
            headers: Headers::Short,
            at_once: 64,
        }
    }
}

impl Crowd {
    /// Opens a socket for each path.
    pub(crate) fn open(
        address: SocketAddr,
        paths: impl Iterator<Item = String>,
        opening: Opening,
    ) -> Result<Self, String> {
        Self::open_timed(address, paths, opening).map(|(crowd, _)| crowd)
    }

    /// Opens them, and says for each when it was open, counted from the beginning, the earliest
    /// first.
    pub(crate) fn open_timed(
        address: SocketAddr,
        mut paths: impl Iterator<Item = String>,
        opening: Opening,
    ) -> Result<(Self, Vec<Duration>), String> {
        let mut crowd = Self {
            poll: Poll::new().map_err(|error| error.to_string())?,
            sockets: Vec::new(),
            read: vec![0; 256 * 1024],
        };
        let start = Instant::now();
        let mut opened = Vec::new();
        loop {
            while crowd.sockets.len() < opened.len().saturating_add(opening.at_once)
                && let Some(path) = paths.next()
            {
                let request = request::request(address, &path, opening.headers);
                let begun = crowd.connect(address, request);
                begun.map_err(|error| format!("cannot connect: {error}"))?;
            }
            if opened.len() == crowd.sockets.len() {
                return Ok((crowd, opened));
            }
            let ready = crowd.poll.wait(PATIENCE)?;
            if ready.is_empty() {
                let missing = crowd.sockets.len() - opened.len();
                return Err(format!("{missing} handshakes are without an answer"));
            }
            for token in ready {
                let is_open = crowd.go_on_opening(token);
                if is_open.map_err(|error| format!("handshake {token}: {error}"))? {
                    opened.push(start.elapsed());
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    pub(crate) fn send(&mut self, token: usize, mut bytes: &[u8]) -> Result<(), String> {
        let stream = &mut self.sockets[token].stream;
        let patience = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            match stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Err(format!("socket {token}: {error}"));
                }
                Err(_) if Instant::now() > patience => {
                    return Err(format!("socket {token} is not read"));
                }
                // The server reads at its own pace.
                Err(_) => thread::sleep(Duration::from_micros(50)),
            }
        }
        Ok(())
    }

    /// From now on this socket does not read.
    ///
    /// Its buffer in the kernel stays as it is: made smaller now, it would drop what is on its way,
    /// and the server's kernel, which takes that for a bad network, would send it again after ever
    /// longer pauses only.
    pub(crate) fn pause(&mut self, token: usize) {
        self.sockets[token].is_paused = true;
    }

    /// Reads on, beginning with what waits.
    pub(crate) fn resume<F>(&mut self, token: usize, on: &mut F) -> Result<Go, String>
    where
        F: FnMut(usize, Came<'_>) -> Result<Go, String>,
    {
        self.sockets[token].is_paused = false;
        self.readable(token, on)
    }

    /// Reads until then, or until the scenario stops it.
    pub(crate) fn read_until<F>(&mut self, until: Instant, on: &mut F) -> Result<Go, String>
    where
        F: FnMut(usize, Came<'_>) -> Result<Go, String>,
    {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut go = Go::On;
            // All that were reported: each is reported once.
            for token in self.poll.wait(left)? {
                if !self.sockets[token].is_paused && self.readable(token, on)? == Go::Stop {
                    go = Go::Stop;
                }
            }
            if go == Go::Stop || left.is_zero() {
                return Ok(go);
            }
        }
    }

    /// Reads until all of these have come, one for each `on` that says [`Go::Stop`].
    pub(crate) fn read_all<F>(&mut self, mut count: usize, mut on: F) -> Result<(), String>
    where
        F: FnMut(usize, Came<'_>) -> Result<Go, String>,
    {
        let mut counting = |token, came: Came<'_>| {
            if on(token, came)? == Go::Stop {
                count -= 1;
            }
            Ok(if count == 0 { Go::Stop } else { Go::On })
        };
        let go = self.read_until(Instant::now() + PATIENCE, &mut counting)?;
        if go == Go::Stop {
            return Ok(());
        }
        Err(format!("{count} due messages did not come"))
    }

    fn connect(&mut self, address: SocketAddr, request: String) -> io::Result<()> {
        let flags = net::SocketFlags::NONBLOCK | net::SocketFlags::CLOEXEC;
        let family = net::AddressFamily::INET;
        let socket = net::socket_with(family, net::SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        self.poll.add_connecting(&socket, self.sockets.len())?;
        self.sockets.push(Socket {
            stream: TcpStream::from(socket),
            state: State::Connecting(request),
            rest: Vec::new(),
            is_paused: false,
        });
        Ok(())
    }

    /// Whether it is open with that.
    fn go_on_opening(&mut self, token: usize) -> Result<bool, String> {
        let socket = &mut self.sockets[token];
        match &socket.state {
            State::Connecting(request) => {
                let written = socket.stream.write_all(request.as_bytes());
                written.map_err(|error| error.to_string())?;
                socket.state = State::Opening;
                let told = self.poll.is_connected(&socket.stream, token);
                told.map_err(|error| error.to_string())?;
                Ok(false)
            }
            State::Opening => {
                let mut read = [0; 1024];
                match socket.stream.read(&mut read) {
                    Ok(0) => return Err("closed".to_owned()),
                    Ok(length) => socket.rest.extend_from_slice(&read[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    Err(error) => return Err(error.to_string()),
                }
                let is_open = request::is_open(&socket.rest)?;
                if is_open {
                    socket.state = State::Open;
                    socket.rest = Vec::new();
                }
                Ok(is_open)
            }
            State::Open | State::Ended => Err("it has more than was sent".to_owned()),
        }
    }

    fn readable<F>(&mut self, token: usize, on: &mut F) -> Result<Go, String>
    where
        F: FnMut(usize, Came<'_>) -> Result<Go, String>,
    {
        let socket = &mut self.sockets[token];
        let mut go = Go::On;
        while matches!(socket.state, State::Open) {
            let kept = socket.rest.len();
            self.read[..kept].copy_from_slice(&socket.rest);
            let end = match socket.stream.read(&mut self.read[kept..]) {
                Ok(length @ 1..) => kept + length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(go),
                Ok(0) | Err(_) => {
                    socket.state = State::Ended;
                    socket.rest = Vec::new();
                    return on(token, Came::End);
                }
            };
            let mut bytes = &self.read[..end];
            let first =
                |bytes| Frame::first(bytes).map_err(|error| format!("socket {token}: {error}"));
            while let Some((frame, rest)) = first(bytes)? {
                bytes = rest;
                if frame.opcode == frames::PING {
                    let pong = frames::request(frames::PONG, frame.payload);
                    // Short, and on a connection that is read; where it has ended, that shows at
                    // the next look.
                    let _ = socket.stream.write(&pong);
                    continue;
                }
                if on(token, Came::Frame(frame))? == Go::Stop {
                    go = Go::Stop;
                }
            }
            socket.rest.clear();
            socket.rest.extend_from_slice(bytes);
            if bytes.is_empty() {
                // A client frees the memory of a large message.
                socket.rest = Vec::new();
            }
            // Reads on: the end of the stream is reported together with the last bytes.
        }
        Ok(go)
    }
}

/// Silence of so long means that nothing will come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
