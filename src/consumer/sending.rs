//! [`Sending`]: a message on its way into a consumer's own outgoing queue.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::error::Error;
use crate::mailbox::{Mailbox, Outbound, QueueFull};
#[cfg(feature = "deflate")]
use crate::yield_now::yield_now;

/// The future of [`Context::send`](crate::Context::send) and its variants. Await it to send. It
/// borrows nothing.
///
/// # Cancel safety
///
/// Dropped before it is ready, the message is not sent.
#[must_use = "nothing is sent until it is awaited"]
pub struct Sending {
    mailbox: Arc<Mailbox>,
    /// `None` once it is queued.
    message: Option<Outbound>,
    /// An error in the message, returned by the first poll.
    mistake: Option<Error>,
}

impl Sending {
    pub(super) fn new(mailbox: Arc<Mailbox>, message: Result<Outbound, Error>) -> Self {
        let (message, mistake) = match message {
            Ok(message) => (Some(message), None),
            Err(mistake) => (None, Some(mistake)),
        };
        Self {
            mailbox,
            message,
            mistake,
        }
    }
}

impl Future for Sending {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        if let Some(mistake) = this.mistake.take() {
            return Poll::Ready(Err(mistake));
        }
        #[cfg(feature = "deflate")]
        if let Some(Outbound::Long(message)) = &mut this.message {
            let Poll::Ready(compressed) = message.step() else {
                // Others have their turn between two steps, the I/O driver as well.
                yield_now(cx);
                return Poll::Pending;
            };
            this.message = Some(compressed);
        }
        match ready!(this.mailbox.poll_send(&mut this.message, cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(QueueFull) => {
                let bound = this.mailbox.settings().config().outgoing;
                let limit = format!(
                    "{} frames or {} bytes wait for the end of the handshake",
                    bound.count, bound.bytes
                );
                Poll::Ready(Err(Error::full("the outgoing queue", limit)))
            }
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("mailbox", &self.mailbox)
            .finish_non_exhaustive()
    }
}
