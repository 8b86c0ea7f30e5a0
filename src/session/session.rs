//! The hooks in order, from acceptance to the end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::future::BoxFuture;

use crate::close::{Cause, CloseCode, Closed};
use crate::consumer::{Context, DynConsumer};
use crate::error::{BoxError, Error, Result, chain, excerpt};
use crate::mailbox::{Close, CloseRequest};
use crate::metrics::connection_closed;
use crate::sampler::sampled;

use super::connection::{Cancelled, Connection, Next};
use super::hook;
use super::hook::HookEnd;
use super::sockets::Guard;

/// A connection and its consumer, from acceptance on.
pub(super) struct Session {
    pub(super) consumer: Box<dyn DynConsumer>,
    pub(super) ctx: Context,
    /// Boxed: a task's size is rounded up to the next 128 bytes.
    pub(super) connection: Box<Connection>,
    /// Counts the session until it is dropped.
    pub(super) _guard: Guard,
}

impl Session {
    /// Runs to the end, `disconnect` included.
    ///
    /// There are many of these futures, and most are idle. So no short-lived state is kept across a
    /// wait, and the ending is boxed.
    pub(super) async fn run(&mut self) {
        let closed = loop {
            let next = poll_fn(|cx| self.connection.poll_next(cx)).await;
            let hook = match begin(&mut *self.consumer, &self.ctx, next) {
                Begun::Hook(hook) => hook,
                Begun::End(closed) => break closed,
            };
            let end = hook::run(hook, &mut self.connection).await;
            if matches!(end, HookEnd::Done(Ok(()))) {
                continue;
            }
            // An error's own `Display` or `Drop` may panic, too.
            let judged = catch_unwind(AssertUnwindSafe(|| {
                judge(end, &self.ctx, self.consumer.name())
            }));
            let judged = judged.unwrap_or_else(|panic| {
                let message = hook::panic_message(panic);
                sampled!(
                    self.ctx.mailbox().settings().log(),
                    error,
                    "error_panicked",
                    panic = message,
                    "the Display or Drop of a hook's error panicked; closes the connection"
                );
                Some(panicked())
            });
            if let Some(request) = judged {
                self.ctx.mailbox().close(Close::AfterQueue(request));
                self.connection.hook_failed();
            }
        };
        Box::pin(self.finish(closed)).await;
    }

    /// Releases the memberships, runs `disconnect`, and completes the closing handshake, which goes
    /// on meanwhile.
    async fn finish(&mut self, closed: Closed) {
        let (ctx, connection) = (&self.ctx, &mut self.connection);
        ctx.set_event(None);
        ctx.release();
        connection_closed(&closed);
        let name = self.consumer.name();
        log_end(&closed, ctx, name);
        let end = hook::run_disconnect(self.consumer.disconnect(ctx, closed), connection).await;
        log_disconnect(&end, ctx, name);
        poll_fn(|cx| connection.poll_closed(cx)).await;
    }
}

/// A hook that has begun, or the end.
enum Begun<'a> {
    Hook(BoxFuture<'a, Result>),
    End(Closed),
}

fn begin<'a>(consumer: &'a mut dyn DynConsumer, ctx: &'a Context, next: Next) -> Begun<'a> {
    match next {
        Next::Message(message) => Begun::Hook(consumer.receive(ctx, message)),
        Next::Event(event) => Begun::Hook(consumer.event(ctx, event)),
        Next::Gap(gap) => Begun::Hook(consumer.gap(ctx, gap)),
        Next::End(closed) => Begun::End(closed),
    }
}

/// Logs the end at DEBUG, so that a developer can see why a client is gone.
fn log_end(closed: &Closed, ctx: &Context, consumer: &str) {
    tracing::debug!(
        consumer,
        path = &*excerpt(ctx.scope().path()),
        code = closed.code().as_u16(),
        reason = closed.reason(),
        cause = ?closed.cause(),
        "connection closed"
    );
}

