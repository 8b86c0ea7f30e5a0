//! The orders over HTTP: JSON in, JSON out, and every refusal is `{"error": "a sentence"}`.

use axum::Json;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequestParts;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use serde::Deserialize;
use serde::Serialize;

use crate::error::StoreError;
use crate::events::OrderEvent;
use crate::order;
use crate::order::Illegal;
use crate::order::Invalid;
use crate::order::Item;
use crate::order::LinkedOrder;
use crate::order::NewOrder;
use crate::order::Status;
use crate::position::OffEarth;
use crate::position::Position;
use crate::secret;
use crate::secret::Staff;
use crate::store::Store;

/// What the handlers share.
#[derive(Clone, Debug)]
struct App {
    store: Store,
    staff: Staff,
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
        .with_state(App { store, staff })
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

/// One order, for whoever holds its token and for the staff.
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

/// What the board shows.
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

/// Taken by handlers that only the staff may reach. Declared first, it is checked before anything else is read.
struct ByStaff;

impl FromRequestParts<App> for ByStaff {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        match bearer(&parts.headers) {
            Some(word) if app.staff.matches(word) => Ok(Self),
            Some(_) => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "This is not the staff's token.",
            )),
            None => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "Only the staff may do this: send `Authorization: Bearer` with its token.",
            )),
        }
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
}

impl Refusal {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "error": self.sentence }));
        if self.status == StatusCode::UNAUTHORIZED {
            return (self.status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (self.status, body).into_response()
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

/// What is at the bottom of an error, without the words that axum puts before it.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

const BODY_LIMIT: usize = 16 * 1024;
const DEMO_LIMIT: u32 = 8;
