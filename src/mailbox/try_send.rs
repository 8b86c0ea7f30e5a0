//! [`try_send`]: one `send(2)` that does not wait, to a TCP socket whose mailbox is locked.

use std::io;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::net::TcpStream;

/// Writes as much as the kernel takes now. Returns 0 if its buffer is full.
///
/// Writes to the descriptor directly, past tokio's readiness: a delivery to 10,000 sockets touches
/// one cache line less per socket. A short count does no harm, since the session then writes
/// through tokio, which registers for the socket's readiness.
pub(crate) fn try_send(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        }
    }
}
