//! [`Origins`]: which pages may open a connection, told by the browser's `Origin` header.

use std::fmt;

use http::{HeaderMap, header};

use crate::error::{Error, excerpt};
use crate::sampler::{LogSampler, sampled};

use super::reject::Reject;

/// Which origins may connect. Without this check any page on the web could open a socket with its
/// visitor's cookies, since browsers apply no same-origin rule to WebSockets.
///
/// The default is [`same_host`](Self::same_host). (Channels' `OriginValidator` and
/// `AllowedHostsOriginValidator`.)
///
/// ```
/// use strait::handshake::Origins;
///
/// let origins = Origins::list(["https://shop.example", ".partner.example"]);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Origins {
    rule: Rule,
}

#[derive(Clone, Debug, Default)]
enum Rule {
    #[default]
    SameHost,
    Any,
    List(Vec<Entry>),
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// `null`: a document without an origin of its own.
    Null,
    Site(Allowed),
}

/// The sites of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    /// `None`: any scheme and any port.
    scheme: Option<String>,
    /// Empty for an app's scheme without one, such as `file://`.
    host: String,
    /// Written with a leading dot: the host itself and all below it.
    with_subdomains: bool,
    port: Option<u16>,
}

impl Origins {
    /// Only pages (http or https) from the host and port that the request's `Host` names. A missing
    /// `Origin` passes, since only browsers send one. This is the default.
    ///
    /// It trusts the `Host`: a name of somebody else's that leads to this machine (DNS rebinding)
    /// is a host like any other, so a service on a developer's or a private machine that knows its
    /// names should [`list`](Self::list) them.
    pub fn same_host() -> Self {
        Self::default()
    }

    /// Everyone. Right for services without cookies, whose clients show a token.
    pub fn any() -> Self {
        Self { rule: Rule::Any }
    }

    /// Only these, and no request without an `Origin`. An entry is one of these:
    ///
    /// - a host, with any scheme and port: `example.com`;
    /// - a host and all below it: `.example.com`;
    /// - either of these with a scheme and perhaps a port: `https://example.com:8443`. Default
    ///   ports are filled in;
    /// - the origin of an app with a scheme of its own: `app://.`, `capacitor://localhost`,
    ///   `chrome-extension://…`;
    /// - `null` or `file://`, logged as a warning. **Any page can send `null`**, from a sandboxed
    ///   frame, and any HTML file that a visitor opens sends one of the two: with cookies this
    ///   protects as little as [`any`](Self::any);
    /// - `*` for everyone.
    ///
    /// # Panics
    ///
    /// On an entry that could never match, at the caller's line: see [`try_list`](Self::try_list).
    #[track_caller]
    pub fn list<I>(entries: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        match Self::try_list(entries) {
            Ok(origins) => origins,
            Err(error) => panic!("{error}"),
        }
    }

    /// [`list`](Self::list) for entries from a configuration file.
    ///
    /// # Errors
    ///
    /// Names the entry that could never match: `*.example.com`, a port without a scheme, a host
    /// that is not written as browsers send it (`münchen.example` is `xn--mnchen-3ya.example`), an
    /// empty one.
    pub fn try_list<I>(entries: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = Vec::new();
        for entry in entries {
            match entry.as_ref() {
                "*" => return Ok(Self::any()),
                entry => list.push(Entry::parse(entry)?),
            }
        }
        for entry in list.iter().filter(|entry| entry.is_of_any_file()) {
            tracing::warn!(
                ?entry,
                "Origins::list has an origin that any sandboxed frame or opened file sends: it keeps no page out. Do not rely on \
                 cookies on these routes"
            );
        }
        Ok(Self {
            rule: Rule::List(list),
        })
    }

    /// Accepts the request's origin, or refuses it with 403 and a warning that says how to allow
    /// it.
    pub(crate) fn check(
        &self,
        path: &str,
        headers: &HeaderMap,
        log: &LogSampler,
    ) -> Result<(), Reject> {
        // The last one decides, as in Channels: the client may have put an earlier one there.
        let origin = headers.get_all(header::ORIGIN).iter().next_back();
        let origin = origin.map(|value| str::from_utf8(value.as_bytes()).unwrap_or("(not text)"));
        let host = headers.get(header::HOST);
        let host = host.and_then(|value| str::from_utf8(value.as_bytes()).ok());
        if self.allows(origin, host) {
            return Ok(());
        }
        sampled!(
            log,
            warn,
            "origin_refused",
            path = &*excerpt(path),
            origin = &*excerpt(origin.unwrap_or("none")),
            host = &*excerpt(host.unwrap_or("none")),
            rule = %self,
            "refused an origin (403); {}",
            Remedy(origin)
        );
        Err(Reject::forbidden())
    }

    fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        match (&self.rule, origin) {
            (Rule::Any, _) | (Rule::SameHost, None) => true,
            (Rule::List(_), None) => false,
            (Rule::SameHost, Some(origin)) => Site::parse(origin)
                .zip(host)
                .is_some_and(|(site, host)| site.is_host(host)),
            (Rule::List(list), Some("null")) => list.contains(&Entry::Null),
            (Rule::List(list), Some(origin)) => {
                Site::parse(origin).is_some_and(|site| list.iter().any(|entry| entry.covers(&site)))
            }
        }
    }
}

/// How to allow a refused origin.
struct Remedy<'a>(Option<&'a str>);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A list takes no malformed origin, and is not recommended for those that any page can
        // send.
        let is_fit =
            |origin: &&str| Entry::parse(origin).is_ok_and(|entry| !entry.is_of_any_file());
        match self.0.filter(is_fit) {
            Some(origin) => write!(
                f,
                "to allow it: .origins(Origins::list([{:?}])), to allow all: .origins(Origins::any())",
                excerpt(origin)
            ),
            None => f.write_str("to allow it, and all others: .origins(Origins::any())"),
        }
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Rule::SameHost => f.write_str("the same host and port as the request's Host"),
            Rule::Any => f.write_str("any"),
            Rule::List(list) => write!(f, "a list of {} origins", list.len()),
        }
    }
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, Error> {
        match entry {
            "null" => Ok(Self::Null),
            entry => Allowed::parse(entry).map(Self::Site),
        }
    }

    fn covers(&self, site: &Site<'_>) -> bool {
        match self {
            Self::Null => false,
            Self::Site(allowed) => allowed.covers(site),
        }
    }

    /// Whether documents send it that come from no site.
    fn is_of_any_file(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Site(allowed) => allowed.scheme.as_deref() == Some("file"),
        }
    }
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, Error> {
        let refuse = |why: &str| Err(Error::handshake(format!("allowed origin {entry:?}: {why}")));
        let (scheme, rest) = match entry.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, entry),
        };
        let rest = rest.split('/').next().unwrap_or_default();
        if rest.contains('*') {
            return refuse(
                "no wildcards here; write .example.com for a host and all below it, * for everyone",
            );
        }
        // `app://.` is a host of an app's own.
        let (with_subdomains, rest) = match rest.strip_prefix('.') {
            Some(below) if !below.is_empty() => (true, below),
            _ => (false, rest),
        };
        let Some((host, port)) = split_port(rest) else {
            return refuse("not a host, and not scheme://host[:port]");
        };
        if scheme.is_none() && port.is_some() {
            return refuse("a port needs its scheme: http://host:port");
        }
        // A host without a scheme is that of a web page.
        let of = scheme.as_deref().unwrap_or("https");
        if !is_scheme(of) || !is_host(of, host) || (is_web(of) && host == ".") {
            return refuse("not as browsers send it: a scheme, and a host of ASCII characters");
        }
        Ok(Self {
            port: port
                .or_else(|| default_port(of))
                .filter(|_| scheme.is_some()),
            host: host.to_ascii_lowercase(),
            scheme,
            with_subdomains,
        })
    }

    fn covers(&self, site: &Site<'_>) -> bool {
        if let Some(scheme) = &self.scheme
            && (!scheme.eq_ignore_ascii_case(site.scheme) || self.port != site.port)
        {
            return false;
        }
        let host = site.host.to_ascii_lowercase();
        if host == self.host {
            return true;
        }
        self.with_subdomains
            && host
                .strip_suffix(&self.host)
                .is_some_and(|below| below.ends_with('.') && below.len() > 1)
    }
}

