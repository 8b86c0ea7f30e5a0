//! The orders over HTTP: JSON in, JSON out, and every refusal is `{"error": "a sentence"}`.
//!
//! Anyone may place an order, so each client address may place only a few at a time.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use strait::handshake::Peer;

use crate::error::StoreError;
use crate::events::OrderEvent;
use crate::limit::RateLimit;
use crate::order::{Illegal, Invalid, Item, LinkedOrder, NewOrder, Status};
use crate::position::{OffEarth, Position};
use crate::secret::Staff;
use crate::store::Store;
use crate::{order, secret};

/// The state that the handlers share.
#[derive(Clone, Debug)]
struct App {
    store: Store,
    staff: Staff,
    limit: RateLimit,
}

pub(crate) fn router(store: Store, staff: Staff) -> Router {
    Router::new()
        .route("/orders", get(list).post(place))
        .route("/orders/{order_id}", get(show))
        .route("/orders/{order_id}/status", post(change_status))
        .route("/orders/{order_id}/location", post(locate))
        .route("/demo", get(demo))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(App {
            store,
            staff,
            limit: RateLimit::new(),
        })
}

/// `/healthz`: whether orders can be read.
pub(crate) fn healthz(store: Store) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .with_state(store)
}

#[derive(Deserialize)]
struct PlaceOrder {
    customer: String,
    items: Vec<Item>,
}

#[derive(Serialize)]
struct Placed {
    order_id: u64,
    token: String,
    tracking_url: String,
}

async fn place(
    _within: WithinLimit,
    State(app): State<App>,
    body: Body<PlaceOrder>,
) -> Result<(StatusCode, Json<Placed>), Refusal> {
    let Json(PlaceOrder { customer, items }) = body?;
    let (order_id, token) = app.store.place(NewOrder::new(&customer, items)?).await?;
    let placed = Placed {
        order_id,
        tracking_url: order::tracking_url(order_id, &token),
        token: token.reveal().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(placed)))
}

#[derive(Deserialize)]
struct Access {
    #[serde(default)]
    token: String,
}

/// One order, for the holder of its token and for the staff.
async fn show(
    State(app): State<App>,
    order_id: Result<Path<u64>, PathRejection>,
    access: Result<Query<Access>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Json<LinkedOrder>, Refusal> {
    let Path(order_id) = order_id?;
    let Query(Access { token }) = access?;
    let order = match bearer(&headers) {
        Some(word) if app.staff.matches(word) => app.store.order(order_id).await?,
        _ => app.store.order_opened_by(order_id, &token).await?,
    };
    Ok(Json(order.into()))
}

#[derive(Deserialize)]
struct ChangeStatus {
    status: String,
    #[serde(default)]
    note: Option<String>,
}

async fn change_status(
    _staff: ByStaff,
    State(app): State<App>,
    order_id: Result<Path<u64>, PathRejection>,
    body: Body<ChangeStatus>,
) -> Result<Json<OrderEvent>, Refusal> {
    let Path(order_id) = order_id?;
    let Json(ChangeStatus { status, note }) = body?;
    let status = Status::from_name(&status)?;
    let note = order::note(note.as_deref())?;
    Ok(Json(app.store.change_status(order_id, status, note).await?))
}

#[derive(Deserialize)]
struct Locate {
    lat: f64,
    lng: f64,
}

async fn locate(
    _staff: ByStaff,
    State(app): State<App>,
    order_id: Result<Path<u64>, PathRejection>,
    body: Body<Locate>,
) -> Result<Json<OrderEvent>, Refusal> {
    let Path(order_id) = order_id?;
    let Json(Locate { lat, lng }) = body?;
    Ok(Json(
        app.store.locate(order_id, Position::new(lat, lng)?).await?,
    ))
}

/// The data of the board.
async fn list(_staff: ByStaff, State(app): State<App>) -> Result<Json<Vec<LinkedOrder>>, Refusal> {
    Ok(linked(app.store.board().await?))
}

/// The simulated orders, open to everybody.
async fn demo(State(app): State<App>) -> Result<Json<Vec<LinkedOrder>>, Refusal> {
    Ok(linked(app.store.simulated(DEMO_LIMIT).await?))
}

async fn health(State(store): State<Store>) -> Result<&'static str, Refusal> {
    store.ping().await?;
    Ok("ok\n")
}

async fn no_route(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("There is nothing at /api{}.", uri.path()),
    )
}

async fn no_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not take that method.",
    )
}

fn linked(orders: Vec<order::Order>) -> Json<Vec<LinkedOrder>> {
    Json(orders.into_iter().map(LinkedOrder::from).collect())
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// Taken by handlers that only the staff may reach. Declared first, it is checked before anything
/// else is read.
struct ByStaff;

impl FromRequestParts<App> for ByStaff {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match bearer(&parts.headers) {
            Some(word) if app.staff.matches(word) => Ok(Self),
            Some(_) => Err(Refusal::unauthorized("This is not the staff's token.")),
            None => Err(Refusal::unauthorized(
                "Only the staff may do this: send `Authorization: Bearer` with its token.",
            )),
        }
    }
}

