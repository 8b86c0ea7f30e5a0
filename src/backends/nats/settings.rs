//! [`Settings`]: the options of a `nats://` URL.

use std::fmt;

use crate::backends::tls::Tls;
use crate::backends::url::{Authorities, Host, Login, Query, Scheme, Url};
use crate::error::Error;

pub(super) struct Settings {
    /// At least one.
    pub(super) servers: Vec<Host>,
    /// A user and the password, or a token as the user alone.
    pub(super) login: Login,
    pub(super) prefix: String,
    /// Without TLS a server is of no use.
    pub(super) tls: bool,
    /// A PEM file of the authorities to trust, instead of the system's.
    ca: Option<Authorities>,
}

impl Settings {
    /// Takes the URL apart.
    ///
    /// # Errors
    ///
    /// One sentence, which quotes nothing of the login.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        parse(url).map_err(Error::misconfigured)
    }

    pub(super) fn with_prefix(mut self, prefix: &str) -> Result<Self, Error> {
        self.prefix =
            check_prefix(prefix, |prefix| format!("{prefix:?}")).map_err(Error::misconfigured)?;
        Ok(self)
    }

    /// The authorities are read again for each connection.
    pub(super) fn authorities(&self) -> Result<Tls, Error> {
        Tls::new(self.ca.as_ref()).map_err(Error::misconfigured)
    }

    /// The login was refused.
    pub(super) fn refused(&self, server: &str) -> Error {
        let given = match self.login {
            Login {
                user: None,
                password: None,
            } => "the URL has none: nats://user:password@… or nats://token@…",
            Login { password: None, .. } => "check the token in the URL",
            Login { .. } => "check user and password in the URL",
        };
        Error::misconfigured(format!("NATS at {server} refuses the login; {given}"))
    }
}

/// The servers' addresses.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(address).collect();
        f.write_str(&servers.join(","))
    }
}

pub(super) fn address((host, port): &Host) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn parse(url: &str) -> Result<Settings, String> {
    let url = Url::parse(url, NATS, SCHEMES)?;
    if url.hosts.is_empty() {
        return Err("the NATS URL has no host".into());
    }
    if !url.path.is_empty() {
        return Err("a NATS URL has no path: its options stand behind a ?".into());
    }
    let mut query = url.query;
    let prefix = query.take("prefix").unwrap_or_else(|| "strait".to_owned());
    let settings = Settings {
        servers: url.hosts,
        login: url.login,
        prefix: check_prefix(&prefix, |prefix| query.quote(prefix))?,
        tls: take_tls(&mut query)?,
        ca: query.take_authorities()?,
    };
    query.finish("prefix, tls and ca")?;
    Ok(settings)
}

fn take_tls(query: &mut Query) -> Result<bool, String> {
    match query.take("tls").as_deref() {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(other) => {
            let other = query.quote(other);
            Err(format!("tls={other} is neither true nor false"))
        }
    }
}

fn check_prefix(prefix: &str, quote: impl Fn(&str) -> String) -> Result<String, String> {
    let is_token = |token: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !token.is_empty() && token.bytes().all(allowed)
    };
    if prefix.split('.').all(is_token) {
        return Ok(prefix.to_owned());
    }
    Err(format!(
        "the prefix {} cannot begin a NATS subject: it is made of letters, digits, '-' and '_', in parts that a '.' divides",
        quote(prefix)
    ))
}

const NATS: &str = "NATS";
const SCHEMES: &[Scheme] = &[("nats", 4222)];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use proptest::proptest;

    use crate::backends::nats::Nats;
    use crate::backends::url::secrets;

    use super::Settings;

    #[test]
    fn a_url_says_where_who_and_by_which_prefix() {
        let rows = [
            ("nats://a", "a:4222", "", "strait"),
            ("nats://a:1,b,[::1]:7", "a:1,b:4222,[::1]:7", "", "strait"),
            (
                "nats://me:p%40ss%3A@a:1?prefix=my.app-2",
                "a:1",
                "me p@ss:",
                "my.app-2",
            ),
            (
                "nats://t%2Fk@a:1?tls=true&ca=%2Fetc/ca.pem",
                "a:1",
                "t/k",
                "strait",
            ),
        ];
        for (url, servers, login, prefix) in rows {
            let settings = Settings::parse(url).unwrap();
            let given = settings.login.clone();
            let given: Vec<_> = [given.user, given.password].into_iter().flatten().collect();
            let got = given.join(" ");
            let all = (settings.to_string(), got, settings.prefix.as_str());
            assert_eq!(all, (servers.to_owned(), login.to_owned(), prefix), "{url}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_and_its_login_is_not_shown() {
        let rows = [
            ("nats:a", "begins with nats://"),
            ("nats://", "no host"),
            ("nats://u:secret@", "no host"),
            (
                "nats://u:secret@a:x",
                "port of host \"a\" in the NATS URL is not a number",
            ),
            ("nats://u:secret@a,,b", "a host of the NATS URL is empty"),
            ("nats://user:secret", "port of host \"user\""),
            ("nats://user:secret:4222", "port of host \"user\""),
            ("nats://user:secret,b", "port of host \"user\""),
            ("nats://user:12/secret", "no path"),
            ("nats://user:12?secret=a", "no option …"),
            (
                "nats://u:secret@a,u:secret@b",
                "one login, before all hosts",
            ),
            ("nats://u:sec@ret@a", "an @ in it is written %40"),
            ("nats://u:sec/ret@a", "%2F"),
            ("nats://u:sec?ret@a", "%3F"),
            ("nats://u:secret@a/0", "no path"),
            (
                "nats://a?colour=red",
                "no option \"colour\": there are prefix, tls and ca",
            ),
            ("nats://a?prefix=", "prefix \"\" cannot begin"),
            ("nats://a?prefix=a..b", "prefix \"a..b\" cannot begin"),
            ("nats://a?prefix=a.*", "prefix \"a.*\" cannot begin"),
            ("nats://a?tls=yes", "neither true nor false"),
            ("nats://a?ca=", "names no file"),
            ("nats://u:%ff@a", "not UTF-8"),
        ];
        for (url, why) in rows {
            let error = Settings::parse(url).err().expect(url);
            let text = error.to_string();
            assert!(
                error.is_misconfigured() && text.contains(why),
                "{url}: {text}"
            );
            assert!(!text.contains("sec"), "{url}: {text}");
        }
    }

    proptest! {
        #[test]
        fn no_password_shows_in_an_error_or_in_debug(url in secrets::urls(&["nats://"])) {
            let settings = Settings::parse(&url);
            let authorities = match &settings {
                Ok(settings) if url.contains("ca=") => settings.authorities().err(),
                _ => None,
            };
            secrets::assert_hidden(&url, &[&settings.err(), &authorities, &Nats::new(&url)]);
        }
    }
}
