//! A storm of connections before the server has come round to the first: all are let in by the
//! kernel at once.
//!
//! A program of its own, since it opens thousands of descriptors and raises the process's limit.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failing test should panic")]

use std::fs;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use strait::Server;

#[tokio::test]
async fn clients_that_come_at_once_need_not_try_again() {
    let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let clients = somaxconn.trim().parse::<u64>().unwrap().min(3000);
    let limit = getrlimit(Resource::Nofile).maximum;
    let enough = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, enough).unwrap();
    assert!(
        limit.is_none_or(|limit| limit > clients + 100),
        "the hard limit of descriptors is {limit:?}"
    );
    // It listens and does not accept.
    let listening = Server::bind("127.0.0.1:0").listen().await.unwrap();
    let address = listening.local_addr();
    // If there is no room, the kernel tries again after a second.
    let at_once = Duration::from_millis(900);
    let connect = |_| TcpStream::connect_timeout(&address, at_once);
    let streams: Result<Vec<_>, _> = (0..clients).map(connect).collect();
    assert!(streams.is_ok(), "{streams:?}");
}
