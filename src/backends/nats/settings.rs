//! [`Settings`]: what a `nats://` URL says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectError;
use async_nats::ConnectErrorKind;
use async_nats::ConnectOptions;
use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;

use crate::error::Error;

pub(super) struct Settings {
    servers: Vec<ServerAddr>,
    login: Login,
    pub(super) prefix: String,
    tls: bool,
    /// A PEM file of whom to trust beside the system's.
    ca: Option<PathBuf>,
}

/// Never shown.
enum Login {
    None,
    Token(String),
    User(String, String),
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
        let set = self.set("prefix", prefix.to_owned());
        set.map_err(Error::misconfigured)?;
        Ok(self)
    }

    pub(super) fn servers(&self) -> Vec<ServerAddr> {
        self.servers.clone()
    }

    /// For a single connection: the client may look for another server once when it is lost, which nobody uses any more then.
    pub(super) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new()
            .name("strait")
            .connection_timeout(CONNECT)
            .max_reconnects(self.servers.len())
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .subscription_capacity(WAITING)
            .require_tls(self.tls);
        if let Some(ca) = &self.ca {
            options = options.add_root_certificates(ca.clone());
        }
        match &self.login {
            Login::None => options,
            Login::Token(token) => options.token(token.clone()),
            Login::User(user, password) => {
                options.user_and_password(user.clone(), password.clone())
            }
        }
    }

    /// What could be wrong, in one sentence.
    pub(super) fn explain(&self, error: &ConnectError) -> Error {
        // It names its source itself.
        let why = error.to_string();
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                let given = match self.login {
                    Login::None => "the URL has none: nats://user:password@… or nats://token@…",
                    Login::Token(_) => "check the token in the URL",
                    Login::User(..) => "check user and password in the URL",
                };
                Error::misconfigured(format!("NATS at {self} refuses the login; {given}"))
            }
            ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => {
                Error::misconfigured(format!("cannot connect to NATS at {self}: {why}"))
            }
            _ if why.contains("corrupt message") => Error::misconfigured(format!(
                "NATS at {self} speaks no TLS, which tls=true asks for: {why}"
            )),
            _ if why.contains("certificate") => Error::misconfigured(format!(
                "cannot trust NATS at {self}, whose certificate may need ?ca=FILE: {why}"
            )),
            _ => Error::unavailable(format!("cannot reach NATS at {self}: {why}")),
        }
    }
}

/// The servers' addresses.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, server) in self.servers.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let host = server.host();
            if host.contains(':') {
                write!(f, "{comma}[{host}]:{}", server.port())?;
            } else {
                write!(f, "{comma}{host}:{}", server.port())?;
            }
        }
        Ok(())
    }
}

fn parse(url: &str) -> Result<Settings, String> {
    let Some(rest) = url.strip_prefix("nats://") else {
        return Err("the URL of NATS begins with nats://".into());
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Such a character in a password would make a host of its beginning, which an error then shows.
    if path.contains('@') || query.contains('@') {
        return Err("in a NATS URL's password /, ? and @ are written %2F, %3F and %40".into());
    }
    if !path.is_empty() {
        return Err("a NATS URL has no path: its options stand behind a ?".into());
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut settings = Settings {
        servers: servers(hosts)?,
        login: parse_login(login)?,
        prefix: "strait".to_owned(),
        tls: false,
        ca: None,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        settings.set(name, decoded(value)?)?;
    }
    Ok(settings)
}

impl Settings {
    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match (name, value.as_str()) {
            ("prefix", prefix) if is_prefix(prefix) => self.prefix = value,
            ("prefix", prefix) => {
                return Err(format!(
                    "prefix={prefix} cannot begin a NATS subject: it is made of letters, digits, '-' and '_', in parts that a '.' divides"
                ));
            }
            ("tls", "true") => self.tls = true,
            ("tls", "false") => self.tls = false,
            ("tls", other) => return Err(format!("tls={other} is neither true nor false")),
            ("ca", "") => return Err("ca= names no file".into()),
            ("ca", _) => self.ca = Some(value.into()),
            (other, _) => {
                return Err(format!(
                    "a NATS URL has no option {other:?}: there are prefix, tls and ca"
                ));
            }
        }
        Ok(())
    }
}

fn servers(hosts: &str) -> Result<Vec<ServerAddr>, String> {
    let wrong = |host: &str| format!("{host:?} in the NATS URL is no host and port");
    let server = |host: &str| {
        let server: ServerAddr = format!("nats://{host}").parse().map_err(|_| wrong(host))?;
        if server.host().is_empty() || server.username().is_some() {
            return Err(wrong(host));
        }
        Ok(server)
    };
    hosts.split(',').map(server).collect()
}

fn parse_login(login: &str) -> Result<Login, String> {
    match login.split_once(':') {
        Some((user, password)) => Ok(Login::User(decoded(user)?, decoded(password)?)),
        None if login.is_empty() => Ok(Login::None),
        None => decoded(login).map(Login::Token),
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| "what % encodes in the NATS URL is not UTF-8".into())
}

fn is_prefix(prefix: &str) -> bool {
    let is_token = |token: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !token.is_empty() && token.bytes().all(allowed)
    };
    prefix.split('.').all(is_token)
}

/// For one server's answer to a new connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How many messages of one group may wait for their task to run. The client may read some megabytes before that, and drops what is
/// too much; whether they then can be delivered is for the sink to say.
const WAITING: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use super::Login;
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
            let got = match &settings.login {
                Login::None => String::new(),
                Login::Token(token) => token.clone(),
                Login::User(user, password) => format!("{user} {password}"),
            };
            let all = (settings.to_string(), got, settings.prefix.as_str());
            assert_eq!(all, (servers.to_owned(), login.to_owned(), prefix), "{url}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_and_its_login_is_not_shown() {
        let rows = [
            ("nats:a", "begins with nats://"),
            ("nats://", "no host and port"),
            ("nats://u:secret@", "no host and port"),
            (
                "nats://u:secret@a:x",
                "\"a:x\" in the NATS URL is no host and port",
            ),
            ("nats://u:secret@a,,b", "\"\" in the NATS URL"),
            ("nats://u:sec/ret@a", "%2F"),
            ("nats://u:sec?ret@a", "%3F"),
            ("nats://u:secret@a/0", "no path"),
            (
                "nats://a?colour=red",
                "no option \"colour\": there are prefix, tls and ca",
            ),
            ("nats://a?prefix=", "prefix= cannot begin"),
            ("nats://a?prefix=a..b", "prefix=a..b cannot begin"),
            ("nats://a?prefix=a.*", "prefix=a.* cannot begin"),
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
}
