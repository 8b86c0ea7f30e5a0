//! [`Url`]: the grammar that the URLs of all backends share, and what of a URL may be quoted.
//!
//! A login is secret, and so is text that a login may have become because something in it was not
//! percent-encoded: in `nats://user:12/secret` the password looks like a port and a path. So a URL
//! without an `@` is quoted up to its first `:` only; one with an `@` is quoted behind it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::from_url::quoted_scheme;

/// A URL, taken apart:
/// `SCHEME://[LOGIN@]HOST[:PORT][,HOST[:PORT]…][/PATH][?OPTION=VALUE[&OPTION=VALUE…]]`.
pub(crate) struct Url {
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "a NATS URL has one scheme")
    )]
    pub(crate) scheme: &'static str,
    pub(crate) login: Login,
    /// In the order of the URL. None if the authority is empty.
    pub(crate) hosts: Vec<Host>,
    /// Without the first slash, and not decoded.
    pub(crate) path: String,
    pub(crate) query: Query,
}

/// A name or an address, and the port.
pub(crate) type Host = (String, u16);

/// A scheme, and the port of a host that names none.
pub(crate) type Scheme = (&'static str, u16);

/// The part before the `@`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    /// The part before the first `:`, unless it is empty.
    pub(crate) user: Option<String>,
    /// The part behind the first `:`, if there is one.
    pub(crate) password: Option<String>,
}

/// The options behind the `?` that have not been taken yet.
#[derive(Clone)]
pub(crate) struct Query {
    /// The server that the URL leads to, for errors.
    server: &'static str,
    pairs: Vec<(String, String)>,
    /// Nothing behind the login, or behind the lack of one, can be a part of a secret.
    may_quote: bool,
}

/// A PEM file with the certificate authorities to trust.
#[derive(Clone)]
pub(crate) struct Authorities {
    pub(crate) file: String,
    /// Its name as errors have it.
    pub(crate) shown: String,
}

impl Url {
    /// Takes a URL apart; `server` is the server's name in errors.
    ///
    /// # Errors
    ///
    /// One sentence, which quotes nothing that may be secret.
    pub(crate) fn parse(
        url: &str,
        server: &'static str,
        schemes: &[Scheme],
    ) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let known = schemes.iter().find(|(known, _)| *known == scheme);
        let Some(&(scheme, port)) = known else {
            let known: Vec<_> = schemes.iter().map(|(known, _)| *known).collect();
            let known = known.join("://, ");
            let given = match scheme {
                "" => String::new(),
                scheme => format!(", not with {}", quoted_scheme(scheme)),
            };
            return Err(format!("the URL of {server} begins with {known}://{given}"));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if path.contains('@') || query.contains('@') {
            return Err(format!(
                "in the login of a {server} URL /, ? and @ are written %2F, %3F and %40, and so is an @ behind the hosts"
            ));
        }
        if login.contains('@') {
            return Err(format!(
                "a {server} URL has one login, before all hosts, and an @ in it is written %40"
            ));
        }
        let may_quote = authority.contains('@') || !authority.contains(':');
        Ok(Self {
            scheme,
            hosts: parse_hosts(hosts, server, port, may_quote)?,
            login: Login::parse(login, server)?,
            path: path.to_owned(),
            query: Query::parse(query, server, may_quote)?,
        })
    }
}

impl Login {
    fn parse(login: &str, server: &str) -> Result<Self, String> {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let user = (!user.is_empty()).then_some(user);
        let decode = |text: Option<&str>| text.map(|text| decode(text, server)).transpose();
        Ok(Self {
            user: decode(user)?,
            password: decode(password)?,
        })
    }
}

/// Neither the password nor the user, which may be a token.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::default() {
            "Login(none)"
        } else {
            "Login(…)"
        })
    }
}

impl Query {
    fn parse(query: &str, server: &'static str, may_quote: bool) -> Result<Self, String> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, server)?, decode(value, server)?))
        });
        Ok(Self {
            server,
            pairs: pairs.collect::<Result<_, String>>()?,
            may_quote,
        })
    }

    /// Takes an option out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.remove(at).1)
    }

    /// Takes the option `ca` out.
    ///
    /// # Errors
    ///
    /// If it is empty.
    pub(crate) fn take_authorities(&mut self) -> Result<Option<Authorities>, String> {
        let Some(file) = self.take("ca") else {
            return Ok(None);
        };
        if file.is_empty() {
            return Err("?ca= names no file".into());
        }
        let shown = if self.may_quote {
            file.clone()
        } else {
            "the file that ?ca= names".to_owned()
        };
        Ok(Some(Authorities { file, shown }))
    }

    /// Refuses the options that nobody has taken; `known` names those that there are.
    ///
    /// # Errors
    ///
    /// One sentence about the first of them.
    pub(crate) fn finish(&self, known: &str) -> Result<(), String> {
        let server = self.server;
        let Some((name, value)) = self.pairs.first() else {
            return Ok(());
        };
        // An unencoded & in the value of an option makes an option of what stands behind it.
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        if value.is_empty() || !name.bytes().all(is_plain) {
            return Err(format!(
                "the {server} URL has an option with a strange name: values are percent-encoded, & as %26; there are {known}"
            ));
        }
        let name = self.quote(name);
        Err(format!(
            "the {server} URL has no option {name}: there are {known}"
        ))
    }

    /// A part of the URL behind the hosts, for an error: `…` if it may be secret.
    pub(crate) fn quote(&self, part: &str) -> String {
        if self.may_quote {
            format!("{part:?}")
        } else {
            "…".to_owned()
        }
    }

    /// Whether a part behind the first `:` may be shown.
    #[cfg(feature = "redis")]
    pub(crate) fn may_quote(&self) -> bool {
        self.may_quote
    }
}

