//! [`open`]: `connect` runs in the session's own task, before there is a stream.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::close::{Cause, CloseCode, Closed};
use crate::consumer::{Context, DynConsumer};
use crate::error::{Error, chain, excerpt};
use crate::handshake::{Accept, Refusal, Reject};
use crate::layer::ChannelLayer;
use crate::mailbox::{Close, ConnectionSettings, Mailbox};
use crate::metrics::{connection_closed, connection_opened, handshake_refused};
use crate::sampler::sampled;
use crate::scope::Scope;
use crate::websocket::Extensions;

use super::connection::{Cancelled, Connection};
use super::deadlines::after;
use super::hook::{HookEnd, poll_caught};
use super::session::{Session, log_disconnect};
use super::sockets::Guard;
use super::transport::Transport;

/// A client that has passed the checks, and the consumer made for it.
pub(crate) struct Admission {
    pub(crate) consumer: Box<dyn DynConsumer>,
    pub(crate) scope: Scope,
    pub(crate) layer: ChannelLayer,
    pub(crate) terms: Arc<ConnectionSettings>,
    pub(crate) extensions: Extensions,
    /// Its place among the limits.
    pub(crate) guard: Guard,
}

/// The HTTP side of a session that has begun.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The headers of the 101, or the refusal. If this is dropped, the client has gone.
    pub(crate) answer: oneshot::Receiver<Result<HeaderMap, Refusal>>,
    /// Takes the stream after the 101. If this is dropped, the client has gone, too.
    pub(crate) stream: oneshot::Sender<Transport>,
}

/// Starts the session's task, whose first work is `connect`. Returns `None` if a drain has begun
/// meanwhile.
pub(crate) fn open(admission: Admission) -> Option<Answer> {
    let (answer_sender, answer) = oneshot::channel();
    let (stream, stream_receiver) = oneshot::channel();
    let mailbox = Mailbox::connection(admission.terms, admission.extensions);
    let guard = admission
        .guard
        .register(mailbox.clone(), &admission.layer)?;
    let opening = Opening {
        consumer: admission.consumer,
        ctx: Context::new(mailbox, admission.scope, admission.layer),
        guard,
        answer: answer_sender,
        stream: stream_receiver,
    };
    tokio::spawn(live(opening));
    Some(Answer { answer, stream })
}

/// Runs the whole life of a session. State that only the beginning needs is boxed, and freed before
/// the long part.
fn live(opening: Opening) -> impl Future<Output = ()> + Send {
    let opening = Box::pin(opening.run());
    async move {
        let mut session = opening.await;
        // In place: if it were moved out of the option, the future would have room for it twice.
        if let Some(session) = &mut session {
            session.run().await;
        }
    }
}

struct Opening {
    consumer: Box<dyn DynConsumer>,
    ctx: Context,
    guard: Guard,
    answer: oneshot::Sender<Result<HeaderMap, Refusal>>,
    stream: oneshot::Receiver<Transport>,
}

impl Opening {
    async fn run(mut self) -> Option<Session> {
        let reject = match self.connect().await {
            HookEnd::Done(Ok(accept)) => return self.accepted(accept).await,
            HookEnd::Done(Err(reject)) => reject,
            HookEnd::Panicked(message) => {
                sampled!(
                    self.ctx.mailbox().settings().log(),
                    error,
                    "connect_panicked",
                    consumer = self.consumer.name(),
                    path = &*excerpt(self.ctx.scope().path()),
                    panic = message,
                    "connect panicked"
                );
                Reject::status(StatusCode::INTERNAL_SERVER_ERROR)
            }
            HookEnd::Cancelled(_) => {
                sampled!(
                    self.ctx.mailbox().settings().log(),
                    warn,
                    "connect_timed_out",
                    consumer = self.consumer.name(),
                    path = &*excerpt(self.ctx.scope().path()),
                    "connect took too long and was dropped"
                );
                Reject::unavailable()
            }
        };
        self.rejected(reject).await
    }

    /// Runs `connect` within `connect_timeout`. When the client has gone, its grace is the limit.
    async fn connect(&mut self) -> HookEnd<Result<Accept, Reject>> {
        let mailbox = self.ctx.mailbox();
        let config = mailbox.settings().config();
        let limit = after(Instant::now(), config.connect_timeout);
        let mut sleep = pin!(sleep_until(limit));
        let mut hook = self.consumer.connect(&self.ctx);
        let mut abandoned = false;
        poll_fn(|cx| {
            if let Poll::Ready(end) = poll_caught(hook.as_mut(), cx) {
                return Poll::Ready(end);
            }
            mailbox.register(cx.waker());
            if mailbox.flags().is_hook_cancelled() {
                return Poll::Ready(HookEnd::Cancelled(Cancelled::TimedOut));
            }
            if !abandoned && self.answer.poll_closed(cx).is_ready() {
                abandoned = true;
                sleep
                    .as_mut()
                    .reset(limit.min(after(Instant::now(), config.grace)));
            }
            ready!(sleep.as_mut().poll(cx));
            Poll::Ready(HookEnd::Cancelled(Cancelled::TimedOut))
        })
        .await
    }

