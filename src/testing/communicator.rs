//! [`Communicator`]: a client in memory.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{DuplexStream, duplex};
use tokio::time::timeout;
use tower_service::Service;

use crate::close::CloseCode;
use crate::consumer::Consumer;
use crate::error::Error;
use crate::handshake::{Peer, Reject};
use crate::message::Message;
use crate::scope::Scope;
use crate::service::{Body, WebSocketService, endpoint};
use crate::session::{Transport, UpgradeSlot};
use crate::websocket::{Extensions, OpCode};

use super::answers::{Accepted, Rejected, Unexpected};
use super::client::Client;

/// A client that talks to a router or to one consumer without a socket. (Channels'
/// `WebsocketCommunicator`.)
///
/// It answers pings and the server's close frame while it receives, and sends no `Origin` unless
/// given one by [`header`](Self::header). It inflates what a server compresses, where a header
/// offered that. Each wait is limited to [`timeout`](Self::timeout); what did not come in time can
/// still be received later.
#[derive(Debug)]
pub struct Communicator {
    service: WebSocketService,
    request: http::request::Builder,
    peer: Option<SocketAddr>,
    timeout: Duration,
    pipe: usize,
    client: Option<Client>,
}

#[expect(
    clippy::result_large_err,
    reason = "a test has one refusal at a time, and its fields are what it looks at"
)]
impl Communicator {
    /// A client of a router, or of a [service](crate::Router::into_service) that several clients
    /// share, for this path and query; a leading `/` may be left out.
    pub fn new(service: impl Into<WebSocketService>, path: &str) -> Self {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let request = Request::get(format!("{slash}{path}"))
            .header(header::HOST, "testserver")
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
        Self {
            service: service.into(),
            request,
            peer: None,
            timeout: Duration::from_secs(1),
            pipe: PIPE,
            client: None,
        }
    }

    /// A client of one consumer, without a router.
    pub fn consumer<F, C, E>(factory: F) -> Self
    where
        F: Fn(&Scope) -> Result<C, Reject> + Send + Sync + 'static,
        C: Consumer<E>,
        E: DeserializeOwned + Send + 'static,
    {
        Self::new(endpoint(factory).0, "/")
    }

    /// Adds a header to the handshake.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Into<http::Error>,
        V: TryInto<HeaderValue>,
        V::Error: Into<http::Error>,
    {
        self.request = self.request.header(name, value);
        self
    }

    /// Offers subprotocols.
    #[must_use]
    pub fn subprotocols<I>(self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let names: Vec<_> = names
            .into_iter()
            .map(|name| name.as_ref().to_owned())
            .collect();
        self.header(header::SEC_WEBSOCKET_PROTOCOL, names.join(", "))
    }

    /// The address it comes from: [`Scope::peer`], and what
    /// [`Limits::per_ip`](crate::handshake::Limits::per_ip) counts. Default: none.
    #[must_use]
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// How long to wait for a message or an end. Default: 1 s. Under the paused clock a long one
    /// costs nothing: [an example](crate::testing#time).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes fit between the two ends, in each direction, before who writes has to wait:
    /// with little room, a client that does not receive is a slow reader at once. Default: 64 KiB.
    #[must_use]
    pub fn pipe(mut self, bytes: usize) -> Self {
        self.pipe = bytes.max(1);
        self
    }

    /// Does the handshake. There is no time limit of its own here: the server has one.
    ///
    /// # Errors
    ///
    /// The refusal. A path or header that is no HTTP is refused with 400 here.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the client has gone within the handshake.
    pub async fn connect(&mut self) -> Result<Accepted, Rejected> {
        let (accepted, upgrade_slot) = self.handshake().await?;
        let (near, far) = duplex(self.pipe);
        if let Some(session) = upgrade_slot.take() {
            let _ = session.send(Transport::other(far, Bytes::new()));
        }
        self.client = Some(Client::new(near, extensions(&accepted)));
        Ok(accepted)
    }

