//! [`HeaderNames`]: writes the names of a handshake's answer as RFC 6455 prints them.
//!
//! hyper writes names in lower case, or each word of them in title case, which makes
//! `Sec-Websocket-Accept`. The case of a name does not change its length, so the head is rewritten
//! on its way into the stream.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::{fmt, io};

/// Shared by the service, which knows which answer is a handshake's, and the stream that the head
/// goes through.
#[derive(Clone, Default)]
pub(super) struct HeaderNames(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Bytes were written after the last flush.
    is_unflushed: bool,
    /// The service waits for the flush.
    service: Option<Waker>,
    /// The next bytes are the head.
    is_next: bool,
    /// The head with its new names.
    head: Vec<u8>,
    written: usize,
}

impl HeaderNames {
    /// Rewrites the next head, which must be written first thing after this.
    ///
    /// Waits until earlier answers, to requests sent ahead, have gone out: then the next bytes are
    /// the head's.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it changes nothing.
    pub(super) async fn rewrite_next(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.is_unflushed {
                state.service = Some(cx.waker().clone());
                return Poll::Pending;
            }
            state.is_next = true;
            Poll::Ready(())
        })
        .await;
    }

    /// Hands `write` what is left of the head in place of these bytes, if they are the head.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        write: impl FnOnce(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Option<Poll<io::Result<usize>>> {
        let mut state = self.lock();
        state.is_unflushed = true;
        if std::mem::take(&mut state.is_next) {
            state.head = rewritten(bytes);
            state.written = 0;
        }
        let rest = state.head.get(state.written..)?;
        if rest.is_empty() {
            return None;
        }
        let result = write(rest);
        if let Poll::Ready(Ok(written)) = result {
            state.written += written;
        }
        Some(result)
    }

    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        state.is_unflushed = false;
        if let Some(service) = state.service.take() {
            service.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for HeaderNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderNames").finish_non_exhaustive()
    }
}

/// The head at the beginning of these bytes, up to the empty line, with its names in title case and
/// `WebSocket` as the RFC has it.
fn rewritten(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let mut head = bytes[..end.map_or(0, |end| end + 4)].to_vec();
    for line in head.split_mut(|&byte| byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = &mut line[..colon];
        for word in name.split_mut(|&byte| byte == b'-') {
            if let Some(first) = word.first_mut() {
                first.make_ascii_uppercase();
            }
            if word == b"Websocket" {
                word[3..4].make_ascii_uppercase();
            }
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::{HeaderNames, rewritten};

    #[test]
    fn names_are_written_as_the_rfc_prints_them_and_nothing_else_changes() {
        let rows: [(&[u8], &[u8]); 5] = [
            (
                b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                  sec-websocket-accept: a-b:c\r\nx-room: sec-websocket-x: y\r\n\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: a-b:c\r\nX-Room: sec-websocket-x: y\r\n\r\n",
            ),
            (
                b"HTTP/1.1 400 x: y\r\n-a--b-: \r\n\r\nthe-body: stays",
                b"HTTP/1.1 400 x: y\r\n-A--B-: \r\n\r\n",
            ),
            (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
            (b"no head", b""),
            (b"", b""),
        ];
        for (head, expected) in rows {
            assert_eq!(rewritten(head), expected, "{}", head.escape_ascii());
        }
    }

    /// The stream takes a few bytes at a time, and none now and then.
    #[test]
    fn a_head_that_is_written_in_parts_is_rewritten_as_a_whole() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\n\r\n";
        let answer = [&head[..], b"body"].concat();
        let names = HeaderNames::default();
        names.0.lock().expect("no panic").is_next = true;
        let mut wire = Vec::new();
        while wire.len() < head.len() {
            assert!(
                names
                    .write(&answer[wire.len()..], |_| Poll::Pending)
                    .is_some()
            );
            let part = names.write(&answer[wire.len()..], |rest| {
                let part = &rest[..7.min(rest.len())];
                wire.extend_from_slice(part);
                Poll::Ready(Ok(part.len()))
            });
            assert!(part.is_some(), "after {} bytes", wire.len());
        }
        let expected = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n";
        assert_eq!(wire, expected);
        let body = names.write(b"body", |_| Poll::Pending);
        assert!(body.is_none(), "the body is not the head");
    }
}
