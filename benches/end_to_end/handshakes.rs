//! A burst of connections, each opened, its first message answered.

use std::io;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::poll::Poll;
use crate::common::request::Headers;
use crate::common::{request, wire};
use crate::fleet::{Expected, PATIENCE};

/// Opens so many, and returns them open: closing is no part of it.
pub(crate) fn burst(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let mut burst = Burst {
        poll: Poll::new().map_err(|error| error.to_string())?,
        request: request::request(address, "/echo", Headers::Short),
        expected: Expected::new(),
        sockets: Vec::with_capacity(count),
        answered: 0,
    };
    while burst.answered < count {
        while burst.sockets.len() < count.min(burst.answered + AT_ONCE) {
            burst
                .connect(address)
                .map_err(|error| format!("cannot connect: {error}"))?;
        }
        let ready = burst.poll.wait(PATIENCE)?;
        if ready.is_empty() {
            let missing = burst.sockets.len() - burst.answered;
            return Err(format!("{missing} handshakes are without an answer"));
        }
        for token in ready {
            burst
                .readable(token)
                .map_err(|error| format!("handshake {token}: {error}"))?;
        }
    }
    Ok(burst
        .sockets
        .into_iter()
        .map(|socket| socket.stream)
        .collect())
}

struct Burst {
    poll: Poll,
    request: String,
    expected: Expected,
    sockets: Vec<Socket>,
    answered: usize,
}

struct Socket {
    stream: TcpStream,
    read: Vec<u8>,
    is_open: bool,
}

impl Burst {
    fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        stream.write_all(self.request.as_bytes())?;
        self.poll.add(&stream, self.sockets.len())?;
        self.sockets.push(Socket {
            stream,
            read: Vec::new(),
            is_open: false,
        });
        Ok(())
    }

    fn readable(&mut self, token: usize) -> Result<(), String> {
        let socket = &mut self.sockets[token];
        let mut read = [0; 1024];
        match socket.stream.read(&mut read) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(length) => socket.read.extend_from_slice(&read[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        if !socket.is_open {
            if request::is_open(&socket.read)? {
                socket.is_open = true;
                socket.read.clear();
                let first = wire::request(&wire::sequence(1));
                let written = socket.stream.write_all(&first);
                return written.map_err(|error| error.to_string());
            }
            return Ok(());
        }
        if socket.read.len() >= wire::REPLY {
            self.expected.compare(&socket.read, 1)?;
            self.answered += 1;
        }
        Ok(())
    }
}

/// Handshakes at once.
const AT_ONCE: usize = 64;
