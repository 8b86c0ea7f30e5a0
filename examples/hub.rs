//! The server of the benchmarks: echo, and groups in each of the three ways in which an event
//! reaches a socket.
//!
//! ```sh
//! cargo run --release --example hub -- [--listen ADDR] [--max-message BYTES] [--outgoing BYTES] [--send-buffer BYTES] \
//!     [--drain-window SECONDS] [--threads N|current] [--event-interval N] [--deflate] [--backend URL]
//! ```
//!
//! `--deflate` compresses for clients that offer to; it takes a build with `--features deflate`.
//! `--backend` is a URL for `ChannelLayer::from_url`, by default `memory:`; for
//! `redis://127.0.0.1:6379` it takes a build with `--features redis`.
//!
//! - `/echo` sends every message back.
//! - `/group/<name>/` joins the group; a text message is broadcast to it as it is, its sender
//!   included. A binary one is read and goes nowhere.
//! - `/events/<name>/` joins the group; a text message that is a JSON object with a `"type"` is
//!   sent to it as an event, and the `event` hook of every member forwards it.
//! - `/relay/<name>/` is the same, joined with `.relay()`: no hook runs.
//! - `/stats` answers every message with the ends so far, by close code and cause:
//!   `{"1000 Client":2,"4008 SlowReader":10}`.
//!
//! On SIGTERM or Ctrl-C it closes every socket, spread over `--drain-window` (default none). Its
//! last line, on the standard output, is the ends once more. `--send-buffer` is what the kernel may
//! hold for each socket before anything waits in `--outgoing`; its own measure grows to some
//! megabytes. `--threads current` is a runtime without workers; else it has `N`, by default one for
//! each core. `--event-interval` is how many tasks a worker runs, 1024 by default, before it looks
//! for sockets that became ready.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use strait::config::Config;
use strait::handshake::Origins;
use strait::layer::GroupName;
use strait::service::Drain;
use strait::{
    Accept, BoxError, ChannelLayer, Closed, Consumer, Context, Event, Message, Reject, Router,
    Scope, Server,
};
use tokio::runtime::{Builder, Runtime};

struct Echo;

impl Consumer for Echo {
    async fn receive(&mut self, ctx: &Context, message: Message) -> strait::Result {
        ctx.send(message).await?;
        Ok(())
    }

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        ctx.state::<Ends>().count(&closed);
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
        if let Message::Text(text) = message {
            ctx.layer().group_broadcast(&self.group, text).await?;
        }
        Ok(())
    }

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        ctx.state::<Ends>().count(&closed);
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

    async fn disconnect(&mut self, ctx: &Context, closed: Closed) {
        ctx.state::<Ends>().count(&closed);
    }
}

struct Stats;

impl Consumer for Stats {
    async fn receive(&mut self, ctx: &Context, _message: Message) -> strait::Result {
        // Encoded before it is awaited, so that no lock is held meanwhile.
        let ends = ctx.send_json(&*ctx.state::<Ends>().lock());
        ends.await?;
        Ok(())
    }
}

/// How many `disconnect` hooks ran, by cause. Those of `/stats` are not among them.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<BTreeMap<String, u64>>>);

