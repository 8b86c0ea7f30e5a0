//! Connections whose kernel holds little, so that little fits beside the queues whose bounds are
//! looked at.

use std::net::SocketAddr;

use strait::testing::TestServer;
use strait::{Router, Server};
use tokio::net::TcpSocket;

use super::client::{Client, request};

/// Its messages wait in its queues.
pub(crate) async fn serve(router: Router) -> TestServer {
    let listener = TcpSocket::new_v4().unwrap();
    // Accepted connections inherit this.
    listener.set_send_buffer_size(KERNEL as u32).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::from_listener(listener.listen(1024).unwrap()).router(router);
    TestServer::serve(server).await.unwrap()
}

impl Client {
    /// Little is on its way to it while it does not read.
    pub(crate) async fn connect_narrow(server: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(KERNEL as u32).unwrap();
        let stream = socket.connect(server).await.unwrap();
        Self::open(stream, &request(path, "")).await
    }
}

/// The requested size of the kernel's buffers; they may be a few times larger, on both sides.
pub(crate) const KERNEL: usize = 16 * 1024;