/// Taken by handlers that write for anyone: counts the request against its client address. Declared
/// first, it is checked before the body is read. The staff is exempt, since it takes orders by
/// telephone.
struct WithinLimit;

impl FromRequestParts<App> for WithinLimit {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        if bearer(&parts.headers).is_some_and(|word| app.staff.matches(word)) {
            return Ok(Self);
        }
        let peer = parts.extensions.get::<Peer>();
        // Requests without an address count as one client. strait's server gives one to each.
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let taken = app.limit.take(address);
        taken.map(|()| Self).map_err(Refusal::too_many_orders)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    secret::bearer(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    sentence: String,
    /// The header that the status asks for beside the sentence.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            header: None,
        }
    }

    fn unauthorized(sentence: &str) -> Self {
        Self {
            header: Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            ..Self::new(StatusCode::UNAUTHORIZED, sentence)
        }
    }

    fn too_many_orders(wait: Duration) -> Self {
        // Rounded up: a client that comes back after this many seconds is served.
        let seconds = (wait + Duration::from_nanos(999_999_999)).as_secs();
        let sentence = format!("Too many orders came from your address. Try again in {seconds} s.");
        Self {
            header: Some((header::RETRY_AFTER, seconds.into())),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, sentence)
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.sentence }));
        let headers = AppendHeaders(self.header);
        (self.status, headers, body).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::NoSuchOrder(_) => StatusCode::NOT_FOUND,
            StoreError::WrongToken(_) => StatusCode::FORBIDDEN,
            StoreError::Illegal(_) => StatusCode::CONFLICT,
            _ => {
                tracing::error!(%error, "the store failed");
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong here. It was not your request.",
                );
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<Illegal> for Refusal {
    fn from(illegal: Illegal) -> Self {
        Self::new(StatusCode::CONFLICT, illegal.to_string())
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
    }
}

impl From<OffEarth> for Refusal {
    fn from(off_earth: OffEarth) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, off_earth.to_string())
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let sentence = match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                "Send the body as JSON, with `Content-Type: application/json`.".to_owned()
            }
            JsonRejection::JsonSyntaxError(error) => {
                format!("The body is not JSON: {}.", cause(&error))
            }
            JsonRejection::JsonDataError(error) => {
                format!("The body does not fit: {}.", cause(&error))
            }
            _ if status == StatusCode::PAYLOAD_TOO_LARGE => {
                format!("The body is larger than {BODY_LIMIT} bytes.")
            }
            _ => "The body did not arrive whole.".to_owned(),
        };
        Self::new(status, sentence)
    }
}

impl From<PathRejection> for Refusal {
    fn from(_: PathRejection) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is no such order: orders have numbers.",
        )
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            format!("The query does not fit: {}.", cause(&rejection)),
        )
    }
}

/// The root cause of an error, without the words that axum puts before it.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

const BODY_LIMIT: usize = 16 * 1024;
const DEMO_LIMIT: u32 = 8;

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::path::Path;

    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode, header};
    use axum::response::Response;
    use strait::handshake::Peer;
    use tokio::time::advance;
    use tower_service::Service;

    use crate::limit::{AT_ONCE, INTERVAL};
    use crate::secret::{Secret, Staff};
    use crate::store::Store;

    #[tokio::test(start_paused = true)]
    async fn orders_of_one_address_are_limited() -> Result<(), Box<dyn Error>> {
        let (store, _committed) = Store::open(Path::new(":memory:"))?;
        let api = super::router(store, Staff::new(Secret::new("word".to_owned())));
        let (ada, grace) = ("192.0.2.1:5000", "192.0.2.2:5000");
        for _ in 0..AT_ONCE {
            let placed = place(&api, ada, "Bearer wrong").await?;
            assert_eq!(placed.status(), StatusCode::CREATED);
        }
        let refused = place(&api, ada, "Bearer wrong").await?;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "10");

        for (address, token) in [(grace, ""), (ada, "Bearer word")] {
            let placed = place(&api, address, token).await?;
            assert_eq!(placed.status(), StatusCode::CREATED, "{address} {token}");
        }
        advance(INTERVAL).await;
        let placed = place(&api, "192.0.2.1:6000", "").await?;
        assert_eq!(placed.status(), StatusCode::CREATED);
        Ok(())
    }

    async fn place(api: &Router, address: &str, token: &str) -> Result<Response, Box<dyn Error>> {
        let order = r#"{"customer": "Ada", "items": [{"name": "Tea", "quantity": 1}]}"#;
        let request = Request::post("/orders")
            .extension(Peer(address.parse()?))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, token)
            .body(Body::from(order))?;
        Ok(api.clone().call(request).await?)
    }
}