/// Decodes what is percent-encoded in a part of a URL.
///
/// # Errors
///
/// One sentence, without the part.
pub(crate) fn decode(part: &str, server: &str) -> Result<String, String> {
    let decoded = percent_decode_str(part).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| format!("a part of the {server} URL is not UTF-8"))
}

/// Parses `host:port,host:port`, each port optional.
///
/// # Errors
///
/// One sentence, which quotes no port: in `user:secret` it is the password.
pub(crate) fn parse_hosts(
    hosts: &str,
    server: &str,
    default_port: u16,
    may_quote: bool,
) -> Result<Vec<Host>, String> {
    let hosts = hosts.split(',').enumerate();
    let hosts = hosts.filter(|(place, host)| *place > 0 || !host.is_empty());
    hosts
        .map(|(place, host)| parse_host(host, server, default_port, may_quote || place == 0))
        .collect()
}

fn parse_host(
    text: &str,
    server: &str,
    default_port: u16,
    may_quote: bool,
) -> Result<Host, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':').or(Some(port))),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(format!("a host of the {server} URL is empty"));
    }
    let port = match port {
        None | Some("") => default_port,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            let which = if may_quote && !host.contains(':') {
                format!("host {host:?}")
            } else {
                "a host".to_owned()
            };
            format!("the port of {which} in the {server} URL is not a number from 1 to 65535")
        })?,
    };
    Ok((decode(host, server)?, port))
}

/// URLs with a password in them, for the tests of all that parse one.
#[cfg(test)]
pub(crate) mod secrets {
    use std::fmt::Debug;

    use proptest::prelude::Strategy;
    use proptest::prop_oneof;
    use proptest::sample::select;

    /// A URL of one of these schemes with a password that holds the marker, well-formed or not.
    pub(crate) fn urls(schemes: &'static [&'static str]) -> impl Strategy<Value = String> {
        (select(schemes), select(FORMS), passwords()).prop_map(|(scheme, form, password)| {
            let form = format!("{scheme}{form}");
            // Behind an @ there is a host, whatever was meant.
            let has_host = form.split('P').skip(1).all(|rest| rest.starts_with('@'));
            let password = if has_host {
                password
            } else {
                password.replace('@', "")
            };
            form.replace('P', &password)
        })
    }

    /// # Panics
    ///
    /// If one of the values shows the marker.
    pub(crate) fn assert_hidden(url: &str, values: &[&dyn Debug]) {
        for value in values {
            let text = format!("{value:?}");
            assert!(!text.contains(MARKER), "{url}: {text}");
        }
    }

    /// The beginning makes a port, a host, a path or an option of what follows.
    fn passwords() -> impl Strategy<Value = String> {
        let begin = prop_oneof![
            "[0-9a-z:/?@,#%&=.+\\[\\] -]{0,8}",
            "[0-9]{1,4}(/|,|\\?|:|/0\\?|/a/|/a/0\\?)",
            "[0-9]{1,4}(/[0-9])?\\?(prefix|ca|tls|host|serializer|capacity|probe|timeout|key|db)=",
        ];
        let end = "[0-9a-z:/?@,#%&=.+\\[\\] -]{0,8}";
        (begin, end).prop_map(|(begin, end)| format!("{begin}{MARKER}{end}"))
    }

    const MARKER: &str = "S3CRET";

    /// `P` is the password.
    const FORMS: &[&str] = &[
        "user:P@127.0.0.1",
        ":P@127.0.0.1:1/0",
        "user:P@127.0.0.1:x",
        "user:P@",
        "user:P@127.0.0.1/x?colour=red",
        "user:P@127.0.0.1?prefix=a%20b&probe=x&timeout=x&capacity=x&tls=x&serializer=x",
        "user:P@a,user:P@b",
        "user:P@a,b:1",
        "a,user:P@b",
        "user:P",
        "user:P:4222",
        "user:P,b:1",
        "b:1,user:P",
        "user:P/0",
        "user:P/mymaster/0",
        "user:P?prefix=a",
        ":P",
    ];
}
