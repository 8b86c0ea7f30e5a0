//! [`Proxy`]: a TCP proxy that falls silent when told to, with every connection left open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Connections below the first number are silent for ever, and all of them while the second is
    /// set.
    gate: watch::Sender<(usize, bool)>,
    opened: Arc<AtomicUsize>,
    target: watch::Sender<String>,
    task: AbortHandle,
}

impl Proxy {
    /// Listens on a port of its own and passes each connection on to this address.
    pub(crate) async fn to(target: impl Into<String>) -> Self {
        let (target, to) = watch::channel(target.into());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gate, open) = watch::channel((0, false));
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::Relaxed);
                let target = to.borrow().clone();
                connections.spawn(pass(
                    client,
                    target,
                    Gate {
                        number,
                        open: open.clone(),
                    },
                ));
            }
        });
        Self {
            address,
            gate,
            opened,
            target,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Passes nothing any longer, in either direction; connections stay open, and new ones are
    /// accepted and are silent, too.
    pub(crate) fn stall(&self) {
        self.gate.send_modify(|(_, stalled)| *stalled = true);
    }

    /// The bytes that were held back are passed on, and everything after them.
    pub(crate) fn resume(&self) {
        self.gate.send_modify(|(_, stalled)| *stalled = false);
    }

    /// The connections of now are silent for ever; new ones work. So it is where a firewall has
    /// forgotten a connection.
    pub(crate) fn forget(&self) {
        let opened = self.opened.load(Ordering::Relaxed);
        self.gate.send_modify(|(forgotten, _)| *forgotten = opened);
    }

    /// New connections lead to this address from now on.
    pub(crate) fn lead_to(&self, target: impl Into<String>) {
        self.target.send_replace(target.into());
    }

    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Gate {
    number: usize,
    open: watch::Receiver<(usize, bool)>,
}

impl Gate {
    /// Waits until bytes of this connection may pass; for ever if the proxy has gone.
    async fn passes(&mut self) {
        let number = self.number;
        let wait = self
            .open
            .wait_for(|(forgotten, stalled)| number >= *forgotten && !stalled);
        if wait.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn pass(client: TcpStream, target: String, mut gate: Gate) {
    gate.passes().await;
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // An end on one side is passed on as an end, so that each side sees what the other does.
    tokio::join!(
        one_way(from_client, to_server, gate.clone()),
        one_way(from_server, to_client, gate),
    );
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: Gate,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await;
        gate.passes().await;
        match read {
            Ok(0) | Err(_) => break,
            Ok(length) => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown().await;
}
