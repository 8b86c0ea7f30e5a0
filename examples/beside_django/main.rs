//! The sockets of a Django project: its pages, its models and its `group_send` stay what they are, and the browsers' sockets are here.
//!
//! Once, from the root of the repository (there is a Redis at 127.0.0.1:6379, say by `redis-server`):
//!
//! ```sh
//! python3 -m venv target/django
//! target/django/bin/pip install -r examples/beside_django/requirements.txt
//! target/django/bin/python examples/beside_django/manage.py migrate
//! ```
//!
//! Then, each in a terminal of its own:
//!
//! ```sh
//! target/django/bin/python examples/beside_django/manage.py runserver
//! cargo run --release --features redis --example beside_django -- [--listen 127.0.0.1:9000] [--backend URL] [--origin ORIGIN]…
//! ```
//!
//! What to try: place an order on <http://127.0.0.1:8000/>, open its page in a second window, and move it along in the first, or by
//! `target/django/bin/python examples/beside_django/manage.py move_order 1 shipped`. Stop Redis, move it, start Redis again: the page
//! comes to know. `SOCKETS_ORIGIN= … manage.py runserver` has Django serve the sockets again.
//!
//! `--backend` names the Redis and the kind of layer that `CHANNEL_LAYERS` has in `shop/settings.py`: by default
//! `channels-redis-core://127.0.0.1:6379/0`. `--origin` is where the pages are, by default port 8000 of this machine. The environment
//! variable `SOCKETS_KEY` is what tickets are signed with, in both programs.
//!
//! In Django, look at `orders/models.py` (who announces), `orders/consumers.py` (what this program replaces) and `orders/tickets.py`.

mod ticket;

use std::env;
use std::io;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::SystemTime;

use serde_json::json;
use strait::Accept;
use strait::ChannelLayer;
use strait::Consumer;
use strait::Context;
use strait::Error;
use strait::Reject;
use strait::Result;
use strait::Router;
use strait::Scope;
use strait::Server;
use strait::handshake::Origins;
use strait::layer::GroupName;

use crate::ticket::Tickets;

/// Somebody who watches an order.
struct OrderConsumer {
    order_id: u64,
}

impl OrderConsumer {
    /// Who may watch is decided by Django, which hands out the tickets.
    fn new(scope: &Scope) -> Result<Self, Reject> {
        let order_id = scope.param("order_id")?;
        let ticket = scope.query("ticket").unwrap_or_default();
        match scope
            .state::<Tickets>()
            .opens(&ticket, order_id, SystemTime::now())
        {
            true => Ok(Self { order_id }),
            false => Err(Reject::forbidden().body("This ticket does not open this order.")),
        }
    }
}

impl Consumer for OrderConsumer {
    /// With `.relay()` the events of Django go to the page as they are. The one in Channels had a method that did just that.
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add(format!("order_{}", self.order_id))
            .relay()
            .await?;
        Ok(Accept::new())
    }

    /// Redis was away, and what Django sent meanwhile is lost. The page asks Django how things stand.
    async fn gap(&mut self, ctx: &Context, _group: GroupName) -> Result {
        ctx.send_json(&json!({"type": "order.missed"})).await?;
        Ok(())
    }
}

fn router(layer: ChannelLayer, tickets: Tickets, origins: Origins) -> Router {
    Router::new()
        // The line of orders/routing.py.
        .re_path(r"ws/order-tracking/(?P<order_id>\d+)/$", OrderConsumer::new)
        .state(tickets)
        .origins(origins)
        .channel_layer(layer)
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let options = match Options::parse(env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("beside_django: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_misconfigured() => {
            eprintln!("beside_django: --backend: {error:#}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("beside_django: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), Error> {
    let layer = ChannelLayer::from_url(&options.backend).await?;
    let key = env::var("SOCKETS_KEY").unwrap_or_else(|_| {
        tracing::warn!(
            "SOCKETS_KEY is not set: tickets are signed with a word that everybody knows"
        );
        "for-development-only".to_owned()
    });
    let server = Server::bind(options.listen)
        .router(router(layer, Tickets::new(&key), options.origins))
        .listen()
        .await?;
    server.serve().await;
    Ok(())
}

struct Options {
    listen: String,
    backend: String,
    /// Where the pages are.
    origins: Origins,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut listen = "127.0.0.1:9000".to_owned();
        let mut backend = "channels-redis-core://127.0.0.1:6379/0".to_owned();
        let mut pages = Vec::new();
        while let Some(flag) = arguments.next() {
            let value = arguments.next();
            let value = value.ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--listen" => listen = value?,
                "--backend" => backend = value?,
                "--origin" => pages.push(value?),
                _ => {
                    return Err(format!(
                        "unknown flag {flag}; known are --listen ADDRESS, --backend URL and --origin ORIGIN"
                    ));
                }
            }
        }
        if pages.is_empty() {
            pages = ["127.0.0.1", "localhost"]
                .map(|host| format!("http://{host}:8000"))
                .into();
        }
        let origins = Origins::try_list(&pages).map_err(|error| format!("--origin: {error}"))?;
        Ok(Self {
            listen,
            backend,
            origins,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::Value;
    use strait::ChannelLayer;
    use strait::Event;
    use strait::Result;
    use strait::handshake::Origins;
    use strait::testing::Communicator;

    use crate::Tickets;
    use crate::router;

    #[tokio::test]
    async fn who_has_a_ticket_and_comes_from_a_page_of_django_hears_what_is_sent() -> Result {
        let (layer, tickets) = (ChannelLayer::memory(), Tickets::new("key"));
        let ticket = tickets.sign(42, SystemTime::now()).unwrap_or_default();
        let page = "http://127.0.0.1:8000";
        let client = |path: &str, origin: &str| {
            let router = router(layer.clone(), tickets.clone(), Origins::list([page]));
            Communicator::new(router, path).header("origin", origin)
        };
        let path = format!("/ws/order-tracking/42/?ticket={ticket}");
        for (path, origin, status) in [
            ("/ws/order-tracking/42/", page, 403),
            (&*path.replace("42/", "43/"), page, 403),
            (&path, "http://elsewhere.example", 403),
            ("/ws/orders/42/", page, 404),
        ] {
            let refused = client(path, origin).connect().await.err();
            let refused = refused.map(|refused| refused.status.as_u16());
            assert_eq!(refused, Some(status), "{path} {origin}");
        }

        let mut client = client(&path, page);
        client.connect().await?;
        let event = Event::new("order.updated").with("status", "shipped");
        layer.group_send("order_42", &event).await?;
        let heard: Value = client.receive_json().await?;
        assert_eq!(heard, serde_json::to_value(&event)?);
        Ok(())
    }
}
