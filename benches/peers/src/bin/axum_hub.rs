//! axum's `ws` with `tokio::sync::broadcast`, and its read buffer at 4 KiB, which is what one would
//! tune first.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use axum::Router;
use axum::extract::Path;
use axum::extract::State;
use axum::extract::ws::Message;
use axum::extract::ws::Utf8Bytes;
use axum::extract::ws::WebSocket;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use peers::listen;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

type Groups = Arc<Mutex<HashMap<String, broadcast::Sender<Utf8Bytes>>>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(listen::address()?).await?;
    let listener = listener.tap_io(|stream| {
        // Without it nothing is lost but time.
        let _ = stream.set_nodelay(true);
    });
    let app = Router::new()
        .route("/echo", get(echo))
        .route("/group/{name}/", get(group))
        .with_state(Groups::default());
    axum::serve(listener, app).await
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if matches!(message, Message::Close(_)) || socket.send(message).await.is_err() {
                    return;
                }
            }
        })
}

async fn group(
    State(groups): State<Groups>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER)
        .on_upgrade(move |socket| {
            let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
            let sender = groups
                .entry(name)
                .or_insert_with(|| broadcast::Sender::new(WAITING));
            member(socket, sender.clone())
        })
}

async fn member(mut socket: WebSocket, sender: broadcast::Sender<Utf8Bytes>) {
    let mut receiver = sender.subscribe();
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    // The own receiver is there, so it cannot fail.
                    let _ = sender.send(text);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            // To lag is an end, too: the load would see a gap anyway.
            text = receiver.recv() => {
                let Ok(text) = text else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
        }
    }
}

const READ_BUFFER: usize = 4096;
const WAITING: usize = 16;
