//! tokio-tungstenite with a hub written by hand: a read buffer of 4 KiB, and one flush for all that
//! is ready.

use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::SinkExt;
use futures_util::StreamExt;
use peers::hub::Hub;
use peers::listen;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::ErrorResponse;
use tokio_tungstenite::tungstenite::handshake::server::Request;
use tokio_tungstenite::tungstenite::handshake::server::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(listen::address()?).await?;
    let hub = Arc::new(Hub::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, Arc::clone(&hub)));
    }
}

/// An error is the end of this socket; the load notices what it misses.
async fn serve(stream: TcpStream, hub: Arc<Hub<Message>>) -> Result<(), Error> {
    // Boxed, so that what a handshake needs is not kept by the task.
    let (socket, path) = Box::pin(accept(stream)).await?;
    match path.strip_prefix("/group/") {
        None => echo(socket).await,
        Some(name) => member(socket, name, &hub).await,
    }
}

async fn accept(stream: TcpStream) -> Result<(WebSocketStream<TcpStream>, String), Error> {
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let socket = accept_hdr_async_with_config(stream, callback, Some(config)).await?;
    Ok((socket, path))
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let mut ready = Some(message?);
        while let Some(message) = ready {
            if message.is_text() {
                socket.feed(message).await?;
            }
            ready = socket.next().now_or_never().flatten().transpose()?;
        }
        socket.flush().await?;
    }
    Ok(())
}

async fn member(
    mut socket: WebSocketStream<TcpStream>,
    name: &str,
    hub: &Hub<Message>,
) -> Result<(), Error> {
    let (membership, mut waiting) = hub.join(name);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(message) => {
                    let message = message?;
                    if message.is_text() {
                        membership.publish(&message);
                    }
                }
                None => return Ok(()),
            },
            first = waiting.recv() => {
                let Some(first) = first else { return Ok(()) };
                socket.feed(first).await?;
                while let Ok(next) = waiting.try_recv() {
                    socket.feed(next).await?;
                }
                socket.flush().await?;
            }
        }
    }
}
