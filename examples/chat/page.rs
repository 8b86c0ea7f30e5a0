//! The page, built into the program: one file, nothing from elsewhere.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

/// The page finds its room in its own address; at `/` it is the lobby.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/rooms/{room}", get(room_page))
        .route("/rooms/{room}/", get(room_page))
}

async fn room_page(Path(room): Path<String>) -> Response {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_');
    if !room.is_empty() && room.len() <= LONGEST_ROOM && room.chars().all(is_sign) {
        return page().await;
    }
    let why = format!(
        "There is no room {room:?}: names of rooms are 1 to {LONGEST_ROOM} letters a to z, digits, - and _.\n"
    );
    (StatusCode::NOT_FOUND, why).into_response()
}

/// Nothing runs in the page but what is in the file: its script and its style carry a nonce, which
/// nobody can foresee and which is used once.
async fn page() -> Response {
    let nonce = match nonce() {
        Ok(nonce) => nonce,
        Err(error) => {
            tracing::error!(%error, "no random numbers to be had from the system");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let page = include_str!("page.html").replace("{nonce}", &nonce);
    let headers: [(HeaderName, String); 4] = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Html(page)).into_response()
}

fn nonce() -> Result<String, getrandom::Error> {
    Ok(format!(
        "{:016x}{:016x}",
        getrandom::u64()?,
        getrandom::u64()?
    ))
}

/// The page's field has this limit, too.
const LONGEST_ROOM: usize = 50;
