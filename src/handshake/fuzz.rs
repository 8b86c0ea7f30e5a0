//! The rules of the opening handshake, for any request.

use std::str;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use sha1::{Digest, Sha1};

use crate::handshake::{Accept, Opening, Origins, Refusal, Reject, switching_protocols};
use crate::sampler::LogSampler;
use crate::scope::{Scope, decode_path};
use crate::urls::Params;

/// Reads a request's head, and behind an empty line a list of allowed origins, one a line.
///
/// - The request is answered with 101 and the key of RFC 6455, or with 400, 405 or 426 and a
///   sentence: which of the two is known from a plain reading of section 4.2.1.
/// - The path is decoded once, or refused; the scope answers as the request does.
/// - Only a subprotocol that was offered can be chosen.
/// - An origin is let in or refused with 403. One that a list lets in is on it; no origin never is.
///
/// # Panics
///
/// Panics if one of these rules is broken.
pub fn handshake(data: &[u8]) {
    let (head, list) = split_once(data, b"\n\n");
    let Some(mut request) = parse(head) else {
        return;
    };
    let key = plain_reading(&request);
    match (Opening::parse(&request), &key) {
        (Ok(opening), Some(key)) => check_acceptance(opening, key),
        (Err(reject), None) => check_refusal(reject),
        (outcome, _) => panic!("{outcome:?} for {request:?}"),
    }
    let raw_path = request.uri.path().to_owned();
    let path = decode_path(&raw_path);
    assert_eq!(path.as_deref(), plainly_decoded(&raw_path).as_deref());
    let Some(path) = path else {
        return;
    };
    let scope = scope(&mut request, &path);
    check_subprotocols(&scope);
    check_origins(&request.headers, &String::from_utf8_lossy(list));
}

/// A head as a lenient server would read it: header lines that are none are left out.
fn parse(head: &[u8]) -> Option<Parts> {
    let (first, lines) = split_once(head, b"\n");
    let first = str::from_utf8(first).ok()?;
    let mut words = first.split_ascii_whitespace();
    let (method, uri, version) = (words.next()?, words.next()?, words.next()?);
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .version(match version {
            "HTTP/1.1" => Version::HTTP_11,
            _ => Version::HTTP_10,
        });
    let headers = request.headers_mut()?;
    // As many as hyper takes.
    for line in lines.split(|&byte| byte == b'\n').take(100) {
        let (name, value) = split_once(line, b":");
        if let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value.trim_ascii())
        {
            headers.append(name, value);
        }
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// The key of a request that is an opening handshake, by the numbered points of RFC 6455, section
/// 4.2.1.
fn plain_reading(request: &Parts) -> Option<String> {
    let values = |name: &str| -> Vec<&[u8]> {
        let values = request.headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    };
    let lists = |name: &str, token: &str| {
        let ascii = values(name).into_iter().filter(|value| value.is_ascii());
        let text = ascii.map(String::from_utf8_lossy);
        let words: Vec<String> = text
            .flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        words
            .iter()
            .any(|word| word.trim().to_ascii_lowercase() == token)
    };
    let no_body = values("transfer-encoding").is_empty()
        && values("content-length")
            .first()
            .is_none_or(|length| *length == b"0");
    let holds = request.method == Method::GET
        && request.version == Version::HTTP_11
        && values("host").len() == 1
        && lists("upgrade", "websocket")
        && lists("connection", "upgrade")
        && values("sec-websocket-version") == [b"13"]
        && no_body;
    let keys = values("sec-websocket-key");
    let [key] = keys[..] else {
        return None;
    };
    (holds && nonce(key).is_some_and(|nonce| nonce.len() == 16))
        .then(|| String::from_utf8_lossy(key).into_owned())
}

fn check_acceptance(opening: Opening, key: &str) {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let response: Response<()> = switching_protocols(opening, HeaderMap::new());
    assert_eq!(response.status(), 101);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-accept"], to_base64(&digest));
    assert_eq!(headers["upgrade"], "websocket");
    assert_eq!(headers["connection"], "Upgrade");
}

fn check_refusal(reject: Reject) {
    assert!(reject.error().is_none(), "a client's fault is no error");
    let Refusal::Http {
        status,
        headers,
        body,
    } = reject.into_refusal()
    else {
        panic!("a handshake that was none was accepted");
    };
    assert!(!body.is_empty(), "{status} without a sentence");
    match status.as_u16() {
        400 => {}
        405 => assert_eq!(headers["allow"], "GET"),
        426 => assert_eq!(headers["upgrade"], "websocket"),
        other => panic!("answered with {other}"),
    }
}

fn scope(request: &mut Parts, path: &str) -> Scope {
    let decoded = path.to_owned();
    let scope = Scope::new(request, path, Params::default(), Arc::default());
    assert_eq!(scope.path(), decoded);
    assert_eq!(scope.raw_path(), request.uri.path());
    assert_eq!(
        scope.query_string(),
        request.uri.query().unwrap_or_default()
    );
    let made_the_handshake = [
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
    ];
    let sent = request.headers.iter();
    let sent = sent.map(|(name, value)| (name.as_str(), value.as_bytes()));
    let sent = sent.filter(|(name, _)| !made_the_handshake.contains(name));
    assert!(scope.headers().eq(sent), "the scope's headers differ");
    for pair in scope.query_string().split('&').filter(|it| !it.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            assert!(scope.query(name).is_some(), "{name} is not found");
        }
    }
    scope
}

