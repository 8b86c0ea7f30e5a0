//! Sockets inside an axum application: one port, one state, one middleware that knows the users,
//! one shutdown.
//!
//! ```sh
//! cargo run --release --example inside_axum -- [--listen 127.0.0.1:8000]
//! ```
//!
//! Try it: open <http://127.0.0.1:8000/> and in that page's console
//!
//! ```js
//! document.cookie = "session=ada-secret";
//! ws = new WebSocket("ws://127.0.0.1:8000/ws/rooms/lobby/");
//! ws.onmessage = (event) => console.log(event.data);
//! ws.onclose = (event) => console.log(event.code, event.reason);
//! ```
//!
//! then, from a shell, with and without the header,
//!
//! ```sh
//! curl -X POST http://127.0.0.1:8000/announce/lobby -H 'Authorization: Bearer grace-secret' -d 'Tea is ready'
//! ```
//!
//! A client that connects afterwards receives the last announcement. Ctrl-C: the socket is closed
//! with 1012.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::{env, io};

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Json, middleware};
use serde::{Deserialize, Serialize};
use strait::layer::GroupName;
use strait::server::shutdown_signal;
use strait::service::Drain;
use strait::{Accept, ChannelLayer, Consumer, Context, Error, Reject, Router, Scope};
use tokio::net::TcpListener;

/// The state of the application, shared by axum's handlers and the consumers. Cheap to
/// clone.
#[derive(Clone)]
struct App {
    layer: ChannelLayer,
    board: Arc<Mutex<Board>>,
}

/// The last announcement of each room.
#[derive(Default)]
struct Board {
    latest: HashMap<GroupName, Announcement>,
    count: u64,
}

/// The published event: written by an HTTP route, read by sockets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename = "room.announcement")]
struct Announcement {
    number: u64,
    by: String,
    text: String,
}

/// The authenticated user. The middleware puts it on the request, and there the routes find it,
/// sockets or not.
#[derive(Clone)]
struct User {
    name: &'static str,
}

/// The consumer.
struct Room {
    group: GroupName,
    user: User,
    /// The announcement that `connect` has shown.
    shown: Option<u64>,
}

impl Room {
    fn new(scope: &Scope) -> Result<Self, Reject> {
        let user = scope.extension().ok_or_else(Reject::unauthorized)?;
        let room: String = scope.param("room")?;
        let group = group(&room).map_err(|_| Reject::not_found())?;
        let shown = None;
        Ok(Self { group, user, shown })
    }
}

impl Consumer<Announcement> for Room {
    async fn connect(&mut self, ctx: &Context) -> Result<Accept, Reject> {
        // Join first, then read: an announcement in between arrives twice, and `event` drops the
        // second one. The other way round it would be met by nobody.
        ctx.group_add(&self.group).await?;
        if let Some(latest) = ctx.state::<App>().latest(&self.group) {
            ctx.send_json(&latest).await?;
            self.shown = Some(latest.number);
        }
        tracing::info!(user = self.user.name, group = %self.group, "connected");
        Ok(Accept::new())
    }

    async fn event(&mut self, ctx: &Context, announcement: Announcement) -> strait::Result {
        if self.shown != Some(announcement.number) {
            // The JSON as it was published, not encoded again for each member.
            ctx.forward().await?;
        }
        Ok(())
    }
}

impl App {
    fn latest(&self, group: &GroupName) -> Option<Announcement> {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.latest.get(group).cloned()
    }

    fn pin(&self, group: &GroupName, user: &User, text: String) -> Announcement {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.count += 1;
        let announcement = Announcement {
            number: board.count,
            by: user.name.to_owned(),
            text,
        };
        board.latest.insert(group.clone(), announcement.clone());
        announcement
    }
}

/// `POST /announce/{room}`: an ordinary handler publishes to sockets.
async fn announce(
    State(app): State<App>,
    user: Option<Extension<User>>,
    Path(room): Path<String>,
    text: String,
) -> Result<Json<serde_json::Value>, (StatusCode, String)> {
    let Some(Extension(user)) = user else {
        return Err((
            StatusCode::UNAUTHORIZED,
            "Who are you? Show a token.\n".to_owned(),
        ));
    };
    let group = group(&room).map_err(|error| refusal(&error))?;
    let announcement = app.pin(&group, &user, text);
    let published = app
        .layer
        .group_send(&group, &announcement)
        .await
        .map_err(|error| refusal(&error))?;
    Ok(Json(serde_json::json!({
        "number": announcement.number,
        "receivers": published.receivers,
    })))
}

/// Strait's errors are asked what they are; their texts are made to be read.
fn refusal(error: &Error) -> (StatusCode, String) {
    let status = if error.is_invalid_name() {
        StatusCode::BAD_REQUEST
    } else if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    (status, format!("{error}\n"))
}

/// The one place that knows how a room's group is called.
fn group(room: &str) -> Result<GroupName, Error> {
    GroupName::try_from(format!("room_{room}"))
}

/// Finds out who asks, for every route: by a header, as programs do, or by a cookie, since a
/// browser's WebSocket can set no headers.
async fn identify(mut request: Request, next: Next) -> Response {
    if let Some(user) = token(request.headers()).and_then(user) {
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name)?.to_str().ok();
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let mut cookies = text(header::COOKIE).unwrap_or_default().split("; ");
    bearer.or_else(|| cookies.find_map(|cookie| cookie.strip_prefix("session=")))
}

/// In place of a table of sessions.
fn user(token: &str) -> Option<User> {
    let name = match token {
        "ada-secret" => "Ada",
        "grace-secret" => "Grace",
        _ => return None,
    };
    Some(User { name })
}

async fn serve(address: &str) -> io::Result<()> {
    let app = App {
        layer: ChannelLayer::memory(),
        board: Arc::default(),
    };
    let (websockets, sockets) = Router::new()
        .path("ws/rooms/<slug:room>/", Room::new)
        .state(app.clone())
        .channel_layer(app.layer.clone())
        .into_service();
    let http = axum::Router::new()
        .route("/", get("See the top of examples/inside_axum.rs\n"))
        .route("/announce/{room}", post(announce))
        .layer(DefaultBodyLimit::max(LONGEST_ANNOUNCEMENT))
        // The paths arrive whole, so the patterns above begin with ws/.
        .route_service("/ws/{*path}", websockets)
        .layer(middleware::from_fn(identify))
        .with_state(app);

    let listener = TcpListener::bind(address).await?;
    tracing::info!("open http://{}/", listener.local_addr()?);
    axum::serve(listener, http)
        .with_graceful_shutdown(async move {
            shutdown_signal().await;
            // Axum waits for requests only; a socket's is over with its handshake. So it is strait
            // that ends the sockets: each `disconnect` has run when this returns, and only then
            // axum stops accepting.
            let drained = sockets.drain(Drain::new()).await;
            tracing::info!(closed = drained.closed, "drained");
        })
        .await
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let arguments: Vec<_> = env::args().skip(1).collect();
    let address = match arguments.as_slice() {
        [] => "127.0.0.1:8000",
        [flag, address] if flag == "--listen" => address,
        _ => {
            eprintln!("inside_axum: known is only --listen ADDRESS, got {arguments:?}");
            return ExitCode::from(2);
        }
    };
    match serve(address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inside_axum: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In bytes; more is answered 413.
const LONGEST_ANNOUNCEMENT: usize = 4096;
