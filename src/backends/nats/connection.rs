//! [`Connection`]: a connection to one of the servers that has logged in.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::backends::url::Host;
use crate::error::Error;
use crate::random;

use super::protocol::{Info, Malformed, Operation, Output, read};
use super::settings::{Settings, address};

pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    /// Bytes that were read and are not parsed yet.
    pub(super) input: BytesMut,
    /// The server's address, for errors.
    pub(super) server: String,
    /// The largest message that the server takes, in bytes.
    pub(super) max_payload: usize,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

impl Connection {
    /// Connects to the first of the servers that answers and lets this user in. Each is tried once,
    /// beginning with any.
    ///
    /// # Errors
    ///
    /// [`Error::misconfigured`] if one of them answered and another try would not help, else
    /// [`Error::unavailable`].
    pub(super) async fn open(settings: &Settings) -> Result<Self, Error> {
        let servers = &settings.servers;
        let first = random::in_range(0..=servers.len() as u64 - 1);
        let first = usize::try_from(first).unwrap_or(0);
        let mut failure = None;
        for server in servers[first..].iter().chain(&servers[..first]) {
            match Self::open_at(server, settings).await {
                Ok(connection) => return Ok(connection),
                // A server that lets nobody in says more than one that is away.
                Err(error) if error.is_misconfigured() => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::misconfigured("there is no NATS server to ask")))
    }

    async fn open_at(host: &Host, settings: &Settings) -> Result<Self, Error> {
        let server = address(host);
        match timeout(CONNECT, Self::log_in(host, settings)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(failure)) => Err(failure.explain(&server, settings)),
            Err(_) => Err(Error::unavailable(format!(
                "cannot reach NATS at {server}: it did not answer within {CONNECT:?}"
            ))),
        }
    }

    async fn log_in(host: &Host, settings: &Settings) -> Result<Self, Failure> {
        let stream = TcpStream::connect((host.0.as_str(), host.1)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream: Box::new(stream),
            input: BytesMut::new(),
            server: address(host),
            max_payload: 0,
        };
        let info = match connection.next().await? {
            Operation::Info(info) => info,
            Operation::Error(text) => return Err(Failure::Refused(text)),
            _ => return Err(Failure::Malformed),
        };
        connection.max_payload = info.max_payload;
        if connection.must_encrypt(&info, settings)? {
            let tls = settings.authorities().map_err(Failure::Known)?;
            let encrypted = tls.connect(&host.0, connection.stream).await;
            connection.stream = Box::new(encrypted.map_err(Failure::Tls)?);
        }
        let mut output = Output::default();
        let login = &settings.login;
        output.connect(
            login.user.as_deref(),
            login.password.as_deref(),
            settings.tls,
        );
        output.ping();
        connection.stream.write_all(&output.0).await?;
        connection.stream.flush().await?;
        loop {
            match connection.next().await? {
                Operation::Pong => return Ok(connection),
                Operation::Error(text) => return Err(Failure::Refused(text)),
                Operation::Info(_)
                | Operation::Message { .. }
                | Operation::Ping
                | Operation::Ok => {}
            }
        }
    }

    fn must_encrypt(&self, info: &Info, settings: &Settings) -> Result<bool, Failure> {
        if settings.tls && !info.tls_required && !info.tls_available {
            return Err(Failure::Known(Error::misconfigured(format!(
                "NATS at {} speaks no TLS, which tls=true asks for",
                self.server
            ))));
        }
        // Bytes that came before TLS would be taken for encrypted ones.
        let encrypts = settings.tls || info.tls_required;
        if encrypts && !self.input.is_empty() {
            return Err(Failure::Malformed);
        }
        Ok(encrypts)
    }

    async fn next(&mut self) -> Result<Operation, Failure> {
        loop {
            if let Some(operation) = read(&mut self.input)? {
                return Ok(operation);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

/// How connecting to one server can fail.
enum Failure {
    Io(io::Error),
    Tls(io::Error),
    Malformed,
    /// The server's words.
    Refused(String),
    Known(Error),
}

impl Failure {
    /// Returns the likely cause, in one sentence.
    fn explain(self, server: &str, settings: &Settings) -> Error {
        match self {
            Self::Known(error) => error,
            Self::Io(error) => {
                Error::unavailable(format!("cannot reach NATS at {server}: {error}"))
            }
            Self::Tls(error) if error.kind() == io::ErrorKind::InvalidData => {
                Error::misconfigured(format!(
                    "cannot trust NATS at {server}, whose certificate may need ?ca=FILE: {error}"
                ))
            }
            Self::Tls(error) => {
                Error::unavailable(format!("cannot speak TLS with NATS at {server}: {error}"))
            }
            Self::Malformed => Error::misconfigured(format!(
                "the server at {server} does not speak as NATS does"
            )),
            Self::Refused(text) => match text.to_ascii_lowercase() {
                lower if lower.contains("timeout") => {
                    Error::unavailable(format!("NATS at {server} refuses the connection: {text}"))
                }
                lower if lower.contains("authorization") || lower.contains("authentication") => {
                    settings.refused(server)
                }
                lower if lower.contains("maximum") => Error::unavailable(format!(
                    "NATS at {server} has no room for another client: {text}; raise max_connections there"
                )),
                _ => Error::unavailable(format!("NATS at {server} refuses the connection: {text}")),
            },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// For one server's answers to a new connection.
const CONNECT: Duration = Duration::from_secs(5);