fn check_subprotocols(scope: &Scope) {
    for offered in scope.subprotocols() {
        let headers = Accept::new().subprotocol(offered).into_headers(scope);
        let chosen = headers.map(|headers| headers["sec-websocket-protocol"].clone());
        assert_eq!(
            chosen.ok().as_ref().map(HeaderValue::as_bytes),
            Some(offered.as_bytes())
        );
    }
    let never_offered = Accept::new().subprotocol("a,b");
    assert!(never_offered.into_headers(scope).is_err());
}

fn check_origins(headers: &HeaderMap, list: &str) {
    let origins: Vec<_> = headers.get_all("origin").iter().collect();
    let origin = origins.last().map(|value| value.as_bytes());
    let host = headers
        .get("host")
        .and_then(|value| str::from_utf8(value.as_bytes()).ok());
    assert!(is_let_in(&Origins::any(), headers));
    let same_host = is_let_in(&Origins::same_host(), headers);
    match (origin, host) {
        (None, _) => assert!(same_host),
        (Some(_), None) => assert!(!same_host),
        (Some(origin), Some(host)) if same_host => assert!(is_of_host(origin, host)),
        (Some(_), Some(_)) => {}
    }
    if is_let_in(&Origins::list([".example.com"]), headers) {
        let host = origin.map(plain_host).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        assert!(
            host == "example.com" || host.ends_with(".example.com"),
            "{origin:?} is not below example.com"
        );
    }
    let entries = list.lines().take(8);
    if let Ok(listed) = Origins::try_list(entries.clone())
        && is_let_in(&listed, headers)
        && !entries.clone().any(|entry| entry == "*")
    {
        let origin = origin.map(|origin| String::from_utf8_lossy(origin).to_ascii_lowercase());
        let origin = origin.unwrap_or_default();
        assert!(origin != "null" || entries.clone().any(|entry| entry == "null"));
        let names = |entry: &str| {
            let (scheme, host) = entry.split_once("://").unwrap_or(("", entry));
            let host = host.split('/').next().unwrap_or_default();
            // An app's scheme may have no host, or one of a dot.
            if matches!(host, "" | ".") {
                return origin == format!("{}://{host}", scheme.to_ascii_lowercase());
            }
            let name = host.trim_start_matches('.').to_ascii_lowercase();
            let name = name.split(':').next().unwrap_or_default().to_owned();
            !name.is_empty() && origin.contains(&name)
        };
        assert!(entries.clone().any(names), "{origin} is on no list");
    }
}

/// A refusal is a 403 and nothing else.
fn is_let_in(origins: &Origins, headers: &HeaderMap) -> bool {
    match origins.check("/", headers, &LogSampler::new()) {
        Ok(()) => true,
        Err(reject) => {
            assert_eq!(reject.status_code(), 403);
            false
        }
    }
}

/// Whether the origin's host and port are the header's, in the few ways to write the same.
fn is_of_host(origin: &[u8], host: &str) -> bool {
    let origin = String::from_utf8_lossy(origin).to_ascii_lowercase();
    let host = host.trim().to_ascii_lowercase();
    let default = |scheme: &str| match scheme {
        "http" | "ws" => ":80",
        _ => ":443",
    };
    let Some((scheme, rest)) = origin.split_once("://") else {
        return false;
    };
    let site = rest.split('/').next().unwrap_or_default();
    let with_port = |site: &str| {
        let (name, port) = match site.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.to_owned()),
            _ => (site, default(scheme)[1..].to_owned()),
        };
        (name.to_owned(), port.parse::<u16>().ok())
    };
    with_port(site) == with_port(&host)
}

/// The host that a browser would connect to: behind the scheme, without user, port and path.
fn plain_host(origin: &[u8]) -> String {
    let origin = String::from_utf8_lossy(origin);
    let rest = origin.split("://").nth(1).unwrap_or_default();
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let authority = rest[..end].rsplit('@').next().unwrap_or_default();
    authority.split(':').next().unwrap_or_default().to_owned()
}

fn plainly_decoded(raw: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = raw.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after
            .first_chunk::<2>()
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = hex.and_then(|hex| str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) if first == b'%' => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn split_once<'a>(bytes: &'a [u8], by: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(by.len()).position(|part| part == by) {
        Some(at) => (&bytes[..at], &bytes[at + by.len()..]),
        None => (bytes, &[]),
    }
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let [a, b, c] = word.map(u32::from);
        let bits = a << 16 | b << 8 | c;
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize % 64];
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

/// Sixteen bytes of which the encoder left rubbish in the bits below the last.
fn nonce(key: &[u8]) -> Option<Vec<u8>> {
    let digits = key.strip_suffix(b"==")?;
    let (_, before) = digits.split_last()?;
    let last = b"AQgw".iter();
    let mut canonical = last.map(|&digit| [before, &[digit], b"=="].concat());
    let is_digit = digits.iter().all(|digit| DIGITS.contains(digit));
    is_digit.then(|| canonical.find_map(|key| from_base64(&key)))?
}

/// Canonical base64 only, as [`to_base64`] writes it.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().take_while(|&&byte| byte != b'=');
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = DIGITS.iter().position(|known| known == digit)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (to_base64(&bytes).as_bytes() == text).then_some(bytes)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