    /// Does the handshake and is gone before its answer arrives.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn abandon(self) -> Result<Accepted, Rejected> {
        self.handshake().await.map(|(accepted, _)| accepted)
    }

    /// Sends a text message.
    ///
    /// # Errors
    ///
    /// When not connected, or the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, a part of the frame may be sent; nothing can be sent after it.
    pub async fn send_text(&mut self, text: impl AsRef<str>) -> Result<(), Unexpected> {
        self.client()?
            .send(OpCode::Text, text.as_ref().as_bytes())
            .await
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// When not connected, or the stream has ended.
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    pub async fn send_binary(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Unexpected> {
        self.client()?.send(OpCode::Binary, bytes.as_ref()).await
    }

    /// Sends a value as JSON text.
    ///
    /// # Errors
    ///
    /// When it does not encode; else as [`send_text`](Self::send_text).
    ///
    /// # Cancel safety
    ///
    /// As [`send_text`](Self::send_text).
    pub async fn send_json<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unexpected> {
        let text = serde_json::to_string(value)
            .map_err(|error| Unexpected::Malformed(error.to_string()))?;
        self.send_text(text).await
    }

    /// The next message.
    ///
    /// # Errors
    ///
    /// When none comes in time, or the connection ends instead.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing is lost.
    pub async fn receive(&mut self) -> Result<Message, Unexpected> {
        let limit = self.timeout;
        let client = self.client()?;
        timeout(limit, client.receive())
            .await
            .unwrap_or(Err(Unexpected::Nothing(limit)))
    }

    /// The next message, which must be text.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); also for a binary message.
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn receive_text(&mut self) -> Result<String, Unexpected> {
        match self.receive().await? {
            Message::Text(text) => Ok(text),
            binary @ Message::Binary(_) => Err(Unexpected::Message(binary)),
        }
    }

    /// The next message, which must be binary.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive); also for a text message.
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn receive_binary(&mut self) -> Result<Bytes, Unexpected> {
        match self.receive().await? {
            Message::Binary(bytes) => Ok(bytes),
            text @ Message::Text(_) => Err(Unexpected::Message(text)),
        }
    }

    /// The next message, decoded from JSON text.
    ///
    /// # Errors
    ///
    /// As [`receive_text`](Self::receive_text); also when it does not decode.
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn receive_json<T: DeserializeOwned>(&mut self) -> Result<T, Unexpected> {
        let text = self.receive_text().await?;
        serde_json::from_str(&text)
            .map_err(|error| Unexpected::Malformed(format!("{error}: {text}")))
    }

    /// Waits a tenth of a second in which nothing must come. What comes all the same is taken.
    ///
    /// # Errors
    ///
    /// What came.
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn expect_nothing(&mut self) -> Result<(), Unexpected> {
        match timeout(QUIET, self.client()?.receive()).await {
            Err(_) => Ok(()),
            Ok(Ok(message)) => Err(Unexpected::Message(message)),
            Ok(Err(end)) => Err(end),
        }
    }

    /// Waits for the server to close, and returns its code and reason.
    ///
    /// # Errors
    ///
    /// When a message comes, nothing in time, or the stream ends without a close frame.
    ///
    /// # Cancel safety
    ///
    /// As [`receive`](Self::receive).
    pub async fn expect_close(&mut self) -> Result<(CloseCode, String), Unexpected> {
        match self.receive().await {
            Err(Unexpected::Closed(code, reason)) => Ok((code, reason)),
            Err(other) => Err(other),
            Ok(message) => Err(Unexpected::Message(message)),
        }
    }

    /// Closes with 1000 and waits for the server's answer; what it had sent before is dropped.
    ///
    /// # Errors
    ///
    /// When not connected, or the server does not answer in time.
    ///
    /// # Cancel safety
    ///
    /// As [`disconnect_with`](Self::disconnect_with).
    pub async fn disconnect(&mut self) -> Result<(), Unexpected> {
        self.disconnect_with(CloseCode::NORMAL, "").await
    }

    /// Closes with a code and reason and waits for the server's answer.
    ///
    /// # Errors
    ///
    /// When the code may not be sent; else as [`disconnect`](Self::disconnect).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the close frame may be sent; call it again to wait for the
    /// answer.
    pub async fn disconnect_with<C>(&mut self, code: C, reason: &str) -> Result<(), Unexpected>
    where
        C: TryInto<CloseCode>,
        C::Error: Into<Error>,
    {
        let code = code
            .try_into()
            .map_err(|error| Unexpected::Malformed(error.into().to_string()))?;
        self.client()?.close(code, reason).await?;
        loop {
            match self.receive().await {
                Ok(_) => {}
                Err(Unexpected::Closed(..)) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    /// The client's end of the stream itself, to send what no client should, or to be gone by
    /// dropping it. What was read ahead is lost.
    ///
    /// # Errors
    ///
    /// When not connected.
    pub fn into_stream(self) -> Result<DuplexStream, Unexpected> {
        self.client
            .map(Client::into_stream)
            .ok_or(Unexpected::NotConnected)
    }

    async fn handshake(&self) -> Result<(Accepted, UpgradeSlot), Rejected> {
        let upgrade_slot = UpgradeSlot::default();
        let request = self.request()?;
        let (mut parts, ()) = request.into_parts();
        parts.extensions.insert(upgrade_slot.clone());
        if let Some(address) = self.peer {
            parts.extensions.insert(Peer(address));
        }
        let Ok(response) = self
            .service
            .clone()
            .call(Request::from_parts(parts, ()))
            .await;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(rejected(response).await);
        }
        let headers = response.into_parts().0.headers;
        let subprotocol = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        let accepted = Accepted {
            subprotocol: subprotocol
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            headers,
        };
        Ok((accepted, upgrade_slot))
    }

    /// The request; the builder cannot be cloned, so it is read piece by piece.
    fn request(&self) -> Result<Request<()>, Rejected> {
        let malformed = || Rejected {
            status: StatusCode::BAD_REQUEST,
            headers: http::HeaderMap::new(),
            body: "the path or a header is malformed".to_owned(),
        };
        let (Some(uri), Some(headers)) = (self.request.uri_ref(), self.request.headers_ref())
        else {
            return Err(malformed());
        };
        let mut request = Request::get(uri.clone())
            .body(())
            .map_err(|_| malformed())?;
        *request.headers_mut() = headers.clone();
        Ok(request)
    }

    fn client(&mut self) -> Result<&mut Client, Unexpected> {
        self.client.as_mut().ok_or(Unexpected::NotConnected)
    }
}

async fn rejected(response: Response<Body>) -> Rejected {
    let (parts, body) = response.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    Rejected {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// What the server has agreed to do beyond the protocol.
#[cfg(feature = "deflate")]
fn extensions(accepted: &Accepted) -> Extensions {
    let answer = accepted.headers.get(header::SEC_WEBSOCKET_EXTENSIONS);
    let is_deflate = |answer: &HeaderValue| answer.as_bytes().starts_with(b"permessage-deflate");
    Extensions {
        deflate: answer
            .is_some_and(is_deflate)
            .then_some(crate::websocket::deflate::WindowBits::MAX),
    }
}

#[cfg(not(feature = "deflate"))]
fn extensions(_accepted: &Accepted) -> Extensions {
    Extensions::default()
}

/// What fits between the two ends: as much as a kernel's socket buffers would take, roughly.
const PIPE: usize = 64 * 1024;
/// How long nothing has to come to count as nothing.
const QUIET: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing row should panic")]

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use crate::close::{CloseCode, Closed};
    use crate::consumer::{Consumer, Context};
    use crate::router::Router;

    use super::{Communicator, Unexpected};

    /// Tells how it ended.
    struct Ending(UnboundedSender<Closed>);

    impl Consumer for Ending {
        async fn disconnect(&mut self, _ctx: &Context, closed: Closed) {
            let _ = self.0.send(closed);
        }
    }

    #[tokio::test]
    async fn a_client_closes_with_a_number_or_a_code_that_may_be_sent() {
        let (told, mut endings) = unbounded_channel();
        let mut client = Communicator::consumer(move |_| Ok(Ending(told.clone())));
        let early = client.disconnect_with(4100, "early").await;
        assert_eq!(early, Err(Unexpected::NotConnected));
        client.connect().await.unwrap();
        let unfit = client.disconnect_with(1006, "").await.unwrap_err();
        assert!(matches!(unfit, Unexpected::Malformed(_)), "{unfit:?}");
        assert!(unfit.to_string().contains("1006"), "{unfit}");
        client.disconnect_with(4100, "enough").await.unwrap();
        let closed = endings.recv().await.unwrap();
        assert_eq!(closed.code(), 4100);
        assert_eq!(closed.reason(), "enough");
        client.connect().await.unwrap();
        let code = CloseCode::GOING_AWAY;
        client.disconnect_with(code, "").await.unwrap();
        assert_eq!(endings.recv().await.unwrap().code(), code);
    }

    #[tokio::test]
    async fn a_path_may_come_without_its_slash() {
        struct Nobody;
        impl Consumer for Nobody {}
        let router = Router::new()
            .path("", |_| Ok(Nobody))
            .path("ws/<slug:room>/", |_| Ok(Nobody));
        let (service, _) = router.into_service();
        for path in ["", "?a=1", "/", "ws/a/", "ws/a/?b=http://c/", "/ws/a/"] {
            let connected = Communicator::new(&service, path).connect().await;
            assert!(connected.is_ok(), "{path:?}: {connected:?}");
        }
    }
}