impl Ends {
    fn count(&self, closed: &Closed) {
        let end = format!("{} {:?}", closed.code(), closed.cause());
        *self.lock().entry(end).or_default() += 1;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slug of 100 characters is one, but no group name.
fn group(scope: &Scope) -> Result<GroupName, Reject> {
    let name: String = scope.param("name")?;
    GroupName::try_from(name).map_err(|error| Reject::status(400).body(error.to_string()))
}

struct Options {
    listen: String,
    send_buffer: Option<usize>,
    config: Config,
    drain: Drain,
    threads: Threads,
    event_interval: u32,
    backend: String,
}

#[derive(Clone, Copy)]
enum Threads {
    OnePerCore,
    Workers(usize),
    Current,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            listen: "127.0.0.1:8000".to_owned(),
            send_buffer: None,
            config: Config::new(),
            drain: Drain::new(),
            threads: Threads::OnePerCore,
            // With thousands of busy groups on one worker the default of 61 lets sockets wait
            // behind a full queue of deliveries.
            event_interval: 1024,
            backend: "memory:".to_owned(),
        };
        while let Some(flag) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{flag} needs a value"))
            };
            match flag.as_str() {
                "--listen" => options.listen = value()?,
                "--max-message" => {
                    let bytes = number(&flag, &value()?)?;
                    options.config = options.config.max_message(bytes);
                }
                "--backend" => options.backend = value()?,
                "--deflate" => options.config = deflating(options.config)?,
                "--outgoing" => {
                    let bytes = number(&flag, &value()?)?;
                    options.config = options.config.outgoing(OUTGOING_FRAMES, bytes);
                }
                "--send-buffer" => options.send_buffer = Some(number(&flag, &value()?)?),
                "--drain-window" => {
                    let window = Duration::from_secs(number(&flag, &value()?)?);
                    // Queued frames and running hooks have their time after the last closing, too.
                    let deadline = window.saturating_add(DRAIN_REST);
                    options.drain = options.drain.window(window).deadline(deadline);
                }
                "--threads" => {
                    options.threads = match value()?.as_str() {
                        "current" => Threads::Current,
                        count => Threads::Workers(number::<usize>(&flag, count)?.max(1)),
                    }
                }
                "--event-interval" => {
                    options.event_interval = number::<u32>(&flag, &value()?)?.max(1);
                }
                _ => return Err(format!("unknown flag {flag}; {KNOWN}")),
            }
        }
        Ok(options)
    }
}

fn number<T: FromStr>(flag: &str, value: &str) -> Result<T, String> {
    let number = value.parse();
    number.map_err(|_| format!("{flag} {value}: not a number that fits"))
}

impl Threads {
    fn runtime(self, event_interval: u32) -> io::Result<Runtime> {
        let mut builder = match self {
            Self::OnePerCore | Self::Workers(_) => Builder::new_multi_thread(),
            Self::Current => Builder::new_current_thread(),
        };
        if let Self::Workers(count) = self {
            builder.worker_threads(count);
        }
        builder.event_interval(event_interval).enable_all().build()
    }
}

#[cfg(feature = "deflate")]
fn deflating(config: Config) -> Result<Config, String> {
    Ok(config.deflate(strait::config::Deflate::new()))
}

#[cfg(not(feature = "deflate"))]
fn deflating(_config: Config) -> Result<Config, String> {
    Err("--deflate takes a build with it: cargo run --release --example hub --features deflate -- --deflate".to_owned())
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("hub: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match options.threads.runtime(options.event_interval) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hub: cannot start a runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ends = Ends::default();
    let router = Router::new()
        .path("echo", |_| Ok(Echo))
        .path("group/<slug:name>/", Broadcast::new)
        .path("events/<slug:name>/", Events::hooked)
        .path("relay/<slug:name>/", Events::relayed)
        .path("stats", |_| Ok(Stats))
        .state(ends.clone())
        .origins(Origins::any())
        .config(options.config);
    let served = runtime.block_on(async {
        let router = router.channel_layer(ChannelLayer::from_url(&options.backend).await?);
        let server = match options.send_buffer {
            Some(bytes) => Server::from_std(listener(&options.listen, bytes)?),
            None => Server::bind(options.listen),
        };
        server.router(router).drain(options.drain).serve().await?;
        Ok::<_, BoxError>(())
    });
    if let Err(error) = served {
        let error_of_ours = error.downcast_ref::<strait::Error>();
        if error_of_ours.is_some_and(strait::Error::is_misconfigured) {
            eprintln!("hub: --backend: {error:#}");
            return ExitCode::from(2);
        }
        eprintln!("hub: {error:#}");
        return ExitCode::FAILURE;
    }
    let ends = serde_json::json!(*ends.lock());
    match writeln!(io::stdout(), "{ends}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hub: cannot say how connections ended: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Accepted sockets have the size of its buffer.
fn listener(address: &str, send_buffer: usize) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    sockopt::set_socket_send_buffer_size(&listener, send_buffer)?;
    Ok(listener)
}

/// The default of [`Config::outgoing`], which `--outgoing` leaves as it is.
const OUTGOING_FRAMES: usize = 1024;
const DRAIN_REST: Duration = Duration::from_secs(10);
const KNOWN: &str = "known are --listen ADDR, --max-message BYTES, --outgoing BYTES, --send-buffer BYTES, --drain-window SECONDS, --threads N|current, --event-interval N, --deflate and --backend URL";
