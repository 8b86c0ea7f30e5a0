//! [`RedisUrl`]: what a URL says of a Redis server, of several behind Sentinels, or of a Cluster.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// A URL, taken apart. Nothing of it that is secret is ever quoted.
#[derive(Clone)]
pub(crate) struct RedisUrl {
    pub(crate) mode: Mode,
    /// In the order of the URL, at least one; none for a Unix socket.
    pub(crate) hosts: Vec<Host>,
    pub(crate) login: Login,
    pub(crate) is_tls: bool,
    /// The number of the database, which publishing does not depend on.
    pub(crate) db: i64,
    /// What stands behind the `?` and has not been taken yet.
    query: Vec<(String, String)>,
}

/// What the hosts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One server.
    Server,
    /// One server of this machine.
    Unix(PathBuf),
    /// Sentinels, which know the master of this name.
    Sentinel(String),
    /// Some nodes of a Cluster.
    Cluster,
}

/// A name or an address, and the port.
pub(crate) type Host = (String, u16);

/// An ACL user, and the password; a password alone is the default user's.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl RedisUrl {
    /// Parses `redis://[user:password@]host[:port][/db]`, `rediss://…` and the like.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let known =
            "redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster";
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("a Redis URL begins with one of {known}, and ://"));
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // A `/` or `?` in a password would make a host of its beginning, which an error then shows.
        if path.contains('@') || query.contains('@') {
            return Err("in a Redis URL's password /, ? and @ are written %2F, %3F and %40".into());
        }
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut query = pairs(query)?;
        let (mode, db, port) = match scheme {
            "redis" | "rediss" => (Mode::Server, path, REDIS),
            "unix" => (Mode::Unix(format!("/{}", decoded(path)?).into()), "", REDIS),
            "redis+sentinel" | "rediss+sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                (Mode::Sentinel(decoded(master)?), db, SENTINEL)
            }
            "redis+cluster" | "rediss+cluster" => (Mode::Cluster, path, REDIS),
            _ => {
                return Err(format!(
                    "a Redis URL begins with one of {known}, not {scheme:?}"
                ));
            }
        };
        let db = match db {
            "" => take(&mut query, "db").unwrap_or_default(),
            db => db.trim_end_matches('/').to_owned(),
        };
        let url = Self {
            hosts: parse_hosts(hosts, port)?,
            login: Login::parse(login)?,
            is_tls: scheme.starts_with("rediss"),
            db: parse_db(&db)?,
            mode,
            query,
        };
        url.check()
    }

    /// Takes an option out of the query.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        take(&mut self.query, name)
    }

    /// Takes every value of an option that may be given more than once.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        std::iter::from_fn(|| self.take(name)).collect()
    }

    /// What is left of the query has no meaning.
    ///
    /// # Errors
    ///
    /// Names the first such option, and those that there are.
    pub(crate) fn finish(&self, known: &str) -> Result<(), String> {
        match self.query.first() {
            // Part of a secret that was not encoded would be told as the name of an option.
            Some((name, _))
                if !name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
            {
                Err(format!(
                    "the Redis URL has an option with a strange name: values are percent-encoded, '&' as %26; there are {known}"
                ))
            }
            Some((name, _)) => Err(format!(
                "the Redis URL has no option {name:?}: there are {known}"
            )),
            None => Ok(()),
        }
    }

    fn check(self) -> Result<Self, String> {
        let wrong = match (&self.mode, &*self.hosts) {
            (Mode::Unix(path), _) if path.as_os_str() == "/" => {
                "unix:// needs the path of a socket"
            }
            (Mode::Unix(_), []) => return Ok(self),
            (Mode::Unix(_), _) => "unix:// takes no host: write unix:///path/of/the/socket",
            (Mode::Sentinel(master), _) if master.is_empty() => {
                "redis+sentinel:// needs the master's name behind the hosts, as in redis+sentinel://host:26379/mymaster"
            }
            (_, []) => "the Redis URL has no host",
            (Mode::Server, [_, _, ..]) => {
                "redis:// takes one host: several are redis+sentinel:// or redis+cluster://"
            }
            (Mode::Cluster, _) if self.db != 0 => "a Redis Cluster has database 0 alone",
            _ => return Ok(self),
        };
        Err(wrong.into())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisUrl")
            .field("mode", &self.mode)
            .field("hosts", &self.hosts)
            .field("login", &self.login)
            .field("is_tls", &self.is_tls)
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}

