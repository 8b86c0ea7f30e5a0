//! [`Scope`]: the request of a connection, its route and the results of the checks before it.

use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use http::{Extensions, HeaderMap, HeaderName, Uri, header};
use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::urls::Params;

/// The request of a connection, the parameters of its route, and the application's state.
///
/// A clone is cheap and shows the same scope, so that an asynchronous check takes it by value. The
/// request is kept as a compact copy, since the server's own would pin its whole read buffer for as
/// long as the connection lives. (Channels' `self.scope`.)
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    head: Head,
    params: Params,
    mount: Arc<Mount>,
    /// Extensions of the request, from middleware and from checks. Written before `connect`, then
    /// only read.
    extensions: RwLock<Extensions>,
}

/// The part that all connections of one route share; owned by the router.
#[derive(Debug, Default)]
pub(crate) struct Mount {
    pub(crate) pattern: String,
    pub(crate) parameters: Vec<String>,
    pub(crate) state: State,
}

/// The address of the peer, as an extension of the request.
///
/// [`Server`](crate::Server) puts it there, for its [fallback](crate::Server::fallback) too. Inside
/// another server, such as axum's, [put it there yourself](crate::service#the-clients-address) for
/// [`Scope::peer`] to answer.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Scope {
    pub(crate) fn new(
        request: &mut http::request::Parts,
        path: &str,
        params: Params,
        mount: Arc<Mount>,
    ) -> Self {
        let mut extensions = std::mem::take(&mut request.extensions);
        let peer = extensions.remove::<Peer>().map(|Peer(address)| address);
        if extensions.is_empty() {
            // An empty map keeps its table.
            extensions = Extensions::new();
        }
        Self(Arc::new(Inner {
            head: Head::new(peer, &request.uri, path, &request.headers),
            params,
            mount,
            extensions: RwLock::new(extensions),
        }))
    }

    /// The path, percent-decoded once.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.head.path()
    }

    /// The path as it was sent.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        self.0.head.raw_path()
    }

    /// What stood after the `?`, as it was sent; empty when there was none.
    #[must_use]
    pub fn query_string(&self) -> &str {
        self.0.head.query()
    }

    /// The first value of a query parameter, decoded (`%20` and `+` are spaces). Bytes that are not
    /// UTF-8 are replaced.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = self
            .query_string()
            .split('&')
            .filter(|pair| !pair.is_empty());
        pairs.find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode_query(key) == name).then(|| decode_query(value))
        })
    }

    /// The first header of this name, in any case; `None` when there is none or it is not UTF-8.
    /// All of them are among [`headers`](Self::headers).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.header_values(name).next()?;
        str::from_utf8(value).ok()
    }

    /// The headers in the order of arrival of their names, names in lower case. Those that only
    /// made the handshake (`Connection`, `Upgrade`, `Sec-WebSocket-Key`, `Sec-WebSocket-Version`)
    /// are not kept.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.head.headers()
    }

    /// The subprotocols that the client offers, in its order.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.header_values("sec-websocket-protocol")
            .filter_map(|value| str::from_utf8(value).ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|name| !name.is_empty())
    }

    /// A parameter of the route, parsed.
    ///
    /// # Errors
    ///
    /// When the value does not parse into `T` (before acceptance: 404), or the route declares no
    /// such parameter (500, and an error in the log that names the route and its parameters). A
    /// group of a regular expression that took no part in the match is an error, too (404): ask for
    /// such a one with [`optional_param`](Self::optional_param).
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        let absent = || Error::absent_parameter(self.route(), name);
        self.optional_param(name)?.ok_or_else(absent)
    }

    /// A parameter of the route, parsed, or `None` where its group took no part in the match.
    ///
    /// ```
    /// # use strait::{Consumer, Router};
    /// # struct Feed { page: u32 } impl Consumer for Feed {}
    /// let router = Router::new().re_path(r"ws/feed/(?:(?P<page>\d+)/)?$", |scope| {
    ///     Ok(Feed { page: scope.optional_param("page")?.unwrap_or(1) })
    /// });
    /// ```
    ///
    /// # Errors
    ///
    /// As [`param`](Self::param), except that an absent group is `None`.
    pub fn optional_param<T: FromStr>(&self, name: &str) -> Result<Option<T>, Error> {
        let Mount {
            pattern,
            parameters,
            ..
        } = &*self.0.mount;
        let Some(value) = self.0.params.value(name, self.path()) else {
            if parameters.iter().any(|declared| declared == name) {
                return Ok(None);
            }
            let declared: Vec<_> = parameters.iter().map(String::as_str).collect();
            return Err(Error::undeclared_parameter(pattern, name, &declared));
        };
        let mismatch = |_| Error::parameter(pattern, name, value, type_name::<T>());
        value.parse().map(Some).map_err(mismatch)
    }

    /// The parameters of the route: names and values. (Channels' `scope["url_route"]["kwargs"]`.)
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.params.iter(self.path())
    }

    /// The unnamed groups of a regular expression, in order; empty when any group has a name.
    /// (Channels' `args`.)
    pub fn args(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.params.args(self.path())
    }

    /// The pattern of the matched route, as it was declared, prefixes in front.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.0.mount.pattern
    }

    /// The address of the peer, where the server knows one: see [`Peer`].
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.head.peer()
    }

    /// The state that the application shares: [`Router::state`](crate::Router::state).
    ///
    /// # Panics
    ///
    /// When the router has no state of this type. [`try_state`](Self::try_state) answers `None`
    /// instead.
    #[must_use]
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        let Some(state) = self.try_state() else {
            panic!(
                "route {:?} has no state of type {}: add it with Router::state",
                self.route(),
                type_name::<T>()
            );
        };
        state
    }

    /// The state that the application shares; `None` if the router has none of this type.
    #[must_use]
    pub fn try_state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.mount.state.find()
    }

    /// A copy of a typed extension: from middleware in front of the router, or from a check.
    #[must_use]
    pub fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        let extensions = self.0.extensions.read();
        extensions
            .unwrap_or_else(PoisonError::into_inner)
            .get()
            .cloned()
    }

    /// Adds a typed extension, in place of one of the same type: how a check hands what it found (a
    /// user, a tenant) to the consumer.
    pub fn insert_extension<T: Clone + Send + Sync + 'static>(&self, value: T) {
        let extensions = self.0.extensions.write();
        extensions
            .unwrap_or_else(PoisonError::into_inner)
            .insert(value);
    }

    fn header_values<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers()
            .filter(move |(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No query, no headers: they carry tokens and cookies.
        f.debug_struct("Scope")
            .field("path", &self.path())
            .field("route", &self.route())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

/// Values of the application's own types, one of each, from
/// [`Router::state`](crate::Router::state).
#[derive(Clone, Default)]
pub(crate) struct State(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl State {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Takes what `outer` has and this one has not.
    pub(crate) fn inherit(&mut self, outer: &Self) {
        for (id, value) in &outer.0 {
            self.0.entry(*id).or_insert_with(|| value.clone());
        }
    }

    fn find<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.0.len())
    }
}

/// The request's head in one allocation: the peer's address, the path as it was sent, the query,
/// the path decoded where that changed it, then each header as two lengths, name and value.
struct Head {
    bytes: Box<[u8]>,
    peer_len: u8,
    path_len: u16,
    query_len: u16,
    /// 0 where decoding changed nothing.
    decoded_len: u16,
}

impl Head {
    fn new(peer: Option<SocketAddr>, uri: &Uri, path: &str, headers: &HeaderMap) -> Self {
        let (raw_path, query) = (uri.path(), uri.query().unwrap_or_default());
        let kept = || headers.iter().filter(|(name, _)| !is_handshake(name));
        let lengths = kept().map(|(name, value)| name.as_str().len() + value.len() + 8);
        let peer = peer.map(written_address).unwrap_or_default();
        let decoded = if path == raw_path { "" } else { path };
        let line = peer.len() + raw_path.len() + query.len() + decoded.len();
        let mut bytes = Vec::with_capacity(line + lengths.sum::<usize>());
        bytes.extend_from_slice(&peer);
        bytes.extend_from_slice(raw_path.as_bytes());
        bytes.extend_from_slice(query.as_bytes());
        bytes.extend_from_slice(decoded.as_bytes());
        for (name, value) in kept() {
            bytes.extend_from_slice(&length(name.as_str().len()).to_ne_bytes());
            bytes.extend_from_slice(&length(value.len()).to_ne_bytes());
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        Self {
            bytes: bytes.into_boxed_slice(),
            peer_len: peer.len() as u8,
            // No `Uri` is longer, and decoding makes it shorter.
            path_len: raw_path.len() as u16,
            query_len: query.len() as u16,
            decoded_len: decoded.len() as u16,
        }
    }

    fn peer(&self) -> Option<SocketAddr> {
        read_address(&self.bytes[..usize::from(self.peer_len)])
    }

    fn path(&self) -> &str {
        if self.decoded_len == 0 {
            return self.raw_path();
        }
        let start = self.query_start() + usize::from(self.query_len);
        self.text(start, self.decoded_len)
    }

    fn raw_path(&self) -> &str {
        self.text(usize::from(self.peer_len), self.path_len)
    }

    fn query(&self) -> &str {
        self.text(self.query_start(), self.query_len)
    }

    fn query_start(&self) -> usize {
        usize::from(self.peer_len) + usize::from(self.path_len)
    }

    fn text(&self, start: usize, len: u16) -> &str {
        str::from_utf8(&self.bytes[start..start + usize::from(len)]).unwrap_or_default()
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let after_query = usize::from(self.query_len) + usize::from(self.decoded_len);
        let mut rest = &self.bytes[self.query_start() + after_query..];
        std::iter::from_fn(move || {
            let (name_len, after) = rest.split_first_chunk::<4>()?;
            let (value_len, after) = after.split_first_chunk::<4>()?;
            let (name, after) = after.split_at(u32::from_ne_bytes(*name_len) as usize);
            let (value, after) = after.split_at(u32::from_ne_bytes(*value_len) as usize);
            rest = after;
            Some((str::from_utf8(name).unwrap_or_default(), value))
        })
    }
}

/// The address in as few bytes as tell it: 6, or 26.
fn written_address(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => [&v4.ip().octets()[..], &port].concat(),
        SocketAddr::V6(v6) => {
            let [flow, scope] = [v6.flowinfo(), v6.scope_id()].map(u32::to_be_bytes);
            [&v6.ip().octets()[..], &port, &flow, &scope].concat()
        }
    }
}

fn read_address(bytes: &[u8]) -> Option<SocketAddr> {
    if let Ok(bytes) = <[u8; 6]>::try_from(bytes) {
        let [a, b, c, d, high, low] = bytes;
        return Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into());
    }
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (flow, scope) = rest.split_first_chunk::<4>()?;
    let [flow, scope] = [*flow, scope.try_into().ok()?].map(u32::from_be_bytes);
    let port = u16::from_be_bytes(*port);
    Some(SocketAddrV6::new((*ip).into(), port, flow, scope).into())
}

