//! The sockets of a Django project: its pages, its models and its `group_send` stay what they are,
//! and the browsers' sockets are here.
//!
//! Once, from the root of the repository (there is a Redis at 127.0.0.1:6379, say by
//! `redis-server`):
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
//! Try it: place an order on <http://127.0.0.1:8000/>, open its page in a second window, and
//! move it along in the first, or by
//! `target/django/bin/python examples/beside_django/manage.py move_order 1 shipped`. Stop Redis,
//! move it, start Redis again: the page comes to know. `SOCKETS_ORIGIN= … manage.py runserver` has
//! Django serve the sockets again.
//!
//! `--backend` names the Redis and the kind of layer that `CHANNEL_LAYERS` has in
//! `shop/settings.py`: by default `channels-redis-core://127.0.0.1:6379/0`. `--origin` is where the
//! pages are, by default port 8000 of this machine. The environment variable `SOCKETS_KEY` signs
//! the tickets, in both programs. It has a known default for development, which is refused unless
//! `--listen` is a loopback address.
//!
//! In Django, look at `orders/models.py` (who announces), `orders/consumers.py` (what this program
//! replaces) and `orders/tickets.py`.

mod ticket;

use std::io::IsTerminal;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::SystemTime;
use std::{env, io};

use serde_json::json;
use strait::handshake::Origins;
use strait::layer::GroupName;
use strait::{
    Accept, ChannelLayer, Consumer, Context, Error, Reject, Result, Router, Scope, Server,
};

use crate::ticket::Tickets;

/// Somebody who watches an order.
struct OrderConsumer {
    order_id: u64,
}

impl OrderConsumer {
    /// Django decides which users may watch, and issues the tickets.
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
    /// With `.relay()` the events of Django go to the page as they are. The one in Channels had a
    /// method that did just that.
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        ctx.group_add(format!("order_{}", self.order_id))
            .relay()
            .await?;
        Ok(Accept::new())
    }

    /// Redis was away, and what Django sent meanwhile is lost. The page asks Django how things
    /// stand.
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
    let options = match Options::parse(env::args().skip(1), env::var("SOCKETS_KEY").ok()) {
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
    let tickets = Tickets::new(&options.key);
    let server = Server::bind(options.listen)
        .router(router(layer, tickets, options.origins))
        .listen()
        .await?;
    server.serve().await;
    Ok(())
}

struct Options {
    listen: String,
    backend: String,
    /// The origin of the pages.
    origins: Origins,
    /// Signs the tickets.
    key: String,
}

impl Options {
    fn parse(
        mut arguments: impl Iterator<Item = String>,
        key: Option<String>,
    ) -> Result<Self, String> {
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
            key: tickets_key(key, &listen)?,
            listen,
            backend,
            origins,
        })
    }
}

/// Anyone who knows the key can open every order. Only this machine may reach a server whose key is
/// known.
fn tickets_key(key: Option<String>, listen: &str) -> Result<String, String> {
    let key = key.unwrap_or_else(|| KNOWN_KEY.to_owned());
    if key.is_empty() {
        // Django's signer would use SECRET_KEY in its place.
        return Err(
            "SOCKETS_KEY is empty; set it to the same random text here and in Django".to_owned(),
        );
    }
    if key != KNOWN_KEY {
        return Ok(key);
    }
    if !is_loopback(listen) {
        return Err(format!(
            "anyone who reaches {listen} could sign tickets with the default SOCKETS_KEY; \
             set SOCKETS_KEY to the same random text here and in Django, or listen on 127.0.0.1"
        ));
    }
    tracing::warn!("tickets are signed with the default SOCKETS_KEY, which everyone knows");
    Ok(key)
}

fn is_loopback(listen: &str) -> bool {
    let addresses = listen.to_socket_addrs();
    addresses.is_ok_and(|mut all| all.all(|address| address.ip().to_canonical().is_loopback()))
}

/// The default of `shop/settings.py`.
const KNOWN_KEY: &str = "for-development-only";

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::Value;
    use strait::handshake::Origins;
    use strait::testing::Communicator;
    use strait::{ChannelLayer, Event, Result};

    use crate::{Options, Tickets, router};

    #[test]
    fn a_known_key_is_refused_off_loopback() {
        let known = Some("for-development-only");
        for (key, listen, refused) in [
            (None, "127.0.0.1:9000", None),
            (known, "127.0.0.1:9000", None),
            (None, "[::1]:9000", None),
            (None, "[::ffff:127.0.0.1]:9000", None),
            (None, "0.0.0.0:9000", Some("set SOCKETS_KEY")),
            (known, "0.0.0.0:9000", Some("set SOCKETS_KEY")),
            (known, "[::]:9000", Some("set SOCKETS_KEY")),
            (known, "192.0.2.1:9000", Some("listen on 127.0.0.1")),
            (Some(""), "0.0.0.0:9000", Some("SOCKETS_KEY is empty")),
            (Some(""), "127.0.0.1:9000", Some("SOCKETS_KEY is empty")),
            (Some("random"), "0.0.0.0:9000", None),
        ] {
            let arguments = ["--listen", listen].map(str::to_owned);
            let options = Options::parse(arguments.into_iter(), key.map(str::to_owned));
            match (options.map(|options| options.key), refused) {
                (Ok(read), None) => assert_eq!(read, key.or(known).unwrap_or_default()),
                (Err(error), Some(why)) => assert!(error.contains(why), "{listen}: {error}"),
                (options, _) => panic!("{key:?} on {listen}: {options:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_page_of_django_with_a_ticket_receives_events() -> Result {
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