impl Login {
    fn parse(login: &str) -> Result<Self, String> {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        if !user.is_empty() && password.is_empty() {
            return Err(
                "the Redis URL has a user without a password: write user:password@ or :password@"
                    .into(),
            );
        }
        let some = |text: &str| Ok((!text.is_empty()).then_some(decoded(text)?));
        let secret = |_: String| "the user or password of the Redis URL is not UTF-8".to_owned();
        Ok(Self {
            user: some(user).map_err(secret)?,
            password: some(password).map_err(secret)?,
        })
    }
}

/// Never with the password.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "…");
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("password", &password)
            .finish()
    }
}

/// `host:port,host:port`, each port optional.
pub(crate) fn parse_hosts(hosts: &str, default_port: u16) -> Result<Vec<Host>, String> {
    if hosts.is_empty() {
        return Ok(Vec::new());
    }
    hosts
        .split(',')
        .map(|host| parse_host(host, default_port))
        .collect()
}

fn parse_host(text: &str, default_port: u16) -> Result<Host, String> {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() {
        return Err("a host of the Redis URL is empty".into());
    }
    let port = match port {
        "" => default_port,
        // Not quoted: in `redis://user:password` it is the password.
        port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
            format!("the port of host {host:?} in the Redis URL is not a number from 1 to 65535")
        })?,
    };
    Ok((decoded(host)?, port))
}

fn parse_db(db: &str) -> Result<i64, String> {
    if db.is_empty() {
        return Ok(0);
    }
    let number = db.parse().ok().filter(|db| *db >= 0);
    number.ok_or_else(|| format!("the database of the Redis URL is {db:?}, not a number"))
}

fn pairs(query: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn take(query: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = query.iter().position(|(known, _)| known == name)?;
    Some(query.remove(at).1)
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| "a part of the Redis URL is not UTF-8".into())
}