/// Whether the header has done its work with the 101, and says nothing about the client.
fn is_handshake(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::UPGRADE,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
    ]
    .contains(name)
}

/// The path percent-decoded, or `None` where the result is not UTF-8.
pub(crate) fn decode_path(raw: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(raw).decode_utf8().ok()
}

fn decode_query(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// A head of 4 GiB does not pass any HTTP parser.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use std::sync::Arc;

    use super::{Params, Scope, decode_path, read_address, written_address};

    fn scope(uri: &str) -> Scope {
        let request = http::Request::builder()
            .uri(uri)
            .header("Cookie", "a=1")
            .header("X-Bytes", http::HeaderValue::from_bytes(b"\xff").unwrap())
            .header("Sec-WebSocket-Protocol", "chat, superchat")
            .header("Sec-WebSocket-Protocol", "third");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let uri = parts.uri.clone();
        let path = decode_path(uri.path()).unwrap();
        Scope::new(&mut parts, &path, Params::default(), Arc::default())
    }

    #[test]
    fn the_compact_copy_answers_as_the_request_would() {
        let scope = scope("/ws/caf%C3%A9%2Fx/?token=a%20b+c&flag&token=2&%C3%A9=1");
        assert_eq!(scope.path(), "/ws/café/x/");
        assert_eq!(scope.raw_path(), "/ws/caf%C3%A9%2Fx/");
        assert_eq!(scope.query("token").as_deref(), Some("a b c"));
        assert_eq!(scope.query("flag").as_deref(), Some(""));
        assert_eq!(scope.query("é").as_deref(), Some("1"));
        assert_eq!(scope.query("other"), None);
        assert_eq!(scope.query(""), None);
        assert_eq!(scope.header("cookie"), Some("a=1"));
        assert_eq!(scope.header("COOKIE"), Some("a=1"));
        assert_eq!(scope.header("x-bytes"), None);
        assert_eq!(scope.headers().count(), 4);
        assert_eq!(scope.headers().nth(1), Some(("x-bytes", &b"\xff"[..])));
        let offered: Vec<_> = scope.subprotocols().collect();
        assert_eq!(offered, ["chat", "superchat", "third"]);
    }

    /// As the chapter on defaults says of the memory for it.
    #[test]
    fn the_copy_of_a_head_exceeds_it_by_4_bytes_a_line_at_most() {
        let long = "x".repeat(61 * 1024);
        let mut request = http::Request::builder()
            .uri("/ws/?a=%20")
            .header("cookie", &long);
        let mut on_the_wire =
            "GET /ws/?a=%20 HTTP/1.1\r\n\r\n".len() + "cookie: \r\n".len() + long.len();
        for number in 0..99 {
            let name = format!("x-{number}");
            on_the_wire += name.len() + "y".len() + ": \r\n".len();
            request = request.header(name, "y");
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let scope = Scope::new(&mut parts, "/ws/", Params::default(), Arc::default());
        assert!(parts.extensions.is_empty());
        let kept = scope.0.head.bytes.len();
        assert!(kept <= on_the_wire + 4 * 100, "{kept} of {on_the_wire}");
    }

    #[test]
    fn every_address_is_read_as_it_was_written() {
        for address in [
            "1.2.3.4:5",
            "255.0.0.255:65535",
            "[2001:db8::1]:80",
            "[fe80::1%7]:1",
        ] {
            let address = address.parse().unwrap();
            assert_eq!(read_address(&written_address(address)), Some(address));
        }
        assert_eq!(read_address(&[]), None);
    }

    #[test]
    fn a_path_that_decodes_to_no_text_is_told() {
        assert_eq!(decode_path("/ws/%FF"), None);
        assert_eq!(decode_path("/ws/%zz").as_deref(), Some("/ws/%zz"));
    }
}
