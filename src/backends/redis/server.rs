//! [`Server`]: one Redis server to connect to, and the [`Connection`] that this makes.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo,
    RedisError, RedisResult, Value,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use crate::backends::tls::Tls;
use crate::error::Error;

use super::commands::Commands;
use super::url::{Host, Login};

/// The address of a server, and its login.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) place: Place,
    pub(crate) login: Login,
    pub(crate) db: i64,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(Host, Option<Tls>),
    Unix(PathBuf),
}

/// A connection that has logged in, over RESP3.
pub(super) struct Connection {
    /// The sender of commands. A clone is the same connection.
    pub(super) commands: MultiplexedConnection,
    /// The driver of the connection: nothing happens unless it is polled. It ends when the
    /// connection is lost, and the connection when it is dropped. Push messages are handed over
    /// while it is polled.
    pub(super) driver: BoxFuture<'static, ()>,
}

/// The properties that a server reports.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) version: (u32, u32),
    /// As it calls itself, for an error.
    version_text: String,
    /// A Sentinel has none.
    role: Option<String>,
    mode: String,
}

impl Server {
    /// Connects and logs in.
    ///
    /// # Errors
    ///
    /// [`Error::misconfigured`] where the server answered and another try would not help, else
    /// [`Error::unavailable`].
    pub(super) async fn connect(
        &self,
        limit: Duration,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Connection, Error> {
        let Ok(result) = timeout(limit, self.open(on_push)).await else {
            let what = format!("redis at {self} did not answer within {limit:?}");
            return Err(Error::unavailable(what));
        };
        result
    }

    async fn open(
        &self,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Connection, Error> {
        let stream = self.stream().await.map_err(|error| match error.kind() {
            // An error of rustls: a bad certificate, or bytes that are no TLS.
            io::ErrorKind::InvalidData => Error::misconfigured(format!(
                "redis at {self} does not pass for rediss://: {error}; authorities of your own are named by ?ca=FILE"
            )),
            _ => Error::unavailable(format!("redis at {self} cannot be reached: {error}")),
        })?;
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("strait", env!("CARGO_PKG_VERSION"))
            .set_db(self.db);
        if let Some(user) = &self.login.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.login.password {
            info = info.set_password(password);
        }
        let config = AsyncConnectionConfig::new()
            // The link notices when answers fail to come, without a timer for each command.
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(COMMANDS)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<_, redis::aio::SendError>(())
            });
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (commands, driver) = made.map_err(|error| self.refused(&error))?;
        Ok(Connection {
            commands,
            driver: Box::pin(driver),
        })
    }

    /// Connects, asks one thing, and hangs up.
    ///
    /// # Errors
    ///
    /// As of [`connect`](Self::connect). The server's refusal of the command is the inner error.
    pub(super) async fn ask(
        &self,
        command: &Cmd,
        limit: Duration,
    ) -> Result<RedisResult<Value>, Error> {
        let mut connection = self.connect(limit, |_| {}).await?;
        tokio::select! {
            answer = command.query_async(&mut connection.commands) => Ok(answer),
            () = &mut connection.driver => {
                Err(Error::unavailable(format!("redis at {self} closed the connection")))
            }
            () = sleep(limit) => {
                Err(Error::unavailable(format!("redis at {self} did not answer within {limit:?}")))
            }
        }
    }