/// Logs how `disconnect` ended, if it did not return.
pub(super) fn log_disconnect(end: &HookEnd<Result>, ctx: &Context, consumer: &str) {
    let (log, path) = (ctx.mailbox().settings().log(), ctx.scope().path());
    match end {
        HookEnd::Done(_) => {}
        HookEnd::Panicked(message) => sampled!(
            log,
            error,
            "disconnect_panicked",
            consumer,
            path = &*excerpt(path),
            panic = message,
            "disconnect panicked"
        ),
        HookEnd::Cancelled(_) => sampled!(
            log,
            warn,
            "disconnect_timed_out",
            consumer,
            path = &*excerpt(path),
            "disconnect took too long and was dropped"
        ),
    }
}

/// Logs why a hook failed. A client's mistake is only a warning, and an intended close is not
/// logged.
fn log_failure(error: &BoxError, code: CloseCode, consumer: &str, ctx: &Context) {
    let (log, path) = (ctx.mailbox().settings().log(), ctx.scope().path());
    let known = error.downcast_ref::<Error>();
    // Formatted even if it is not logged: whether its `Display` panics must not depend on that.
    let (code, text) = (code.as_u16(), chain(&**error));
    if known.is_some_and(Error::is_bad_message) {
        sampled!(
            log,
            warn,
            "bad_message",
            consumer,
            path = &*excerpt(path),
            code,
            error = text,
            "closes the connection: a message was malformed"
        );
    } else if known.is_some_and(Error::is_unavailable) && !ctx.layer().is_available() {
        // The outage was logged when it began, once for all connections.
        tracing::debug!(consumer, path, code, error = text, "a hook failed");
    } else if !known.is_some_and(Error::is_close) {
        sampled!(
            log,
            error,
            "hook_failed",
            consumer,
            path = &*excerpt(path),
            code,
            error = text,
            "a hook failed"
        );
    }
}

/// Returns how the connection is to be closed after a hook, or `None` if it goes on. A failure is
/// logged here, once.
fn judge(end: HookEnd<Result>, ctx: &Context, consumer: &str) -> Option<CloseRequest> {
    let (log, path) = (ctx.mailbox().settings().log(), ctx.scope().path());
    let (code, reason, cause) = match end {
        HookEnd::Done(Ok(())) => return None,
        HookEnd::Done(Err(error)) => {
            let known = error.downcast_ref::<Error>();
            let (code, reason) = known.map_or((CloseCode::INTERNAL_ERROR, ""), Error::close_frame);
            log_failure(&error, code, consumer, ctx);
            (code, reason.to_owned(), Cause::Error)
        }
        HookEnd::Panicked(message) => {
            sampled!(
                log,
                error,
                "hook_panicked",
                consumer,
                path = &*excerpt(path),
                panic = message,
                "a hook panicked"
            );
            return Some(panicked());
        }
        HookEnd::Cancelled(Cancelled::TimedOut) => {
            sampled!(
                log,
                warn,
                "hook_dropped",
                consumer,
                path = &*excerpt(path),
                "a hook was dropped: the connection had ended and its grace was over"
            );
            return None;
        }
        HookEnd::Cancelled(Cancelled::OverLimit) => {
            let limit = ctx
                .mailbox()
                .settings()
                .config()
                .hook_limit
                .unwrap_or_default();
            sampled!(
                log,
                error,
                "hook_limit",
                consumer,
                path = &*excerpt(path),
                ?limit,
                "a hook ran longer than its limit and was dropped"
            );
            let reason = "the server took too long".to_owned();
            (CloseCode::INTERNAL_ERROR, reason, Cause::HookLimit)
        }
    };
    Some(CloseRequest {
        code,
        reason,
        cause,
    })
}

fn panicked() -> CloseRequest {
    CloseRequest {
        code: CloseCode::INTERNAL_ERROR,
        reason: String::new(),
        cause: Cause::Panic,
    }
}
