//! [`run`]: one hook, while its connection reads, writes and keeps its deadlines.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;

use crate::sampler::{LogSampler, sampled};

use super::connection::{Cancelled, Connection};

/// How a hook ended.
#[derive(Debug)]
pub(super) enum HookEnd<T> {
    Done(T),
    /// With the panic's message.
    Panicked(String),
    /// Dropped at an `.await`.
    Cancelled(Cancelled),
}

/// Runs a hook. While it waits, the connection reads ahead, writes, and keeps its deadlines.
pub(super) fn run<'a, T>(hook: BoxFuture<'a, T>, connection: &'a mut Connection) -> HookRun<'a, T> {
    HookRun {
        hook: Some(hook),
        connection,
    }
}

/// A hook and its connection. This is a named future, so that a hook that is ready at once is
/// polled without a call between.
pub(super) struct HookRun<'a, T> {
    hook: Option<BoxFuture<'a, T>>,
    connection: &'a mut Connection,
}

impl<T> Future for HookRun<'_, T> {
    type Output = HookEnd<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HookEnd<T>> {
        let this = self.get_mut();
        if let Some(hook) = &mut this.hook
            && let Poll::Ready(end) = poll_caught(hook.as_mut(), cx)
        {
            this.connection.hook_returned();
            return Poll::Ready(end);
        }
        this.wait(cx)
    }
}

impl<T> HookRun<'_, T> {
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<HookEnd<T>> {
        let Some(cancelled) = self.connection.poll_during_hook(cx) else {
            return Poll::Pending;
        };
        self.connection.hook_failed();
        drop_caught(self.hook.take(), self.connection.mailbox().settings().log());
        Poll::Ready(HookEnd::Cancelled(cancelled))
    }
}

/// Runs `disconnect` within its limit, while the connection closes.
pub(super) fn run_disconnect<'a>(
    hook: BoxFuture<'a, crate::error::Result>,
    connection: &'a mut Connection,
) -> impl Future<Output = HookEnd<crate::error::Result>> + 'a {
    connection.begin_disconnect();
    let mut hook = Some(hook);
    poll_fn(move |cx| {
        if let Some(hook) = &mut hook
            && let Poll::Ready(end) = poll_caught(hook.as_mut(), cx)
        {
            return Poll::Ready(end);
        }
        ready!(connection.poll_during_disconnect(cx));
        drop_caught(hook.take(), connection.mailbox().settings().log());
        Poll::Ready(HookEnd::Cancelled(Cancelled::TimedOut))
    })
}

/// Polls a hook once, and returns a panic as its end.
pub(super) fn poll_caught<T>(
    hook: Pin<&mut (dyn Future<Output = T> + Send + '_)>,
    cx: &mut Context<'_>,
) -> Poll<HookEnd<T>> {
    match catch_unwind(AssertUnwindSafe(|| hook.poll(cx))) {
        Ok(poll) => poll.map(HookEnd::Done),
        Err(panic) => Poll::Ready(HookEnd::Panicked(panic_message(panic))),
    }
}

/// Drops a hook that has not returned. A value that it holds may panic in its `Drop`; the session
/// goes on.
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

/// Returns the message of a panic, and drops its payload.
pub(super) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message")
        .to_owned();
    // The payload may panic when it is dropped. The payload of that second panic is leaked, since
    // it might panic again.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    message
}