    async fn stream(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Place::Tcp((host, port), tls) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    Some(tls) => Ok(Box::new(tls.connect(host, stream).await?)),
                    None => Ok(Box::new(stream)),
                }
            }
        }
    }

    /// The login failed, or the server cannot do what is needed.
    fn refused(&self, error: &RedisError) -> Error {
        let detail = error.detail().unwrap_or_default();
        match error.code() {
            _ if error.kind() == ErrorKind::RESP3NotSupported => self.lacks_resp3(error),
            Some("NOPROTO") => self.lacks_resp3(error),
            Some("ERR") if detail.to_ascii_lowercase().contains("hello") => self.lacks_resp3(error),
            _ if error.kind() == ErrorKind::Parse => self.speaks_otherwise(),
            Some("NOAUTH") => Error::misconfigured(format!(
                "redis at {self} wants a login: put user:password@ or :password@ into the URL"
            )),
            Some("WRONGPASS") => Error::misconfigured(format!(
                "redis at {self} refused the login of {}: user or password are wrong",
                self.user()
            )),
            Some("ERR") if detail.contains("max number of clients") => {
                Error::unavailable(format!("redis at {self} has no room for another client"))
            }
            Some("ERR") if detail.contains("DB index") => {
                Error::misconfigured(format!("redis at {self} has no database {}", self.db))
            }
            Some("DENIED" | "NOPERM" | "ERR") => {
                Error::misconfigured(format!("redis at {self} refused to be used: {error}"))
            }
            _ => Error::unavailable(format!("redis at {self} did not let in: {error}")),
        }
    }

    /// The server knows no `HELLO`, or not the version of the protocol that this crate speaks.
    fn lacks_resp3(&self, error: &RedisError) -> Error {
        Error::misconfigured(format!(
            "redis at {self} does not speak RESP3 ({error}): strait needs Redis 6 or later, and a proxy in between that passes HELLO 3 on"
        ))
    }

    fn speaks_otherwise(&self) -> Error {
        Error::misconfigured(format!(
            "the server at {self} does not speak RESP3 as Redis 6 and later do"
        ))
    }

    /// The user, for an error.
    pub(super) fn user(&self) -> String {
        match &self.login.user {
            Some(user) => format!("user {user:?}"),
            None => "the default user".to_owned(),
        }
    }

    /// Asks the server for its properties, and checks whether it can be used.
    pub(super) async fn hello(&self, commands: &mut Commands) -> Result<Hello, Error> {
        let hello = commands.query(redis::cmd("HELLO").arg(3)).await;
        let hello = hello.map_err(|error| self.refused(&error))?;
        Hello::parse(hello).ok_or_else(|| self.speaks_otherwise())
    }

    /// A server to publish to and to subscribe at.
    pub(super) async fn check(&self, commands: &mut Commands, needs: u32) -> Result<(), Error> {
        let hello = self.hello(commands).await?;
        if hello.mode == "sentinel" {
            return Err(Error::misconfigured(format!(
                "{self} is a Sentinel: write redis+sentinel://HOST:PORT/NAME-OF-THE-MASTER"
            )));
        }
        if hello.version.0 < needs {
            return Err(Error::misconfigured(format!(
                "redis at {self} is too old: it is {}, and strait needs Redis {needs} or later here",
                hello.version_text
            )));
        }
        self.check_role(&hello)
    }

    /// # Errors
    ///
    /// [`Error::unavailable`] if the server is a replica; during a failover that is a matter of
    /// seconds.
    pub(super) fn check_role(&self, hello: &Hello) -> Result<(), Error> {
        match hello.role.as_deref() {
            Some("master") => Ok(()),
            _ => Err(Error::unavailable(format!(
                "redis at {self} is a replica: messages published there reach nobody else; name its master, or use redis+sentinel://"
            ))),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp((host, port), _) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp((host, port), _) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Hello {
    fn parse(value: Value) -> Option<Self> {
        let Value::Map(pairs) = value else {
            return None;
        };
        let text = |name: &str| {
            let (_, value) = pairs.iter().find(|(key, _)| as_text(key) == Some(name))?;
            as_text(value).map(str::to_owned)
        };
        let version_text = text("version")?;
        let mut numbers = version_text.split('.').map(|number| number.parse().ok());
        Some(Self {
            version: (numbers.next()??, numbers.next().flatten().unwrap_or(0)),
            role: text("role"),
            mode: text("mode")?,
            version_text,
        })
    }
}

pub(super) fn as_text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// How many commands may wait to be written; the next one waits for room.
const COMMANDS: usize = 1_024;
