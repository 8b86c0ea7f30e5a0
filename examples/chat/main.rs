//! Chat rooms, after the tutorial of Django Channels.
//!
//! ```sh
//! cargo run --release --example chat -- [--listen 127.0.0.1:8000]
//! ```
//!
//! Try it:
//! - Open <http://127.0.0.1:8000/> in two windows and talk to yourself. Change a name, go to
//!   another room.
//! - Stop the server with Ctrl-C and start it again: both windows come back by themselves.
//! - Talk to it without a page, `python3 -m websockets ws://127.0.0.1:8000/ws/chat/lobby/`, and say
//!   `{"type": "say", "text": "hello"}`; then say something that is no JSON.
//! - `cargo test --example chat`: its tests, in memory, without a socket.
//!
//! Read on in `room.rs`, where strait comes in. `page.rs` and `page.html` are the page. Nobody is
//! asked who they are here; how a socket learns that from your application is in
//! `examples/inside_axum.rs`.

mod page;
mod room;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::{env, io};

use strait::Server;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let address = match listen_address(env::args().skip(1)) {
        Ok(address) => address,
        Err(error) => {
            eprintln!("chat: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str) -> Result<(), strait::Error> {
    let server = Server::bind(address)
        .router(room::router())
        // A path without a socket route goes to axum, on the same port.
        .fallback(page::router())
        .listen()
        .await?;
    invite(&format!(
        "Open http://{}/ in two windows. Ctrl-C stops.",
        server.local_addr()
    ));
    server.serve().await;
    Ok(())
}

fn listen_address(mut arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let mut address = "127.0.0.1:8000".to_owned();
    while let Some(flag) = arguments.next() {
        if flag != "--listen" {
            return Err(format!("unknown flag {flag}; known is --listen ADDRESS"));
        }
        address = arguments
            .next()
            .ok_or("--listen needs an address, such as 127.0.0.1:8000")?;
    }
    Ok(address)
}

#[expect(
    clippy::print_stdout,
    reason = "the address to open is what the program is started for"
)]
fn invite(text: &str) {
    println!("{text}");
}
