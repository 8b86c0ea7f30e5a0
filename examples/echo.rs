//! The smallest program: every message comes back.
//!
//! ```sh
//! cargo run --release --example echo
//! ```
//!
//! Then, in a browser's console: `ws = new WebSocket("ws://127.0.0.1:8000/ws/echo/"); ws.onmessage = e => console.log(e.data)`, and
//! `ws.send("hello")`. The page must come from nowhere (`about:blank` sends the origin `null`, which is refused) or any origin must be
//! allowed, as it is here.

use strait::Consumer;
use strait::Context;
use strait::Message;
use strait::Router;
use strait::Server;
use strait::handshake::Origins;

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
        .origins(Origins::any());
    Server::bind("127.0.0.1:8000").router(router).serve().await
}
