//! The pages, built into the program: no build step, nothing from elsewhere.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

pub(crate) fn router() -> Router {
    let pages = Router::new()
        .route("/", get(Html(include_str!("pages/home.html"))))
        .route(
            "/orders/{order_id}",
            get(Html(include_str!("pages/order.html"))),
        )
        .route("/board", get(Html(include_str!("pages/board.html"))))
        .fallback(missing);
    ASSETS
        .into_iter()
        .fold(pages, |pages, (path, kind, content)| {
            pages.route(path, get(([(header::CONTENT_TYPE, kind)], content)))
        })
}

/// The rules for a browser: load from this origin alone, send no referrer (the address contains a
/// token), store nothing.
pub(crate) async fn protect(mut response: Response) -> Response {
    for (name, value) in PROTECTION {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn missing() -> impl IntoResponse {
    (
        StatusCode::NOT_FOUND,
        Html(include_str!("pages/missing.html")),
    )
}

const ASSETS: [(&str, &str, &str); 8] = [
    (
        "/assets/style.css",
        "text/css",
        include_str!("pages/style.css"),
    ),
    (
        "/assets/icon.svg",
        "image/svg+xml",
        include_str!("pages/icon.svg"),
    ),
    (
        "/assets/live.js",
        "text/javascript",
        include_str!("pages/live.js"),
    ),
    (
        "/assets/words.js",
        "text/javascript",
        include_str!("pages/words.js"),
    ),
    (
        "/assets/map.js",
        "text/javascript",
        include_str!("pages/map.js"),
    ),
    (
        "/assets/home.js",
        "text/javascript",
        include_str!("pages/home.js"),
    ),
    (
        "/assets/order.js",
        "text/javascript",
        include_str!("pages/order.js"),
    ),
    (
        "/assets/board.js",
        "text/javascript",
        include_str!("pages/board.js"),
    ),
];

const PROTECTION: [(header::HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];
