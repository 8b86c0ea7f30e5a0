//! The listener of an address, with room for a storm of connections.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Listens on the first address of that name that can be had, as tokio does.
pub(super) async fn on(address: &str) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "no address has that name");
    for address in lookup_host(address).await? {
        match on_one(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn on_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for what the last process left behind; on Windows the option would
    // mean something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that may wait to be accepted. After a restart all clients come at once, and one that
/// finds no room tries again a second later at the earliest. Linux takes no more than
/// `net.core.somaxconn`, 4,096 unless it is set.
const BACKLOG: u32 = 4096;