    async fn accepted(self, accept: Accept) -> Option<Session> {
        connection_opened();
        let headers = match accept.into_headers(self.ctx.scope()) {
            Ok(headers) => headers,
            Err(error) => {
                log_failure(self.consumer.name(), &self.ctx, &error);
                let refusal = Reject::status(StatusCode::INTERNAL_SERVER_ERROR).into_refusal();
                let _ = self.answer.send(Err(refusal));
                let closed = Closed::new(CloseCode::INTERNAL_ERROR, "", Cause::Error);
                return end_without_stream(self.consumer, &self.ctx, closed).await;
            }
        };
        let told = self.answer.send(Ok(headers)).is_ok();
        if told && let Ok(Ok(transport)) = timeout(UPGRADE_TIMEOUT, self.stream).await {
            let connection = Box::new(Connection::new(self.ctx.mailbox().clone(), transport));
            return Some(Session {
                consumer: self.consumer,
                ctx: self.ctx,
                connection,
                _guard: self.guard,
            });
        }
        let closed = Closed::new(CloseCode::ABNORMAL, "", Cause::AbandonedHandshake);
        end_without_stream(self.consumer, &self.ctx, closed).await
    }

    async fn rejected(self, reject: Reject) -> Option<Session> {
        self.ctx.release();
        if let Some(error) = reject.error() {
            log_failure(self.consumer.name(), &self.ctx, &**error);
        }
        let (code, reason) = match reject.into_refusal() {
            Refusal::AfterAccept(code, reason) => (code, reason),
            refusal @ Refusal::Http { .. } => {
                let _ = self.answer.send(Err(refusal));
                return None;
            }
        };
        handshake_refused(StatusCode::SWITCHING_PROTOCOLS);
        let headers = first_offered(self.ctx.scope());
        if self.answer.send(Ok(headers)).is_err() {
            return None;
        }
        let mailbox = self.ctx.mailbox();
        mailbox.close(Close::Refusal(code, reason));
        if let Ok(Ok(transport)) = timeout(UPGRADE_TIMEOUT, self.stream).await {
            let mut connection = Connection::refused(mailbox.clone(), transport);
            poll_fn(|cx| connection.poll_closed(cx)).await;
        }
        None
    }
}

/// Returns the first subprotocol that was offered, if any. A browser that offers some treats a 101
/// without one as a failure, and its page would never see the close code.
fn first_offered(scope: &Scope) -> HeaderMap {
    let first = scope.subprotocols().next();
    let value = first.and_then(|name| HeaderValue::from_str(name).ok());
    let header = value.map(|value| (header::SEC_WEBSOCKET_PROTOCOL, value));
    header.into_iter().collect()
}

/// Runs `disconnect` for a consumer that accepted and never got its stream.
async fn end_without_stream(
    mut consumer: Box<dyn DynConsumer>,
    ctx: &Context,
    closed: Closed,
) -> Option<Session> {
    ctx.mailbox().close(Close::Abort);
    ctx.release();
    connection_closed(&closed);
    let name = consumer.name();
    let limit = ctx.mailbox().settings().config().disconnect_timeout;
    let mut hook = consumer.disconnect(ctx, closed);
    let end = timeout(limit, poll_fn(|cx| poll_caught(hook.as_mut(), cx))).await;
    log_disconnect(
        &end.unwrap_or(HookEnd::Cancelled(Cancelled::TimedOut)),
        ctx,
        name,
    );
    None
}

/// Logs an error of the program or of a service that it depends on. An outage of the backend was
/// logged once for all connections.
pub(super) fn log_failure(
    consumer: &str,
    ctx: &Context,
    error: &(dyn std::error::Error + 'static),
) {
    let path = ctx.scope().path();
    match error.downcast_ref::<Error>() {
        Some(known) if known.is_parameter() => {}
        Some(known) if known.is_unavailable() && !ctx.layer().is_available() => {
            tracing::debug!(consumer, path, error = chain(error), "refused a connection");
        }
        _ => sampled!(
            ctx.mailbox().settings().log(),
            error,
            "connect_failed",
            consumer,
            path = &*excerpt(path),
            error = chain(error),
            "connect failed; refused the connection"
        ),
    }
}

/// How long the server in front may take to write the 101 and to hand the stream over.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
