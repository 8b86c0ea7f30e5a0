//! [`RedisUrl`]: the URL of a Redis server, of several behind Sentinels, or of a Cluster.

use std::fmt;
use std::path::PathBuf;

use crate::backends::url::{Authorities, Query, Scheme, Url, decode, parse_hosts};

pub(crate) use crate::backends::url::{Host, Login};

/// A URL, taken apart. Nothing of it that is secret is ever quoted.
#[derive(Clone)]
pub(crate) struct RedisUrl {
    pub(crate) mode: Mode,
    /// In the order of the URL, at least one; none for a Unix socket.
    pub(crate) hosts: Vec<Host>,
    /// An ACL user and the password, or the default user's password alone.
    pub(crate) login: Login,
    pub(crate) is_tls: bool,
    /// The number of the database, which publishing does not depend on.
    pub(crate) db: i64,
    query: Query,
}

/// The kind of the hosts.
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

impl RedisUrl {
    /// Parses `redis://[user:password@]host[:port][/db]`, `rediss://…` and the like.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let url = Url::parse(url, REDIS, SCHEMES)?;
        let (path, mut query) = (&*url.path, url.query);
        let (mode, db) = match url.scheme {
            "unix" => {
                let path = format!("/{}", decode(path, REDIS)?);
                (Mode::Unix(path.into()), "")
            }
            "redis+sentinel" | "rediss+sentinel" => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                (Mode::Sentinel(decode(master, REDIS)?), db)
            }
            "redis+cluster" | "rediss+cluster" => (Mode::Cluster, path),
            _ => (Mode::Server, path),
        };
        let db = match db {
            "" => query.take("db").unwrap_or_default(),
            db => db.trim_end_matches('/').to_owned(),
        };
        let url = Self {
            hosts: url.hosts,
            login: check_login(url.login)?,
            is_tls: url.scheme.starts_with("rediss"),
            db: parse_db(&db, &query)?,
            mode,
            query,
        };
        url.check()
    }

    /// The same server, login and options at another `host[:port]`.
    ///
    /// # Errors
    ///
    /// One sentence if the text is anything else than that.
    pub(crate) fn at(&self, host: &str) -> Result<Self, String> {
        if host.contains('@') {
            return Err("a further host with a login is a whole URL, percent-encoded".into());
        }
        let mut url = self.clone();
        let port = match url.mode {
            Mode::Sentinel(_) => SENTINEL,
            Mode::Server | Mode::Unix(_) | Mode::Cluster => PORT,
        };
        url.hosts = parse_hosts(host, REDIS, port, !host.contains(':'))?;
        url.check()
    }

    /// Takes an option out of the query.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.query.take(name)
    }

    /// Takes the option `ca` out of the query.
    ///
    /// # Errors
    ///
    /// If it is empty.
    pub(crate) fn take_authorities(&mut self) -> Result<Option<Authorities>, String> {
        self.query.take_authorities()
    }

    /// Takes every value of an option that may be given more than once.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        std::iter::from_fn(|| self.take(name)).collect()
    }

    /// Refuses the options that nobody has taken; `known` names those that there are.
    ///
    /// # Errors
    ///
    /// One sentence about the first of them.
    pub(crate) fn finish(&self, known: &str) -> Result<(), String> {
        self.query.finish(known)
    }

    /// The value of an option, for an error: `…` if it may be secret.
    pub(crate) fn quote(&self, value: &str) -> String {
        self.query.quote(value)
    }

    /// Says what is wrong with a URL in an option of this one, or only that something is, if it may
    /// be secret.
    pub(crate) fn hide(&self, why: String) -> String {
        if self.query.may_quote() {
            why
        } else {
            "an option of the Redis URL, host=…, is neither host:port nor a Redis URL".to_owned()
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
        let mut shown = f.debug_struct("RedisUrl");
        if self.query.may_quote() {
            shown.field("mode", &self.mode).field("hosts", &self.hosts);
        }
        shown
            .field("login", &self.login)
            .field("is_tls", &self.is_tls)
            .finish_non_exhaustive()
    }
}

fn check_login(mut login: Login) -> Result<Login, String> {
    login.password = login.password.filter(|password| !password.is_empty());
    if login.user.is_some() && login.password.is_none() {
        return Err(
            "the Redis URL has a user without a password: write user:password@ or :password@"
                .into(),
        );
    }
    Ok(login)
}

fn parse_db(db: &str, query: &Query) -> Result<i64, String> {
    if db.is_empty() {
        return Ok(0);
    }
    let number = db.parse().ok().filter(|db| *db >= 0);
    number.ok_or_else(|| {
        let db = query.quote(db);
        format!("the database of the Redis URL is {db}, not a number")
    })
}

const REDIS: &str = "Redis";
const PORT: u16 = 6379;
const SENTINEL: u16 = 26379;
const SCHEMES: &[Scheme] = &[
    ("redis", PORT),
    ("rediss", PORT),
    ("unix", PORT),
    ("redis+sentinel", SENTINEL),
    ("rediss+sentinel", SENTINEL),
    ("redis+cluster", PORT),
    ("rediss+cluster", PORT),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing test should panic")]

    use super::{Mode, RedisUrl};

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
    fn a_senseless_url_is_one_sentence_without_the_password() {
        let rows = [
            ("localhost:6379", "begins with redis://, rediss://"),
            ("http://localhost", "not with \"http\""),
            ("ada:secret@localhost", "begins with redis://"),
            ("ada:secret@x://localhost", "not with …"),
            ("redis://", "has no host"),
            ("redis://:secret@", "has no host"),
            ("redis://localhost:0", "port of host \"localhost\""),
            ("redis://localhost:65536", "port of host \"localhost\""),
            ("redis://user:secret", "port of host \"user\""),
            ("redis://user:12/secret", "database of the Redis URL is …"),
            ("redis+cluster://user:12,secret:x", "port of a host"),
            (
                "redis://u:secret@a,u:secret@b",
                "one login, before all hosts",
            ),
            ("redis://u:sec@ret@a", "an @ in it is written %40"),
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