/// An `Origin` taken apart; the port is the scheme's default where none is written.
struct Site<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Site<'a> {
    fn parse(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        (is_scheme(scheme) && is_host(scheme, host)).then(|| Self {
            scheme,
            host,
            port: port.or_else(|| default_port(scheme)),
        })
    }

    /// Whether a `Host` header names this site; a port it leaves out is that of the origin's
    /// scheme.
    fn is_host(&self, header: &str) -> bool {
        let default = default_port(self.scheme);
        default.is_some()
            && split_port(header.trim()).is_some_and(|(host, port)| {
                host.eq_ignore_ascii_case(self.host) && port.or(default) == self.port
            })
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; `None` where the port is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let bracket = authority.rfind(']').map_or(0, |end| end + 1);
    match authority[bracket..].split_once(':') {
        Some((rest, port)) => {
            let host = &authority[..bracket + rest.len()];
            Some((host, Some(port.parse().ok()?)))
        }
        None => Some((authority, None)),
    }
}

/// A letter, then letters, digits, `+`, `-` and `.`, as in `chrome-extension`.
fn is_scheme(scheme: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(allowed)
}

/// Whether a browser can send this host with this scheme: an address in brackets, or a name without
/// a character that begins another part of a URL (`user@host`, `host?query`). With an app's own
/// scheme it may also be empty, or have `%` in it.
fn is_host(scheme: &str, host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        let allowed = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.');
        return !address.is_empty() && address.chars().all(allowed);
    }
    let refused = match is_web(scheme) {
        true if host.is_empty() => return false,
        true => "@/?#\\<>^|[]:%\"`{}",
        // The forbidden host code points of the URL standard.
        false => "@/?#\\<>^|[]:",
    };
    !host.contains(|c: char| !c.is_ascii_graphic() || refused.contains(c))
}

