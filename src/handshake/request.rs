//! The requirements of RFC 6455, section 4.2.1, for a request, and the 101 that answers it.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use tungstenite::handshake::derive_accept_key;

use super::reject::Reject;

/// A request that is an opening handshake; made by [`Opening::parse`] only.
#[derive(Debug)]
pub(crate) struct Opening {
    accept_key: HeaderValue,
}

impl Opening {
    /// Reads the handshake, or says which answer the request deserves: 405, 426 or 400, with a
    /// sentence.
    pub(crate) fn parse(request: &Parts) -> Result<Self, Reject> {
        if request.method != Method::GET {
            let reject =
                Reject::status(StatusCode::METHOD_NOT_ALLOWED).header(header::ALLOW, "GET");
            return Err(reject.body("a WebSocket handshake is a GET request"));
        }
        let headers = &request.headers;
        if request.version < Version::HTTP_11 || !has_token(headers, header::UPGRADE, "websocket") {
            return Err(upgrade_required(
                "this path speaks WebSocket only: Upgrade: websocket over HTTP/1.1",
            ));
        }
        if !has_token(headers, header::CONNECTION, "upgrade") {
            return Err(bad_request("the Connection header lacks Upgrade"));
        }
        if single(headers, header::HOST).is_none() {
            return Err(bad_request("a request has exactly one Host header"));
        }
        if has_body(headers) {
            return Err(bad_request("a WebSocket handshake has no body"));
        }
        if single(headers, header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
            return Err(upgrade_required("Sec-WebSocket-Version must be 13")
                .header(header::SEC_WEBSOCKET_VERSION, "13"));
        }
        let key = single(headers, header::SEC_WEBSOCKET_KEY)
            .filter(|key| is_key(key))
            .ok_or_else(|| bad_request("Sec-WebSocket-Key must be one base64 text of 16 bytes"))?;
        let accept_key = HeaderValue::try_from(derive_accept_key(key))
            .map_err(|_| bad_request("Sec-WebSocket-Key is malformed"))?;
        Ok(Self { accept_key })
    }
}

/// The 101, with the headers that `connect` added.
pub(crate) fn switching_protocols<B: Default>(opening: Opening, headers: HeaderMap) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, opening.accept_key);
    response
}

fn upgrade_required(why: &str) -> Reject {
    Reject::status(StatusCode::UPGRADE_REQUIRED)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "Upgrade")
        .body(why)
}

fn bad_request(why: &str) -> Reject {
    Reject::status(StatusCode::BAD_REQUEST).body(why)
}

/// The header's value if it stands there exactly once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values
        .next()
        .is_none()
        .then(|| value.as_bytes().trim_ascii())
}

/// Whether the request brings a body, whose bytes would be taken for frames.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length != "0")
}

/// Whether a comma-separated header lists this token, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Sixteen bytes in base64: 22 characters and two of padding. The last character carries two bits;
/// the four below them are ignored, since clients that draw 22 characters at random set them, and
/// RFC 6455 has the key echoed, not decoded.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key
        .split_last_chunk::<2>()
        .map(|(head, tail)| (head, &tail[..]))
    else {
        return false;
    };
    digits.len() == 22
        && digits
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use http::request::Parts;
    use http::{HeaderMap, Method, Request, Response, Version};

    use super::{Opening, switching_protocols};

    /// A correct request with one header changed, `None` to leave it out.
    fn request(name: &'static str, value: Option<&str>) -> Parts {
        let mut request = Request::get("/ws/")
            .header("Host", "example.com")
            .header("Upgrade", "websocket")
            .header("Connection", "keep-alive, Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        if let Some(headers) = request.headers_mut() {
            headers.remove(name);
            if let Some(value) = value {
                headers.insert(name, value.parse().unwrap());
            }
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn each_fault_has_its_status() {
        let rows = [
            ("x", None, 101),
            ("upgrade", Some("WebSocket"), 101),
            ("upgrade", Some("h2c, websocket"), 101),
            ("upgrade", Some("h2c"), 426),
            ("upgrade", None, 426),
            ("connection", Some("upgrade"), 101),
            ("connection", Some("keep-alive"), 400),
            ("connection", None, 400),
            ("host", None, 400),
            ("content-length", Some("0"), 101),
            ("content-length", Some("5"), 400),
            ("transfer-encoding", Some("chunked"), 400),
            ("sec-websocket-version", Some("8"), 426),
            ("sec-websocket-version", None, 426),
            ("sec-websocket-key", None, 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ="), 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZR=="), 101),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZ==="), 400),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ!!"), 400),
            ("sec-websocket-key", Some(""), 400),
        ];
        for (name, value, status) in rows {
            let got = match Opening::parse(&request(name, value)) {
                Ok(_) => 101,
                Err(reject) => reject.status_code().as_u16(),
            };
            assert_eq!(got, status, "{name}: {value:?}");
        }
    }

    #[test]
    fn other_methods_and_versions_are_told_what_to_do() {
        let mut post = request("x", None);
        post.method = Method::POST;
        assert_eq!(Opening::parse(&post).unwrap_err().status_code(), 405);
        let mut old = request("x", None);
        old.version = Version::HTTP_10;
        assert_eq!(Opening::parse(&old).unwrap_err().status_code(), 426);
        for name in ["sec-websocket-key", "host"] {
            let mut twice = request("x", None);
            let value = twice.headers[name].clone();
            twice.headers.append(name, value);
            assert_eq!(Opening::parse(&twice).unwrap_err().status_code(), 400);
        }
    }

    /// The example of the RFC, and a key that ends on a digit which no encoder writes; its answer
    /// is that of Python's `websockets`.
    #[test]
    fn the_accept_key_is_made_of_the_key_as_it_was_sent() {
        for (key, accept) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("AQIDBAUGBwgJCgsMDQ4PEC==", "OfS0wDaT5NoxF2gqm7Zj2YtetzM="),
        ] {
            let request = request("sec-websocket-key", Some(key));
            let opening = Opening::parse(&request).unwrap();
            let response: Response<()> = switching_protocols(opening, HeaderMap::new());
            assert_eq!(response.headers()["sec-websocket-accept"], accept);
        }
    }
}
