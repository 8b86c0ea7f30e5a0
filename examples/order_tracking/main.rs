//! A kitchen that delivers, and pages that follow its orders live.
//!
//! ```text
//! cargo run --release --example order_tracking -- [--listen 127.0.0.1:8000] [--database FILE] [--backend URL] [--simulate N] \
//!     [--staff-token T | --staff-token-file FILE]
//! ```
//!
//! Two instances act as one when they share a database file, a backend that both reach, and the
//! staff's token:
//!
//! ```text
//! cargo run --release --features redis --example order_tracking -- --listen 127.0.0.1:8000 \
//!     --database /tmp/orders.sqlite --backend redis://127.0.0.1:6379 --staff-token word
//! cargo run --release --features redis --example order_tracking -- --listen 127.0.0.1:8001 \
//!     --database /tmp/orders.sqlite --backend redis://127.0.0.1:6379 --staff-token word
//! ```
//!
//! The file's form keeps the token out of the list of processes. It prints the addresses to open.
//! Read on in `consumers.rs`, where strait comes in; then `events.rs` (what is announced) and
//! `store.rs` (committed first, announced after). `api.rs` is plain axum, `pages/` are plain pages.

mod api;
mod consumers;
mod error;
mod events;
mod ledger;
mod limit;
mod options;
mod order;
mod pages;
mod position;
mod secret;
mod simulate;
mod store;
#[cfg(test)]
mod together;
mod town;

use std::error::Error;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io, iter};

use axum::middleware;
use strait::{ChannelLayer, Router, Server};
use tracing_subscriber::EnvFilter;

use crate::consumers::{BoardConsumer, TrackingConsumer};
use crate::events::Announcer;
use crate::options::{Options, USAGE, Usage};
use crate::order::tracking_url;
use crate::secret::{Secret, Staff};
use crate::simulate::Simulation;
use crate::store::Store;

fn main() -> ExitCode {
    let options = match Options::parse(env::args_os().skip(1)) {
        Ok(options) => options,
        Err(Usage::Asked) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(usage) => {
            eprintln!("order_tracking: {usage}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    match serve(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_misconfigured(&*error) => {
            eprintln!("order_tracking: --backend: {}", with_causes(&*error));
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("order_tracking: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(options: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let layer = ChannelLayer::from_url(&options.backend).await?;
    let database = options.database.map_or_else(beside_the_program, Ok)?;
    let (store, committed) = Store::open(&database)
        .map_err(|error| format!("cannot open the database {}: {error}", database.display()))?;
    let staff = Staff::new(options.staff_token.map_or_else(Secret::random, Ok)?);

    let http = pages::router()
        .merge(api::healthz(store.clone()))
        .nest("/api", api::router(store.clone(), staff.clone()))
        .layer(middleware::map_response(pages::protect));
    let server = Server::bind(&options.listen)
        .router(websockets(&store, &staff, &layer))
        .fallback(http)
        .listen()
        .await?;

    let announcer = Announcer::new(layer);
    tokio::spawn(announcer.clone().announce(committed));
    tokio::spawn(announcer.catch_up(store.clone()));
    let simulation = Simulation::begin(store.clone(), options.simulate).await?;
    tokio::spawn(simulation.run());

    let newest = store.simulated(u32::MAX).await?.pop();
    let example = newest.map(|order| tracking_url(order.order_id, &order.token));
    say(&welcome(server.local_addr(), example.as_deref(), &staff));
    say(&format!(
        "Orders are kept in {}. Ctrl-C stops.",
        database.display()
    ));
    server.serve().await;
    Ok(())
}

/// The tutorial's route, and the staff's.
fn websockets(store: &Store, staff: &Staff, layer: &ChannelLayer) -> Router {
    Router::new()
        .re_path(
            r"ws/order-tracking/(?P<order_id>\d+)/$",
            TrackingConsumer::new,
        )
        .path("ws/board/", |_| Ok(BoardConsumer))
        .state(store.clone())
        .state(staff.clone())
        .channel_layer(layer.clone())
}

/// With no `--database`: a file that a restart finds again and that nobody else uses.
fn beside_the_program() -> io::Result<PathBuf> {
    Ok(env::current_exe()?.with_extension("sqlite"))
}

fn welcome(mut address: SocketAddr, example: Option<&str>, staff: &Staff) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let mut welcome = format!("Place an order      http://{address}/\n");
    if let Some(path) = example {
        welcome += &format!("Follow one          http://{address}{path}\n");
    }
    welcome
        + &format!(
            "Move them along     http://{address}/board?staff={}\n",
            staff.reveal()
        )
}

/// Whether another URL would help, and another try would not.
fn is_misconfigured(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<strait::Error>();
    error.is_some_and(strait::Error::is_misconfigured)
}

/// An error and what is behind it, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[expect(
    clippy::print_stdout,
    reason = "the addresses to open are what the program is asked for"
)]
fn say(text: &str) {
    println!("{text}");
}
