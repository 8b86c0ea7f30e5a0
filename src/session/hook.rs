//! Running one hook, while its connection goes on.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;

use crate::sampler::{LogSampler, sampled};

use super::connection::Connection;

/// How a hook ended.
#[derive(Debug)]
pub(super) enum HookEnd<T> {
    Done(T),
    /// With the panic's message.
    Panicked(String),
    /// Dropped at an `.await`.
    Cancelled(Cancelled),
}

/// Why a hook had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Its time was up: that of `connect` or `disconnect`; for another hook, its connection had
    /// ended and the grace or the drain's deadline was over.
    Deadline,
    /// It ran longer than [`Config::hook_limit`](crate::config::Config::hook_limit).
    Limit,
}

/// Runs a hook that may take its time; whenever it waits, the connection reads ahead, writes and
/// looks after itself.
pub(super) fn run<'a, T>(hook: BoxFuture<'a, T>, connection: &'a mut Connection) -> Running<'a, T> {
    Running {
        hook: Some(hook),
        connection,
    }
}

/// A hook and its connection. A type with a name, so that a hook that is ready at once is polled
/// without a call between.
pub(super) struct Running<'a, T> {
    hook: Option<BoxFuture<'a, T>>,
    connection: &'a mut Connection,
}

impl<T> Future for Running<'_, T> {
    type Output = HookEnd<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HookEnd<T>> {
        let this = self.get_mut();
        if let Some(hook) = &mut this.hook
            && let Poll::Ready(end) = poll_caught(hook.as_mut(), cx)
        {
            this.connection.hook_over();
            return Poll::Ready(end);
        }
        this.wait(cx)
    }
}

impl<T> Running<'_, T> {
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<HookEnd<T>> {
        let Some(cut) = self.connection.poll_background(cx) else {
            return Poll::Pending;
        };
        self.connection.hook_was_last();
        drop_caught(self.hook.take(), self.connection.mailbox().settings().log());
        Poll::Ready(HookEnd::Cancelled(cut))
    }
}

/// Runs `disconnect` within its limit, while the connection closes.
pub(super) fn run_last<'a>(
    hook: BoxFuture<'a, crate::error::Result>,
    connection: &'a mut Connection,
) -> impl Future<Output = HookEnd<crate::error::Result>> + 'a {
    connection.begin_last();
    let mut hook = Some(hook);
    poll_fn(move |cx| {
        if let Some(hook) = &mut hook
            && let Poll::Ready(end) = poll_caught(hook.as_mut(), cx)
        {
            return Poll::Ready(end);
        }
        ready!(connection.poll_last(cx));
        drop_caught(hook.take(), connection.mailbox().settings().log());
        Poll::Ready(HookEnd::Cancelled(Cancelled::Deadline))
    })
}

/// One poll in which a panic is an answer.
pub(super) fn poll_caught<T>(
    hook: Pin<&mut (dyn Future<Output = T> + Send + '_)>,
    cx: &mut Context<'_>,
) -> Poll<HookEnd<T>> {
    match catch_unwind(AssertUnwindSafe(|| hook.poll(cx))) {
        Ok(poll) => poll.map(HookEnd::Done),
        Err(panic) => Poll::Ready(HookEnd::Panicked(panic_message(panic))),
    }
}

/// Drops a hook at its current `.await`. Values that it holds may panic in `Drop`; the session
/// continues.
fn drop_caught<T>(hook: Option<BoxFuture<'_, T>>, log: &LogSampler) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(hook))) {
        let message = panic_message(panic);
        sampled!(
            log,
            error,
            "dropped_hook_panicked",
            panic = message,
            "a hook panicked when it was dropped"
        );
    }
}

/// The message of a panic. Drops the payload.
pub(super) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
        .to_owned();
    // A payload may panic when it is dropped. The payload of that second panic is leaked.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    message
}
