//! [`free_port`]: where a server can listen, and listen again after it was killed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{TcpListener, UdpSocket};

/// A port below those that outgoing connections draw from, so that it is still free when a server
/// comes back. The one 10,000 above, where a Redis Cluster has its bus, is free, too.
pub(crate) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().hash_one(());
        let port = 10_000 + u16::try_from(random % 12_000).unwrap();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
}