/// Whether the host of this scheme is one of the network.
fn is_web(scheme: &str) -> bool {
    default_port(scheme).is_some()
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use super::Origins;

    #[test]
    fn lists_match_as_in_channels() {
        let rows: &[(&[&str], Option<&str>, bool)] = &[
            (&["example.com"], Some("http://example.com"), true),
            (&["example.com"], Some("https://example.com:8443"), true),
            (&["example.com"], Some("http://EXAMPLE.com"), true),
            (&["example.com"], Some("http://sub.example.com"), false),
            (&[".example.com"], Some("http://example.com"), true),
            (&[".example.com"], Some("http://sub.example.com"), true),
            (&[".example.com"], Some("http://a.b.example.com"), true),
            (&[".example.com"], Some("http://notexample.com"), false),
            (&[".example.com"], Some("http://.example.com"), false),
            (&[".example.com"], Some("http://a@b.example.com"), false),
            (&[".example.com"], Some("http://a[::1].example.com"), false),
            (&[".example.com"], Some("http://a]:80.example.com"), false),
            (&["[::1]"], Some("http://[::1].example.com"), false),
            (
                &[".example.com"],
                Some("http://evil.com?.example.com"),
                false,
            ),
            (
                &[".example.com"],
                Some("http://evil.com#.example.com"),
                false,
            ),
            (
                &[".example.com"],
                Some("http://evil.com\\.example.com"),
                false,
            ),
            (&["http://example.com"], Some("http://example.com:80"), true),
            (
                &["http://example.com"],
                Some("http://example.com/path"),
                true,
            ),
            (&["http://example.com"], Some("https://example.com"), false),
            (&["https://example.com"], Some("wss://example.com"), false),
            (
                &["http://.example.com"],
                Some("http://a.b.example.com"),
                true,
            ),
            (
                &["http://example.com:8080"],
                Some("http://example.com"),
                false,
            ),
            (
                &["http://example.com:8080"],
                Some("http://example.com:8080"),
                true,
            ),
            (
                &["http://example.com"],
                Some("http://example.com:abc"),
                false,
            ),
            (&["[::1]"], Some("http://[::1]:8000"), true),
            (&["http://[::1]:8000"], Some("http://[::1]:8000"), true),
            (&["http://[::1]:8000"], Some("http://[::1]"), false),
            (
                &["other.com", "example.com"],
                Some("http://example.com"),
                true,
            ),
            (&["*"], None, true),
            (&["*"], Some("rubbish"), true),
            (&["example.com"], None, false),
            (&["example.com"], Some(""), false),
            (&["example.com"], Some("null"), false),
            (&["example.com"], Some("something-invalid"), false),
            (&["example.com"], Some("example.com"), false),
            (&[], Some("http://example.com"), false),
            (&[], None, false),
        ];
        assert_allowed(rows);
    }

    #[test]
    fn lists_take_the_schemes_of_apps_as_they_are() {
        assert_allowed(&[
            (&["app://."], Some("app://."), true),
            (&["APP://."], Some("app://."), true),
            (&["app://."], Some("app://a."), false),
            (&["app://."], Some("app://example.com"), false),
            (&["app://."], Some("http://."), false),
            (&["app://-"], Some("app://-"), true),
            (&["app://bundle"], Some("app://bundle"), true),
            (&["app://.bundle"], Some("app://a.bundle"), true),
            (&["app://"], Some("app://"), true),
            (&["app://"], Some("app://a"), false),
            (&["a+b-c.d://e"], Some("a+b-c.d://e"), true),
            (&["app://%41'(b)~{c}"], Some("app://%41'(b)~{c}"), true),
            (
                &["capacitor://localhost"],
                Some("capacitor://localhost"),
                true,
            ),
            (&["capacitor://localhost"], Some("ionic://localhost"), false),
            (
                &["chrome-extension://bfnaelmomeimhlpmgjnjophhpkkoljpa"],
                Some("chrome-extension://bfnaelmomeimhlpmgjnjophhpkkoljpa"),
                true,
            ),
            (
                &["safari-web-extension://0A1B2C3D-0000-0000-0000-000000000000"],
                Some("safari-web-extension://0a1b2c3d-0000-0000-0000-000000000000"),
                true,
            ),
            // Documents without an origin of their own, only if listed by name.
            (&["file://"], Some("file://"), true),
            (&["file:///"], Some("file://"), true),
            (&["file://"], Some("null"), false),
            (&["file://"], Some("file://example.com"), false),
            (&["null"], Some("null"), true),
            (&["null"], Some("http://null"), false),
            (&["null"], Some("file://"), false),
            (&["null"], None, false),
            (&[".example.com"], Some("app://"), false),
            (&[".example.com"], Some("http://"), false),
        ]);
    }

    /// Lists, an origin, and whether it is let in.
    fn assert_allowed(rows: &[(&[&str], Option<&str>, bool)]) {
        for (list, origin, allowed) in rows {
            let origins = Origins::list(*list);
            assert_eq!(
                origins.allows(*origin, Some("example.com")),
                *allowed,
                "{list:?} {origin:?}"
            );
        }
    }

    #[test]
    fn the_default_is_the_same_host_and_port() {
        let rows = [
            (None, Some("example.com"), true),
            (None, None, true),
            (Some("http://example.com"), Some("example.com"), true),
            (Some("https://example.com"), Some("example.com"), true),
            (Some("https://example.com"), Some("example.com:443"), true),
            (Some("http://example.com:80"), Some("Example.com"), true),
            (Some("http://localhost:8000"), Some("localhost:8000"), true),
            (Some("http://[::1]:8000"), Some("[::1]:8000"), true),
            (Some("http://localhost:3000"), Some("localhost:8000"), false),
            (Some("http://127.0.0.1:8000"), Some("localhost:8000"), false),
            (Some("https://example.com"), Some("example.com:80"), false),
            (Some("http://evil.com"), Some("example.com"), false),
            (Some("http://sub.example.com"), Some("example.com"), false),
            (Some("null"), Some("example.com"), false),
            (Some(""), Some(""), false),
            (Some("http://"), Some(""), false),
            (Some("http://example.com"), None, false),
            (Some("app://example.com"), Some("example.com"), false),
            (Some("app://example.com:80"), Some("example.com:80"), false),
            (Some("http://a b"), Some("a b"), false),
        ];
        for (origin, host, allowed) in rows {
            assert_eq!(
                Origins::same_host().allows(origin, host),
                allowed,
                "{origin:?} {host:?}"
            );
        }
    }

    #[test]
    fn an_entry_that_could_never_match_is_refused_by_name() {
        for entry in [
            "*.example.com",
            "example.com:80",
            "http://*",
            "",
            ".",
            "http://",
            "http://.",
            "https://",
            "app://a b",
            "app://*.bundle",
            "app://a@b",
            "http://a%2fb",
            "1 2://a",
            "http://a:b",
            "://example.com",
            "user@example.com",
            "https://général.example",
            " https://example.com",
            "exa mple.com",
        ] {
            let text = Origins::try_list([entry]).unwrap_err().to_string();
            assert!(text.contains(&format!("{entry:?}")), "{text}");
        }
    }
}
