//! [`Find`]: finds the server, again at every connect.

use std::time::Duration;

use redis::Value;

use crate::backends::tls::Tls;
use crate::error::Error;

use super::server::{Place, Server, as_text};
use super::url::{Host, Login, Mode, RedisUrl};

/// The source of a link's server.
#[derive(Clone, Debug)]
pub(crate) enum Find {
    /// It is always this one.
    Fixed(Server),
    /// It is the master of this name.
    Sentinel(Sentinels),
}

/// Those who know the master.
#[derive(Clone, Debug)]
pub(crate) struct Sentinels {
    /// Asked in this order.
    hosts: Vec<Host>,
    /// At the Sentinels themselves, which have logins of their own.
    login: Login,
    tls: Option<Tls>,
    master: String,
    /// At the master.
    master_login: Login,
    db: i64,
}

impl Find {
    /// As the URL says; its options for TLS and for Sentinels are taken out of it.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong: for a Cluster, too, which is several servers.
    pub(crate) fn new(url: &mut RedisUrl) -> Result<Self, String> {
        let tls = tls(url)?;
        let place = match (&url.mode, &*url.hosts) {
            (Mode::Unix(path), _) => Place::Unix(path.clone()),
            (Mode::Server, [host, ..]) => Place::Tcp(host.clone(), tls),
            (Mode::Sentinel(master), _) => {
                return Ok(Self::Sentinel(Sentinels {
                    hosts: url.hosts.clone(),
                    tls,
                    master: master.clone(),
                    master_login: url.login.clone(),
                    db: url.db,
                    login: Login {
                        user: url.take("sentinel_user"),
                        password: url.take("sentinel_password"),
                    },
                }));
            }
            (Mode::Cluster | Mode::Server, _) => {
                return Err("one server is needed here, not a Redis Cluster".into());
            }
        };
        Ok(Self::Fixed(Server {
            place,
            login: url.login.clone(),
            db: url.db,
        }))
    }

    /// The server as it is now. No answer of a Sentinel is waited for longer than the limit.
    ///
    /// # Errors
    ///
    /// [`Error::unavailable`] when no Sentinel answers; [`Error::misconfigured`] when one does, and
    /// knows no such master.
    pub(super) async fn find(&self, limit: Duration) -> Result<Server, Error> {
        match self {
            Self::Fixed(server) => Ok(server.clone()),
            Self::Sentinel(sentinels) => sentinels.find(limit).await,
        }
    }

    /// Whether the answer may be another later.
    pub(super) fn may_move(&self) -> bool {
        matches!(self, Self::Sentinel(_))
    }
}

impl Sentinels {
    async fn find(&self, limit: Duration) -> Result<Server, Error> {
        let mut failure = None;
        for host in &self.hosts {
            match self.ask(host, limit).await {
                Ok(master) => return Ok(master),
                // One that knows no such master says more than one that is away.
                Err(error) if error.is_misconfigured() => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::misconfigured("there is no Sentinel to ask")))
    }

    async fn ask(&self, host: &Host, limit: Duration) -> Result<Server, Error> {
        let sentinel = Server {
            place: Place::Tcp(host.clone(), self.tls.clone()),
            login: self.login.clone(),
            db: 0,
        };
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answer = sentinel.ask(&command, limit).await?;
        let name = &self.master;
        match answer {
            Ok(Value::Array(address)) => self.master_at(&address).ok_or_else(|| {
                Error::unavailable(format!(
                    "the Sentinel at {sentinel} named no address for {name:?}"
                ))
            }),
            Ok(_) => Err(Error::misconfigured(format!(
                "the Sentinel at {sentinel} knows no master {name:?}"
            ))),
            Err(error)
                if error
                    .detail()
                    .is_some_and(|text| text.contains("unknown command")) =>
            {
                Err(Error::misconfigured(format!(
                    "{sentinel} is no Sentinel: their port is 26379 as a rule"
                )))
            }
            Err(error) => Err(Error::unavailable(format!(
                "the Sentinel at {sentinel} did not tell where {name:?} is: {error}"
            ))),
        }
    }

    fn master_at(&self, address: &[Value]) -> Option<Server> {
        let [host, port] = address else {
            return None;
        };
        let host = (as_text(host)?.to_owned(), as_text(port)?.parse().ok()?);
        Some(Server {
            place: Place::Tcp(host, self.tls.clone()),
            login: self.master_login.clone(),
            db: self.db,
        })
    }
}

/// If a URL asks for it.
pub(super) fn tls(url: &mut RedisUrl) -> Result<Option<Tls>, String> {
    let ca = url.take_authorities()?;
    match (url.is_tls, ca) {
        (true, ca) => Tls::new(ca.as_ref()).map(Some),
        (false, None) => Ok(None),
        (false, Some(_)) => Err("?ca= is of no use without rediss://".into()),
    }
}