const REDIS: u16 = 6379;
const SENTINEL: u16 = 26379;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use super::Mode;
    use super::RedisUrl;

    struct Row {
        url: &'static str,
        mode: Mode,
        hosts: &'static [(&'static str, u16)],
        login: (Option<&'static str>, Option<&'static str>),
        is_tls: bool,
        db: i64,
    }

    const PLAIN: Row = Row {
        url: "",
        mode: Mode::Server,
        hosts: &[("localhost", 6379)],
        login: (None, None),
        is_tls: false,
        db: 0,
    };

    #[test]
    fn a_url_says_where_and_who() {
        let sentinel = |master: &str| Mode::Sentinel(master.to_owned());
        let rows = [
            Row {
                url: "redis://localhost",
                ..PLAIN
            },
            Row {
                url: "redis://localhost/",
                ..PLAIN
            },
            Row {
                url: "redis://localhost:7000/3",
                hosts: &[("localhost", 7000)],
                db: 3,
                ..PLAIN
            },
            Row {
                url: "rediss://ada:s%2F%40%3Fcret@localhost?db=2",
                login: (Some("ada"), Some("s/@?cret")),
                is_tls: true,
                db: 2,
                ..PLAIN
            },
            Row {
                url: "redis://:secret@[::1]:7000",
                hosts: &[("::1", 7000)],
                login: (None, Some("secret")),
                ..PLAIN
            },
            Row {
                url: "unix:///run/redis/redis.sock?db=1",
                mode: Mode::Unix("/run/redis/redis.sock".into()),
                hosts: &[],
                db: 1,
                ..PLAIN
            },
            Row {
                url: "redis+sentinel://a,b:7000/mymaster",
                mode: sentinel("mymaster"),
                hosts: &[("a", 26379), ("b", 7000)],
                ..PLAIN
            },
            Row {
                url: "rediss+sentinel://:x@a/mymaster/4",
                mode: sentinel("mymaster"),
                hosts: &[("a", 26379)],
                login: (None, Some("x")),
                is_tls: true,
                db: 4,
            },
            Row {
                url: "redis+cluster://a:7001,b:7002,[::1]",
                mode: Mode::Cluster,
                hosts: &[("a", 7001), ("b", 7002), ("::1", 6379)],
                ..PLAIN
            },
        ];
        for row in rows {
            let url = RedisUrl::parse(row.url).unwrap_or_else(|why| panic!("{}: {why}", row.url));
            let hosts: Vec<_> = url
                .hosts
                .iter()
                .map(|(host, port)| (&**host, *port))
                .collect();
            assert_eq!(url.mode, row.mode, "{}", row.url);
            assert_eq!(hosts, row.hosts, "{}", row.url);
            let login = (url.login.user.as_deref(), url.login.password.as_deref());
            assert_eq!(login, row.login, "{}", row.url);
            assert_eq!((url.is_tls, url.db), (row.is_tls, row.db), "{}", row.url);
            assert_eq!(url.finish("none"), Ok(()), "{}", row.url);
        }
    }

    #[test]
    fn what_makes_no_sense_is_one_sentence_without_the_password() {
        let rows = [
            ("localhost:6379", "begins with one of redis, rediss"),
            ("http://localhost", "not \"http\""),
            ("redis://", "has no host"),
            ("redis://:secret@", "has no host"),
            ("redis://localhost:0", "port of host \"localhost\""),
            ("redis://localhost:65536", "port of host \"localhost\""),
            ("redis://user:secret", "port of host \"user\""),
            (
                "redis://localhost/first",
                "database of the Redis URL is \"first\"",
            ),
            ("redis://localhost/-1", "database"),
            ("redis://a,b", "takes one host"),
            ("redis://a,,b", "host of the Redis URL is empty"),
            ("redis://:sec/ret@localhost", "written %2F"),
            ("redis://:sec?ret@localhost", "written %2F"),
            ("redis://secret@localhost", "user without a password"),
            ("redis://:secret%ff@localhost", "not UTF-8"),
            ("unix://", "path of a socket"),
            ("unix://localhost/a.sock", "takes no host"),
            ("redis+sentinel://a:26379", "master's name"),
            ("redis+sentinel:///mymaster", "has no host"),
            ("redis+cluster://a/1", "database 0 alone"),
        ];
        for (url, why) in rows {
            let text = RedisUrl::parse(url).unwrap_err();
            assert!(text.contains(why), "{url}: {text}");
            assert!(
                !text.contains("secret") && !text.contains("sec"),
                "{url}: {text}"
            );
        }
        let url = RedisUrl::parse("redis://ada:secret@localhost").unwrap();
        assert!(!format!("{url:?}").contains("secret"), "{url:?}");
    }

    #[test]
    fn options_are_taken_and_what_is_left_is_named() {
        let mut url = RedisUrl::parse("redis://localhost?prefix=a%20b&x=1&x=2&colour=red").unwrap();
        assert_eq!(url.take("prefix").as_deref(), Some("a b"));
        assert_eq!(url.take("prefix"), None);
        assert_eq!(url.take_all("x"), ["1", "2"]);
        let text = url.finish("prefix").unwrap_err();
        assert!(
            text.contains("\"colour\"") && text.contains("prefix"),
            "{text}"
        );
        let secret = RedisUrl::parse("redis://localhost?key=a&dA e").unwrap();
        let text = secret.finish("key").unwrap_err();
        assert!(text.contains("\"key\""), "{text}");
        let mut secret = secret;
        assert_eq!(secret.take("key").as_deref(), Some("a"));
        let text = secret.finish("key").unwrap_err();
        assert!(!text.contains("dA") && text.contains("%26"), "{text}");
    }
}
