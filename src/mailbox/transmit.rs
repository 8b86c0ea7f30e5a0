//! [`transmit`]: one `send(2)` to a TCP socket that does not wait, for whoever holds the mailbox's
//! lock.

use std::io;

use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::net::TcpStream;

/// Writes what the kernel takes now; 0 where it takes nothing.
///
/// Straight on the descriptor, past tokio's readiness: a delivery to 10,000 sockets touches one
/// cache line less per socket. A short count is no problem, since the session then tries by way of
/// tokio, which learns of the full buffer there.
pub(crate) fn transmit(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(written) => return Ok(written),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        }
    }
}
