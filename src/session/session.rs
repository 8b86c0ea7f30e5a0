//! The hooks in order, from acceptance to the end.

use std::future::poll_fn;

use crate::close::Cause;
use crate::close::CloseCode;
use crate::close::Closed;
use crate::consumer::Context;
use crate::consumer::DynConsumer;
use crate::error::BoxError;
use crate::error::Error;
use crate::error::chain;
use crate::mailbox::CloseRequest;

use super::connection::Connection;
use super::connection::Next;
use super::hook;
use super::hook::HookEnd;

/// Runs an accepted connection to its end, `disconnect` included.
pub(super) async fn run(
    mut consumer: Box<dyn DynConsumer>,
    ctx: Context,
    mut connection: Connection,
) {
    let closed = loop {
        let end = match poll_fn(|cx| connection.poll_next(cx)).await {
            Next::Message(message) => {
                hook::run(consumer.receive(&ctx, message), &mut connection).await
            }
            Next::Event(event) => match consumer.event(&ctx, event) {
                Some(event) => hook::run(event, &mut connection).await,
                None => continue,
            },
            Next::End(closed) => break closed,
        };
        if let Some(request) = judge(end, &ctx, consumer.name()) {
            ctx.mailbox().close(request);
        }
    };
    ctx.set_event(None);
    ctx.release();
    if closed.cause() == Cause::SlowReader {
        connection.hurry();
    }
    finish(consumer, &ctx, closed, &mut connection).await;
    poll_fn(|cx| connection.poll_closing(cx)).await;
}

/// Closes a connection that has no consumer: one that was refused after acceptance.
pub(super) async fn close(mut connection: Connection) {
    poll_fn(|cx| connection.poll_closing(cx)).await;
}

async fn finish(
    mut consumer: Box<dyn DynConsumer>,
    ctx: &Context,
    closed: Closed,
    connection: &mut Connection,
) {
    let name = consumer.name();
    let end = hook::run_last(consumer.disconnect(ctx, closed), connection).await;
    log_last(&end, ctx, name);
}

/// Logs how `disconnect` ended, where that was not well.
pub(super) fn log_last(end: &HookEnd<Result<(), BoxError>>, ctx: &Context, consumer: &str) {
    let path = ctx.scope().path();
    match end {
        HookEnd::Done(_) => {}
        HookEnd::Panicked(message) => {
            tracing::error!(consumer, path, message, "disconnect panicked")
        }
        HookEnd::Cut => tracing::warn!(consumer, path, "disconnect took too long and was dropped"),
    }
}

/// Whether the connection goes on after a hook, or how it is to be closed. A failure is logged here, once.
fn judge(
    end: HookEnd<Result<(), BoxError>>,
    ctx: &Context,
    consumer: &str,
) -> Option<CloseRequest> {
    let path = ctx.scope().path();
    let (code, reason, cause) = match end {
        HookEnd::Done(Ok(())) => return None,
        HookEnd::Done(Err(error)) => {
            let known = error.downcast_ref::<Error>();
            let (code, reason) = known.map_or((CloseCode::INTERNAL_ERROR, ""), Error::close_frame);
            if !known.is_some_and(Error::is_close) {
                let error = chain(&*error);
                tracing::error!(consumer, path, code = code.as_u16(), error, "a hook failed");
            }
            (code, reason.to_owned(), Cause::Error)
        }
        HookEnd::Panicked(message) => {
            tracing::error!(consumer, path, message, "a hook panicked");
            (CloseCode::INTERNAL_ERROR, String::new(), Cause::Panic)
        }
        HookEnd::Cut => {
            tracing::warn!(
                consumer,
                path,
                "a hook was dropped: the connection had ended and its grace was over"
            );
            return None;
        }
    };
    Some(CloseRequest {
        code,
        reason,
        cause,
    })
}
