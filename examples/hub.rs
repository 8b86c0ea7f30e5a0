//! What the benchmarks measure: echo, and groups in each of the three ways an event reaches a socket.
//!
//! ```sh
//! cargo run --release --example hub -- [--listen ADDR] [--max-message BYTES]
//! ```
//!
//! - `/echo` sends every message back.
//! - `/group/<name>/` joins the group; a text message is broadcast to it as it is, its sender included.
//! - `/events/<name>/` joins the group; a text message that is a JSON object with a `"type"` is sent to it as an event, and the `event` hook of
//!   every member forwards it.
//! - `/relay/<name>/` is the same, joined with `.relay()`: no hook runs.

use std::process::ExitCode;

use strait::Accept;
use strait::Consumer;
use strait::Context;
use strait::Event;
use strait::Message;
use strait::Reject;
use strait::Router;
use strait::Scope;
use strait::Server;
use strait::config::Config;
use strait::handshake::Origins;
use strait::layer::GroupName;

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }
}

struct Broadcast {
    group: GroupName,
}

impl Broadcast {
    fn new(scope: &Scope) -> Result<Self, Reject> {
        let group = group(scope)?;
        Ok(Self { group })
    }
}

impl Consumer for Broadcast {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add(&self.group).await?;
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let text = message.into_text()?;
        ctx.layer().group_broadcast(&self.group, text).await?;
        Ok(())
    }
}

struct Events {
    group: GroupName,
    relay: bool,
}

impl Events {
    fn hooked(scope: &Scope) -> Result<Self, Reject> {
        let group = group(scope)?;
        Ok(Self {
            group,
            relay: false,
        })
    }

    fn relayed(scope: &Scope) -> Result<Self, Reject> {
        let group = group(scope)?;
        Ok(Self { group, relay: true })
    }
}

impl Consumer for Events {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        let joining = ctx.group_add(&self.group);
        if self.relay {
            joining.relay().await?;
        } else {
            joining.await?;
        }
        Ok(Accept::new())
    }

    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        let event: Event = message.json()?;
        ctx.layer().group_send(&self.group, &event).await?;
        Ok(())
    }

    async fn event(&mut self, ctx: &Context, _event: Event) -> strait::Result {
        ctx.forward().await?;
        Ok(())
    }
}

/// A slug of 100 characters is one, but no group name.
fn group(scope: &Scope) -> Result<GroupName, Reject> {
    let name: String = scope.param("name")?;
    GroupName::try_from(name).map_err(|error| Reject::status(400).body(error.to_string()))
}

struct Options {
    listen: String,
    config: Config,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: "127.0.0.1:8000".to_owned(),
            config: Config::new(),
        };
        while let Some(flag) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| format!("{flag} needs a value"))
            };
            match flag.as_str() {
                "--listen" => options.listen = value()?,
                "--max-message" => {
                    let bytes = value()?;
                    let bytes = bytes
                        .parse()
                        .map_err(|_| format!("--max-message {bytes}: not a number of bytes"))?;
                    options.config = options.config.max_message(bytes);
                }
                _ => {
                    return Err(format!(
                        "unknown flag {flag}; known are --listen ADDR and --max-message BYTES"
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("hub: {error}");
            return ExitCode::from(2);
        }
    };
    let router = Router::new()
        .path("echo", |_| Ok(Echo))
        .path("group/<slug:name>/", Broadcast::new)
        .path("events/<slug:name>/", Events::hooked)
        .path("relay/<slug:name>/", Events::relayed)
        .origins(Origins::any())
        .config(options.config);
    // With thousands of busy groups on one worker the default of 61 lets sockets wait behind a full queue of deliveries.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .event_interval(1024)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hub: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Server::bind(options.listen).router(router).serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hub: {error:#}");
            ExitCode::FAILURE
        }
    }
}
