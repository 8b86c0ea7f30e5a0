//! The smallest program: every message comes back.
//!
//! ```sh
//! cargo run --release --example echo
//! ```
//!
//! Then `python3 -m websockets ws://127.0.0.1:8000/ws/echo/` in a shell, or in a browser's console,
//! on an empty page,
//!
//! ```js
//! ws = new WebSocket("ws://127.0.0.1:8000/ws/echo/");
//! ws.onmessage = (event) => console.log(event.data);
//! ws.onopen = () => ws.send("hello");
//! ```

use strait::handshake::Origins;
use strait::{Consumer, Context, Message, Router, Server};

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), strait::Error> {
    tracing_subscriber::fmt::init();
    let router = Router::new()
        .path("ws/echo/", |_| Ok(Echo))
        // This server has no page of its own. If there is a page, leave this out: then only that
        // page may connect.
        .origins(Origins::any());
    Server::bind("127.0.0.1:8000").router(router).serve().await
}
