//! Which extensions of the protocol a client and a route agree on.

use http::{HeaderMap, HeaderValue};

use crate::config::Config;
use crate::websocket::Extensions;

use super::reject::Reject;

/// The agreed extensions, and the header of the 101 that names them.
///
/// If the route enables no extension, nothing is negotiated and the client's offers are not read,
/// malformed or not. If it does, a malformed header is refused with 400 (RFC 6455, 9.1).
#[cfg_attr(
    not(feature = "deflate"),
    expect(
        unused_variables,
        clippy::unnecessary_wraps,
        reason = "there is no extension to agree on"
    )
)]
pub(crate) fn agree_on_extensions(
    headers: &HeaderMap,
    config: &Config,
) -> Result<(Extensions, Option<HeaderValue>), Reject> {
    #[cfg(feature = "deflate")]
    if let Some(options) = &config.deflate {
        return agree_on_deflate(headers, options);
    }
    Ok((Extensions::default(), None))
}

#[cfg(feature = "deflate")]
fn agree_on_deflate(
    headers: &HeaderMap,
    options: &crate::config::Deflate,
) -> Result<(Extensions, Option<HeaderValue>), Reject> {
    use crate::websocket::deflate::{WindowBits, agree};

    let lines = headers.get_all(http::header::SEC_WEBSOCKET_EXTENSIONS);
    let lines = lines.iter().map(HeaderValue::as_bytes);
    let largest = WindowBits::new(options.max_window_bits).unwrap_or(WindowBits::MAX);
    let agreed = agree(lines, largest).map_err(|malformed| {
        Reject::status(http::StatusCode::BAD_REQUEST).body(malformed.to_string())
    })?;
    let (deflate, answer) = agreed.unzip();
    Ok((Extensions { deflate }, answer))
}
